//! The guest suite: cases that pass on Linux and have to pass in Kairos.
//!
//! `sys` is a thin typed layer over raw system calls, `harness` runs each case in a process of
//! its own with a deadline, `cases` holds the cases, one module per subject, and `probe` the small
//! programs that a case gets by executing this same binary again.

#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "`ioctl` takes what a raw call takes, a number or a reference: without its `&` a result would go nowhere"
)]

#[macro_use]
mod sys;
#[macro_use]
mod harness;
mod cases;
#[path = "../planted/mod.rs"]
pub mod planted;
mod probe;

/// The whole program: parses the command line, runs the selected cases (or one probe) and
/// returns the exit status: 0, 1 when a case failed, 2 for a wrong command line.
pub fn run(arguments: Vec<std::ffi::OsString>) -> i32 {
    if let Some(status) = probe::run(&arguments) {
        return status;
    }
    harness::main(&arguments, cases::SUITES)
}
