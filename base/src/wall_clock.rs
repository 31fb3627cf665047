//! The wall clock: the monotonic clock plus an offset, which is the time of boot until somebody sets the clock.

use core::time::Duration;

use crate::machine;
use crate::sync::Lazy;
use crate::sync::atomic::{AtomicI64, Ordering};
use crate::time::Instant;

/// Wall-clock time minus monotonic time, in nanoseconds.
static OFFSET: Lazy<AtomicI64> = Lazy::new(|| {
    let boot = machine().wall_clock_at_boot().as_nanos();
    AtomicI64::new(i64::try_from(boot).unwrap_or(i64::MAX))
});

/// Wall-clock time since 1970.
#[must_use]
pub fn now() -> Duration {
    Duration::from_nanos(machine::now().as_nanos().saturating_add_signed(OFFSET.load(Ordering::Relaxed)))
}

/// How far the wall clock is ahead of the monotonic one; zero should it be behind.
#[must_use]
pub fn offset() -> Duration {
    Duration::from_nanos(u64::try_from(OFFSET.load(Ordering::Relaxed)).unwrap_or(0))
}

/// The instant at which the wall clock, as it is set now, will show `time`.
#[must_use]
pub fn when(time: Duration) -> Instant {
    let nanoseconds = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let since_boot = nanoseconds.saturating_sub(OFFSET.load(Ordering::Relaxed));
    Instant::from_nanos(u64::try_from(since_boot).unwrap_or(0))
}

/// Sets the wall clock to `time`. Whoever calls this tells those who wait for it.
pub fn set(time: Duration) {
    let now = i64::try_from(machine::now().as_nanos()).unwrap_or(i64::MAX);
    let target = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    OFFSET.store(target.saturating_sub(now), Ordering::Relaxed);
}
