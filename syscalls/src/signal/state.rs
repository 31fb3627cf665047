//! Where signals wait and who blocks them: the part of a thread and of a process.
//!
//! A thread's mask is written by the thread alone and read by senders. The order that makes this
//! safe: a sender adds to the queue under its lock and reads the mask afterwards; the thread writes
//! the mask and looks at the queues afterwards, under the same lock. So one of the two always sees
//! the other, and a deliverable signal never goes unnoticed.
//!
//! The lock of a thread's own queue is also the gate of its attention: the `SIGNAL` reason and the
//! task's interrupt are raised and cleared under it, after a look at both queues. So a thread that
//! took its last signal and recomputed carries no stale interrupt into its next wait.

use alloc::sync::Arc;

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{WaitKind, WaitSource};

use crate::signal::altstack::AltStack;
use crate::signal::pending::Pending;
use crate::signal::set::SignalSet;
use crate::signal::stop::GroupStop;

/// A thread's signals.
pub struct ThreadSignals {
    pub(super) pending: SpinLock<Pending>,
    mask: AtomicU64,
    /// Signals that rt_sigtimedwait(2) waits for: unblocked for senders, though not for delivery.
    awaited: AtomicU64,
    /// The mask that a call such as sigsuspend(2) borrowed away and the way out puts back.
    borrowed: SpinLock<Option<SignalSet>>,
    alternate: SpinLock<AltStack>,
    /// What pause(2), sigsuspend(2) and sigtimedwait(2) wait on: only an interrupt ends it.
    idle: WaitSource,
}

impl Default for ThreadSignals {
    fn default() -> Self {
        ThreadSignals::new(SignalSet::EMPTY, AltStack::default())
    }
}

impl ThreadSignals {
    /// What a new thread inherits, before it runs: the mask, and the alternate stack unless it shares
    /// its creator's memory.
    pub fn inherit(&self, mask: SignalSet, alternate: AltStack) {
        self.store_mask(mask);
        self.set_alternate(alternate);
    }

    /// No pending signal, and this mask.
    #[must_use]
    pub fn new(mask: SignalSet, alternate: AltStack) -> ThreadSignals {
        ThreadSignals {
            pending: SpinLock::new(LockClass::Signals, Pending::default()),
            mask: AtomicU64::new(mask.0),
            awaited: AtomicU64::new(0),
            borrowed: SpinLock::new(LockClass::Signals, None),
            alternate: SpinLock::new(LockClass::Signals, alternate),
            idle: WaitSource::new(WaitKind::Signal, 0),
        }
    }

    /// The blocked signals.
    #[must_use]
    pub fn mask(&self) -> SignalSet {
        SignalSet(self.mask.load(Ordering::SeqCst))
    }

    /// The blocked signals that no wait accepts: what a sender must take for blocked.
    #[must_use]
    pub fn refused(&self) -> SignalSet {
        self.mask().minus(SignalSet(self.awaited.load(Ordering::SeqCst)))
    }

    /// Replaces the mask. Only the thread itself calls this; it looks at its queues afterwards,
    /// with [`super::recompute`].
    pub(super) fn store_mask(&self, mask: SignalSet) {
        self.mask.store(mask.minus(SignalSet::UNBLOCKABLE).0, Ordering::SeqCst);
    }

    pub(crate) fn set_awaited(&self, set: SignalSet) {
        self.awaited.store(set.0, Ordering::SeqCst);
    }

    pub(crate) fn borrow(&self, old: SignalSet) {
        *self.borrowed.lock() = Some(old);
    }

    /// The mask that the way out of the kernel leaves: the one from before a mask was borrowed away.
    pub(super) fn lasting_mask(&self) -> SignalSet {
        self.borrowed.lock().unwrap_or_else(|| self.mask())
    }

    pub(super) fn take_borrowed(&self) -> Option<SignalSet> {
        self.borrowed.lock().take()
    }

    /// Signals pending for this thread alone.
    #[must_use]
    pub fn pending(&self) -> SignalSet {
        self.pending.lock().set()
    }

    /// The alternate stack, for a thread that is cloned without sharing memory.
    #[must_use]
    pub fn alternate(&self) -> AltStack {
        *self.alternate.lock()
    }

    /// Installs another alternate stack: sigaltstack(2), sigreturn.
    pub fn set_alternate(&self, stack: AltStack) {
        *self.alternate.lock() = stack;
    }

    /// What a thread waits on that waits for signals alone: only an interrupt ends the wait.
    #[must_use]
    pub fn idle(&self) -> &WaitSource {
        &self.idle
    }

    /// Forgets the alternate stack: exec.
    pub fn clear_alternate(&self) {
        *self.alternate.lock() = AltStack::default();
    }
}

/// A process's signals: those sent to the whole group, and whether the group is stopped.
pub struct SharedSignals {
    pub(super) pending: SpinLock<Pending>,
    pub(super) stop: SpinLock<GroupStop>,
    /// Wakes stopped threads.
    pub(super) continued: WaitSource,
    /// Wakes who waits for any signal of this process: signalfd.
    source: Arc<WaitSource>,
}

impl Default for SharedSignals {
    fn default() -> Self {
        SharedSignals {
            pending: SpinLock::new(LockClass::SharedSignals, Pending::default()),
            stop: SpinLock::new(LockClass::Signals, GroupStop::default()),
            continued: WaitSource::new(WaitKind::Signal, 0),
            source: Arc::new(WaitSource::new(WaitKind::Signal, 0)),
        }
    }
}

impl SharedSignals {
    /// Signals pending for the process as a whole.
    #[must_use]
    pub fn pending(&self) -> SignalSet {
        self.pending.lock().set()
    }

    /// Number of queued entries, for `SigQ` in `/proc/<pid>/status`.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.pending.lock().len()
    }

    /// True from the moment that a stop begins until the process goes on.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.lock().signal.is_some()
    }

    /// What signalfd and poll wait on.
    #[must_use]
    pub fn source(&self) -> &Arc<WaitSource> {
        &self.source
    }
}

/// Checks the size of a signal mask that a program passes.
///
/// # Errors
///
/// `EINVAL` unless it is 8.
pub fn check_mask_size(bytes: usize) -> Result<()> {
    if bytes == size_of::<u64>() { Ok(()) } else { Err(Errno::EINVAL) }
}
