//! The host double of the machine: page tables in a map, user memory in the host's own, and a scripted
//! program in place of ring 3. So a syscall can be tested, fuzzed and run under a checker with no machine.
//!
//! | module | subject |
//! |---|---|
//! | [`machine`](mod@machine) | the machine that [`install`] sets up: clock, entropy, frames |
//! | [`table`] | page tables |
//! | [`script`] | programs: closures that stand at addresses |
//! | [`file`](mod@file) | files that are only bytes |
//! | [`fpu`] | floating-point state that is only bytes |

pub mod file;
pub mod fpu;
pub mod machine;
pub mod script;
pub mod table;

pub use machine::{block_on, frames, install};
pub use script::{Memory, code};
