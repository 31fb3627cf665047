//! The bound on cached dentries: a clock over everything that a parent caches.
//!
//! Cached entries sit in a ring in the order in which they were added. When there are too many, the hand looks
//! at the oldest: one that is in use, holds entries itself or was looked up since the last time goes to the
//! end, any other leaves its parent.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};

use super::dentry::Dentry;

/// Cached entries that the machine keeps, beside those in use.
pub const CACHED_MAX: usize = 32_768;

/// Entries that one addition may look at.
const HAND_STEPS: usize = 8;

static RING: SpinLock<VecDeque<Weak<Dentry>>> = SpinLock::new(LockClass::DentryCache, VecDeque::new());
static EVICTED: AtomicU64 = AtomicU64::new(0);

/// Entries that the bound has pushed out since boot.
#[must_use]
pub fn evicted() -> u64 {
    EVICTED.load(Ordering::Relaxed)
}

/// Entries in the ring now (some of them may be gone already).
#[must_use]
pub fn cached() -> usize {
    RING.lock().len()
}

/// A parent has just cached `dentry`. Called without locks.
pub(super) fn added(dentry: &Arc<Dentry>) {
    if dentry.in_ring.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut ring = RING.lock();
    ring.push_back(Arc::downgrade(dentry));
    let excess = ring.len().saturating_sub(CACHED_MAX);
    drop(ring);
    if excess > 0 {
        advance(HAND_STEPS.max(excess.min(64)));
    }
}

/// Moves the hand over `steps` entries.
fn advance(steps: usize) {
    for _ in 0..steps {
        let Some(oldest) = RING.lock().pop_front() else { return };
        let Some(dentry) = oldest.upgrade() else { continue };
        if !try_evict(&dentry) {
            RING.lock().push_back(oldest);
        }
    }
}

/// Takes an entry that nobody uses out of its parent. False when it is to stay in the ring.
fn try_evict(dentry: &Arc<Dentry>) -> bool {
    let gone = is_gone(dentry);
    if gone {
        dentry.in_ring.store(false, Ordering::Relaxed);
    }
    gone
}

fn is_gone(dentry: &Arc<Dentry>) -> bool {
    if dentry.referenced.swap(false, Ordering::Relaxed) || dentry.is_mount_point() {
        return false;
    }
    let (Some(parent), name) = dentry.place() else { return true };
    let mut siblings = parent.children();
    match siblings.get(&name) {
        // It has been replaced: nobody caches it any more.
        Some(cached) if !Arc::ptr_eq(cached, dentry) => return true,
        None => return true,
        Some(_) => {}
    }
    // The parent's reference and ours. A child would hold a third.
    if Arc::strong_count(dentry) > 2 {
        return false;
    }
    let removed = siblings.remove(&name);
    drop(siblings);
    drop(removed);
    EVICTED.fetch_add(1, Ordering::Relaxed);
    true
}

/// Takes every entry below `root` out of its parent: the file system goes.
pub(super) fn forget_tree(root: &Arc<Dentry>) {
    let mut pending: Vec<Arc<Dentry>> = alloc::vec![root.clone()];
    while let Some(dentry) = pending.pop() {
        let children = dentry.children().take_all();
        pending.extend(children);
    }
}

/// Calls `visit` for everything in the ring, a few at a time under its lock. What moves in the ring meanwhile may be
/// missed or seen twice.
pub(super) fn for_each(mut visit: impl FnMut(Arc<Dentry>)) {
    const BATCH: usize = 64;
    let mut from = 0;
    loop {
        let batch: Vec<Weak<Dentry>> = RING.lock().iter().skip(from).take(BATCH).cloned().collect();
        if batch.is_empty() {
            return;
        }
        from += batch.len();
        batch.iter().filter_map(Weak::upgrade).for_each(&mut visit);
    }
}

/// Drops everything that nobody uses, and the ring's room for it: for the census's settling. Returns how many went.
pub fn shrink_all() -> usize {
    let mut gone = 0;
    loop {
        let mut round = 0;
        let count = RING.lock().len();
        for _ in 0..count {
            let Some(oldest) = RING.lock().pop_front() else { break };
            let Some(dentry) = oldest.upgrade() else { continue };
            dentry.referenced.store(false, Ordering::Relaxed);
            if try_evict(&dentry) {
                round += 1;
            } else {
                RING.lock().push_back(oldest);
            }
        }
        if round == 0 {
            RING.lock().shrink_to_fit();
            return gone;
        }
        gone += round;
    }
}
