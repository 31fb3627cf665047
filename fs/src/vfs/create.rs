//! New names: mkdir, mknod, symlink, link, and the creating half of open.

use alloc::sync::Arc;

use base::caller::Capabilities;
use base::{Errno, Result};

use super::cache;
use super::dentry::{self, Dentry};
use super::events::{self, EventMask};
use super::inode::{DeviceNumber, Inode, NewInode, NewKind};
use super::metadata::{FileType, mode};
use super::path::Path;
use super::permission::{Permission, inherit, permission};
use super::walk::{Last, Parent, Start, Subject, WalkFlags, lookup, peek, resolve, resolve_parent};

/// Bytes of the longest target of a symbolic link.
const TARGET_MAX: usize = 4095;

impl NewKind<'_> {
    /// The type of the inode to be.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        match self {
            NewKind::Regular => FileType::Regular,
            NewKind::Directory => FileType::Directory,
            NewKind::Symlink(_) => FileType::Symlink,
            NewKind::Fifo => FileType::Fifo,
            NewKind::Socket => FileType::Socket,
            NewKind::CharDevice(_) => FileType::CharDevice,
            NewKind::BlockDevice(_) => FileType::BlockDevice,
        }
    }
}

/// The name at the end of `parent`, where something new is to stand.
fn new_name(parent: &Parent) -> Result<&[u8]> {
    match &parent.last {
        Last::Name(name) => Ok(name),
        _ => Err(Errno::EEXIST),
    }
}

/// Puts a new entry into `dir`, which `make` makes in the file system. The order of the checks is Linux's.
fn add_entry(
    subject: Subject<'_>,
    dir: &Path,
    name: &[u8],
    slash_without_directory: bool,
    make: impl FnOnce(&Arc<dyn Inode>) -> Result<Arc<dyn Inode>>,
) -> Result<Arc<Dentry>> {
    let inode = dir.inode();
    let may_add = |exists: bool| {
        if exists {
            return Err(Errno::EEXIST);
        }
        // Where entries only come from elsewhere (/proc), there is no place for a new one.
        if slash_without_directory || !inode.changeable() {
            return Err(Errno::ENOENT);
        }
        dir.mount.require_writable()?;
        if dir.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        let credentials = &subject.caller.credentials;
        permission(credentials, &inode.metadata(), Permission::WRITE | Permission::EXECUTE)
    };
    if inode.dynamic() {
        may_add(lookup(&dir.dentry, name)?.found().is_some())?;
        return Ok(Dentry::new(&dir.dentry, dentry::name(name), Some(make(inode)?)));
    }
    let mut children = dir.dentry.children();
    may_add(peek(&dir.dentry, &children, name)?.found().is_some())?;
    let made = make(inode)?;
    let name = dentry::name(name);
    let fresh = Dentry::new(&dir.dentry, name.clone(), Some(made));
    let negative = children.insert(name, fresh.clone());
    drop(children);
    drop(negative);
    cache::added(&fresh);
    Ok(fresh)
}

/// Makes an inode of `kind` under `name` in `dir`. `mode` has not seen the umask yet.
pub(super) fn make_in(
    subject: Subject<'_>,
    dir: &Path,
    name: &[u8],
    kind: NewKind<'_>,
    wanted: u32,
    trailing_slash: bool,
) -> Result<Path> {
    let file_type = kind.file_type();
    let masked = match file_type {
        FileType::Symlink => 0o777,
        FileType::Directory => wanted & (0o777 | mode::STICKY) & !subject.fs.umask(),
        _ => wanted & mode::ALL & !subject.fs.umask(),
    };
    let slash = trailing_slash && file_type != FileType::Directory;
    let dentry = add_entry(subject, dir, name, slash, |directory| {
        let (gid, mode) = inherit(subject.caller, &directory.metadata(), file_type, masked);
        let uid = subject.caller.credentials.fsuid;
        directory.create(name, &NewInode { kind, mode, uid, gid })
    })?;
    let mask = if file_type == FileType::Directory {
        EventMask::CREATE | EventMask::ISDIR
    } else {
        EventMask::CREATE
    };
    events::entry(mask, dir.inode(), name, 0);
    Ok(Path { mount: dir.mount.clone(), dentry })
}

