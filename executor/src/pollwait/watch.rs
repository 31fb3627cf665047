//! Standing watchers: those who are told of every wake until they leave.
//!
//! An epoll item, a port binding, a poll(2) descriptor. A watcher is called outside the source's
//! lock: the source collects references in batches and keeps its place with a cursor, a node
//! without a watcher, that stands in the list while the batch is called.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr::NonNull;

use base::sync::atomic::{AtomicU32, Ordering};
use base::sync::cell::UnsafeCell;

use super::census;
use super::events::{Events, Reason};
use super::source::{Lists, WaitSource};
use crate::list::{Linked, Links};

/// How many watchers are called for one hold of the lock.
const BATCH: usize = 8;

/// Somebody who is told of every wake of a source.
pub trait Watcher: Send + Sync {
    /// The source was woken with `events`, because of `reason`.
    ///
    /// Called without any lock, in the waker's context: it only records and wakes. It may come once
    /// more while its [`Watch`] is being dropped on another CPU.
    fn notify(&self, events: Events, reason: Reason);
}

/// A watcher on a source's list; no watcher: a cursor.
pub(super) struct WatchNode {
    links: UnsafeCell<Links<WatchNode>>,
    watcher: Option<Arc<dyn Watcher>>,
    interest: AtomicU32,
    exclusive: bool,
    /// Lists point at it, so a move of its box is not an exclusive access.
    _pinned: PhantomPinned,
}

// SAFETY: L3 guards the links; the rest is constant, atomic or Sync.
unsafe impl Send for WatchNode {}
// SAFETY: as above.
unsafe impl Sync for WatchNode {}

// SAFETY: the one cell of the node.
unsafe impl Linked for WatchNode {
    fn links(&self) -> &UnsafeCell<Links<WatchNode>> {
        &self.links
    }
}

impl WatchNode {
    fn new(watcher: Option<Arc<dyn Watcher>>, interest: Events, exclusive: bool) -> WatchNode {
        WatchNode {
            links: UnsafeCell::new(Links::UNLINKED),
            watcher,
            interest: AtomicU32::new(interest.bits()),
            exclusive,
            _pinned: PhantomPinned,
        }
    }
}

/// A watcher's place on a source. Dropping it leaves the source, in O(1).
///
/// It keeps the source alive, and the source keeps the watcher alive: a watcher that owns its own
/// `Watch` holds itself, so it drops the watch when its subject closes.
pub struct Watch {
    node: Pin<Box<WatchNode>>,
    source: Arc<WaitSource>,
}

impl Watch {
    /// Tells `watcher` of every wake of `source` that concerns `interest`, from now on. What was
    /// ready before is the caller's to look at, after this call.
    #[must_use]
    pub fn new(source: &Arc<WaitSource>, watcher: Arc<dyn Watcher>, interest: Events) -> Watch {
        Self::place(source, watcher, interest, false)
    }

    /// Like [`new`](Self::new), but of the exclusive watchers on a source only the first that is
    /// concerned is told of a wake. Source: `EPOLLEXCLUSIVE` in `epoll_ctl(2)`.
    #[must_use]
    pub fn exclusive(source: &Arc<WaitSource>, watcher: Arc<dyn Watcher>, interest: Events) -> Watch {
        Self::place(source, watcher, interest, true)
    }

    /// Changes what the watcher is told of.
    pub fn set_interest(&self, interest: Events) {
        self.node.interest.store(interest.bits(), Ordering::Release);
    }

    /// The source that is watched.
    #[must_use]
    pub fn source(&self) -> &Arc<WaitSource> {
        &self.source
    }

    fn place(
        source: &Arc<WaitSource>,
        watcher: Arc<dyn Watcher>,
        interest: Events,
        exclusive: bool,
    ) -> Watch {
        let node = Box::pin(WatchNode::new(Some(watcher), interest, exclusive));
        let mut lists = source.lists.lock();
        // SAFETY: L1, L2: the node is new, and its box stays until `drop` has removed it.
        unsafe { lists.watchers.push_back(NonNull::from(&*node)) };
        source.raise_watched();
        drop(lists);
        census::node_linked();
        Watch { node, source: Arc::clone(source) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut lists = self.source.lists.lock();
        // SAFETY: the node is on this source's list since `place`.
        unsafe { lists.watchers.remove(NonNull::from(&*self.node)) };
        census::node_unlinked();
        if lists.watchers.is_empty() {
            self.source.lower_watched();
        }
    }
}

/// A walk over the watchers of a source that lets go of the lock in between.
struct Walk<'a> {
    source: &'a WaitSource,
    cursor: Pin<&'a WatchNode>,
    linked: bool,
    exclusive_told: bool,
}

impl Walk<'_> {
    /// Fills `batch` with watchers that `events` concern; false when the end was reached.
    fn collect(&mut self, events: Events, batch: &mut [Option<Arc<dyn Watcher>>; BATCH]) -> bool {
        let mut lists = self.source.lists.lock();
        let mut place = self.resume(&mut lists);
        let mut taken = 0;
        while let Some(node) = place {
            // SAFETY: L2, a node on the list is alive while the lock is held.
            let watch = unsafe { node.as_ref() };
            if let Some(watcher) = &watch.watcher
                && events.concern(Events::from_bits_retain(watch.interest.load(Ordering::Acquire)))
                && !(watch.exclusive && self.exclusive_told)
            {
                self.exclusive_told |= watch.exclusive;
                batch[taken] = Some(Arc::clone(watcher));
                taken += 1;
            }
            if taken == BATCH {
                // SAFETY: L1, L2: the cursor is on no list, pinned, and taken out by `resume` or
                // `drop`; `node` is on this list.
                unsafe { lists.watchers.insert_after(node, NonNull::from(&*self.cursor)) };
                self.linked = true;
                return true;
            }
            // SAFETY: the node was found on this list.
            place = unsafe { lists.watchers.after(node) };
        }
        false
    }

    /// The node at which the walk goes on; the cursor is off the list afterwards.
    fn resume(&mut self, lists: &mut Lists) -> Option<NonNull<WatchNode>> {
        if !self.linked {
            return lists.watchers.front();
        }
        let cursor = NonNull::from(&*self.cursor);
        self.linked = false;
        // SAFETY: the cursor is on this list since `collect` put it there.
        unsafe {
            let next = lists.watchers.after(cursor);
            lists.watchers.remove(cursor);
            next
        }
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        if self.linked {
            let mut lists = self.source.lists.lock();
            self.resume(&mut lists);
        }
    }
}

impl WaitSource {
    /// Tells every watcher that `events` concern.
    #[cold]
    pub(super) fn notify_watchers(&self, events: Events, reason: Reason) {
        let cursor = core::pin::pin!(WatchNode::new(None, Events::empty(), false));
        let mut walk = Walk { source: self, cursor: cursor.as_ref(), linked: false, exclusive_told: false };
        let mut batch = [const { None::<Arc<dyn Watcher>> }; BATCH];
        loop {
            let more = walk.collect(events, &mut batch);
            for watcher in &mut batch {
                if let Some(watcher) = watcher.take() {
                    watcher.notify(events, reason);
                }
            }
            if !more {
                return;
            }
        }
    }
}
