//! The syscalls, one file per family: decode, call the subsystem, write back.

use crate::declare::Syscall;

pub mod identity;

/// Every family. A new family is one line here.
pub const ALL: &[&[Syscall]] = &[identity::FAMILY];
