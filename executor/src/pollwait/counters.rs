//! Counters of the wait core, for each CPU, summed on read.

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{CachePadded, MAX_CPUS, PerCpu};

use super::events::Reason;

/// What one CPU counted.
pub(super) struct Counters {
    /// Waits that ended before they began, because the sequence had moved.
    pub(super) seq_skip_pre_sleep: AtomicU64,
    reasons: [AtomicU64; Reason::ALL.len()],
}

static COUNTERS: PerCpu<Counters> = PerCpu::from_padded(
    [const {
        CachePadded(Counters {
            seq_skip_pre_sleep: AtomicU64::new(0),
            reasons: [const { AtomicU64::new(0) }; Reason::ALL.len()],
        })
    }; MAX_CPUS],
);

/// Adds one to what `pick` names.
#[inline]
pub(super) fn count(pick: impl FnOnce(&Counters) -> &AtomicU64) {
    let counter = pick(COUNTERS.this());
    // A CPU writes only its own slot, so no atomic addition is needed. On the host a thread that is
    // no CPU shares slot 0, and a count may be lost there.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Counts a wait that ended because of `reason`.
#[inline]
pub(super) fn count_reason(reason: Reason) {
    count(|counters| &counters.reasons[reason as usize - 1]);
}

/// How many waits ended before they began, because a wake had come since the observation.
#[must_use]
pub fn skipped_waits() -> u64 {
    COUNTERS.iter().map(|cpu| cpu.seq_skip_pre_sleep.load(Ordering::Relaxed)).sum()
}

/// How many waits ended because of `reason`.
#[must_use]
pub fn ended_waits(reason: Reason) -> u64 {
    let count = |cpu: &Counters| {
        cpu.reasons.get(reason as usize - 1).map_or(0, |count| count.load(Ordering::Relaxed))
    };
    COUNTERS.iter().map(count).sum()
}
