//! The processor: entry, traps, user mode, other CPUs.
//!
//! | module | subject |
//! |---|---|
//! | [`boot`] | from the PVH entry to Rust, and what the loader says |
//! | [`layout`] | the kernel's half of the address space |
//! | [`features`] | what the processor can do, and turning it on |
//! | [`cpu_info`] | what the processor says of itself, for `/proc/cpuinfo` |
//! | [`cpu_area`] | what belongs to one CPU, behind GS |
//! | [`segments`] | GDT, TSS and IDT |
//! | [`stacks`] | each CPU's stacks and their guard pages |
//! | [`trap`] | the entry stubs, expected faults, interrupt vectors |
//! | [`user`] | `run_user` |
//! | [`user_copy`] | copies to and from user memory |
//! | [`fpu`] | floating-point state, owned per CPU |
//! | [`fatal`], [`nmi`], [`backtrace`], [`emergency`] | panics and dumps |
//! | `points` | patching the sites of fault points and trace points |
//! | [`power`] | the result record and the end of the run |

mod backtrace;
pub mod boot;
pub mod cpu_area;
pub mod cpu_info;
pub mod emergency;
pub mod fatal;
pub mod features;
pub mod fpu;
pub mod layout;
pub mod machine;
pub mod nmi;
mod points;
pub mod power;
pub mod segments;
pub mod smp;
pub mod stacks;
pub mod trap;
mod user;
pub mod user_copy;
pub mod vdso;
