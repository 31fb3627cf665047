//! Counters of the wait core, for each CPU, summed on read.

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{CachePadded, MAX_CPUS, PerCpu};

use super::events::Reason;
use crate::cpu::Cpu;

/// What one CPU counted.
struct Counters {
    /// Waits that ended before they began, because the sequence had moved.
    seq_skip_pre_sleep: AtomicU64,
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

/// Counts on `cpu` a wait that ended before it began.
#[cold]
pub(super) fn count_skipped(cpu: Option<&Cpu>) {
    if let Some(counters) = cpu.and_then(|cpu| COUNTERS.get(cpu.index)) {
        bump(&counters.seq_skip_pre_sleep);
    }
}

/// Counts on `cpu` a wait that ended because of `reason`.
#[inline]
pub(super) fn count_reason(cpu: &Cpu, reason: Reason) {
    if let Some(counters) = COUNTERS.get(cpu.index) {
        bump(&counters.reasons[reason as usize - 1]);
    }
}

/// Adds one. A CPU writes only its own slot, so no atomic addition is needed.
#[inline]
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
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
