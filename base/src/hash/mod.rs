//! Hash tables that grow by a few buckets at a time.
//!
//! | module | subject |
//! |---|---|
//! | `key` | what can be a key, and how it is mixed |
//! | `arena` | where entries lie |
//! | `statistics` | load, collisions, depths |
//!
//! Buckets are chains of entries that are linked by index; an entry never moves. When there are more entries than
//! half the buckets, an insertion adds two buckets, and moves to each what belongs there from the one bucket that it
//! splits (linear hashing), so that no insertion pays for the whole table. Neither buckets nor entries are ever copied to
//! a larger place: both come in chunks.

mod arena;
mod key;
mod statistics;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;

use arena::{Arena, NONE};
pub use key::{HashKey, fnv1a, mix};
pub use statistics::{Depths, Statistics};

/// Buckets of a table that has any: a power of two.
const FIRST_BUCKETS: usize = 16;
/// Buckets that an insertion adds: two, since with each entry the table falls two short of twice as many buckets.
const SPLITS: usize = 2;
/// Buckets that are made at a time: a power of two, so that chunks are never split.
const BUCKETS_PER_CHUNK: usize = 64;

/// The chain of one bucket.
#[derive(Clone, Copy)]
struct Bucket {
    first: u32,
    depth: u32,
}

const EMPTY: Bucket = Bucket { first: NONE, depth: 0 };

/// Values by their keys. It does no locking.
pub struct HashTable<K, V> {
    chunks: Vec<Vec<Bucket>>,
    /// Buckets in use: `2^level + split`, of which those below `split` and those from `2^level` on are told apart by
    /// one bit more.
    buckets: usize,
    entries: Arena<K, V>,
    depths: Depths,
}

impl<K: HashKey, V> HashTable<K, V> {
    /// An empty table. It allocates nothing.
    #[must_use]
    pub const fn new() -> HashTable<K, V> {
        HashTable { chunks: Vec::new(), buckets: 0, entries: Arena::new(), depths: Depths::new() }
    }

    /// Entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `key`.
    #[must_use]
    pub fn get<Q: HashKey + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (_, at) = self.find(key, self.place(key)?)?;
        self.entries.get(at).map(|entry| &entry.value)
    }

    /// True when there is a value for `key`.
    #[must_use]
    pub fn contains_key<Q: HashKey + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Enters `value` under `key`; the value that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(place) = self.place(&key)
            && let Some((_, at)) = self.find(&key, place)
        {
            let entry = self.entries.get_mut(at)?;
            return Some(core::mem::replace(&mut entry.value, value));
        }
        self.grow();
        let place = self.place(&key)?;
        let at = self.entries.insert(key, value);
        self.link(place, at);
        None
    }

    /// Takes the value of `key` out.
    pub fn remove<Q: HashKey + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key)?;
        let (before, at) = self.find(key, place)?;
        self.unlink(place, before, at);
        self.entries.remove(at)
    }

    /// Load, collisions and depths now. It costs the same whatever the size of the table.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            buckets: self.buckets,
            used_buckets: self.depths.used(),
            entries: self.len(),
            max_bucket_depth: self.depths.max(),
        }
    }

    /// The bucket of `key`; `None` in a table that never had an entry.
    fn place<Q: HashKey + ?Sized>(&self, key: &Q) -> Option<usize> {
        let low = 1 << self.buckets.checked_ilog2()?;
        // Buckets are counted in 32 bits, so the cut loses nothing.
        let hash = key.hash() as usize;
        let place = hash & (2 * low - 1);
        Some(if place < self.buckets { place } else { place - low })
    }

    fn bucket(&self, place: usize) -> Bucket {
        let chunk = self.chunks.get(place / BUCKETS_PER_CHUNK);
        chunk.and_then(|chunk| chunk.get(place % BUCKETS_PER_CHUNK)).copied().unwrap_or(EMPTY)
    }

    fn set_bucket(&mut self, place: usize, bucket: Bucket) {
        let before = self.bucket(place).depth;
        let chunk = self.chunks.get_mut(place / BUCKETS_PER_CHUNK);
        if let Some(found) = chunk.and_then(|chunk| chunk.get_mut(place % BUCKETS_PER_CHUNK)) {
            *found = bucket;
            self.depths.change(before, bucket.depth);
        }
    }

    /// The entry of `key` in its bucket, and the one before it in the chain.
    fn find<Q: HashKey + ?Sized>(&self, key: &Q, place: usize) -> Option<(u32, u32)>
    where
        K: Borrow<Q>,
    {
        let (mut before, mut at) = (NONE, self.bucket(place).first);
        while let Some(entry) = self.entries.get(at) {
            let known: &Q = entry.key.borrow();
            if known == key {
                return Some((before, at));
            }
            (before, at) = (at, entry.next);
        }
        None
    }

    fn link(&mut self, place: usize, at: u32) {
        let Bucket { first, depth } = self.bucket(place);
        if let Some(entry) = self.entries.get_mut(at) {
            entry.next = first;
        }
        self.set_bucket(place, Bucket { first: at, depth: depth + 1 });
    }

    fn unlink(&mut self, place: usize, before: u32, at: u32) {
        let Bucket { first, depth } = self.bucket(place);
        let next = self.entries.get(at).map_or(NONE, |entry| entry.next);
        let first = match self.entries.get_mut(before) {
            Some(entry) => {
                entry.next = next;
                first
            }
            None => next,
        };
        self.set_bucket(place, Bucket { first, depth: depth - 1 });
    }

    /// Adds buckets until there are twice as many as entries, a few at a time. Twice, since the buckets that wait for
    /// their turn to be split hold twice as much as the others.
    fn grow(&mut self) {
        if self.buckets == 0 {
            self.add_buckets(FIRST_BUCKETS);
        }
        for _ in 0..SPLITS {
            if self.len() >= self.buckets / 2 {
                self.split();
            }
        }
    }

    /// Adds one bucket and moves to it what belongs there.
    fn split(&mut self) {
        let Some(level) = self.buckets.checked_ilog2() else { return };
        let split = self.buckets - (1 << level);
        self.add_buckets(1);
        let mut at = self.bucket(split).first;
        self.set_bucket(split, EMPTY);
        while let Some(entry) = self.entries.get(at) {
            let next = entry.next;
            if let Some(place) = self.place::<K>(&entry.key) {
                self.link(place, at);
            }
            at = next;
        }
    }

    fn add_buckets(&mut self, count: usize) {
        self.buckets += count;
        while self.chunks.len() * BUCKETS_PER_CHUNK < self.buckets {
            self.chunks.push(alloc::vec![EMPTY; BUCKETS_PER_CHUNK]);
        }
    }
}

impl<K: HashKey, V> fmt::Debug for HashTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table of {}", self.statistics())
    }
}

impl<K: HashKey, V> Default for HashTable<K, V> {
    fn default() -> Self {
        Self::new()
    }
}
