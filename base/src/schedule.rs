//! When a timer expires next, and how often it has: plain data over readings of some clock.

use core::time::Duration;

/// The next expiration and the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Reading of the clock at which it expires next; `None` when it is disarmed.
    pub expiry: Option<Duration>,
    /// Period; zero for a timer that expires once.
    pub interval: Duration,
}

/// What a timer shows, and what it is set to: `itimerval`, `itimerspec`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Time to the next expiration; zero when it is disarmed.
    pub value: Duration,
    /// Period; zero for a timer that expires once.
    pub interval: Duration,
}

impl Schedule {
    /// The schedule that `setting` asks for at the reading `now`; with `absolute` its value is a reading.
    #[must_use]
    pub fn new(setting: Setting, absolute: bool, now: Duration) -> Schedule {
        match setting.value {
            Duration::ZERO => Schedule::default(),
            value if absolute => Schedule { expiry: Some(value), interval: setting.interval },
            value => Schedule { expiry: Some(now.saturating_add(value)), interval: setting.interval },
        }
    }

    /// True when an expiration is due at `now`.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.expiry.is_some_and(|expiry| expiry <= now)
    }

    /// Moves past every expiration up to `now`; gives how many there were.
    pub fn expire(&mut self, now: Duration) -> u64 {
        let Some(expiry) = self.expiry.filter(|expiry| *expiry <= now) else { return 0 };
        if self.interval.is_zero() {
            self.expiry = None;
            return 1;
        }
        let interval = self.interval.as_nanos();
        let periods = (now - expiry).as_nanos() / interval + 1;
        let ahead = periods.saturating_mul(interval);
        self.expiry = Some(expiry.saturating_add(from_nanos(ahead)));
        u64::try_from(periods).unwrap_or(u64::MAX)
    }

    /// Time to the next expiration after `now`; zero when there is none.
    #[must_use]
    pub fn remaining(&self, now: Duration) -> Duration {
        let mut ahead = *self;
        ahead.expire(now);
        ahead.expiry.map_or(Duration::ZERO, |expiry| expiry.saturating_sub(now))
    }
}

fn from_nanos(nanoseconds: u128) -> Duration {
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
    let fraction = u32::try_from(nanoseconds % 1_000_000_000).unwrap_or(0);
    Duration::new(seconds, fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_late_look_counts_every_period() {
        let mut schedule = Schedule::new(Setting { value: ms(10), interval: ms(3) }, false, ms(100));
        assert_eq!(schedule.remaining(ms(104)), ms(6));
        assert_eq!(schedule.expire(ms(109)), 0);
        assert_eq!(schedule.expire(ms(110)), 1);
        assert_eq!(schedule.expire(ms(122)), 4);
        assert_eq!(schedule.expiry, Some(ms(125)));
        assert_eq!(schedule.remaining(ms(126)), ms(2), "overdue by one");
    }

    #[test]
    fn one_that_expires_once_is_disarmed_by_it() {
        let mut schedule = Schedule::new(Setting { value: ms(10), interval: ms(0) }, true, ms(100));
        assert!(schedule.is_due(ms(100)));
        assert_eq!((schedule.expire(ms(100)), schedule.expire(ms(100))), (1, 0));
        assert_eq!(
            Schedule::new(Setting { value: ms(0), interval: ms(5) }, false, ms(1)),
            Schedule::default()
        );
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        let mut schedule = Schedule { expiry: Some(Duration::ZERO), interval: Duration::from_nanos(1) };
        assert_eq!(schedule.expire(Duration::MAX), u64::MAX);
        assert!(schedule.expiry >= Some(Duration::from_secs(u64::MAX)));
    }
}
