//! A segment: its pages, who has it attached, its end.
//!
//! The pages are those of a file without a name. A mapping of the segment registers with it, as with a file, and
//! so is an attachment: the copy that fork(2) makes is another one, and it ends with munmap(2), shmdt(2), execve(2)
//! or the process. A segment that was removed lives until its last attachment is gone.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::fmt::Write;
use core::ops::Range;

use base::caller::{Caller, Capabilities, Resource};
use base::charge::Charge;
use base::frame::Frame;
use base::memory::{Access, BoxFuture};
use base::sync::{LockClass, SpinGuard, SpinLock};
use base::{Errno, Result};
use fs::file::{Mappable, Mapping, MappingObserver, OpenFile};
use fs::tmpfs::segment_file;

use super::super::permission::{NewOwner, Permissions};
use super::super::{Share, now};
use super::SEGMENTS_BY_ID;
use crate::mm::AddressSpace;
use crate::mm::file::{FileIdentity, FileMapping};
use crate::thread::Thread;

/// Bytes that a segment takes beside its pages and its file.
const SEGMENT_COST: usize = 512;

/// A shared memory segment.
pub struct Segment {
    id: i32,
    size: u64,
    file: Arc<OpenFile>,
    pages: Arc<dyn Mappable>,
    state: SpinLock<State>,
}

/// What the lock protects. Times are seconds since the epoch.
pub(super) struct State {
    pub(super) permissions: Permissions,
    /// The attachments, as the file knows them.
    pub(super) attachments: BTreeMap<u64, Mapping>,
    next_attachment: u64,
    pub(super) attached: u64,
    pub(super) detached: u64,
    pub(super) changed: u64,
    pub(super) creator: u32,
    /// The process that attached or detached it last.
    pub(super) last_user: u32,
    /// It ends with its last attachment.
    pub(super) doomed: bool,
    pub(super) locked: bool,
    removed: bool,
    share: Option<Share>,
    _charge: Charge,
}

impl Segment {
    /// A segment of `size` bytes that the caller pays for.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`.
    pub(super) fn new(permissions: Permissions, size: u64, share: Share, caller: &Caller) -> Result<Segment> {
        let charge = Charge::new(&caller.account, SEGMENT_COST)?;
        let mut title = String::new();
        // A string takes everything.
        let _ = write!(title, "/SYSV{:08x} (deleted)", permissions.key);
        let file = segment_file(caller, title.as_bytes(), size)?;
        let pages = file.ops().mappable().ok_or(Errno::ENODEV)?;
        let state = State {
            permissions,
            attachments: BTreeMap::new(),
            next_attachment: 0,
            attached: 0,
            detached: 0,
            changed: now(),
            creator: caller.pid,
            last_user: 0,
            doomed: false,
            locked: false,
            removed: false,
            share: Some(share),
            _charge: charge,
        };
        let state = SpinLock::new(LockClass::SysvObject, state);
        Ok(Segment { id: permissions.id, size, file, pages, state })
    }

    /// Its size in bytes, as it was asked for.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Pages of it that exist.
    #[must_use]
    pub fn resident_pages(&self) -> u64 {
        // A file counts blocks of 512 bytes.
        self.file.inode().metadata().blocks / 8
    }

