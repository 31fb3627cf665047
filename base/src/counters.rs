//! Counters of events: named, one set for each CPU, summed on read.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{CachePadded, MAX_CPUS, PerCpu};

/// An enumeration of counters with their names in a text file, in the order of the file:
/// `counters! { /// What is counted. pub enum Counter { /// What this one counts. Sent = "sent_total"; } }`.
#[macro_export]
macro_rules! counters {
    (
        $(#[$doc:meta])*
        pub enum $name:ident { $($(#[$item:meta])* $counter:ident = $text:literal;)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $name {
            $($(#[$item])* $counter,)*
        }

        impl $name {
            /// All of them, in the order of the file.
            pub const ALL: &'static [$name] = &[$($name::$counter,)*];

            /// The name in the file.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$counter => $text,)*
                }
            }
        }
    };
}

/// `N` counters of each CPU, by index: that of a `counters!` enumeration.
#[derive(Debug)]
pub struct Counters<const N: usize>(PerCpu<[AtomicU64; N]>);

impl<const N: usize> Counters<N> {
    /// All at 0.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "for a static; a default is no constant")]
    pub const fn new() -> Self {
        let sets = [const { CachePadded([const { AtomicU64::new(0) }; N]) }; MAX_CPUS];
        Counters(PerCpu::from_padded(sets))
    }

    /// Adds `amount`.
    #[inline]
    pub fn add(&self, index: usize, amount: u64) {
        if let Some(slot) = self.0.this().get(index) {
            slot.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// Adds `amount` on `cpu`, which runs this code and is not interrupted by anybody who counts the same: that
    /// takes no atomic addition.
    #[inline]
    pub fn add_alone(&self, cpu: usize, index: usize, amount: u64) {
        if let Some(slot) = self.0.get(cpu).and_then(|set| set.get(index)) {
            slot.store(slot.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
        }
    }

    /// The sum over all CPUs.
    #[must_use]
    pub fn sum(&self, index: usize) -> u64 {
        let of_cpu = |set: &[AtomicU64; N]| set.get(index).map_or(0, |slot| slot.load(Ordering::Relaxed));
        self.0.iter().map(of_cpu).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    counters! {
        /// What the test counts.
        pub enum Counter {
            /// Apples.
            Apples = "apples";
            /// Pears.
            Pears = "pears";
        }
    }

    #[test]
    fn what_every_cpu_adds_is_in_the_sum() {
        static COUNTERS: Counters<{ Counter::ALL.len() }> = Counters::new();
        COUNTERS.add(Counter::Pears as usize, 2);
        for cpu in 0..MAX_CPUS {
            COUNTERS.add_alone(cpu, Counter::Pears as usize, 3);
        }
        // Not counted, and not a panic.
        COUNTERS.add_alone(MAX_CPUS, Counter::Pears as usize, 1);
        COUNTERS.add(2, 1);
        let sums: Vec<_> =
            Counter::ALL.iter().map(|counter| (counter.name(), COUNTERS.sum(*counter as usize))).collect();
        assert_eq!(sums, [("apples", 0), ("pears", 2 + 3 * MAX_CPUS as u64)]);
    }
}
