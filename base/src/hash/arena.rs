//! Where the entries of a table lie: chunks that are never moved, with a list of free places.

use alloc::vec::Vec;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;
/// Entries that are made at a time.
const CHUNK: usize = 32;

/// An entry and the next one of its chain.
pub(super) struct Entry<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    pub(super) next: u32,
}

enum Place<K, V> {
    Taken(Entry<K, V>),
    /// The next free place.
    Free(u32),
}

/// Entries by index.
pub(super) struct Arena<K, V> {
    chunks: Vec<Vec<Place<K, V>>>,
    free: u32,
    len: usize,
}

impl<K, V> Arena<K, V> {
    pub(super) const fn new() -> Arena<K, V> {
        Arena { chunks: Vec::new(), free: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn place(&mut self, at: u32) -> Option<&mut Place<K, V>> {
        let at = at as usize;
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    pub(super) fn get(&self, at: u32) -> Option<&Entry<K, V>> {
        let at = at as usize;
        match self.chunks.get(at / CHUNK)?.get(at % CHUNK)? {
            Place::Taken(entry) => Some(entry),
            Place::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Entry<K, V>> {
        match self.place(at)? {
            Place::Taken(entry) => Some(entry),
            Place::Free(_) => None,
        }
    }

    /// A place for an entry that is in no chain yet.
    pub(super) fn insert(&mut self, key: K, value: V) -> u32 {
        if self.free == NONE {
            self.add_chunk();
        }
        let at = self.free;
        let new = Place::Taken(Entry { key, value, next: NONE });
        if let Some(place) = self.place(at)
            && let Place::Free(next) = core::mem::replace(place, new)
        {
            self.free = next;
            self.len += 1;
        }
        at
    }

    /// Frees the place of an entry that is in no chain any more.
    pub(super) fn remove(&mut self, at: u32) -> Option<V> {
        let free = self.free;
        let place = self.place(at)?;
        let Place::Taken(entry) = core::mem::replace(place, Place::Free(free)) else { return None };
        self.free = at;
        self.len -= 1;
        Some(entry.value)
    }

    fn add_chunk(&mut self) {
        let first = self.chunks.len() * CHUNK;
        let index = |offset: usize| u32::try_from(first + offset).unwrap_or(NONE);
        let next = |offset: usize| if offset + 1 < CHUNK { index(offset + 1) } else { self.free };
        self.chunks.push((0..CHUNK).map(|offset| Place::Free(next(offset))).collect());
        self.free = index(0);
    }
}
