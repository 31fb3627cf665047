//! rename(2).
//!
//! Two directories are locked at once. One rename at a time crosses directories, so that nothing moves
//! while the order of the locks is found: an ancestor before what is below it, otherwise by address. A
//! directory that is replaced is locked last; it is never above the source.

use alloc::sync::Arc;

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::cache;
use super::dentry::{self, Children, Dentry};
use super::events::{self, EventMask};
use super::inode::RenameFlags;
use super::permission::{Permission, may_delete, permission};
use super::remove::{existing, refuse_dynamic};
use super::walk::{Last, Parent, Start, Subject, peek, resolve_parent};

/// Held by a rename: directories don't move meanwhile.
static TOPOLOGY: SpinLock<()> = SpinLock::new(LockClass::Rename, ());

/// A rename whose paths have been walked.
struct Move<'a> {
    subject: Subject<'a>,
    from: &'a Parent,
    to: &'a Parent,
    name: &'a [u8],
    new_name: &'a [u8],
    flags: RenameFlags,
}

/// What has been moved.
struct Moved {
    source: Arc<Dentry>,
    /// What was at the new name.
    target: Option<Arc<Dentry>>,
}

/// `renameat2(2)`.
///
/// # Errors
///
/// `ENOENT`; `EEXIST` with `NOREPLACE`; `EXDEV` over mounts; `EBUSY` for `.`, `..`, `/` and mount points;
/// `EINVAL` to move a directory below itself, and for flags that don't go together; `ENOTEMPTY`, `EISDIR`,
/// `ENOTDIR` when the target does not fit; `EACCES`, `EPERM` (sticky), `EROFS`; and those of the walk.
pub fn rename(
    subject: Subject<'_>,
    start: Start<'_>,
    path: &[u8],
    new_start: Start<'_>,
    new_path: &[u8],
    flags: RenameFlags,
) -> Result<()> {
    let exchange_conflict = RenameFlags::NOREPLACE | RenameFlags::WHITEOUT;
    if flags.contains(RenameFlags::EXCHANGE) && flags.intersects(exchange_conflict)
        || flags.contains(RenameFlags::WHITEOUT)
    {
        return Err(Errno::EINVAL);
    }
    let from = resolve_parent(subject, start, path)?;
    let to = resolve_parent(subject, new_start, new_path)?;
    if !Arc::ptr_eq(&from.dir.mount, &to.dir.mount) {
        return Err(Errno::EXDEV);
    }
    let Last::Name(name) = &from.last else { return Err(Errno::EBUSY) };
    let Last::Name(new_name) = &to.last else {
        return Err(if flags.contains(RenameFlags::NOREPLACE) { Errno::EEXIST } else { Errno::EBUSY });
    };
    from.dir.mount.require_writable()?;
    // Entries that come from elsewhere (/proc) don't move. The target is missed before that is said.
    if let Err(refusal) = refuse_dynamic(&from.dir, name, None) {
        return Err(refuse_dynamic(&to.dir, new_name, None).err().unwrap_or(refusal));
    }
    refuse_dynamic(&to.dir, new_name, None)?;
    let plan = Move { subject, from: &from, to: &to, name, new_name, flags };
    if let Some(moved) = plan.run()? {
        cache::added(&moved.source);
        if let Some(target) = moved.target.as_ref().filter(|_| plan.exchanges()) {
            cache::added(target);
        }
        plan.tell(&moved);
    }
    Ok(())
}

