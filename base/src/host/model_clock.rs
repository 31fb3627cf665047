//! The clock of a model under the checker shuttle: time passes when the model says so.
//!
//! It never goes back, from one run of the model to the next either: timers of a wheel may stand on it.

use core::cell::Cell;
use core::time::Duration;

use crate::time::Instant;

std::thread_local!(static NOW: Cell<u64> = const { Cell::new(1) });

/// The time now.
#[must_use]
pub fn now() -> Instant {
    Instant::from_nanos(NOW.get())
}

/// Lets `time` pass; the time then.
///
/// # Panics
///
/// When more than five centuries have passed.
pub fn advance(time: Duration) -> Instant {
    NOW.set(NOW.get() + u64::try_from(time.as_nanos()).expect("less than five centuries"));
    now()
}
