//! A place in the tree of mounts, and the text that leads to it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::dentry::Dentry;
use super::inode::Inode;
use super::mount::Mount;

/// A place: a dentry, seen through one mount.
#[derive(Clone)]
pub struct Path {
    /// The mount through which the place was reached.
    pub mount: Arc<Mount>,
    /// The name in that mount's file system; positive.
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// The inode at the place.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// True when both are the same place.
    #[must_use]
    pub fn is(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }

    /// One step up without looking at a root: to the parent entry, or from the top of a mount to the
    /// place it is mounted on. `None` at the very top.
    #[must_use]
    pub fn step_up(&self) -> Option<Path> {
        if Arc::ptr_eq(&self.dentry, self.mount.root()) {
            return self.mount.mounted_on();
        }
        let parent = self.dentry.parent()?;
        Some(Path { mount: self.mount.clone(), dentry: parent })
    }

    /// The text of the place below `root`, as `getcwd(2)` and `/proc` show it.
    #[must_use]
    pub fn display(&self, root: &Path) -> PathText {
        let mut names = Vec::new();
        let mut at = self.clone();
        let mut reachable = true;
        while !at.is(root) {
            if Arc::ptr_eq(&at.dentry, at.mount.root()) {
                match at.mount.mounted_on() {
                    Some(above) => at = above,
                    None => {
                        reachable = false;
                        break;
                    }
                }
                continue;
            }
            names.push(at.dentry.name());
            match at.dentry.parent() {
                Some(parent) => at.dentry = parent,
                None => break,
            }
        }
        if at.mount.is_anonymous() {
            return PathText {
                text: names.pop().map(|name| name.to_vec()).unwrap_or_default(),
                reachable: true,
                deleted: false,
            };
        }
        let mut text = Vec::new();
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        if text.is_empty() {
            text.push(b'/');
        }
        PathText { text, reachable, deleted: self.dentry.is_deleted() }
    }
}

/// The text of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathText {
    /// The path itself.
    pub text: Vec<u8>,
    /// False when the place is not below the root that was asked about.
    pub reachable: bool,
    /// The name has been removed.
    pub deleted: bool,
}

impl PathText {
    /// As the links of `/proc/<pid>` show it: with " (deleted)" behind a removed name.
    #[must_use]
    pub fn into_link(self) -> Vec<u8> {
        let mut text = self.text;
        if self.deleted {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }
}
