//! What a task counts for fault injection, and what was asked of it alone.
//!
//! Source: the kernel's `Documentation/fault-injection/fault-injection.rst`, `make-it-fail` and `fail-nth`.

use alloc::boxed::Box;

use super::{Point, asks, asks_no_more};
use crate::sync::Once;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A task's hits of one point.
#[derive(Debug)]
struct Tally {
    /// The setting during which they were: each one counts from its beginning.
    epoch: AtomicU32,
    hits: AtomicU32,
    fired: AtomicU32,
}

impl Tally {
    const fn new() -> Tally {
        Tally { epoch: AtomicU32::new(0), hits: AtomicU32::new(0), fired: AtomicU32::new(0) }
    }
}

/// A hit, as the task counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Which hit of this point in this task it is, from 1.
    pub(super) number: u64,
    /// How often the point has fired in this task before.
    pub(super) fired: u64,
}

/// A task's part in fault injection.
#[derive(Debug)]
pub struct TaskFaults {
    /// Failures to go until one is injected; 0 for none.
    nth: AtomicU32,
    marked: AtomicBool,
    /// How many [`Spared`](super::Spared) of it there are. Only the task itself writes it.
    spared: AtomicU32,
    /// A wait of the call that is under way was ended so that it answers `EINTR`.
    cut_short: AtomicBool,
    /// The address of a copy that was made to fail, until somebody faults it in; 0 for none.
    bad_address: AtomicU64,
    /// Made at the task's first hit: most tasks of most runs have none. It is small, and it is not charged,
    /// because a charge is itself a point.
    tallies: Once<Box<[Tally; Point::COUNT]>>,
}

impl TaskFaults {
    pub(crate) const fn new() -> TaskFaults {
        TaskFaults {
            nth: AtomicU32::new(0),
            marked: AtomicBool::new(false),
            spared: AtomicU32::new(0),
            cut_short: AtomicBool::new(false),
            bad_address: AtomicU64::new(0),
            tallies: Once::new(),
        }
    }

    /// `fail-nth`: the failures to go until one is injected; 0 when it was, or when none was asked for.
    #[must_use]
    pub fn nth(&self) -> u32 {
        self.nth.load(Ordering::Relaxed)
    }

    /// Asks that the `nth` failure from now on, of whatever point, be injected; 0 takes that back.
    pub fn set_nth(&self, nth: u32) {
        match (self.nth.swap(nth, Ordering::Relaxed), nth) {
            (0, 1..) => asks(),
            (1.., 0) => asks_no_more(),
            _ => {}
        }
    }

    /// `make-it-fail`: true when settings with `marked` concern the task. Its children inherit it.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.marked.load(Ordering::Relaxed)
    }

    /// Sets what [`is_marked`](Self::is_marked) says.
    pub fn set_marked(&self, marked: bool) {
        self.marked.store(marked, Ordering::Relaxed);
    }

    pub(super) fn is_spared(&self) -> bool {
        self.spared.load(Ordering::Relaxed) != 0
    }

    pub(super) fn enter_spared(&self) {
        self.spared.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave_spared(&self) {
        self.spared.fetch_sub(1, Ordering::Relaxed);
    }

    /// What it was.
    pub(super) fn set_cut_short(&self, cut_short: bool) -> bool {
        self.cut_short.swap(cut_short, Ordering::Relaxed)
    }

    pub(super) fn set_bad_address(&self, address: u64) {
        self.bad_address.store(address, Ordering::Relaxed);
    }

    pub(super) fn bad_address(&self) -> u64 {
        self.bad_address.load(Ordering::Relaxed)
    }

    pub(super) fn is_counting(&self) -> bool {
        self.nth() != 0
    }

    /// One failure nearer to the one that is injected; true when this is it.
    pub(super) fn count_down(&self) -> bool {
        let left = self.nth.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left == Ok(1) {
            asks_no_more();
        }
        left == Ok(1)
    }

    /// Counts a hit under the setting `epoch`. Only the task itself does.
    pub(super) fn count_hit(&self, point: Point, epoch: u32) -> Hit {
        let tally = self.tally(point);
        if tally.epoch.swap(epoch, Ordering::Relaxed) != epoch {
            tally.hits.store(0, Ordering::Relaxed);
            tally.fired.store(0, Ordering::Relaxed);
        }
        let number = u64::from(tally.hits.fetch_add(1, Ordering::Relaxed)) + 1;
        Hit { number, fired: tally.fired.load(Ordering::Relaxed).into() }
    }

    pub(super) fn count_fired(&self, point: Point) {
        self.tally(point).fired.fetch_add(1, Ordering::Relaxed);
    }

    fn tally(&self, point: Point) -> &Tally {
        let tallies = self.tallies.call_once(|| Box::new([const { Tally::new() }; Point::COUNT]));
        &tallies[point as usize]
    }
}

impl Drop for TaskFaults {
    fn drop(&mut self) {
        self.set_nth(0);
    }
}
