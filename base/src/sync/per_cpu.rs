//! One slot for each CPU.

use core::ops::{Deref, DerefMut};

/// The largest number of CPUs that Kairos uses; a machine brings no more of them online.
pub const MAX_CPUS: usize = 32;

/// A value on cache lines of its own, so that its neighbours' writers don't slow it down.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct CachePadded<T>(pub T);

impl<T> Deref for CachePadded<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for CachePadded<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// One `T` for each CPU.
///
/// A slot is a shared reference, so `T` is atomic or locked: another CPU may read it to sum up, and
/// on the host a thread that is no CPU uses slot 0. For a `static`:
///
/// ```
/// use base::sync::{CachePadded, MAX_CPUS, PerCpu, atomic::AtomicU64};
/// static HITS: PerCpu<AtomicU64> =
///     PerCpu::from_padded([const { CachePadded(AtomicU64::new(0)) }; MAX_CPUS]);
/// ```
#[derive(Debug)]
pub struct PerCpu<T>([CachePadded<T>; MAX_CPUS]);

impl<T> PerCpu<T> {
    /// Slots that `make` fills, given the CPU's index.
    pub fn from_fn(mut make: impl FnMut(usize) -> T) -> Self {
        PerCpu(core::array::from_fn(|cpu| CachePadded(make(cpu))))
    }

    /// Slots with these contents; usable for a `static`.
    pub const fn from_padded(slots: [CachePadded<T>; MAX_CPUS]) -> Self {
        PerCpu(slots)
    }

    /// The slot of the CPU that runs this code.
    #[inline]
    #[cfg(not(loom))]
    pub fn this(&self) -> &T {
        let cpu = crate::machine::cpu_id();
        // The masked index stays in range, which spares a branch on the hot path.
        &self.0[cpu % MAX_CPUS]
    }

    /// The slot of `cpu`, if there can be such a CPU.
    #[inline]
    pub fn get(&self, cpu: usize) -> Option<&T> {
        self.0.get(cpu).map(|slot| &slot.0)
    }

    /// All slots, from CPU 0.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|slot| &slot.0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::atomic::{AtomicU64, Ordering};

    static COUNTS: PerCpu<AtomicU64> =
        PerCpu::from_padded([const { CachePadded(AtomicU64::new(0)) }; MAX_CPUS]);

    #[test]
    fn slots_are_apart_and_summed_on_read() {
        COUNTS.get(1).map(|slot| slot.fetch_add(2, Ordering::Relaxed));
        COUNTS.get(3).map(|slot| slot.fetch_add(5, Ordering::Relaxed));
        assert_eq!(COUNTS.iter().map(|slot| slot.load(Ordering::Relaxed)).sum::<u64>(), 7);
        assert!(COUNTS.get(MAX_CPUS).is_none());
        let indexes = PerCpu::from_fn(|cpu| cpu);
        assert_eq!(indexes.get(9), Some(&9));
    }
}
