//! The open file description: what `open(2)` makes and descriptors refer to.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::caller::Caller;
use base::charge::Charge;
use base::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use executor::lock::Mutex;
use executor::pollwait::WaitSource;

use super::announcement::Announcer;
use super::flags::{AccessMode, IoFlags, OpenFlags};
use super::followers::{Follower, Followers};
use super::ops::{FileOps, Io, Whence};
use crate::lock;
use crate::vfs::{Inode, Path};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static OPEN_FILES: AtomicU64 = AtomicU64::new(0);

/// Open files that the machine may have: `ENFILE` beyond.
pub const OPEN_FILES_MAX: u64 = 1 << 20;

/// Open files that live now: for the census and `/proc/sys/fs/file-nr`.
#[must_use]
pub fn open_files() -> u64 {
    OPEN_FILES.load(Ordering::Relaxed)
}

/// Whom `O_ASYNC` tells, and how: `F_SETOWN`, `F_SETOWN_EX` and `F_SETSIG`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileOwner {
    /// What `id` is; `None` when nobody is to be told.
    pub kind: Option<OwnerKind>,
    /// Thread, process or process group id.
    pub id: u32,
    /// Signal to send; 0 means SIGIO without siginfo.
    pub signal: u32,
    /// User ids of whoever set it, for the permission to signal.
    pub uid: u32,
    /// Effective user id, as above.
    pub euid: u32,
}

/// What a file's owner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    /// One thread.
    Thread,
    /// A process.
    Process,
    /// A process group.
    Group,
}

/// An open file description. It dies with its last descriptor and the last operation under way.
///
/// No operation locks it as a whole: reads and writes of a positioned file take the position's lock for as
/// long as they take, everything else runs side by side.
pub struct OpenFile {
    id: u64,
    ops: Arc<dyn FileOps>,
    path: Path,
    access: AccessMode,
    status: AtomicU32,
    pub(super) position: Mutex<u64>,
    owner: SpinLock<FileOwner>,
    followers: Followers,
    /// Who stands on its sources for its owner.
    pub(super) announcer: Announcer,
    /// Counted among the inode's writers.
    counts_as_writer: bool,
    _charge: Charge,
}

impl OpenFile {
    /// An open file over `ops` at `path`. Of `flags`, access mode and status bits are kept.
    ///
    /// # Errors
    ///
    /// `ENFILE` when the machine has too many; `ENOMEM`.
    pub fn new(
        caller: &Caller,
        ops: Arc<dyn FileOps>,
        path: Path,
        flags: OpenFlags,
    ) -> Result<Arc<OpenFile>> {
        Self::with_access(caller, ops, path, flags, flags.access(), false)
    }

