//! Mark a subtree, then close it.

use alloc::sync::Arc;

use base::sync::atomic::{AtomicU64, Ordering};
use base::trace::capability::Op as Guard;

use super::forest::Walk;
use super::node::CapNode;
use crate::stats::{Counter, add, bump};
use crate::trace;

static EPOCH: AtomicU64 = AtomicU64::new(0);

/// The number of the latest revocation; 0 before the first.
#[inline]
#[must_use]
pub fn epoch() -> u64 {
    EPOCH.load(Ordering::Acquire)
}

/// Entries that are marked under one hold of the forest's lock.
const MARK_BATCH: usize = 64;

/// Capabilities that are closed between two chances for other tasks.
const CLOSE_BATCH: usize = 16;

/// What one revocation marked, linked through the nodes themselves. A node is marked for the first time
/// once, so it is in one list at most.
pub(super) struct Marked {
    epoch: u64,
    /// The capability below which all of them are.
    root: u64,
    first: Option<Arc<CapNode>>,
    /// Nodes looked at.
    looks: u64,
    count: u64,
}

impl Marked {
    /// Marks `node`, and remembers it if nobody had marked it before. Under the forest's lock.
    pub(super) fn mark(&mut self, node: &Arc<CapNode>) {
        self.looks += 1;
        if node.mark(self.epoch) {
            self.count += 1;
            trace::guard(Guard::RevokeMarked, node.id().as_u64(), || self.root);
            let next = self.first.replace(node.clone());
            node.set_next_marked(next);
        }
    }

    fn pop(&mut self) -> Option<Arc<CapNode>> {
        let node = self.first.take()?;
        self.first = node.set_next_marked(None);
        Some(node)
    }
}

/// A revocation under way: first everything below a capability is marked, then whoever holds it lets go. Both go
/// in bounded steps.
///
/// When it is over, nothing that was derived can be used, and what it was the first to mark has been let go of by
/// those who held it. Dropped, it does the rest at once: a revocation that began is not taken back.
#[must_use = "it ends when it is dropped"]
pub struct Revocation {
    marked: Marked,
    /// The marking, until it is over.
    walk: Option<Walk>,
}

impl Revocation {
    /// Begins to revoke every capability derived from `node`, and with `whole` itself.
    pub(crate) fn begin(node: &CapNode, whole: bool) -> Revocation {
        let epoch = EPOCH.fetch_add(1, Ordering::AcqRel) + 1;
        let mut marked = Marked { epoch, root: node.id().as_u64(), first: None, looks: 0, count: 0 };
        let walk = Some(Walk::begin(node, whole, &mut marked));
        Revocation { marked, walk }
    }

    /// Goes on for a bounded time. False when it is over.
    pub fn step(&mut self) -> bool {
        if let Some(walk) = &mut self.walk {
            if !walk.go_on(MARK_BATCH, &mut self.marked) {
                add(Counter::RevokeMarked, self.marked.count);
                self.walk = None;
            }
            return true;
        }
        for _ in 0..CLOSE_BATCH {
            let Some(node) = self.marked.pop() else { return false };
            let Some((holder, slot)) = node.holder() else { continue };
            match holder.upgrade() {
                Some(holder) => holder.revoke(slot, &node),
                // Its table is being taken down, which lets go of it too.
                None => {
                    bump(Counter::TryGetFailed);
                    trace::guard(Guard::TryGetFailed, node.id().as_u64(), || self.marked.root);
                }
            }
        }
        true
    }

    /// Goes on to the end, with chances for others between. A drop does the rest at once.
    pub async fn finish(mut self) {
        while self.step() {
            executor::yield_point().await;
        }
    }

    /// Marks `count` entries and stops.
    #[cfg(test)]
    pub(crate) fn mark_for_test(&mut self, count: usize) {
        if let Some(walk) = &mut self.walk {
            walk.go_on(count, &mut self.marked);
        }
    }

    /// Goes on to the end; how many capabilities were looked at.
    #[cfg(test)]
    pub(crate) fn finish_counting(mut self) -> u64 {
        while self.step() {}
        self.marked.looks
    }
}

impl Drop for Revocation {
    fn drop(&mut self) {
        while self.step() {}
    }
}
