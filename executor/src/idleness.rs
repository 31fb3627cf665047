//! Which CPUs have nothing to do, and whether nothing will ever come.
//!
//! A CPU counts as idle from before its last look at its queues until it has left its halt. What then runs on it
//! is handlers: they wake tasks, and take back what they did for somebody else, but begin nothing. So as long as
//! *no* CPU leaves idleness, work can only appear, and the outside sources only get fewer, through what a handler
//! does, and each handler's CPU leaves idleness afterwards.
//!
//! The look that finds a deadlock reads several things one after the other, and meanwhile a CPU may leave, run a
//! task that waits for something new, and be idle again. Therefore [`leave`](Idleness::leave) is counted: a look
//! during which the count moved says nothing, and the CPU that moved it will look again.

use base::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::cpu_set::CpuSet;

/// Which CPUs have nothing to do.
pub(crate) struct Idleness {
    /// CPUs that are in their loop.
    online: AtomicU64,
    /// Those of them that are idle.
    idle: AtomicU64,
    /// How often one left idleness.
    left: AtomicU64,
    /// Outside sources that can still bring work.
    outside: AtomicUsize,
}

impl Idleness {
    #[cfg_attr(loom, allow(clippy::missing_const_for_fn))]
    pub(crate) fn new() -> Idleness {
        Idleness {
            online: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            left: AtomicU64::new(0),
            outside: AtomicUsize::new(0),
        }
    }

    /// CPUs that are in their loop. Sequentially consistent against [`arrive`](Self::arrive).
    #[inline]
    pub(crate) fn online(&self) -> CpuSet {
        CpuSet::from_bits(self.online.load(Ordering::SeqCst))
    }

    /// CPUs that were idle a moment ago.
    #[inline]
    pub(crate) fn idle(&self) -> CpuSet {
        CpuSet::from_bits(self.idle.load(Ordering::Relaxed))
    }

    /// `cpu` has entered its loop.
    pub(crate) fn arrive(&self, cpu: usize) {
        self.online.fetch_or(1 << cpu, Ordering::SeqCst);
    }

    /// `cpu` has left its loop.
    pub(crate) fn depart(&self, cpu: usize) {
        self.online.fetch_and(!(1 << cpu), Ordering::AcqRel);
    }

    /// `cpu` has nothing to do. True when no CPU has: then the caller looks for a deadlock.
    pub(crate) fn enter(&self, cpu: usize) -> bool {
        let idle = self.idle.fetch_or(1 << cpu, Ordering::AcqRel) | 1 << cpu;
        idle == self.online.load(Ordering::Acquire)
    }

    /// `cpu` looks for work again.
    pub(crate) fn leave(&self, cpu: usize) {
        self.idle.fetch_and(!(1 << cpu), Ordering::AcqRel);
        // After the bit, and before anything is begun: see `is_final`.
        self.left.fetch_add(1, Ordering::AcqRel);
    }

    /// Something from outside may bring work.
    pub(crate) fn attach(&self) {
        self.outside.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes an [`attach`](Self::attach) back, after the work that it brought can be seen.
    pub(crate) fn detach(&self) {
        self.outside.fetch_sub(1, Ordering::AcqRel);
    }

    /// True when all CPUs are idle and stay so: nothing is awaited from outside, and `has_work` finds nothing
    /// in any queue, inbox or wheel.
    pub(crate) fn is_final(&self, has_work: impl FnOnce() -> bool) -> bool {
        let left = self.left.load(Ordering::Acquire);
        // A CPU that left before the count was read is not idle any more, or is so again with all it began.
        if !self.all_idle() || self.outside.load(Ordering::Acquire) > 0 || has_work() {
            return false;
        }
        // One that left after it shows by its bit, or when it is idle again by the count.
        self.all_idle() && self.left.load(Ordering::Acquire) == left
    }

    fn all_idle(&self) -> bool {
        self.idle.load(Ordering::Acquire) == self.online.load(Ordering::Acquire)
    }
}
