//! Inodes of a tmpfs.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Range;

use base::caller::Caller;
use base::charge::Charge;
use base::frame::Frame;
use base::memory::Access;
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::directory::Entries;
use super::file::{TmpDirectory, TmpFile};
use super::pages::{Pages, Seals};
use super::pool::Pool;
use crate::file::{FileOps, Mappable, Mapping, MappingObserver};
use crate::vfs::{
    AllocateMode, Attributes, DeviceNumber, FileType, Inode, InodeState, LinkTarget, Metadata, NewInode,
    NewKind, OpenRequest, RenameFlags, Timestamp,
};

/// Bytes that a directory is said to have for each entry.
const ENTRY_SIZE: u64 = 20;

/// An inode of a tmpfs.
pub(super) struct TmpInode {
    pub(super) pool: Arc<Pool>,
    ino: u64,
    kind: FileType,
    rdev: DeviceNumber,
    born: Timestamp,
    state: InodeState,
    attributes: SpinLock<Kept>,
    pub(super) body: Body,
    this: Weak<TmpInode>,
    _charge: Charge,
}

/// What an inode is made of.
pub(super) enum Body {
    File(Pages),
    Directory(SpinLock<Entries>),
    Symlink(Vec<u8>),
    Special,
}

/// The attributes that change.
struct Kept {
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    /// Made by `O_TMPFILE`: may get its first name.
    linkable: bool,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
}

impl TmpInode {
    /// A new inode without a name. A directory counts itself and `parent`.
    pub(super) fn new(
        pool: &Arc<Pool>,
        new: &NewInode<'_>,
        parent: Weak<TmpInode>,
        seals: Seals,
    ) -> Result<Arc<TmpInode>> {
        let kind = new.kind.file_type();
        let (ino, charge) = pool.take_inode()?;
        let (body, rdev) = match new.kind {
            NewKind::Regular => (Body::File(Pages::new(pool, seals)), DeviceNumber::default()),
            NewKind::Directory => (
                Body::Directory(SpinLock::new(LockClass::Inode, Entries::new(parent))),
                DeviceNumber::default(),
            ),
            NewKind::Symlink(target) => (Body::Symlink(target.to_vec()), DeviceNumber::default()),
            NewKind::CharDevice(number) | NewKind::BlockDevice(number) => (Body::Special, number),
            NewKind::Fifo | NewKind::Socket => (Body::Special, DeviceNumber::default()),
        };
        let now = Timestamp::now();
        let kept = Kept {
            mode: new.mode,
            uid: new.uid,
            gid: new.gid,
            links: if kind == FileType::Directory { 2 } else { 1 },
            linkable: false,
            accessed: now,
            modified: now,
            changed: now,
        };
        Ok(Arc::new_cyclic(|this| TmpInode {
            pool: pool.clone(),
            ino,
            kind,
            rdev,
            born: now,
            state: InodeState::new(),
            attributes: SpinLock::new(LockClass::InodeAttributes, kept),
            body,
            this: this.clone(),
            _charge: charge,
        }))
    }

