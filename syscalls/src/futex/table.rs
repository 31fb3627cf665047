//! From a futex word's key to the queue of those who wait on it.
//!
//! A queue exists while somebody waits: each waiter holds a reference, and the bucket forgets a queue
//! that only it still refers to. A requeued waiter keeps its new queue alive through its wait node.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use base::sync::{LockClass, SpinLock};
use executor::pollwait::{WaitKind, WaitSource};

use crate::mm::FutexKey;

const BUCKETS: usize = 256;

static TABLE: [SpinLock<Vec<Entry>>; BUCKETS] =
    [const { SpinLock::new(LockClass::Futex, Vec::new()) }; BUCKETS];

struct Entry {
    key: FutexKey,
    queue: Arc<WaitSource>,
}

/// One waiter's membership in a queue. Dropping it lets the queue go when it was the last.
pub struct Membership {
    key: FutexKey,
    queue: Arc<WaitSource>,
}

impl Membership {
    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &WaitSource {
        &self.queue
    }

    /// The queue, to be shared with waiters that move to it.
    #[must_use]
    pub fn shared(&self) -> &Arc<WaitSource> {
        &self.queue
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut bucket = bucket(&self.key).lock();
        // The table's reference and this one, which dies with this value under the bucket's lock's
        // protection: nobody else can find the queue once its entry is gone.
        bucket.retain(|entry| !Arc::ptr_eq(&entry.queue, &self.queue) || Arc::strong_count(&entry.queue) > 2);
    }
}

/// Joins the queue of `key`, which is made when there is none.
#[must_use]
pub fn join(key: FutexKey) -> Membership {
    let mut bucket = bucket(&key).lock();
    let found = bucket.iter().find(|entry| entry.key == key).map(|entry| entry.queue.clone());
    let queue = found.unwrap_or_else(|| {
        forget_unused(&mut bucket);
        let queue = Arc::new(WaitSource::new(WaitKind::Futex, key.place()));
        bucket.push(Entry { key, queue: queue.clone() });
        queue
    });
    Membership { key, queue }
}

/// The queue of `key`, if anybody may be waiting.
#[must_use]
pub fn find(key: &FutexKey) -> Option<Arc<WaitSource>> {
    let bucket = bucket(key).lock();
    bucket.iter().find(|entry| entry.key == *key).map(|entry| entry.queue.clone())
}

/// Gives back the room of buckets in which nobody waits any more.
pub fn shrink() {
    TABLE.iter().for_each(|bucket| forget_unused(&mut bucket.lock()));
}

/// Queues in the table: for the census.
#[must_use]
pub fn queues() -> usize {
    TABLE.iter().map(|bucket| bucket.lock().len()).sum()
}

/// Calls `see` for every queue, each bucket's at once and outside its lock: for the wait graph.
pub fn for_each_queue(mut see: impl FnMut(&FutexKey, &WaitSource)) {
    for bucket in &TABLE {
        let entries: Vec<_> = bucket.lock().iter().map(|entry| (entry.key, entry.queue.clone())).collect();
        entries.iter().for_each(|(key, queue)| see(key, queue));
    }
}

fn forget_unused(bucket: &mut Vec<Entry>) {
    // Under the bucket's lock nobody can gain a first reference, so a count of one stays one.
    bucket.retain(|entry| Arc::strong_count(&entry.queue) > 1);
    if bucket.is_empty() {
        *bucket = Vec::new();
    }
}

fn bucket(key: &FutexKey) -> &'static SpinLock<Vec<Entry>> {
    let mut mixer = Mixer(0);
    key.hash(&mut mixer);
    #[allow(clippy::cast_possible_truncation, reason = "taken modulo the number of buckets")]
    let index = mixer.finish() as usize % BUCKETS;
    &TABLE[index]
}

/// Multiply-and-rotate over the words of a key, with a final mix so that page offsets spread.
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_lives_as_long_as_its_waiters() {
        let key = FutexKey::Private { space: 77, address: 0x1000 };
        assert!(find(&key).is_none());
        let first = join(key);
        let second = join(key);
        assert!(core::ptr::eq(first.queue(), second.queue()));
        drop(first);
        assert!(find(&key).is_some());
        drop(second);
        assert!(find(&key).is_none());
    }
}
