//! Bytes that move inside the kernel: splice, tee, vmsplice, sendfile.

use alloc::sync::Arc;

use base::memory::UserBuffer;
use base::{Errno, Result};
use fs::file::{AccessMode, FdRights, IoFlags, MAX_TRANSFER, OpenFile, Place, Way, Whence};
use fs::pipe::{Keep, Pipe, between, pipe_of};
use fs::splice::{check_span, file_to_file, file_to_pipe, memory_to_pipe, pipe_to_file};

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::families::transfer::read_iovec;
use crate::thread::Thread;
use crate::user::{read_words, write_words};

declare! {
    async 40 => sendfile(out: Fd, from: Fd, offset: Pointer, count: usize) [restart];
    async 275 => splice(from: Fd, from_offset: Pointer, to: Fd, to_offset: Pointer, length: usize, flags: u32) [restart];
    async 276 => tee(from: Fd, to: Fd, length: usize, flags: u32) [restart];
    async 278 => vmsplice(fd: Fd, vector: Pointer, count: u64, flags: u32) [restart];
}

bitflags::bitflags! {
    /// The flags of splice(2) and its relatives. MOVE, MORE and GIFT are hints.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct SpliceFlags: u32 {
        const MOVE = 1;
        const NONBLOCK = 2;
        const MORE = 4;
        const GIFT = 8;
    }
}

fn decode_flags(flags: u32) -> Result<SpliceFlags> {
    SpliceFlags::from_bits(flags).ok_or(Errno::EINVAL)
}

/// An offset that the program passed by address, or none.
async fn read_offset(thread: &Thread, offset: Pointer) -> Result<Place> {
    if offset.is_null() {
        return Ok(Place::Current);
    }
    let [offset] = read_words::<1>(&*thread.space(), offset.0).await?;
    Ok(Place::At(offset.cast_signed()))
}

/// Writes the offset back after `moved` bytes.
async fn write_offset(thread: &Thread, offset: Pointer, before: Place, moved: usize) -> Result<()> {
    match before {
        Place::Current => Ok(()),
        Place::At(start) => {
            let now = start.saturating_add_unsigned(moved as u64);
            write_words(&*thread.space(), offset.0, &[now.cast_unsigned()]).await
        }
    }
}

fn allowed(file: &OpenFile, access: AccessMode) -> Result<()> {
    if file.access().contains(access) { Ok(()) } else { Err(Errno::EBADF) }
}

async fn splice(
    thread: &Thread,
    from: Fd,
    from_offset: Pointer,
    to: Fd,
    to_offset: Pointer,
    length: usize,
    flags: u32,
) -> Result<u64> {
    if length == 0 {
        return Ok(0);
    }
    let flags = decode_flags(flags)?;
    let files = thread.files();
    let source = files.get_required(from.0, FdRights::READ)?;
    let sink = files.get_required(to.0, FdRights::WRITE)?;
    let (source_pipe, sink_pipe) = (pipe_of(&source), pipe_of(&sink));
    if source_pipe.is_some() && !from_offset.is_null() || sink_pipe.is_some() && !to_offset.is_null() {
        return Err(Errno::ESPIPE);
    }
    let (from_place, to_place) =
        (read_offset(thread, from_offset).await?, read_offset(thread, to_offset).await?);
    allowed(&source, AccessMode::READ)?;
    allowed(&sink, AccessMode::WRITE)?;
    let caller = thread.caller();
    let mut nonblocking = flags.contains(SpliceFlags::NONBLOCK);
    nonblocking |= source_pipe.is_some() && source.is_nonblocking();
    nonblocking |= sink_pipe.is_some() && sink.is_nonblocking();
    let file = if source_pipe.is_some() { (&sink, to_place) } else { (&source, from_place) };
    if let (file, Place::At(_)) = file
        && !file.ops().positioned()
    {
        return Err(Errno::EINVAL);
    }
    check_span(file.1, length)?;
    let moved = match (source_pipe, sink_pipe) {
        (Some(first), Some(second)) => {
            between(&caller, first, second, length.min(MAX_TRANSFER), Keep::No, nonblocking).await?
        }
        (Some(pipe), None) => pipe_to_file(&caller, pipe, &sink, to_place, length, nonblocking).await?,
        (None, Some(pipe)) => file_to_pipe(&caller, &source, from_place, pipe, length, nonblocking).await?,
        (None, None) => return Err(Errno::EINVAL),
    };
    write_offset(thread, from_offset, from_place, moved).await?;
    write_offset(thread, to_offset, to_place, moved).await?;
    Ok(moved as u64)
}

