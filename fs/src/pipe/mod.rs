//! Pipes and FIFOs. Source: `pipe(7)`, `fifo(7)`.
//!
//! A pipe is one ring under one lock, and two wait sources: `input` for readers, `output` for writers. A waker
//! that leaves something for the next waiter wakes it: data that remains for the next reader, room that
//! remains for the next writer.

mod end;
mod fifo;
mod ring;
mod splice;

use alloc::sync::Arc;

use base::caller::{Caller, Capabilities};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource};

use crate::file::{AccessMode, OpenFile, OpenFlags};
use crate::vfs::{AnonymousInode, FileType, Inode, anonymous_place};
use end::PipeEnd;
pub(crate) use fifo::open_fifo;
use ring::{PIPE_BUF, Ring};
pub use splice::{Front, Keep, Room, between};

/// Capacity of a new pipe, bytes.
pub const DEFAULT_CAPACITY: usize = 65_536;
/// Largest capacity that an unprivileged program may ask for: `/proc/sys/fs/pipe-max-size`.
pub const MAX_CAPACITY: usize = 1 << 20;
/// Largest capacity at all.
const CAPACITY_LIMIT: usize = 1 << 31;

/// A pipe.
pub struct Pipe {
    inner: SpinLock<Inner>,
    /// Woken when there is something to read, or nobody writes any more.
    input: Arc<WaitSource>,
    /// Woken when there is room, or nobody reads any more.
    output: Arc<WaitSource>,
    /// Woken when anything is read, though there was room before, or nobody reads any more: what the owner of a
    /// writing end hears. Nobody waits for it, as `output` must not wake edge-triggered epoll each time.
    taken: Arc<WaitSource>,
    /// Woken when a FIFO is opened.
    opened: WaitSource,
    /// It has no name: opened again through /proc/<pid>/fd, nobody waits for the other side.
    is_anonymous: bool,
}

struct Inner {
    ring: Ring,
    readers: usize,
    writers: usize,
    /// How often it was opened for reading and for writing.
    read_opens: u64,
    write_opens: u64,
    /// A splice is at the front: nobody else reads meanwhile.
    front_taken: bool,
}

const IN: Events = Events::IN.union(Events::RDNORM);
const OUT: Events = Events::OUT.union(Events::WRNORM);

/// The other side of a pipe at some moment.
#[derive(Clone, Copy)]
struct Partners {
    /// How many there are.
    now: usize,
    /// How many have ever come.
    ever: u64,
}

impl Inner {
    /// The other side for one that has opened, or opens, the side of `access`.
    fn partners(&self, access: AccessMode) -> Partners {
        if access.contains(AccessMode::READ) {
            Partners { now: self.writers, ever: self.write_opens }
        } else {
            Partners { now: self.readers, ever: self.read_opens }
        }
    }
}

impl Pipe {
    fn new(object: u64, is_anonymous: bool) -> Arc<Pipe> {
        let inner = Inner {
            ring: Ring::new(DEFAULT_CAPACITY),
            readers: 0,
            writers: 0,
            read_opens: 0,
            write_opens: 0,
            front_taken: false,
        };
        Arc::new(Pipe {
            inner: SpinLock::new(LockClass::Pipe, inner),
            input: Arc::new(WaitSource::new(WaitKind::PipeRead, object)),
            output: Arc::new(WaitSource::new(WaitKind::PipeWrite, object)),
            taken: Arc::new(WaitSource::new(WaitKind::PipeWrite, object)),
            opened: WaitSource::new(WaitKind::FifoOpen, object),
            is_anonymous,
        })
    }

    /// Counts an open. For one that opens a single side: the other side by then.
    fn join(&self, access: AccessMode) -> Partners {
        let mut inner = self.inner.lock();
        let partners = inner.partners(access);
        if access.contains(AccessMode::READ) {
            inner.readers += 1;
            inner.read_opens += 1;
        }
        if access.contains(AccessMode::WRITE) {
            inner.writers += 1;
            inner.write_opens += 1;
        }
        partners
    }