    /// As [`OpenFile::new`]; with `counts_as_writer`, the inode's count of writers, which the caller has
    /// raised, is lowered when the file goes (and at once when this fails).
    ///
    /// # Errors
    ///
    /// As [`OpenFile::new`].
    pub(crate) fn with_access(
        caller: &Caller,
        ops: Arc<dyn FileOps>,
        path: Path,
        flags: OpenFlags,
        access: AccessMode,
        counts_as_writer: bool,
    ) -> Result<Arc<OpenFile>> {
        let charge = Self::admit(caller).inspect_err(|_| {
            if counts_as_writer {
                path.inode().state().put_writer();
            }
        })?;
        OPEN_FILES.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(OpenFile {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            ops,
            path,
            access,
            status: AtomicU32::new((flags & OpenFlags::STATUS).bits()),
            position: Mutex::new(0),
            owner: SpinLock::new(LockClass::File, FileOwner::default()),
            followers: Followers::new(),
            announcer: SpinLock::new(LockClass::File, [None, None]),
            counts_as_writer,
            _charge: charge,
        }))
    }

    fn admit(caller: &Caller) -> Result<Charge> {
        if open_files() >= OPEN_FILES_MAX {
            return Err(Errno::ENFILE);
        }
        Charge::new(&caller.account, size_of::<OpenFile>() + 2 * size_of::<usize>())
    }

    /// A file that no name leads to: `name` is what `/proc/<pid>/fd` shows, such as `anon_inode:[eventpoll]`.
    ///
    /// # Errors
    ///
    /// As [`OpenFile::new`].
    pub fn anonymous(
        caller: &Caller,
        ops: Arc<dyn FileOps>,
        name: &str,
        flags: OpenFlags,
    ) -> Result<Arc<OpenFile>> {
        Self::new(caller, ops, crate::vfs::anonymous_path(name.as_bytes()), flags)
    }

    /// A number that no other open file ever has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The operations of its kind.
    #[must_use]
    pub fn ops(&self) -> &Arc<dyn FileOps> {
        &self.ops
    }

    /// The operations, when they are a `T`.
    #[must_use]
    pub fn ops_as<T: FileOps>(&self) -> Option<&T> {
        self.ops.as_any().downcast_ref()
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.path.inode()
    }

    /// What it was opened for.
    #[must_use]
    pub fn access(&self) -> AccessMode {
        self.access
    }

    /// The status flags and the access mode's bits: `F_GETFL`.
    #[must_use]
    pub fn status(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.status.load(Ordering::Relaxed))
    }

    /// True when it is only a place: opened with `O_PATH`.
    #[must_use]
    pub fn is_path_only(&self) -> bool {
        self.status().contains(OpenFlags::PATH)
    }

    /// True when operations answer `EAGAIN` rather than wait.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.status().contains(OpenFlags::NONBLOCK)
    }

    /// Replaces the flags that `F_SETFL` may change; others in `flags` are ignored, as on Linux.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the kind of file does not have one of them; `EPERM` to clear `O_APPEND` of an append-only
    /// file or to set `O_NOATIME` on somebody else's.
    pub fn set_status(&self, caller: &Caller, flags: OpenFlags) -> Result<()> {
        let old = self.status();
        let gained = flags.difference(old);
        if gained.contains(OpenFlags::NOATIME)
            && !crate::vfs::owner_or_capable(caller, &self.inode().metadata())
        {
            return Err(Errno::EPERM);
        }
        let new = flags & OpenFlags::SETTABLE;
        if new != old & OpenFlags::SETTABLE {
            self.ops.set_status(self, new)?;
        }
        self.status.store(((old - OpenFlags::SETTABLE) | new).bits(), Ordering::Relaxed);
        Ok(())
    }

    /// Sets or clears `O_NONBLOCK` alone: `FIONBIO`.
    pub fn set_nonblocking(&self, on: bool) {
        self.set_status_bit(OpenFlags::NONBLOCK, on);
    }

    pub(super) fn set_status_bit(&self, bit: OpenFlags, on: bool) {
        if on {
            self.status.fetch_or(bit.bits(), Ordering::Relaxed);
        } else {
            self.status.fetch_and(!bit.bits(), Ordering::Relaxed);
        }
    }

    /// What the status flags say about one operation.
    #[must_use]
    pub fn io_flags(&self) -> IoFlags {
        let status = self.status();
        let mut flags = IoFlags::empty();
        flags.set(IoFlags::NONBLOCK, status.contains(OpenFlags::NONBLOCK));
        flags.set(IoFlags::APPEND, status.contains(OpenFlags::APPEND));
        flags.set(IoFlags::DSYNC, status.contains(OpenFlags::DSYNC));
        flags
    }

    /// The circumstances of an operation without a position.
    #[must_use]
    pub fn io<'a>(&'a self, caller: &'a Caller) -> Io<'a> {
        Io { caller, file: self, position: 0, flags: self.io_flags() }
    }

    /// Whom `O_ASYNC` tells.
    #[must_use]
    pub fn owner(&self) -> FileOwner {
        *self.owner.lock()
    }

    /// Changes whom `O_ASYNC` tells.
    pub fn set_owner(&self, owner: FileOwner) {
        *self.owner.lock() = owner;
    }

    /// Calls `tell` with each source that whoever has the file open may wake: for the wait graph.
    pub fn wakes(&self, tell: &mut dyn FnMut(&WaitSource)) {
        self.ops.wakes(self, tell);
        lock::wakes(self.inode(), lock::Owner::File(self.id), tell);
    }

    /// The sources on which those wait who wait for the file itself.
    #[must_use]
    pub fn awaited(&self) -> [Option<Arc<WaitSource>>; 2] {
        let sources = self.ops.sources(self);
        [sources.input.cloned(), sources.output.cloned()]
    }

    /// Tells `follower`, which has this id, when the file goes. Asking again changes nothing.
    pub fn follow(&self, id: u64, follower: &Weak<dyn Follower>) {
        self.followers.add(id, follower);
    }

    /// Of those who are told when the file goes, up to `most` behind the one with the id `after`, and the id of the last; no
    /// id when there are no more. They are to be let go of where no lock is held: it may be their end.
    #[must_use]
    pub fn followers(&self, after: Option<u64>, most: usize) -> (Vec<Arc<dyn Follower>>, Option<u64>) {
        self.followers.live(after, most)
    }

    /// Moves the position: `lseek(2)`. A drop leaves it where it was.
    ///
    /// # Errors
    ///
    /// `EBADF` for an `O_PATH` file; `ESPIPE`, `EINVAL`, `ENXIO` as [`FileOps::seek`].
    pub async fn seek(&self, offset: i64, whence: Whence) -> Result<u64> {
        if self.is_path_only() {
            return Err(Errno::EBADF);
        }
        let mut position = self.position.lock().await;
        *position = self.ops.seek(self, *position, offset, whence)?;
        Ok(*position)
    }

    /// The position now; 0 while an operation is moving it. For `/proc/<pid>/fdinfo`.
    #[must_use]
    pub fn position_hint(&self) -> u64 {
        self.position.try_lock().map_or(0, |position| *position)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        OPEN_FILES.fetch_sub(1, Ordering::Relaxed);
        self.followers.tell(self.id);
        self.ops.released(self);
        let state = self.path.inode().state();
        if self.counts_as_writer {
            state.put_writer();
        }
        state.release_locks_of_file(self.id);
        crate::vfs::events::closed(self);
    }
}

