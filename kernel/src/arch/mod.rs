//! The processor: entry, traps, user mode, other CPUs.
//!
//! | module | subject |
//! |---|---|
//! | [`boot`] | from the PVH entry to Rust, and what the loader says |
//! | [`layout`] | the kernel's half of the address space |
//! | [`stacks`] | each CPU's stacks and their guard pages |
//! | [`emergency`] | lock-free output for panics and NMIs |
//! | [`power`] | the result record and the end of the run |

pub mod boot;
pub mod emergency;
pub mod layout;
pub mod power;
pub mod stacks;
