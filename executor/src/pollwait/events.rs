//! What happened, and why a wait ended.

use bitflags::bitflags;

bitflags! {
    /// Poll events, with the bits of Linux's `poll(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Events: u32 {
        /// There is data to read.
        const IN = 0x1;
        /// There is an exceptional condition, such as out-of-band data.
        const PRI = 0x2;
        /// Writing is possible.
        const OUT = 0x4;
        /// An error; reported whether asked for or not.
        const ERR = 0x8;
        /// The other end hung up; reported whether asked for or not.
        const HUP = 0x10;
        /// Not an open descriptor; reported whether asked for or not.
        const NVAL = 0x20;
        /// Normal data to read.
        const RDNORM = 0x40;
        /// Priority data to read.
        const RDBAND = 0x80;
        /// Normal data may be written.
        const WRNORM = 0x100;
        /// Priority data may be written.
        const WRBAND = 0x200;
        /// A message is there (never set by Linux).
        const MSG = 0x400;
        /// A stream's peer shut down its writing half.
        const RDHUP = 0x2000;
    }
}

impl Events {
    /// The events that reach a waiter whatever it asked for.
    pub const ALWAYS: Events = Events::ERR.union(Events::HUP).union(Events::NVAL);

    /// True when a waiter with `interest` is concerned by these events.
    ///
    /// A wake without any event ("something changed") concerns everybody.
    #[inline]
    #[must_use]
    pub const fn concern(self, interest: Events) -> bool {
        self.is_empty() || self.intersects(interest.union(Events::ALWAYS))
    }
}

/// Why a wait ended. Results never depend on it, save for [`Signal`](Reason::Signal) and
/// [`Timeout`](Reason::Timeout); traces, counters and the wait graph do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Something changed: look again.
    Data = 1,
    /// The other end hung up: look again.
    Hup = 2,
    /// The object is closed: look again, nothing will change any more.
    Close = 3,
    /// The waiting task was interrupted (a Unix signal, nothing else).
    Signal = 4,
    /// The deadline passed.
    Timeout = 5,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Reason; 5] = [Reason::Data, Reason::Hup, Reason::Close, Reason::Signal, Reason::Timeout];

    /// The reason that `events` tell when the waker names none.
    #[must_use]
    pub const fn of(events: Events) -> Reason {
        if events.contains(Events::HUP) { Reason::Hup } else { Reason::Data }
    }

    /// The lower-case name used in traces and counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Data => "data",
            Reason::Hup => "hup",
            Reason::Close => "close",
            Reason::Signal => "signal",
            Reason::Timeout => "timeout",
        }
    }

    /// The reason with this number; `Data` ("look again") for a number that is none.
    #[inline]
    pub(crate) const fn from_number(number: u8) -> Reason {
        match number {
            2 => Reason::Hup,
            3 => Reason::Close,
            4 => Reason::Signal,
            5 => Reason::Timeout,
            _ => Reason::Data,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn errors_and_hang_ups_reach_everybody() {
        assert!(Events::HUP.concern(Events::IN));
        assert!(Events::ERR.concern(Events::empty()));
        assert!(!Events::OUT.concern(Events::IN));
        assert!(Events::empty().concern(Events::empty()));
    }

    #[test]
    fn reasons_survive_their_numbers() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason as u8), reason);
        }
        assert_eq!(Reason::of(Events::IN | Events::HUP), Reason::Hup);
    }
}
