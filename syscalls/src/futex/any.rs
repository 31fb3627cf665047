//! Waiting for any of several words: `futex_waitv(2)`.
//!
//! What a program may rely on, here as on Linux (`sys_futex_waitv`, `futex_unqueue_multiple`):
//!
//! - The answer is the index of a word that was woken during the call. Of several it may be any (here, as there, the
//!   last); the others are not told of, so a program looks at all its words.
//! - A wake that counted this waiter among those it woke is consumed by this call, which gives an index then and neither
//!   `ETIMEDOUT` nor `EINTR`. Wakes of several words count it once each, and end one wait.
//! - A wake that did not count it may end the wait all the same.
//!
//! Beyond Linux, where such a wake is lost: that of a waiter that is killed goes to the next of its word.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};

use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait, WaitFuture};

use super::operations::Word;
use super::table::join;

/// Waits until somebody wakes one of the words, if each still holds its value; gives which one, the last of several.
///
/// A drop leaves all queues; a wake that had been given to this waiter goes to the next of that word.
///
/// # Errors
///
/// `EAGAIN` when a word holds something else, `ETIMEDOUT`, `EINTR`, `EFAULT`.
pub async fn wait_any(words: &[(Word<'_>, u32)], deadline: Option<Instant>) -> Result<usize> {
    let memberships: Vec<_> = words.iter().map(|(word, _)| join(*word.key())).collect();
    // All are observed before the first is read, as for one word.
    let seen: Vec<_> = memberships.iter().map(|membership| membership.queue().observe()).collect();
    for (word, expected) in words {
        if word.load().await? != *expected {
            return Err(Errno::EAGAIN);
        }
    }
    let mut waits = Vec::with_capacity(words.len());
    for (membership, seen) in memberships.iter().zip(seen) {
        // One of them watches the clock for all.
        let until = deadline.filter(|_| waits.is_empty());
        let wait = Wait::interruptible().until(until).events(Events::all());
        waits.push(Box::pin(membership.queue().wait(seen, wait)));
    }
    let ended = poll_fn(|context| poll_all(&mut waits, context)).await;
    let (index, reason) = leave_all(&mut waits, ended);
    match reason {
        Reason::Data | Reason::Hup | Reason::Close => Ok(index),
        Reason::Timeout => Err(Errno::ETIMEDOUT),
        Reason::Signal => Err(Errno::EINTR),
    }
}

fn is_wake(reason: Reason) -> bool {
    !matches!(reason, Reason::Signal | Reason::Timeout)
}

/// Polls all; the last that was woken counts, and time or a signal only if none was.
fn poll_all(waits: &mut [Pin<Box<WaitFuture<'_>>>], context: &mut Context<'_>) -> Poll<(usize, Reason)> {
    let mut ended = None;
    for (index, wait) in waits.iter_mut().enumerate() {
        if let Poll::Ready(reason) = wait.as_mut().poll(context)
            && (is_wake(reason) || ended.is_none())
        {
            ended = Some((index, reason));
        }
    }
    ended.map_or(Poll::Pending, Poll::Ready)
}

/// Leaves all queues. A wake that came meanwhile has counted this waiter, so it counts as well.
fn leave_all(waits: &mut [Pin<Box<WaitFuture<'_>>>], mut ended: (usize, Reason)) -> (usize, Reason) {
    for (index, wait) in waits.iter_mut().enumerate() {
        if let Some(reason) = wait.as_mut().give_up()
            && (index > ended.0 || !is_wake(ended.1))
        {
            ended = (index, reason);
        }
    }
    ended
}
