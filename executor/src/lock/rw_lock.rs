//! The asynchronous reader-writer lock.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::task::Waker;

use base::sync::atomic::{AtomicUsize, Ordering};

use crate::pollwait::node::Node;
use crate::pollwait::wait::{Protocol, Waiting};
use crate::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};

const WRITER: usize = 1;
/// Somebody may wait, and somebody holds the lock or is about to hand it over. Set and cleared only
/// under the source's lock.
const CONTENDED: usize = 2;
const READER: usize = 4;

/// What the node of a waiting reader is interested in.
const AS_READER: Events = Events::IN;
/// What the node of a waiting writer is interested in.
const AS_WRITER: Events = Events::OUT;

/// Many readers or one writer, for sections that await. A reader that comes after a waiting writer
/// waits behind it.
///
/// The state counts readers and has marks for a writer and for waiters. While somebody may wait
/// nobody gets in past the queue: whoever brings the holders down to none grants the lock, under the
/// lock of the source, to the first waiter, or to all readers up to the first waiting writer.
pub struct RwLock<T: ?Sized> {
    state: AtomicUsize,
    source: WaitSource,
    value: UnsafeCell<T>,
}

// SAFETY: the protocol gives the value to one writer, or to readers only.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: as above; readers on several CPUs share it.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

/// Shared access to what a [`RwLock`] protects.
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// Exclusive access to what a [`RwLock`] protects.
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<T> RwLock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            state: AtomicUsize::new(0),
            source: WaitSource::new(WaitKind::RwLock, 0),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading, if no writer holds it and nobody waits.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let enter = |state| (state & (WRITER | CONTENDED) == 0).then_some(state + READER);
        self.update(enter).then(|| RwLockReadGuard { lock: self })
    }

    /// Takes the lock for writing, if nobody holds it and nobody waits.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.update(|state| (state == 0).then_some(WRITER)).then(|| RwLockWriteGuard { lock: self })
    }

    /// Takes the lock for reading, after those who came before.
    ///
    /// Dropped midway: nothing is left behind; a lock that had been handed over is handed on.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        loop {
            // Without a signal and a deadline a wait ends only with the lock.
            if let Ok(guard) = self.read_with(Wait::uninterruptible()).await {
                return guard;
            }
        }
    }

    /// Takes the lock for writing, after those who came before.
    ///
    /// Dropped midway: nothing is left behind; a lock that had been handed over is handed on.
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        loop {
            // Without a signal and a deadline a wait ends only with the lock.
            if let Ok(guard) = self.write_with(Wait::uninterruptible()).await {
                return guard;
            }
        }
    }

    /// Takes the lock for reading, unless `wait` ends otherwise.
    ///
    /// Dropped midway: as for [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// The reason, `Signal` or `Timeout`, when the lock was not got.
    pub async fn read_with(&self, wait: Wait) -> Result<RwLockReadGuard<'_, T>, Reason> {
        if let Some(guard) = self.try_read() {
            return Ok(guard);
        }
        let entering = Entering { lock: self, writer: false };
        match Waiting::new(entering, wait.events(AS_READER)).await {
            reason @ (Reason::Signal | Reason::Timeout) => Err(reason),
            _ => Ok(RwLockReadGuard { lock: self }),
        }
    }

    /// Takes the lock for writing, unless `wait` ends otherwise.
    ///
    /// Dropped midway: as for [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// The reason, `Signal` or `Timeout`, when the lock was not got.
    pub async fn write_with(&self, wait: Wait) -> Result<RwLockWriteGuard<'_, T>, Reason> {
        if let Some(guard) = self.try_write() {
            return Ok(guard);
        }
        let entering = Entering { lock: self, writer: true };
        match Waiting::new(entering, wait.events(AS_WRITER)).await {
            reason @ (Reason::Signal | Reason::Timeout) => Err(reason),
            _ => Ok(RwLockWriteGuard { lock: self }),
        }
    }

    /// The value, through exclusive access to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn update(&self, step: impl FnMut(usize) -> Option<usize>) -> bool {
        self.state.try_update(Ordering::AcqRel, Ordering::Relaxed, step).is_ok()
    }

    fn leave_read(&self) {
        let before = self.state.fetch_sub(READER, Ordering::AcqRel);
        if before == READER | CONTENDED {
            self.grant();
        }
    }

    fn leave_write(&self) {
        let before = self.state.fetch_and(!WRITER, Ordering::AcqRel);
        if before & CONTENDED != 0 {
            self.grant();
        }
    }

    /// Lets in those at the front of the queue that the holders allow.
    #[cold]
    fn grant(&self) {
        let enter = |interest: Events| {
            if interest == AS_WRITER {
                self.update(|state| (state == CONTENDED).then_some(CONTENDED | WRITER))
            } else {
                self.update(|state| (state & WRITER == 0).then_some(state + READER))
            }
        };
        self.source.hand_over(enter, |_| {
            self.state.fetch_and(!CONTENDED, Ordering::AcqRel);
        });
    }
}

/// The protocol of a wait for the lock.
struct Entering<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    writer: bool,
}

impl<T: ?Sized> Protocol for Entering<'_, T> {
    fn source(&self) -> &WaitSource {
        &self.lock.source
    }

    unsafe fn link(&self, node: &Node, waker: &Waker) -> Option<Reason> {
        let mut got = false;
        let admit = || {
            self.lock.update(|state| {
                got = if self.writer { state == 0 } else { state & (WRITER | CONTENDED) == 0 };
                Some(match (got, self.writer) {
                    (true, true) => WRITER,
                    (true, false) => state + READER,
                    (false, _) => state | CONTENDED,
                })
            });
            got.then_some(Reason::Data)
        };
        // SAFETY: the caller's promise.
        unsafe { self.lock.source.link(node, waker, admit) }
    }

    fn decline(&self, _node: &Node) {
        if self.writer {
            self.lock.leave_write();
        } else {
            self.lock.leave_read();
        }
    }

    fn left(&self) {
        // Readers that stood behind a writer which gave up need not wait for the other readers.
        self.lock.grant();
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock for reading.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock for writing.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock for writing.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.leave_read();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.leave_write();
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load(Ordering::Relaxed);
        f.debug_struct("RwLock")
            .field("readers", &(state / READER))
            .field("writer", &(state & WRITER != 0))
            .finish_non_exhaustive()
    }
}
