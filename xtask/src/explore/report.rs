//! What an exploration found, for people and for programs.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::attempt::{Attempt, Failure, Lab};

/// A failure, and what is known of it.
pub(super) struct Finding {
    pub(super) failure: Failure,
    /// The seeds that fail like this, in order.
    pub(super) seeds: Vec<u64>,
    /// How many decisions the first of these runs took.
    pub(super) decided: usize,
    /// How many of them are enough; `None` when the list alone does not repeat it.
    pub(super) enough: Option<usize>,
    /// Whether none of those can be left out.
    pub(super) is_minimal: bool,
    /// The line that repeats it.
    pub(super) replay: String,
}

impl Finding {
    /// What a person is told.
    pub(super) fn text(&self) -> String {
        let [first, others @ ..] = self.seeds.as_slice() else { return String::new() };
        let others = match others.len() {
            0 => String::new(),
            1 => " and 1 other".to_owned(),
            count => format!(" and {count} others"),
        };
        let enough = match self.enough {
            Some(enough) if self.is_minimal => format!("{enough} of {} decisions are enough", self.decided),
            Some(enough) => format!("{enough} of {} decisions, perhaps fewer, are enough", self.decided),
            None => format!("{} decisions, which do not fail by themselves", self.decided),
        };
        format!("FAILED ({}): seed {first}{others}; {enough}\n  {}\n", self.failure.0, self.replay)
    }

    fn to_json(&self) -> Value {
        json!({
            "failure": self.failure.0,
            "folder": self.failure.folder_name(),
            "seeds": self.seeds,
            "decisions": self.decided,
            "decisions_enough": self.enough,
            "is_minimal": self.is_minimal,
            "replay": self.replay,
        })
    }
}

/// Writes `results.json` and `junit.xml`.
pub(super) fn write(lab: &Lab, attempts: &[Attempt], findings: &[Finding]) -> Result<()> {
    let program: Vec<_> = lab.options.program.iter().map(|word| word.to_string_lossy()).collect();
    let runs = attempts.iter().map(|attempt| {
        let failure = attempt.failure.as_ref().map(|failure| &failure.0);
        json!({ "seed": attempt.seed, "failure": failure, "seconds": attempt.seconds })
    });
    let results = json!({
        "schema": "kairos_explore_v1",
        "program": program,
        "schedule": lab.options.chance.schedule.as_deref().unwrap_or("random"),
        "faults": lab.options.chance.faults,
        "kernel": lab.identity.kernel,
        "root": lab.identity.root,
        "qemu": lab.identity.qemu,
        "runs": runs.collect::<Vec<_>>(),
        "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
    });
    save(&lab.folder.join("results.json"), &(serde_json::to_string_pretty(&results)? + "\n"))?;
    save(&lab.folder.join("junit.xml"), &junit(&program.join(" "), attempts, findings))
}

fn save(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// One case a seed, in the format that JUnit made and every CI reads.
fn junit(program: &str, attempts: &[Attempt], findings: &[Finding]) -> String {
    let failed = attempts.iter().filter(|attempt| attempt.failure.is_some()).count();
    let seconds: f64 = attempts.iter().map(|attempt| attempt.seconds).sum();
    let name = escaped(program);
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\" time=\"{seconds:.3}\">",
        attempts.len()
    );
    for attempt in attempts {
        let (seed, seconds) = (attempt.seed, attempt.seconds);
        let _ = write!(text, "  <testcase classname=\"{name}\" name=\"seed {seed}\" time=\"{seconds:.3}\"");
        let Some(failure) = &attempt.failure else {
            text.push_str("/>\n");
            continue;
        };
        let finding = findings.iter().find(|finding| finding.failure == *failure);
        let replay = finding.map_or("", |finding| &finding.replay);
        let _ = writeln!(
            text,
            "><failure message=\"{}\">{}</failure></testcase>",
            escaped(&failure.0),
            escaped(replay)
        );
    }
    text + "</testsuite>\n"
}

/// `text` inside an element or a quoted attribute of XML; what XML has no way to write is left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | ' '.. => out.push(letter),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_s_words_do_not_break_the_xml() {
        let failure = Failure("panic: <a> & \"b\"\0".to_owned());
        let attempts = [
            Attempt { seed: 1, folder: "x".into(), failure: None, seconds: 0.5 },
            Attempt { seed: 2, folder: "y".into(), failure: Some(failure.clone()), seconds: 1.0 },
        ];
        let finding = Finding {
            failure,
            seeds: vec![2],
            decided: 9,
            enough: Some(1),
            is_minimal: true,
            replay: "run a&b".into(),
        };
        assert_eq!(
            junit("sh -c '<'", &attempts, &[finding]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuite name=\"sh -c '&lt;'\" tests=\"2\" failures=\"1\" time=\"1.500\">\n  \
             <testcase classname=\"sh -c '&lt;'\" name=\"seed 1\" time=\"0.500\"/>\n  \
             <testcase classname=\"sh -c '&lt;'\" name=\"seed 2\" time=\"1.000\">\
             <failure message=\"panic: &lt;a&gt; &amp; &quot;b&quot;\">run a&amp;b</failure></testcase>\n\
             </testsuite>\n"
        );
    }

    #[test]
    fn a_finding_says_how_sure_it_is() {
        let mut finding = Finding {
            failure: Failure("exit 1".into()),
            seeds: vec![3, 8, 9],
            decided: 100,
            enough: Some(2),
            is_minimal: true,
            replay: "cargo".into(),
        };
        assert_eq!(
            finding.text(),
            "FAILED (exit 1): seed 3 and 2 others; 2 of 100 decisions are enough\n  cargo\n"
        );
        finding.enough = None;
        assert!(finding.text().contains("do not fail by themselves"));
    }
}
