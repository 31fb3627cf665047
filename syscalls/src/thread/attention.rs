//! Why a thread should not simply go on: one word, set by others, read by the thread.
//!
//! ```text
//!             raise(SIGNAL)                 raise(DIE)
//!   running ----------------> look at the ------------> drop the syscall
//!           <---------------- queues                    in flight and exit
//!             clear(SIGNAL)
//! ```
//!
//! `DIE` is never cleared. Whoever raises a bit also wakes or interrupts the thread's task, so
//! that a blocked syscall sees it.

use base::sync::atomic::{AtomicU32, Ordering};

bitflags::bitflags! {
    /// The reasons.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Reasons: u32 {
        /// A signal may be deliverable.
        const SIGNAL = 1 << 0;
        /// The thread group is stopping or stopped.
        const STOP = 1 << 1;
        /// The thread must exit: its group is exiting, or another thread executes a new program.
        const DIE = 1 << 2;
        /// Work that the thread left for its way out (a borrowed signal mask, for instance).
        const WORK = 1 << 3;
        /// The thread has another address space than before: it executed a program.
        const SPACE = 1 << 4;
        /// The CPUs it may run on have changed.
        const MOVE = 1 << 5;
        /// Every call of the thread is written down in the kernel's log: `strace=1`.
        const STRACE = 1 << 6;
        /// The beginning and the end of every call go into the trace rings.
        const TRACE = 1 << 7;
    }
}

impl Reasons {
    /// What makes syscall entry take the long way. None of these is a reason to stop what the thread does,
    /// and [`Attention::get`] leaves them out.
    pub const WATCHED: Reasons = Reasons::STRACE.union(Reasons::TRACE);
}

/// The word itself.
#[derive(Debug, Default)]
pub struct Attention(AtomicU32);

impl Attention {
    /// Adds reasons; true when at least one of them is new.
    pub fn raise(&self, reasons: Reasons) -> bool {
        let before = self.0.fetch_or(reasons.bits(), Ordering::AcqRel);
        before & reasons.bits() != reasons.bits()
    }

    /// Removes reasons. `DIE` stays whatever is asked.
    pub fn clear(&self, reasons: Reasons) {
        self.0.fetch_and(!(reasons - Reasons::DIE).bits(), Ordering::AcqRel);
    }

    /// The reasons now.
    #[must_use]
    pub fn get(&self) -> Reasons {
        Reasons::from_bits_retain(self.0.load(Ordering::Acquire)) - Reasons::WATCHED
    }

    /// Who watches the thread's calls; mostly nobody.
    #[inline]
    #[must_use]
    pub fn watched(&self) -> Reasons {
        Reasons::from_bits_retain(self.0.load(Ordering::Relaxed)) & Reasons::WATCHED
    }

    /// True when the thread must exit.
    #[must_use]
    pub fn is_dying(&self) -> bool {
        self.get().contains(Reasons::DIE)
    }
}
