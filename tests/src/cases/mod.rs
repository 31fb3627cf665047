//! The cases, one module per subject.

use crate::harness::Case;

mod basic;
mod descriptor;
mod directory;
mod event;
mod exec;
mod file;
mod futex;
mod fuzz;
mod hostile;
mod interrupt;
mod load;
mod lock;
mod mapped_file;
mod memory;
mod permission;
mod pipe;
mod poll;
mod process;
mod procfs;
mod session;
mod signal;
mod signal_frame;
mod system;
mod terminal;
mod thread;
mod time;

/// Every table of cases, in the order in which they run.
pub(crate) const TABLES: &[&[Case]] = &[
    basic::CASES,
    pipe::CASES,
    process::CASES,
    exec::CASES,
    session::CASES,
    signal::CASES,
    interrupt::CASES,
    thread::CASES,
    futex::CASES,
    memory::CASES,
    mapped_file::CASES,
    descriptor::CASES,
    file::CASES,
    directory::CASES,
    permission::CASES,
    lock::CASES,
    poll::CASES,
    event::CASES,
    time::CASES,
    terminal::CASES,
    procfs::CASES,
    system::CASES,
    hostile::CASES,
    load::CASES,
    fuzz::CASES,
];
