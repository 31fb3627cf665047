//! An end of a pipe, as an open file sees it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;

use base::memory::{BoxFuture, UserBuffer};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, WaitSource};

use super::ring::PIPE_BUF;
use super::{IN, OUT, Pipe};
use crate::file::{AccessMode, FileOps, Io, OpenFile, OpenFlags, Sources};

/// Bytes that are copied under one hold of the lock.
const HOLD_BYTES: usize = 16_384;

/// `FIONREAD` of `ioctl(2)`.
const FIONREAD: u32 = 0x541b;

/// One end, or with both access bits both ends, of a pipe.
pub(super) struct PipeEnd {
    pipe: Arc<Pipe>,
    access: AccessMode,
    /// Of a FIFO that was opened without waiting: how often it had been opened for writing by then. Until a
    /// writer comes, there is no end of file to report.
    hang_up_after: Option<u64>,
}

impl PipeEnd {
    /// A new end; with `before_writers`, one that was opened while no writer was there.
    pub(super) fn new(pipe: &Arc<Pipe>, access: AccessMode, before_writers: bool) -> Arc<PipeEnd> {
        pipe.join(access);
        Self::joined(pipe, access, before_writers)
    }

    /// An end whose open has been counted.
    pub(super) fn joined(pipe: &Arc<Pipe>, access: AccessMode, before_writers: bool) -> Arc<PipeEnd> {
        let hang_up_after = before_writers.then(|| pipe.inner.lock().write_opens);
        Arc::new(PipeEnd { pipe: pipe.clone(), access, hang_up_after })
    }

    /// The pipe.
    pub(super) fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// Moves one hold's worth to the program. `None` when the pipe is empty and somebody may still write.
    fn read_some(&self, buffer: &mut UserBuffer<'_>, progress: &mut Progress) -> Result<Step> {
        let mut inner = self.pipe.inner.lock();
        if inner.front_taken {
            return Err(Errno::EAGAIN);
        }
        if inner.ring.is_empty() {
            return if inner.writers == 0 { Ok(Step::Done) } else { Err(Errno::EAGAIN) };
        }
        let packet = inner.ring.at_packet();
        if packet && progress.moved > 0 {
            return Ok(Step::Done);
        }
        let before = inner.ring.is_writable();
        let hold = if packet { PIPE_BUF } else { HOLD_BYTES };
        let wanted = inner.ring.readable().min(hold).min(buffer.remaining());
        let mark = buffer.mark();
        let (copied, missing) = inner.ring.copy_out(buffer, wanted);
        if packet && missing {
            // A message is consumed as a whole or not at all.
            buffer.rewind(mark);
            return Err(Errno::EFAULT);
        }
        inner.ring.consume(copied);
        progress.moved += copied;
        progress.freed |= !before && inner.ring.is_writable();
        progress.remains = !inner.ring.is_empty();
        if missing {
            return Err(Errno::EFAULT);
        }
        Ok(if packet || buffer.is_empty() { Step::Done } else { Step::Again })
    }

    /// Takes one hold's worth from the program.
    fn write_some(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>, progress: &mut Progress) -> Result<Step> {
        let mut inner = self.pipe.inner.lock();
        if inner.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let packet = io.file.status().contains(OpenFlags::DIRECT);
        let left = buffer.remaining();
        let atomic = packet || progress.moved == 0 && buffer.moved() == 0 && left <= PIPE_BUF;
        let piece = if packet { left.min(PIPE_BUF) } else { left.min(HOLD_BYTES) };
        let free = inner.ring.free();
        if free == 0 || atomic && free < piece {
            return Err(Errno::EAGAIN);
        }
        let wanted = piece.min(free);
        inner.ring.reserve(&io.caller.account, wanted)?;
        let mark = buffer.mark();
        let (copied, missing) = inner.ring.copy_in(buffer, wanted);
        if atomic && missing {
            buffer.rewind(mark);
            return Err(Errno::EFAULT);
        }
        inner.ring.publish(copied, packet);
        progress.moved += copied;
        progress.remains = inner.ring.is_writable();
        if missing {
            return Err(Errno::EFAULT);
        }
        Ok(if buffer.is_empty() { Step::Done } else { Step::Again })
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.pipe.leave(self.access);
    }
}

/// Whether there may be more to move.
enum Step {
    Again,
    Done,
}

/// What one operation has done to the pipe.
#[derive(Default)]
struct Progress {
    moved: usize,
    /// The pipe was too full for writers, and is not any more.
    freed: bool,
    /// Something is left for the next of the same side.
    remains: bool,
}

impl FileOps for PipeEnd {
    fn announces(&self) -> bool {
        true
    }

    fn announcing(&self, file: &OpenFile) -> Sources<'_> {
        let Sources { input, output } = self.sources(file);
        Sources { input, output: output.map(|_| &self.pipe.taken) }
    }

    fn read(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut progress = Progress::default();
        let end = loop {
            match self.read_some(buffer, &mut progress) {
                Ok(Step::Again) => {}
                Ok(Step::Done) => break Ok(progress.moved),
                Err(Errno::EAGAIN) if progress.moved > 0 => break Ok(progress.moved),
                Err(error) => break Err(error),
            }
        };
        if progress.moved > 0 {
            self.pipe.tell_taken(progress.freed);
        }
        let input = &self.pipe.input;
        if progress.moved > 0 && progress.remains && input.has_waiters() && input.waiting() > 0 {
            input.wake_one(IN, Reason::Data);
        }
        end
    }

    fn write(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut progress = Progress::default();
        let end = loop {
            match self.write_some(io, buffer, &mut progress) {
                Ok(Step::Again) => {}
                Ok(Step::Done) => break Ok(progress.moved),
                Err(error) => break Err(error),
            }
        };
        if progress.moved > 0 {
            self.pipe.input.wake_one(IN, Reason::Data);
            let output = &self.pipe.output;
            if progress.remains && output.has_waiters() && output.waiting() > 0 {
                output.wake_one(OUT, Reason::Data);
            }
        }
        end
    }

    fn writes_whole(&self) -> bool {
        true
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let inner = self.pipe.inner.lock();
        let mut events = Events::empty();
        if self.access.contains(AccessMode::READ) {
            if !inner.ring.is_empty() && !inner.front_taken {
                events |= IN;
            }
            if inner.writers == 0 && self.hang_up_after != Some(inner.write_opens) {
                events |= Events::HUP;
            }
        }
        if self.access.contains(AccessMode::WRITE) {
            if inner.ring.is_writable() {
                events |= OUT;
            }
            if inner.readers == 0 {
                events |= Events::ERR;
            }
        }
        events
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources {
            input: self.access.contains(AccessMode::READ).then_some(&self.pipe.input),
            output: self.access.contains(AccessMode::WRITE).then_some(&self.pipe.output),
        }
    }

    fn wakes(&self, _file: &OpenFile, tell: &mut dyn FnMut(&WaitSource)) {
        if self.access.contains(AccessMode::READ) {
            tell(&self.pipe.output);
        }
        if self.access.contains(AccessMode::WRITE) {
            tell(&self.pipe.input);
        }
    }

    fn ioctl<'a>(&'a self, io: &'a Io<'a>, request: u32, argument: u64) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            if request != FIONREAD {
                return Err(Errno::ENOTTY);
            }
            let available = i32::try_from(self.pipe.available()).unwrap_or(i32::MAX);
            crate::file::put_user(io.caller, argument, &available.to_ne_bytes()).await?;
            Ok(0)
        })
    }

    fn set_status(&self, _file: &OpenFile, _new: OpenFlags) -> Result<()> {
        // Packet mode may be switched at any time.
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
