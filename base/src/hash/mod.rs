//! Hash tables that grow by a few buckets at a time.
//!
//! | module | subject |
//! |---|---|
//! | `key`, `secret` | what can be a key, and how it is mixed |
//! | [`chains`] | buckets, and the chains in which the entries are linked |
//! | `arena` | where the entries lie of a table that owns them |
//! | `chunks` | sequences that grow without moving |
//! | `statistics` | load, collisions, depths |
//!
//! Buckets are chains of entries that are linked by index. When there are more entries than half the buckets, an
//! insertion adds two buckets, and moves to each what belongs there from the one bucket that it splits (linear hashing),
//! so that no insertion pays for the whole table; when there are far fewer, a removal takes four away in the same
//! manner. Neither buckets nor entries are ever copied to another place when the table grows: both come in chunks. A
//! table takes memory for what it holds, not for what it once held.

mod arena;
pub mod chains;
mod chunks;
mod key;
mod secret;
mod statistics;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;

use arena::Arena;
pub use chains::{Chains, Entries, NONE};
pub use key::{HashKey, mix};
pub use statistics::{Depths, Share, SharedDepths, Statistics, Tally};

/// Values by their keys. It does no locking.
pub struct HashTable<K, V, T: Tally = Depths> {
    chains: Chains<T>,
    entries: Arena<K, V>,
}

impl<K: HashKey, V> HashTable<K, V> {
    /// An empty table. It allocates nothing.
    #[must_use]
    pub const fn new() -> HashTable<K, V> {
        HashTable { chains: Chains::new(Depths::new()), entries: Arena::new() }
    }
}

impl<K: HashKey, V> HashTable<K, V, Share> {
    /// An empty table that is counted together with others: one of many small ones. It allocates nothing.
    #[must_use]
    pub const fn counted_in(all: &'static SharedDepths) -> HashTable<K, V, Share> {
        HashTable { chains: Chains::new(Share::new(all)), entries: Arena::new() }
    }
}

impl<K: HashKey, V, T: Tally> HashTable<K, V, T> {
    /// Entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chains.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// The value of `key`.
    #[must_use]
    pub fn get<Q: HashKey + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).and_then(|at| self.entries.get(at)).map(|entry| &entry.value)
    }

    /// The value of `key`, to change it.
    pub fn get_mut<Q: HashKey + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key)?;
        self.entries.get_mut(at).map(|entry| &mut entry.value)
    }

    /// True when there is a value for `key`.
    #[must_use]
    pub fn contains_key<Q: HashKey + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_some()
    }

    /// Enters `value` under `key`; the value that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(entry) = self.find(&key).and_then(|at| self.entries.get_mut(at)) {
            return Some(core::mem::replace(&mut entry.value, value));
        }
        self.entries.push(key, value);
        if let Some(at) = self.entries.last() {
            self.chains.insert(&mut self.entries, at);
        }
        None
    }

    /// Takes the value of `key` out.
    pub fn remove<Q: HashKey + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key)?;
        self.chains.remove(&mut self.entries, at);
        let last = self.entries.last()?;
        if last != at {
            self.chains.renumber(&mut self.entries, last, at);
        }
        self.entries.swap_remove(at)
    }

    /// Takes all values out, in no order.
    pub fn take_all(&mut self) -> Vec<V> {
        core::iter::from_fn(|| {
            let last = self.entries.last()?;
            self.chains.remove(&mut self.entries, last);
            self.entries.swap_remove(last)
        })
        .collect()
    }

    /// Load, collisions and depths now. It costs the same whatever the size of the table.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.chains.statistics()
    }

    /// The entry of `key`.
    fn find<Q: HashKey + ?Sized>(&self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
    {
        let mut at = self.chains.first(key.hash());
        while let Some(entry) = self.entries.get(at) {
            let known: &Q = entry.key.borrow();
            if known == key {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }
}

impl<K: HashKey, V, T: Tally> fmt::Debug for HashTable<K, V, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table of {}", self.statistics())
    }
}

impl<K: HashKey, V> Default for HashTable<K, V> {
    fn default() -> Self {
        Self::new()
    }
}
