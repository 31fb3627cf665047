//! The Linux personality: processes, threads, signals, address spaces, and the syscall table.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod declare;
pub mod families;
pub mod machine;
pub mod mm;
pub mod process;
pub mod signal;
pub mod table;
pub mod thread;
pub mod user;
