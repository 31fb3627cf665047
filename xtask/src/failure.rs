//! What a person is told on stderr when a run did not end by itself.

use std::fs;
use std::path::Path;

use crate::outcome::Outcome;
use crate::run_directory::RunDirectory;
use crate::symbols::Symbols;

/// So many lines of the kernel's log are shown.
const LOG_LINES: usize = 100;

/// Prints what went wrong and the end of the kernel's log, with names for its addresses.
pub(crate) fn explain(outcome: &Outcome, directory: &RunDirectory, kernel: &Path) {
    let what = match outcome {
        Outcome::Exit(_) => return,
        Outcome::Interrupted => {
            eprintln!("xtask: the run was interrupted");
            return;
        }
        Outcome::Timeout => {
            "the run took longer than --timeout, or was silent for longer than --stall".to_owned()
        }
        Outcome::Panic(message) => format!("the kernel panicked: {message}"),
        Outcome::Deadlock(message) => format!("deadlock: {message}"),
        Outcome::QemuFailed(message) => message.clone(),
    };
    let log = directory.file("kernel.log");
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    let lines: Vec<_> = text.lines().collect();
    let symbols = Symbols::load(kernel).ok();
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
        match &symbols {
            Some(symbols) => eprintln!("| {}", symbols.annotate(line)),
            None => eprintln!("| {line}"),
        }
    }
    let said = fs::read_to_string(directory.file("qemu.log")).unwrap_or_default();
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        eprintln!("qemu: {line}");
    }
    eprintln!("xtask: {what}\nxtask: everything about the run is in {}", directory.path().display());
}
