//! The one place where changes of files become known: what inotify listens to.

use alloc::sync::Arc;

use base::sync::atomic::{AtomicU32, Ordering};

use super::dentry::Dentry;
use super::inode::Inode;
use crate::file::{AccessMode, OpenFile};
use crate::inotify;

bitflags::bitflags! {
    /// What happened, with the bits of `inotify(7)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct EventMask: u32 {
        /// It was read or executed.
        const ACCESS = 0x1;
        /// Its content changed.
        const MODIFY = 0x2;
        /// Its attributes changed.
        const ATTRIB = 0x4;
        /// A file that was open for writing was closed.
        const CLOSE_WRITE = 0x8;
        /// A file that was not open for writing was closed.
        const CLOSE_NOWRITE = 0x10;
        /// It was opened.
        const OPEN = 0x20;
        /// An entry left the directory.
        const MOVED_FROM = 0x40;
        /// An entry came to the directory.
        const MOVED_TO = 0x80;
        /// An entry was made.
        const CREATE = 0x100;
        /// An entry was removed.
        const DELETE = 0x200;
        /// It was itself removed.
        const DELETE_SELF = 0x400;
        /// It was itself moved.
        const MOVE_SELF = 0x800;
        /// The file system was unmounted.
        const UNMOUNT = 0x2000;
        /// It happened to a directory.
        const ISDIR = 0x4000_0000;
    }
}

/// One event.
pub struct Event<'a> {
    /// What happened.
    pub mask: EventMask,
    /// To which inode: the directory for events of entries, the file itself otherwise.
    pub inode: &'a Arc<dyn Inode>,
    /// The entry of the directory, for events of entries.
    pub name: Option<&'a [u8]>,
    /// Ties the two halves of a move together; 0 otherwise.
    pub cookie: u32,
    /// The entry has been removed from the directory.
    pub unlinked: bool,
}

static NEXT_COOKIE: AtomicU32 = AtomicU32::new(1);

/// A fresh number for the two halves of a move.
#[must_use]
pub fn next_cookie() -> u32 {
    NEXT_COOKIE.fetch_add(1, Ordering::Relaxed)
}

/// Something happened to the entry `name` of `dir`.
pub(crate) fn entry(mask: EventMask, dir: &Arc<dyn Inode>, name: &[u8], cookie: u32) {
    if inotify::any_watches() {
        inotify::tell(&Event { mask, inode: dir, name: Some(name), cookie, unlinked: false });
    }
}

/// Something happened to the file itself.
pub(crate) fn itself(mask: EventMask, inode: &Arc<dyn Inode>) {
    if !inotify::any_watches() || inode.state().existing_marks().is_none() {
        return;
    }
    // That it is a directory is told of all but its end and its move.
    let plain = mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF);
    let kind = if !plain && inode.metadata().is_directory() { EventMask::ISDIR } else { EventMask::empty() };
    inotify::tell(&Event { mask: mask | kind, inode, name: None, cookie: 0, unlinked: false });
}

/// Something happened to the file at `dentry`: those who watch its directory hear of it as well.
pub(crate) fn at(mask: EventMask, dentry: &Arc<Dentry>) {
    if !inotify::any_watches() {
        return;
    }
    let Some(inode) = dentry.found() else { return };
    let (parent, name) = dentry.place();
    if let Some(directory) = parent.as_ref().and_then(|parent| parent.found())
        && directory.state().existing_marks().is_some()
    {
        let kind = if inode.metadata().is_directory() { EventMask::ISDIR } else { EventMask::empty() };
        let (mask, unlinked) = (mask | kind, dentry.is_deleted());
        inotify::tell(&Event { mask, inode: directory, name: Some(&name), cookie: 0, unlinked });
    }
    itself(mask, inode);
}

/// Something was read from an open file.
pub(crate) fn accessed(file: &OpenFile) {
    at(EventMask::ACCESS, &file.path().dentry);
}

/// The content of an open file changed.
pub(crate) fn modified(file: &OpenFile) {
    at(EventMask::MODIFY, &file.path().dentry);
}

/// The last name of a file and the last who had it open are gone.
pub(super) fn gone(inode: &Arc<dyn Inode>) {
    if inotify::any_watches() && inode.state().existing_marks().is_some() {
        let metadata = inode.metadata();
        if metadata.links == 0 || metadata.is_directory() {
            itself(EventMask::DELETE_SELF, inode);
        }
    }
}

/// The last descriptor of an open file is gone.
pub(crate) fn closed(file: &OpenFile) {
    if file.is_path_only() {
        return;
    }
    let writing = file.access().contains(AccessMode::WRITE);
    let mask = if writing { EventMask::CLOSE_WRITE } else { EventMask::CLOSE_NOWRITE };
    at(mask, &file.path().dentry);
}
