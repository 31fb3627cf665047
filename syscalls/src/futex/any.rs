//! Waiting for any of several words: `futex_waitv(2)`.

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
    let (index, reason) = poll_fn(|context| poll_all(&mut waits, context)).await;
    match reason {
        Reason::Data | Reason::Hup | Reason::Close => Ok(index),
        Reason::Timeout => Err(Errno::ETIMEDOUT),
        Reason::Signal => Err(Errno::EINTR),
    }
}

/// Polls all; the last that was woken counts, and time or a signal only if none was.
fn poll_all(waits: &mut [Pin<Box<WaitFuture<'_>>>], context: &mut Context<'_>) -> Poll<(usize, Reason)> {
    let mut ended = None;
    for (index, wait) in waits.iter_mut().enumerate() {
        if let Poll::Ready(reason) = wait.as_mut().poll(context) {
            let is_wake = !matches!(reason, Reason::Signal | Reason::Timeout);
            if is_wake || ended.is_none() {
                ended = Some((index, reason));
            }
        }
    }
    ended.map_or(Poll::Pending, Poll::Ready)
}
