//! The syscalls, one file per family: decode, call the subsystem, write back.

use crate::declare::Syscall;

pub mod attributes;
pub mod clocks;
pub mod descriptors;
pub mod directories;
pub mod exec;
pub mod futex;
pub mod identity;
pub mod memory;
pub mod memory_advice;
pub mod paths;
pub mod poll;
pub mod process;
pub mod signals;
pub mod transfer;

/// Every family. A new family is one line here.
pub const ALL: &[&[Syscall]] = &[
    attributes::FAMILY,
    clocks::FAMILY,
    descriptors::FAMILY,
    directories::FAMILY,
    exec::FAMILY,
    futex::FAMILY,
    identity::FAMILY,
    memory::FAMILY,
    memory_advice::FAMILY,
    paths::FAMILY,
    poll::FAMILY,
    process::FAMILY,
    signals::FAMILY,
    transfer::FAMILY,
];
