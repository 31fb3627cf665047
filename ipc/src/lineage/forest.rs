//! Parents and children, in an arena of entries that are linked by index.
//!
//! When a capability ends, its entry goes too unless two children or more hang below it: with one child it
//! is spliced out and the child takes its place, with none it is pruned, and the parent is looked at in
//! turn. Entries without a capability therefore always have two children, so there are fewer of them than
//! capabilities, and deriving and closing for ever does not let the forest grow.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::sync::{LockClass, SpinLock};
use base::trace::capability::Op as Guard;
use base::{Errno, Result};

use super::node::CapNode;
use super::revoke::Marked;
use crate::stats::{Counter, add};
use crate::trace;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// Kernel memory that an entry takes, with the one that a closed ancestor may leave.
pub(super) const ENTRY_BYTES: usize = 2 * size_of::<Entry>();

/// Entries that are made at a time, so that growing never moves those that exist.
const CHUNK: usize = 128;

struct Entry {
    /// The capability; nothing once it is closed.
    node: Option<Arc<CapNode>>,
    parent: u32,
    first_child: u32,
    /// The siblings; `next` also links free entries.
    previous: u32,
    next: u32,
}

struct Forest {
    chunks: Vec<Vec<Entry>>,
    free: u32,
    live: usize,
}

static FOREST: SpinLock<Forest> =
    SpinLock::new(LockClass::Lineage, Forest { chunks: Vec::new(), free: NONE, live: 0 });

/// Entries in use: for the census and the tests of growth.
#[must_use]
pub fn live_nodes() -> usize {
    FOREST.lock().live
}

/// Plants `node` as a root.
pub(super) fn plant(node: &Arc<CapNode>) {
    let mut forest = FOREST.lock();
    let at = forest.take();
    forest.fill(at, node);
}

/// Hangs `node` below `parent`.
pub(super) fn graft(node: &Arc<CapNode>, parent: &CapNode) -> Result<()> {
    let mut forest = FOREST.lock();
    let above = parent.place();
    if above == NONE {
        return Err(Errno::ENOENT);
    }
    // Looked at under the lock that a revocation holds while it marks.
    if parent.is_revoked() {
        return Err(Errno::EACCES);
    }
    let at = forest.take();
    forest.fill(at, node);
    forest.link(at, above);
    Ok(())
}

/// The capability of `node` has ended.
pub(crate) fn uproot(node: &CapNode) {
    let gone = {
        let mut forest = FOREST.lock();
        let at = node.place();
        node.set_place(NONE);
        let gone = forest.entry(at).and_then(|entry| entry.node.take());
        forest.tidy(at);
        gone
    };
    // What it held may end here, and must not do so under the lock.
    drop(gone);
}

/// Marks everything below `node` with `epoch`, and itself with `whole`.
pub(super) fn mark(node: &CapNode, epoch: u64, whole: bool) -> Marked {
    let mut marked = Marked::default();
    let mut count = 0;
    let forest = FOREST.lock();
    let top = node.place();
    if top == NONE {
        return marked;
    }
    let root = node.id().as_u64();
    let mut at = if whole { top } else { forest.next_below(top, top) };
    while at != NONE {
        if let Some(node) = forest.peek(at).and_then(|entry| entry.node.as_ref())
            && node.mark(epoch)
        {
            count += 1;
            trace::guard(Guard::RevokeMarked, node.id().as_u64(), || root);
            marked.push(node);
        }
        at = forest.next_below(at, top);
    }
    drop(forest);
    add(Counter::RevokeMarked, count);
    marked
}

impl Forest {
    fn peek(&self, at: u32) -> Option<&Entry> {
        let at = at as usize;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    fn entry(&mut self, at: u32) -> Option<&mut Entry> {
        let at = at as usize;
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    /// A free entry.
    fn take(&mut self) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let at = self.free;
        self.free = self.peek(at).map_or(NONE, |entry| entry.next);
        self.live += 1;
        at
    }

    fn grow(&mut self) {
        let first = self.chunks.len() * CHUNK;
        let index = |offset: usize| u32::try_from(first + offset).unwrap_or(NONE);
        let chunk = (0..CHUNK).map(|offset| Entry {
            node: None,
            parent: NONE,
            first_child: NONE,
            previous: NONE,
            next: if offset + 1 < CHUNK { index(offset + 1) } else { self.free },
        });
        self.chunks.push(chunk.collect());
        self.free = index(0);
    }

    fn fill(&mut self, at: u32, node: &Arc<CapNode>) {
        if let Some(entry) = self.entry(at) {
            let node = Some(node.clone());
            *entry = Entry { node, parent: NONE, first_child: NONE, previous: NONE, next: NONE };
        }
        node.set_place(at);
    }

    /// Makes `at` the first child of `parent`.
    fn link(&mut self, at: u32, parent: u32) {
        let first = self.entry(parent).map_or(NONE, |entry| core::mem::replace(&mut entry.first_child, at));
        if let Some(entry) = self.entry(first) {
            entry.previous = at;
        }
        if let Some(entry) = self.entry(at) {
            (entry.parent, entry.previous, entry.next) = (parent, NONE, first);
        }
    }

    /// Takes `at` from among its siblings.
    fn unlink(&mut self, at: u32) {
        let Some(entry) = self.peek(at) else { return };
        let (parent, previous, next) = (entry.parent, entry.previous, entry.next);
        if let Some(entry) = self.entry(previous) {
            entry.next = next;
        } else if let Some(entry) = self.entry(parent) {
            entry.first_child = next;
        }
        if let Some(entry) = self.entry(next) {
            entry.previous = previous;
        }
    }

    fn release(&mut self, at: u32) {
        let free = self.free;
        if let Some(entry) = self.entry(at) {
            entry.next = free;
            self.free = at;
            self.live -= 1;
        }
    }

    /// Removes `at`, which has no capability any more, and what that makes superfluous above it.
    fn tidy(&mut self, mut at: u32) {
        while let Some(entry) = self.peek(at) {
            if entry.node.is_some() {
                return;
            }
            let (parent, child) = (entry.parent, entry.first_child);
            let has_more = self.peek(child).is_some_and(|child| child.next != NONE);
            if has_more {
                return;
            }
            self.unlink(at);
            self.release(at);
            if child != NONE {
                // The only child moves up; the parent keeps as many children as it had.
                match parent {
                    NONE => {
                        if let Some(entry) = self.entry(child) {
                            (entry.parent, entry.previous, entry.next) = (NONE, NONE, NONE);
                        }
                    }
                    parent => self.link(child, parent),
                }
                return;
            }
            at = parent;
        }
    }

    /// The entry after `at` in the subtree of `top`, parents before children.
    fn next_below(&self, at: u32, top: u32) -> u32 {
        let Some(entry) = self.peek(at) else { return NONE };
        if entry.first_child != NONE {
            return entry.first_child;
        }
        let mut at = at;
        while at != top {
            let Some(entry) = self.peek(at) else { return NONE };
            if entry.next != NONE {
                return entry.next;
            }
            at = entry.parent;
        }
        NONE
    }
}
