//! Locks that name their owner: the PI operations of `futex(2)`.
//!
//! ```text
//!                 the word                        the kernel
//!   free          0                               nothing
//!   taken         tid                             nothing
//!   wanted        tid | WAITERS                   a lock: its owner, and who waits
//!   owner died    OWNER_DIED, perhaps WAITERS     nothing, or a lock that is being passed on
//! ```
//!
//! The first two need no call. The kernel knows a lock only while somebody waits for it; who unlocks it then writes
//! the next owner into the word, and nobody else can take it meanwhile. Of those who wait, the one with the highest
//! static priority comes first, and of equals whoever came first, whatever their nice values. Nothing is lent to the
//! owner: the executor runs threads in turn whatever their priorities, so no thread of a lower one than the waiter's
//! keeps an owner from running longer than others do. Whoever would wait for himself, be it through the owners of any
//! number of locks, is told so.
//!
//! | module | subject |
//! |---|---|
//! | [`locks`] | the locks that somebody waits for, and each legal step |
//! | [`waiter`] | one who waits |
//! | [`requeue`] | from a condition to the lock: `WAIT_REQUEUE_PI`, `CMP_REQUEUE_PI` |

pub mod locks;
pub mod requeue;
pub mod waiter;

use alloc::sync::Arc;

use base::memory::{Access, UserMemory};
use base::time::Instant;
use base::{Errno, Result};

use crate::futex::operations::Word;
use crate::futex::robust::FUTEX_TID_MASK;
use crate::process::table;
use crate::thread::Thread;
use locks::{Claim, LOCKS, Named, Release};
use waiter::Waiting;

/// Takes the lock at `word` for the calling thread, waiting until `deadline` at most.
///
/// A drop leaves the queue; a lock that had been passed to this waiter already passes on when the thread ends.
///
/// # Errors
///
/// `EDEADLK` when the thread has it, or its owner waits for the thread, be it through others; `ESRCH` when its owner
/// is no thread; `EINVAL` when the word and the kernel do not agree, or somebody waits for the word otherwise;
/// `ETIMEDOUT`; `EFAULT`. Interrupted, the call starts again.
pub async fn lock(thread: &Thread, word: &Word<'_>, deadline: Option<Instant>) -> Result<()> {
    let own = itself(thread)?;
    let waiting = loop {
        let named = named(word.load().await?);
        let claimed = LOCKS.lock().lock(&own, word, &named);
        match claimed? {
            Claim::Taken => return Ok(()),
            Claim::Waits(waiter) => break Waiting::new(waiter),
            Claim::Missing => fault_in(word).await?,
            Claim::Changed => executor::yield_point().await,
        }
    };
    match waiting.wait(word, deadline).await {
        Err(Errno::EINTR) => Err(Errno::ERESTARTNOINTR),
        result => result,
    }
}

/// Takes the lock at `word` if it is free.
///
/// # Errors
///
/// As [`lock`]; `EAGAIN` when somebody has it.
pub async fn try_lock(thread: &Thread, word: &Word<'_>) -> Result<()> {
    let own = itself(thread)?;
    loop {
        let named = named(word.load().await?);
        let claimed = LOCKS.lock().claim(&own, word, &named, false);
        match claimed? {
            Claim::Taken => return Ok(()),
            Claim::Waits(()) => return Err(Errno::EAGAIN),
            Claim::Missing => fault_in(word).await?,
            Claim::Changed => executor::yield_point().await,
        }
    }
}

/// Gives the lock at `word` to the next who waits for it, or to nobody.
///
/// # Errors
///
/// `EPERM` when the calling thread does not have it; `EINVAL` when the word and the kernel do not agree, or
/// somebody waits for the word otherwise; `EFAULT`.
pub async fn unlock(thread: &Thread, word: &Word<'_>) -> Result<()> {
    loop {
        let seen = word.load().await?;
        if seen & FUTEX_TID_MASK != thread.tid() {
            return Err(Errno::EPERM);
        }
        let released = LOCKS.lock().unlock(thread.tid(), word, seen);
        match released? {
            Release::ToNobody => return Ok(()),
            Release::To(next) => {
                next.wake();
                return Ok(());
            }
            Release::Missing => fault_in(word).await?,
            Release::Changed => executor::yield_point().await,
        }
    }
}

/// Passes on every lock that somebody waits for and `thread` has: it lets go of its memory. With `ends`, nobody
/// can begin to wait for it any more.
pub fn release_all(thread: &Thread, ends: bool) {
    let heirs = LOCKS.lock().owner_left(thread, ends);
    heirs.iter().for_each(|heir| heir.wake());
}

/// The thread itself, to be kept in the table.
fn itself(thread: &Thread) -> Result<Arc<Thread>> {
    table::find_thread(thread.tid()).ok_or(Errno::ESRCH)
}

/// The thread that a word names.
fn named(word: u32) -> Named {
    let tid = word & FUTEX_TID_MASK;
    Named { tid, thread: table::find_thread(tid) }
}

/// Makes the word's page writable, or says why it cannot be.
async fn fault_in(word: &Word<'_>) -> Result<()> {
    executor::yield_point().await;
    word.space().fault_in(word.address(), 4, Access::Write).await
}
