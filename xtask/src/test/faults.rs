//! Every suite's short form under faults: calls may fail as their contracts allow, but nothing leaks and nobody sleeps
//! who could go on. See docs/faults.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use super::TestOptions;
use super::guest_suite::kairos_run;
use super::process::{self, Finished};
use super::tally::{Tally, Verdict};
use crate::build::{self, SUITE};
use crate::paths;

/// How likely a fault is where it may strike.
const PROBABILITY: &str = "p=0.02";
/// Seeds under which all points strike together, at scale 1 and at most.
const SEEDS_OF_ALL: (u32, u32) = (2, 20);
/// Seeds under which each point strikes alone.
const SEEDS_OF_ONE: u32 = 3;
/// A guest that runs every short form.
const LIMIT: Duration = Duration::from_secs(300);
/// Before the rows of the suite's table.
const SCHEMA: &str = "# schema=fault_coverage_v1";

/// All points together.
pub(super) fn together(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    const STEP: &str = "faults";
    let mut coverage = Coverage::default();
    for seed in 1..=(SEEDS_OF_ALL.0 * options.scale).min(SEEDS_OF_ALL.1) {
        let case = format!("all-{seed}");
        if tally.wants(STEP, &case) {
            tally.record(STEP, &case, under(options, "all", seed, &mut coverage)?);
        }
    }
    coverage.save("faults.txt")
}

/// Each point alone. None may be silent everywhere.
pub(super) fn alone(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    const STEP: &str = "fault-points";
    let mut coverage = Coverage::default();
    for point in points(options)? {
        for seed in 1..=SEEDS_OF_ONE {
            let case = format!("{point}-{seed}");
            if tally.wants(STEP, &case) {
                tally.record(STEP, &case, under(options, &point, seed, &mut coverage)?);
            }
        }
    }
    coverage.save("fault-points.txt")
}

/// The names of the points, as the kernel has them.
fn points(options: &TestOptions) -> Result<Vec<String>> {
    let mut command = kairos_run(options)?;
    command.args(["--", "cat", "/sys/kernel/fault_inject/points"]);
    let captured = process::capture(&mut command, b"", LIMIT)?;
    let table = String::from_utf8_lossy(&captured.stdout).into_owned();
    let name = |line: &str| line.split(' ').next().map(str::to_owned);
    Ok(table.lines().filter(|line| !line.starts_with('#')).filter_map(name).collect())
}

/// The short forms of all suites while `point` strikes.
fn under(options: &TestOptions, point: &str, seed: u32, coverage: &mut Coverage) -> Result<Verdict> {
    let mut command = kairos_run(options)?;
    command.args(["--smp", "2", "--timeout", &LIMIT.as_secs().to_string(), "--overlay"]);
    command.arg(build::suite_overlay()?).args(["--", SUITE, "--short", "--deadline", "10"]);
    command.args(["--faults", &format!("{point}:{PROBABILITY}"), "--seed", &seed.to_string()]);
    let mut output = String::new();
    let finished = process::stream(&mut command, LIMIT * 2, |line| {
        output.push_str(line);
        output.push('\n');
    })?;
    coverage.add(&output);
    Ok(verdict(&finished, &output))
}

fn verdict(finished: &Finished, output: &str) -> Verdict {
    if finished.succeeded() {
        return Verdict::Passed;
    }
    let mut details = format!("{}\n", finished.describe());
    let mut in_details = false;
    for line in output.lines() {
        in_details = line.contains(" ... FAILED") || in_details && line.starts_with("    ");
        if in_details || line.starts_with("no fault was injected") {
            let _ = writeln!(details, "{line}");
        }
    }
    details.push_str(&process::tail(&finished.stderr, 30));
    Verdict::Failed(details)
}

/// How often each point fired in each suite: the sum of the tables of all guests.
#[derive(Default)]
struct Coverage(BTreeMap<String, BTreeMap<String, u64>>);

impl Coverage {
    /// Adds the table that a suite has printed.
    fn add(&mut self, output: &str) {
        let table = output.lines().skip_while(|line| *line != SCHEMA).filter(|line| !line.starts_with('#'));
        for mut words in table.map(|line| line.split(' ')) {
            let (Some(point), Some(Ok(_))) = (words.next(), words.next().map(str::parse::<u64>)) else {
                return;
            };
            let row = self.0.entry(point.to_owned()).or_default();
            let pairs = words.filter_map(|word| word.split_once('='));
            for (suite, fired) in pairs.filter_map(|(suite, fired)| Some((suite, fired.parse::<u64>().ok()?)))
            {
                *row.entry(suite.to_owned()).or_default() += fired;
            }
        }
    }

    /// Writes the sum into `target/kairos`, if there is one.
    fn save(&self, name: &str) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let path = paths::kairos().join(name);
        std::fs::write(&path, self.text()).with_context(|| format!("writing {}", path.display()))
    }

    fn text(&self) -> String {
        let mut text = format!("{SCHEMA}\n# point total group=fired...\n");
        for (point, row) in &self.0 {
            let suites: String = row.iter().map(|(suite, fired)| format!(" {suite}={fired}")).collect();
            let _ = writeln!(text, "{point} {}{suites}", row.values().sum::<u64>());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Coverage;

    #[test]
    fn tables_are_summed() {
        let mut coverage = Coverage::default();
        for fired in [1, 2] {
            coverage.add(&format!(
                "test a ... ok\n\n# schema=fault_coverage_v1\n# point total group=fired...\nkmalloc {fired} ipc={fired}\n\
                 short_read 0\n1 passed, 0 failed"
            ));
        }
        assert_eq!(
            coverage.text(),
            "# schema=fault_coverage_v1\n# point total group=fired...\nkmalloc 3 ipc=3\nshort_read 0\n"
        );
    }
}
