//! A queue as an open file: it can be polled, and read as a text that tells how it is.

use alloc::format;
use alloc::sync::Arc;
use core::any::Any;

use base::memory::UserBuffer;
use base::{Errno, Result};
use executor::pollwait::{Events, WaitSource};
use fs::file::{FileOps, Io, OpenFile, Sources, Whence, seek_within};

use super::directory::{QueueInode, TEXT_BYTES};
use super::queue::Queue;
use crate::thread::Thread;

/// An open queue.
pub struct QueueFile(pub Arc<QueueInode>);

impl QueueFile {
    /// The queue behind a descriptor's file.
    ///
    /// # Errors
    ///
    /// `EBADF` when the file is none.
    pub fn queue_of(file: &OpenFile) -> Result<&Queue> {
        file.ops_as::<QueueFile>().map(|file| file.0.queue()).ok_or(Errno::EBADF)
    }
}

impl FileOps for QueueFile {
    fn read(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let status = self.0.queue().status();
        let (method, signal, pid) = status.notification;
        let text =
            format!("QSIZE:{:<10} NOTIFY:{method:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n", status.bytes);
        let start = usize::try_from(io.position).unwrap_or(usize::MAX);
        let Some(rest) = text.as_bytes().get(start..) else { return Ok(0) };
        buffer.put(rest.get(..buffer.remaining()).unwrap_or(rest))
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        self.0.queue().poll()
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources::both(self.0.queue().source())
    }

    fn wakes(&self, file: &OpenFile, tell: &mut dyn FnMut(&WaitSource)) {
        self.0.queue().wakes(file.access(), tell);
    }

    fn positioned(&self) -> bool {
        true
    }

    fn seek(&self, _file: &OpenFile, current: u64, offset: i64, whence: Whence) -> Result<u64> {
        seek_within(TEXT_BYTES, i64::MAX as u64, current, offset, whence)
    }

    fn flushed(&self) {
        // Whoever closes a descriptor of the queue is not told any more.
        if let Some(thread) = Thread::current() {
            self.0.queue().unregister(thread.process());
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
