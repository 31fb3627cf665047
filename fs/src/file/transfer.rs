//! Reads and writes of open files: the one loop that waits, faults user memory in and tries again.
//!
//! ```text
//!          observe                 EAGAIN                    woken
//!   start ---------> try the op ------------> wait ----------------------> observe again
//!                      |    |                   |  signal or deadline, and still nothing
//!        moved / error |    | EFAULT            +--------------------------> EINTR, or what there is
//!                      v    v
//!                 answer   fault in, try again (EFAULT if that fails)
//! ```
//!
//! What was moved before an error is the answer, as on Linux; the error shows at the next call.
//! A drop midway leaves what was moved in place, and a wake that was not used goes to the next waiter: the wait's
//! [`Baton`] is in hand until an attempt has succeeded.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::{Caller, Resource};
use base::fault::{self, Point};
use base::frame::PAGE_SIZE;
use base::memory::{Access, KernelBytes, UserBuffer};
use base::time::Instant;
use base::{Errno, Result, machine};
use executor::pollwait::{Baton, Events, Reason, Seq, Wait, WaitSource};

use super::flags::{AccessMode, IoFlags, OpenFlags};
use super::open_file::OpenFile;
use super::ops::{Expiry, Io};
use crate::signal::{SIGPIPE, SIGXFSZ, signal_caller};
use crate::vfs::FileType;

/// Most bytes that one call moves (`MAX_RW_COUNT`): a signed 32-bit number, rounded down to a page.
pub const MAX_TRANSFER: usize = 0x7fff_f000;

/// Last byte that a file may have.
pub(super) const MAX_POSITION: u64 = i64::MAX as u64;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the program.
    Read,
    /// From the program.
    Write,
}

impl Way {
    /// What the kernel does with the program's buffer.
    #[must_use]
    pub fn buffer_access(self) -> Access {
        match self {
            Way::Read => Access::Write,
            Way::Write => Access::Read,
        }
    }

    pub(super) fn file_access(self) -> AccessMode {
        match self {
            Way::Read => AccessMode::READ,
            Way::Write => AccessMode::WRITE,
        }
    }

    fn events(self) -> Events {
        match self {
            Way::Read => Events::IN,
            Way::Write => Events::OUT,
        }
    }
}

/// Where in a file bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the open file's position, which moves.
    Current,
    /// Here, leaving the position alone.
    At(i64),
}

/// How one operation has gone so far.
struct Progress<'a> {
    way: Way,
    /// Bytes of the buffer that were moved before it began.
    start: usize,
    /// Until when to wait for more, as the kind of file says; set anew when something was moved.
    deadline: Option<Instant>,
    /// What ended the last wait besides a wake: one more attempt, then it is over.
    over: Option<Reason>,
    /// The wake that ended it.
    baton: Baton<'a>,
}

impl OpenFile {
    /// `read(2)`, `write(2)` and all their relatives.
    ///
    /// At the current position (a write with APPEND goes to the end), or for a stream wherever it is.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open for this; `EINVAL` for a place below 0 or an end past the largest offset;
    /// `ESPIPE` for a place in a file that has none; `EPIPE` (with SIGPIPE), `EFBIG` (with SIGXFSZ), `EAGAIN`,
    /// `EINTR`, `EFAULT`; else as the kind of file says.
    pub async fn transfer(
        &self,
        caller: &Caller,
        way: Way,
        place: Place,
        buffer: &mut UserBuffer<'_>,
        flags: IoFlags,
    ) -> Result<usize> {
        let positioned = self.ops().positioned();
        let mut io = Io { caller, file: self, position: 0, flags };
        if let Place::At(offset) = place {
            io.position = self.explicit(offset)?;
        }
        if !self.access().contains(way.file_access()) {
            return Err(Errno::EBADF);
        }
        let mut own = None;
        if positioned && place == Place::Current {
            let position = own.insert(self.position.lock().await);
            io.position = **position;
        }
        let end = io.position.checked_add(buffer.remaining() as u64);
        if positioned && end.is_none_or(|end| end > MAX_POSITION) {
            return Err(Errno::EINVAL);
        }
        buffer.truncate(MAX_TRANSFER);
        self.shorten(way, buffer);
        // One write at a time, so that an appended record lies in one piece.
        let mut order = None;
        if way == Way::Write && positioned && self.inode().metadata().kind == FileType::Regular {
            if buffer.is_empty() {
                return Ok(0);
            }
            order = Some(self.inode().state().write_order().lock().await);
            self.prepare_write(&mut io, buffer)?;
        }
        let result = self.transfer_loop(way, &mut io, buffer).await;
        drop(order);
        if let Some(position) = &mut own {
            **position = io.position;
        }
        drop(own);
        if let Ok(moved) = result {
            self.tell(way, moved);
        }
        result
    }

