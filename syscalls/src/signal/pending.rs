//! Signals that wait to be delivered: one queue per thread and one per process.
//!
//! A standard signal is pending once however often it is sent; a real-time signal queues every
//! instance, in order. What a queue holds is charged to the process that receives it, up to
//! `RLIMIT_SIGPENDING`; a standard signal that finds no room is still delivered, without its
//! information, as on Linux.

use alloc::collections::VecDeque;

use base::charge::Charge;

use crate::signal::info::{Detail, SI_USER, SigInfo};
use crate::signal::set::{Signal, SignalSet};

/// Signals sent and not yet delivered.
#[derive(Debug, Default)]
pub struct Pending {
    set: SignalSet,
    queue: VecDeque<Queued>,
}

/// One queued signal, with the charge that pays for it.
#[derive(Debug)]
struct Queued {
    info: SigInfo,
    _charge: Option<Charge>,
}

/// What [`Pending::add`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Added {
    /// It is pending now.
    New,
    /// A standard signal that was pending already: nothing changed.
    Already,
}

impl Pending {
    /// Bytes to charge for one queued signal.
    pub const ENTRY_BYTES: usize = size_of::<Queued>();

    /// The pending signals.
    #[must_use]
    pub fn set(&self) -> SignalSet {
        self.set
    }

    /// Number of queued entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True when nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Adds a signal. Without `charge` only the bit is kept, and the delivery tells an empty `SI_USER`.
    pub fn add(&mut self, info: SigInfo, charge: Option<Charge>) -> Added {
        // A timer has one entry at most, also beside a standard signal from somebody else: what takes the
        // entry has the timer go on.
        let already = match info.detail {
            Detail::Timer { id, .. } => self
                .queue
                .iter()
                .any(|queued| matches!(queued.info.detail, Detail::Timer { id: other, .. } if other == id)),
            _ => !info.signal.is_realtime() && self.set.contains(info.signal),
        };
        if already {
            return Added::Already;
        }
        self.set = self.set.with(info.signal);
        if charge.is_some() {
            self.queue.push_back(Queued { info, _charge: charge });
        }
        Added::New
    }

    /// Takes the next deliverable signal: synchronous ones first, then by number, then by age.
    pub fn take(&mut self, blocked: SignalSet) -> Option<SigInfo> {
        let ready = self.set.minus(blocked);
        let signal = ready.and(SignalSet::SYNCHRONOUS).first().or_else(|| ready.first())?;
        Some(self.take_one(signal))
    }

    /// Removes every instance of the signals in `set`.
    pub fn discard(&mut self, set: SignalSet) {
        if !self.set.and(set).is_empty() {
            self.set = self.set.minus(set);
            self.queue.retain(|queued| !set.contains(queued.info.signal));
        }
    }

    /// Removes what the timers of timer_create(2) have sent.
    pub fn discard_timers(&mut self) {
        let is_timer = |queued: &Queued| matches!(queued.info.detail, Detail::Timer { .. });
        let signals_of = |queue: &VecDeque<Queued>| {
            queue.iter().fold(SignalSet::EMPTY, |set, queued| set.with(queued.info.signal))
        };
        let before = signals_of(&self.queue);
        self.queue.retain(|queued| !is_timer(queued));
        // What is left of a queue stays pending, and so do signals that had no entry.
        self.set = self.set.minus(before).union(signals_of(&self.queue));
    }

    fn take_one(&mut self, signal: Signal) -> SigInfo {
        let position = self.queue.iter().position(|queued| queued.info.signal == signal);
        let info = match position.and_then(|at| self.queue.remove(at)) {
            Some(queued) => queued.info,
            None => SigInfo {
                signal,
                code: SI_USER,
                errno: 0,
                detail: Detail::Sender { pid: 0, uid: 0, value: 0 },
            },
        };
        if !self.queue.iter().any(|queued| queued.info.signal == signal) {
            self.set = self.set.minus(SignalSet::EMPTY.with(signal));
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(pending: &mut Pending, number: i32) -> Added {
        pending.add(SigInfo::kernel(Signal::new(number).unwrap()), None)
    }

    #[test]
    fn a_standard_signal_is_pending_once() {
        let mut pending = Pending::default();
        assert_eq!(send(&mut pending, 15), Added::New);
        assert_eq!(send(&mut pending, 15), Added::Already);
        assert!(pending.take(SignalSet::EMPTY).is_some());
        assert!(pending.take(SignalSet::EMPTY).is_none());
    }

    #[test]
    fn what_timers_have_sent_goes_and_nothing_else() {
        let account = base::charge::Account::new();
        let mut pending = Pending::default();
        let mut queue = |signal, detail| {
            let info = SigInfo { detail, ..SigInfo::kernel(signal) };
            let charge = Charge::new(&account, Pending::ENTRY_BYTES).unwrap();
            assert_eq!(pending.add(info, Some(charge)), Added::New);
        };
        queue(Signal::SIGALRM, Detail::Timer { id: 1, overrun: 0, value: 0 });
        queue(Signal::SIGUSR1, Detail::Timer { id: 2, overrun: 0, value: 0 });
        queue(Signal::SIGTERM, Detail::None);
        assert_eq!(send(&mut pending, 1), Added::New);
        pending.discard_timers();
        assert_eq!(pending.set(), SignalSet::of(&[Signal::SIGHUP, Signal::SIGTERM]));
        assert_eq!(pending.len(), 1);
    }

    #[test]
    fn a_fault_comes_before_lower_numbers_and_a_blocked_signal_waits() {
        let mut pending = Pending::default();
        for number in [1, 11, 40] {
            let _ = send(&mut pending, number);
        }
        let blocked = SignalSet::of(&[Signal::SIGHUP]);
        let order: Vec<u8> =
            core::iter::from_fn(|| pending.take(blocked)).map(|info| info.signal.number()).collect();
        assert_eq!(order, [11, 40]);
        assert_eq!(pending.set(), blocked);
    }
}
