//! The slots of a descriptor table: a vector with a bitmap that finds the lowest free one.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};

use super::open_file::OpenFile;
use super::rights::FdRights;
use crate::handle::Origin;

/// One descriptor.
#[derive(Clone)]
pub struct FdEntry {
    /// The open file.
    pub file: Arc<OpenFile>,
    /// What the descriptor allows.
    pub rights: FdRights,
    /// Close on exec.
    pub cloexec: bool,
    /// The handle it was made from, when it names that handle's open file.
    pub origin: Option<Arc<Origin>>,
}

impl FdEntry {
    /// Checks that it was not made from a handle that was revoked.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub(super) fn check(&self) -> Result<()> {
        match &self.origin {
            Some(origin) if origin.is_revoked() => Err(Errno::EBADF),
            _ => Ok(()),
        }
    }
}

const BITS: usize = u64::BITS as usize;

/// A growing array of entries. A slot is free, taken (reserved, or being filled), or filled.
#[derive(Default)]
pub(super) struct Slots {
    entries: Vec<Option<FdEntry>>,
    /// Bit set: taken or filled. As many bits as `entries` has elements, rounded up.
    used: Vec<u64>,
    /// No slot below is free.
    lowest_free: usize,
}

impl Slots {
    /// Number of slots there is room for.
    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Makes room for `capacity` slots.
    pub(super) fn grow(&mut self, capacity: usize) {
        if capacity > self.entries.len() {
            self.entries.resize_with(capacity, || None);
            self.used.resize(capacity.div_ceil(BITS), 0);
        }
    }

    /// Bytes that room for `capacity` slots takes.
    pub(super) fn bytes(capacity: usize) -> usize {
        capacity * size_of::<Option<FdEntry>>() + capacity.div_ceil(BITS) * size_of::<u64>()
    }

    /// The lowest free slot from `from` on; may lie just past the capacity.
    pub(super) fn first_free(&self, from: usize) -> usize {
        let from = from.max(self.lowest_free);
        let mut word = from / BITS;
        let mut mask = (1u64 << (from % BITS)).wrapping_sub(1);
        while let Some(bits) = self.used.get(word) {
            let free = !(bits | mask);
            if free != 0 {
                return word * BITS + free.trailing_zeros() as usize;
            }
            mask = 0;
            word += 1;
        }
        from.max(self.used.len() * BITS)
    }

    /// True when the slot is taken or filled.
    pub(super) fn is_used(&self, index: usize) -> bool {
        self.used.get(index / BITS).is_some_and(|word| word & (1 << (index % BITS)) != 0)
    }

    /// Takes a slot below the capacity.
    pub(super) fn take(&mut self, index: usize) {
        if let Some(word) = self.used.get_mut(index / BITS) {
            *word |= 1 << (index % BITS);
        }
        if index == self.lowest_free {
            self.lowest_free = index + 1;
        }
    }

    /// Fills a taken slot; returns what was there.
    pub(super) fn fill(&mut self, index: usize, entry: FdEntry) -> Option<FdEntry> {
        self.take(index);
        self.entries.get_mut(index)?.replace(entry)
    }

    /// Frees a slot; returns what was there.
    pub(super) fn free(&mut self, index: usize) -> Option<FdEntry> {
        if let Some(word) = self.used.get_mut(index / BITS) {
            *word &= !(1 << (index % BITS));
        }
        self.lowest_free = self.lowest_free.min(index);
        self.entries.get_mut(index)?.take()
    }

    /// A filled slot.
    pub(super) fn get(&self, index: usize) -> Option<&FdEntry> {
        self.entries.get(index)?.as_ref()
    }

    /// As [`Slots::get`], to change it.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut FdEntry> {
        self.entries.get_mut(index)?.as_mut()
    }

    /// The first filled slot from `from` on.
    pub(super) fn next_filled(&self, from: usize) -> Option<usize> {
        let tail = self.entries.get(from..)?;
        tail.iter().position(Option::is_some).map(|offset| from + offset)
    }

    /// One more than the highest slot that is filled.
    pub(super) fn end(&self) -> usize {
        self.entries.iter().rposition(Option::is_some).map_or(0, |last| last + 1)
    }
}
