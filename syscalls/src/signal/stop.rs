//! Stopping and continuing a process.
//!
//! ```text
//!              (1) a thread takes a stop signal
//!   running ------------------------------------> stopping
//!      ^                                             |
//!      | (3) SIGCONT or SIGKILL            (2) the last live thread parks:
//!      |                                         the parent is told
//!      +---------------- stopped <-------------------+
//! ```
//!
//! While a group is stopping or stopped, every thread has `Reasons::STOP` raised.

use crate::signal::set::Signal;

/// Where a process stands in the picture above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStop {
    /// The signal that stops it; `None` while it runs.
    pub(super) signal: Option<Signal>,
    /// Counts the stops, so that a thread knows for which one it parked.
    pub(super) generation: u64,
    /// Threads that have parked.
    pub(super) parked: usize,
    /// The parent has been told of this stop.
    pub(super) reported: bool,
}

impl GroupStop {
    /// Edge 1. False when it is stopping already.
    #[must_use]
    pub(super) fn begin(&mut self, signal: Signal) -> bool {
        if self.signal.is_some() {
            return false;
        }
        let generation = self.generation + 1;
        *self = GroupStop { signal: Some(signal), generation, parked: 0, reported: false };
        true
    }

    /// Edge 2: true when this completes the stop of `threads` live threads and the parent is to be told.
    #[must_use]
    pub(super) fn completes(&mut self, threads: usize) -> bool {
        let complete = self.signal.is_some() && self.parked >= threads && !self.reported;
        self.reported |= complete;
        complete
    }

    /// Edge 3: the signal that had stopped it, and whether the stop was complete.
    #[must_use]
    pub(super) fn end(&mut self) -> Option<(Signal, bool)> {
        let ended = self.signal.map(|signal| (signal, self.reported));
        *self = GroupStop { generation: self.generation, ..GroupStop::default() };
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_hears_once_of_each_stop() {
        let mut stop = GroupStop::default();
        assert!(stop.begin(Signal::SIGTSTP));
        assert!(!stop.begin(Signal::SIGSTOP));
        stop.parked = 1;
        assert!(!stop.completes(2));
        stop.parked = 2;
        assert!(stop.completes(2));
        assert!(!stop.completes(2));
        assert_eq!(stop.end(), Some((Signal::SIGTSTP, true)));
        assert_eq!(stop.end(), None);
    }
}
