//! What a socket may have on its way: `SO_SNDBUF`. A message takes its share when it is sent and gives it
//! back when it is received, wherever that happens.

use alloc::sync::Arc;

use base::sync::atomic::{AtomicUsize, Ordering};
use executor::pollwait::{Events, Reason, WaitSource};

/// What a sender waits for.
pub(super) const OUT: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND);

/// The budget of one sender.
pub(super) struct Budget {
    used: AtomicUsize,
    limit: AtomicUsize,
    /// The sender's source: woken when there is room again.
    output: Arc<WaitSource>,
}

impl Budget {
    pub(super) fn new(limit: usize, output: Arc<WaitSource>) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicUsize::new(0), limit: AtomicUsize::new(limit), output })
    }

    /// Bytes on their way, with what the kernel needs for them: `SIOCOUTQ`.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// `SO_SNDBUF`.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes `SO_SNDBUF`; those who wait for room look again.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.output.wake_all(OUT, Reason::Data);
    }

    /// True when poll(2) calls the socket writable: a quarter is used at most.
    pub(super) fn is_writable(&self) -> bool {
        self.used().saturating_mul(4) <= self.limit()
    }

    /// Takes `cost` as long as the limit is not reached; the last share may go beyond it, as on Linux.
    pub(super) fn take(self: &Arc<Budget>, cost: usize) -> Option<Share> {
        let limit = self.limit();
        let step = |used: usize| (used < limit).then(|| used.saturating_add(cost));
        self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, step).ok()?;
        Some(Share { budget: self.clone(), cost })
    }
}

/// A part of a budget, given back when it is dropped.
pub(super) struct Share {
    budget: Arc<Budget>,
    cost: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.cost, Ordering::AcqRel);
        if self.budget.is_writable() {
            self.budget.output.wake_all(OUT, Reason::Data);
        }
    }
}

/// What a message of `length` bytes takes of a budget: about what Linux counts, so that programs that rely
/// on how much goes into a socket find it so.
pub(super) fn cost(length: usize) -> usize {
    const HEAD: usize = 256;
    const TAIL: usize = 320;
    let block = length.next_multiple_of(64).saturating_add(TAIL);
    let block = if block <= 8192 { block.next_power_of_two() } else { length.next_multiple_of(4096) };
    block + HEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use executor::pollwait::WaitKind;

    #[test]
    fn the_last_share_may_go_beyond_the_limit() {
        let budget = Budget::new(1000, Arc::new(WaitSource::new(WaitKind::Socket, 0)));
        let first = budget.take(900).unwrap();
        let second = budget.take(900).unwrap();
        assert!(budget.take(1).is_none());
        assert!(!budget.is_writable());
        drop(first);
        assert!(budget.take(1).is_some());
        drop(second);
        assert!(budget.is_writable());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn small_messages_cost_as_much_as_on_linux() {
        for (length, expected) in
            [(0, 768), (1, 768), (193, 1280), (1000, 2304), (3776, 4352), (20_000, 20_736)]
        {
            assert_eq!(cost(length), expected, "{length}");
        }
    }
}
