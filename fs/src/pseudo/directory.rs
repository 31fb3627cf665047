//! Directories of a pseudo file system.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::node::{Attributes, Node, PseudoNode};
use crate::file::{FileOps, Io, OpenFile, Whence, seek_without_end};
use crate::vfs::{DirSink, FileType, Inode, InodeState, Metadata, Name, OpenRequest};

/// Position of the first registered entry: `.` and `..` come before.
const FIRST_POSITION: u64 = 2;
/// Position of the first made-up entry.
const FIRST_DYNAMIC: u64 = 1 << 32;

/// Entries that are made up when somebody looks: the processes in `/proc`.
pub trait DynamicEntries: Send + Sync {
    /// The entry `name`.
    ///
    /// # Errors
    ///
    /// `ENOENT`.
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>>;

    /// True when nobody may write to the directory, whatever its mode and whoever asks: what `chattr +i` does.
    fn immutable(&self) -> bool {
        false
    }

    /// False when what the directory is about is gone: it is not found any more.
    fn exists(&self) -> bool {
        true
    }

    /// The first entry whose key is at least `from`, in the order of keys. Keys are below 2^62.
    fn next(&self, from: u64) -> Option<DynamicEntry>;
}

/// An entry for a listing.
pub struct DynamicEntry {
    /// Where it stands in the order.
    pub key: u64,
    /// Its name.
    pub name: Name,
    /// Its inode number.
    pub ino: u64,
    /// Its type.
    pub kind: FileType,
}

/// A directory: registered entries, then made-up ones.
pub struct PseudoDir {
    node: Node,
    entries: SpinLock<Registered>,
    dynamic: Option<Arc<dyn DynamicEntries>>,
    parent_ino: u64,
}

#[derive(Default)]
struct Registered {
    by_name: BTreeMap<Name, (u64, Arc<dyn PseudoNode>)>,
    by_position: BTreeMap<u64, Name>,
    next_position: u64,
    directories: u32,
}

impl PseudoDir {
    /// An empty directory. `parent_ino` is what `..` shows; 0 at the top.
    #[must_use]
    pub fn new(attributes: Attributes, parent_ino: u64) -> Arc<PseudoDir> {
        Self::make(attributes, parent_ino, None)
    }

    /// A directory with made-up entries beside the registered ones. Its names are not cached.
    #[must_use]
    pub fn with_dynamic(
        attributes: Attributes,
        parent_ino: u64,
        dynamic: Arc<dyn DynamicEntries>,
    ) -> Arc<PseudoDir> {
        Self::make(attributes, parent_ino, Some(dynamic))
    }

    fn make(
        attributes: Attributes,
        parent_ino: u64,
        dynamic: Option<Arc<dyn DynamicEntries>>,
    ) -> Arc<PseudoDir> {
        let registered = Registered { next_position: FIRST_POSITION, ..Registered::default() };
        Arc::new(PseudoDir {
            node: Node::new(attributes),
            entries: SpinLock::new(LockClass::Inode, registered),
            dynamic,
            parent_ino,
        })
    }

