//! An inotify instance: its watches and its queue, as an open file.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use base::caller::Caller;
use base::charge::{Account, Charge};
use base::memory::{BoxFuture, UserBuffer};
use base::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource};

use super::marks::{Mark, any_watches, tell};
use super::queue::{IGNORED, Queue, Read};
use crate::file::{FileOps, Io, OpenFile, OpenFlags, Sources, Whence, put_user};
use crate::vfs::events::{Event, EventMask};
use crate::vfs::{DeviceNumber, Inode};

bitflags::bitflags! {
    /// The mask of `inotify_add_watch(2)`: events, with the bits of [`EventMask`], and flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WatchFlags: u32 {
        /// Every event that can be asked for.
        const EVENTS = 0xfff;
        /// The file system was unmounted: told to all.
        const UNMOUNT = 0x2000;
        /// The queue was full: told to all.
        const OVERFLOW = 0x4000;
        /// The watch is gone: told to all.
        const IGNORED = 0x8000;
        /// Fail unless the path is a directory.
        const ONLYDIR = 0x0100_0000;
        /// Don't follow a symbolic link.
        const DONT_FOLLOW = 0x0200_0000;
        /// Entries that have been removed from the directory are not told of.
        const EXCL_UNLINK = 0x0400_0000;
        /// Fail if there is a watch already.
        const MASK_CREATE = 0x1000_0000;
        /// Add to the events of a watch that is there.
        const MASK_ADD = 0x2000_0000;
        /// It happened to a directory.
        const ISDIR = 0x4000_0000;
        /// One event only.
        const ONESHOT = 0x8000_0000;
    }
}

impl WatchFlags {
    /// What stays with the watch.
    const KEPT: WatchFlags = Self::EVENTS.union(Self::EXCL_UNLINK).union(Self::ONESHOT);
}

/// Kernel memory that an instance and a watch take.
const INSTANCE_BYTES: usize = 512;
const WATCH_BYTES: usize = 256;

/// `FIONREAD` of `ioctl(2)`.
const FIONREAD: u32 = 0x541b;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The instances that there are.
static INSTANCES: SpinLock<BTreeMap<u64, Weak<Inotify>>> =
    SpinLock::new(LockClass::Registry, BTreeMap::new());

/// What an instance with events is ready for.
pub(super) const READABLE: Events = Events::IN.union(Events::RDNORM);

/// An instance.
pub struct Inotify {
    id: u64,
    /// Held while a watch is added or removed.
    changing: SpinLock<()>,
    inner: SpinLock<Inner>,
    changed: Arc<WaitSource>,
    account: Arc<Account>,
    this: Weak<Inotify>,
    _charge: Charge,
}

struct Inner {
    watches: BTreeMap<i32, Watch>,
    last_wd: i32,
    queue: Queue,
}

/// A watch keeps its inode, as on Linux.
struct Watch {
    inode: Arc<dyn Inode>,
    mark: Arc<Mark>,
    _charge: Charge,
}

