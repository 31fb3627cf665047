//! `timespec` and `timeval` in user memory: two 64-bit words each.

use core::time::Duration;

use base::memory::UserMemory;
use base::{Errno, Result};

use crate::declare::Pointer;
use crate::user::{read_words, write_words};

/// Reads a `timespec` that must be a span or a time since the epoch.
///
/// # Errors
///
/// `EFAULT`; `EINVAL` for negative seconds, or nanoseconds outside 0..10^9.
pub async fn read_timespec(memory: &dyn UserMemory, at: Pointer) -> Result<Duration> {
    let [seconds, nanoseconds] = read_words::<2>(memory, at.0).await?;
    from_parts(seconds, nanoseconds, 1)
}

/// Reads a `timeval`.
///
/// # Errors
///
/// `EFAULT`; `EINVAL` for negative seconds, or microseconds outside 0..10^6.
pub async fn read_timeval(memory: &dyn UserMemory, at: Pointer) -> Result<Duration> {
    let [seconds, microseconds] = read_words::<2>(memory, at.0).await?;
    from_parts(seconds, microseconds, 1000)
}

/// Writes a `timespec`.
///
/// # Errors
///
/// `EFAULT`.
pub async fn write_timespec(memory: &dyn UserMemory, at: Pointer, time: Duration) -> Result<()> {
    write_words(memory, at.0, &[time.as_secs(), time.subsec_nanos().into()]).await
}

/// Writes a `timeval`.
///
/// # Errors
///
/// `EFAULT`.
pub async fn write_timeval(memory: &dyn UserMemory, at: Pointer, time: Duration) -> Result<()> {
    write_words(memory, at.0, &[time.as_secs(), time.subsec_micros().into()]).await
}

/// A duration from seconds and a fraction counted in units of `unit` nanoseconds.
///
/// # Errors
///
/// `EINVAL` when one of them is out of range.
pub fn from_parts(seconds: u64, fraction: u64, unit: u64) -> Result<Duration> {
    let in_range = i64::try_from(seconds).is_ok() && fraction < 1_000_000_000 / unit;
    let nanoseconds = u32::try_from(fraction.saturating_mul(unit)).map_err(|_| Errno::EINVAL)?;
    if in_range { Ok(Duration::new(seconds, nanoseconds)) } else { Err(Errno::EINVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_whole_second_is_refused() {
        assert_eq!(from_parts(1, 999_999, 1000), Ok(Duration::new(1, 999_999_000)));
        assert_eq!(from_parts(1, 1_000_000, 1000), Err(Errno::EINVAL));
        assert_eq!(from_parts(u64::MAX, 0, 1), Err(Errno::EINVAL));
        assert_eq!(from_parts(0, u64::MAX, 1), Err(Errno::EINVAL));
    }
}