    /// Where a program has to expect that less is moved than it asked for, a fault point moves half of it. Pseudo
    /// files take what is written as a whole, records have ends, and a page or less goes into a pipe in one piece.
    #[inline]
    pub(super) fn shorten(&self, way: Way, buffer: &mut UserBuffer<'_>) {
        if fault::is_on() {
            self.maybe_shorten(way, buffer);
        }
    }

    #[cold]
    fn maybe_shorten(&self, way: Way, buffer: &mut UserBuffer<'_>) {
        let size = buffer.remaining();
        let least = match self.inode().metadata().kind {
            _ if self.status().contains(OpenFlags::DIRECT) => return,
            FileType::Fifo if way == Way::Write => PAGE_SIZE,
            FileType::Fifo => 1,
            FileType::Regular if self.ops().mappable().is_some() => 1,
            _ => return,
        };
        let point = match way {
            Way::Read => Point::ShortRead,
            Way::Write => Point::ShortWrite,
        };
        if size > least && fault::fires(point) {
            buffer.truncate(size.div_ceil(2));
        }
    }

    /// Tells those who watch the file, when something was moved.
    pub(super) fn tell(&self, way: Way, moved: usize) {
        match way {
            _ if moved == 0 => {}
            Way::Read => crate::vfs::events::accessed(self),
            Way::Write => crate::vfs::events::modified(self),
        }
    }

    /// `read(2)`. Errors as [`OpenFile::transfer`].
    ///
    /// # Errors
    ///
    /// As [`OpenFile::transfer`].
    pub async fn read(&self, caller: &Caller, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        self.transfer(caller, Way::Read, Place::Current, buffer, self.io_flags()).await
    }

    /// `write(2)`.
    ///
    /// # Errors
    ///
    /// As [`OpenFile::transfer`].
    pub async fn write(&self, caller: &Caller, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        self.transfer(caller, Way::Write, Place::Current, buffer, self.io_flags()).await
    }

    /// Reads up to `length` bytes at `offset` for the kernel itself (program headers, scripts).
    ///
    /// # Errors
    ///
    /// `ENOMEM`; else as [`OpenFile::transfer`].
    pub async fn read_kernel(&self, caller: &Caller, offset: u64, length: usize) -> Result<Vec<u8>> {
        let memory = KernelBytes::zeroed(length)?;
        let mut buffer = UserBuffer::new(&memory, 0, length, Access::Write);
        let mut io = Io { caller, file: self, position: offset, flags: IoFlags::empty() };
        let got = self.transfer_loop(Way::Read, &mut io, &mut buffer).await?;
        Ok(memory.into_first(got))
    }

    fn explicit(&self, offset: i64) -> Result<u64> {
        let position = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        if self.is_path_only() {
            return Err(Errno::EBADF);
        }
        if self.ops().positioned() { Ok(position) } else { Err(Errno::ESPIPE) }
    }