/// The position of an `lseek(2)` in a file of `size` bytes that may grow up to `limit`, where all is data.
///
/// # Errors
///
/// `EINVAL` before 0 or past the limit; `ENXIO` for data or holes past the end.
pub fn seek_within(size: u64, limit: u64, current: u64, offset: i64, whence: Whence) -> Result<u64> {
    // A sum that does not fit counts as one that is too far.
    let position = match whence {
        Whence::Set => u64::try_from(offset).ok(),
        Whence::Current => current.checked_add_signed(offset),
        Whence::End => size.checked_add_signed(offset),
        Whence::Data | Whence::Hole => {
            return match u64::try_from(offset) {
                Ok(at) if at < size => Ok(if whence == Whence::Data { at } else { size }),
                _ => Err(Errno::ENXIO),
            };
        }
    };
    position.filter(|&at| at <= limit).ok_or(Errno::EINVAL)
}

/// The position of an `lseek(2)` in a file whose size nobody knows.
///
/// # Errors
///
/// As [`seek_within`]; `EINVAL` too for what counts from the end.
pub fn seek_without_end(current: u64, offset: i64, whence: Whence) -> Result<u64> {
    match whence {
        Whence::Set | Whence::Current => seek_within(0, i64::MAX as u64, current, offset, whence),
        Whence::End | Whence::Data | Whence::Hole => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_stay_between_zero_and_the_limit() {
        let limit = i64::MAX as u64;
        assert_eq!(seek_within(10, limit, 4, -4, Whence::Current), Ok(0));
        assert_eq!(seek_within(10, limit, 4, -5, Whence::Current), Err(Errno::EINVAL));
        assert_eq!(seek_within(10, limit, 4, 5, Whence::End), Ok(15));
        assert_eq!(seek_within(10, limit, 4, i64::MAX, Whence::End), Err(Errno::EINVAL));
        assert_eq!(seek_within(10, limit, 0, 3, Whence::Hole), Ok(10));
        assert_eq!(seek_within(10, limit, 0, 10, Whence::Data), Err(Errno::ENXIO));
    }
}
