//! poll, select and their relatives.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use base::caller::Resource;
use base::time::Instant;
use base::{Errno, Result, machine};
use core::time::Duration;
use executor::pollwait::Events;
use fs::file::{FdTable, OpenFile};
use fs::poll::{PollEntry, poll_files, unusable};

use crate::declare;
use crate::declare::Pointer;
use crate::restart::RestartBlock;
use crate::signal::state::check_mask_size;
use crate::signal::{SignalSet, borrow_mask, return_mask_unless_interrupted};
use crate::thread::Thread;
use crate::time::timespec::{from_parts, read_timespec, read_timeval, write_timespec, write_timeval};
use crate::user::{copy_in, copy_out, read_words};

declare! {
    async 7 => poll(fds: Pointer, count: u32, timeout: i32);
    async 23 => select(count: i32, read: Pointer, write: Pointer, except: Pointer, timeout: Pointer) [nohand];
    async 270 => pselect6(count: i32, read: Pointer, write: Pointer, except: Pointer, timeout: Pointer, mask: Pointer) [nohand];
    async 271 => ppoll(fds: Pointer, count: u32, timeout: Pointer, mask: Pointer, size: usize) [nohand];
}

/// Bytes of a `struct pollfd`.
const POLLFD: usize = 8;

async fn poll(thread: &Thread, fds: Pointer, count: u32, timeout: i32) -> Result<u64> {
    let deadline = u64::try_from(timeout).ok().map(|millis| machine::now() + Duration::from_millis(millis));
    match deadline {
        None => poll_until(thread, fds, count, None).await.map_err(|error| match error {
            Errno::EINTR => Errno::ERESTARTNOHAND,
            error => error,
        }),
        Some(deadline) => go_on_polling(thread, fds, count, deadline).await,
    }
}

/// Polls with a deadline; interrupted, it remembers how to go on.
pub(super) async fn go_on_polling(
    thread: &Thread,
    fds: Pointer,
    count: u32,
    deadline: Instant,
) -> Result<u64> {
    match poll_until(thread, fds, count, Some(deadline)).await {
        Err(Errno::EINTR) => Err(thread.restart().later(RestartBlock::Poll { fds, count, deadline })),
        result => result,
    }
}

async fn poll_until(thread: &Thread, fds: Pointer, count: u32, deadline: Option<Instant>) -> Result<u64> {
    let caller = thread.caller();
    if u64::from(count) > caller.limits.soft(Resource::OpenFiles) {
        return Err(Errno::EINVAL);
    }
    let space = thread.space();
    let mut bytes = vec![0; count as usize * POLLFD];
    copy_in(&*space, fds.0, &mut bytes).await?;
    let files = thread.files();
    let mut entries: Vec<PollEntry> = bytes.chunks_exact(POLLFD).map(|fd| entry(&files, fd)).collect();
    let ready = poll_files(&caller, &files, &mut entries, deadline).await?;
    for (index, entry) in entries.iter().enumerate() {
        let at = fds.0.wrapping_add((index * POLLFD) as u64);
        // Only the answer is written: the rest may lie in memory that is shared.
        #[allow(clippy::cast_possible_truncation, reason = "poll's bits fit")]
        copy_out(&*space, at.wrapping_add(6), &(entry.ready.bits() as u16).to_le_bytes()).await?;
    }
    Ok(ready as u64)
}

fn entry(files: &FdTable, pollfd: &[u8]) -> PollEntry {
    let fd = i32::from_le_bytes([pollfd[0], pollfd[1], pollfd[2], pollfd[3]]);
    let wanted = u16::from_le_bytes([pollfd[4], pollfd[5]]);
    let file = files.get(fd).ok();
    let bad = fd >= 0 && file.is_none();
    let mut entry = PollEntry::new(file, fd, Events::from_bits_truncate(wanted.into()));
    if bad {
        entry.ready = unusable(files, fd);
    }
    entry
}

/// A time limit that the program passed by address; it gets back what is left of it.
struct Limit {
    at: Pointer,
    unit: Unit,
    deadline: Option<Instant>,
}

/// The structure of a [`Limit`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// `struct timespec`.
    Nanoseconds,
    /// `struct timeval`.
    Microseconds,
}

impl Limit {
    async fn read(thread: &Thread, at: Pointer, unit: Unit) -> Result<Limit> {
        let mut limit = Limit { at, unit, deadline: None };
        if !at.is_null() {
            let span = match unit {
                Unit::Nanoseconds => read_timespec(&*thread.space(), at).await?,
                Unit::Microseconds => read_select_time(thread, at).await?,
            };
            limit.deadline = Some(machine::now() + span);
        }
        Ok(limit)
    }

    /// Writes what is left, as far as it can be written.
    async fn write_back(&self, thread: &Thread) {
        let Some(deadline) = self.deadline else { return };
        let (space, left) = (thread.space(), deadline - machine::now());
        let _ = match self.unit {
            Unit::Nanoseconds => write_timespec(&*space, self.at, left).await,
            Unit::Microseconds => write_timeval(&*space, self.at, left).await,
        };
    }
}

