//! Who wants to know when an open file goes: epoll instances that have it.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Bound;

use base::sync::{LockClass, SpinLock};

/// Somebody who follows open files.
pub trait Follower: Any + Send + Sync {
    /// The open file with this id is gone: its last descriptor and its last operation. Called without locks;
    /// must not wait.
    fn file_gone(&self, id: u64);
}

/// Entries that are kept before the first look for dead ones.
const FIRST_PRUNE: usize = 4;

/// The followers of one open file, each once, however often it asked.
///
/// They are held weakly. Those that are gone are swept out whenever the number has doubled since the last
/// sweep, so there are never more than twice as many entries as live followers (and a few).
pub(super) struct Followers(SpinLock<Option<Table>>);

struct Table {
    entries: BTreeMap<u64, Weak<dyn Follower>>,
    prune_at: usize,
}

impl Followers {
    /// None yet.
    pub(super) const fn new() -> Followers {
        Followers(SpinLock::new(LockClass::Followers, None))
    }

    /// Adds the follower with this id, unless it is there.
    pub(super) fn add(&self, id: u64, follower: &Weak<dyn Follower>) {
        let mut table = self.0.lock();
        let table = table.get_or_insert_with(|| Table { entries: BTreeMap::new(), prune_at: FIRST_PRUNE });
        if table.entries.len() >= table.prune_at {
            table.entries.retain(|_, follower| follower.strong_count() > 0);
            table.prune_at = FIRST_PRUNE.max(2 * table.entries.len());
        }
        table.entries.insert(id, follower.clone());
    }

    /// Up to `most` of the followers, those that are there of them, behind the one with the id `after`; and the id of the
    /// last. No id when there are no more.
    pub(super) fn live(&self, after: Option<u64>, most: usize) -> (Vec<Arc<dyn Follower>>, Option<u64>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut found, mut last) = (Vec::with_capacity(most), None);
        let table = self.0.lock();
        let entries = table.iter().flat_map(|table| table.entries.range((from, Bound::Unbounded)));
        for (id, follower) in entries.take(most) {
            found.extend(follower.upgrade());
            last = Some(*id);
        }
        (found, last)
    }

    /// Tells every follower that the file with this id is gone.
    pub(super) fn tell(&mut self, id: u64) {
        let Some(table) = self.0.get_mut().take() else { return };
        let followers: Vec<Arc<dyn Follower>> =
            table.entries.into_values().filter_map(|follower| follower.upgrade()).collect();
        for follower in followers {
            follower.file_gone(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Heard(AtomicU64);

    impl Follower for Heard {
        fn file_gone(&self, id: u64) {
            self.0.fetch_add(id, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_follower_hears_once_and_dead_ones_are_swept_out() {
        let mut followers = Followers::new();
        let stays: Arc<Heard> = Arc::default();
        let weak: Weak<dyn Follower> = Arc::<Heard>::downgrade(&stays);
        for id in 0..1000 {
            let short: Arc<Heard> = Arc::default();
            let short: Weak<dyn Follower> = Arc::<Heard>::downgrade(&short);
            followers.add(id + 1, &short);
            followers.add(0, &weak);
        }
        assert!(followers.0.lock().as_ref().is_some_and(|table| table.entries.len() <= 8));
        followers.tell(7);
        followers.tell(7);
        assert_eq!(stays.0.load(Ordering::Relaxed), 7);
    }
}
