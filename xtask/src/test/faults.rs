//! Suites' short forms under faults: calls may fail as their contracts allow, but nothing leaks and nobody sleeps who
//! could go on. See docs/faults.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

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
/// Runs under random faults, at scale 1 and at most, and in one guest.
const RUNS: (u32, u32) = (50, 2000);
const RUNS_IN_A_GUEST: u32 = 50;
/// Suites of which those are short runs.
const SUITES: [&str; 5] = ["process", "signal", "vfs", "epoll", "ipc"];
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

/// Short runs of some suites under points that follow from the seed of each.
pub(super) fn at_random(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    const STEP: &str = "fault-runs";
    let mut coverage = Coverage::default();
    let last = (RUNS.0 * options.scale).min(RUNS.1);
    for first in (1..=last).step_by(RUNS_IN_A_GUEST as usize) {
        let seeds = format!("{first}..{}", last.min(first + RUNS_IN_A_GUEST - 1));
        if tally.wants(STEP, &seeds) {
            let mut arguments = vec!["--runs", &seeds];
            SUITES.iter().for_each(|suite| arguments.extend(["--suite", suite]));
            tally.record(STEP, &seeds, in_guest(options, &arguments, &mut coverage)?);
        }
    }
    coverage.save("fault-runs.txt")
}

/// The names of the points, as the kernel has them.
fn points(options: &TestOptions) -> Result<Vec<String>> {
    let mut command = kairos_run(options)?;
    command.args(["--", "cat", "/sys/kernel/fault_inject/points"]);
    let captured = process::capture(&mut command, b"", LIMIT)?;
    let table = String::from_utf8_lossy(&captured.stdout).into_owned();
    let name = |line: &str| line.split(' ').next().map(str::to_owned);
    let points: Vec<String> = table.lines().filter(|line| !line.starts_with('#')).filter_map(name).collect();
    ensure!(!points.is_empty(), "the kernel names no points: {}", captured.finished.describe());
    Ok(points)
}

/// The short forms of all suites while `point` strikes.
fn under(options: &TestOptions, point: &str, seed: u32, coverage: &mut Coverage) -> Result<Verdict> {
    let (faults, seed) = (format!("{point}:{PROBABILITY}"), seed.to_string());
    in_guest(options, &["--short", "--faults", &faults, "--seed", &seed], coverage)
}

/// The suite with these arguments, in a guest of its own.
fn in_guest(options: &TestOptions, arguments: &[&str], coverage: &mut Coverage) -> Result<Verdict> {
    let mut command = kairos_run(options)?;
    command.args(["--smp", "2", "--timeout", &LIMIT.as_secs().to_string(), "--overlay"]);
    command.arg(build::suite_overlay()?).args(["--", SUITE, "--deadline", "10"]).args(arguments);
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
    let mut run = None;
    for line in output.lines() {
        run = if line.starts_with("run ") { Some(line) } else { run };
        in_details = line.contains(" ... FAILED") || in_details && line.starts_with("    ");
        if in_details || line.starts_with("no fault was injected") {
            run.take().into_iter().for_each(|run| details.extend([run, "\n"]));
            let _ = writeln!(details, "{line}");
        }
    }
    // The run in which the machine went down.
    run.into_iter().for_each(|run| details.extend([run, "\n"]));
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
