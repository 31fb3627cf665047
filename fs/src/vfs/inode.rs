//! What a file system implements: inodes, and the file system they live in.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use base::caller::Caller;
use base::{Errno, Result};

use super::metadata::{FileType, Metadata, Timestamp};
use super::path::Path;
use super::state::InodeState;
use crate::file::{FileOps, Mappable, OpenFlags};

/// Longest name of a directory entry, in bytes.
pub const NAME_MAX: usize = 255;
/// Longest path that a program may pass, with its final NUL.
pub const PATH_MAX: usize = 4096;

/// What a new inode is to be.
#[derive(Clone, Copy, Debug)]
pub enum NewKind<'a> {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link with this text.
    Symlink(&'a [u8]),
    /// A FIFO.
    Fifo,
    /// The name of a socket.
    Socket,
    /// A character device with this number.
    CharDevice(DeviceNumber),
    /// A block device with this number.
    BlockDevice(DeviceNumber),
}

/// The attributes with which an inode is born.
#[derive(Clone, Copy, Debug)]
pub struct NewInode<'a> {
    /// What it is.
    pub kind: NewKind<'a>,
    /// Permission bits, the umask already taken off.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A device number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// A number from its parts.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> DeviceNumber {
        DeviceNumber { major, minor }
    }

    /// The encoding of `st_dev` and of `mknod(2)` on 64-bit Linux.
    #[must_use]
    pub const fn encode(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
    }

    /// The number behind an encoding.
    #[must_use]
    pub const fn decode(raw: u64) -> DeviceNumber {
        DeviceNumber {
            major: ((raw >> 8) & 0xfff | (raw >> 32) & 0xffff_f000) as u32,
            minor: (raw & 0xff | (raw >> 12) & 0xffff_ff00) as u32,
        }
    }
}

/// Attributes to change; `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Time of the last access.
    pub accessed: Option<Timestamp>,
    /// Time of the last change of the content.
    pub modified: Option<Timestamp>,
    /// Time of the last change of the attributes.
    pub changed: Option<Timestamp>,
}

/// Where a symbolic link leads.
pub enum LinkTarget {
    /// To this path.
    Text(Vec<u8>),
    /// Straight to a place, with no walk: the magic links of `/proc/<pid>/fd`, `exe`, `cwd` and `root`.
    Place(Path),
}

/// How an inode is opened.
pub struct OpenRequest<'a> {
    /// Who opens.
    pub caller: &'a Caller,
    /// The flags of `open(2)`.
    pub flags: OpenFlags,
    /// The place that was opened.
    pub path: &'a Path,
}

bitflags::bitflags! {
    /// Flags of `renameat2(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// Fail when the new name is there.
        const NOREPLACE = 1;
        /// Swap the two.
        const EXCHANGE = 2;
        /// Leave a whiteout behind; no file system here has them.
        const WHITEOUT = 4;
    }

    /// Modes of `fallocate(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AllocateMode: u32 {
        /// The size stays as it is.
        const KEEP_SIZE = 1;
        /// Make a hole.
        const PUNCH_HOLE = 2;
        /// Take the range out and move what follows down.
        const COLLAPSE_RANGE = 8;
        /// Fill with zeros.
        const ZERO_RANGE = 0x10;
        /// Move what follows up and leave a hole.
        const INSERT_RANGE = 0x20;
        /// Give shared blocks a copy of their own.
        const UNSHARE_RANGE = 0x40;
    }
}

/// Takes the entries of a directory.
pub trait DirSink {
    /// One entry; `next` is the position behind it. False when it did not fit: stop, and come back to it.
    fn entry(&mut self, name: &[u8], ino: u64, kind: FileType, next: u64) -> bool;
}

/// A file of a file system: what its names refer to.
///
/// All operations are synchronous. One that misses data of a slow device answers `EAGAIN`, having
/// started to fetch it; the caller awaits [`FileSystem::load`] and tries again. Operations on names run under
/// the directory's dentry lock unless the directory is [`dynamic`](Inode::dynamic), so that two of them never
/// see each other half done; permissions, mounts and the type of what is there have been checked before.
pub trait Inode: Send + Sync + Any {
    /// What `stat(2)` shows.
    fn metadata(&self) -> Metadata;

    /// What the VFS itself keeps with every inode: locks, writers, watches.
    fn state(&self) -> &InodeState;

