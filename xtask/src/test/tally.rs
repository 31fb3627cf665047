//! Counting and printing the results of cases.

use std::io::Write;
use std::time::Instant;

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// With the reason.
    Skipped(String),
    /// With what is known about it, perhaps many lines, perhaps none.
    Failed(String),
}

/// The results so far.
pub(crate) struct Tally {
    filter: Option<String>,
    passed: usize,
    skipped: usize,
    failed: Vec<String>,
    started: Instant,
}

impl Tally {
    /// Only cases whose full name contains `filter` are counted.
    pub(super) fn new(filter: Option<String>) -> Self {
        Self { filter, passed: 0, skipped: 0, failed: Vec::new(), started: Instant::now() }
    }

    /// Whether the case called `case` of `step` is wanted.
    pub(super) fn wants(&self, step: &str, case: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| format!("{step}:{case}").contains(filter))
    }

    /// Counts and prints a case, if it is wanted.
    pub(super) fn record(&mut self, step: &str, case: &str, verdict: Verdict) {
        if self.wants(step, case) {
            self.record_always(step, case, verdict);
        }
    }

    /// Counts and prints a case that no filter may hide, such as a step that broke.
    pub(super) fn record_always(&mut self, step: &str, case: &str, verdict: Verdict) {
        let name = format!("{step}:{case}");
        match verdict {
            Verdict::Passed => {
                self.passed += 1;
                print(&format!("{name} ... ok"));
            }
            Verdict::Skipped(reason) => {
                self.skipped += 1;
                print(&format!("{name} ... skipped ({reason})"));
            }
            Verdict::Failed(details) => {
                print(&format!("{name} ... FAILED"));
                details.lines().for_each(|line| print(&format!("    {line}")));
                self.failed.push(name);
            }
        }
    }

    /// Prints the totals, the count of the line that ends every test run last; the number of failures.
    pub(super) fn finish(mut self) -> usize {
        if self.passed + self.skipped + self.failed.len() == 0 {
            // A misspelt filter is no success.
            let filter = self.filter.clone().unwrap_or_default();
            self.record_always("test", "selection", Verdict::Failed(format!("nothing matches {filter:?}")));
        }
        if !self.failed.is_empty() {
            print("\nfailed:");
            self.failed.iter().for_each(|name| print(&format!("    {name}")));
        }
        print(&format!("\ntook {} s", self.started.elapsed().as_secs()));
        let skipped = if self.skipped > 0 { format!(", {} skipped", self.skipped) } else { String::new() };
        print(&format!("{} passed, {} failed{skipped}", self.passed, self.failed.len()));
        self.failed.len()
    }
}

/// Prints a line at once; a reader that went away is no reason to stop testing.
pub(super) fn print(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
