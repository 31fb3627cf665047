//! The path walk: from the text of a path to a place. Source: `path_resolution(7)`.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::Caller;
use base::sync::atomic::Ordering;
use base::{Errno, Result};

use super::cache;
use super::context::FsContext;
use super::dentry::{self, Children, Dentry};
use super::inode::{LinkTarget, NAME_MAX};
use super::metadata::FileType;
use super::mount::MountFlags;
use super::path::Path;
use super::permission::{Permission, permission};

/// Symbolic links that one walk follows.
pub const LINKS_MAX: u32 = 40;

/// Who walks: the caller, and where its process stands.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Root, working directory, umask, mounts.
    pub fs: &'a FsContext,
}

/// Where a relative path starts.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// At the working directory: `AT_FDCWD`.
    Cwd,
    /// At the place of a descriptor.
    At(&'a Path),
}

bitflags::bitflags! {
    /// How to walk.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct WalkFlags: u32 {
        /// Follow the last component when it is a symbolic link.
        const FOLLOW = 1;
        /// The result must be a directory.
        const DIRECTORY = 2;
        /// An empty path means the start itself: `AT_EMPTY_PATH`.
        const EMPTY = 4;
        /// Follow no symbolic link at all: `RESOLVE_NO_SYMLINKS`.
        const NO_SYMLINKS = 8;
        /// Follow no magic link: `RESOLVE_NO_MAGICLINKS`.
        const NO_MAGICLINKS = 0x10;
        /// Stay within the mount: `RESOLVE_NO_XDEV`.
        const NO_XDEV = 0x20;
        /// Never leave the start upwards: `RESOLVE_BENEATH`.
        const BENEATH = 0x40;
        /// Take the start as the root: `RESOLVE_IN_ROOT`.
        const IN_ROOT = 0x80;
    }
}

/// The last component of a path, which an operation on names treats in its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// An ordinary name.
    Name(Vec<u8>),
    /// `.`, or nothing behind a link that led straight to a place.
    Dot,
    /// `..`.
    DotDot,
    /// The path was `/` alone.
    Root,
}

/// A path walked up to its last component.
pub struct Parent {
    /// The directory; searchable by the caller.
    pub dir: Path,
    /// What comes last.
    pub last: Last,
    /// A slash follows.
    pub trailing_slash: bool,
}

/// A walk under way.
pub(super) struct Walker<'a> {
    subject: Subject<'a>,
    root: Path,
    at: Path,
    text: Cow<'a, [u8]>,
    /// What of `text` has been consumed.
    done: usize,
    links: u32,
    flags: WalkFlags,
    /// Only slashes have been seen so far.
    only_root: bool,
}

enum Component {
    Name(Vec<u8>),
    Dot,
    DotDot,
}

impl<'a> Walker<'a> {
    pub(super) fn new(
        subject: Subject<'a>,
        start: Start<'_>,
        path: &'a [u8],
        flags: WalkFlags,
    ) -> Result<Walker<'a>> {
        if path.is_empty() && !flags.contains(WalkFlags::EMPTY) {
            return Err(Errno::ENOENT);
        }
        let (mut root, cwd) = subject.fs.root_and_cwd();
        let from = match start {
            Start::Cwd => cwd,
            Start::At(place) => place.clone(),
        };
        if flags.intersects(WalkFlags::IN_ROOT | WalkFlags::BENEATH) {
            root = from.clone();
        }
        let absolute = path.first() == Some(&b'/');
        if absolute && flags.contains(WalkFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        let at = if absolute { root.clone() } else { from };
        if !absolute && !path.is_empty() && !at.inode().metadata().is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let text = Cow::Borrowed(path);
        Ok(Walker { subject, root, at, text, done: 0, links: 0, flags, only_root: absolute })
    }

