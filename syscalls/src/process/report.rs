//! A stop or a continuation that the parent has not yet waited for.

use base::sync::atomic::{AtomicU32, Ordering};

use crate::signal::Signal;

const CONTINUED: u32 = 1 << 8;

/// What there is to report: nothing, the signal that stopped the process, or that it goes on. The later
/// one replaces the earlier.
#[derive(Debug, Default)]
pub struct Report(AtomicU32);

/// A report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// This signal stopped it.
    Stopped(Signal),
    /// `SIGCONT` continued it.
    Continued,
}

impl Halt {
    fn word(self) -> u32 {
        match self {
            Halt::Stopped(signal) => u32::from(signal.number()),
            Halt::Continued => CONTINUED,
        }
    }
}

impl Report {
    /// Leaves a report for the parent. Called under the lock of what it tells, so that the last one is what holds.
    pub fn leave(&self, halt: Halt) {
        self.0.store(halt.word(), Ordering::Release);
    }

    /// The parent has been told of `halt`; what came since stays.
    pub fn take(&self, halt: Halt) {
        let _ = self.0.compare_exchange(halt.word(), 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Forgets the report: the process goes on without anybody being told, or ends.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// The report, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<Halt> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            CONTINUED => Some(Halt::Continued),
            number => i32::try_from(number).ok().and_then(|n| Signal::new(n).ok()).map(Halt::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continuation_replaces_the_stop() {
        let report = Report::default();
        assert_eq!(report.get(), None);
        report.leave(Halt::Stopped(Signal::SIGTSTP));
        assert_eq!(report.get(), Some(Halt::Stopped(Signal::SIGTSTP)));
        report.leave(Halt::Continued);
        assert_eq!(report.get(), Some(Halt::Continued));
        report.take(Halt::Stopped(Signal::SIGTSTP));
        assert_eq!(report.get(), Some(Halt::Continued), "it came since");
        report.take(Halt::Continued);
        assert_eq!(report.get(), None);
        report.leave(Halt::Continued);
        report.clear();
        assert_eq!(report.get(), None);
    }
}
