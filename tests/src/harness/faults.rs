//! The suite under fault injection: cases run marked (`make-it-fail`), so that points strike in them and in what
//! they start, and never in the harness.
//!
//! A case may then fail: its calls do. What must hold all the same is that the machine goes on, that nothing of the
//! case stays behind, and that nobody is left asleep, so a hang and a leak count.

use std::collections::BTreeMap;

const FOLDER: &str = "/sys/kernel/fault_inject";

/// What `--faults` asks for: `POINT[:SETTING]`, in the words of the kernel's command line.
pub(super) struct Faults {
    wanted: Vec<(String, String)>,
    /// How often each point fired in the cases of each subject.
    fired: BTreeMap<(String, String), u64>,
}

impl Faults {
    pub(super) fn new(specs: &[String], seed: u64) -> Result<Faults, String> {
        let split = |spec: &String| {
            let (point, setting) = spec.split_once(':').unwrap_or((spec, "p=1"));
            (point.to_owned(), format!("{setting},marked"))
        };
        let faults = Faults { wanted: specs.iter().map(split).collect(), fired: BTreeMap::new() };
        if !faults.wanted.is_empty() {
            write("seed", &seed.to_string())?;
            for (point, setting) in &faults.wanted {
                write(point, setting)?;
            }
        }
        Ok(faults)
    }

    /// True when points strike.
    pub(super) fn are_on(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Runs a case of `subject`, and counts what fired meanwhile.
    pub(super) fn watch<R>(&mut self, subject: &str, run: impl FnOnce() -> R) -> R {
        if !self.are_on() {
            return run();
        }
        let before = counts();
        let result = run();
        for (point, after) in counts() {
            let fired = after - before.get(&point).unwrap_or(&0);
            *self.fired.entry((point, subject.to_owned())).or_default() += fired;
        }
        result
    }

    /// Takes the settings back and prints which point fired how often in which subject. The points that were asked
    /// for and never fired are the answer.
    pub(super) fn finish(&self) -> Vec<&str> {
        if !self.are_on() {
            return Vec::new();
        }
        // The harness is not marked, so this works.
        let _ = write("all", "off");
        println!("\n# schema=fault_coverage_v1\n# point subject fired");
        for ((point, subject), fired) in self.fired.iter().filter(|(_, fired)| **fired > 0) {
            println!("fired {point} {subject} {fired}");
        }
        let total = |wanted: &str| -> u64 {
            let of_point = |point: &str| wanted == "all" || wanted == point;
            self.fired.iter().filter(|((point, _), _)| of_point(point)).map(|(_, fired)| fired).sum()
        };
        self.wanted.iter().map(|(point, _)| point.as_str()).filter(|point| total(point) == 0).collect()
    }
}

/// This process, and what it starts, suffers from now on.
pub(super) fn mark() {
    std::fs::write("/proc/self/make-it-fail", "1").expect("make-it-fail");
}

fn write(name: &str, text: &str) -> Result<(), String> {
    let file = format!("{FOLDER}/{name}");
    std::fs::write(&file, text).map_err(|error| format!("{text:?} to {file}: {error}"))
}

/// How often each point has fired since boot.
fn counts() -> BTreeMap<String, u64> {
    let table = std::fs::read_to_string(format!("{FOLDER}/points")).unwrap_or_default();
    let row = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.nth(1)?.parse().ok()?))
    };
    table.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
}
