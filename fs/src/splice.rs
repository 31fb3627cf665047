//! Bytes from file to file without a program in between: `splice(2)`, `sendfile(2)`.

use alloc::sync::Arc;

use base::caller::Caller;
use base::memory::{Access, KernelBytes, UserBuffer};
use base::{Errno, Result};

use crate::file::{AccessMode, Io, IoFlags, MAX_TRANSFER, OpenFile, OpenFlags, Place, Way};
use crate::pipe::Pipe;
use crate::vfs::FileType;

/// Bytes that are carried at once.
const STEP: usize = 65_536;

/// Refuses a place and length that no file can have.
///
/// # Errors
///
/// `EINVAL`.
pub fn check_span(place: Place, length: usize) -> Result<()> {
    let start = match place {
        Place::At(offset) => u64::try_from(offset).map_err(|_| Errno::EINVAL)?,
        Place::Current => 0,
    };
    let end = start.checked_add(length as u64).filter(|&end| i64::try_from(end).is_ok());
    end.map(|_| ()).ok_or(Errno::EINVAL)
}

/// Whether the kind of `file` can be spliced.
fn check_kind(file: &OpenFile, way: Way) -> Result<()> {
    let directory = file.inode().metadata().kind == FileType::Directory;
    if directory || !file.ops().splices(way) { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The place to read next, after `moved` bytes.
fn advanced(place: Place, moved: usize) -> Place {
    match place {
        Place::At(offset) => Place::At(offset.saturating_add_unsigned(moved as u64)),
        Place::Current => Place::Current,
    }
}

/// Reads up to `length` bytes for the kernel.
async fn read(
    caller: &Caller,
    file: &OpenFile,
    place: Place,
    length: usize,
    flags: IoFlags,
) -> Result<alloc::vec::Vec<u8>> {
    let memory = KernelBytes::zeroed(length)?;
    let mut buffer = UserBuffer::new(&memory, 0, length, Access::Write);
    file.transfer(caller, Way::Read, place, &mut buffer, flags).await?;
    let got = buffer.moved();
    Ok(memory.into_first(got))
}

/// From a file into a pipe, as much as finds room. Returns how many bytes; 0 at the end of the file.
///
/// Dropped midway: what was read from a stream and not written is lost.
///
/// # Errors
///
/// `EBADF`, `EINVAL` when the file can't be read so; `EPIPE` (with SIGPIPE); `EAGAIN`; `EINTR`; `ENOMEM`; else as
/// the file says.
pub async fn file_to_pipe(
    caller: &Caller,
    file: &OpenFile,
    place: Place,
    pipe: &Arc<Pipe>,
    length: usize,
    nonblocking: bool,
) -> Result<usize> {
    let room = pipe.room(caller, length.min(MAX_TRANSFER), nonblocking).await?;
    if !file.access().contains(AccessMode::READ) {
        return Err(Errno::EBADF);
    }
    check_kind(file, Way::Read)?;
    let mut flags = file.io_flags();
    flags.set(IoFlags::NONBLOCK, nonblocking || flags.contains(IoFlags::NONBLOCK));
    let bytes = read(caller, file, place, room.bytes().min(STEP), flags).await?;
    if bytes.is_empty() { Ok(0) } else { room.fill(caller, bytes) }
}

/// From a pipe into a file: waits for something, then moves what is there. Returns how many bytes; 0 at the end.
///
/// Dropped midway: what the file has taken may still be in the pipe.
///
/// # Errors
///
/// `EINVAL` for a file that appends or can't be written so; `EAGAIN`; `EINTR`; `ENOMEM`; else as the file says.
pub async fn pipe_to_file(
    caller: &Caller,
    pipe: &Arc<Pipe>,
    file: &OpenFile,
    place: Place,
    length: usize,
    nonblocking: bool,
) -> Result<usize> {
    if file.status().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    check_kind(file, Way::Write)?;
    let length = length.min(MAX_TRANSFER);
    let Some(front) = pipe.front(nonblocking).await? else { return Ok(0) };
    let mut moved = 0;
    while moved < length {
        let bytes = front.bytes(STEP.min(length - moved))?;
        let wanted = bytes.len();
        if wanted == 0 {
            break;
        }
        let memory = KernelBytes::new(bytes);
        let mut buffer = UserBuffer::new(&memory, 0, wanted, Access::Read);
        let place = advanced(place, moved);
        match file.transfer(caller, Way::Write, place, &mut buffer, file.io_flags()).await {
            Ok(written) => {
                front.advance(written);
                moved += written;
                if written < wanted {
                    break;
                }
            }
            Err(error) if moved == 0 => return Err(error),
            Err(_) => break,
        }
        executor::yield_point().await;
    }
    Ok(moved)
}

/// From a file that can be read anywhere to one that is no pipe, until the source ends or the sink takes no more.
/// `position` is where to read, and moves.
///
/// Dropped midway: what was written stays.
///
/// # Errors
///
/// `EINVAL` for a sink that appends, and when either can't be spliced; else as the files say.
pub async fn file_to_file(
    caller: &Caller,
    source: &OpenFile,
    position: &mut i64,
    sink: &OpenFile,
    length: usize,
) -> Result<usize> {
    if sink.status().contains(OpenFlags::APPEND) || !source.ops().positioned() {
        return Err(Errno::EINVAL);
    }
    check_kind(source, Way::Read)?;
    check_kind(sink, Way::Write)?;
    let moved = carry(caller, source, *position, sink, Place::Current, length).await?;
    *position = position.saturating_add_unsigned(moved as u64);
    Ok(moved)
}

/// From `start` of a file to a place of another, through the kernel, until the source ends or the sink takes no
/// more. An error after something was moved shows at the next call. Returns how many bytes.
///
/// Dropped midway: what was written stays.
///
/// # Errors
///
/// As the files say.
pub async fn carry(
    caller: &Caller,
    source: &OpenFile,
    start: i64,
    sink: &OpenFile,
    place: Place,
    length: usize,
) -> Result<usize> {
    let mut moved = 0;
    while moved < length {
        let wanted = STEP.min(length - moved);
        let from = advanced(Place::At(start), moved);
        let bytes = match read(caller, source, from, wanted, IoFlags::empty()).await {
            Ok(bytes) => bytes,
            Err(error) if moved == 0 => return Err(error),
            Err(_) => break,
        };
        let got = bytes.len();
        if got == 0 {
            break;
        }
        let memory = KernelBytes::new(bytes);
        let mut buffer = UserBuffer::new(&memory, 0, got, Access::Read);
        let to = advanced(place, moved);
        match sink.transfer(caller, Way::Write, to, &mut buffer, sink.io_flags()).await {
            Ok(written) => {
                moved += written;
                if written < got {
                    break;
                }
            }
            Err(error) if moved == 0 => return Err(error),
            Err(_) => break,
        }
        executor::yield_point().await;
    }
    Ok(moved)
}

/// From the program into a pipe: waits for room, then takes what fits.
///
/// Dropped midway: what was taken stays in the pipe.
///
/// # Errors
///
/// `EPIPE` (with SIGPIPE); `EAGAIN`; `EINTR`; `EFAULT`.
pub async fn memory_to_pipe(
    caller: &Caller,
    buffer: &mut UserBuffer<'_>,
    file: &OpenFile,
    pipe: &Arc<Pipe>,
    nonblocking: bool,
) -> Result<usize> {
    loop {
        // Given back at once: whoever is quicker only makes this wait again.
        let room = pipe.room(caller, buffer.remaining().min(MAX_TRANSFER), nonblocking).await?.bytes();
        let mut io = Io { caller, file, position: 0, flags: IoFlags::NONBLOCK };
        let whole = buffer.remaining();
        buffer.truncate(room);
        let result = file.transfer_loop(Way::Write, &mut io, buffer).await;
        if result != Err(Errno::EAGAIN) || nonblocking || whole == 0 {
            return result;
        }
    }
}
