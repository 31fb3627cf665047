//! Mounts: file systems, or parts of them, put over a place of the tree.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::dentry::Dentry;
use super::inode::FileSystem;
use super::path::Path;
use crate::inotify;

/// Mounts that one namespace may have: `fs.mount-max` of Linux.
pub const MOUNTS_MAX: usize = 100_000;

bitflags::bitflags! {
    /// Flags of one mount, with the numbers of `mount(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Nothing can be changed through it.
        const RDONLY = 1;
        /// Set-id bits do nothing.
        const NOSUID = 2;
        /// Device nodes can't be opened.
        const NODEV = 4;
        /// Programs can't be executed.
        const NOEXEC = 8;
        /// Access times stay.
        const NOATIME = 0x400;
        /// Access times of directories stay.
        const NODIRATIME = 0x800;
        /// Access times move when they lie before the last change, or a day back.
        const RELATIME = 0x20_0000;
        /// Symbolic links are not followed.
        const NOSYMFOLLOW = 0x100;
    }
}

/// A file system together with its dentries. Every mount of the same instance shares it, so that all of them
/// see each change; the last mount to go takes the cached names with it.
pub struct SuperBlock {
    file_system: Arc<dyn FileSystem>,
    root: Arc<Dentry>,
    /// Mounts of it, those that were taken out of the tree and are still used among them.
    mounts: AtomicUsize,
}

impl SuperBlock {
    /// The one super block of `file_system`.
    #[must_use]
    pub fn new(file_system: Arc<dyn FileSystem>) -> Arc<SuperBlock> {
        let root = Dentry::new_root(file_system.root(), b"/");
        Arc::new(SuperBlock { file_system, root, mounts: AtomicUsize::new(0) })
    }

    /// The file system.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.file_system
    }

    /// The top of all of it.
    pub(super) fn root(&self) -> &Arc<Dentry> {
        &self.root
    }
}

impl Drop for SuperBlock {
    fn drop(&mut self) {
        super::cache::forget_tree(&self.root);
    }
}

/// One mount.
pub struct Mount {
    id: u64,
    super_block: Arc<SuperBlock>,
    /// The top of what it shows.
    root: Arc<Dentry>,
    /// What was named as the source, for `/proc/mounts`.
    source: Vec<u8>,
    flags: AtomicU32,
    /// Where it is mounted; `None` for the root of everything and for what has been unmounted.
    place: SpinLock<Option<Path>>,
    anonymous: bool,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Mount {
    /// A mount of all of `super_block`; not in any namespace yet.
    #[must_use]
    pub fn new(super_block: &Arc<SuperBlock>, source: &[u8], flags: MountFlags) -> Arc<Mount> {
        Self::make(super_block, super_block.root.clone(), source, flags, false)
    }

    /// A mount of what `path` shows, from its dentry down: `MS_BIND`.
    #[must_use]
    pub fn bind(path: &Path) -> Arc<Mount> {
        let from = &path.mount;
        Self::make(&from.super_block, path.dentry.clone(), &from.source, from.flags(), false)
    }

    /// The mount of files that no name leads to.
    pub(super) fn new_anonymous(super_block: &Arc<SuperBlock>) -> Arc<Mount> {
        Self::make(super_block, super_block.root.clone(), b"none", MountFlags::empty(), true)
    }

    fn make(
        super_block: &Arc<SuperBlock>,
        root: Arc<Dentry>,
        source: &[u8],
        flags: MountFlags,
        anonymous: bool,
    ) -> Arc<Mount> {
        super_block.mounts.fetch_add(1, Ordering::Relaxed);
        Arc::new(Mount {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            super_block: super_block.clone(),
            root,
            source: source.to_vec(),
            flags: AtomicU32::new(flags.bits()),
            place: SpinLock::new(LockClass::MountPlace, None),
            anonymous,
        })
    }

    /// A number that no other mount ever has: `stx_mnt_id`.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file system it shows.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.super_block.file_system
    }

    /// The mounted instance, shared by all mounts of it.
    #[must_use]
    pub fn super_block(&self) -> &Arc<SuperBlock> {
        &self.super_block
    }

