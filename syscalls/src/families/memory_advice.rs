//! Advice, residency, locks and barriers: madvise, msync, mincore, the mlock calls, membarrier.

use core::ops::Range;

use base::caller::Capabilities;
use base::{Errno, Result};

use crate::declare;
use crate::declare::Pointer;
use crate::machine::{FaultAccess, USER_END};
use crate::mm::advise::FlagAdvice;
use crate::mm::lock::Residency;
use crate::mm::{PAGE, RegionFlags, is_page_aligned, page_ceiling, page_floor};
use crate::thread::Thread;
use crate::user::copy_out;

declare! {
    async 26 => msync(address: u64, length: u64, flags: i32);
    async 27 => mincore(address: u64, length: u64, vector: Pointer);
    async 28 => madvise(address: u64, length: u64, advice: i32);
    async 149 => mlock(address: u64, length: u64);
    async 150 => munlock(address: u64, length: u64);
    async 151 => mlockall(flags: i32);
    async 152 => munlockall();
    async 324 => membarrier(command: i32, flags: u32, cpu: i32);
    async 325 => mlock2(address: u64, length: u64, flags: i32);
}

/// Advice numbers, by their names in `madvise(2)`.
mod advice {
    pub(super) const NORMAL: i32 = 0;
    pub(super) const RANDOM: i32 = 1;
    pub(super) const SEQUENTIAL: i32 = 2;
    pub(super) const WILLNEED: i32 = 3;
    pub(super) const DONTNEED: i32 = 4;
    pub(super) const FREE: i32 = 8;
    pub(super) const REMOVE: i32 = 9;
    pub(super) const DONTFORK: i32 = 10;
    pub(super) const DOFORK: i32 = 11;
    pub(super) const DONTDUMP: i32 = 16;
    pub(super) const DODUMP: i32 = 17;
    pub(super) const WIPEONFORK: i32 = 18;
    pub(super) const KEEPONFORK: i32 = 19;
    pub(super) const COLD: i32 = 20;
    pub(super) const PAGEOUT: i32 = 21;
    pub(super) const POPULATE_READ: i32 = 22;
    pub(super) const POPULATE_WRITE: i32 = 23;
    pub(super) const DONTNEED_LOCKED: i32 = 24;
}

async fn madvise(thread: &Thread, address: u64, length: u64, number: i32) -> Result<u64> {
    // Numbers of a Linux without KSM, huge pages and memory-failure handling.
    if !matches!(number, 0..=4 | 8..=11 | 16..=24) {
        return Err(Errno::EINVAL);
    }
    if !is_page_aligned(address) {
        return Err(Errno::EINVAL);
    }
    let length = page_ceiling(length).ok_or(Errno::EINVAL)?;
    let end = address.checked_add(length).ok_or(Errno::EINVAL)?;
    if end == address {
        return Ok(0);
    }
    let (space, range) = (thread.space(), address..end);
    match number {
        advice::DONTNEED => space.discard(range).await?,
        advice::DONTNEED_LOCKED => space.discard_locked(range).await?,
        advice::FREE => space.free(range).await?,
        advice::REMOVE => space.remove_backing(range).await?,
        advice::POPULATE_READ => space.prefault(range, FaultAccess::Read).await?,
        advice::POPULATE_WRITE => space.prefault(range, FaultAccess::Write).await?,
        advice::WILLNEED => space.check_mapped(range)?,
        advice::COLD | advice::PAGEOUT => space.check_not_locked(range)?,
        _ => space.advise_flags(range, flag_advice(number)?).await?,
    }
    Ok(0)
}

/// What advice about regions does to their flags.
fn flag_advice(number: i32) -> Result<FlagAdvice> {
    use RegionFlags as R;
    let order = R::SEQUENTIAL | R::RANDOM;
    let (set, clear) = match number {
        advice::NORMAL => (R::empty(), order),
        advice::RANDOM => (R::RANDOM, order),
        advice::SEQUENTIAL => (R::SEQUENTIAL, order),
        advice::DONTFORK => (R::DONT_FORK, R::empty()),
        advice::DOFORK => (R::empty(), R::DONT_FORK),
        advice::DONTDUMP => (R::DONT_DUMP, R::empty()),
        advice::DODUMP => (R::empty(), R::DONT_DUMP),
        advice::WIPEONFORK => (R::WIPE_ON_FORK, R::empty()),
        advice::KEEPONFORK => (R::empty(), R::WIPE_ON_FORK),
        _ => return Err(Errno::EINVAL),
    };
    Ok(FlagAdvice {
        set,
        clear,
        anonymous_only: number == advice::WIPEONFORK,
        kernel_pages: matches!(
            number,
            advice::NORMAL
                | advice::RANDOM
                | advice::SEQUENTIAL
                | advice::DONTDUMP
                | advice::DONTFORK
                | advice::KEEPONFORK
        ),
    })
}

