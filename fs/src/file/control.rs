//! What is done to open files beside reading and writing: length, space, storage, listing, control.

use base::caller::{Caller, Resource};
use base::{Errno, Result};
use executor::lock::MutexGuard;

use super::flags::AccessMode;
use super::open_file::OpenFile;
use super::{get_user, put_user};
use crate::signal::{SIGXFSZ, signal_caller};
use crate::vfs::{self, AllocateMode, DirSink, FileType, Inode};

/// Largest size of a file.
const SIZE_MAX: u64 = i64::MAX as u64;

/// Bytes that fallocate(2) treats between two chances for other tasks.
const ALLOCATE_STEP: u64 = 1 << 20;

/// Requests that every kind of file knows, with the numbers of `ioctl_list(2)`.
mod request {
    pub(super) const FIONBIO: u32 = 0x5421;
    pub(super) const FIONREAD: u32 = 0x541b;
    pub(super) const FIOASYNC: u32 = 0x5452;
    pub(super) const FIGETBSZ: u32 = 2;
}

/// Refuses a length beyond `RLIMIT_FSIZE`, with SIGXFSZ.
///
/// # Errors
///
/// `EFBIG`.
pub(crate) fn check_size_limit(caller: &Caller, size: u64) -> Result<()> {
    if size > caller.limits.soft(Resource::FileSize) {
        signal_caller(caller, SIGXFSZ);
        return Err(Errno::EFBIG);
    }
    if size > SIZE_MAX { Err(Errno::EFBIG) } else { Ok(()) }
}

/// Sets the length of a regular file, as [`OpenFile::truncate`] and `truncate(2)` do. A drop leaves the old or
/// the new length.
pub(crate) async fn set_length(
    caller: &Caller,
    inode: &alloc::sync::Arc<dyn Inode>,
    size: u64,
) -> Result<()> {
    if size > inode.metadata().size {
        check_size_limit(caller, size)?;
    }
    let _order = inode.state().write_order().lock().await;
    vfs::content_changes(caller, inode);
    inode.truncate(size)
}

impl OpenFile {
    /// `ftruncate(2)`. A drop leaves the old or the new length.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a negative length, for anything but a regular file, and when it is not open for writing;
    /// `EFBIG`, `EPERM` (seal), `ENOSPC`.
    pub async fn truncate(&self, caller: &Caller, length: i64) -> Result<()> {
        let size = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
        let inode = self.inode();
        let writable = self.access().contains(AccessMode::WRITE);
        if inode.metadata().kind != FileType::Regular || !writable {
            return Err(Errno::EINVAL);
        }
        set_length(caller, inode, size).await?;
        vfs::events::modified(self);
        Ok(())
    }

