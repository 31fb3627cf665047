//! Names that go: unlink and rmdir.

use alloc::sync::Arc;

use base::{Errno, Result};

use super::dentry::{Children, Dentry};
use super::events::{self, EventMask};
use super::metadata::FileType;
use super::path::Path;
use super::permission::may_delete;
use super::walk::{Last, Start, Subject, lookup, peek, resolve_parent};

/// `unlinkat(2)` without `AT_REMOVEDIR`.
///
/// # Errors
///
/// `ENOENT`; `EISDIR` for a directory; `ENOTDIR` for a slash behind anything else; `EACCES`, `EPERM` (sticky),
/// `EROFS`; `EBUSY` when something is mounted there; and those of the walk.
pub fn unlink(subject: Subject<'_>, start: Start<'_>, path: &[u8]) -> Result<()> {
    let parent = resolve_parent(subject, start, path)?;
    let Last::Name(name) = &parent.last else { return Err(Errno::EISDIR) };
    let dir = &parent.dir;
    dir.mount.require_writable()?;
    refuse_dynamic(dir, name, None)?;
    let mut children = dir.dentry.children();
    let victim = existing(dir, &children, name)?;
    let metadata = victim.inode().metadata();
    if parent.trailing_slash {
        return Err(if metadata.is_directory() { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    may_delete(subject.caller, &dir.inode().metadata(), &metadata)?;
    if metadata.is_directory() {
        return Err(Errno::EISDIR);
    }
    if victim.is_mount_point() {
        return Err(Errno::EBUSY);
    }
    dir.inode().unlink(name)?;
    victim.mark_deleted();
    let cached = children.remove(name.as_slice());
    drop(children);
    events::itself(EventMask::ATTRIB, victim.inode());
    // Unless somebody has it open, this is its end.
    drop((cached, victim));
    events::entry(EventMask::DELETE, dir.inode(), name, 0);
    Ok(())
}

/// `rmdir(2)`, `unlinkat(2)` with `AT_REMOVEDIR`.
///
/// # Errors
///
/// `ENOTEMPTY` (also for `..`), `EINVAL` for `.`, `EBUSY` for `/` and for a mount point; `ENOTDIR`; else as
/// [`unlink`].
pub fn rmdir(subject: Subject<'_>, start: Start<'_>, path: &[u8]) -> Result<()> {
    let parent = resolve_parent(subject, start, path)?;
    let name = match &parent.last {
        Last::Name(name) => name,
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Dot => return Err(Errno::EINVAL),
        Last::Root => return Err(Errno::EBUSY),
    };
    let dir = &parent.dir;
    dir.mount.require_writable()?;
    refuse_dynamic(dir, name, Some(FileType::Directory))?;
    let mut children = dir.dentry.children();
    let victim = existing(dir, &children, name)?;
    let metadata = victim.inode().metadata();
    may_delete(subject.caller, &dir.inode().metadata(), &metadata)?;
    if !metadata.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if victim.is_mount_point() {
        return Err(Errno::EBUSY);
    }
    let orphans = {
        // Nobody makes an entry in it between the look whether it is empty and its end.
        let mut inside = victim.children_nested();
        dir.inode().rmdir(name)?;
        victim.mark_deleted();
        inside.take_all()
    };
    let cached = children.remove(name.as_slice());
    drop(children);
    drop((cached, orphans, victim));
    events::entry(EventMask::DELETE | EventMask::ISDIR, dir.inode(), name, 0);
    Ok(())
}

/// Refuses to take `name` out of a directory whose entries only come from elsewhere (/proc). Whoever holds such a
/// directory's lock must not look anything up in it: the answer may need any other lock.
///
/// `wanted` is the type that the entry has to have; that is looked at only where the directory is not immutable.
pub(super) fn refuse_dynamic(dir: &Path, name: &[u8], wanted: Option<FileType>) -> Result<()> {
    if dir.inode().changeable() {
        return Ok(());
    }
    let looked_up = lookup(&dir.dentry, name)?;
    let Some(victim) = looked_up.found() else { return Err(Errno::ENOENT) };
    let suits = wanted.is_none_or(|kind| victim.metadata().kind == kind);
    Err(if suits || dir.inode().immutable() { Errno::EPERM } else { Errno::ENOTDIR })
}

/// The positive entry `name` of `dir`, whose entries the caller holds.
pub(super) fn existing(dir: &Path, children: &Children, name: &[u8]) -> Result<Arc<Dentry>> {
    let dentry = peek(&dir.dentry, children, name)?;
    if dentry.found().is_some() { Ok(dentry) } else { Err(Errno::ENOENT) }
}
