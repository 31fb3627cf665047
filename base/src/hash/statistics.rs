//! How well a table is doing.

use core::fmt;

/// Depths that are told apart; deeper buckets count as the deepest.
const DEPTHS: usize = 32;

/// How many buckets there are of each depth.
pub struct Depths([u32; DEPTHS]);

impl Depths {
    pub(super) const fn new() -> Depths {
        Depths([0; DEPTHS])
    }

    /// A bucket went from one depth to another. Empty ones are not counted.
    pub(super) fn change(&mut self, from: u32, to: u32) {
        if let Some(count) = self.of(from) {
            *count -= 1;
        }
        if let Some(count) = self.of(to) {
            *count += 1;
        }
    }

    fn of(&mut self, depth: u32) -> Option<&mut u32> {
        if depth == 0 { None } else { self.0.get_mut((depth as usize).min(DEPTHS - 1)) }
    }

    pub(super) fn used(&self) -> usize {
        self.0.iter().map(|count| *count as usize).sum()
    }

    pub(super) fn max(&self) -> usize {
        self.0.iter().rposition(|count| *count > 0).unwrap_or(0)
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
