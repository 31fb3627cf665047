//! The asynchronous mutex.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::task::Waker;

use base::sync::atomic::{AtomicU32, Ordering};

use crate::pollwait::node::Node;
use crate::pollwait::wait::{Protocol, Waiting};
use crate::pollwait::{Reason, Wait, WaitKind, WaitSource};

const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and somebody may wait; set and cleared only under the source's lock.
const CONTENDED: u32 = 2;

/// Mutual exclusion for sections that await.
///
/// The state is `Free`, `Locked` or `Contended`. Free and Locked change into each other with one
/// atomic step; every step from or to Contended is made under the lock of the source. An unlock that
/// finds Contended gives the lock to the first waiter without passing through Free.
pub struct Mutex<T: ?Sized> {
    state: AtomicU32,
    source: WaitSource,
    value: UnsafeCell<T>,
}

// SAFETY: the protocol gives the value to one guard at a time.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// Exclusive access to what a [`Mutex`] protects.
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

// SAFETY: a guard is a reference to the value.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// A free mutex around `value`.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            state: AtomicU32::new(FREE),
            source: WaitSource::new(WaitKind::Mutex, 0),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.state
            .compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| MutexGuard { mutex: self })
    }

    /// Takes the lock, after those who came before.
    ///
    /// Dropped midway: nothing is left behind; a lock that had been handed over goes to the next.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        loop {
            // Without a signal and a deadline a wait ends only with the lock.
            if let Ok(guard) = self.lock_with(Wait::uninterruptible()).await {
                return guard;
            }
        }
    }

    /// Takes the lock, unless `wait` ends otherwise.
    ///
    /// Dropped midway: as for [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// The reason, `Signal` or `Timeout`, when the lock was not got.
    pub async fn lock_with(&self, wait: Wait) -> Result<MutexGuard<'_, T>, Reason> {
        if let Some(guard) = self.try_lock() {
            return Ok(guard);
        }
        match Waiting::new(Locking { mutex: self }, wait).await {
            reason @ (Reason::Signal | Reason::Timeout) => Err(reason),
            _ => Ok(MutexGuard { mutex: self }),
        }
    }

    /// The value, through exclusive access to the mutex.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn unlock(&self) {
        let free = self.state.compare_exchange(LOCKED, FREE, Ordering::Release, Ordering::Relaxed);
        if free.is_err() {
            self.unlock_contended();
        }
    }

    #[cold]
    fn unlock_contended(&self) {
        let mut grants = 1;
        self.source.hand_over(
            |_| core::mem::replace(&mut grants, 0) > 0,
            |handed| {
                let state = if handed > 0 { LOCKED } else { FREE };
                self.state.store(state, Ordering::Release);
            },
        );
    }
}

/// The protocol of a wait for the lock.
struct Locking<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

impl<T: ?Sized> Protocol for Locking<'_, T> {
    fn source(&self) -> &WaitSource {
        &self.mutex.source
    }

    unsafe fn link(&self, node: &Node, waker: &Waker) -> Option<Reason> {
        let admit = || {
            let before = self.mutex.state.swap(CONTENDED, Ordering::AcqRel);
            if before != FREE {
                return None;
            }
            // Got it; nobody waits, since Free never stands beside a waiter.
            self.mutex.state.store(LOCKED, Ordering::Relaxed);
            Some(Reason::Data)
        };
        // SAFETY: the caller's promise.
        unsafe { self.mutex.source.link(node, waker, admit) }
    }

    fn decline(&self, _node: &Node) {
        self.mutex.unlock();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let locked = self.state.load(Ordering::Relaxed) != FREE;
        f.debug_struct("Mutex").field("locked", &locked).finish_non_exhaustive()
    }
}
