//! Instants of the monotonic clock.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on the monotonic clock: nanoseconds since the machine booted.
///
/// 64 bits last for 584 years, so additions saturate instead of wrapping: a
/// deadline that a program put beyond the end of time is simply never reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The moment of boot.
    pub const BOOT: Instant = Instant(0);
    /// Later than every deadline that can be reached.
    pub const FAR_FUTURE: Instant = Instant(u64::MAX);

    /// The instant `nanoseconds` after boot.
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Instant(nanoseconds)
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`, zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, span: Duration) -> Instant {
        let nanoseconds = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanoseconds))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_beyond_the_end_of_time_saturates() {
        let far = Instant::from_nanos(5) + Duration::from_secs(u64::MAX);
        assert_eq!(far, Instant::FAR_FUTURE);
    }

    #[test]
    fn a_difference_never_goes_below_zero() {
        assert_eq!(Instant::from_nanos(3) - Instant::from_nanos(9), Duration::ZERO);
    }
}
