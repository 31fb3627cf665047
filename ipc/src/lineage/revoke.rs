//! Mark a subtree, then close it.

use alloc::sync::Arc;

use base::sync::atomic::{AtomicU64, Ordering};
use base::trace::capability::Op as Guard;

use super::forest;
use super::node::CapNode;
use crate::stats::{Counter, bump};
use crate::trace;

static EPOCH: AtomicU64 = AtomicU64::new(0);

/// The number of the latest revocation; 0 before the first.
#[inline]
#[must_use]
pub fn epoch() -> u64 {
    EPOCH.load(Ordering::Acquire)
}

/// What one revocation marked, linked through the nodes themselves. A node is marked for the first time
/// once, so it is in one list at most.
#[derive(Default)]
pub(super) struct Marked {
    first: Option<Arc<CapNode>>,
}

impl Marked {
    pub(super) fn push(&mut self, node: &Arc<CapNode>) {
        let next = self.first.replace(node.clone());
        node.set_next_marked(next);
    }

    fn pop(&mut self) -> Option<Arc<CapNode>> {
        let node = self.first.take()?;
        self.first = node.set_next_marked(None);
        Some(node)
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        // One after the other: a chain of references dropped at its head would recurse.
        while self.pop().is_some() {}
    }
}

/// Revokes every capability derived from `node`.
///
/// When it returns, none of them can be used, and those that were held somewhere have been let go of.
pub fn revoke_descendants(node: &CapNode) {
    revoke(node, false);
}

/// As [`revoke_descendants`], with `node` itself, which its holder then closes.
pub(crate) fn revoke_whole(node: &CapNode) {
    revoke(node, true);
}

fn revoke(node: &CapNode, whole: bool) {
    let epoch = EPOCH.fetch_add(1, Ordering::AcqRel) + 1;
    let root = node.id().as_u64();
    let mut marked = forest::mark(node, epoch, whole);
    while let Some(node) = marked.pop() {
        let Some((holder, slot)) = node.holder() else { continue };
        match holder.upgrade() {
            Some(holder) => holder.revoke(slot, &node),
            // Its table is being taken down, which lets go of it too.
            None => {
                bump(Counter::TryGetFailed);
                trace::guard(Guard::TryGetFailed, node.id().as_u64(), || root);
            }
        }
    }
}