    /// Walks all but the last component.
    pub(super) fn walk_to_parent(&mut self) -> Result<Parent> {
        if self.links > LINKS_MAX {
            return Err(Errno::ELOOP);
        }
        loop {
            self.skip_slashes();
            if self.done == self.text.len() {
                let last = if self.only_root { Last::Root } else { Last::Dot };
                return Ok(Parent { dir: self.at.clone(), last, trailing_slash: false });
            }
            self.require_search()?;
            let component = self.take_component()?;
            self.only_root = false;
            let before = self.done;
            self.skip_slashes();
            if self.done == self.text.len() {
                let last = match component {
                    Component::Name(name) => Last::Name(name),
                    Component::Dot => Last::Dot,
                    Component::DotDot => Last::DotDot,
                };
                return Ok(Parent { dir: self.at.clone(), last, trailing_slash: self.done > before });
            }
            match component {
                Component::Dot => {}
                Component::DotDot => self.step_up()?,
                Component::Name(name) => {
                    let next = self.enter(&name)?.ok_or(Errno::ENOENT)?;
                    if next.inode().metadata().kind == FileType::Symlink {
                        self.follow(&next)?;
                    } else {
                        self.at = next;
                    }
                }
            }
            // What is not over yet goes on below a directory.
            if self.done < self.text.len() && !self.at.inode().metadata().is_directory() {
                return Err(Errno::ENOTDIR);
            }
        }
    }

    /// Walks to the end.
    pub(super) fn walk_to_end(&mut self) -> Result<Path> {
        loop {
            let parent = self.walk_to_parent()?;
            if let Some(place) = self.finish(&parent)? {
                return Ok(place);
            }
        }
    }

    /// Takes the last component of `parent`, which [`to_parent`](Walker::to_parent) gave. `None` when it is a
    /// link that was followed: walk on.
    pub(super) fn finish(&mut self, parent: &Parent) -> Result<Option<Path>> {
        let must_be_directory = parent.trailing_slash || self.flags.contains(WalkFlags::DIRECTORY);
        match &parent.last {
            Last::Root | Last::Dot => {}
            Last::DotDot => self.step_up()?,
            Last::Name(name) => {
                let next = self.enter(name)?.ok_or(Errno::ENOENT)?;
                let follow = parent.trailing_slash || self.flags.contains(WalkFlags::FOLLOW);
                if follow && next.inode().metadata().kind == FileType::Symlink {
                    self.follow(&next)?;
                    if parent.trailing_slash {
                        self.flags |= WalkFlags::DIRECTORY;
                    }
                    return Ok(None);
                }
                self.at = next;
            }
        }
        if must_be_directory && !self.at.inode().metadata().is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Some(self.at.clone()))
    }

    /// Looks at the last component `name` once more: it was missing, and has been made by somebody else.
    pub(super) fn retry(&mut self, name: &[u8]) {
        // Counts as a link, so that two who race for ever don't.
        self.links += 1;
        self.text = Cow::Owned(name.to_vec());
        self.done = 0;
    }

    fn skip_slashes(&mut self) {
        while self.text.get(self.done) == Some(&b'/') {
            self.done += 1;
        }
    }

    fn take_component(&mut self) -> Result<Component> {
        let rest = self.text.get(self.done..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default();
        if length > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let component = match name {
            b"." => Component::Dot,
            b".." => Component::DotDot,
            name => Component::Name(name.to_vec()),
        };
        self.done += length;
        Ok(component)
    }

    fn require_search(&self) -> Result<()> {
        let directory = self.at.inode().metadata();
        if !directory.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        permission(&self.subject.caller.credentials, &directory, Permission::EXECUTE)
    }

    /// The entry `name` of the directory, mounts followed; `None` when it is not there.
    fn enter(&self, name: &[u8]) -> Result<Option<Path>> {
        let dentry = lookup(&self.at.dentry, name)?;
        if dentry.found().is_none() {
            return Ok(None);
        }
        let next = Path { mount: self.at.mount.clone(), dentry };
        if !next.dentry.is_mount_point() {
            return Ok(Some(next));
        }
        let below = self.subject.fs.namespace().descend(next);
        self.stay_on_mount(&below)?;
        Ok(Some(below))
    }

    fn stay_on_mount(&self, next: &Path) -> Result<()> {
        let crossed = !Arc::ptr_eq(&next.mount, &self.at.mount);
        if crossed && self.flags.contains(WalkFlags::NO_XDEV) { Err(Errno::EXDEV) } else { Ok(()) }
    }

    fn step_up(&mut self) -> Result<()> {
        let mut at = self.at.clone();
        loop {
            if at.is(&self.root) {
                return if self.flags.contains(WalkFlags::BENEATH) { Err(Errno::EXDEV) } else { Ok(()) };
            }
            if !Arc::ptr_eq(&at.dentry, at.mount.root()) {
                break;
            }
            match at.mount.mounted_on() {
                Some(above) => at = above,
                None => return Ok(()),
            }
        }
        let Some(parent) = at.dentry.parent() else { return Ok(()) };
        let above = self.subject.fs.namespace().descend(Path { mount: at.mount, dentry: parent });
        self.stay_on_mount(&above)?;
        self.at = above;
        Ok(())
    }

    /// Puts the target of the symbolic link `link` in front of what is left of the text.
    pub(super) fn follow(&mut self, link: &Path) -> Result<()> {
        self.links += 1;
        let refused = self.flags.contains(WalkFlags::NO_SYMLINKS)
            || link.mount.flags().contains(MountFlags::NOSYMFOLLOW);
        if self.links > LINKS_MAX || refused {
            return Err(Errno::ELOOP);
        }
        match link.inode().read_link(self.subject.caller)? {
            LinkTarget::Place(place) => {
                if self.flags.contains(WalkFlags::NO_MAGICLINKS) {
                    return Err(Errno::ELOOP);
                }
                if self.flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT) {
                    return Err(Errno::EXDEV);
                }
                self.stay_on_mount(&place)?;
                self.at = place;
            }
            LinkTarget::Text(mut target) => {
                if target.is_empty() {
                    return Err(Errno::ENOENT);
                }
                if target.first() == Some(&b'/') {
                    if self.flags.contains(WalkFlags::BENEATH) {
                        return Err(Errno::EXDEV);
                    }
                    let root = self.root.clone();
                    self.stay_on_mount(&root)?;
                    self.at = root;
                    self.only_root = true;
                }
                if let Some(rest) = self.text.get(self.done..).filter(|rest| !rest.is_empty()) {
                    target.push(b'/');
                    target.extend_from_slice(rest);
                }
                self.text = Cow::Owned(target);
                self.done = 0;
            }
        }
        Ok(())
    }
}

