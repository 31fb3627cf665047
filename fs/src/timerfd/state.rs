//! How a timer descriptor stands: plain data over readings of its clock.
//!
//! As on Linux a timer with a period rests when it has expired, until somebody reads it or looks at it: the
//! periods since then are counted at that moment. So a program cannot have the machine work for expirations
//! that nobody asks for.

use core::time::Duration;

use base::schedule::{Schedule, Setting};

/// What the last `timerfd_settime(2)` asked for, and what has happened since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) schedule: Schedule,
    /// The schedule is in readings of the wall clock.
    pub(super) wall: bool,
    /// Expirations that were counted already.
    pub(super) ticks: u64,
    /// The schedule's expiry has been counted; a periodic timer rests.
    pub(super) expired: bool,
    /// The wall clock being set ends reads and settings.
    pub(super) cancels: bool,
    /// It was set since the last read.
    pub(super) cancelled: bool,
    /// Flags of the last setting, for the description.
    pub(super) flags: u32,
}

impl State {
    /// True when a read has something to say at the reading `now`.
    pub(super) fn is_readable(&self, now: Duration) -> bool {
        self.ticks > 0 || self.cancels && self.cancelled || self.is_due(now)
    }

    /// True when the next expiration has come and was not counted.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        !self.expired && self.schedule.is_due(now)
    }

    /// Counts the expiration that is due; true when there was one.
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let due = self.is_due(now);
        if due {
            self.expired = true;
            self.ticks = self.ticks.saturating_add(1);
        }
        due
    }

    /// A periodic timer that rests goes on; the periods that it missed are counted.
    pub(super) fn go_on(&mut self, now: Duration) {
        if self.expired && !self.schedule.interval.is_zero() {
            let missed = self.schedule.expire(now).saturating_sub(1);
            self.ticks = self.ticks.saturating_add(missed);
            self.expired = false;
        }
    }

    /// The expirations up to `now`, which are then no more; 0 when there were none.
    pub(super) fn take(&mut self, now: Duration) -> u64 {
        self.expire(now);
        if self.ticks == 0 {
            return 0;
        }
        self.go_on(now);
        core::mem::take(&mut self.ticks)
    }

    /// The change of the wall clock that a read or setting has to tell, once.
    pub(super) fn take_cancelled(&mut self) -> bool {
        self.cancels && core::mem::take(&mut self.cancelled)
    }

    /// Time to the next expiration, and the period.
    pub(super) fn setting(&self, now: Duration) -> Setting {
        let value = if self.expired { Duration::ZERO } else { self.schedule.remaining(now) };
        Setting { value, interval: self.schedule.interval }
    }

    /// The reading at which the machine has to look again; `None` while it rests or is disarmed.
    pub(super) fn next(&self) -> Option<Duration> {
        self.schedule.expiry.filter(|_| !self.expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn armed(value: u64, interval: u64) -> State {
        let setting = Setting { value: ms(value), interval: ms(interval) };
        State { schedule: Schedule::new(setting, false, ms(0)), ..State::default() }
    }

    #[test]
    fn a_period_is_counted_when_somebody_looks() {
        let mut state = armed(10, 5);
        assert_eq!((state.is_readable(ms(9)), state.is_readable(ms(10))), (false, true));
        assert!(state.expire(ms(10)));
        assert!(!state.expire(ms(11)), "it rests");
        assert_eq!(state.next(), None);
        assert_eq!(state.take(ms(27)), 4);
        assert_eq!((state.next(), state.take(ms(27))), (Some(ms(30)), 0));
        assert_eq!(state.take(ms(30)), 1, "nobody told it");
    }

    #[test]
    fn looking_at_it_has_it_go_on_and_keeps_the_count() {
        let mut state = armed(10, 5);
        state.expire(ms(10));
        state.go_on(ms(21));
        assert_eq!(state.setting(ms(21)), Setting { value: ms(4), interval: ms(5) });
        assert_eq!(state.take(ms(21)), 3);
    }

    #[test]
    fn one_that_expires_once_shows_nothing_afterwards() {
        let mut state = armed(10, 0);
        assert_eq!(state.setting(ms(4)).value, ms(6));
        assert_eq!((state.take(ms(50)), state.take(ms(60))), (1, 0));
        assert_eq!((state.setting(ms(60)), state.next()), (Setting::default(), None));
    }

    #[test]
    fn a_cancellation_is_told_once_and_only_to_those_who_asked() {
        let mut state = State { cancelled: true, ..armed(10, 0) };
        assert!(!state.is_readable(ms(0)) && !state.take_cancelled());
        state.cancels = true;
        assert!(state.is_readable(ms(0)));
        assert_eq!((state.take_cancelled(), state.take_cancelled()), (true, false));
    }
}