    /// `fallocate(2)`. A drop leaves a part of the range done.
    ///
    /// # Errors
    ///
    /// In Linux's order: `EINVAL` for a range that is empty or negative; `EOPNOTSUPP` for modes that don't go
    /// together; `EBADF` when it is not open for writing; `ESPIPE`, `EISDIR`, `ENODEV` by kind; `EFBIG`,
    /// `ENOSPC`, `EPERM` (seal).
    pub async fn allocate(&self, caller: &Caller, mode: u32, offset: i64, length: i64) -> Result<()> {
        let (Ok(start), Ok(length)) = (u64::try_from(offset), u64::try_from(length)) else {
            return Err(Errno::EINVAL);
        };
        if length == 0 {
            return Err(Errno::EINVAL);
        }
        let mode = AllocateMode::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        check_modes(mode)?;
        if !self.access().contains(AccessMode::WRITE) {
            return Err(Errno::EBADF);
        }
        match self.inode().metadata().kind {
            FileType::Regular => {}
            FileType::Fifo => return Err(Errno::ESPIPE),
            FileType::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::ENODEV),
        }
        let end = start.checked_add(length).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
        let inode = self.inode();
        let _order = inode.state().write_order().lock().await;
        if !AllocateMode::KEEP_SIZE.contains(mode) {
            return self.allocate_once(caller, mode, start, length);
        }
        let grows = !mode.contains(AllocateMode::KEEP_SIZE) && end > inode.metadata().size;
        if grows {
            check_size_limit(caller, end)?;
        }
        // Space first, in steps; the size, which everybody sees, at the end.
        let mut at = start;
        while at < end {
            let step = ALLOCATE_STEP.min(end - at);
            inode.allocate(AllocateMode::KEEP_SIZE, at, step)?;
            at += step;
            executor::yield_point().await;
        }
        if grows { self.allocate_once(caller, AllocateMode::empty(), end - 1, 1) } else { Ok(()) }
    }

    fn allocate_once(&self, caller: &Caller, mode: AllocateMode, start: u64, length: u64) -> Result<()> {
        vfs::content_changes(caller, self.inode());
        self.inode().allocate(mode, start, length)?;
        vfs::events::modified(self);
        Ok(())
    }

    /// `fsync(2)`, `fdatasync(2)`, `syncfs(2)`: the file system stores what is dirty.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a kind of file that has no storage (pipes and other anonymous files); `EIO`, `ENOSPC`.
    pub async fn sync(&self) -> Result<()> {
        let storable = matches!(
            self.inode().metadata().kind,
            FileType::Regular | FileType::Directory | FileType::BlockDevice
        );
        if !storable {
            return Err(Errno::EINVAL);
        }
        self.path().mount.file_system().sync().await
    }

    /// Holds the position, for a caller that moves it only when what it read has arrived.
    pub async fn lock_position(&self) -> MutexGuard<'_, u64> {
        self.position.lock().await
    }

    /// Hands the entries of a directory on from `*position`, which moves: `getdents64(2)`.
    ///
    /// # Errors
    ///
    /// `ENOTDIR`; `ENOENT` when the directory has been removed.
    pub fn list(&self, caller: &Caller, position: &mut u64, sink: &mut dyn DirSink) -> Result<()> {
        if !self.inode().metadata().is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if self.path().dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        let result = self.ops().read_dir(&self.io(caller), position, sink);
        vfs::events::accessed(self);
        result
    }

    /// `ioctl(2)`: the requests that every file knows, then those of its kind. A drop leaves what the kind's own
    /// documentation says.
    ///
    /// # Errors
    ///
    /// `ENOTTY` for a request that the file does not know; `EFAULT`.
    pub async fn ioctl(&self, caller: &Caller, request: u32, argument: u64) -> Result<u64> {
        match request {
            request::FIONBIO => {
                let on = i32::from_ne_bytes(get_user(caller, argument).await?);
                self.set_nonblocking(on != 0);
                Ok(0)
            }
            request::FIOASYNC => {
                let on = i32::from_ne_bytes(get_user(caller, argument).await?);
                // No kind of file sends SIGIO yet, which Linux answers so.
                if on != 0 { Err(Errno::ENOTTY) } else { Ok(0) }
            }
            request::FIGETBSZ => {
                let metadata = self.inode().metadata();
                if !matches!(metadata.kind, FileType::Regular | FileType::Directory) {
                    return Err(Errno::ENOTTY);
                }
                put_user(caller, argument, &metadata.block_size.to_ne_bytes()).await?;
                Ok(0)
            }
            request::FIONREAD if self.inode().metadata().kind == FileType::Regular => {
                let left = self.inode().metadata().size.saturating_sub(self.position_hint());
                let left = i32::try_from(left).unwrap_or(i32::MAX);
                put_user(caller, argument, &left.to_ne_bytes()).await?;
                Ok(0)
            }
            _ => {
                let io = self.io(caller);
                self.ops().ioctl(&io, request, argument).await
            }
        }
    }
}

/// Modes that don't go together.
fn check_modes(mode: AllocateMode) -> Result<()> {
    let punch = mode.contains(AllocateMode::PUNCH_HOLE);
    if punch && (mode.contains(AllocateMode::ZERO_RANGE) || !mode.contains(AllocateMode::KEEP_SIZE)) {
        return Err(Errno::EOPNOTSUPP);
    }
    for alone in [AllocateMode::COLLAPSE_RANGE, AllocateMode::INSERT_RANGE] {
        if mode.contains(alone) && mode != alone {
            return Err(Errno::EINVAL);
        }
    }
    let unshare_conflict = !(AllocateMode::UNSHARE_RANGE | AllocateMode::KEEP_SIZE);
    if mode.contains(AllocateMode::UNSHARE_RANGE) && mode.intersects(unshare_conflict) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
