//! Where the entries of a table lie that owns them: side by side, without gaps.

use super::chains::{Entries, NONE};
use super::chunks::Chunks;
use super::key::HashKey;

/// An entry and the next one of its chain.
pub(super) struct Entry<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    pub(super) next: u32,
}

/// Entries by index.
pub(super) struct Arena<K, V>(Chunks<Entry<K, V>>);

impl<K, V> Arena<K, V> {
    pub(super) const fn new() -> Arena<K, V> {
        Arena(Chunks::new())
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<u32> {
        self.0.len().checked_sub(1).and_then(|last| u32::try_from(last).ok())
    }

    #[inline]
    pub(super) fn get(&self, at: u32) -> Option<&Entry<K, V>> {
        self.0.get(at as usize)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Entry<K, V>> {
        self.0.get_mut(at as usize)
    }

    /// Adds an entry that is in no chain yet, as the last one.
    pub(super) fn push(&mut self, key: K, value: V) {
        self.0.push(Entry { key, value, next: NONE });
    }

    /// Takes out an entry that is in no chain any more. The last one comes to its place.
    pub(super) fn swap_remove(&mut self, at: u32) -> Option<V> {
        self.0.swap_remove(at as usize).map(|entry| entry.value)
    }
}

impl<K: HashKey, V> Entries for Arena<K, V> {
    fn hash(&self, at: u32) -> Option<u64> {
        self.get(at).map(|entry| entry.key.hash())
    }

    #[inline]
    fn next(&self, at: u32) -> u32 {
        self.get(at).map_or(NONE, |entry| entry.next)
    }

    fn set_next(&mut self, at: u32, next: u32) {
        if let Some(entry) = self.get_mut(at) {
            entry.next = next;
        }
    }
}
