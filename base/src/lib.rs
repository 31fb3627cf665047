//! What every floor of the house needs, and nothing that knows the hardware.
//!
//! | module | subject |
//! |---|---|
//! | [`errno`] | the Linux error numbers, and the kernel's `Result` |
//! | [`time`] | instants and clocks, in nanoseconds |
//! | [`machine`] | what the floors above ask of the hardware, as one trait |
//! | [`frame`] | reference-counted page frames whose bytes safe code may copy |
//! | [`memory`] | user addresses, user buffers and the copies between them |
//! | [`buddy`] | the bookkeeping of free page frames |
//! | [`slab`] | the heap's size classes and slabs |
//! | [`caller`] | who is asking: credentials, limits, account |
//! | [`decision`] | what a seed decided, as a list that repeats it |
//! | [`charge`] | memory charged before it is allocated |
//! | [`counters`] | named counters for each CPU |
//! | [`current`] | the task under which code runs |
//! | [`fault`] | fault injection |
//! | [`hash`] | hash tables that grow by a few buckets at a time |
//! | [`lifecycle`] | the states of what others may still hold; rare events told rarely |
//! | [`points`] | whether fault points and trace points look at anything |
//! | [`schedule`] | when a timer expires next |
//! | [`sync`] | spin locks with classes, atomics, once cells |
//! | [`trace`] | trace points and the rings of their events |
//! | [`wall_clock`] | the wall clock over the monotonic one |
#![cfg_attr(not(any(loom, shuttle, test, feature = "host")), no_std)]

extern crate alloc;

// The model checker builds only `sync`, `errno`, `time` and the trace ring: its atomics cannot stand in a `static`.

#[cfg(not(loom))]
pub mod buddy;
#[cfg(not(loom))]
pub mod caller;
#[cfg(not(loom))]
pub mod charge;
#[cfg(not(loom))]
pub mod counters;
#[cfg(not(loom))]
pub mod current;
#[cfg(not(loom))]
pub mod decision;
pub mod errno;
#[cfg(not(loom))]
pub mod fault;
#[cfg(not(loom))]
pub mod frame;
#[cfg(not(loom))]
pub mod hash;
#[cfg(all(not(loom), any(test, feature = "host")))]
pub mod host;
#[cfg(not(loom))]
pub mod lifecycle;
#[cfg(not(loom))]
pub mod machine;
#[cfg(not(loom))]
pub mod memory;
#[cfg(not(loom))]
pub mod points;
#[cfg(not(loom))]
pub mod schedule;
#[cfg(not(loom))]
pub mod slab;
pub mod sync;
pub mod time;
pub mod trace;
#[cfg(not(loom))]
pub mod wall_clock;

pub use errno::{Errno, Result};
#[cfg(not(loom))]
pub use machine::machine;
