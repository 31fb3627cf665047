//! How well a table is doing.

use core::fmt;

use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Depths that are told apart; deeper buckets count as the deepest.
const DEPTHS: usize = 32;

/// Who counts how many buckets there are of each depth.
pub trait Tally {
    /// A bucket went from one depth to another.
    fn change(&mut self, from: u32, to: u32);

    /// There is an empty bucket more.
    fn add_bucket(&mut self);

    /// There is an empty bucket less.
    fn remove_bucket(&mut self);

    /// What a table with these buckets and entries should be told to be like.
    fn statistics(&self, buckets: usize, entries: usize) -> Statistics;
}

/// The place of a depth; none for that of an empty bucket, which is not counted.
fn place(depth: u32) -> Option<usize> {
    (depth > 0).then_some((depth as usize).min(DEPTHS - 1))
}

/// A table's own count.
pub struct Depths([u32; DEPTHS]);

impl Depths {
    /// Of a table without buckets.
    #[must_use]
    pub const fn new() -> Depths {
        Depths([0; DEPTHS])
    }
}

impl Default for Depths {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally for Depths {
    fn change(&mut self, from: u32, to: u32) {
        if let Some(count) = place(from).and_then(|from| self.0.get_mut(from)) {
            *count -= 1;
        }
        if let Some(count) = place(to).and_then(|to| self.0.get_mut(to)) {
            *count += 1;
        }
    }

    fn add_bucket(&mut self) {}

    fn remove_bucket(&mut self) {}

    fn statistics(&self, buckets: usize, entries: usize) -> Statistics {
        Statistics {
            buckets,
            used_buckets: self.0.iter().map(|count| *count as usize).sum(),
            entries,
            max_bucket_depth: self.0.iter().rposition(|count| *count > 0).unwrap_or(0),
        }
    }
}

/// The count of many small tables together: those of a [`Share`] of it.
#[derive(Debug)]
pub struct SharedDepths {
    buckets: AtomicUsize,
    depths: [AtomicU32; DEPTHS],
}

impl SharedDepths {
    /// Of no table yet.
    #[must_use]
    pub const fn new() -> SharedDepths {
        SharedDepths { buckets: AtomicUsize::new(0), depths: [const { AtomicU32::new(0) }; DEPTHS] }
    }

    /// All tables together, as if they were one. While they change, it is not of one moment.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let counts = self.depths.each_ref().map(|count| count.load(Ordering::Relaxed) as usize);
        Statistics {
            buckets: self.buckets.load(Ordering::Relaxed),
            used_buckets: counts.iter().sum(),
            // Exact as long as no bucket is deeper than the deepest that is told apart.
            entries: counts.iter().enumerate().map(|(depth, count)| depth * count).sum(),
            max_bucket_depth: counts.iter().rposition(|count| *count > 0).unwrap_or(0),
        }
    }
}

impl Default for SharedDepths {
    fn default() -> Self {
        Self::new()
    }
}

/// The part of one table in the count of many. The table has to be empty when it is dropped.
pub struct Share {
    of: &'static SharedDepths,
    buckets: usize,
}

impl Share {
    /// A table's part of `of`.
    #[must_use]
    pub const fn new(of: &'static SharedDepths) -> Share {
        Share { of, buckets: 0 }
    }
}

impl Tally for Share {
    fn change(&mut self, from: u32, to: u32) {
        if let Some(count) = place(from).and_then(|from| self.of.depths.get(from)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(count) = place(to).and_then(|to| self.of.depths.get(to)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn add_bucket(&mut self) {
        self.buckets += 1;
        self.of.buckets.fetch_add(1, Ordering::Relaxed);
    }

    fn remove_bucket(&mut self) {
        self.buckets -= 1;
        self.of.buckets.fetch_sub(1, Ordering::Relaxed);
    }

    fn statistics(&self, _buckets: usize, _entries: usize) -> Statistics {
        self.of.statistics()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.buckets.fetch_sub(self.buckets, Ordering::Relaxed);
    }
}

/// Load, collisions and depths of a table at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Buckets.
    pub buckets: usize,
    /// Buckets that are not empty.
    pub used_buckets: usize,
    /// Entries.
    pub entries: usize,
    /// Entries of the deepest bucket.
    pub max_bucket_depth: usize,
}

impl Statistics {
    /// Entries that share a bucket with one before them.
    #[must_use]
    pub const fn collision_entries(&self) -> usize {
        self.entries.saturating_sub(self.used_buckets)
    }

    /// Entries for a thousand buckets.
    #[must_use]
    pub const fn load_per_mille(&self) -> usize {
        per_mille(self.entries, self.buckets)
    }

    /// Entries for a thousand buckets that are not empty.
    #[must_use]
    pub const fn avg_chain_per_mille(&self) -> usize {
        per_mille(self.entries, self.used_buckets)
    }

    /// True when the table is too full or a bucket too deep.
    #[must_use]
    pub const fn rehash_recommended(&self) -> bool {
        self.load_per_mille() > 2000 || self.max_bucket_depth >= 8
    }
}

const fn per_mille(count: usize, of: usize) -> usize {
    match (count * 1000).checked_div(of) {
        Some(value) => value,
        None => 0,
    }
}

impl fmt::Display for Statistics {
    /// The keys of `/sys/ipc/hash_stats`, in their order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "buckets={} used_buckets={} entries={}", self.buckets, self.used_buckets, self.entries)?;
        write!(f, " load_per_mille={}", self.load_per_mille())?;
        write!(f, " avg_chain_per_mille={}", self.avg_chain_per_mille())?;
        write!(f, " collision_entries={}", self.collision_entries())?;
        write!(f, " max_bucket_depth={}", self.max_bucket_depth)?;
        write!(f, " rehash_recommended={}", u8::from(self.rehash_recommended()))
    }
}
