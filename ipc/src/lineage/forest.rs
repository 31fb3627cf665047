//! Parents and children, in an arena of entries that are linked by index.
//!
//! When a capability ends, its entry goes too unless two children or more hang below it: with one child it
//! is spliced out and the child takes its place, with none it is pruned, and the parent is looked at in
//! turn. Entries without a capability therefore always have two children, so there are fewer of them than
//! capabilities, and deriving and closing for ever does not let the forest grow.
//!
//! A revocation marks a subtree in bounded holds of the lock, level by level. What it has reached and not yet
//! looked below is *pinned*: it stays where it is though its capability ends, so that nothing below it is
//! missed. Below a marked capability nothing new is derived, and an entry that is spliced out leaves its place
//! to its child; so what is behind the place where the marking stopped is marked, and what is before it will be.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::node::CapNode;
use super::revoke::Marked;

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
    /// A revocation has reached it, and not yet looked below it.
    pinned: bool,
    /// The one that was reached after it.
    next_pinned: u32,
}

impl Entry {
    const EMPTY: Entry = Entry {
        node: None,
        parent: NONE,
        first_child: NONE,
        previous: NONE,
        next: NONE,
        pinned: false,
        next_pinned: NONE,
    };
}

/// The pinned entries of all revocations under way, in the order in which they were reached.
struct Pinned {
    first: u32,
    last: u32,
    /// The last child of the first one that was reached.
    cursor: u32,
}

struct Forest {
    chunks: Vec<Vec<Entry>>,
    free: u32,
    live: usize,
    pinned: Pinned,
}

static FOREST: SpinLock<Forest> = SpinLock::new(
    LockClass::Lineage,
    Forest {
        chunks: Vec::new(),
        free: NONE,
        live: 0,
        pinned: Pinned { first: NONE, last: NONE, cursor: NONE },
    },
);

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

/// Begins to mark everything below `node` with `marked`'s epoch, and itself with `whole`; [`mark_some`] goes on.
pub(super) fn begin_mark(node: &CapNode, whole: bool, marked: &mut Marked) {
    let mut forest = FOREST.lock();
    let top = node.place();
    if top == NONE {
        return;
    }
    if whole {
        forest.reach(top, marked);
    } else {
        forest.pin(top);
    }
}

/// Goes on marking for `budget` entries, whichever revocation reached them. False when nothing is left.
pub(super) fn mark_some(budget: usize, marked: &mut Marked) -> bool {
    let mut forest = FOREST.lock();
    (0..budget).all(|_| forest.mark_next(marked))
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
            next: if offset + 1 < CHUNK { index(offset + 1) } else { self.free },
            ..Entry::EMPTY
        });
        self.chunks.push(chunk.collect());
        self.free = index(0);
    }

    fn fill(&mut self, at: u32, node: &Arc<CapNode>) {
        if let Some(entry) = self.entry(at) {
            *entry = Entry { node: Some(node.clone()), ..Entry::EMPTY };
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

    /// Puts the only child of `at` in its place.
    fn splice(&mut self, at: u32, child: u32) {
        let Some(entry) = self.peek(at) else { return };
        let (parent, previous, next) = (entry.parent, entry.previous, entry.next);
        if let Some(entry) = self.entry(child) {
            (entry.parent, entry.previous, entry.next) = (parent, previous, next);
        }
        if let Some(entry) = self.entry(previous) {
            entry.next = child;
        } else if let Some(entry) = self.entry(parent) {
            entry.first_child = child;
        }
        if let Some(entry) = self.entry(next) {
            entry.previous = child;
        }
    }

    /// Removes `at`, which has no capability any more, and what that makes superfluous above it.
    fn tidy(&mut self, mut at: u32) {
        while let Some(entry) = self.peek(at) {
            if entry.node.is_some() || entry.pinned {
                return;
            }
            let (parent, child) = (entry.parent, entry.first_child);
            let has_more = self.peek(child).is_some_and(|child| child.next != NONE);
            if has_more {
                return;
            }
            if child != NONE {
                self.splice(at, child);
                self.release(at);
                return;
            }
            self.unlink(at);
            self.release(at);
            at = parent;
        }
    }

    /// A revocation has come to `at`: it is marked, and what is below it will be.
    fn reach(&mut self, at: u32, marked: &mut Marked) {
        self.pin(at);
        if let Some(node) = self.peek(at).and_then(|entry| entry.node.as_ref()) {
            marked.mark(node);
        }
    }

    fn pin(&mut self, at: u32) {
        match self.entry(at) {
            Some(entry) if !entry.pinned => (entry.pinned, entry.next_pinned) = (true, NONE),
            // Another revocation has reached it, and what is below it is marked before either of them ends.
            _ => return,
        }
        let last = core::mem::replace(&mut self.pinned.last, at);
        match self.entry(last) {
            Some(entry) => entry.next_pinned = at,
            None => self.pinned.first = at,
        }
    }

    /// Reaches the next child of the first pinned entry, or lets go of that one. False when there is none.
    fn mark_next(&mut self, marked: &mut Marked) -> bool {
        let top = self.pinned.first;
        let next = match self.peek(self.pinned.cursor) {
            Some(cursor) => cursor.next,
            None => self.peek(top).map_or(NONE, |entry| entry.first_child),
        };
        if next != NONE {
            // Pinned behind `top`, so it stays a child of it for as long as it is the cursor.
            self.pinned.cursor = next;
            self.reach(next, marked);
            return true;
        }
        let Some(entry) = self.entry(top) else { return false };
        entry.pinned = false;
        self.pinned.first = entry.next_pinned;
        self.pinned.cursor = NONE;
        if self.pinned.first == NONE {
            self.pinned.last = NONE;
        }
        self.tidy(top);
        true
    }
}