impl Inotify {
    /// An open file with a new instance.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`.
    pub fn open(caller: &Caller, nonblocking: bool) -> Result<Arc<OpenFile>> {
        let charge = Charge::new(&caller.account, INSTANCE_BYTES)?;
        let inner = Inner { watches: BTreeMap::new(), last_wd: 0, queue: Queue::default() };
        let ops = Arc::new_cyclic(|this| Inotify {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            changing: SpinLock::new(LockClass::InotifyWatches, ()),
            inner: SpinLock::new(LockClass::Event, inner),
            changed: Arc::new(WaitSource::new(WaitKind::Inotify, 0)),
            account: caller.account.clone(),
            this: this.clone(),
            _charge: charge,
        });
        INSTANCES.lock().insert(ops.id, ops.this.clone());
        let flags = if nonblocking { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
        OpenFile::anonymous(caller, ops, "anon_inode:inotify", flags)
    }

    /// The instance behind an open file.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it is none.
    pub fn of(file: &OpenFile) -> Result<&Inotify> {
        file.ops_as::<Inotify>().ok_or(Errno::EINVAL)
    }

    /// Watches `inode`, or changes the watch that is there; gives the watch descriptor.
    ///
    /// # Errors
    ///
    /// `EEXIST` with `MASK_CREATE`; `ENOSPC` without a free number; `ENOMEM`.
    pub fn watch(&self, caller: &Caller, inode: &Arc<dyn Inode>, flags: WatchFlags) -> Result<i32> {
        let kept = (flags & WatchFlags::KEPT).bits();
        let marks = inode.state().marks();
        let charge = Charge::new(&caller.account, WATCH_BYTES)?;
        let _changing = self.changing.lock();
        if let Some(mark) = marks.of(&self.this) {
            if flags.contains(WatchFlags::MASK_CREATE) {
                return Err(Errno::EEXIST);
            }
            if flags.contains(WatchFlags::MASK_ADD) {
                mark.mask.fetch_or(kept, Ordering::Relaxed);
            } else {
                mark.mask.store(kept, Ordering::Relaxed);
            }
            return Ok(mark.wd);
        }
        let mut inner = self.inner.lock();
        let wd = inner.last_wd.checked_add(1).ok_or(Errno::ENOSPC)?;
        inner.last_wd = wd;
        let mark = Arc::new(Mark { instance: self.this.clone(), wd, mask: AtomicU32::new(kept) });
        inner.watches.insert(wd, Watch { inode: inode.clone(), mark: mark.clone(), _charge: charge });
        drop(inner);
        marks.add(mark);
        Ok(wd)
    }

    /// Removes a watch: `inotify_rm_watch(2)`, and what a watch ends with. The program is told.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no watch.
    pub fn remove(&self, wd: i32) -> Result<()> {
        let watch = {
            let _changing = self.changing.lock();
            let mut inner = self.inner.lock();
            let watch = inner.watches.remove(&wd).ok_or(Errno::EINVAL)?;
            inner.queue.push(&self.account, wd, IGNORED, 0, None);
            drop(inner);
            watch.inode.state().marks().remove(&watch.mark);
            watch
        };
        // Outside the locks: the file may go with it.
        drop(watch);
        self.changed.wake_one(READABLE, Reason::Data);
        Ok(())
    }

    /// The inodes on the device that have a watch.
    fn watched_on(&self, device: DeviceNumber) -> Vec<Arc<dyn Inode>> {
        let mut inodes: Vec<Arc<dyn Inode>> = {
            let inner = self.inner.lock();
            inner.watches.values().map(|watch| watch.inode.clone()).collect()
        };
        inodes.retain(|inode| inode.metadata().device == device);
        inodes
    }

    /// Something happened to what the watch `wd` is on.
    pub(super) fn queue(&self, wd: i32, event: &Event<'_>) {
        let news = {
            let mut inner = self.inner.lock();
            // A watch that is gone has said so; nothing comes after that.
            inner.watches.contains_key(&wd)
                && inner.queue.push(&self.account, wd, event.mask.bits(), event.cookie, event.name)
        };
        if news {
            self.changed.wake_one(READABLE, Reason::Data);
        }
    }
}

/// The file system on `device` has been unmounted, and nobody uses it any more: its watches end.
pub(crate) fn filesystem_gone(device: DeviceNumber) {
    if !any_watches() {
        return;
    }
    let instances: Vec<Arc<Inotify>> = INSTANCES.lock().values().filter_map(Weak::upgrade).collect();
    for inode in instances.iter().flat_map(|instance| instance.watched_on(device)) {
        let kind = if inode.metadata().is_directory() { EventMask::ISDIR } else { EventMask::empty() };
        let mask = EventMask::UNMOUNT | kind;
        tell(&Event { mask, inode: &inode, name: None, cookie: 0, unlinked: false });
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        INSTANCES.lock().remove(&self.id);
    }
}

impl FileOps for Inotify {
    fn announces(&self) -> bool {
        true
    }

    fn read(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let before = buffer.moved();
        let (read, left) = {
            let mut inner = self.inner.lock();
            (inner.queue.read(buffer), !inner.queue.is_empty())
        };
        if left && self.changed.has_waiters() && self.changed.waiting() > 0 {
            self.changed.wake_one(READABLE, Reason::Data);
        }
        match read {
            Read::Done => Ok(buffer.moved() - before),
            Read::Empty => Err(Errno::EAGAIN),
            Read::TooSmall => Err(Errno::EINVAL),
            Read::Fault => Err(Errno::EFAULT),
        }
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        if self.inner.lock().queue.is_empty() { Events::empty() } else { READABLE }
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources { input: Some(&self.changed), output: None }
    }

    fn seek(&self, _file: &OpenFile, current: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        // Linux lets a program seek, and nothing moves.
        Ok(current)
    }

    fn ioctl<'a>(&'a self, io: &'a Io<'a>, request: u32, argument: u64) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            if request != FIONREAD {
                return Err(Errno::ENOTTY);
            }
            let bytes = i32::try_from(self.inner.lock().queue.bytes()).unwrap_or(i32::MAX);
            put_user(io.caller, argument, &bytes.to_ne_bytes()).await?;
            Ok(0)
        })
    }

    fn released(&self, _file: &OpenFile) {
        let watches = core::mem::take(&mut self.inner.lock().watches);
        for watch in watches.into_values() {
            watch.inode.state().marks().remove(&watch.mark);
        }
    }

    fn describe(&self, _file: &OpenFile, out: &mut dyn fmt::Write) -> fmt::Result {
        let watches: Vec<(i32, Arc<dyn Inode>, u32)> = {
            let inner = self.inner.lock();
            let all = inner.watches.iter();
            all.map(|(wd, watch)| (*wd, watch.inode.clone(), watch.mark.flags().bits())).collect()
        };
        for (wd, inode, mask) in watches {
            let metadata = inode.metadata();
            let device = metadata.device.major << 20 | metadata.device.minor;
            let mask = mask & EventMask::all().bits();
            writeln!(
                out,
                "inotify wd:{wd:x} ino:{:x} sdev:{device:x} mask:{mask:x} ignored_mask:0",
                metadata.ino
            )?;
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