    /// The top of what it shows.
    #[must_use]
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// What was named as the source.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Its flags.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces its flags: a remount.
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Checks that something may be changed through it.
    ///
    /// # Errors
    ///
    /// `EROFS`.
    pub fn require_writable(&self) -> Result<()> {
        if self.flags().contains(MountFlags::RDONLY) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// The place it is mounted on.
    #[must_use]
    pub fn mounted_on(&self) -> Option<Path> {
        self.place.lock().clone()
    }

    /// True for the internal mount of pipes, sockets and the like.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// The root of what it shows, as a place.
    #[must_use]
    pub fn root_path(self: &Arc<Mount>) -> Path {
        Path { mount: self.clone(), dentry: self.root.clone() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The last one, and everybody who used it, has gone.
        if self.super_block.mounts.fetch_sub(1, Ordering::AcqRel) == 1 {
            inotify::filesystem_gone(self.file_system().device());
        }
    }
}

/// The mounts that a process sees. There is one for all processes: mount namespaces are left out.
pub struct Namespace {
    mounts: SpinLock<Mounts>,
}

#[derive(Default)]
struct Mounts {
    /// Keyed by parent mount and the address of the dentry under it; the topmost of a stack.
    by_place: BTreeMap<(u64, usize), Arc<Mount>>,
    /// In the order of mounting, for `/proc/mounts`.
    order: Vec<Weak<Mount>>,
    root: Option<Arc<Mount>>,
}

fn key(place: &Path) -> (u64, usize) {
    (place.mount.id, Arc::as_ptr(&place.dentry) as usize)
}

impl Namespace {
    /// A namespace whose root is `root`.
    #[must_use]
    pub fn new(root: &Arc<Mount>) -> Arc<Namespace> {
        let mounts = Mounts {
            by_place: BTreeMap::new(),
            order: alloc::vec![Arc::downgrade(root)],
            root: Some(root.clone()),
        };
        Arc::new(Namespace { mounts: SpinLock::new(LockClass::Mount, mounts) })
    }

    /// The top of the tree.
    ///
    /// # Panics
    ///
    /// Never: a namespace is made with a root, which can't be unmounted.
    #[must_use]
    pub fn root(&self) -> Path {
        let root = self.mounts.lock().root.clone();
        root.expect("a namespace has a root").root_path()
    }

    /// What is mounted on exactly this place.
    #[must_use]
    pub fn mounted_at(&self, place: &Path) -> Option<Arc<Mount>> {
        if !place.dentry.is_mount_point() {
            return None;
        }
        self.mounts.lock().by_place.get(&key(place)).cloned()
    }

    /// Follows mounts down from `place` to the top of the stack of mounts on it.
    #[must_use]
    pub fn descend(&self, mut place: Path) -> Path {
        while let Some(mount) = self.mounted_at(&place) {
            place = mount.root_path();
        }
        place
    }

    /// Puts `mount` on `place`, which the caller has followed down to the top of its stack.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are too many mounts; `ENOENT` when the place has been removed; `EBUSY` when
    /// somebody else has just mounted there.
    pub fn attach(&self, mount: &Arc<Mount>, place: Path) -> Result<()> {
        let mut mounts = self.mounts.lock();
        if mounts.order.len() >= MOUNTS_MAX {
            return Err(Errno::ENOSPC);
        }
        if place.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        let key = key(&place);
        if mounts.by_place.contains_key(&key) {
            return Err(Errno::EBUSY);
        }
        place.dentry.count_mounts(true);
        mounts.by_place.insert(key, mount.clone());
        mounts.order.push(Arc::downgrade(mount));
        *mount.place.lock() = Some(place);
        Ok(())
    }

    /// Moves `mount` to another place: `MS_MOVE`.
    ///
    /// # Errors
    ///
    /// As [`Namespace::attach`]; `ENOTDIR` when one of the two is a directory and the other is not.
    pub fn relocate(&self, mount: &Arc<Mount>, place: Path) -> Result<()> {
        let wanted = mount.root.inode().metadata().is_directory();
        if place.inode().metadata().is_directory() != wanted {
            return Err(Errno::ENOTDIR);
        }
        let old = {
            let mut mounts = self.mounts.lock();
            let new_key = key(&place);
            if mounts.by_place.contains_key(&new_key) {
                return Err(Errno::EBUSY);
            }
            place.dentry.count_mounts(true);
            mounts.by_place.insert(new_key, mount.clone());
            let old = mount.place.lock().replace(place);
            if let Some(old) = &old {
                mounts.by_place.remove(&key(old));
                old.dentry.count_mounts(false);
            }
            old
        };
        drop(old);
        Ok(())
    }

    /// Takes `mount` off its place. With `lazy`, whatever is mounted below goes as well, and those who use it
    /// go on until they are done.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it is not mounted here (or is the root); `EBUSY` when something is mounted below, or
    /// somebody uses it, unless `lazy`.
    pub fn detach(&self, mount: &Arc<Mount>, lazy: bool, references_of_caller: usize) -> Result<()> {
        let mut gone = Vec::new();
        let mut mounts = self.mounts.lock();
        let Some(place) = mount.mounted_on() else { return Err(Errno::EINVAL) };
        if !mounts.by_place.get(&key(&place)).is_some_and(|found| Arc::ptr_eq(found, mount)) {
            return Err(Errno::EINVAL);
        }
        if !lazy {
            // One reference is the namespace's.
            let busy = Arc::strong_count(mount) > 1 + references_of_caller;
            if busy || mounts.by_place.keys().any(|(parent, _)| *parent == mount.id) {
                return Err(Errno::EBUSY);
            }
        }
        let mut pending = alloc::vec![mount.clone()];
        while let Some(next) = pending.pop() {
            let children: Vec<_> = mounts
                .by_place
                .range((next.id, 0)..=(next.id, usize::MAX))
                .map(|(_, child)| child.clone())
                .collect();
            pending.extend(children);
            let place = next.place.lock().take();
            if let Some(place) = place {
                mounts.by_place.remove(&key(&place));
                place.dentry.count_mounts(false);
                gone.push(place);
            }
        }
        let root = mounts.root.clone();
        mounts.order.retain(|other| {
            let mounted = |other: Arc<Mount>| other.place.lock().is_some() || is_same(root.as_ref(), &other);
            other.upgrade().is_some_and(mounted)
        });
        drop(mounts);
        drop(gone);
        Ok(())
    }

    /// The mounts in the order of mounting: for `/proc/mounts`, `umount` and `sync(2)`.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Mount>> {
        self.mounts.lock().order.iter().filter_map(Weak::upgrade).collect()
    }
}

fn is_same(root: Option<&Arc<Mount>>, mount: &Arc<Mount>) -> bool {
    root.is_some_and(|root| Arc::ptr_eq(root, mount))
}
