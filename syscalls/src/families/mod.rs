//! The syscalls, one file per family: decode, call the subsystem, write back.

use crate::declare::Syscall;

pub mod clocks;
pub mod exec;
pub mod futex;
pub mod identity;
pub mod memory;
pub mod memory_advice;
pub mod process;
pub mod signals;

/// Every family. A new family is one line here.
pub const ALL: &[&[Syscall]] = &[
    clocks::FAMILY,
    exec::FAMILY,
    futex::FAMILY,
    identity::FAMILY,
    memory::FAMILY,
    memory_advice::FAMILY,
    process::FAMILY,
    signals::FAMILY,
];
