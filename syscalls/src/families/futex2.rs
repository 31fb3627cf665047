//! The second generation of futex calls: one call for each operation, flags beside each word.
//! Source: `futex(2)` and the kernel's `Documentation/userspace-api/futex2.rst`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use base::charge::Charge;
use base::time::Instant;
use base::{Errno, Result};

use super::futex::absolute;
use crate::declare;
use crate::declare::Pointer;
use crate::futex::any::wait_any;
use crate::futex::operations::{self, Word};
use crate::mm::futex_key::FutexSharing;
use crate::thread::Thread;
use crate::time::timespec::read_timespec;
use crate::user::read_words;

declare! {
    async 449 => futex_waitv(waiters: Pointer, count: u32, flags: u32, timeout: Pointer, clock: i32) [restart];
    sync 454 => futex_wake(word: Pointer, mask: u64, count: i32, flags: u32);
    async 455 => futex_wait(word: Pointer, value: u64, mask: u64, flags: u32, timeout: Pointer, clock: i32) [restart];
    async 456 => futex_requeue(waiters: Pointer, flags: u32, wake: i32, requeue: i32);
}

/// The word has 32 bits; other sizes are not there, as on Linux.
const FUTEX2_SIZE_U32: u32 = 2;
const FUTEX2_PRIVATE: u32 = 128;

/// Words that one futex_waitv waits for at most.
const WAITV_MAX: u32 = 128;

/// Kernel memory that the wait for one of them takes.
const WAIT_BYTES: usize = 512;

const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;

/// Bytes of a `struct futex_waitv`: value, address, flags, and four that must be zero.
const WAITER_BYTES: u64 = 24;

/// A decoded `struct futex_waitv`.
#[derive(Clone, Copy)]
struct Waiter {
    value: u32,
    address: u64,
    sharing: FutexSharing,
}

impl Waiter {
    fn decode([value, address, rest]: [u64; 3]) -> Result<Waiter> {
        // The upper half of the last word is reserved.
        let sharing = sharing(u32::try_from(rest).map_err(|_| Errno::EINVAL)?)?;
        Ok(Waiter { value: fits(value)?, address, sharing })
    }
}

/// What the flags of a word say.
fn sharing(flags: u32) -> Result<FutexSharing> {
    match flags {
        FUTEX2_SIZE_U32 => Ok(FutexSharing::Shared),
        flags if flags == FUTEX2_SIZE_U32 | FUTEX2_PRIVATE => Ok(FutexSharing::Private),
        _ => Err(Errno::EINVAL),
    }
}

/// A value or mask for a word of 32 bits.
fn fits(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}

async fn read_waiters(thread: &Thread, at: Pointer, count: u32) -> Result<Vec<Waiter>> {
    let space = thread.space();
    let mut waiters = Vec::with_capacity(count as usize);
    for index in 0..u64::from(count) {
        let words = read_words::<3>(&*space, at.0.wrapping_add(index * WAITER_BYTES)).await?;
        waiters.push(Waiter::decode(words)?);
    }
    Ok(waiters)
}

/// A point in time on one of the two clocks that there may be.
async fn deadline(thread: &Thread, timeout: Pointer, clock: i32) -> Result<Option<Instant>> {
    if timeout.is_null() {
        return Ok(None);
    }
    let is_realtime = match clock {
        CLOCK_REALTIME => true,
        CLOCK_MONOTONIC => false,
        _ => return Err(Errno::EINVAL),
    };
    let at = read_timespec(&*thread.space(), timeout).await?;
    Ok(Some(absolute(at, is_realtime)))
}

async fn futex_waitv(
    thread: &Thread,
    waiters: Pointer,
    count: u32,
    flags: u32,
    timeout: Pointer,
    clock: i32,
) -> Result<u64> {
    if flags != 0 || count == 0 || count > WAITV_MAX || waiters.is_null() {
        return Err(Errno::EINVAL);
    }
    let deadline = deadline(thread, timeout, clock).await?;
    let _charge = Charge::new(&thread.caller().account, count as usize * WAIT_BYTES)?;
    let waiters = read_waiters(thread, waiters, count).await?;
    let space = thread.space();
    let word = |waiter: Waiter| Ok((Word::new(&space, waiter.address, waiter.sharing)?, waiter.value));
    let words = waiters.into_iter().map(word).collect::<Result<Vec<_>>>()?;
    Ok(Box::pin(wait_any(&words, deadline)).await? as u64)
}

fn futex_wake(thread: &Thread, word: Pointer, mask: u64, count: i32, flags: u32) -> Result<u64> {
    let (sharing, bits) = (sharing(flags)?, fits(mask)?);
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let space = thread.space();
    let word = Word::new(&space, word.0, sharing)?;
    match count {
        0 => Ok(0),
        count => Ok(operations::wake(&word, usize::try_from(count).unwrap_or(1), bits)? as u64),
    }
}

async fn futex_wait(
    thread: &Thread,
    word: Pointer,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: Pointer,
    clock: i32,
) -> Result<u64> {
    let (sharing, value, bits) = (sharing(flags)?, fits(value)?, fits(mask)?);
    let deadline = deadline(thread, timeout, clock).await?;
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let space = thread.space();
    let word = Word::new(&space, word.0, sharing)?;
    operations::wait(&word, value, bits, deadline).await.map(|()| 0)
}

async fn futex_requeue(
    thread: &Thread,
    waiters: Pointer,
    flags: u32,
    wake: i32,
    requeue: i32,
) -> Result<u64> {
    if flags != 0 || waiters.is_null() {
        return Err(Errno::EINVAL);
    }
    let waiters = read_waiters(thread, waiters, 2).await?;
    let [from, to] = waiters[..] else { return Err(Errno::EINVAL) };
    let count = |count: i32| usize::try_from(count).map_err(|_| Errno::EINVAL);
    let (wake, requeue) = (count(wake)?, count(requeue)?);
    if from.sharing != to.sharing {
        return Err(Errno::EINVAL);
    }
    let space = thread.space();
    let source = Word::new(&space, from.address, from.sharing)?;
    let target = Word::new(&space, to.address, to.sharing)?;
    let (woken, moved) = operations::requeue(&source, wake, requeue, &target, Some(from.value)).await?;
    Ok((woken + moved) as u64)
}
