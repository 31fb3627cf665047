//! How often each syscall was made, for each CPU, summed on read.

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{CachePadded, MAX_CPUS, PerCpu};

use crate::table::KAIROS_FIRST;

/// Linux's numbers, known to this kernel or not.
const LINUX: usize = 512;
/// Numbers from [`KAIROS_FIRST`] on.
const KAIROS: usize = 32;
/// All the others.
const OTHER: usize = LINUX + KAIROS;
const SLOTS: usize = OTHER + 1;

static COUNTS: PerCpu<[AtomicU64; SLOTS]> =
    PerCpu::from_padded([const { CachePadded([const { AtomicU64::new(0) }; SLOTS]) }; MAX_CPUS]);

fn slot(number: u64) -> usize {
    let first = KAIROS_FIRST as u64;
    match usize::try_from(number) {
        Ok(number) if number < LINUX => number,
        Ok(_) if (first..first + KAIROS as u64).contains(&number) => LINUX + (number - first) as usize,
        _ => OTHER,
    }
}

/// Counts a call. A CPU writes only its own counters, so no atomic addition is needed.
#[inline]
pub(super) fn count(number: u64) {
    if let Some(counter) = COUNTS.this().get(slot(number)) {
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
            let number = match slot {
                OTHER => None,
                LINUX.. => Some((KAIROS_FIRST + slot - LINUX) as u64),
                slot => Some(slot as u64),
            };
            each(number, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_counter() {
        assert_eq!((slot(0), slot(511)), (0, 511));
        assert_eq!(slot(KAIROS_FIRST as u64 + 31), OTHER - 1);
        assert!([512, 4599, 4632, u64::MAX].into_iter().all(|number| slot(number) == OTHER));
    }
}