async fn msync(thread: &Thread, address: u64, length: u64, flags: i32) -> Result<u64> {
    const ASYNC: i32 = 1;
    const INVALIDATE: i32 = 2;
    const SYNC: i32 = 4;
    if flags & !(ASYNC | INVALIDATE | SYNC) != 0 || !is_page_aligned(address) {
        return Err(Errno::EINVAL);
    }
    if flags & ASYNC != 0 && flags & SYNC != 0 {
        return Err(Errno::EINVAL);
    }
    // A length that wraps to nothing is nothing, as on Linux.
    let length = page_ceiling(length).unwrap_or(0);
    let end = address.checked_add(length).ok_or(Errno::ENOMEM)?;
    if end == address {
        return Ok(0);
    }
    thread.space().sync(address..end, flags & SYNC != 0, flags & INVALIDATE != 0).await.map(|()| 0)
}

async fn mincore(thread: &Thread, address: u64, length: u64, vector: Pointer) -> Result<u64> {
    if !is_page_aligned(address) {
        return Err(Errno::EINVAL);
    }
    let in_user_space = |at: u64, length: u64| at.checked_add(length).is_some_and(|end| end <= USER_END);
    if !in_user_space(address, length) {
        return Err(Errno::ENOMEM);
    }
    let pages = length.div_ceil(PAGE);
    if !in_user_space(vector.0, pages) {
        return Err(Errno::EFAULT);
    }
    let space = thread.space();
    let mut done = 0;
    while done < pages {
        let count = (pages - done).min(PAGE);
        let start = address + done * PAGE;
        let resident = space.resident_pages(start..start + count * PAGE);
        let resident = resident?;
        copy_out(&*space, vector.0 + done, &resident).await?;
        done += count;
        // A reservation may have millions of pages with nothing in them.
        executor::yield_point().await;
    }
    Ok(0)
}

/// The whole pages that hold `[address, address + length)`; `None` when there are none.
fn covering_pages(address: u64, length: u64) -> Result<Option<Range<u64>>> {
    let start = page_floor(address);
    let length = length.checked_add(address - start).and_then(page_ceiling).unwrap_or(0);
    let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
    Ok((end != start).then_some(start..end))
}

fn may_exceed_lock_limit(thread: &Thread) -> bool {
    thread.credentials().capable(Capabilities::IPC_LOCK)
}

async fn mlock(thread: &Thread, address: u64, length: u64) -> Result<u64> {
    lock(thread, address, length, Residency::Now).await
}

async fn mlock2(thread: &Thread, address: u64, length: u64, flags: i32) -> Result<u64> {
    const ONFAULT: i32 = 1;
    match flags {
        0 => lock(thread, address, length, Residency::Now).await,
        ONFAULT => lock(thread, address, length, Residency::OnFault).await,
        _ => Err(Errno::EINVAL),
    }
}

async fn lock(thread: &Thread, address: u64, length: u64, residency: Residency) -> Result<u64> {
    let (space, may_exceed) = (thread.space(), may_exceed_lock_limit(thread));
    if !space.may_lock(may_exceed) {
        return Err(Errno::EPERM);
    }
    let range = covering_pages(address, length).map_err(|error| {
        // Linux looks at the limit first, and no limit allows such a length.
        if may_exceed { error } else { Errno::ENOMEM }
    })?;
    if let Some(range) = range {
        space.lock_range(range, residency, may_exceed).await?;
    }
    Ok(0)
}

async fn munlock(thread: &Thread, address: u64, length: u64) -> Result<u64> {
    if let Some(range) = covering_pages(address, length)? {
        thread.space().unlock_range(range).await?;
    }
    Ok(0)
}

async fn mlockall(thread: &Thread, flags: i32) -> Result<u64> {
    const CURRENT: i32 = 1;
    const FUTURE: i32 = 2;
    const ONFAULT: i32 = 4;
    if flags == 0 || flags & !(CURRENT | FUTURE | ONFAULT) != 0 || flags == ONFAULT {
        return Err(Errno::EINVAL);
    }
    let residency = if flags & ONFAULT != 0 { Residency::OnFault } else { Residency::Now };
    let when = |flag: i32| (flags & flag != 0).then_some(residency);
    let may_exceed = may_exceed_lock_limit(thread);
    thread.space().lock_all(when(CURRENT), when(FUTURE), may_exceed).await.map(|()| 0)
}

async fn munlockall(thread: &Thread) -> Result<u64> {
    thread.space().lock_all(None, None, true).await.map(|()| 0)
}

/// The private expedited barrier only; the others answer as a Linux that was built without them.
/// Source: `membarrier(2)`.
async fn membarrier(thread: &Thread, command: i32, flags: u32, _cpu: i32) -> Result<u64> {
    const QUERY: i32 = 0;
    const PRIVATE_EXPEDITED: i32 = 8;
    const REGISTER_PRIVATE_EXPEDITED: i32 = 16;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        QUERY => Ok((PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED) as u64),
        REGISTER_PRIVATE_EXPEDITED => {
            thread.space().lock().barriers = true;
            Ok(0)
        }
        PRIVATE_EXPEDITED => thread.space().barrier().await.map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}