    pub(super) fn content(&self) -> Result<&Pages> {
        match &self.body {
            Body::File(pages) => Ok(pages),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn entries(&self) -> Result<&SpinLock<Entries>> {
        match &self.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn file_type(&self) -> FileType {
        self.kind
    }

    /// The content was read: moves the access time when it lies before the last change or a day back, as
    /// `relatime` says.
    pub(super) fn touch_accessed(&self) {
        const DAY: i64 = 86_400;
        let now = Timestamp::now();
        let mut kept = self.attributes.lock();
        let stale = kept.accessed <= kept.modified
            || kept.accessed <= kept.changed
            || now.seconds.saturating_sub(kept.accessed.seconds) >= DAY;
        if stale {
            kept.accessed = now;
        }
    }

    /// The content has changed.
    pub(super) fn touch_modified(&self) {
        let now = Timestamp::now();
        let mut kept = self.attributes.lock();
        (kept.modified, kept.changed) = (now, now);
    }

    /// It never had a name: a memfd.
    pub(super) fn forget_name(&self) {
        self.attributes.lock().links = 0;
    }

    fn change_links(&self, by: i32) {
        let now = Timestamp::now();
        let mut kept = self.attributes.lock();
        kept.links = kept.links.saturating_add_signed(by);
        kept.changed = now;
    }

    fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// The inode that `name` was taken from lost a link; a directory loses all.
    fn lose_name(&self, parent: &TmpInode) {
        if self.is_directory() {
            self.change_links(-2);
            parent.change_links(-1);
        } else {
            self.change_links(-1);
        }
        parent.touch_modified();
    }

    fn of(inode: &Arc<dyn Inode>) -> Result<&TmpInode> {
        inode.as_any().downcast_ref().ok_or(Errno::EXDEV)
    }

    fn strong(&self) -> Result<Arc<TmpInode>> {
        self.this.upgrade().ok_or(Errno::ENOENT)
    }

    /// Takes the target of a rename off its name, if it is there.
    fn take_replaced(entries: &mut Entries, name: &[u8]) -> Result<Option<Arc<TmpInode>>> {
        let Some(old) = entries.get(name) else { return Ok(None) };
        if let Body::Directory(inside) = &old.body
            && inside.lock_nested().len() > 0
        {
            return Err(Errno::ENOTEMPTY);
        }
        Ok(Some(entries.remove(name)?.inode))
    }

    fn exchange(&self, name: &[u8], new_dir: &TmpInode, new_name: &[u8]) -> Result<()> {
        let first = self.entries()?.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        let second = new_dir.entries()?.lock().get(new_name).cloned().ok_or(Errno::ENOENT)?;
        self.entries()?.lock().replace(name, second.clone())?;
        new_dir.entries()?.lock().replace(new_name, first.clone())?;
        first.moved(self, new_dir);
        second.moved(new_dir, self);
        Ok(())
    }

    /// A directory that came from `old` to `new` has another parent.
    fn moved(&self, old: &TmpInode, new: &TmpInode) {
        if let Body::Directory(entries) = &self.body
            && old.ino != new.ino
        {
            entries.lock().parent = new.this.clone();
            old.change_links(-1);
            new.change_links(1);
        }
        self.attributes.lock().changed = Timestamp::now();
        old.touch_modified();
        new.touch_modified();
    }
}

impl Inode for TmpInode {
    fn metadata(&self) -> Metadata {
        let (size, blocks) = match &self.body {
            Body::File(pages) => {
                let (size, pages) = pages.extent();
                (size, pages * 8)
            }
            Body::Directory(entries) => (entries.lock().len() as u64 * ENTRY_SIZE + 2 * ENTRY_SIZE, 0),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Special => (0, 0),
        };
        let kept = self.attributes.lock();
        Metadata {
            device: self.pool.device,
            ino: self.ino,
            kind: self.kind,
            mode: kept.mode,
            links: kept.links,
            uid: kept.uid,
            gid: kept.gid,
            rdev: self.rdev,
            size,
            block_size: 4096,
            blocks,
            accessed: kept.accessed,
            modified: kept.modified,
            changed: kept.changed,
            born: Some(self.born),
        }
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.entries()?.lock().get(name).cloned();
        found.map(|inode| inode as Arc<dyn Inode>).ok_or(Errno::ENOENT)
    }

    fn create(&self, name: &[u8], new: &NewInode<'_>) -> Result<Arc<dyn Inode>> {
        let entries = self.entries()?;
        let made = TmpInode::new(&self.pool, new, self.this.clone(), Seals::SEAL)?;
        entries.lock().add(&self.pool, name, made.clone())?;
        if made.is_directory() {
            self.change_links(1);
        }
        self.touch_modified();
        Ok(made)
    }

    fn create_unnamed(&self, new: &NewInode<'_>, linkable: bool) -> Result<Arc<dyn Inode>> {
        let made = TmpInode::new(&self.pool, new, Weak::new(), Seals::SEAL)?;
        {
            let mut kept = made.attributes.lock();
            (kept.links, kept.linkable) = (0, linkable);
        }
        Ok(made)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let inode = TmpInode::of(target)?.strong()?;
        {
            let mut kept = inode.attributes.lock();
            if kept.links == 0 && !kept.linkable {
                return Err(Errno::ENOENT);
            }
            kept.links = kept.links.checked_add(1).ok_or(Errno::EMLINK)?;
            kept.linkable = false;
        }
        let added = self.entries()?.lock().add(&self.pool, name, inode.clone());
        if let Err(error) = added {
            inode.change_links(-1);
            return Err(error);
        }
        inode.change_links(0);
        self.touch_modified();
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        let entry = self.entries()?.lock().remove(name)?;
        entry.inode.lose_name(self);
        Ok(())
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        let removed = TmpInode::take_replaced(&mut self.entries()?.lock(), name)?.ok_or(Errno::ENOENT)?;
        removed.lose_name(self);
        Ok(())
    }

    fn rename(
        &self,
        name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let new_dir = TmpInode::of(new_dir)?;
        if flags.contains(RenameFlags::EXCHANGE) {
            return self.exchange(name, new_dir, new_name);
        }
        // The VFS holds both directories, so nothing happens between these steps. What can fail comes first.
        let moving = self.entries()?.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        let replaced = TmpInode::take_replaced(&mut new_dir.entries()?.lock(), new_name)?;
        let added = new_dir.entries()?.lock().add(&self.pool, new_name, moving.clone());
        if let Err(error) = added {
            if let Some(old) = replaced {
                // Its charge has just been given back, so it can be taken again.
                new_dir.entries()?.lock().add(&self.pool, new_name, old)?;
            }
            return Err(error);
        }
        self.entries()?.lock().remove(name)?;
        if let Some(old) = replaced {
            old.lose_name(new_dir);
        }
        moving.moved(self, new_dir);
        Ok(())
    }

    fn read_link(&self, _caller: &Caller) -> Result<LinkTarget> {
        match &self.body {
            Body::Symlink(target) => Ok(LinkTarget::Text(target.clone())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        match &self.body {
            Body::File(_) => Ok(Arc::new(TmpFile(self))),
            Body::Directory(_) => Ok(Arc::new(TmpDirectory(self))),
            _ => Err(Errno::ENXIO),
        }
    }

    fn set_attributes(&self, new: &Attributes) -> Result<()> {
        let mut kept = self.attributes.lock();
        if let (Body::File(pages), Some(mode)) = (&self.body, new.mode)
            && (mode ^ kept.mode) & 0o111 != 0
            && pages.seals().contains(Seals::EXEC)
        {
            return Err(Errno::EPERM);
        }
        kept.mode = new.mode.unwrap_or(kept.mode);
        kept.uid = new.uid.unwrap_or(kept.uid);
        kept.gid = new.gid.unwrap_or(kept.gid);
        kept.accessed = new.accessed.unwrap_or(kept.accessed);
        kept.modified = new.modified.unwrap_or(kept.modified);
        kept.changed = new.changed.unwrap_or(kept.changed);
        Ok(())
    }

    fn truncate(&self, size: u64) -> Result<()> {
        self.content()?.truncate(size)?;
        self.touch_modified();
        Ok(())
    }

    fn allocate(&self, mode: AllocateMode, offset: u64, length: u64) -> Result<()> {
        let pages = self.content()?;
        let range = offset..offset.saturating_add(length);
        if mode == AllocateMode::PUNCH_HOLE | AllocateMode::KEEP_SIZE {
            pages.punch(range)?;
            self.touch_modified();
            return Ok(());
        }
        if AllocateMode::KEEP_SIZE.contains(mode) {
            let result = pages.reserve(range, mode.contains(AllocateMode::KEEP_SIZE));
            self.change_links(0);
            return result;
        }
        // As on Linux's tmpfs.
        Err(Errno::EOPNOTSUPP)
    }

    fn pages(self: Arc<Self>) -> Option<Arc<dyn Mappable>> {
        match &self.body {
            Body::File(_) => Some(self),
            _ => None,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Mappable for TmpInode {
    fn page(&self, index: u64, _access: Access) -> Result<Frame> {
        self.content()?.page(index)
    }

    fn cached(&self, index: u64) -> Option<Frame> {
        self.content().ok()?.cached(index)
    }

    fn map(
        self: Arc<Self>,
        observer: Weak<dyn MappingObserver>,
        pages: Range<u64>,
        shared_write: bool,
    ) -> Result<Mapping> {
        let key = self.content()?.map(observer, pages, shared_write)?;
        Ok(Mapping::new(self, key))
    }

    fn unmapped(&self, key: u64) {
        if let Body::File(pages) = &self.body {
            pages.unmapped(key);
        }
    }
}

impl Drop for TmpInode {
    /// Takes a tree apart level by level: it may be deeper than the stack.
    fn drop(&mut self) {
        self.pool.put_inode();
        let Body::Directory(entries) = &mut self.body else { return };
        let mut pending: Vec<Arc<TmpInode>> = entries.get_mut().drain().collect();
        while let Some(inode) = pending.pop() {
            if let Some(mut last) = Arc::into_inner(inode)
                && let Body::Directory(entries) = &mut last.body
            {
                pending.extend(entries.get_mut().drain());
            }
        }
    }
}