    /// Takes the lock.
    pub(super) fn lock(&self) -> SpinGuard<'_, State> {
        self.state.lock()
    }

    /// Checks that the caller may do what `wanted` says.
    ///
    /// # Errors
    ///
    /// `EACCES`.
    pub fn check(&self, caller: &Caller, wanted: i32) -> Result<()> {
        self.lock().permissions.check(&caller.credentials, wanted)
    }

    /// A mapping of the segment for `space`: an attachment. `write` says that its pages may be written.
    ///
    /// # Errors
    ///
    /// `EIDRM` when it is gone.
    pub fn mapping(self: &Arc<Self>, space: &Arc<AddressSpace>, write: bool) -> Result<Arc<FileMapping>> {
        let identity = FileIdentity { device: FileIdentity::SEGMENTS, inode: self.id.unsigned_abs().into() };
        FileMapping::new(space, self.clone(), Some(self.file.clone()), identity, write)
    }

    /// `IPC_SET`: changes who owns the segment.
    ///
    /// # Errors
    ///
    /// `EPERM` when the caller is neither owner nor privileged; `EINVAL` for an id that is none.
    pub fn set_owner(&self, caller: &Caller, new: NewOwner) -> Result<()> {
        let mut state = self.lock();
        state.permissions.check_owner(&caller.credentials, Capabilities::SYS_ADMIN)?;
        state.permissions.set(new)?;
        state.changed = now();
        Ok(())
    }

    /// `SHM_LOCK` and `SHM_UNLOCK`: nothing is ever swapped, so this is only remembered.
    ///
    /// # Errors
    ///
    /// `EPERM` when the caller is neither owner nor privileged, or may not lock anything; `ENOMEM` above
    /// `RLIMIT_MEMLOCK`.
    pub fn set_locked(&self, caller: &Caller, locked: bool) -> Result<()> {
        let mut state = self.lock();
        if !caller.credentials.capable(Capabilities::IPC_LOCK) {
            state.permissions.check_owner(&caller.credentials, Capabilities::IPC_LOCK)?;
            let limit = caller.limits.soft(Resource::LockedMemory);
            if locked && limit == 0 {
                return Err(Errno::EPERM);
            }
            if locked && self.size > limit {
                return Err(Errno::ENOMEM);
            }
        }
        state.locked = locked;
        Ok(())
    }

    /// `IPC_RMID`: no key leads to the segment any more, and it ends with its last attachment.
    ///
    /// # Errors
    ///
    /// `EPERM` when the caller is neither owner nor privileged.
    pub fn remove(&self, caller: &Caller) -> Result<()> {
        let ended = {
            let mut state = self.lock();
            state.permissions.check_owner(&caller.credentials, Capabilities::SYS_ADMIN)?;
            state.doomed = true;
            state.permissions.key = super::super::ids::IPC_PRIVATE;
            state.end_if_unused()
        };
        SEGMENTS_BY_ID.forget_key(self.id);
        self.finish(ended);
        Ok(())
    }

    /// Takes an ended segment out of the table.
    fn finish(&self, ended: Option<Share>) {
        if let Some(share) = ended {
            SEGMENTS_BY_ID.remove(self.id);
            drop(share);
        }
    }
}

impl State {
    /// Ends the segment if it is to end and nobody has it attached.
    fn end_if_unused(&mut self) -> Option<Share> {
        if !self.doomed || !self.attachments.is_empty() {
            return None;
        }
        self.removed = true;
        self.share.take()
    }

    /// Notes who attaches or detaches.
    fn used_by_current(&mut self) {
        if let Some(thread) = Thread::current() {
            self.last_user = thread.process().pid();
        }
    }
}

impl Mappable for Segment {
    fn page(&self, index: u64, access: Access) -> Result<Frame> {
        self.pages.page(index, access)
    }

    fn cached(&self, index: u64) -> Option<Frame> {
        self.pages.cached(index)
    }

    fn load(&self, index: u64) -> BoxFuture<'_, Result<()>> {
        self.pages.load(index)
    }

    fn map(
        self: Arc<Self>,
        observer: Weak<dyn MappingObserver>,
        pages: Range<u64>,
        shared_write: bool,
    ) -> Result<Mapping> {
        let mapping = self.pages.clone().map(observer, pages, shared_write)?;
        let mut state = self.lock();
        if state.removed {
            drop(state);
            return Err(Errno::EIDRM);
        }
        let key = state.next_attachment;
        state.next_attachment += 1;
        state.attachments.insert(key, mapping);
        state.attached = now();
        state.used_by_current();
        drop(state);
        Ok(Mapping::new(self, key))
    }

    fn unmapped(&self, key: u64) {
        let (mapping, ended) = {
            let mut state = self.lock();
            let mapping = state.attachments.remove(&key);
            state.detached = now();
            state.used_by_current();
            (mapping, state.end_if_unused())
        };
        drop(mapping);
        self.finish(ended);
    }
}