/// `mkdirat(2)`.
///
/// # Errors
///
/// `EEXIST`, `ENOENT`, `ENOTDIR`, `EACCES`, `EROFS`, `ENOSPC`, `EPERM` when the file system has none, and
/// those of the walk.
pub fn mkdir(subject: Subject<'_>, start: Start<'_>, path: &[u8], mode: u32) -> Result<()> {
    let parent = resolve_parent(subject, start, path)?;
    make_in(subject, &parent.dir, new_name(&parent)?, NewKind::Directory, mode, true)?;
    Ok(())
}

/// `mknodat(2)`: `mode` holds the type, `device` the encoded number.
///
/// # Errors
///
/// `EINVAL` for an unknown type; `EPERM` for a directory, and for a device without `CAP_MKNOD`; else as
/// [`mkdir`].
pub fn mknod(subject: Subject<'_>, start: Start<'_>, path: &[u8], mode: u32, device: u64) -> Result<()> {
    let number = DeviceNumber::decode(device);
    let kind = match FileType::from_mode(mode) {
        Some(FileType::Regular) => NewKind::Regular,
        Some(FileType::Fifo) => NewKind::Fifo,
        Some(FileType::Socket) => NewKind::Socket,
        Some(FileType::CharDevice) => NewKind::CharDevice(number),
        Some(FileType::BlockDevice) => NewKind::BlockDevice(number),
        Some(FileType::Directory) => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    let parent = resolve_parent(subject, start, path)?;
    let name = new_name(&parent)?;
    let is_device = matches!(kind, NewKind::CharDevice(_) | NewKind::BlockDevice(_));
    if is_device && !subject.caller.credentials.capable(Capabilities::MKNOD) {
        return Err(Errno::EPERM);
    }
    make_in(subject, &parent.dir, name, kind, mode, parent.trailing_slash)?;
    Ok(())
}

/// Makes the name of a bound socket, with the permission bits `mode`: `bind(2)` of `AF_UNIX`. Returns its place.
///
/// # Errors
///
/// `EADDRINUSE` when the name is there; else as [`mkdir`].
pub fn make_socket(subject: Subject<'_>, path: &[u8], mode: u32) -> Result<Path> {
    let in_use = |error| if error == Errno::EEXIST { Errno::EADDRINUSE } else { error };
    let parent = resolve_parent(subject, Start::Cwd, path)?;
    let name = new_name(&parent).map_err(in_use)?;
    make_in(subject, &parent.dir, name, NewKind::Socket, mode, parent.trailing_slash).map_err(in_use)
}

/// `symlinkat(2)`: makes `path` a symbolic link to `target`.
///
/// # Errors
///
/// `ENOENT` for an empty target; `ENAMETOOLONG`; else as [`mkdir`].
pub fn symlink(subject: Subject<'_>, target: &[u8], start: Start<'_>, path: &[u8]) -> Result<()> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    if target.len() > TARGET_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let parent = resolve_parent(subject, start, path)?;
    let name = new_name(&parent)?;
    make_in(subject, &parent.dir, name, NewKind::Symlink(target), 0o777, parent.trailing_slash)?;
    Ok(())
}

/// `linkat(2)`: gives the file at `old` a further name. `flags` are those of the walk to `old`.
///
/// # Errors
///
/// `EXDEV` over mounts; `EPERM` for a directory; `EEXIST`, `EMLINK`; `ENOENT` when the file has no name left;
/// else as [`mkdir`].
pub fn link(
    subject: Subject<'_>,
    old_start: Start<'_>,
    old: &[u8],
    flags: WalkFlags,
    start: Start<'_>,
    path: &[u8],
) -> Result<()> {
    if old.is_empty()
        && flags.contains(WalkFlags::EMPTY)
        && !subject.caller.credentials.capable(Capabilities::DAC_READ_SEARCH)
    {
        return Err(Errno::ENOENT);
    }
    let target = resolve(subject, old_start, old, flags)?;
    let parent = resolve_parent(subject, start, path)?;
    let name = new_name(&parent)?;
    let dir = &parent.dir;
    add_entry(subject, dir, name, parent.trailing_slash, |directory| {
        if !Arc::ptr_eq(&target.mount, &dir.mount) {
            return Err(Errno::EXDEV);
        }
        if target.inode().metadata().is_directory() {
            return Err(Errno::EPERM);
        }
        directory.link(name, target.inode())?;
        Ok(target.inode().clone())
    })?;
    events::itself(EventMask::ATTRIB, target.inode());
    events::entry(EventMask::CREATE, dir.inode(), name, 0);
    Ok(())
}
