//! What `stat(2)` shows: types, modes and times.

use base::wall_clock;

use super::inode::DeviceNumber;

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// `S_IFIFO`.
    Fifo,
    /// `S_IFCHR`.
    CharDevice,
    /// `S_IFDIR`.
    Directory,
    /// `S_IFBLK`.
    BlockDevice,
    /// `S_IFREG`.
    Regular,
    /// `S_IFLNK`.
    Symlink,
    /// `S_IFSOCK`.
    Socket,
    /// An anonymous file (epoll, eventfd and the like): no type bits at all.
    Anonymous,
}

impl FileType {
    /// The type bits of `st_mode`.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        match self {
            FileType::Fifo => 0o010_000,
            FileType::CharDevice => 0o020_000,
            FileType::Directory => 0o040_000,
            FileType::BlockDevice => 0o060_000,
            FileType::Regular => 0o100_000,
            FileType::Symlink => 0o120_000,
            FileType::Socket => 0o140_000,
            FileType::Anonymous => 0,
        }
    }

    /// The type in the mode of `mknod(2)` or of an archive; 0 means a regular file there. `None` when the
    /// bits name no type.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<FileType> {
        Some(match mode & 0o170_000 {
            0o010_000 => FileType::Fifo,
            0o020_000 => FileType::CharDevice,
            0o040_000 => FileType::Directory,
            0o060_000 => FileType::BlockDevice,
            0 | 0o100_000 => FileType::Regular,
            0o120_000 => FileType::Symlink,
            0o140_000 => FileType::Socket,
            _ => return None,
        })
    }

    /// `d_type` of `getdents64(2)`.
    #[must_use]
    pub const fn dirent_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// Permission bits beyond rwx.
pub mod mode {
    /// Set user id on execution.
    pub const SETUID: u32 = 0o4000;
    /// Set group id on execution; a directory's files inherit its group.
    pub const SETGID: u32 = 0o2000;
    /// Only owners remove entries of the directory.
    pub const STICKY: u32 = 0o1000;
    /// All bits that `chmod(2)` changes.
    pub const ALL: u32 = 0o7777;
    /// Execute by the group: without it, SETGID asks for mandatory locks and is not cleared.
    pub const GROUP_EXECUTE: u32 = 0o010;
}

/// A point on the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// Nanoseconds, below 10^9.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The time now.
    #[must_use]
    pub fn now() -> Timestamp {
        let now = wall_clock::now();
        Timestamp {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: now.subsec_nanos(),
        }
    }
}

/// What `stat(2)` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Device of the file system.
    pub device: DeviceNumber,
    /// Inode number.
    pub ino: u64,
    /// Type.
    pub kind: FileType,
    /// Permission bits.
    pub mode: u32,
    /// Names.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device, for device nodes.
    pub rdev: DeviceNumber,
    /// Bytes.
    pub size: u64,
    /// Preferred size of a transfer, bytes.
    pub block_size: u32,
    /// Space used, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of the attributes.
    pub changed: Timestamp,
    /// Birth, when the file system knows it.
    pub born: Option<Timestamp>,
}

impl Metadata {
    /// `st_mode`: type and permission bits.
    #[must_use]
    pub fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | self.mode
    }

    /// True for a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// The mode without the set-id bits that a write by an unprivileged program takes away: set-user-id
    /// always, set-group-id when the group may execute. `None` when there is none.
    #[must_use]
    pub fn mode_without_set_id(&self) -> Option<u32> {
        if self.kind != FileType::Regular {
            return None;
        }
        let mut mode = self.mode & !mode::SETUID;
        if mode & mode::GROUP_EXECUTE != 0 {
            mode &= !mode::SETGID;
        }
        (mode != self.mode).then_some(mode)
    }
}