/// The entry `name` of the directory `dir`, perhaps negative: from the cache, or from the file system.
///
/// # Errors
///
/// What the file system says, but `ENOENT`.
pub(super) fn lookup(dir: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>> {
    if dir.inode().dynamic() {
        let found = absent_is_none(dir.inode().lookup(name))?;
        return Ok(Dentry::new(dir, dentry::name(name), found));
    }
    let mut children = dir.children();
    if let Some(cached) = children.get(name) {
        cached.referenced.store(true, Ordering::Relaxed);
        return Ok(cached.clone());
    }
    let fresh = peek(dir, &children, name)?;
    if dir.is_deleted() {
        return Ok(fresh);
    }
    children.insert(fresh.name(), fresh.clone());
    drop(children);
    cache::added(&fresh);
    Ok(fresh)
}

/// As [`lookup`] for a caller that holds the directory's entries and is about to change them: what is not
/// cached yet does not become so.
pub(super) fn peek(dir: &Arc<Dentry>, children: &Children, name: &[u8]) -> Result<Arc<Dentry>> {
    if let Some(cached) = children.get(name) {
        return Ok(cached.clone());
    }
    let found = if dir.is_deleted() { None } else { absent_is_none(dir.inode().lookup(name))? };
    Ok(Dentry::new(dir, dentry::name(name), found))
}

fn absent_is_none<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Walks `path` to its end.
///
/// # Errors
///
/// `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`; `EXDEV` with the flags that keep a walk in.
pub fn resolve(subject: Subject<'_>, start: Start<'_>, path: &[u8], flags: WalkFlags) -> Result<Path> {
    Walker::new(subject, start, path, flags)?.walk_to_end()
}

/// Walks `path` up to its last component.
///
/// # Errors
///
/// As [`resolve`].
pub fn resolve_parent(subject: Subject<'_>, start: Start<'_>, path: &[u8]) -> Result<Parent> {
    Walker::new(subject, start, path, WalkFlags::empty())?.walk_to_parent()
}