    /// Its inode number: what `..` of its directories shows.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.node.ino()
    }

    /// Registers an entry, before the directory is in use or where names are not cached. A name that is there
    /// already stays what it was; that, and a node that has a place already, is a mistake of the owner's that the
    /// log tells.
    pub fn add(&self, name: &str, node: Arc<dyn PseudoNode>) {
        let is_directory = node.metadata().is_directory();
        let mut entries = self.entries.lock();
        if entries.by_name.contains_key(name.as_bytes()) || !node.node().publish() {
            drop(entries);
            log::warn!("pseudo file system: {name} is added twice");
            return;
        }
        let (name, position): (Name, u64) = (Arc::from(name.as_bytes()), entries.next_position);
        entries.next_position += 1;
        entries.directories += u32::from(is_directory);
        entries.by_position.insert(position, name.clone());
        entries.by_name.insert(name, (position, node));
    }

    /// Takes an entry out, with everything below it; true when it was there.
    pub fn remove(&self, name: &str) -> bool {
        let removed = {
            let mut entries = self.entries.lock();
            let removed = entries.by_name.remove(name.as_bytes());
            if let Some((position, _)) = &removed {
                entries.by_position.remove(position);
            }
            removed
        };
        let Some((_, node)) = removed else { return false };
        if node.metadata().is_directory() {
            self.entries.lock().directories -= 1;
        }
        node.detach();
        true
    }

    /// True when an entry of this name is registered.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.lock().by_name.contains_key(name.as_bytes())
    }

    /// The first registered name from `position` on, in the order of registration, and the position behind it; 0
    /// is before all of them.
    #[must_use]
    pub fn name_from(&self, position: u64) -> Option<(Name, u64)> {
        self.registered_from(position).map(|(at, name, _)| (name, at + 1))
    }

    /// Checks that it can have entries: it has not been removed, and is about something that exists.
    ///
    /// # Errors
    ///
    /// `ENOENT`, as getdents(2) of a directory that has been removed.
    fn require_entries(&self) -> Result<()> {
        if self.node.is_live() && self.exists() { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn registered_from(&self, position: u64) -> Option<(u64, Name, Arc<dyn PseudoNode>)> {
        let entries = self.entries.lock();
        let (at, name) = entries.by_position.range(position..).next()?;
        let (_, node) = entries.by_name.get(name)?;
        Some((*at, name.clone(), node.clone()))
    }

    /// Gives on everything from `*position` on.
    fn list(&self, position: &mut u64, sink: &mut dyn DirSink) {
        let (own, above) = (self.ino(), if self.parent_ino == 0 { self.ino() } else { self.parent_ino });
        for (at, name, ino) in [(0, b".".as_slice(), own), (1, b"..".as_slice(), above)] {
            if *position == at {
                if !sink.entry(name, ino, FileType::Directory, at + 1) {
                    return;
                }
                *position = at + 1;
            }
        }
        while *position < FIRST_DYNAMIC {
            let Some((at, name, node)) = self.registered_from(*position) else {
                *position = FIRST_DYNAMIC;
                break;
            };
            let metadata = node.metadata();
            if node.exists() && !sink.entry(&name, metadata.ino, metadata.kind, at + 1) {
                return;
            }
            *position = at + 1;
        }
        let Some(dynamic) = &self.dynamic else { return };
        while let Some(entry) = dynamic.next(*position - FIRST_DYNAMIC) {
            let next = FIRST_DYNAMIC.saturating_add(entry.key).saturating_add(1);
            if !sink.entry(&entry.name, entry.ino, entry.kind, next) {
                return;
            }
            *position = next;
        }
    }
}

impl PseudoNode for PseudoDir {
    fn node(&self) -> &Node {
        &self.node
    }

    fn detach(&self) {
        self.node.detach();
        let below: Vec<_> = self.entries.lock().by_name.values().map(|(_, node)| node.clone()).collect();
        below.iter().for_each(|node| node.detach());
    }

    fn exists(&self) -> bool {
        self.dynamic.as_ref().is_none_or(|entries| entries.exists())
    }
}

impl Inode for PseudoDir {
    fn metadata(&self) -> Metadata {
        let links = 2 + self.entries.lock().directories;
        self.node.metadata(FileType::Directory, links, 0)
    }

    fn state(&self) -> &InodeState {
        &self.node.state
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.require_entries()?;
        let registered = self.entries.lock().by_name.get(name).map(|(_, node)| node.clone());
        if let Some(node) = registered {
            return if node.exists() { Ok(node) } else { Err(Errno::ENOENT) };
        }
        let node = self.dynamic.as_ref().ok_or(Errno::ENOENT)?.lookup(name)?;
        node.node().hand_out();
        Ok(node)
    }

    fn set_attributes(&self, new: &crate::vfs::Attributes) -> Result<()> {
        self.node.set_attributes(new);
        Ok(())
    }

    fn dynamic(&self) -> bool {
        self.dynamic.is_some()
    }

    fn immutable(&self) -> bool {
        self.dynamic.as_ref().is_some_and(|entries| entries.immutable())
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        self.node.require_live()?;
        Ok(Arc::new(OpenDir(self)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open directory.
struct OpenDir(Arc<PseudoDir>);

impl FileOps for OpenDir {
    fn read(&self, _io: &Io<'_>, _buffer: &mut base::memory::UserBuffer<'_>) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn seek(&self, _file: &OpenFile, current: u64, offset: i64, whence: Whence) -> Result<u64> {
        seek_without_end(current, offset, whence)
    }

    fn read_dir(&self, _io: &Io<'_>, position: &mut u64, sink: &mut dyn DirSink) -> Result<()> {
        self.0.require_entries()?;
        self.0.list(position, sink);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
