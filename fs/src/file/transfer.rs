//! Reads and writes of open files: the one loop that waits, faults user memory in and tries again.
//!
//! ```text
//!          observe                 EAGAIN                    woken
//!   start ---------> try the op ------------> wait ----------------------> observe again
//!                      |    |                   |  signal, and still nothing
//!        moved / error |    | EFAULT            +--------------------------> EINTR
//!                      v    v
//!                 answer   fault in, try again (EFAULT if that fails)
//! ```
//!
//! What was moved before an error is the answer, as on Linux; the error shows at the next call.
//! A drop midway leaves what was moved in place, and a wake that was not used goes to the next waiter.

use alloc::vec::Vec;

use base::caller::{Caller, Resource};
use base::memory::{Access, KernelBytes, UserBuffer};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait, WaitSource};

use super::flags::{AccessMode, IoFlags};
use super::open_file::OpenFile;
use super::ops::Io;
use crate::signal::{SIGPIPE, SIGXFSZ, signal_caller};
use crate::vfs::FileType;

/// Most bytes that one call moves (`MAX_RW_COUNT`): a signed 32-bit number, rounded down to a page.
pub const MAX_TRANSFER: usize = 0x7fff_f000;

/// Last byte that a file may have.
const MAX_POSITION: u64 = i64::MAX as u64;

/// How an attempt that moved nothing, or not enough, goes on.
enum Next {
    /// The buffer's page is there now, or the source was woken: try again.
    Again,
    /// End with this error, unless something was moved.
    Stop(Errno),
}

impl OpenFile {
    /// `read(2)`, `readv(2)`: at the position, which it moves, or from the stream.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open for reading; `EAGAIN`, `EINTR`, `EFAULT`; else as the kind of file says.
    pub async fn read(&self, caller: &Caller, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        self.read_with(caller, buffer, self.io_flags()).await
    }

    /// As [`OpenFile::read`], with flags of its own: `preadv2(2)` with offset -1.
    ///
    /// # Errors
    ///
    /// As [`OpenFile::read`].
    pub async fn read_with(
        &self,
        caller: &Caller,
        buffer: &mut UserBuffer<'_>,
        flags: IoFlags,
    ) -> Result<usize> {
        self.check(AccessMode::READ)?;
        buffer.truncate(MAX_TRANSFER);
        let mut io = Io { caller, file: self, position: 0, flags };
        if !self.ops().positioned() {
            return self.read_loop(&mut io, buffer).await;
        }
        let mut position = self.position.lock().await;
        io.position = *position;
        let result = self.read_loop(&mut io, buffer).await;
        *position = io.position;
        result
    }

    /// `pread64(2)`, `preadv(2)`: at `offset`, leaving the position alone.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a negative offset; `ESPIPE` when the file has no positions; else as [`OpenFile::read`].
    pub async fn read_at(
        &self,
        caller: &Caller,
        offset: i64,
        buffer: &mut UserBuffer<'_>,
        flags: IoFlags,
    ) -> Result<usize> {
        let position = self.explicit(offset)?;
        self.check(AccessMode::READ)?;
        buffer.truncate(MAX_TRANSFER);
        self.read_loop(&mut Io { caller, file: self, position, flags }, buffer).await
    }

    /// `write(2)`, `writev(2)`: at the position, which it moves, at the end with `O_APPEND`, or to the stream.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open for writing; `EPIPE` (with SIGPIPE), `EFBIG` (with SIGXFSZ), `EAGAIN`,
    /// `EINTR`, `EFAULT`; else as the kind of file says.
    pub async fn write(&self, caller: &Caller, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        self.write_with(caller, buffer, self.io_flags()).await
    }

    /// As [`OpenFile::write`], with flags of its own: `pwritev2(2)` with offset -1.
    ///
    /// # Errors
    ///
    /// As [`OpenFile::write`].
    pub async fn write_with(
        &self,
        caller: &Caller,
        buffer: &mut UserBuffer<'_>,
        flags: IoFlags,
    ) -> Result<usize> {
        self.check(AccessMode::WRITE)?;
        buffer.truncate(MAX_TRANSFER);
        let mut io = Io { caller, file: self, position: 0, flags };
        if !self.ops().positioned() {
            return self.write_loop(&mut io, buffer).await;
        }
        let mut position = self.position.lock().await;
        io.position = *position;
        let result = self.write_positioned(&mut io, buffer).await;
        *position = io.position;
        result
    }

    /// `pwrite64(2)`, `pwritev(2)`: at `offset` (with `O_APPEND` at the end, as on Linux), leaving the
    /// position alone.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a negative offset; `ESPIPE` when the file has no positions; else as [`OpenFile::write`].
    pub async fn write_at(
        &self,
        caller: &Caller,
        offset: i64,
        buffer: &mut UserBuffer<'_>,
        flags: IoFlags,
    ) -> Result<usize> {
        let position = self.explicit(offset)?;
        self.check(AccessMode::WRITE)?;
        buffer.truncate(MAX_TRANSFER);
        self.write_positioned(&mut Io { caller, file: self, position, flags }, buffer).await
    }

    /// Reads up to `length` bytes at `offset` for the kernel itself (program headers, scripts).
    ///
    /// # Errors
    ///
    /// `ENOMEM`; else as [`OpenFile::read_at`].
    pub async fn read_kernel(&self, caller: &Caller, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(length, 0);
        let memory = KernelBytes::new(bytes);
        let mut buffer = UserBuffer::new(&memory, 0, length, Access::Write);
        let mut io = Io { caller, file: self, position: offset, flags: IoFlags::empty() };
        let got = self.read_loop(&mut io, &mut buffer).await?;
        let mut bytes = memory.into_inner();
        bytes.truncate(got);
        Ok(bytes)
    }

