//! Suites, and their short forms.

use super::Case;
use crate::sys::{Random, monotonic};

/// Cases that belong together.
pub(crate) struct Suite {
    pub(super) name: &'static str,
    tables: &'static [&'static [Case]],
    sets_faults: bool,
}

/// A suite of these tables of cases.
pub(crate) const fn suite(name: &'static str, tables: &'static [&'static [Case]]) -> Suite {
    Suite { name, tables, sets_faults: false }
}

impl Suite {
    /// Its cases set the fault points themselves: it has no form under faults.
    pub(crate) const fn sets_faults(mut self) -> Suite {
        self.sets_faults = true;
        self
    }

    pub(super) fn runs_under_faults(&self) -> bool {
        !self.sets_faults
    }

    pub(super) fn cases(&self) -> impl Iterator<Item = &'static Case> {
        self.tables.iter().copied().flatten()
    }
}

/// For how long cases of a short form begin, in nanoseconds: with the last one it takes two seconds at most.
pub(super) const SHORT_NS: i64 = 1_500_000_000;

/// Runs a short form of some cases: one after the other, in an order that follows from the seed, as many as begin before
/// `end` on the monotonic clock. Cases that are long even with few rounds have no part in it.
pub(super) fn run_short<'a>(cases: &[&'a Case], seed: u64, end: i64, mut run: impl FnMut(&'a Case)) {
    let mut order: Vec<&Case> = cases.iter().copied().filter(|case| !case.is_long).collect();
    shuffle(&mut order, &mut Random::new(seed));
    order.into_iter().take_while(|_| monotonic() < end).for_each(&mut run);
}

/// Every order is as likely as any other (Fisher and Yates).
pub(super) fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last as u64 + 1) as usize);
    }
}
