//! What holds across modules, named after the list of properties that every implementation must have.

mod channels;
mod concurrency;
mod lineage;
mod model;
mod ports;
mod tables;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use crate::selftest::support;

/// Held by the tests that run the collector, which looks at the endpoints of all tests, and by those that leave some
/// for it that they still count on.
fn collections() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closed; a collector that another test runs may hold it for a moment longer.
fn is_gone(id: u32) -> bool {
    crate::object::registry::lookup(id).is_none_or(|object| !object.channel().unwrap().status().is_open)
}
