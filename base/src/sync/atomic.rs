//! Atomics; under a model checker, such as it can see.

#[cfg(not(any(loom, shuttle)))]
pub use core::sync::atomic::*;

#[cfg(loom)]
pub use loom::sync::atomic::*;

#[cfg(shuttle)]
pub use super::schedules::atomic::*;
