//! Signal numbers and sets of them. Source: `signal(7)`, `sigsetops(3)`.

use base::{Errno, Result};

/// A signal number, 1..=64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $number:literal;)*) => {
        impl Signal {
            $(#[doc = concat!("`", stringify!($name), "`.")] pub const $name: Signal = Signal($number);)*

            /// The symbolic name; `SIGRT` for a real-time signal.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($name),)*
                    _ => "SIGRT",
                }
            }
        }
    };
}

signals! {
    SIGHUP = 1; SIGINT = 2; SIGQUIT = 3; SIGILL = 4; SIGTRAP = 5; SIGABRT = 6; SIGBUS = 7; SIGFPE = 8;
    SIGKILL = 9; SIGUSR1 = 10; SIGSEGV = 11; SIGUSR2 = 12; SIGPIPE = 13; SIGALRM = 14; SIGTERM = 15;
    SIGSTKFLT = 16; SIGCHLD = 17; SIGCONT = 18; SIGSTOP = 19; SIGTSTP = 20; SIGTTIN = 21; SIGTTOU = 22;
    SIGURG = 23; SIGXCPU = 24; SIGXFSZ = 25; SIGVTALRM = 26; SIGPROF = 27; SIGWINCH = 28; SIGIO = 29;
    SIGPWR = 30; SIGSYS = 31;
}

/// First real-time signal, as the kernel counts (glibc keeps the first two to itself).
pub const FIRST_REALTIME: u8 = 32;

impl Signal {
    /// Number of signals.
    pub const COUNT: usize = 64;

    /// The signal with this number.
    ///
    /// # Errors
    ///
    /// `EINVAL` unless it is in 1..=64.
    pub fn new(number: i32) -> Result<Signal> {
        match u8::try_from(number) {
            Ok(n @ 1..=64) => Ok(Signal(n)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Position in tables, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// True for signals that queue every instance.
    #[must_use]
    pub const fn is_realtime(self) -> bool {
        self.0 >= FIRST_REALTIME
    }

    /// What happens when there is no handler.
    #[must_use]
    pub const fn default_action(self) -> DefaultAction {
        match self {
            Signal::SIGCHLD | Signal::SIGURG | Signal::SIGWINCH => DefaultAction::Ignore,
            Signal::SIGCONT => DefaultAction::Continue,
            Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU => DefaultAction::Stop,
            Signal::SIGQUIT
            | Signal::SIGILL
            | Signal::SIGTRAP
            | Signal::SIGABRT
            | Signal::SIGBUS
            | Signal::SIGFPE
            | Signal::SIGSEGV
            | Signal::SIGXCPU
            | Signal::SIGXFSZ
            | Signal::SIGSYS => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }
}

impl core::fmt::Debug for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.is_realtime() {
            true => write!(f, "SIGRT{}", self.0),
            false => f.write_str(self.name()),
        }
    }
}

/// What a signal without a handler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Nothing.
    Ignore,
    /// Continues a stopped process, which happens when the signal is sent; else nothing.
    Continue,
    /// Stops the process.
    Stop,
    /// Ends the process.
    Terminate,
    /// Ends the process, which reports a core dump where one could be written.
    Core,
}

/// A set of signals: bit N-1 for signal N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: SignalSet = SignalSet(0);
    /// `SIGKILL` and `SIGSTOP`, which can be neither blocked, caught nor ignored.
    pub const UNBLOCKABLE: SignalSet = SignalSet::of(&[Signal::SIGKILL, Signal::SIGSTOP]);
    /// Signals whose default action stops.
    pub const STOPS: SignalSet =
        SignalSet::of(&[Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU]);
    /// Signals that an instruction caused; they are delivered before others.
    pub const SYNCHRONOUS: SignalSet = SignalSet::of(&[
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGFPE,
        Signal::SIGSYS,
    ]);

    /// The set of these signals.
    #[must_use]
    pub const fn of(signals: &[Signal]) -> SignalSet {
        let mut bits = 0;
        let mut i = 0;
        while i < signals.len() {
            bits |= 1 << signals[i].index();
            i += 1;
        }
        SignalSet(bits)
    }

    /// True when `signal` is a member.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & (1 << signal.index()) != 0
    }

    /// With `signal`.
    #[must_use]
    pub const fn with(self, signal: Signal) -> SignalSet {
        SignalSet(self.0 | 1 << signal.index())
    }

    /// The union.
    #[must_use]
    pub const fn union(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 | other.0)
    }

    /// Members of this set that are not in `other`.
    #[must_use]
    pub const fn minus(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & !other.0)
    }

    /// Members of both.
    #[must_use]
    pub const fn and(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & other.0)
    }

    /// True when it has no member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest-numbered member.
    #[must_use]
    pub fn first(self) -> Option<Signal> {
        match self.0.trailing_zeros() {
            64 => None,
            #[allow(clippy::cast_possible_truncation, reason = "at most 63")]
            n => Some(Signal(n as u8 + 1)),
        }
    }

    /// The members in ascending order.
    pub fn iter(mut self) -> impl Iterator<Item = Signal> {
        core::iter::from_fn(move || {
            let first = self.first()?;
            self = self.minus(SignalSet::EMPTY.with(first));
            Some(first)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_1_to_64_are_no_signals() {
        for number in [-1, 0, 65, 256, i32::MIN] {
            assert_eq!(Signal::new(number), Err(Errno::EINVAL));
        }
        assert_eq!(Signal::new(64).map(Signal::number), Ok(64));
    }

    #[test]
    fn a_set_lists_its_members_in_order() {
        let set = SignalSet::of(&[Signal::SIGTERM, Signal::SIGHUP]).with(Signal(64));
        let members: Vec<u8> = set.iter().map(Signal::number).collect();
        assert_eq!(members, [1, 15, 64]);
    }
}
