//! The buckets of a table: chains of entries that lie wherever their owner keeps them, and that are linked by index.
//!
//! A table that owns its entries is a [`HashTable`](super::HashTable). Who has them already, and room for a link in
//! each, uses the chains alone: no entry is allocated twice.

use super::chunks::Chunks;
use super::statistics::{Depths, Statistics, Tally};

/// No entry.
pub const NONE: u32 = u32::MAX;

/// Buckets of a table that has any: a power of two.
const FIRST_BUCKETS: usize = 4;
/// Buckets that an insertion adds: two, since with each entry the table falls two short of twice as many buckets.
const STEP: usize = 2;
/// With more buckets than so many for each entry a table gets smaller, by as many buckets at each removal. Twice the
/// number to which it grows, so that it does not go to and fro.
const SPARSE: usize = 4;

/// Bytes of buckets for each entry, at most: for whoever is charged for them.
pub const BYTES_PER_ENTRY: usize = SPARSE * size_of::<Bucket>();

/// Where the entries of a table lie.
pub trait Entries {
    /// The hash of the key of entry `at`; `None` when there is no such entry.
    fn hash(&self, at: u32) -> Option<u64>;

    /// What [`set_next`](Self::set_next) was last told of entry `at`; [`NONE`] when there is no such entry.
    fn next(&self, at: u32) -> u32;

    /// Keeps `next` in entry `at`.
    fn set_next(&mut self, at: u32, next: u32);
}

/// The chain of one bucket.
#[derive(Clone, Copy)]
struct Bucket {
    first: u32,
    depth: u32,
}

const EMPTY: Bucket = Bucket { first: NONE, depth: 0 };

/// Chains of entries by hash. It does no locking.
pub struct Chains<T = Depths> {
    /// `2^level + split` of them. Those below `split` and those from `2^level` on are told apart by one bit more.
    buckets: Chunks<Bucket>,
    entries: usize,
    tally: T,
}

impl<T: Tally> Chains<T> {
    /// No entries, counted by `tally`. It allocates nothing.
    #[must_use]
    pub const fn new(tally: T) -> Chains<T> {
        Chains { buckets: Chunks::new(), entries: 0, tally }
    }

    /// Entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The first entry of the chain in which one with this hash is, if it is anywhere; the others follow by
    /// [`Entries::next`].
    #[inline]
    #[must_use]
    pub fn first(&self, hash: u64) -> u32 {
        self.place(hash).map_or(NONE, |place| self.bucket(place).first)
    }

    /// Enters `at`, which is in no chain.
    pub fn insert(&mut self, entries: &mut impl Entries, at: u32) {
        self.grow(entries);
        if let Some(place) = entries.hash(at).and_then(|hash| self.place(hash)) {
            self.link(entries, place, at);
            self.entries += 1;
        }
    }

    /// Takes `at` out. Nothing happens when it is in no chain.
    pub fn remove(&mut self, entries: &mut impl Entries, at: u32) {
        let next = entries.next(at);
        let Some(place) = self.replace(entries, at, next) else { return };
        if let Some(bucket) = self.buckets.get_mut(place) {
            bucket.depth -= 1;
            self.tally.change(bucket.depth + 1, bucket.depth);
        }
        self.entries -= 1;
        for _ in 0..SPARSE {
            if self.entries < self.buckets.len() / SPARSE {
                self.merge(entries);
            }
        }
    }

    /// The entry `from` is about to be called `to`, which is in no chain.
    pub fn renumber(&mut self, entries: &mut impl Entries, from: u32, to: u32) {
        self.replace(entries, from, to);
    }

    /// Puts `new` where `at` stands in its chain; its bucket, if it is in one.
    fn replace(&mut self, entries: &mut impl Entries, at: u32, new: u32) -> Option<usize> {
        let place = self.place(entries.hash(at)?)?;
        let bucket = self.buckets.get_mut(place)?;
        if bucket.first == at {
            bucket.first = new;
            return Some(place);
        }
        let mut before = bucket.first;
        while before != NONE {
            let next = entries.next(before);
            if next == at {
                entries.set_next(before, new);
                return Some(place);
            }
            before = next;
        }
        None
    }

