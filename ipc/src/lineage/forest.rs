//! Parents and children, in an arena of entries that are linked by index.
//!
//! When a capability ends, its entry goes too unless two children or more hang below it: with one child it
//! is spliced out and the child takes its place, with none it is pruned, and the parent is looked at in
//! turn. Entries without a capability therefore always have two children, so there are fewer of them than
//! capabilities, and deriving and closing for ever does not let the forest grow.
//!
//! A revocation walks over a subtree in bounded holds of the lock, parents before children. Between two of them
//! it *pins* the entry at which it stopped, and the top: they stay though their capability ends. That is
//! enough, since the order of the entries does not change: one that is spliced out leaves its place to its
//! child, and below a marked capability nothing new is derived. So all that is behind the walk is marked, and all
//! that is before it will be.
//!
//! The entries of living capabilities are also chained by their numbers, so that one is found from what a program
//! has read somewhere.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::hash::chains::BYTES_PER_ENTRY;
use base::hash::{Chains, Depths, Entries, HashKey, Statistics};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::node::{CapId, CapNode};
use super::revoke::Marked;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// Kernel memory that an entry takes, with the one that a closed ancestor may leave, and its part of the buckets.
pub(super) const ENTRY_BYTES: usize = 2 * size_of::<Entry>() + BYTES_PER_ENTRY;

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
    /// Walks that stopped at it, or will end at it.
    pins: u32,
    /// The next one in the chain of its capability's number.
    next_by_id: u32,
}

impl Entry {
    const EMPTY: Entry = Entry {
        node: None,
        parent: NONE,
        first_child: NONE,
        previous: NONE,
        next: NONE,
        pins: 0,
        next_by_id: NONE,
    };
}

/// Where entries lie.
struct Arena(Vec<Vec<Entry>>);

struct Forest {
    entries: Arena,
    free: u32,
    live: usize,
    by_id: Chains<Depths>,
}

static FOREST: SpinLock<Forest> = SpinLock::new(
    LockClass::Lineage,
    Forest { entries: Arena(Vec::new()), free: NONE, live: 0, by_id: Chains::new(Depths::new()) },
);

/// Entries in use: for the census and the tests of growth.
#[must_use]
pub fn live_nodes() -> usize {
    FOREST.lock().live
}

/// The table of capabilities by their numbers: for `/sys/ipc/hash_stats`.
#[must_use]
pub fn statistics() -> Statistics {
    FOREST.lock().by_id.statistics()
}

/// The living capability with this number, and the nearest one above it that lives.
#[must_use]
pub fn find(id: u64) -> Option<(Arc<CapNode>, Option<CapId>)> {
    let forest = FOREST.lock();
    let mut at = forest.by_id.first(id.hash());
    loop {
        let entry = forest.peek(at)?;
        match &entry.node {
            Some(node) if node.id().as_u64() == id => return Some((node.clone(), forest.above(at))),
            _ => at = entry.next_by_id,
        }
    }
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
        let Forest { entries, by_id, .. } = &mut *forest;
        by_id.remove(entries, at);
        let gone = forest.entry(at).and_then(|entry| entry.node.take());
        forest.tidy(at);
        gone
    };
    // What it held may end here, and must not do so under the lock.
    drop(gone);
}

/// Gives the room for entries back when there are none.
pub(crate) fn shrink() {
    let unused = FOREST.lock().take_unused();
    drop(unused);
}

/// A walk over everything below a capability, which marks what it meets.
pub(super) struct Walk {
    /// Where it began; nothing once it is over.
    top: u32,
    /// The last entry that it met.
    cursor: u32,
}

impl Walk {
    /// A walk over everything below `node`, and with `whole` over itself.
    pub(super) fn begin(node: &CapNode, whole: bool, marked: &mut Marked) -> Walk {
        let mut forest = FOREST.lock();
        let top = node.place();
        // Once for the top, once for the cursor.
        forest.pin(top);
        forest.pin(top);
        if whole {
            forest.meet(top, marked);
        }
        Walk { top, cursor: top }
    }

