//! Atomics; under the model checker, the checker's own.

#[cfg(not(loom))]
pub use core::sync::atomic::*;

#[cfg(loom)]
pub use loom::sync::atomic::*;
