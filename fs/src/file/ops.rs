//! What a kind of file implements: synchronous operations that never wait.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use core::time::Duration;

use base::caller::Caller;
use base::memory::{BoxFuture, UserBuffer};
use base::{Errno, Result};
use executor::pollwait::{Events, WaitSource};

use super::flags::{IoFlags, OpenFlags};
use super::mapping::Mappable;
use super::open_file::OpenFile;
use super::transfer::Way;
use crate::vfs::DirSink;

/// The circumstances of one operation on an open file.
pub struct Io<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Through which open file.
    pub file: &'a OpenFile,
    /// Where, for a file whose [`FileOps::positioned`] is true; otherwise meaningless.
    pub position: u64,
    /// How.
    pub flags: IoFlags,
}

/// Origin of an `lseek(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The start of the file.
    Set,
    /// The current position.
    Current,
    /// The end of the file.
    End,
    /// The next data at or after the offset.
    Data,
    /// The next hole at or after the offset.
    Hole,
}

impl Whence {
    /// The origin with Linux's number `raw`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for any other.
    pub fn from_raw(raw: u32) -> Result<Whence> {
        Ok(match raw {
            0 => Whence::Set,
            1 => Whence::Current,
            2 => Whence::End,
            3 => Whence::Data,
            4 => Whence::Hole,
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// How a blocking read or write waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Bytes with which a read is content, 1 or more.
    pub least: usize,
    /// How long it waits for each of them; then it answers with what it has.
    pub limit: Option<Duration>,
    /// What it answers then if it has nothing.
    pub expiry: Expiry,
}

/// What a call answers that has waited as long as it may, for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// That it got nothing; interrupted, it starts again (terminals).
    Nothing,
    /// `EAGAIN`; interrupted, it does not start again (sockets).
    Error,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { least: 1, limit: None, expiry: Expiry::Nothing }
    }
}

/// The wait sources of a file: what becomes readable wakes `input`, what becomes writable `output`.
/// A file without sources is always ready.
#[derive(Clone, Copy, Default)]
pub struct Sources<'a> {
    /// Woken when a read may go on.
    pub input: Option<&'a Arc<WaitSource>>,
    /// Woken when a write may go on. May be the same source.
    pub output: Option<&'a Arc<WaitSource>>,
}

impl<'a> Sources<'a> {
    /// One source for both directions.
    #[must_use]
    pub fn both(source: &'a Arc<WaitSource>) -> Sources<'a> {
        Sources { input: Some(source), output: Some(source) }
    }

    /// The sources, each named once.
    pub fn iter(self) -> impl Iterator<Item = &'a Arc<WaitSource>> {
        let second = match (self.input, self.output) {
            (Some(input), Some(output)) if Arc::ptr_eq(input, output) => None,
            (_, output) => output,
        };
        self.input.into_iter().chain(second)
    }
}

/// The bits of a file that never makes anybody wait.
pub const ALWAYS_READY: Events = Events::IN.union(Events::OUT).union(Events::RDNORM).union(Events::WRNORM);

/// The operations of one kind of file. None of them waits, takes an async lock or faults user memory in:
/// `EAGAIN` means "nothing now" and `EFAULT` "a page of the buffer is missing"; [`OpenFile`] holds the one
/// loop that waits, faults in and tries again.
///
/// The default of every operation is Linux's answer of a file that does not have it.
pub trait FileOps: Send + Sync + Any {
    /// Moves bytes to the program, as many as there are; 0 is the end of the file.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is nothing now; `EFAULT` when no byte could be copied; `EINVAL` when the kind
    /// cannot be read.
    fn read(&self, _io: &Io<'_>, _buffer: &mut UserBuffer<'_>) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    /// Takes bytes from the program, as many as fit. After a wait the loop calls it again with what is left.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when nothing fits now; `EFAULT` as above; `EPIPE` when nobody will read (the loop sends
    /// SIGPIPE); `EINVAL` when the kind cannot be written.
    fn write(&self, _io: &Io<'_>, _buffer: &mut UserBuffer<'_>) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    /// True when a read that fails does nothing else, so that it may be tried first and made again. Sockets
    /// report some errors once.
    fn fails_again(&self) -> bool {
        true
    }

    /// True when a write of at most `PIPE_BUF` bytes takes all of them or none, so that it may be tried first
    /// and made again.
    fn writes_whole(&self) -> bool {
        false
    }

