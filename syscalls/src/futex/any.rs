//! Waiting for any of several words: `futex_waitv(2)`.
//!
//! What a program may rely on, here as on Linux (`sys_futex_waitv`, `futex_unqueue_multiple`):
//!
//! - The answer is the index of a word that was woken during the call. Of several it may be any (here, as there, the
//!   last); the others are not told of, so a program looks at all its words.
//! - A wake that counted this waiter among those it woke is consumed by this call, which gives an index then and neither
//!   `ETIMEDOUT` nor `EINTR`. Wakes of several words count it once each, and end one wait. One that did not count it does
//!   not end the wait.
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
    loop {
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
        match leave_all(&mut waits, ended) {
            End { reason: Reason::Timeout, .. } => return Err(Errno::ETIMEDOUT),
            End { reason: Reason::Signal, .. } => return Err(Errno::EINTR),
            End { weight: COUNTED, index, .. } => return Ok(index),
            // Others were woken or moved meanwhile, and nobody has counted this one.
            _ => {}
        }
    }
}

/// The weight of a wake that counted this waiter.
const COUNTED: u8 = 2;

/// What ends the call: a wait that is over, and why.
#[derive(Clone, Copy)]
struct End {
    weight: u8,
    index: usize,
    reason: Reason,
}

impl End {
    /// A wake that counted this waiter weighs most, one that did not least: it only says to look again.
    fn of(index: usize, wait: &WaitFuture<'_>, reason: Reason) -> End {
        let weight = match reason {
            Reason::Data | Reason::Hup | Reason::Close if wait.has_begun() => COUNTED,
            Reason::Signal | Reason::Timeout => 1,
            Reason::Data | Reason::Hup | Reason::Close => 0,
        };
        End { weight, index, reason }
    }

    /// The weightier of two, the last of equals.
    fn or(self, other: End) -> End {
        core::cmp::max_by_key(self, other, |end| (end.weight, end.index))
    }
}

type Waits<'a> = [Pin<Box<WaitFuture<'a>>>];

/// Polls all.
fn poll_all(waits: &mut Waits<'_>, context: &mut Context<'_>) -> Poll<End> {
    let mut ended: Option<End> = None;
    for (index, wait) in waits.iter_mut().enumerate() {
        if let Poll::Ready(reason) = wait.as_mut().poll(context) {
            let end = End::of(index, wait, reason);
            ended = Some(ended.map_or(end, |ended| ended.or(end)));
        }
    }
    ended.map_or(Poll::Pending, Poll::Ready)
}

/// Leaves all queues. A wake that came meanwhile has counted this waiter, so it counts as well.
fn leave_all(waits: &mut Waits<'_>, ended: End) -> End {
    waits.iter_mut().enumerate().fold(ended, |ended, (index, wait)| match wait.as_mut().give_up() {
        Some(reason) => ended.or(End::of(index, wait, reason)),
        None => ended,
    })
}
