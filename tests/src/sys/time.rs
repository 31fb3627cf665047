//! Clocks and sleeping.

use super::{Sys, zeroed};
use libc::timespec;

pub(crate) const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A `timespec` of so many milliseconds.
pub(crate) fn milliseconds(count: i64) -> timespec {
    timespec { tv_sec: count / 1000, tv_nsec: count % 1000 * 1_000_000 }
}

pub(crate) fn nanoseconds(time: timespec) -> i64 {
    time.tv_sec * NANOS_PER_SECOND + time.tv_nsec
}

/// The time of a clock by system call (not by the vDSO), in nanoseconds.
pub(crate) fn clock_now(clock: i32) -> Sys<i64> {
    let mut now: timespec = zeroed();
    syscall!(SYS_clock_gettime, clock, &mut now)?;
    Ok(nanoseconds(now))
}

/// CLOCK_MONOTONIC in nanoseconds.
pub(crate) fn monotonic() -> i64 {
    clock_now(libc::CLOCK_MONOTONIC).expect("clock_gettime")
}

/// The pause between two looks at a condition.
pub(crate) fn sleep_a_tick() {
    let _ = syscall!(SYS_nanosleep, &milliseconds(1), 0);
}