    /// What comes before a write to a regular file, in its turn: the end with APPEND, and the size limits.
    fn prepare_write(&self, io: &mut Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<()> {
        let inode = self.inode();
        if io.flags.contains(IoFlags::APPEND) {
            io.position = inode.metadata().size;
        }
        let limit = io.caller.limits.soft(Resource::FileSize);
        if io.position >= limit {
            signal_caller(io.caller, SIGXFSZ);
            return Err(Errno::EFBIG);
        }
        if io.position >= MAX_POSITION {
            return Err(Errno::EFBIG);
        }
        let room = limit.min(MAX_POSITION) - io.position;
        buffer.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        crate::vfs::content_changes(io.caller, inode);
        Ok(())
    }

    /// Moves bytes at wherever `io` says and advances it: for callers that bring flags of their own (recvmsg).
    ///
    /// # Errors
    ///
    /// As [`OpenFile::transfer`].
    pub async fn transfer_loop(
        &self,
        way: Way,
        io: &mut Io<'_>,
        buffer: &mut UserBuffer<'_>,
    ) -> Result<usize> {
        let ops = self.ops();
        let mut progress =
            Progress { way, start: buffer.moved(), deadline: None, over: None, baton: Baton::new() };
        loop {
            let sources = ops.sources(self);
            let (source, before) = match way {
                Way::Read => (sources.input, buffer.moved()),
                Way::Write => (sources.output, buffer.moved()),
            };
            let awaited = source.map(|source| (source, source.observe()));
            let outcome = match way {
                Way::Read => ops.read(io, buffer),
                Way::Write => ops.write(io, buffer),
            };
            let moved = buffer.moved() - progress.start;
            if buffer.moved() > before {
                io.position = io.position.saturating_add((buffer.moved() - before) as u64);
                progress.deadline = None;
            }
            if outcome.is_ok() {
                // Of what it left the operation has told whoever comes next.
                progress.baton.used();
            }
            let error = match outcome {
                Ok(step) if step > 0 && !buffer.is_empty() && self.goes_on(way, moved) => {
                    executor::yield_point().await;
                    continue;
                }
                // What a kind of file says may be more than what the buffer took: a message cut short.
                Ok(step) => return Ok(step.max(moved)),
                Err(error) => error,
            };
            let Err(error) = self.after(io, buffer, error, awaited, &mut progress).await else { continue };
            let quiet = io.flags.contains(IoFlags::NOSIGNAL) || !ops.signals_broken_pipe(moved);
            if way == Way::Write && error == Errno::EPIPE && !quiet {
                signal_caller(io.caller, SIGPIPE);
            }
            return match progress.over {
                _ if moved > 0 => Ok(moved),
                Some(Reason::Timeout)
                    if error == Errno::EAGAIN && ops.patience(self, way, moved).expiry == Expiry::Nothing =>
                {
                    Ok(0)
                }
                _ => Err(error),
            };
        }
    }

    /// Whether an operation that has moved `moved` bytes, and could move more, tries to.
    fn goes_on(&self, way: Way, moved: usize) -> bool {
        let ops = self.ops();
        match way {
            // A positioned file may hand out long reads piece by piece; a stream says all it has at once.
            Way::Read => ops.positioned() || moved < ops.patience(self, way, moved).least,
            Way::Write => ops.writes_all(),
        }
    }

    /// What comes after an attempt that ended with `error`: another one, or the end with an error that counts
    /// unless something was moved.
    async fn after<'a>(
        &'a self,
        io: &Io<'_>,
        buffer: &mut UserBuffer<'_>,
        error: Errno,
        awaited: Option<(&'a Arc<WaitSource>, Seq)>,
        progress: &mut Progress<'a>,
    ) -> Result<()> {
        let moved = buffer.moved() - progress.start;
        match (error, awaited) {
            (Errno::EFAULT, _) => {
                buffer.fault_in().await?;
                // A page may be taken away again and again: a kill gets in here.
                executor::yield_point().await;
                Ok(())
            }
            (Errno::EAGAIN, _) if io.flags.contains(IoFlags::NONBLOCK) => Err(error),
            (Errno::EAGAIN, Some((source, seen))) => {
                let patience = self.ops().patience(self, progress.way, moved);
                match progress.over {
                    // A reader is content with what it got; a writer wants to get rid of all.
                    _ if progress.way == Way::Read && moved >= patience.least => return Err(error),
                    Some(Reason::Signal)
                        if progress.deadline.is_some() && patience.expiry == Expiry::Error =>
                    {
                        return Err(Errno::EINTR_NO_RESTART);
                    }
                    Some(Reason::Signal) => return Err(Errno::EINTR),
                    Some(_) => return Err(error),
                    None => {}
                }
                let deadline = progress.deadline.or_else(|| Some(machine::now() + patience.limit?));
                progress.deadline = deadline;
                let wait = Wait::interruptible().events(progress.way.events()).until(deadline);
                let reason = progress.baton.wait(source, seen, wait).await;
                // What came together with a signal is delivered all the same: one more attempt.
                progress.over = matches!(reason, Reason::Signal | Reason::Timeout).then_some(reason);
                Ok(())
            }
            (Errno::EAGAIN, None) => self.ops().load(io).ok_or(error)?.await,
            (error, _) => Err(error),
        }
    }
}
