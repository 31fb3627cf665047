//! The memory of a process as files: its strings, its auxiliary vector, and all of it.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Range;

use base::caller::Caller;
use base::memory::{Access, BoxFuture, UserBuffer, UserMemory};
use base::sync::atomic::{AtomicBool, Ordering};
use base::{Errno, Result};
use fs::file::{FileOps, Io, OpenFile, Whence, seek_without_end};
use fs::pseudo::Text;

use super::subject::Subject;
use crate::mm::{AddressSpace, PAGE};

/// Bytes that one step moves.
const STEP: usize = PAGE as usize;

/// `/proc/<pid>/cmdline`: the arguments, each with a NUL. A program that wrote over them past their end, to show
/// a title, is shown up to its NUL.
pub(super) fn cmdline(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let Some(space) = subject.space() else { return Ok(()) };
    let image = space.image();
    let mut bytes = read(&space, image.arguments.clone());
    if bytes.last().is_some_and(|&last| last != 0) {
        bytes.extend_from_slice(&read(&space, image.environment));
        let end = bytes.iter().position(|&byte| byte == 0).map_or(bytes.len(), |nul| nul + 1);
        bytes.truncate(end);
    }
    // A full text is noticed by the frame.
    let _ = text.push_bytes(&bytes);
    Ok(())
}

/// `/proc/<pid>/environ`: the environment that it was started with.
pub(super) fn environ(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let Some(space) = subject.space() else { return Ok(()) };
    let range = space.image().environment;
    let _ = text.push_bytes(&read(&space, range));
    Ok(())
}

/// `/proc/<pid>/auxv`: pairs of words.
pub(super) fn auxv(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let Some(space) = subject.space() else { return Ok(()) };
    for (tag, value) in space.image().auxiliary {
        let _ = text.push_bytes(&tag.to_le_bytes());
        let _ = text.push_bytes(&value.to_le_bytes());
    }
    Ok(())
}

/// What is resident of a range, up to the first page that is not: the kernel wrote these strings, so they are
/// unless the program unmapped them.
fn read(space: &AddressSpace, range: Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
    if bytes.try_reserve_exact(length).is_err() {
        return bytes;
    }
    bytes.resize(length, 0);
    let mut done = 0;
    while done < length {
        let end = (done + STEP).min(length);
        let copied = space.copy_in_nofault(range.start + done as u64, &mut bytes[done..end]);
        done += copied;
        if copied == 0 {
            break;
        }
    }
    bytes.truncate(done);
    bytes
}

/// Opens `/proc/<pid>/mem`.
///
/// # Errors
///
/// `EACCES` when the caller may not look into the process; `ESRCH`.
pub(super) fn open(subject: &Subject, caller: &Caller) -> Result<Arc<dyn FileOps>> {
    subject.check_access(caller)?;
    let space = subject.space().map_or_else(Weak::new, |space| Arc::downgrade(&space));
    Ok(Arc::new(MemoryFile { space, writes: AtomicBool::new(false) }))
}

/// The whole memory: the position is the address. It keeps no memory alive.
struct MemoryFile {
    space: Weak<AddressSpace>,
    /// The operation that missed a page was a write.
    writes: AtomicBool,
}

impl FileOps for MemoryFile {
    fn read(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let Some(space) = self.space.upgrade() else { return Ok(0) };
        let mut bytes = alloc::vec![0; STEP.min(buffer.remaining())];
        if bytes.is_empty() {
            return Ok(0);
        }
        let copied = space.copy_in_nofault(io.position, &mut bytes);
        if copied == 0 {
            self.writes.store(false, Ordering::Relaxed);
            return Err(Errno::EAGAIN);
        }
        buffer.put(bytes.get(..copied).unwrap_or_default())
    }

    fn write(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let Some(space) = self.space.upgrade() else { return Ok(0) };
        let mark = buffer.mark();
        let mut bytes = alloc::vec![0; STEP.min(buffer.remaining())];
        let taken = buffer.take(&mut bytes)?;
        let copied = space.copy_out_nofault(io.position, bytes.get(..taken).unwrap_or_default());
        if copied < taken {
            buffer.rewind(mark);
            buffer.skip(copied);
        }
        if copied == 0 && taken > 0 {
            self.writes.store(true, Ordering::Relaxed);
            return Err(Errno::EAGAIN);
        }
        Ok(copied)
    }

    fn load(&self, io: &Io<'_>) -> Option<BoxFuture<'_, Result<()>>> {
        let space = self.space.upgrade()?;
        let at = io.position;
        let access = if self.writes.load(Ordering::Relaxed) { Access::Write } else { Access::Read };
        Some(Box::pin(async move { space.fault_in(at, 1, access).await.map_err(|_| Errno::EIO) }))
    }

    fn positioned(&self) -> bool {
        true
    }

    fn seek(&self, _file: &OpenFile, current: u64, offset: i64, whence: Whence) -> Result<u64> {
        seek_without_end(current, offset, whence)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