impl Move<'_> {
    /// Locks the directories in their order and moves. `None` when both names are one file.
    fn run(&self) -> Result<Option<Moved>> {
        let (old_dir, new_dir) = (&self.from.dir.dentry, &self.to.dir.dentry);
        let _topology = TOPOLOGY.lock();
        if Arc::ptr_eq(old_dir, new_dir) {
            let mut children = old_dir.children();
            return self.within(&mut children);
        }
        let old_first = if new_dir.is_below(old_dir) {
            true
        } else if old_dir.is_below(new_dir) {
            false
        } else {
            Arc::as_ptr(old_dir) < Arc::as_ptr(new_dir)
        };
        let (mut old_children, mut new_children);
        if old_first {
            old_children = old_dir.children();
            new_children = new_dir.children_nested();
        } else {
            new_children = new_dir.children();
            old_children = old_dir.children_nested();
        }
        self.across(&mut old_children, &mut new_children)
    }

    fn within(&self, children: &mut Children) -> Result<Option<Moved>> {
        let source = existing(&self.from.dir, children, self.name)?;
        let target = peek(&self.to.dir.dentry, children, self.new_name)?;
        self.check_names(&source, &target)?;
        if !self.check(&source, &target)? {
            return Ok(None);
        }
        self.move_in_file_system(&target)?;
        children.remove(self.name);
        children.insert(dentry::name(self.new_name), source.clone());
        if self.exchanges() {
            children.insert(dentry::name(self.name), target.clone());
        }
        Ok(Some(self.settle(source, target)))
    }

    fn across(&self, old_children: &mut Children, new_children: &mut Children) -> Result<Option<Moved>> {
        let source = existing(&self.from.dir, old_children, self.name)?;
        let target = peek(&self.to.dir.dentry, new_children, self.new_name)?;
        self.check_names(&source, &target)?;
        if self.to.dir.dentry.is_below(&source) {
            return Err(Errno::EINVAL);
        }
        if self.from.dir.dentry.is_below(&target) {
            return Err(if self.exchanges() { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if !self.check(&source, &target)? {
            return Ok(None);
        }
        self.move_in_file_system(&target)?;
        old_children.remove(self.name);
        new_children.insert(dentry::name(self.new_name), source.clone());
        if self.exchanges() {
            old_children.insert(dentry::name(self.name), target.clone());
        }
        Ok(Some(self.settle(source, target)))
    }

    fn exchanges(&self) -> bool {
        self.flags.contains(RenameFlags::EXCHANGE)
    }

    /// What Linux checks first: whether the names are there, and slashes behind them.
    fn check_names(&self, source: &Arc<Dentry>, target: &Arc<Dentry>) -> Result<()> {
        let moved = source.inode().metadata();
        let replaced = target.found().map(|inode| inode.metadata());
        match &replaced {
            Some(_) if self.flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EEXIST),
            None if self.exchanges() || !self.to.dir.inode().changeable() => return Err(Errno::ENOENT),
            Some(there) if self.exchanges() && self.to.trailing_slash && !there.is_directory() => {
                return Err(Errno::ENOTDIR);
            }
            _ => {}
        }
        let slash = self.from.trailing_slash || !self.exchanges() && self.to.trailing_slash;
        if slash && !moved.is_directory() { Err(Errno::ENOTDIR) } else { Ok(()) }
    }

    /// All else that Linux checks before it asks the file system, in its order. False when both are one file.
    fn check(&self, source: &Arc<Dentry>, target: &Arc<Dentry>) -> Result<bool> {
        let caller = self.subject.caller;
        let moved = source.inode().metadata();
        let replaced = target.found().map(|inode| inode.metadata());
        if target.found().is_some_and(|there| Arc::ptr_eq(there, source.inode())) {
            return Ok(false);
        }
        let (old_dir, new_dir) = (self.from.dir.inode().metadata(), self.to.dir.inode().metadata());
        may_delete(caller, &old_dir, &moved)?;
        if self.to.dir.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        match &replaced {
            None => permission(&caller.credentials, &new_dir, Permission::WRITE | Permission::EXECUTE)?,
            Some(there) => {
                may_delete(caller, &new_dir, there)?;
                match (moved.is_directory(), there.is_directory()) {
                    (true, false) if !self.exchanges() => return Err(Errno::ENOTDIR),
                    (false, true) if !self.exchanges() => return Err(Errno::EISDIR),
                    _ => {}
                }
            }
        }
        self.check_new_parent(&moved, replaced.as_ref())?;
        if source.is_mount_point() || target.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        Ok(true)
    }

    /// A directory that changes its parent is itself written: its `..` is another one.
    fn check_new_parent(
        &self,
        moved: &super::metadata::Metadata,
        replaced: Option<&super::metadata::Metadata>,
    ) -> Result<()> {
        if Arc::ptr_eq(&self.from.dir.dentry, &self.to.dir.dentry) {
            return Ok(());
        }
        let credentials = &self.subject.caller.credentials;
        if moved.is_directory() {
            permission(credentials, moved, Permission::WRITE)?;
        }
        match replaced {
            Some(there) if self.exchanges() && there.is_directory() => {
                permission(credentials, there, Permission::WRITE)
            }
            _ => Ok(()),
        }
    }

    /// The file system's half. A directory that is replaced is held, so that nothing is made in it meanwhile.
    fn move_in_file_system(&self, target: &Arc<Dentry>) -> Result<()> {
        let replaces_directory =
            !self.exchanges() && target.found().is_some_and(|there| there.metadata().is_directory());
        let (dir, new_dir) = (self.from.dir.inode(), self.to.dir.inode());
        if !replaces_directory {
            return dir.rename(self.name, new_dir, self.new_name, self.flags);
        }
        let orphans = {
            let mut inside = target.children_nested();
            dir.rename(self.name, new_dir, self.new_name, self.flags)?;
            target.mark_deleted();
            inside.take_all()
        };
        drop(orphans);
        Ok(())
    }

    /// The dentries take their new places.
    fn settle(&self, source: Arc<Dentry>, target: Arc<Dentry>) -> Moved {
        source.set_place(&self.to.dir.dentry, dentry::name(self.new_name));
        if self.exchanges() {
            target.set_place(&self.from.dir.dentry, dentry::name(self.name));
        } else if target.found().is_some() {
            target.mark_deleted();
        }
        let target = target.found().is_some().then_some(target);
        Moved { source, target }
    }

    /// Tells those who watch.
    fn tell(&self, moved: &Moved) {
        let cookie = events::next_cookie();
        let (old_dir, new_dir) = (self.from.dir.inode(), self.to.dir.inode());
        let of = |dentry: &Arc<Dentry>| {
            if dentry.inode().metadata().is_directory() { EventMask::ISDIR } else { EventMask::empty() }
        };
        events::entry(EventMask::MOVED_FROM | of(&moved.source), old_dir, self.name, cookie);
        events::entry(EventMask::MOVED_TO | of(&moved.source), new_dir, self.new_name, cookie);
        events::itself(EventMask::MOVE_SELF, moved.source.inode());
        match &moved.target {
            Some(target) if self.exchanges() => {
                let cookie = events::next_cookie();
                events::entry(EventMask::MOVED_FROM | of(target), new_dir, self.new_name, cookie);
                events::entry(EventMask::MOVED_TO | of(target), old_dir, self.name, cookie);
                events::itself(EventMask::MOVE_SELF, target.inode());
            }
            // Its end is told when the last who has it open lets go.
            Some(target) => events::itself(EventMask::ATTRIB, target.inode()),
            None => {}
        }
    }
}