    /// Load, collisions and depths now. It costs the same whatever the size of the table.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.tally.statistics(self.buckets.len(), self.entries)
    }

    /// The bucket for a hash; `None` in a table that never had an entry.
    #[inline]
    fn place(&self, hash: u64) -> Option<usize> {
        let low = 1 << self.buckets.len().checked_ilog2()?;
        // Buckets are counted in 32 bits, so the cut loses nothing.
        let place = hash as usize & (2 * low - 1);
        Some(if place < self.buckets.len() { place } else { place - low })
    }

    #[inline]
    fn bucket(&self, place: usize) -> Bucket {
        self.buckets.get(place).copied().unwrap_or(EMPTY)
    }

    fn set_bucket(&mut self, place: usize, bucket: Bucket) {
        if let Some(found) = self.buckets.get_mut(place) {
            let before = core::mem::replace(found, bucket);
            self.tally.change(before.depth, bucket.depth);
        }
    }

    fn link(&mut self, entries: &mut impl Entries, place: usize, at: u32) {
        let Bucket { first, depth } = self.bucket(place);
        entries.set_next(at, first);
        self.set_bucket(place, Bucket { first: at, depth: depth + 1 });
    }

    /// Adds buckets until there are twice as many as entries, a few at a time. Twice, since the buckets that wait for
    /// their turn to be split hold twice as much as the others.
    fn grow(&mut self, entries: &mut impl Entries) {
        while self.buckets.len() < FIRST_BUCKETS {
            self.add_bucket();
        }
        for _ in 0..STEP {
            if self.entries >= self.buckets.len() / 2 {
                self.split(entries);
            }
        }
    }

    /// Adds one bucket and moves to it what belongs there.
    fn split(&mut self, entries: &mut impl Entries) {
        let split = partner(self.buckets.len());
        self.add_bucket();
        let Bucket { first, .. } = self.bucket(split);
        self.set_bucket(split, EMPTY);
        self.distribute(entries, first);
    }

    /// Takes the last bucket away and moves what is in it to where it belongs now.
    fn merge(&mut self, entries: &mut impl Entries) {
        if self.buckets.len() <= FIRST_BUCKETS {
            return;
        }
        if let Some(last) = self.buckets.pop() {
            self.tally.change(last.depth, 0);
            self.tally.remove_bucket();
            self.distribute(entries, last.first);
        }
    }

    /// Links each entry of a chain that is in no bucket any more.
    fn distribute(&mut self, entries: &mut impl Entries, mut at: u32) {
        while at != NONE {
            let next = entries.next(at);
            if let Some(place) = entries.hash(at).and_then(|hash| self.place(hash)) {
                self.link(entries, place, at);
            }
            at = next;
        }
    }

    fn add_bucket(&mut self) {
        self.buckets.push(EMPTY);
        self.tally.add_bucket();
    }
}

/// The bucket that is split when the one with this number is added.
fn partner(bucket: usize) -> usize {
    bucket - bucket.checked_ilog2().map_or(0, |level| 1 << level)
}

#[cfg(test)]
impl<T: Tally> Chains<T> {
    /// What the statistics should be, counted.
    pub(super) fn counted(&self, entries: &impl Entries) -> Statistics {
        let depth = |place| {
            let (mut depth, mut at) = (0, self.bucket(place).first);
            while at != NONE {
                let hash = entries.hash(at).unwrap();
                assert_eq!(self.place(hash), Some(place), "each entry is in its bucket");
                (depth, at) = (depth + 1, entries.next(at));
            }
            depth
        };
        let depths: std::vec::Vec<usize> = (0..self.buckets.len()).map(depth).collect();
        Statistics {
            buckets: self.buckets.len(),
            used_buckets: depths.iter().filter(|depth| **depth > 0).count(),
            entries: depths.iter().sum(),
            max_bucket_depth: depths.iter().max().copied().unwrap_or(0),
        }
    }

    /// The most buckets that one insertion may add to `buckets`.
    pub(super) fn most_after(buckets: usize) -> usize {
        buckets.max(FIRST_BUCKETS) + STEP
    }
}
