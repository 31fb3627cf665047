//! The cases, one module per subject.

use crate::harness::Case;

mod basic;
mod exec;
mod pipe;
mod process;
mod session;
mod signal;
mod signal_frame;

/// Every table of cases, in the order in which they run.
pub(crate) const TABLES: &[&[Case]] = &[
    basic::CASES,
    pipe::CASES,
    process::CASES,
    exec::CASES,
    session::CASES,
    signal::CASES,
];
