//! The order policy: which ready task runs next, and for how long.
//!
//! The default is fair and costs nothing: first in, first out, with slices of one length. The seeded
//! policy permutes ready tasks and cuts slices from a seed. With one CPU and instruction counting a
//! run is then a pure function of image, arguments and seed.

use core::time::Duration;

use base::sync::atomic::{AtomicU64, Ordering};

/// Decides the order of tasks in place of the default.
pub trait OrderPolicy: Send + Sync {
    /// Which of the `ready` tasks that wait for `cpu` runs next, as an index; one that is out of
    /// range takes the last.
    fn pick(&self, cpu: usize, ready: usize) -> usize;

    /// How long the `nth` slice of the task with `key` is, given the default length.
    fn slice(&self, key: u64, nth: u64, default: Duration) -> Duration;
}

/// Permutes and preempts at random from a seed.
///
/// A slice depends only on (seed, key, nth slice), so that a preemption is the same whatever other
/// tasks do.
pub struct SeededOrder {
    seed: u64,
    picks: AtomicU64,
}

impl SeededOrder {
    /// The policy of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        SeededOrder { seed, picks: AtomicU64::new(0) }
    }
}

impl OrderPolicy for SeededOrder {
    fn pick(&self, cpu: usize, ready: usize) -> usize {
        let pick = self.picks.fetch_add(1, Ordering::Relaxed);
        let random = mix(self.seed ^ mix(pick ^ (cpu as u64) << 56));
        random.checked_rem(ready as u64).unwrap_or(0) as usize
    }

    fn slice(&self, key: u64, nth: u64, default: Duration) -> Duration {
        let random = mix(self.seed ^ mix(key ^ nth.rotate_left(32)));
        // Short slices are where races are: half of them end within a hundredth of the default.
        let most = default.as_nanos() as u64;
        let range = if random & 1 == 0 { most / 100 } else { most };
        Duration::from_nanos((random >> 1).checked_rem(range).unwrap_or(0) + 1)
    }
}

/// A bijective hash of 64 bits in which every input bit moves every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_order_and_another_seed_another() {
        let picks = |seed| {
            let order = SeededOrder::new(seed);
            (0..32).map(|_| order.pick(0, 7)).collect::<alloc::vec::Vec<_>>()
        };
        assert_eq!(picks(5), picks(5));
        assert_ne!(picks(5), picks(6));
        assert!(picks(5).iter().all(|&pick| pick < 7));
        assert_eq!(SeededOrder::new(1).pick(0, 0), 0);
    }

    #[test]
    fn a_slice_is_never_empty_nor_longer_than_the_default() {
        let order = SeededOrder::new(9);
        let most = Duration::from_millis(4);
        for nth in 0..1000 {
            let slice = order.slice(3, nth, most);
            assert!(!slice.is_zero() && slice <= most);
            assert_eq!(slice, order.slice(3, nth, most));
        }
    }
}
