//! Files that no name leads to: pipes, sockets, event descriptors, memfds.

use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{Lazy, LockClass, SpinLock};
use base::{Errno, Result};

use super::dentry::Dentry;
use super::inode::{Attributes, DeviceNumber, FileSystem, FsStatistics, Inode, OpenRequest};
use super::metadata::{FileType, Metadata, Timestamp};
use super::mount::{Mount, SuperBlock};
use super::path::Path;
use super::state::InodeState;
use crate::file::FileOps;

/// Magic number of Linux's file system for anonymous inodes.
const ANON_INODE_MAGIC: u64 = 0x0904_1934;

/// `st_dev` of anonymous files.
pub(crate) const ANONYMOUS_DEVICE: DeviceNumber = DeviceNumber::new(0, 15);

static NEXT_INO: AtomicU64 = AtomicU64::new(2);

/// An inode number for an anonymous file.
pub(crate) fn next_ino() -> u64 {
    NEXT_INO.fetch_add(1, Ordering::Relaxed)
}

static SUPER_BLOCK: Lazy<Arc<SuperBlock>> = Lazy::new(|| SuperBlock::new(Arc::new(AnonymousFs)));
static MOUNT: Lazy<Arc<Mount>> = Lazy::new(|| Mount::new_anonymous(&SUPER_BLOCK));
/// The one inode of all event descriptors, as on Linux.
static SHARED: Lazy<Arc<dyn Inode>> =
    Lazy::new(|| Arc::new(AnonymousInode::new(FileType::Anonymous, 0o600, 0, 0)) as Arc<dyn Inode>);

/// The place of an anonymous file that shares the one inode of its kind, shown as `name`.
#[must_use]
pub fn anonymous_path(name: &[u8]) -> Path {
    anonymous_place(SHARED.clone(), name)
}

/// The place of an anonymous file with an inode of its own, shown as `name`.
#[must_use]
pub fn anonymous_place(inode: Arc<dyn Inode>, name: &[u8]) -> Path {
    Path { mount: MOUNT.clone(), dentry: Dentry::new_root(inode, name) }
}

/// The inode of an anonymous file: a pipe, a socket.
pub struct AnonymousInode {
    ino: u64,
    kind: FileType,
    attributes: SpinLock<Owned>,
    state: InodeState,
}

struct Owned {
    mode: u32,
    uid: u32,
    gid: u32,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
}

impl AnonymousInode {
    /// An inode of type `kind` that belongs to `uid` and `gid`.
    #[must_use]
    pub fn new(kind: FileType, mode: u32, uid: u32, gid: u32) -> AnonymousInode {
        let now = Timestamp::now();
        let owned = Owned { mode, uid, gid, accessed: now, modified: now, changed: now };
        AnonymousInode {
            ino: next_ino(),
            kind,
            attributes: SpinLock::new(LockClass::Inode, owned),
            state: InodeState::new(),
        }
    }

    /// Its number, which is part of its name: `pipe:[N]`, `socket:[N]`.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// What `/proc/<pid>/fd` shows for it: `pipe:[N]`.
    #[must_use]
    pub fn title(&self, kind: &str) -> String {
        alloc::format!("{kind}:[{}]", self.ino)
    }
}

impl Inode for AnonymousInode {
    fn metadata(&self) -> Metadata {
        let owned = self.attributes.lock();
        Metadata {
            device: ANONYMOUS_DEVICE,
            ino: self.ino,
            kind: self.kind,
            mode: owned.mode,
            links: 1,
            uid: owned.uid,
            gid: owned.gid,
            rdev: DeviceNumber::default(),
            size: 0,
            block_size: 4096,
            blocks: 0,
            accessed: owned.accessed,
            modified: owned.modified,
            changed: owned.changed,
            born: None,
        }
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        // As Linux answers an open of /proc/self/fd/N of such a file.
        Err(Errno::ENXIO)
    }

    fn set_attributes(&self, new: &Attributes) -> Result<()> {
        let mut owned = self.attributes.lock();
        owned.mode = new.mode.unwrap_or(owned.mode);
        owned.uid = new.uid.unwrap_or(owned.uid);
        owned.gid = new.gid.unwrap_or(owned.gid);
        owned.accessed = new.accessed.unwrap_or(owned.accessed);
        owned.modified = new.modified.unwrap_or(owned.modified);
        owned.changed = new.changed.unwrap_or(owned.changed);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct AnonymousFs;

impl FileSystem for AnonymousFs {
    fn type_name(&self) -> &'static str {
        "anon_inodefs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(AnonymousInode::new(FileType::Directory, 0o755, 0, 0))
    }

    fn device(&self) -> DeviceNumber {
        ANONYMOUS_DEVICE
    }

    fn statistics(&self) -> FsStatistics {
        FsStatistics { magic: ANON_INODE_MAGIC, block_size: 4096, ..FsStatistics::default() }
    }
}
