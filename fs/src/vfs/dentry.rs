//! Dentries: the names of the tree that have been looked up, and the inodes behind them.
//!
//! A dentry's inode never changes: a name that comes into being gets a new dentry. Its place (parent and
//! name) changes with rename(2). A parent caches its children, positive and negative; a child keeps its
//! parent alive. [`cache`](super::cache) bounds how many are cached.

use alloc::boxed::Box;
use alloc::sync::Arc;

use base::hash::{HashTable, Share, SharedDepths, Statistics};
use base::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use base::sync::{LockClass, Once, SpinGuard, SpinLock};

use super::events;
use super::inode::Inode;
use super::tracked::Tracks;

/// A name.
pub type Name = Arc<[u8]>;

/// The cached entries of one directory.
pub(super) type Children = HashTable<Name, Arc<Dentry>, Share>;

/// The tables of all directories.
static TABLES: SharedDepths = SharedDepths::new();

/// The cached entries of all directories, as if they were in one table: for `/sys/ipc/hash_stats`.
#[must_use]
pub fn statistics() -> Statistics {
    TABLES.statistics()
}

/// One name of the tree.
pub struct Dentry {
    /// `None` for a negative entry.
    inode: Option<Arc<dyn Inode>>,
    place: SpinLock<Place>,
    children: SpinLock<Children>,
    deleted: AtomicBool,
    /// Mounts on top of this entry.
    mounts: AtomicU32,
    /// Looked up since the cache's hand last passed.
    pub(super) referenced: AtomicBool,
    /// The cache's ring knows it.
    pub(super) in_ring: AtomicBool,
    /// Its object and its inode's, once they are listed.
    tracks: Once<Tracks>,
}

struct Place {
    parent: Option<Arc<Dentry>>,
    name: Name,
}

impl Dentry {
    /// The top of a file system, or an anonymous file named `name`.
    #[must_use]
    pub fn new_root(inode: Arc<dyn Inode>, name: &[u8]) -> Arc<Dentry> {
        Self::make(Some(inode), None, Arc::from(name))
    }

    /// An entry of `parent`; it is not in the parent's cache yet.
    #[must_use]
    pub fn new(parent: &Arc<Dentry>, name: Name, inode: Option<Arc<dyn Inode>>) -> Arc<Dentry> {
        Self::make(inode, Some(parent.clone()), name)
    }

    fn make(inode: Option<Arc<dyn Inode>>, parent: Option<Arc<Dentry>>, name: Name) -> Arc<Dentry> {
        Arc::new(Dentry {
            inode,
            place: SpinLock::new(LockClass::DentryPlace, Place { parent, name }),
            children: SpinLock::new(LockClass::Dentry, Children::counted_in(&TABLES)),
            deleted: AtomicBool::new(false),
            mounts: AtomicU32::new(0),
            referenced: AtomicBool::new(true),
            in_ring: AtomicBool::new(false),
            tracks: Once::new(),
        })
    }

    /// The inode of a positive entry.
    ///
    /// # Panics
    ///
    /// On a negative entry, which no [`Path`](super::path::Path) holds.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.inode.as_ref().expect("a path holds positive entries only")
    }

    /// The inode, or `None` for a negative entry.
    #[must_use]
    pub fn found(&self) -> Option<&Arc<dyn Inode>> {
        self.inode.as_ref()
    }

    /// The directory that holds the name; `None` at the top of a file system.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.lock().parent.clone()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> Name {
        self.place.lock().name.clone()
    }

    /// Both at once, as they were at one moment.
    #[must_use]
    pub fn place(&self) -> (Option<Arc<Dentry>>, Name) {
        let place = self.place.lock();
        (place.parent.clone(), place.name.clone())
    }

    /// Moves the entry to another place: rename(2) has moved it in the file system.
    pub(super) fn set_place(&self, parent: &Arc<Dentry>, name: Name) {
        let old = {
            let mut place = self.place.lock();
            place.name = name;
            place.parent.replace(parent.clone())
        };
        drop(old);
    }

    /// The cached entries; the lock is held while a name of this directory is looked up or changed.
    pub(super) fn children(&self) -> SpinGuard<'_, Children> {
        self.children.lock()
    }

    /// As [`Dentry::children`] while another directory's is held; the caller keeps the order.
    pub(super) fn children_nested(&self) -> SpinGuard<'_, Children> {
        self.children.lock_nested()
    }

    /// The name is gone; the entry stays for those who have it open.
    pub(super) fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// True when the name has been removed.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// True when something is mounted here.
    #[must_use]
    pub fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Acquire) != 0
    }

    pub(super) fn count_mounts(&self, mounted: bool) {
        if mounted {
            self.mounts.fetch_add(1, Ordering::AcqRel);
        } else {
            self.mounts.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Has it tracked, by what `make` gives unless it is already.
    pub(super) fn track(&self, make: impl FnOnce() -> Option<Tracks>) {
        if !self.tracks.is_completed()
            && let Some(tracks) = make()
        {
            self.tracks.call_once(|| tracks);
        }
    }

    /// True when it has an object.
    pub(super) fn is_tracked(&self) -> bool {
        self.tracks.is_completed()
    }

    /// True when `ancestor` is this entry or above it within the file system.
    #[must_use]
    pub fn is_below(self: &Arc<Dentry>, ancestor: &Arc<Dentry>) -> bool {
        let mut at = self.clone();
        loop {
            if Arc::ptr_eq(&at, ancestor) {
                return true;
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => return false,
            }
        }
    }
}

impl Drop for Dentry {
    /// A file whose name is gone goes with the last who had it open. Lets go of the ancestors one by one: a
    /// tree may be deeper than the stack.
    fn drop(&mut self) {
        if let Some(inode) = &self.inode
            && *self.deleted.get_mut()
        {
            events::gone(inode);
        }
        let mut parent = self.place.get_mut().parent.take();
        while let Some(dentry) = parent {
            match Arc::into_inner(dentry) {
                Some(mut last) => parent = last.place.get_mut().parent.take(),
                None => break,
            }
        }
    }
}

/// A name as a map key.
#[must_use]
pub(super) fn name(bytes: &[u8]) -> Name {
    Arc::from(Box::from(bytes))
}
