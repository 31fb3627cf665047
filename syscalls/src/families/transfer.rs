//! read, write and their relatives.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::memory::{Access, Segment, UserBuffer};
use base::{Errno, Result};
use fs::file::{FdRights, IoFlags, MAX_TRANSFER, OpenFile, Place, Way, Whence, decode_rwf};

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::mm::AddressSpace;
use crate::thread::Thread;
use crate::user::copy_in;

declare! {
    async 0 => read(fd: Fd, buffer: Pointer, count: usize) [restart] after try_read;
    async 1 => write(fd: Fd, buffer: Pointer, count: usize) [restart] after try_write;
    async 8 => lseek(fd: Fd, offset: i64, whence: u32);
    async 17 => pread64(fd: Fd, buffer: Pointer, count: usize, offset: i64) [restart] after try_pread64;
    async 18 => pwrite64(fd: Fd, buffer: Pointer, count: usize, offset: i64) [restart];
    async 19 => readv(fd: Fd, vector: Pointer, count: i32) [restart];
    async 20 => writev(fd: Fd, vector: Pointer, count: i32) [restart];
    async 295 => preadv(fd: Fd, vector: Pointer, count: i32, offset: i64) [restart];
    async 296 => pwritev(fd: Fd, vector: Pointer, count: i32, offset: i64) [restart];
    async 327 => preadv2(fd: Fd, vector: Pointer, count: i32, offset: i64, high: u64, flags: u32) [restart];
    async 328 => pwritev2(fd: Fd, vector: Pointer, count: i32, offset: i64, high: u64, flags: u32) [restart];
}

/// Most pieces of a vector: `IOV_MAX`.
const IOV_MAX: i32 = 1024;
/// Bytes in a page of user memory.
const PAGE: usize = 4096;

async fn read(thread: &Thread, fd: Fd, buffer: Pointer, count: usize) -> Result<u64> {
    plain(thread, fd, Way::Read, buffer, count, Place::Current).await
}

async fn write(thread: &Thread, fd: Fd, buffer: Pointer, count: usize) -> Result<u64> {
    plain(thread, fd, Way::Write, buffer, count, Place::Current).await
}

async fn lseek(thread: &Thread, fd: Fd, offset: i64, whence: u32) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    file.seek(offset, Whence::from_raw(whence)?).await
}

async fn pread64(thread: &Thread, fd: Fd, buffer: Pointer, count: usize, offset: i64) -> Result<u64> {
    plain(thread, fd, Way::Read, buffer, count, at(offset)?).await
}

async fn pwrite64(thread: &Thread, fd: Fd, buffer: Pointer, count: usize, offset: i64) -> Result<u64> {
    plain(thread, fd, Way::Write, buffer, count, at(offset)?).await
}

async fn readv(thread: &Thread, fd: Fd, vector: Pointer, count: i32) -> Result<u64> {
    vectored(thread, fd, Way::Read, (vector, count), Place::Current, 0).await
}

async fn writev(thread: &Thread, fd: Fd, vector: Pointer, count: i32) -> Result<u64> {
    vectored(thread, fd, Way::Write, (vector, count), Place::Current, 0).await
}

async fn preadv(thread: &Thread, fd: Fd, vector: Pointer, count: i32, offset: i64) -> Result<u64> {
    vectored(thread, fd, Way::Read, (vector, count), at(offset)?, 0).await
}

async fn pwritev(thread: &Thread, fd: Fd, vector: Pointer, count: i32, offset: i64) -> Result<u64> {
    vectored(thread, fd, Way::Write, (vector, count), at(offset)?, 0).await
}

/// On 64 bits the low half of the offset is the whole of it.
async fn preadv2(
    thread: &Thread,
    fd: Fd,
    vector: Pointer,
    count: i32,
    offset: i64,
    _high: u64,
    flags: u32,
) -> Result<u64> {
    vectored(thread, fd, Way::Read, (vector, count), at_or_current(offset)?, flags).await
}

async fn pwritev2(
    thread: &Thread,
    fd: Fd,
    vector: Pointer,
    count: i32,
    offset: i64,
    _high: u64,
    flags: u32,
) -> Result<u64> {
    vectored(thread, fd, Way::Write, (vector, count), at_or_current(offset)?, flags).await
}

fn at(offset: i64) -> Result<Place> {
    if offset < 0 { Err(Errno::EINVAL) } else { Ok(Place::At(offset)) }
}

