//! How often each syscall was made, for each CPU, summed on read.

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{CachePadded, MAX_CPUS, PerCpu};

use crate::table::{self, SLOTS};

static COUNTS: PerCpu<[AtomicU64; SLOTS]> =
    PerCpu::from_padded([const { CachePadded([const { AtomicU64::new(0) }; SLOTS]) }; MAX_CPUS]);

/// Counts a call of the syscall that has `slot`. A CPU writes only its own counters, so no atomic addition is needed.
#[inline]
pub(super) fn count(slot: usize) {
    if let Some(counter) = COUNTS.this().get(slot) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

/// Calls of each number that was ever called, by number; `None` stands for all numbers that neither Linux
/// nor this kernel has.
pub fn for_each(mut each: impl FnMut(Option<u64>, u64)) {
    for slot in 0..SLOTS {
        let count: u64 = COUNTS
            .iter()
            .filter_map(|counts| counts.get(slot))
            .map(|count| count.load(Ordering::Relaxed))
            .sum();
        if count > 0 {
            each(table::number_of(slot), count);
        }
    }
}
