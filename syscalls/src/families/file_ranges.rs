//! Hints about ranges of files, copies from file to file, and files without a name.

use base::{Errno, Result};
use fs::file::{AccessMode, FdEntry, FdRights, MAX_TRANSFER, OpenFile, OpenFlags, Place, Whence};
use fs::splice::carry;
use fs::tmpfs::{self, MemfdFlags};
use fs::vfs::FileType;

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::thread::Thread;
use crate::user::{read_string, read_words, write_words};

declare! {
    sync 187 => readahead(fd: Fd, offset: i64, count: usize);
    sync 221 => fadvise64(fd: Fd, offset: i64, length: i64, advice: i32);
    async 277 => sync_file_range(fd: Fd, offset: i64, length: i64, flags: u32);
    async 319 => memfd_create(name: Pointer, flags: u32);
    async 326 => copy_file_range(from: Fd, from_offset: Pointer, to: Fd, to_offset: Pointer, length: usize, flags: u32);
}

/// Reading ahead brings pages into memory; all pages are there already.
fn readahead(thread: &Thread, fd: Fd, _offset: i64, _count: usize) -> Result<u64> {
    let file = thread.files().get_required(fd.0, FdRights::READ)?;
    if file.ops().mappable().is_some() { Ok(0) } else { Err(Errno::EINVAL) }
}

/// Highest advice.
const FADVISE_LAST: i32 = 5;

/// Advice changes no result: it is checked, and nothing has to follow from it.
fn fadvise64(thread: &Thread, fd: Fd, _offset: i64, length: i64, advice: i32) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    if file.inode().metadata().kind == FileType::Fifo {
        return Err(Errno::ESPIPE);
    }
    if length < 0 || !(0..=FADVISE_LAST).contains(&advice) {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// Wait before, write, wait after.
const SYNC_FILE_RANGE_FLAGS: u32 = 7;

async fn sync_file_range(thread: &Thread, fd: Fd, offset: i64, length: i64, flags: u32) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    let sensible = offset >= 0 && length >= 0 && offset.checked_add(length).is_some();
    if flags & !SYNC_FILE_RANGE_FLAGS != 0 || !sensible {
        return Err(Errno::EINVAL);
    }
    let kind = file.inode().metadata().kind;
    if !matches!(kind, FileType::Regular | FileType::BlockDevice | FileType::Directory | FileType::Symlink) {
        return Err(Errno::ESPIPE);
    }
    file.sync().await.map(|()| 0)
}

/// Bytes of a memfd's name, with its end, that are looked at.
const MEMFD_NAME: usize = 250;

async fn memfd_create(thread: &Thread, name: Pointer, flags: u32) -> Result<u64> {
    let flags = MemfdFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let name = read_string(&*thread.space(), name.0, MEMFD_NAME, Errno::EINVAL).await?;
    let (caller, files) = (thread.caller(), thread.files());
    let reserved = files.reserve(&caller, 0)?;
    let file = tmpfs::memfd_create(&caller, &name, flags)?;
    let fd = reserved.install(FdEntry::new(file, flags.contains(MemfdFlags::CLOEXEC)));
    u64::try_from(fd).map_err(|_| Errno::EBADF)
}

/// A file of copy_file_range(2), and where in it the copy is.
struct End<'a> {
    file: &'a OpenFile,
    offset: Pointer,
    position: i64,
}

impl<'a> End<'a> {
    async fn new(thread: &Thread, file: &'a OpenFile, offset: Pointer) -> Result<End<'a>> {
        let position = if offset.is_null() {
            i64::try_from(file.seek(0, Whence::Current).await?).unwrap_or(i64::MAX)
        } else {
            read_words::<1>(&*thread.space(), offset.0).await?[0].cast_signed()
        };
        if position < 0 { Err(Errno::EINVAL) } else { Ok(End { file, offset, position }) }
    }

    /// Moves the position that the program gave, or the file's own.
    async fn finish(&self, thread: &Thread) -> Result<()> {
        if self.offset.is_null() {
            self.file.seek(self.position, Whence::Set).await.map(|_| ())
        } else {
            write_words(&*thread.space(), self.offset.0, &[self.position.cast_unsigned()]).await
        }
    }
}

/// Checks both files in Linux's order.
fn check_copy(from: &OpenFile, to: &OpenFile) -> Result<()> {
    for file in [from, to] {
        match file.inode().metadata().kind {
            FileType::Regular => {}
            FileType::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
    }
    let appends = to.status().contains(OpenFlags::APPEND);
    let open = from.access().contains(AccessMode::READ) && to.access().contains(AccessMode::WRITE);
    if appends || !open { Err(Errno::EBADF) } else { Ok(()) }
}

async fn copy_file_range(
    thread: &Thread,
    from: Fd,
    from_offset: Pointer,
    to: Fd,
    to_offset: Pointer,
    length: usize,
    flags: u32,
) -> Result<u64> {
    let (caller, files) = (thread.caller(), thread.files());
    let source = files.get_required(from.0, FdRights::READ)?;
    let sink = files.get_required(to.0, FdRights::WRITE)?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    check_copy(&source, &sink)?;
    let mut from = End::new(thread, &source, from_offset).await?;
    let mut to = End::new(thread, &sink, to_offset).await?;
    let length = length.min(MAX_TRANSFER);
    let span = i64::try_from(length).unwrap_or(i64::MAX);
    let end = |at: i64| at.checked_add(span).ok_or(Errno::EOVERFLOW);
    let (from_end, to_end) = (end(from.position)?, end(to.position)?);
    let same = alloc::sync::Arc::ptr_eq(source.inode(), sink.inode());
    if same && from.position < to_end && to.position < from_end {
        return Err(Errno::EINVAL);
    }
    let copied = carry(&caller, &source, from.position, &sink, Place::At(to.position), length).await?;
    for end in [&mut from, &mut to] {
        end.position = end.position.saturating_add_unsigned(copied as u64);
    }
    from.finish(thread).await?;
    to.finish(thread).await?;
    Ok(copied as u64)
}