    /// The entry `name` of a directory.
    ///
    /// # Errors
    ///
    /// `ENOENT`; `ENOTDIR` when this is no directory.
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOTDIR)
    }

    /// True when entries come and go without the VFS, so that names must not be cached.
    fn dynamic(&self) -> bool {
        false
    }

    /// True when names can be made in and taken out of the directory although it is [`dynamic`](Inode::dynamic). Its
    /// lookups take no lock of a lower class than an inode's. `create` runs without the dentry lock, and answers
    /// `EEXIST` itself to whoever comes second.
    fn changeable(&self) -> bool {
        !self.dynamic()
    }

    /// True when nobody may write to the directory, whatever its mode and whoever asks: what `chattr +i` does.
    fn immutable(&self) -> bool {
        false
    }

    /// Makes a new inode under `name`, which is not there.
    ///
    /// # Errors
    ///
    /// `EPERM` when the file system has no such inodes; `ENOSPC`, `ENOMEM`.
    fn create(&self, _name: &[u8], _new: &NewInode<'_>) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }

    /// Makes a regular file without a name: `O_TMPFILE`. Unless `linkable`, it never gets one.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the file system has none.
    fn create_unnamed(&self, _new: &NewInode<'_>, _linkable: bool) -> Result<Arc<dyn Inode>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives `target`, of the same file system and no directory, a further name.
    ///
    /// # Errors
    ///
    /// `EPERM` when the file system has no hard links; `EMLINK`, `ENOSPC`; `ENOENT` when the target has no
    /// name left and was not made by `O_TMPFILE`.
    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes the name of something that is no directory.
    ///
    /// # Errors
    ///
    /// `ENOENT`; `EPERM` when the file system does not allow it.
    fn unlink(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// `ENOTEMPTY`; `ENOENT`; `EPERM` when the file system does not allow it.
    fn rmdir(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Moves an entry of this directory to `new_dir` of the same file system. What is at the new name, of a
    /// fitting type, is replaced, or swapped with `EXCHANGE`.
    ///
    /// # Errors
    ///
    /// `ENOTEMPTY` when a directory that is not empty would be replaced; `EINVAL` for a flag that the file
    /// system does not have; `EPERM` when it does not allow it.
    fn rename(
        &self,
        _name: &[u8],
        _new_dir: &Arc<dyn Inode>,
        _new_name: &[u8],
        _flags: RenameFlags,
    ) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    ///
    /// `EINVAL` when this is none.
    fn read_link(&self, _caller: &Caller) -> Result<LinkTarget> {
        Err(Errno::EINVAL)
    }

    /// Opens a regular file or a directory; devices, FIFOs and sockets are opened by the VFS.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn open(self: Arc<Self>, request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>>;

    /// Stores attributes; the VFS has checked permission and worked out what they are to be.
    ///
    /// # Errors
    ///
    /// `EPERM` when the file system keeps none.
    fn set_attributes(&self, _attributes: &Attributes) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Sets the length of a regular file. Pages past it leave every mapping.
    ///
    /// # Errors
    ///
    /// `EFBIG`, `ENOSPC`; `EPERM` when a seal forbids it; `EINVAL` when it has no length.
    fn truncate(&self, _size: u64) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// Reserves, frees or clears a range of a regular file: `fallocate(2)`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for a mode that the file system does not have; `ENOSPC`, `EFBIG`, `EPERM` (seal).
    fn allocate(&self, _mode: AllocateMode, _offset: u64, _length: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The pages, when the file can be mapped.
    fn pages(self: Arc<Self>) -> Option<Arc<dyn Mappable>> {
        None
    }

    /// The extended attribute `name`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the file system has none; `ENODATA`.
    fn get_xattr(&self, _name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// For the file system that made the inode and wants to know its own again.
    fn as_any(&self) -> &dyn Any;
}

/// A mounted instance of a file system.
pub trait FileSystem: Send + Sync + Any {
    /// The name of its type, as in `/proc/filesystems`.
    fn type_name(&self) -> &'static str;

    /// The root directory.
    fn root(&self) -> Arc<dyn Inode>;

    /// `st_dev` of its inodes.
    fn device(&self) -> DeviceNumber;

    /// What `statfs(2)` shows.
    fn statistics(&self) -> FsStatistics;

    /// Waits for what the last `EAGAIN` of one of its inodes missed. A drop leaves the device's work alone.
    fn load(&self) -> base::memory::BoxFuture<'_, Result<()>> {
        alloc::boxed::Box::pin(core::future::ready(Ok(())))
    }

    /// Writes back what is dirty. A drop stops it between two pieces.
    fn sync(&self) -> base::memory::BoxFuture<'_, Result<()>> {
        alloc::boxed::Box::pin(core::future::ready(Ok(())))
    }

    /// Its own options in `/proc/mounts`, each with a leading comma.
    ///
    /// # Errors
    ///
    /// As the writer.
    fn show_options(&self, _out: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }

    /// Changes the options in `data` on a remount.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an option that it does not know.
    fn reconfigure(&self, _data: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// What `statfs(2)` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsStatistics {
    /// Magic number of the type.
    pub magic: u64,
    /// Bytes in a block.
    pub block_size: u64,
    /// Blocks in all; 0 when there is no limit.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for unprivileged users.
    pub blocks_available: u64,
    /// Inodes in all; 0 when there is no limit.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// `f_fsid`.
    pub id: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_their_encoding() {
        for (major, minor) in [(1, 3), (5, 0), (136, 300), (0xfff, 0xfffff), (4095, 255)] {
            let number = DeviceNumber::new(major, minor);
            assert_eq!(DeviceNumber::decode(number.encode()), number);
        }
        assert_eq!(DeviceNumber::new(1, 3).encode(), 0x103);
        assert_eq!(DeviceNumber::new(136, 300).encode(), 0x10_882c);
    }
}
