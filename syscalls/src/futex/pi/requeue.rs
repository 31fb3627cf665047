//! From a condition to the lock: waiters wake one by one, each with the lock in hand.

use alloc::sync::Arc;

use base::time::Instant;
use base::{Errno, Result};

use super::locks::{Claim, LOCKS, Locks};
use super::waiter::{Place, Waiter, Waiting};
use super::{Named, fault_in, itself, named};
use crate::futex::operations::Word;
use crate::thread::Thread;

/// Waits on `condition`, if it holds `expected`, to be moved to `lock`, until the thread has that:
/// `FUTEX_WAIT_REQUEUE_PI`.
///
/// A drop leaves the queue, whichever it is.
///
/// # Errors
///
/// `EAGAIN` when the condition holds something else, or a signal came after the move; `EINVAL` when both words
/// are one; `ETIMEDOUT`; `EFAULT`. Interrupted before the move, the call starts again.
pub async fn wait(
    thread: &Thread,
    condition: &Word<'_>,
    expected: u32,
    deadline: Option<Instant>,
    lock: &Word<'_>,
) -> Result<()> {
    let own = itself(thread)?;
    let waiting = loop {
        condition.load().await?;
        let joined = LOCKS.lock().join(&own, condition, expected, *lock.key());
        if let Some(waiter) = joined? {
            break Waiting::new(waiter);
        }
        executor::yield_point().await;
    };
    match waiting.wait(lock, deadline).await {
        Err(Errno::EINTR) => Err(Errno::ERESTARTNOINTR),
        result => result,
    }
}

/// What one attempt to move waiters came to.
enum Moved {
    /// So many were moved, of whom one may have the lock now; the next may be none for this lock.
    Waiters(usize, Option<Arc<Waiter>>, Result<()>),
    /// A page is missing.
    Missing,
    /// The lock's word changed meanwhile.
    Changed,
}

/// Moves the first waiter and up to `count` others from `condition`, if it holds `expected`, to `lock`; the first
/// gets it if it is free. Gives how many were moved: `FUTEX_CMP_REQUEUE_PI`.
///
/// # Errors
///
/// `EAGAIN` when the condition holds something else; `EINVAL` when both words are one, or a waiter is none for
/// this lock; `EDEADLK` when the lock's owner waits for the waiter, who stays on the condition; as [`super::lock`].
pub async fn requeue(condition: &Word<'_>, expected: u32, count: usize, lock: &Word<'_>) -> Result<usize> {
    if condition.key() == lock.key() {
        return Err(Errno::EINVAL);
    }
    loop {
        if condition.load().await? != expected {
            return Err(Errno::EAGAIN);
        }
        let named = named(lock.peek().unwrap_or(0));
        let moved = move_waiters(&mut LOCKS.lock(), condition, expected, count, lock, &named);
        match moved? {
            Moved::Waiters(moved, owner, next) => {
                owner.iter().for_each(|owner| owner.wake());
                return next.map(|()| moved);
            }
            Moved::Missing => fault_in(lock).await?,
            Moved::Changed => executor::yield_point().await,
        }
    }
}

fn move_waiters(
    locks: &mut Locks,
    condition: &Word<'_>,
    expected: u32,
    count: usize,
    lock: &Word<'_>,
    named: &Named,
) -> Result<Moved> {
    match condition.peek() {
        None => return Ok(Moved::Changed),
        Some(seen) if seen != expected => return Err(Errno::EAGAIN),
        Some(_) => {}
    }
    let Some(first) = locks.first_at(condition.key())? else {
        return Ok(Moved::Waiters(0, None, Ok(())));
    };
    if first.lock != *lock.key() {
        return Err(Errno::EINVAL);
    }
    let place = match locks.claim(&first.thread, lock, named, count > 0)? {
        Claim::Taken => Place::Owner,
        Claim::Waits(()) => {
            locks.check_chain(&first.thread, lock.key(), named)?;
            Place::Queued
        }
        Claim::Missing => return Ok(Moved::Missing),
        Claim::Changed => return Ok(Moved::Changed),
    };
    locks.move_first(condition.key(), place, named.thread.as_ref());
    let owner = (place == Place::Owner).then(|| first.clone());
    let lock_owner = owner.as_ref().map_or(named.thread.as_ref(), |owner| Some(&owner.thread));
    let mut moved = 1;
    while moved <= count {
        let Some(next) = locks.first_at(condition.key())? else { break };
        if next.lock != *lock.key() {
            return Ok(Moved::Waiters(moved, owner, Err(Errno::EINVAL)));
        }
        if let Err(error) = locks.check_chain(&next.thread, lock.key(), named) {
            return Ok(Moved::Waiters(moved, owner, Err(error)));
        }
        locks.move_first(condition.key(), Place::Queued, lock_owner);
        moved += 1;
    }
    Ok(Moved::Waiters(moved, owner, Ok(())))
}
