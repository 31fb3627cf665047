//! One who waits for a lock, or on a condition to be moved to a lock.
//!
//! ```text
//!   on a condition --- requeue ---> in a queue --- unlock ---------> has it
//!         |    \                      |     \                          ^
//!         |     +---- requeue, and the lock is free ------------------+
//!         |                           |       \                        | writes the word
//!         +--- time, signal, drop ----+        +--- owner left --> inherits
//!                        v
//!                      gone
//! ```
//!
//! Each step is made under the lock of the table ([`super::locks`]).

use alloc::sync::Arc;

use base::memory::{Access, UserMemory};
use base::sync::atomic::{AtomicU8, Ordering};
use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};

use super::locks::LOCKS;
use crate::futex::operations::Word;
use crate::futex::robust::{FUTEX_OWNER_DIED, FUTEX_WAITERS};
use crate::mm::FutexKey;
use crate::thread::Thread;

/// Where a waiter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// On a condition.
    Condition = 0,
    /// In the queue of its lock.
    Queued = 1,
    /// It has the lock, and the word says so.
    Owner = 2,
    /// It has the lock of an owner who left, and has to write that into the word.
    Heir = 3,
}

/// One who waits.
pub struct Waiter {
    /// Who it is.
    pub(super) thread: Arc<Thread>,
    /// The lock that it wants.
    pub(super) lock: FutexKey,
    /// The condition on which it began; none when it asked for the lock itself.
    pub(super) condition: Option<FutexKey>,
    place: AtomicU8,
    source: WaitSource,
}

impl Waiter {
    /// A waiter for `lock`; with `condition`, one that waits there to be moved.
    pub(super) fn new(thread: &Arc<Thread>, lock: FutexKey, condition: Option<FutexKey>) -> Arc<Waiter> {
        let place = if condition.is_some() { Place::Condition } else { Place::Queued };
        let object = condition.unwrap_or(lock).place();
        Arc::new(Waiter {
            thread: thread.clone(),
            lock,
            condition,
            place: AtomicU8::new(place as u8),
            source: WaitSource::new(WaitKind::Futex, object),
        })
    }

    /// Where it stands; stable only under the lock of the table, save for its last two places.
    pub(super) fn place(&self) -> Place {
        match self.place.load(Ordering::Acquire) {
            0 => Place::Condition,
            1 => Place::Queued,
            2 => Place::Owner,
            _ => Place::Heir,
        }
    }

    /// Moves it. Under the lock of the table.
    pub(super) fn set_place(&self, place: Place) {
        self.place.store(place as u8, Ordering::Release);
    }

    /// Where it waits.
    pub(super) fn source(&self) -> &WaitSource {
        &self.source
    }

    /// Makes it look at its place. Outside the lock of the table.
    pub(super) fn wake(&self) {
        self.source.wake_all(Events::empty(), Reason::Data);
    }

    fn has_lock(&self) -> bool {
        matches!(self.place(), Place::Owner | Place::Heir)
    }
}

/// A waiter that is in the table. Dropped, it leaves; what it inherited passes on with its thread's end.
pub(super) struct Waiting(Arc<Waiter>);

impl Waiting {
    pub(super) fn new(waiter: Arc<Waiter>) -> Waiting {
        Waiting(waiter)
    }

    /// Waits until it has the lock at `word`.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`; `EINTR`, or `EAGAIN` when it had been moved from a condition; `EFAULT`.
    pub(super) async fn wait(self, word: &Word<'_>, deadline: Option<Instant>) -> Result<()> {
        let waiter = &*self.0;
        let mut over = None;
        loop {
            let seen = waiter.source.observe();
            if waiter.has_lock() {
                break;
            }
            if let Some(reason) = over {
                match self.give_up(reason) {
                    None => break,
                    Some(error) => return Err(error),
                }
            }
            let reason = waiter.source.wait(seen, Wait::interruptible().until(deadline)).await;
            over = matches!(reason, Reason::Signal | Reason::Timeout).then_some(reason);
        }
        match waiter.place() {
            Place::Heir => inherit(&waiter.thread, word).await,
            _ => Ok(()),
        }
    }

    /// Leaves the table because of `reason`; nothing when the lock came first.
    fn give_up(&self, reason: Reason) -> Option<Errno> {
        match LOCKS.lock().leave(&self.0) {
            Place::Owner | Place::Heir => None,
            _ if reason == Reason::Timeout => Some(Errno::ETIMEDOUT),
            // The value of the condition has changed: whoever starts again would be told so.
            Place::Queued if self.0.condition.is_some() => Some(Errno::EAGAIN),
            _ => Some(Errno::EINTR),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut locks = LOCKS.lock();
        if locks.leave(&self.0) == Place::Heir {
            locks.inherited(&self.0.lock);
        }
    }
}

/// Writes the heir into the word of an owner who left.
async fn inherit(heir: &Thread, word: &Word<'_>) -> Result<()> {
    let new = heir.tid() | FUTEX_WAITERS | FUTEX_OWNER_DIED;
    let mut old = word.load().await?;
    loop {
        match word.space().compare_exchange_nofault(word.address(), old, new) {
            Some(found) if found == old => return Ok(()),
            Some(found) => {
                old = found;
                // Whoever keeps writing the word keeps its heir here, not the CPU.
                executor::yield_point().await;
            }
            None => word.space().fault_in(word.address(), 4, Access::Write).await?,
        }
    }
}
