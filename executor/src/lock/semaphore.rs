//! The asynchronous semaphore.

use core::task::Waker;

use base::sync::atomic::{AtomicUsize, Ordering};

use crate::pollwait::node::Node;
use crate::pollwait::wait::{Protocol, Waiting};
use crate::pollwait::{Reason, Wait, WaitKind, WaitSource};

/// Somebody may wait, so there is no free permit; set and cleared only under the source's lock.
const CONTENDED: usize = 1;
const PERMIT: usize = 2;

/// A number of permits.
///
/// While the state has the mark for waiters there is no free permit, and a release gives its permit
/// to the first waiter.
#[derive(Debug)]
pub struct Semaphore {
    state: AtomicUsize,
    source: WaitSource,
}

/// One permit; its drop gives it back.
#[derive(Debug)]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Permit<'_> {
    /// Keeps the permit for good: it is given back with [`Semaphore::release`].
    pub fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release(1);
    }
}

impl Semaphore {
    /// A semaphore with `permits` free permits (at most a quarter of the address range).
    #[must_use]
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore {
            state: AtomicUsize::new((permits & (usize::MAX >> 2)) * PERMIT),
            source: WaitSource::new(WaitKind::Semaphore, 0),
        }
    }

    /// Number of free permits.
    #[must_use]
    pub fn available(&self) -> usize {
        self.state.load(Ordering::Acquire) / PERMIT
    }

    /// Takes a permit if one is free.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let take = |state: usize| if state < PERMIT { None } else { Some(state - PERMIT) };
        self.state
            .try_update(Ordering::Acquire, Ordering::Relaxed, take)
            .ok()
            .map(|_| Permit { semaphore: self })
    }

    /// Takes a permit, after those who came before.
    ///
    /// Dropped midway: nothing is left behind; a permit that had been handed over goes to the next.
    pub async fn acquire(&self) -> Permit<'_> {
        loop {
            // Without a signal and a deadline a wait ends only with a permit.
            if let Ok(permit) = self.acquire_with(Wait::uninterruptible()).await {
                return permit;
            }
        }
    }

    /// Takes a permit, unless `wait` ends otherwise.
    ///
    /// Dropped midway: as for [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// The reason, `Signal` or `Timeout`, when no permit was got.
    pub async fn acquire_with(&self, wait: Wait) -> Result<Permit<'_>, Reason> {
        if let Some(permit) = self.try_acquire() {
            return Ok(permit);
        }
        match Waiting::new(Acquiring { semaphore: self }, wait).await {
            reason @ (Reason::Signal | Reason::Timeout) => Err(reason),
            _ => Ok(Permit { semaphore: self }),
        }
    }

    /// Adds `permits` free permits; waiters get them first.
    pub fn release(&self, permits: usize) {
        let give = |state: usize| {
            (state & CONTENDED == 0).then(|| state.saturating_add(permits.saturating_mul(PERMIT)))
        };
        if self.state.try_update(Ordering::Release, Ordering::Relaxed, give).is_ok() {
            return;
        }
        let mut left = permits;
        self.source.hand_over(
            |_| {
                let grant = left > 0;
                left = left.saturating_sub(1);
                grant
            },
            |handed| {
                let free = permits.saturating_sub(handed);
                self.state.store(free.saturating_mul(PERMIT), Ordering::Release);
            },
        );
    }
}

/// The protocol of a wait for a permit.
struct Acquiring<'a> {
    semaphore: &'a Semaphore,
}

impl Protocol for Acquiring<'_> {
    fn source(&self) -> &WaitSource {
        &self.semaphore.source
    }

    unsafe fn link(&self, node: &Node, waker: &Waker) -> Option<Reason> {
        let admit = || {
            let step = |state: usize| Some(if state >= PERMIT { state - PERMIT } else { state | CONTENDED });
            let before = self.semaphore.state.try_update(Ordering::AcqRel, Ordering::Acquire, step);
            before.is_ok_and(|state| state >= PERMIT).then_some(Reason::Data)
        };
        // SAFETY: the caller's promise.
        unsafe { self.semaphore.source.link(node, waker, admit) }
    }

    fn decline(&self, _node: &Node) {
        self.semaphore.release(1);
    }
}
