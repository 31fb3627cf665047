//! What an item asks for, and what a wait reports. Source: `epoll_ctl(2)`.

use executor::pollwait::Events;

/// Bytes of a `struct epoll_event`, which is packed on x86_64.
pub const RECORD_BYTES: usize = 12;

/// The `events` word of an item: poll events, and how they are to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// At most one of the waiters that share the file exclusively is woken.
    pub const EXCLUSIVE: u32 = 1 << 28;
    /// The machine must not go to sleep while the event is handled: without effect here.
    pub const WAKEUP: u32 = 1 << 29;
    /// Reported once, then disarmed.
    pub const ONESHOT: u32 = 1 << 30;
    /// Reported when something happens, not as long as it lasts.
    pub const EDGE: u32 = 1 << 31;

    const MODES: u32 = Self::EXCLUSIVE | Self::WAKEUP | Self::ONESHOT | Self::EDGE;
    /// What may go together with `EXCLUSIVE`.
    const WITH_EXCLUSIVE: u32 = Self::EXCLUSIVE
        | Self::WAKEUP
        | Self::EDGE
        | Events::IN.union(Events::OUT).union(Events::ERR).union(Events::HUP).bits();

    /// The word that a program passed: `WAKEUP` is dropped, since nothing here goes to sleep, as on a Linux
    /// without suspend.
    #[must_use]
    pub fn from_program(word: u32) -> Interest {
        Interest(word & !Self::WAKEUP)
    }

    /// The same with errors and hang-ups, which are reported whether asked for or not.
    #[must_use]
    pub fn with_always(self) -> Interest {
        Interest(self.0 | Events::ERR.union(Events::HUP).bits())
    }

    /// The word.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The poll events; none for a disarmed item.
    #[must_use]
    pub fn events(self) -> Events {
        Events::from_bits_truncate(self.0 & !Self::MODES)
    }

    /// True with `EDGE`.
    #[must_use]
    pub fn is_edge(self) -> bool {
        self.0 & Self::EDGE != 0
    }

    /// True with `ONESHOT`.
    #[must_use]
    pub fn is_oneshot(self) -> bool {
        self.0 & Self::ONESHOT != 0
    }

    /// True with `EXCLUSIVE`.
    #[must_use]
    pub fn is_exclusive(self) -> bool {
        self.0 & Self::EXCLUSIVE != 0
    }

    /// True when it is not exclusive, or has nothing that exclusive items must not have.
    #[must_use]
    pub fn may_be_exclusive(self) -> bool {
        !self.is_exclusive() || self.0 & !Self::WITH_EXCLUSIVE == 0
    }

    /// What a reported `ONESHOT` leaves: no events at all.
    #[must_use]
    pub fn disarmed(self) -> Interest {
        Interest(self.0 & Self::MODES)
    }
}

/// A `struct epoll_event`.
#[must_use]
pub fn record(events: Events, data: u64) -> [u8; RECORD_BYTES] {
    let [e0, e1, e2, e3] = events.bits().to_ne_bytes();
    let [d0, d1, d2, d3, d4, d5, d6, d7] = data.to_ne_bytes();
    [e0, e1, e2, e3, d0, d1, d2, d3, d4, d5, d6, d7]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusive_goes_with_few_others() {
        let exclusive = |bits: u32| Interest::from_program(bits | Interest::EXCLUSIVE).may_be_exclusive();
        assert!(exclusive(Events::IN.bits() | Interest::EDGE | Interest::WAKEUP));
        assert!(!exclusive(Interest::ONESHOT));
        assert!(!exclusive(Events::RDHUP.bits()));
        assert!(Interest::from_program(Interest::ONESHOT | Events::RDHUP.bits()).may_be_exclusive());
    }

    #[test]
    fn a_disarmed_item_is_concerned_by_nothing() {
        let item = Interest::from_program(Events::IN.bits() | Interest::ONESHOT).with_always();
        assert_eq!(item.events(), Events::IN | Events::ERR | Events::HUP);
        assert_eq!(item.disarmed().events(), Events::empty());
        assert!(item.disarmed().is_oneshot());
    }

    #[test]
    fn a_record_is_packed() {
        let bytes = record(Events::IN | Events::HUP, 0x0102_0304_0506_0708);
        assert_eq!(bytes, [0x11, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    }
}
