//! Sets of CPUs.

use base::sync::MAX_CPUS;

/// A set of CPUs: bit N stands for CPU N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuSet(u64);

const _: () = assert!(MAX_CPUS < 64, "a set is one word");

impl CpuSet {
    /// Every CPU.
    pub const ALL: CpuSet = CpuSet((1 << MAX_CPUS) - 1);
    /// No CPU.
    pub const EMPTY: CpuSet = CpuSet(0);

    /// The set with these bits; those beyond the last possible CPU are dropped.
    #[must_use]
    pub const fn from_bits(bits: u64) -> CpuSet {
        CpuSet(bits & CpuSet::ALL.0)
    }

    /// The set that holds only `cpu`; empty when there cannot be such a CPU.
    #[must_use]
    pub const fn only(cpu: usize) -> CpuSet {
        if cpu < MAX_CPUS { CpuSet(1 << cpu) } else { CpuSet::EMPTY }
    }

    /// The first `count` CPUs.
    #[must_use]
    pub const fn first_cpus(count: usize) -> CpuSet {
        if count >= MAX_CPUS { CpuSet::ALL } else { CpuSet((1 << count) - 1) }
    }

    /// One bit per CPU.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// True when `cpu` is in the set.
    #[inline]
    #[must_use]
    pub const fn contains(self, cpu: usize) -> bool {
        cpu < MAX_CPUS && self.0 & (1 << cpu) != 0
    }

    /// The CPUs in both sets.
    #[must_use]
    pub const fn intersection(self, other: CpuSet) -> CpuSet {
        CpuSet(self.0 & other.0)
    }

    /// The CPUs in either set.
    #[must_use]
    pub const fn union(self, other: CpuSet) -> CpuSet {
        CpuSet(self.0 | other.0)
    }

    /// This set without the CPUs of `other`.
    #[must_use]
    pub const fn without(self, other: CpuSet) -> CpuSet {
        CpuSet(self.0 & !other.0)
    }

    /// The lowest CPU of the set.
    #[must_use]
    pub const fn first(self) -> Option<usize> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() as usize) }
    }

    /// How many CPUs are in the set.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// True when no CPU is in the set.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The CPUs of the set, from the lowest.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MAX_CPUS).filter(move |&cpu| self.contains(cpu))
    }
}