async fn tee(thread: &Thread, from: Fd, to: Fd, length: usize, flags: u32) -> Result<u64> {
    let flags = decode_flags(flags)?;
    if length == 0 {
        return Ok(0);
    }
    let files = thread.files();
    let source = files.get_required(from.0, FdRights::READ)?;
    let sink = files.get_required(to.0, FdRights::WRITE)?;
    allowed(&source, AccessMode::READ)?;
    allowed(&sink, AccessMode::WRITE)?;
    let (Some(first), Some(second)) = (pipe_of(&source), pipe_of(&sink)) else {
        return Err(Errno::EINVAL);
    };
    let nonblocking =
        flags.contains(SpliceFlags::NONBLOCK) || source.is_nonblocking() || sink.is_nonblocking();
    let length = length.min(MAX_TRANSFER);
    Ok(between(&thread.caller(), first, second, length, Keep::Yes, nonblocking).await? as u64)
}

/// The pipe behind `file`, as a value of its own.
fn the_pipe(file: &OpenFile) -> Result<Arc<Pipe>> {
    pipe_of(file).cloned().ok_or(Errno::EBADF)
}

/// Pages are copied, not mapped, whatever the flags say: what the program does with its memory afterwards does not
/// show in the pipe.
async fn vmsplice(thread: &Thread, fd: Fd, vector: Pointer, count: u64, flags: u32) -> Result<u64> {
    let flags = decode_flags(flags)?;
    let files = thread.files();
    let file = files.get(fd.0)?;
    let pipe = the_pipe(&file)?;
    let writes = file.access().contains(AccessMode::WRITE);
    let way = if writes { Way::Write } else { Way::Read };
    files.get_required(fd.0, if writes { FdRights::WRITE } else { FdRights::READ })?;
    let count = i32::try_from(count).map_err(|_| Errno::EINVAL)?;
    let segments = read_iovec(&thread.space(), vector, count).await?;
    let caller = thread.caller();
    let mut buffer = UserBuffer::vectored(&*caller.memory, segments, way.buffer_access());
    if buffer.is_empty() {
        return Ok(0);
    }
    let nonblocking = flags.contains(SpliceFlags::NONBLOCK);
    if writes {
        return Ok(memory_to_pipe(&caller, &mut buffer, &file, &pipe, nonblocking).await? as u64);
    }
    // Unlike read(2), only the flag of the call counts.
    let io_flags = if nonblocking { IoFlags::NONBLOCK } else { IoFlags::empty() };
    Ok(file.transfer(&caller, way, Place::Current, &mut buffer, io_flags).await? as u64)
}

async fn sendfile(thread: &Thread, out: Fd, from: Fd, offset: Pointer, count: usize) -> Result<u64> {
    let place = read_offset(thread, offset).await?;
    let files = thread.files();
    let source = files.get_required(from.0, FdRights::READ)?;
    allowed(&source, AccessMode::READ)?;
    if place != Place::Current && !source.ops().positioned() {
        return Err(Errno::ESPIPE);
    }
    check_span(place, count)?;
    let sink = files.get_required(out.0, FdRights::WRITE)?;
    allowed(&sink, AccessMode::WRITE)?;
    let (caller, length) = (thread.caller(), count.min(MAX_TRANSFER));
    let moved = match pipe_of(&sink) {
        // As much as finds room, even of a pipe that waits.
        Some(pipe) => file_to_pipe(&caller, &source, place, pipe, length, sink.is_nonblocking()).await,
        None => {
            let mut position = match place {
                Place::At(offset) => offset,
                Place::Current if source.ops().positioned() => {
                    i64::try_from(source.seek(0, Whence::Current).await?).unwrap_or(i64::MAX)
                }
                Place::Current => 0,
            };
            let moved = file_to_file(&caller, &source, &mut position, &sink, length).await;
            if place == Place::Current && moved.is_ok() {
                source.seek(position, Whence::Set).await?;
            }
            moved
        }
    }?;
    write_offset(thread, offset, place, moved).await?;
    Ok(moved as u64)
}