    /// Goes on for `budget` entries. False when it is over.
    pub(super) fn go_on(&mut self, budget: usize, marked: &mut Marked) -> bool {
        let mut forest = FOREST.lock();
        for _ in 0..budget {
            if self.top == NONE {
                return false;
            }
            let next = forest.next_below(self.cursor, self.top);
            forest.pin(next);
            forest.meet(next, marked);
            forest.unpin(core::mem::replace(&mut self.cursor, next));
            if next == NONE {
                forest.unpin(core::mem::replace(&mut self.top, NONE));
            }
        }
        self.top != NONE
    }
}

impl Arena {
    fn get(&self, at: u32) -> Option<&Entry> {
        let at = at as usize;
        self.0.get(at / CHUNK)?.get(at % CHUNK)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut Entry> {
        let at = at as usize;
        self.0.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }
}

impl Entries for Arena {
    fn hash(&self, at: u32) -> Option<u64> {
        self.get(at)?.node.as_ref().map(|node| node.id().as_u64().hash())
    }

    fn next(&self, at: u32) -> u32 {
        self.get(at).map_or(NONE, |entry| entry.next_by_id)
    }

    fn set_next(&mut self, at: u32, next: u32) {
        if let Some(entry) = self.get_mut(at) {
            entry.next_by_id = next;
        }
    }
}

impl Forest {
    fn peek(&self, at: u32) -> Option<&Entry> {
        self.entries.get(at)
    }

    fn entry(&mut self, at: u32) -> Option<&mut Entry> {
        self.entries.get_mut(at)
    }

    /// The nearest capability above `at` that lives.
    fn above(&self, at: u32) -> Option<CapId> {
        let mut at = self.peek(at)?.parent;
        loop {
            let entry = self.peek(at)?;
            if let Some(node) = &entry.node {
                return Some(node.id());
            }
            at = entry.parent;
        }
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
        let first = self.entries.0.len() * CHUNK;
        let index = |offset: usize| u32::try_from(first + offset).unwrap_or(NONE);
        let chunk = (0..CHUNK).map(|offset| Entry {
            next: if offset + 1 < CHUNK { index(offset + 1) } else { self.free },
            ..Entry::EMPTY
        });
        self.entries.0.push(chunk.collect());
        self.free = index(0);
    }

    /// Takes out all entries, if none is in use.
    fn take_unused(&mut self) -> Arena {
        if self.live > 0 {
            return Arena(Vec::new());
        }
        self.free = NONE;
        core::mem::replace(&mut self.entries, Arena(Vec::new()))
    }

    fn fill(&mut self, at: u32, node: &Arc<CapNode>) {
        if let Some(entry) = self.entry(at) {
            *entry = Entry { node: Some(node.clone()), ..Entry::EMPTY };
        }
        self.by_id.insert(&mut self.entries, at);
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
            if entry.node.is_some() || entry.pins > 0 {
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

    /// A walk has come to `at`.
    fn meet(&mut self, at: u32, marked: &mut Marked) {
        if let Some(node) = self.peek(at).and_then(|entry| entry.node.as_ref()) {
            marked.mark(node);
        }
    }

    fn pin(&mut self, at: u32) {
        if let Some(entry) = self.entry(at) {
            entry.pins += 1;
        }
    }

    fn unpin(&mut self, at: u32) {
        if let Some(entry) = self.entry(at) {
            entry.pins -= 1;
            self.tidy(at);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_goes_with_the_last_entry() {
        let mut forest =
            Forest { entries: Arena(Vec::new()), free: NONE, live: 0, by_id: Chains::new(Depths::new()) };
        for _ in 0..2 {
            let taken: Vec<u32> = (0..=CHUNK).map(|_| forest.take()).collect();
            assert!(forest.take_unused().0.is_empty(), "all are in use");
            taken.iter().for_each(|at| forest.release(*at));
            assert_eq!(forest.take_unused().0.len(), 2);
        }
    }
}