    /// Takes an open back; the other side hears of it.
    fn leave(&self, access: AccessMode) {
        let (no_reader, no_writer) = {
            let mut inner = self.inner.lock();
            if access.contains(AccessMode::READ) {
                inner.readers -= 1;
            }
            if access.contains(AccessMode::WRITE) {
                inner.writers -= 1;
            }
            if inner.readers == 0 && inner.writers == 0 {
                inner.ring.clear();
            }
            (inner.readers == 0, inner.writers == 0)
        };
        if no_writer && access.contains(AccessMode::WRITE) {
            self.input.wake_all(IN | Events::HUP, Reason::Hup);
        }
        if no_reader && access.contains(AccessMode::READ) {
            self.output.wake_all(OUT | Events::ERR, Reason::Hup);
            self.taken.wake_all(OUT | Events::ERR, Reason::Hup);
        }
    }

    /// Tells that something was read; with `freed`, that writers find room that was not there.
    fn tell_taken(&self, freed: bool) {
        if freed {
            self.output.wake_one(OUT, Reason::Data);
        }
        if self.taken.has_waiters() {
            self.taken.wake_all(OUT, Reason::Data);
        }
    }

    /// Bytes that can be read now: `FIONREAD`.
    #[must_use]
    pub fn available(&self) -> usize {
        self.inner.lock().ring.len()
    }

    /// Bytes it holds at most: `F_GETPIPE_SZ`.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.inner.lock().ring.limit()
    }

    /// Changes the capacity, rounded up to a power of two of pages: `F_SETPIPE_SZ`. Returns the new one.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it is far too large; `EPERM` beyond [`MAX_CAPACITY`] without `CAP_SYS_RESOURCE`; `EBUSY` when
    /// more is in the pipe.
    pub fn set_capacity(&self, caller: &Caller, wanted: usize) -> Result<usize> {
        if wanted > CAPACITY_LIMIT {
            return Err(Errno::EINVAL);
        }
        let capacity = wanted.max(PIPE_BUF).next_power_of_two();
        let larger = capacity > self.capacity();
        if larger && capacity > MAX_CAPACITY && !caller.credentials.capable(Capabilities::SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        let writable = {
            let mut inner = self.inner.lock();
            inner.ring.set_limit(capacity)?;
            inner.ring.is_writable()
        };
        if writable {
            self.output.wake_all(OUT, Reason::Data);
        }
        Ok(capacity)
    }
}

/// `pipe2(2)`: the two ends of a new pipe, first the one to read from. Of `flags`, `O_NONBLOCK` and `O_DIRECT`
/// count.
///
/// # Errors
///
/// `ENFILE`, `ENOMEM`.
pub fn pipe(caller: &Caller, flags: OpenFlags) -> Result<(Arc<OpenFile>, Arc<OpenFile>)> {
    let credentials = &caller.credentials;
    let inode = Arc::new(AnonymousInode::new(FileType::Fifo, 0o600, credentials.fsuid, credentials.fsgid));
    let title = inode.title("pipe");
    let pipe = Pipe::new(inode.ino(), true);
    let inode: Arc<dyn Inode> = inode;
    // What is opened again through /proc/<pid>/fd is this pipe.
    let pipe = inode.state().fifo(|| Ok(pipe))?;
    let status = flags & (OpenFlags::NONBLOCK | OpenFlags::DIRECT);
    let open = |access, mode| {
        let end = PipeEnd::new(&pipe, access, false);
        let place = anonymous_place(inode.clone(), title.as_bytes());
        OpenFile::new(caller, end, place, status | mode)
    };
    Ok((open(AccessMode::READ, OpenFlags::empty())?, open(AccessMode::WRITE, OpenFlags::WRONLY)?))
}

/// The pipe behind an open file, if it is an end of one.
#[must_use]
pub fn pipe_of(file: &OpenFile) -> Option<&Arc<Pipe>> {
    file.ops_as::<PipeEnd>().map(PipeEnd::pipe)
}

#[cfg(test)]
mod tests;