    /// What the file is ready for now.
    fn poll(&self, _file: &OpenFile) -> Events {
        ALWAYS_READY
    }

    /// Whom to wait for.
    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources::default()
    }

    /// Calls `tell` with each source that whoever has the file open may wake, which is where others wait for him:
    /// the other end of a pipe or a socket. For the wait graph, where a file that tells none is one whose
    /// events come from elsewhere.
    fn wakes(&self, _file: &OpenFile, _tell: &mut dyn FnMut(&WaitSource)) {}

    /// True when epoll may watch it: a file that tells when it becomes ready. Regular files do not.
    fn watchable(&self, file: &OpenFile) -> bool {
        self.sources(file).iter().next().is_some()
    }

    /// True when `O_ASYNC` may be set: the owner of the file is told when it becomes ready.
    fn announces(&self) -> bool {
        false
    }

    /// The sources whose wakes the owner of a file with `O_ASYNC` is told of: those that others wait for, unless he
    /// hears of more than they.
    fn announcing(&self, file: &OpenFile) -> Sources<'_> {
        self.sources(file)
    }

    /// What a wake of one of the sources is to the owner of a file with `O_ASYNC`: `IN`, `OUT` or `HUP`; `None` when it
    /// is nothing.
    fn announce(&self, woken: Events) -> Option<Events> {
        [Events::IN, Events::OUT].into_iter().find(|event| woken.contains(*event))
    }

    /// True when reads and writes have a position, so that `pread(2)` works.
    fn positioned(&self) -> bool {
        false
    }

    /// True when a blocking write goes on until everything is written (pipes, stream sockets, terminals).
    /// False: the first piece is the answer (a message, an eventfd).
    fn writes_all(&self) -> bool {
        true
    }

    /// How a blocking read or write that has moved `moved` bytes waits for more.
    fn patience(&self, _file: &OpenFile, _way: Way, _moved: usize) -> Patience {
        Patience::default()
    }

    /// True when `EPIPE`, after `moved` bytes of the same call, comes with SIGPIPE.
    fn signals_broken_pipe(&self, _moved: usize) -> bool {
        true
    }

    /// Waits for what a read or write of a slow device missed when it answered `EAGAIN` on a file that has
    /// no wait source. A drop of the future leaves the device's work to finish by itself.
    fn load(&self, _io: &Io<'_>) -> Option<BoxFuture<'_, Result<()>>> {
        None
    }

    /// The new position for `lseek(2)`.
    ///
    /// # Errors
    ///
    /// `ESPIPE` when the kind has none; `EINVAL` for a position before 0; `ENXIO` past the end with
    /// `Data` and `Hole`.
    fn seek(&self, _file: &OpenFile, _current: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        Err(Errno::ESPIPE)
    }

    /// Device control.
    ///
    /// # Errors
    ///
    /// `ENOTTY` for a request that the kind does not know.
    fn ioctl<'a>(&'a self, _io: &'a Io<'a>, _request: u32, _argument: u64) -> BoxFuture<'a, Result<u64>> {
        Box::pin(core::future::ready(Err(Errno::ENOTTY)))
    }

    /// Hands the entries from `*position` on to `sink` until it is full, and advances the position.
    ///
    /// # Errors
    ///
    /// `ENOTDIR` when the file is no directory.
    fn read_dir(&self, _io: &Io<'_>, _position: &mut u64, _sink: &mut dyn DirSink) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    /// The pages, when the file can be mapped.
    fn mappable(&self) -> Option<Arc<dyn Mappable>> {
        None
    }

    /// Whether `splice(2)` and `sendfile(2)` work in this direction.
    fn splices(&self, _way: Way) -> bool {
        self.positioned()
    }

    /// Refuses or takes note of new status flags (`F_SETFL`); the open file stores them afterwards.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the kind does not allow one of them.
    fn set_status(&self, _file: &OpenFile, new: OpenFlags) -> Result<()> {
        if new.contains(OpenFlags::DIRECT) { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// The calling thread closed a descriptor of the file, perhaps not the last. Must not wait.
    fn flushed(&self) {}

    /// The last descriptor and the last operation are gone. Must not wait.
    fn released(&self, _file: &OpenFile) {}

    /// Further lines of `/proc/<pid>/fdinfo/<fd>`.
    ///
    /// # Errors
    ///
    /// As the writer.
    fn describe(&self, _file: &OpenFile, _out: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }

    /// For the subsystem that made the file and wants to know its own again.
    fn as_any(&self) -> &dyn Any;
}
