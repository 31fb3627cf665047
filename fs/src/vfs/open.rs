//! open(2), with the whole matrix of its flags.

use alloc::sync::Arc;
use core::any::Any;

use base::{Errno, Result};

use super::attributes::content_changes;
use super::create::make_in;
use super::device;
use super::events::{self, EventMask};
use super::inode::{NewInode, NewKind, OpenRequest};
use super::metadata::{FileType, mode};
use super::mount::MountFlags;
use super::path::Path;
use super::permission::{Permission, inherit, owner_or_capable, permission};
use super::walk::{Last, Start, Subject, WalkFlags, Walker};
use crate::file::{AccessMode, FileOps, OpenFile, OpenFlags};
use crate::pipe;

/// What `openat(2)` and `openat2(2)` ask for.
#[derive(Clone, Copy, Debug)]
pub struct OpenHow {
    /// The flags; unknown bits have been removed or refused.
    pub flags: OpenFlags,
    /// Permission bits of a file that is made.
    pub mode: u32,
    /// Restrictions of the walk (`RESOLVE_*` of `openat2(2)`).
    pub resolve: WalkFlags,
}

/// The flags, checked and with their implications drawn.
fn settle(how: OpenHow) -> Result<OpenHow> {
    let OpenHow { mut flags, mode, resolve } = how;
    if flags.contains(OpenFlags::PATH) {
        flags &= OpenFlags::WITH_PATH;
    }
    if flags.contains(OpenFlags::TMPFILE) {
        if !flags.contains(OpenFlags::DIRECTORY) || flags.contains(OpenFlags::CREAT) {
            return Err(Errno::EINVAL);
        }
        if !flags.access().contains(AccessMode::WRITE) {
            return Err(Errno::EINVAL);
        }
    } else if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
        return Err(Errno::EINVAL);
    }
    if !flags.contains(OpenFlags::PATH) {
        // As on every 64-bit Linux.
        flags |= OpenFlags::LARGEFILE;
    }
    if flags.contains(OpenFlags::SYNC) {
        flags |= OpenFlags::DSYNC;
    }
    Ok(OpenHow { flags, mode: mode & mode::ALL, resolve })
}

/// The permissions that an open needs.
fn wanted(flags: OpenFlags) -> Permission {
    let mut wanted = match flags.bits() & 3 {
        0 => Permission::READ,
        1 => Permission::WRITE,
        _ => Permission::READ | Permission::WRITE,
    };
    if flags.contains(OpenFlags::TRUNC) {
        wanted |= Permission::WRITE;
    }
    wanted
}

/// `openat2(2)`: opens, and makes if asked for, the file at `path`. A FIFO may wait for its other end; a drop
/// leaves no trace but a file that was made.
///
/// # Errors
///
/// All of `open(2)`, in Linux's order.
pub async fn open(
    subject: Subject<'_>,
    start: Start<'_>,
    path: &[u8],
    how: OpenHow,
) -> Result<Arc<OpenFile>> {
    let how = settle(how)?;
    let flags = how.flags;
    let mut walk = how.resolve;
    walk.set(WalkFlags::DIRECTORY, flags.contains(OpenFlags::DIRECTORY));
    let no_follow = OpenFlags::CREAT | OpenFlags::EXCL;
    walk.set(WalkFlags::FOLLOW, !flags.contains(OpenFlags::NOFOLLOW) && !flags.contains(no_follow));
    if flags.contains(OpenFlags::TMPFILE) {
        return open_unnamed(subject, start, path, how, walk);
    }
    let mut walker = Walker::new(subject, start, path, walk)?;
    let (place, made) = if flags.contains(OpenFlags::CREAT) {
        find_or_make(subject, &mut walker, how)?
    } else {
        (walker.walk_to_end()?, false)
    };
    if flags.contains(OpenFlags::PATH) {
        return OpenFile::new(subject.caller, Arc::new(PlaceOnly), place, flags);
    }
    open_place(subject, place, flags, made).await
}