    fn check(&self, wanted: AccessMode) -> Result<()> {
        if self.access().contains(wanted) { Ok(()) } else { Err(Errno::EBADF) }
    }

    fn explicit(&self, offset: i64) -> Result<u64> {
        let position = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        if self.is_path_only() {
            return Err(Errno::EBADF);
        }
        if self.ops().positioned() { Ok(position) } else { Err(Errno::ESPIPE) }
    }

    /// Reads from wherever `io` says and advances it: for callers that bring flags of their own (recvmsg).
    ///
    /// # Errors
    ///
    /// As [`OpenFile::read`].
    pub async fn read_loop(&self, io: &mut Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let ops = self.ops();
        let positioned = ops.positioned();
        let start = buffer.moved();
        let mut interrupted = false;
        loop {
            let source = ops.sources(self).input;
            let seen = source.map(|source| source.observe());
            let before = buffer.moved();
            let outcome = ops.read(io, buffer);
            let step = buffer.moved() - before;
            io.position = io.position.saturating_add(step as u64);
            let error = match outcome {
                // A positioned file may hand out long reads piece by piece; a stream says all it has at once.
                Ok(got) if positioned && got > 0 && !buffer.is_empty() => {
                    executor::yield_point().await;
                    continue;
                }
                Ok(got) => {
                    return Ok(if positioned {
                        buffer.moved() - start
                    } else {
                        got.max(buffer.moved() - start)
                    });
                }
                Err(error) => error,
            };
            let moved = buffer.moved() - start;
            match self.after(io, buffer, error, moved, source.zip(seen), Events::IN, &mut interrupted).await {
                Next::Again => {}
                Next::Stop(_) if moved > 0 => return Ok(moved),
                Next::Stop(error) => return Err(error),
            }
        }
    }

    /// A write to a file with positions: the end with APPEND, the size limit, and the order of writers.
    async fn write_positioned(&self, io: &mut Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let inode = self.inode();
        if inode.metadata().kind != FileType::Regular {
            return self.write_loop(io, buffer).await;
        }
        // One write at a time, so that an appended record lies in one piece.
        let _order = inode.state().write_order().lock().await;
        if io.flags.contains(IoFlags::APPEND) {
            io.position = inode.metadata().size;
        }
        if buffer.is_empty() {
            return Ok(0);
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
        let written = self.write_loop(io, buffer).await?;
        crate::vfs::events::modified(self);
        Ok(written)
    }

    /// Writes to wherever `io` says and advances it: for callers that bring flags of their own (sendmsg).
    ///
    /// # Errors
    ///
    /// As [`OpenFile::write`].
    pub async fn write_loop(&self, io: &mut Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let ops = self.ops();
        let start = buffer.moved();
        let mut interrupted = false;
        loop {
            let source = ops.sources(self).output;
            let seen = source.map(|source| source.observe());
            let before = buffer.moved();
            let outcome = ops.write(io, buffer);
            let step = buffer.moved() - before;
            io.position = io.position.saturating_add(step as u64);
            let error = match outcome {
                Ok(done) if done > 0 && ops.writes_all() && !buffer.is_empty() => {
                    executor::yield_point().await;
                    continue;
                }
                Ok(done) => return Ok(done.max(buffer.moved() - start)),
                Err(error) => error,
            };
            let moved = buffer.moved() - start;
            match self.after(io, buffer, error, moved, source.zip(seen), Events::OUT, &mut interrupted).await
            {
                Next::Again => {}
                Next::Stop(error) => {
                    if error == Errno::EPIPE && !io.flags.contains(IoFlags::NOSIGNAL) {
                        signal_caller(io.caller, SIGPIPE);
                    }
                    return if moved > 0 { Ok(moved) } else { Err(error) };
                }
            }
        }
    }

    /// What comes after an attempt that ended with `error`.
    #[allow(clippy::too_many_arguments, reason = "the state of the two loops above")]
    async fn after(
        &self,
        io: &Io<'_>,
        buffer: &mut UserBuffer<'_>,
        error: Errno,
        moved: usize,
        source: Option<(&alloc::sync::Arc<WaitSource>, executor::pollwait::Seq)>,
        events: Events,
        interrupted: &mut bool,
    ) -> Next {
        match error {
            Errno::EFAULT => match buffer.fault_in().await {
                Ok(()) => {
                    // A page may be taken away again and again: a kill gets in here.
                    executor::yield_point().await;
                    Next::Again
                }
                Err(error) => {
                    // A wake that led here was meant for somebody who takes the data.
                    if let Some((source, _)) = source {
                        source.pass_on();
                    }
                    Next::Stop(error)
                }
            },
            // A stream's reader is content with what it got; a writer wants to get rid of all.
            Errno::EAGAIN if moved > 0 && events == Events::IN => Next::Stop(error),
            Errno::EAGAIN if io.flags.contains(IoFlags::NONBLOCK) => Next::Stop(error),
            Errno::EAGAIN if *interrupted => Next::Stop(Errno::EINTR),
            Errno::EAGAIN => match source {
                Some((source, seen)) => {
                    // What came together with a signal is delivered all the same: one more attempt.
                    *interrupted =
                        source.wait(seen, Wait::interruptible().events(events)).await == Reason::Signal;
                    Next::Again
                }
                None => match self.ops().load(io) {
                    Some(load) => match load.await {
                        Ok(()) => Next::Again,
                        Err(error) => Next::Stop(error),
                    },
                    None => Next::Stop(error),
                },
            },
            error => Next::Stop(error),
        }
    }
}
