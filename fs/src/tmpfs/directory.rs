//! The entries of a tmpfs directory.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use base::charge::Charge;
use base::{Errno, Result};

use super::inode::TmpInode;
use super::pool::Pool;
use crate::vfs::Name;

/// Kernel memory that an entry is charged beside its name.
const ENTRY_BYTES: usize = 160;

/// Positions 0 and 1 of a directory are `.` and `..`.
const FIRST_POSITION: u64 = 2;

/// The entries of one directory, by name and by the order in which they were made.
pub(super) struct Entries {
    by_name: BTreeMap<Name, Entry>,
    /// Positions never come twice, so that a listing goes on where it was, whatever happens meanwhile.
    by_position: BTreeMap<u64, Name>,
    next_position: u64,
    pub(super) parent: Weak<TmpInode>,
}

/// One entry.
pub(super) struct Entry {
    pub(super) inode: Arc<TmpInode>,
    position: u64,
    _charge: Charge,
}

impl Entries {
    pub(super) fn new(parent: Weak<TmpInode>) -> Entries {
        let next_position = FIRST_POSITION;
        Entries { by_name: BTreeMap::new(), by_position: BTreeMap::new(), next_position, parent }
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<TmpInode>> {
        self.by_name.get(name).map(|entry| &entry.inode)
    }

    /// Adds an entry; one of this name is not there.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn add(&mut self, pool: &Pool, name: &[u8], inode: Arc<TmpInode>) -> Result<()> {
        let charge = Charge::new(&pool.account, ENTRY_BYTES + 2 * name.len())?;
        let name: Name = Arc::from(name);
        let position = self.next_position;
        self.next_position += 1;
        self.by_position.insert(position, name.clone());
        self.by_name.insert(name, Entry { inode, position, _charge: charge });
        Ok(())
    }

    /// Removes an entry.
    ///
    /// # Errors
    ///
    /// `ENOENT`.
    pub(super) fn remove(&mut self, name: &[u8]) -> Result<Entry> {
        let entry = self.by_name.remove(name).ok_or(Errno::ENOENT)?;
        self.by_position.remove(&entry.position);
        Ok(entry)
    }

    /// Puts another inode behind an entry that is there; returns the old one.
    ///
    /// # Errors
    ///
    /// `ENOENT`.
    pub(super) fn replace(&mut self, name: &[u8], inode: Arc<TmpInode>) -> Result<Arc<TmpInode>> {
        let entry = self.by_name.get_mut(name).ok_or(Errno::ENOENT)?;
        Ok(core::mem::replace(&mut entry.inode, inode))
    }

    /// The first entry at or behind `position`.
    pub(super) fn at_or_after(&self, position: u64) -> Option<(u64, Name, Arc<TmpInode>)> {
        let (position, name) = self.by_position.range(position.max(FIRST_POSITION)..).next()?;
        let entry = self.by_name.get(name)?;
        Some((*position, name.clone(), entry.inode.clone()))
    }

    /// Takes everything out: the file system goes.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<TmpInode>> + use<> {
        self.by_position.clear();
        core::mem::take(&mut self.by_name).into_values().map(|entry| entry.inode)
    }
}
