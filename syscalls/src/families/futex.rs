//! futex(2), and the list of robust futexes.

use alloc::boxed::Box;
use core::time::Duration;

use base::time::Instant;
use base::{Errno, Result, machine};

use super::futex_pi::{Call, FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_WAIT_REQUEUE_PI};
use crate::declare;
use crate::declare::Pointer;
use crate::futex::operations::{self, MATCH_ANY, Word};
use crate::mm::futex_key::FutexSharing;
use crate::restart::RestartBlock;
use crate::thread::Thread;
use crate::time::clock;
use crate::time::timespec::read_timespec;

declare! {
    async 202 => futex(word: Pointer, operation: i32, value: u32, timeout: Pointer, second: Pointer, third: u32) [restart] after try_wake;
}

const FUTEX_WAIT: i32 = 0;
const FUTEX_WAKE: i32 = 1;
const FUTEX_REQUEUE: i32 = 3;
const FUTEX_CMP_REQUEUE: i32 = 4;
const FUTEX_WAKE_OP: i32 = 5;
const FUTEX_WAIT_BITSET: i32 = 9;
const FUTEX_WAKE_BITSET: i32 = 10;
const FUTEX_PRIVATE_FLAG: i32 = 128;
const FUTEX_WAKE_PRIVATE: i32 = FUTEX_WAKE | FUTEX_PRIVATE_FLAG;
const FUTEX_CLOCK_REALTIME: i32 = 256;

/// A wake, the commonest of the operations that never wait.
fn try_wake(
    thread: &Thread,
    word: Pointer,
    operation: i32,
    value: u32,
    _timeout: Pointer,
    _second: Pointer,
    _third: u32,
) -> Option<Result<u64>> {
    let sharing = match operation {
        FUTEX_WAKE => FutexSharing::Shared,
        FUTEX_WAKE_PRIVATE => FutexSharing::Private,
        _ => return None,
    };
    let space = thread.space();
    let woken = Word::new(&space, word.0, sharing)
        .and_then(|word| operations::wake(&word, count_at_least_one(value), MATCH_ANY));
    Some(woken.map(|woken| woken as u64))
}

async fn futex(
    thread: &Thread,
    word: Pointer,
    operation: i32,
    value: u32,
    timeout: Pointer,
    second: Pointer,
    third: u32,
) -> Result<u64> {
    let command = operation & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    let sharing =
        if operation & FUTEX_PRIVATE_FLAG != 0 { FutexSharing::Private } else { FutexSharing::Shared };
    let realtime = operation & FUTEX_CLOCK_REALTIME != 0;
    if realtime && !matches!(command, FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI2) {
        return Err(Errno::ENOSYS);
    }
    let space = thread.space();
    let deadline = match takes_timeout(command) && !timeout.is_null() {
        true => Some(deadline(command, read_timespec(&*space, timeout).await?, realtime)),
        false => None,
    };
    let first = || Word::new(&space, word.0, sharing);
    // The second count travels in the place of the timeout.
    let second_count = timeout.0 & 0xffff_ffff;
    match command {
        FUTEX_WAIT => wait(thread, word, sharing, value, MATCH_ANY, deadline).await,
        FUTEX_WAIT_BITSET if third == 0 => Err(Errno::EINVAL),
        FUTEX_WAIT_BITSET => wait(thread, word, sharing, value, third, deadline).await,
        FUTEX_WAKE => operations::wake(&first()?, count_at_least_one(value), MATCH_ANY).map(|n| n as u64),
        FUTEX_WAKE_BITSET if third == 0 => Err(Errno::EINVAL),
        FUTEX_WAKE_BITSET => operations::wake(&first()?, count_at_least_one(value), third).map(|n| n as u64),
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let (wake, requeue) = (count(value)?, count(second_count as u32)?);
            let first = first()?;
            let target = Word::new(&space, second.0, sharing)?;
            let expected = (command == FUTEX_CMP_REQUEUE).then_some(third);
            let (woken, moved) = operations::requeue(&first, wake, requeue, &target, expected).await?;
            Ok((woken + moved) as u64)
        }
        FUTEX_WAKE_OP => {
            let first = first()?;
            let target = Word::new(&space, second.0, sharing)?;
            let (wake_first, wake_second) =
                (count_at_least_one(value), count_at_least_one(second_count as u32));
            let woken = operations::wake_op(&first, &target, wake_first, wake_second, third).await?;
            Ok(woken as u64)
        }
        _ => {
            let count = second_count as u32;
            let call = Call { command, sharing, word, value, count, deadline, second, third };
            Box::pin(call.make(thread)).await
        }
    }
}

async fn wait(
    thread: &Thread,
    address: Pointer,
    sharing: FutexSharing,
    expected: u32,
    bits: u32,
    deadline: Option<Instant>,
) -> Result<u64> {
    match deadline {
        None => wait_until(thread, address, sharing, expected, bits, None).await,
        Some(deadline) => go_on_waiting(thread, address, sharing, expected, bits, deadline).await,
    }
}

/// Waits with a deadline; interrupted, it remembers how to go on, so that the time that has passed counts.
pub(super) async fn go_on_waiting(
    thread: &Thread,
    word: Pointer,
    sharing: FutexSharing,
    expected: u32,
    bits: u32,
    deadline: Instant,
) -> Result<u64> {
    match wait_until(thread, word, sharing, expected, bits, Some(deadline)).await {
        Err(Errno::EINTR) => {
            let block = RestartBlock::Futex { word, sharing, expected, bits, deadline };
            Err(thread.restart().later(block))
        }
        result => result,
    }
}

async fn wait_until(
    thread: &Thread,
    address: Pointer,
    sharing: FutexSharing,
    expected: u32,
    bits: u32,
    deadline: Option<Instant>,
) -> Result<u64> {
    let space = thread.space();
    let word = Word::new(&space, address.0, sharing)?;
    operations::wait(&word, expected, bits, deadline).await.map(|()| 0)
}

fn takes_timeout(command: i32) -> bool {
    matches!(command, FUTEX_WAIT | FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI | FUTEX_LOCK_PI2)
}

/// `FUTEX_WAIT` takes a span, the others a point in time, `FUTEX_LOCK_PI` always one of the wall clock.
fn deadline(command: i32, time: Duration, realtime: bool) -> Instant {
    match command {
        FUTEX_WAIT => machine::now() + time,
        _ => absolute(time, realtime || command == FUTEX_LOCK_PI),
    }
}

/// A point in time on the wall clock or on the monotonic one.
pub(super) fn absolute(time: Duration, realtime: bool) -> Instant {
    if realtime { clock::realtime_to_monotonic(time) } else { Instant::BOOT + time }
}

/// A count that must not be negative.
fn count(value: u32) -> Result<usize> {
    match value.cast_signed() {
        0.. => Ok(value as usize),
        _ => Err(Errno::EINVAL),
    }
}

/// Linux wakes at least one, whatever the count says.
fn count_at_least_one(value: u32) -> usize {
    usize::try_from(value.cast_signed()).unwrap_or(1).max(1)
}
