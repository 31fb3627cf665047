//! The Linux personality: processes, threads, signals, address spaces, and the syscall table.
#![cfg_attr(not(any(test, feature = "host")), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod declare;
pub mod elf;
pub mod families;
pub mod futex;
#[cfg(any(test, feature = "host"))]
pub mod host;
pub mod init;
pub mod machine;
pub mod mm;
pub mod mqueue;
pub mod proc;
pub mod process;
pub mod restart;
pub mod signal;
pub mod system_name;
pub mod sysv;
pub mod table;
pub mod thread;
pub mod time;
pub mod tracepoint;
pub mod user;
pub mod waitgraph;
