//! The suite under fault injection: cases run marked (`make-it-fail`), so that points strike in them and in what
//! they start, and never in the harness.
//!
//! A case may then fail: its calls do, and a process may wait for ever for another that ended. What must hold all the
//! same is that the machine goes on, that nothing of the case stays behind, and that nobody is left asleep who could
//! go on.

use super::run::{process_table, wait_with_deadline};
use crate::sys::{kill, sleep_a_tick};
use std::collections::BTreeMap;

const FOLDER: &str = "/sys/kernel/fault_inject";

/// What `--faults` asks for: `POINT[:SETTING]`, in the words of the kernel's command line.
pub(super) struct Faults {
    wanted: Vec<(String, String)>,
    /// How often each point fired in the cases of each group.
    fired: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Faults {
    /// Fails with what is wrong about `specs`.
    pub(super) fn new(specs: &[String], seed: u64) -> Result<Faults, String> {
        let mut faults = Faults { wanted: Vec::new(), fired: BTreeMap::new() };
        faults.change(specs);
        faults.begin(seed)?;
        faults.end();
        Ok(faults)
    }

    /// Asks for others from now on; what is counted stays.
    pub(super) fn change(&mut self, specs: &[String]) {
        let split = |spec: &String| {
            let (point, setting) = spec.split_once(':').unwrap_or((spec, "p=1"));
            (point.to_owned(), format!("{setting},marked"))
        };
        self.wanted = specs.iter().map(split).collect();
    }

    /// The names of the points that there are.
    pub(super) fn points() -> Vec<String> {
        counts().into_keys().collect()
    }

    /// True when something is asked for.
    pub(super) fn are_on(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Lets the points strike who is marked, as follows from the seed.
    pub(super) fn begin(&self, seed: u64) -> Result<(), String> {
        if self.are_on() {
            write("seed", &seed.to_string())?;
        }
        self.wanted.iter().try_for_each(|(point, setting)| write(point, setting))
    }

    /// Takes the settings back.
    pub(super) fn end(&self) {
        if self.are_on() {
            // The harness is not marked, so this works.
            let _ = write("all", "off");
        }
    }

    /// Runs a case of `group`, and counts what fired meanwhile.
    pub(super) fn watch<R>(&mut self, group: &str, run: impl FnOnce() -> R) -> R {
        if !self.are_on() {
            return run();
        }
        let before = counts();
        let result = run();
        for (point, after) in counts() {
            let fired = after - before.get(&point).unwrap_or(&0);
            let row = self.fired.entry(point).or_default();
            *row.entry(group.to_owned()).or_default() += fired;
        }
        result
    }

    /// Prints which point fired how often in which group. The points that were asked for and never fired are the
    /// answer.
    pub(super) fn report(&self) -> Vec<&str> {
        if !self.are_on() {
            return Vec::new();
        }
        println!("\n# schema=fault_coverage_v1\n# point total group=fired...");
        let total = |row: &BTreeMap<String, u64>| row.values().sum::<u64>();
        for (point, row) in &self.fired {
            print!("{point} {}", total(row));
            row.iter()
                .filter(|(_, fired)| **fired > 0)
                .for_each(|(subject, fired)| print!(" {subject}={fired}"));
            println!();
        }
        let is_silent = |wanted: &&str| {
            let mut rows =
                self.fired.iter().filter(|(point, _)| *wanted == "all" || *wanted == point.as_str());
            rows.all(|(_, row)| total(row) == 0)
        };
        self.wanted.iter().map(|(point, _)| point.as_str()).filter(is_silent).collect()
    }
}

/// This process, and what it starts, suffers from now on.
pub(super) fn mark() {
    std::fs::write("/proc/self/make-it-fail", "1").expect("make-it-fail");
}

/// Makes every call of the group that waits look again, by stopping and continuing it. True when the case ends now:
/// somebody had not been woken for what was there.
pub(super) fn goes_on_when_stirred(group: i32) -> bool {
    /// For what is left to do.
    const SECONDS: u64 = 3;
    let _ = kill(-group, libc::SIGSTOP);
    sleep_a_tick();
    // A call that starts again must not end with a fault now.
    unmark(group);
    let _ = kill(-group, libc::SIGCONT);
    wait_with_deadline(group, SECONDS).is_some()
}

/// The processes of the group suffer no longer.
fn unmark(group: i32) {
    for (pid, ..) in process_table().into_iter().filter(|(.., its_group, _)| *its_group == group) {
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            // It may be gone.
            let _ = std::fs::write(thread.path().join("make-it-fail"), "0");
        }
    }
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