/// Borrows the mask of `size` bytes at `set`, if there is one.
async fn borrow_mask_at(thread: &Thread, set: u64, size: u64) -> Result<()> {
    if set != 0 {
        check_mask_size(usize::try_from(size).unwrap_or(0))?;
        let [bits] = read_words::<1>(&*thread.space(), set).await?;
        borrow_mask(thread, SignalSet(bits));
    }
    Ok(())
}

async fn ppoll(
    thread: &Thread,
    fds: Pointer,
    count: u32,
    timeout: Pointer,
    mask: Pointer,
    size: usize,
) -> Result<u64> {
    let limit = Limit::read(thread, timeout, Unit::Nanoseconds).await?;
    borrow_mask_at(thread, mask.0, size as u64).await?;
    let result = poll_until(thread, fds, count, limit.deadline).await;
    return_mask_unless_interrupted(thread, &result);
    limit.write_back(thread).await;
    result
}

async fn select(
    thread: &Thread,
    count: i32,
    read: Pointer,
    write: Pointer,
    except: Pointer,
    timeout: Pointer,
) -> Result<u64> {
    let limit = Limit::read(thread, timeout, Unit::Microseconds).await?;
    let result = select_until(thread, count, [read, write, except], limit.deadline).await;
    limit.write_back(thread).await;
    result
}

/// select(2) lets microseconds overflow into seconds.
async fn read_select_time(thread: &Thread, timeout: Pointer) -> Result<Duration> {
    let space = thread.space();
    match read_timeval(&*space, timeout).await {
        Err(Errno::EINVAL) => {
            let [seconds, micros] = read_words::<2>(&*space, timeout.0).await?;
            let whole = seconds.checked_add(micros / 1_000_000).ok_or(Errno::EINVAL)?;
            if micros.cast_signed() < 0 {
                return Err(Errno::EINVAL);
            }
            from_parts(whole, micros % 1_000_000, 1000)
        }
        result => result,
    }
}

async fn pselect6(
    thread: &Thread,
    count: i32,
    read: Pointer,
    write: Pointer,
    except: Pointer,
    timeout: Pointer,
    mask: Pointer,
) -> Result<u64> {
    let limit = Limit::read(thread, timeout, Unit::Nanoseconds).await?;
    if !mask.is_null() {
        let [set, size] = read_words::<2>(&*thread.space(), mask.0).await?;
        borrow_mask_at(thread, set, size).await?;
    }
    let result = select_until(thread, count, [read, write, except], limit.deadline).await;
    return_mask_unless_interrupted(thread, &result);
    limit.write_back(thread).await;
    result
}

/// What each of the three sets waits for; a hang-up alone is nothing that a writer waits for. A descriptor
/// that is closed meanwhile is ready for everything.
const ANSWERS: [Events; 3] = [
    Events::IN
        .union(Events::RDNORM)
        .union(Events::RDBAND)
        .union(Events::HUP)
        .union(Events::ERR)
        .union(Events::NVAL),
    Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR).union(Events::NVAL),
    Events::PRI.union(Events::NVAL),
];

async fn select_until(
    thread: &Thread,
    count: i32,
    sets: [Pointer; 3],
    deadline: Option<Instant>,
) -> Result<u64> {
    let caller = thread.caller();
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let files = thread.files();
    // Descriptors beyond the table can't be open; Linux does not look at them.
    let count = count.min(files.capacity());
    let words = count.div_ceil(64);
    let space = thread.space();
    let mut wanted = [vec![0u8; words * 8], vec![0; words * 8], vec![0; words * 8]];
    for (set, bits) in sets.iter().zip(&mut wanted) {
        if !set.is_null() {
            copy_in(&*space, set.0, bits).await?;
        }
    }
    let (numbers, mut entries) = select_entries(&files, count, &wanted)?;
    poll_files(&caller, &files, &mut entries, deadline).await?;
    let mut answer = [vec![0u8; words * 8], vec![0; words * 8], vec![0; words * 8]];
    let mut total = 0;
    for (&fd, entry) in numbers.iter().zip(&entries) {
        for (which, bits) in answer.iter_mut().enumerate() {
            if is_set(&wanted[which], fd) && entry.ready.intersects(ANSWERS[which]) {
                bits[fd / 8] |= 1 << (fd % 8);
                total += 1;
            }
        }
    }
    for (set, bits) in sets.iter().zip(&answer) {
        if !set.is_null() {
            copy_out(&*space, set.0, bits).await?;
        }
    }
    Ok(total)
}

fn is_set(bits: &[u8], fd: usize) -> bool {
    bits[fd / 8] & (1 << (fd % 8)) != 0
}

/// The descriptors that occur in a set, each with what it is waited for.
fn select_entries(
    files: &FdTable,
    count: usize,
    wanted: &[Vec<u8>; 3],
) -> Result<(Vec<usize>, Vec<PollEntry>)> {
    let mut numbers = Vec::new();
    let mut entries = Vec::new();
    for fd in 0..count {
        let mut interest = Events::empty();
        for (bits, events) in wanted.iter().zip(ANSWERS) {
            if is_set(bits, fd) {
                interest |= events;
            }
        }
        if !interest.is_empty() {
            let number = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
            let file: Arc<OpenFile> = files.get(number)?;
            numbers.push(fd);
            entries.push(PollEntry::exact(Some(file), number, interest));
        }
    }
    Ok((numbers, entries))
}
