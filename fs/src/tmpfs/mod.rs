//! Files in memory: the root file system, `/tmp`, `/dev/shm`, memfds. Source: `tmpfs(5)`.
//!
//! | module | subject |
//! |---|---|
//! | `pool` | what one instance may hold |
//! | `inode` | inodes |
//! | `directory` | entries |
//! | `pages` | sparse contents, seals, mappings |
//! | `file` | open files |
//! | `options` | mount options |
//! | `memfd` | files without a name |

mod directory;
mod file;
mod inode;
mod memfd;
mod options;
mod pages;
mod pool;

use alloc::sync::{Arc, Weak};
use core::fmt;

use base::Result;
use base::machine;
use base::sync::atomic::{AtomicU32, Ordering};

use crate::vfs::{
    self, DeviceNumber, FileSystem, FileSystemType, FsStatistics, Inode, NewInode, NewKind, SuperBlock,
};
use inode::TmpInode;
pub use memfd::{MemfdFlags, add_seals, memfd_create, seals, segment_file};
use options::Options;
pub use pages::Seals;
use pool::Pool;
pub use pool::pages_in_use;

/// Magic number of tmpfs in `statfs(2)`.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Minor numbers of file systems without a device count up from here.
static NEXT_MINOR: AtomicU32 = AtomicU32::new(32);

/// A device number for a file system that has no device.
#[must_use]
pub fn anonymous_device() -> DeviceNumber {
    DeviceNumber::new(0, NEXT_MINOR.fetch_add(1, Ordering::Relaxed))
}

/// A tmpfs.
pub struct TmpFs {
    pool: Arc<Pool>,
    root: Arc<TmpInode>,
    name: &'static str,
}

impl TmpFs {
    /// A tmpfs with the mount options `data`, or by default half of the machine's memory.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an option that it does not know; `ENOMEM`.
    pub fn new(data: &[u8]) -> Result<Arc<TmpFs>> {
        Self::named("tmpfs", data)
    }

    /// A tmpfs whose type is shown as `name` (`rootfs`, `devtmpfs`).
    ///
    /// # Errors
    ///
    /// As [`TmpFs::new`].
    pub fn named(name: &'static str, data: &[u8]) -> Result<Arc<TmpFs>> {
        let options = Options::parse(data)?;
        let half = machine().frames().totals().total as u64 / 2;
        let pages = options.pages.unwrap_or(half);
        let pool = Arc::new(Pool::new(anonymous_device(), pages, options.inodes.unwrap_or(half)));
        let new = NewInode {
            kind: NewKind::Directory,
            mode: options.mode.unwrap_or(0o1777),
            uid: options.uid.unwrap_or(0),
            gid: options.gid.unwrap_or(0),
        };
        let root = TmpInode::new(&pool, &new, Weak::new(), Seals::SEAL)?;
        Ok(Arc::new(TmpFs { pool, root, name }))
    }

    /// The root file system: a tmpfs whose root directory is the ordinary 0755.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new_root() -> Result<Arc<SuperBlock>> {
        Ok(SuperBlock::new(Self::named("rootfs", b"mode=755")?))
    }
}

impl FileSystem for TmpFs {
    fn type_name(&self) -> &'static str {
        self.name
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn device(&self) -> DeviceNumber {
        self.pool.device
    }

    fn statistics(&self) -> FsStatistics {
        let ((blocks, used), (files, files_used)) = (self.pool.pages(), self.pool.inodes());
        let free = blocks.saturating_sub(used);
        FsStatistics {
            magic: TMPFS_MAGIC,
            block_size: 4096,
            blocks,
            blocks_free: free,
            blocks_available: free,
            files,
            files_free: files.saturating_sub(files_used),
            id: self.pool.device.encode(),
        }
    }

    fn show_options(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let ((pages, _), (inodes, _)) = (self.pool.pages(), self.pool.inodes());
        if pages != 0 {
            write!(out, ",size={}k", pages * 4)?;
        }
        if inodes != 0 {
            write!(out, ",nr_inodes={inodes}")?;
        }
        let root = self.root.metadata();
        if root.mode != 0o1777 {
            write!(out, ",mode={:o}", root.mode)?;
        }
        Ok(())
    }

    fn reconfigure(&self, data: &[u8]) -> Result<()> {
        let options = Options::parse(data)?;
        if options.mode.is_some() || options.uid.is_some() || options.gid.is_some() {
            // Linux ignores them on a remount; so that nothing is ignored silently here, only a log line says so.
            log::debug!("tmpfs: mode, uid and gid are not changed by a remount");
        }
        self.pool.set_limits(options.pages, options.inodes)
    }
}

/// Makes the type known to `mount(2)`.
pub fn register() {
    vfs::register(FileSystemType { name: "tmpfs", needs_device: false, mount });
}

fn mount(_source: &[u8], data: &[u8]) -> Result<Arc<SuperBlock>> {
    Ok(SuperBlock::new(TmpFs::new(data)?))
}
