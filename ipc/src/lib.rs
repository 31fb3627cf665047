//! Capabilities: kernel objects, the handles that reach them, and the ways in which they move.
//!
//! | module | subject |
//! |---|---|
//! | [`object`] | what a handle can name: identity, lifecycle, histories, the registry |
//! | [`rights`] | what a handle allows, and the one predicate that decides |
//! | [`lineage`] | who was derived from whom, and revocation |
//! | [`capability`] | one capability, held or in flight, as a value with a `Drop` |
//! | [`table`] | a process's handles: reserve, commit, abort, duplicate, fork, sweep |
//! | [`channel`] | pairs of endpoints with message queues |
//! | [`port`] | queues of packets that tell which channels have news |
//! | [`wait`] | waiting for objects by their readiness |
//! | [`file`] | open files as objects; `fs` implements the trait |
//! | [`collector`] | endpoints that only lie in each other's queues |
//! | [`teardown`] | what is dropped from queues, without recursion |
//! | [`stats`] | the counters of `/sys/ipc/stats` |
//! | `trace` | trace points |
//! | [`report`] | the text files about all of it |
//! | `selftest` | tests that run on the host and in the kernel |
//!
//! The life of a capability in motion is three types, so that it is owned by exactly one value:
//!
//! ```text
//!             reserve                 commit                  install
//!   in a slot -------> table::Reserved ------> capability::InFlight ------> in another slot
//!       ^                 | drop                   | drop
//!       +-----------------+ usable again           v  recorded DROP, pruned from the lineage
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod capability;
pub mod channel;
pub mod collector;
pub mod file;
pub mod lineage;
pub mod object;
pub mod port;
pub mod report;
pub mod rights;
pub mod stats;
pub mod table;
pub mod teardown;
mod trace;
pub mod wait;

pub use capability::{Capability, InFlight};
pub use lineage::{CapId, CapNode};
pub use object::{ObjectKind, ObjectRef};
pub use rights::{AccessOp, Rights};
pub use table::{Access, HandleTable};

/// Starts the tasks of this crate. Called once, on a CPU of the executor, before there are programs.
pub fn start() {
    collector::start();
    teardown::start();
}

/// True when the collector has looked at everything that it was asked to look at.
#[must_use]
pub fn is_settled() -> bool {
    collector::is_settled()
}

/// Gives back what is kept because it may be needed again: free message blocks, room for capabilities. Called without
/// locks.
pub fn shrink() {
    channel::drain_pool();
    lineage::shrink();
}

#[cfg(all(test, shuttle))]
mod models;
#[cfg(any(test, feature = "selftest"))]
pub mod selftest;
#[cfg(test)]
mod tests;
