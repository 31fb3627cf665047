//! Attributes: chmod, chown, utimensat, access, and what writing does to them.

use alloc::sync::Arc;

use base::caller::{Caller, Capabilities};
use base::{Errno, Result};

use super::events::{self, EventMask};
use super::inode::{Attributes, Inode};
use super::metadata::{FileType, Timestamp, mode};
use super::mount::MountFlags;
use super::path::Path;
use super::permission::{Permission, owner_or_capable, permission};

/// The content of `inode` is about to change: set-id bits go unless the caller may keep them. The times are the
/// file system's own business.
pub(crate) fn content_changes(caller: &Caller, inode: &Arc<dyn Inode>) {
    let metadata = inode.metadata();
    let Some(mode) = metadata.mode_without_set_id() else { return };
    if caller.credentials.capable(Capabilities::FSETID) {
        return;
    }
    let attributes =
        Attributes { mode: Some(mode), changed: Some(Timestamp::now()), ..Attributes::default() };
    // A file system without modes has no set-id bits either.
    let _ = inode.set_attributes(&attributes);
}

/// `chmod(2)` of the file at `path`.
///
/// # Errors
///
/// `EROFS`; `EPERM` for anybody but the owner; what the file system says.
pub fn chmod(caller: &Caller, path: &Path, wanted: u32) -> Result<()> {
    path.mount.require_writable()?;
    let metadata = path.inode().metadata();
    if metadata.kind == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if !owner_or_capable(caller, &metadata) {
        return Err(Errno::EPERM);
    }
    let mut new_mode = wanted & mode::ALL;
    let credentials = &caller.credentials;
    if !credentials.in_group(metadata.gid) && !credentials.capable(Capabilities::FSETID) {
        new_mode &= !mode::SETGID;
    }
    let now = Timestamp::now();
    path.inode().set_attributes(&Attributes {
        mode: Some(new_mode),
        changed: Some(now),
        ..Attributes::default()
    })?;
    events::at(EventMask::ATTRIB, &path.dentry);
    Ok(())
}

/// `chown(2)` of the file at `path`; `None` leaves an id. Set-id bits of anything but a directory go.
///
/// # Errors
///
/// `EROFS`; `EPERM` when the caller may not give it to that owner or group; what the file system says.
pub fn chown(caller: &Caller, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    path.mount.require_writable()?;
    let metadata = path.inode().metadata();
    let credentials = &caller.credentials;
    if !credentials.capable(Capabilities::CHOWN) {
        let owns = credentials.fsuid == metadata.uid;
        let uid_allowed = uid.is_none_or(|uid| owns && uid == metadata.uid);
        let gid_allowed = gid.is_none_or(|gid| owns && (gid == metadata.gid || credentials.in_group(gid)));
        if !uid_allowed || !gid_allowed {
            return Err(Errno::EPERM);
        }
    }
    let changed = Some(Timestamp::now());
    let mode = metadata.mode_without_set_id();
    path.inode().set_attributes(&Attributes { mode, uid, gid, changed, ..Attributes::default() })?;
    events::at(EventMask::ATTRIB, &path.dentry);
    Ok(())
}

/// What `utimensat(2)` does with one of the two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// `UTIME_OMIT`.
    Keep,
    /// `UTIME_NOW`.
    Now,
    /// This very time.
    To(Timestamp),
}

/// `utimensat(2)` of the file at `path`.
///
/// # Errors
///
/// `EROFS`; `EACCES` when both are "now" and the caller may not write; `EPERM` otherwise for anybody but the
/// owner.
pub fn set_times(caller: &Caller, path: &Path, accessed: SetTime, modified: SetTime) -> Result<()> {
    path.mount.require_writable()?;
    let metadata = path.inode().metadata();
    if !owner_or_capable(caller, &metadata) {
        if accessed != SetTime::Now || modified != SetTime::Now {
            return Err(Errno::EPERM);
        }
        permission(&caller.credentials, &metadata, Permission::WRITE)?;
    }
    let now = Timestamp::now();
    let time = |set: SetTime| match set {
        SetTime::Keep => None,
        SetTime::Now => Some(now),
        SetTime::To(time) => Some(time),
    };
    path.inode().set_attributes(&Attributes {
        accessed: time(accessed),
        modified: time(modified),
        changed: Some(now),
        ..Attributes::default()
    })?;
    events::at(EventMask::ATTRIB, &path.dentry);
    Ok(())
}

/// `faccessat2(2)` of the file at `path`, for the ids that `caller` has for file access: the real ones, unless the
/// program asked about the effective ones.
///
/// # Errors
///
/// `EACCES`, `EROFS`.
pub fn access(caller: &Caller, path: &Path, wanted: Permission) -> Result<()> {
    let metadata = path.inode().metadata();
    let regular = metadata.kind == FileType::Regular;
    let noexec = path.mount.flags().contains(MountFlags::NOEXEC);
    if wanted.contains(Permission::EXECUTE) && regular && noexec {
        return Err(Errno::EACCES);
    }
    permission(&caller.credentials, &metadata, wanted)?;
    let special = !matches!(metadata.kind, FileType::Regular | FileType::Directory | FileType::Symlink);
    if wanted.contains(Permission::WRITE) && !special {
        path.mount.require_writable()?;
    }
    Ok(())
}

/// `truncate(2)` of the file at `path`. A drop leaves the old or the new length.
///
/// # Errors
///
/// `EINVAL` for a negative length and for what has none; `EISDIR`; `EROFS`, `EACCES`, `ETXTBSY`, `EFBIG`,
/// `EPERM` (seal).
pub async fn truncate(caller: &Caller, path: &Path, length: i64) -> Result<()> {
    let size = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let inode = path.inode();
    let metadata = inode.metadata();
    match metadata.kind {
        FileType::Regular => {}
        FileType::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    path.mount.require_writable()?;
    permission(&caller.credentials, &metadata, Permission::WRITE)?;
    let _writing = inode.state().writing()?;
    crate::file::set_length(caller, inode, size).await?;
    events::at(EventMask::MODIFY, &path.dentry);
    Ok(())
}