fn at_or_current(offset: i64) -> Result<Place> {
    if offset == -1 { Ok(Place::Current) } else { at(offset) }
}

/// The file, when the descriptor allows this.
fn file_for(thread: &Thread, fd: Fd, way: Way) -> Result<Arc<OpenFile>> {
    let rights = match way {
        Way::Read => FdRights::READ,
        Way::Write => FdRights::WRITE,
    };
    thread.files().get_required(fd.0, rights)
}

fn try_read(thread: &Thread, fd: Fd, buffer: Pointer, count: usize) -> Option<Result<u64>> {
    attempt(thread, fd, Way::Read, buffer, count, Place::Current)
}

fn try_write(thread: &Thread, fd: Fd, buffer: Pointer, count: usize) -> Option<Result<u64>> {
    attempt(thread, fd, Way::Write, buffer, count, Place::Current)
}

fn try_pread64(thread: &Thread, fd: Fd, buffer: Pointer, count: usize, offset: i64) -> Option<Result<u64>> {
    attempt(thread, fd, Way::Read, buffer, count, Place::At(offset))
}

/// Tries a transfer that lies within one page, without a future.
fn attempt(
    thread: &Thread,
    fd: Fd,
    way: Way,
    buffer: Pointer,
    count: usize,
    place: Place,
) -> Option<Result<u64>> {
    if count > PAGE - buffer.0 as usize % PAGE {
        return None;
    }
    let file = file_for(thread, fd, way).ok()?;
    check_range(buffer, count).ok()?;
    let call = thread.caller();
    let mut buffer = UserBuffer::new(&*call.memory, buffer.0, count, way.buffer_access());
    file.attempt(&call, way, place, &mut buffer).map(|result| result.map(|moved| moved as u64))
}

async fn plain(
    thread: &Thread,
    fd: Fd,
    way: Way,
    buffer: Pointer,
    count: usize,
    place: Place,
) -> Result<u64> {
    let file = file_for(thread, fd, way)?;
    check_range(buffer, count)?;
    let call = thread.caller();
    let mut buffer = UserBuffer::new(&*call.memory, buffer.0, count, way.buffer_access());
    Ok(file.transfer(&call, way, place, &mut buffer, file.io_flags()).await? as u64)
}

async fn vectored(
    thread: &Thread,
    fd: Fd,
    way: Way,
    (vector, count): (Pointer, i32),
    place: Place,
    flags: u32,
) -> Result<u64> {
    let file = file_for(thread, fd, way)?;
    let segments = read_iovec(&thread.space(), vector, count).await?;
    let call = thread.caller();
    let mut buffer = UserBuffer::vectored(&*call.memory, segments, way.buffer_access());
    let flags: IoFlags = decode_rwf(flags, file.io_flags())?;
    if way == Way::Write && buffer.is_empty() {
        // Unlike write(2), which sends an empty message to a socket.
        return Ok(0);
    }
    Ok(file.transfer(&call, way, place, &mut buffer, flags).await? as u64)
}

/// Reads a vector of ranges.
///
/// # Errors
///
/// `EINVAL` for a count outside 0..=1024 or a sum over 2^63; `EFAULT`.
pub async fn read_iovec(space: &AddressSpace, vector: Pointer, count: i32) -> Result<Vec<Segment>> {
    if !(0..=IOV_MAX).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let mut segments = Vec::with_capacity(count.unsigned_abs() as usize);
    let mut total: usize = 0;
    for index in 0..u64::from(count.unsigned_abs()) {
        let at = vector.0.wrapping_add(16 * index);
        let mut bytes = [0; 16];
        copy_in(space, at, &mut bytes).await?;
        let (address, length) = bytes.split_at(8);
        let word = |half: &[u8]| half.try_into().map(u64::from_le_bytes).unwrap_or(0);
        let length = usize::try_from(word(length)).map_err(|_| Errno::EINVAL)?;
        if length > isize::MAX as usize {
            return Err(Errno::EINVAL);
        }
        check_range(Pointer(word(address)), length)?;
        // Linux cuts the sum at the most that one call moves.
        let length = length.min(MAX_TRANSFER - total);
        total += length;
        segments.push(Segment { address: word(address), length });
    }
    Ok(segments)
}

/// A range that does not lie in user space at all is refused before anything is moved.
fn check_range(buffer: Pointer, count: usize) -> Result<()> {
    crate::machine::check_user_range(buffer.0, count as u64, Access::Read)
}