/// The file at the end of the walk, made when it is missing; true when it was.
fn find_or_make(subject: Subject<'_>, walker: &mut Walker<'_>, how: OpenHow) -> Result<(Path, bool)> {
    loop {
        let parent = walker.walk_to_parent()?;
        let Last::Name(name) = &parent.last else {
            // A directory, or a place that a magic link led to.
            let Some(place) = walker.finish(&parent)? else { continue };
            return existing(place, how.flags).map(|place| (place, false));
        };
        if parent.trailing_slash {
            return Err(Errno::EISDIR);
        }
        match walker.finish(&parent) {
            Ok(None) => {}
            Ok(Some(place)) => return existing(place, how.flags).map(|place| (place, false)),
            Err(Errno::ENOENT) => {
                match make_in(subject, &parent.dir, name, NewKind::Regular, how.mode, false) {
                    Ok(place) => return Ok((place, true)),
                    // Somebody made it meanwhile.
                    Err(Errno::EEXIST) if !how.flags.contains(OpenFlags::EXCL) => walker.retry(name),
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// What `O_CREAT` says to a file that is there.
fn existing(place: Path, flags: OpenFlags) -> Result<Path> {
    if flags.contains(OpenFlags::EXCL) {
        return Err(Errno::EEXIST);
    }
    if place.inode().metadata().is_directory() {
        return Err(Errno::EISDIR);
    }
    Ok(place)
}

/// Checks that the file may be opened so: `may_open` of Linux.
fn check(subject: Subject<'_>, place: &Path, flags: OpenFlags, wanted: Permission) -> Result<()> {
    let metadata = place.inode().metadata();
    match metadata.kind {
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Directory if wanted.contains(Permission::WRITE) => return Err(Errno::EISDIR),
        FileType::CharDevice | FileType::BlockDevice if place.mount.flags().contains(MountFlags::NODEV) => {
            return Err(Errno::EACCES);
        }
        _ => {}
    }
    permission(&subject.caller.credentials, &metadata, wanted)?;
    if flags.contains(OpenFlags::NOATIME) && !owner_or_capable(subject.caller, &metadata) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// Opens the file at a place that the walk has found (or that has just been made).
async fn open_place(
    subject: Subject<'_>,
    place: Path,
    flags: OpenFlags,
    made: bool,
) -> Result<Arc<OpenFile>> {
    let kind = place.inode().metadata().kind;
    let truncates = flags.contains(OpenFlags::TRUNC) && kind == FileType::Regular && !made;
    if truncates {
        place.mount.require_writable()?;
    }
    if !made {
        let mut needed = wanted(flags);
        if kind != FileType::Regular && kind != FileType::Directory {
            needed = wanted(flags - OpenFlags::TRUNC);
        }
        check(subject, &place, flags, needed)?;
    }
    let file = open_checked(subject, place, flags).await?;
    events::at(EventMask::OPEN, &file.path().dentry);
    if truncates {
        let inode = file.inode();
        content_changes(subject.caller, inode);
        inode.truncate(0)?;
        events::modified(&file);
    }
    Ok(file)
}

/// Opens without checking permissions.
async fn open_checked(subject: Subject<'_>, place: Path, flags: OpenFlags) -> Result<Arc<OpenFile>> {
    let caller = subject.caller;
    let inode = place.inode().clone();
    let metadata = inode.metadata();
    let access = flags.access();
    let writes_file = access.contains(AccessMode::WRITE) && metadata.kind == FileType::Regular;
    if writes_file {
        inode.state().get_writer()?;
        place.mount.require_writable().inspect_err(|_| inode.state().put_writer())?;
    }
    let request = OpenRequest { caller, flags, path: &place };
    let ops: Result<Arc<dyn FileOps>> = match metadata.kind {
        FileType::Socket => Err(Errno::ENXIO),
        FileType::Fifo => pipe::open_fifo(&inode, access, flags.contains(OpenFlags::NONBLOCK)).await,
        FileType::CharDevice => device::open_character(metadata.rdev, &request),
        FileType::BlockDevice => device::open_block(metadata.rdev, &request),
        _ => inode.clone().open(&request),
    };
    let ops = ops.inspect_err(|_| {
        if writes_file {
            inode.state().put_writer();
        }
    })?;
    OpenFile::with_access(caller, ops, place, flags, access, writes_file)
}

/// `O_TMPFILE`: a file without a name in the directory at `path`.
fn open_unnamed(
    subject: Subject<'_>,
    start: Start<'_>,
    path: &[u8],
    how: OpenHow,
    walk: WalkFlags,
) -> Result<Arc<OpenFile>> {
    let caller = subject.caller;
    let dir = Walker::new(subject, start, path, walk)?.walk_to_end()?;
    dir.mount.require_writable()?;
    let directory = dir.inode().metadata();
    permission(&caller.credentials, &directory, Permission::WRITE | Permission::EXECUTE)?;
    let masked = how.mode & !subject.fs.umask();
    let (gid, mode) = inherit(caller, &directory, FileType::Regular, masked);
    let new = NewInode { kind: NewKind::Regular, mode, uid: caller.credentials.fsuid, gid };
    let inode = dir.inode().create_unnamed(&new, !how.flags.contains(OpenFlags::EXCL))?;
    let title = alloc::format!("#{}", inode.metadata().ino);
    let dentry =
        super::dentry::Dentry::new(&dir.dentry, super::dentry::name(title.as_bytes()), Some(inode.clone()));
    dentry.mark_deleted();
    let place = Path { mount: dir.mount.clone(), dentry };
    inode.state().get_writer()?;
    let request = OpenRequest { caller, flags: how.flags, path: &place };
    let ops = inode.clone().open(&request).inspect_err(|_| inode.state().put_writer())?;
    OpenFile::with_access(caller, ops, place, how.flags, how.flags.access(), true)
}

/// Opens the file at a known place: the magic links of `/proc/<pid>/fd`, the kernel's own opens.
///
/// # Errors
///
/// As [`open`].
pub async fn open_at(subject: Subject<'_>, place: Path, flags: OpenFlags) -> Result<Arc<OpenFile>> {
    open_place(subject, place, flags, false).await
}

/// A program that is about to run: its file, which nobody writes while this lives.
pub struct Executable {
    file: Arc<OpenFile>,
}

impl Executable {
    /// The open file.
    #[must_use]
    pub fn file(&self) -> &Arc<OpenFile> {
        &self.file
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        self.file.inode().state().allow_writers();
    }
}

/// Opens a program for `execveat(2)`; `walk` says whether a last symbolic link is followed and whether the path
/// may be empty.
///
/// # Errors
///
/// `EACCES` when it is no regular file, may not be executed, or lies on a mount without execution; `ETXTBSY`
/// while somebody has it open for writing; `ELOOP` for a symbolic link that is not to be followed; and those
/// of the walk.
pub async fn open_executable(
    subject: Subject<'_>,
    start: Start<'_>,
    path: &[u8],
    walk: WalkFlags,
) -> Result<Executable> {
    let place = Walker::new(subject, start, path, walk)?.walk_to_end()?;
    let metadata = place.inode().metadata();
    match metadata.kind {
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Regular => {}
        _ => return Err(Errno::EACCES),
    }
    if place.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    permission(&subject.caller.credentials, &metadata, Permission::EXECUTE)?;
    let file = open_checked(subject, place, OpenFlags::LARGEFILE).await?;
    file.inode().state().deny_writers()?;
    Ok(Executable { file })
}

/// The operations of an `O_PATH` file: none.
struct PlaceOnly;

impl FileOps for PlaceOnly {
    fn as_any(&self) -> &dyn Any {
        self
    }
}
