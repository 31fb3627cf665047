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

/// How many watchers [`WaitSource::for_each_watcher`] sees.
pub const WATCHERS_SEEN: usize = 32;

/// Somebody who is told of every wake of a source.
pub trait Watcher: Send + Sync {
    /// The source was woken with `events`, because of `reason`.
    ///
    /// Called without any lock, in the waker's context: it only records and wakes. It may come once
    /// more while its [`Watch`] is being dropped on another CPU.
    fn notify(&self, events: Events, reason: Reason);

    /// As [`notify`](Self::notify), to an exclusive watcher; false when it has nobody to wake, so that the
    /// next exclusive one is told as well.
    fn notify_exclusive(&self, events: Events, reason: Reason) -> bool {
        self.notify(events, reason);
        true
    }

    /// Calls `tell` with each source whose waiters it wakes when it is told: for the wait graph.
    fn wakes(&self, _tell: &mut dyn FnMut(&WaitSource)) {}
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
    /// concerned, and has somebody to wake, is told of a wake. It goes to the end of the line then, so
    /// that they are served in turn. Source: `EPOLLEXCLUSIVE` in `epoll_ctl(2)`.
    #[must_use]
    pub fn exclusive(source: &Arc<WaitSource>, watcher: Arc<dyn Watcher>, interest: Events) -> Watch {
        Self::place(source, watcher, interest, true)
    }

    /// Changes what the watcher is told of. A wake that comes later knows it; of one that came before, the
    /// caller sees the effect when it looks at the object after this call.
    pub fn set_interest(&self, interest: Events) {
        let _lists = self.source.lists.lock();
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

/// How a batch of watchers ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    /// There are no more.
    Last,
    /// It is full.
    Full,
    /// Its last one is exclusive: whether the next exclusive one is told depends on its answer.
    Exclusive,
}

impl Walk<'_> {
    /// Fills `batch` with watchers that `events` concern.
    fn collect(&mut self, events: Events, batch: &mut [Option<Arc<dyn Watcher>>; BATCH]) -> Batch {
        let mut lists = self.source.lists.lock();
        let mut place = self.resume(&mut lists);
        let mut taken = 0;
        while let Some(node) = place {
            // SAFETY: L2, a node on the list is alive while the lock is held.
            let watch = unsafe { node.as_ref() };
            let mut exclusive = false;
            if let Some(watcher) = &watch.watcher
                && events.concern(Events::from_bits_retain(watch.interest.load(Ordering::Acquire)))
                && !(watch.exclusive && self.exclusive_told)
            {
                exclusive = watch.exclusive;
                batch[taken] = Some(Arc::clone(watcher));
                taken += 1;
            }
            if exclusive || taken == BATCH {
                // SAFETY: L1, L2: the cursor is on no list, pinned, and taken out by `resume` or
                // `drop`; `node` is on this list.
                unsafe { lists.watchers.insert_after(node, NonNull::from(&*self.cursor)) };
                self.linked = true;
                return if exclusive { Batch::Exclusive } else { Batch::Full };
            }
            // SAFETY: the node was found on this list.
            place = unsafe { lists.watchers.after(node) };
        }
        Batch::Last
    }

    /// The exclusive watcher before the cursor has taken the wake: no other is told, and it goes to the end
    /// of the line unless it has left.
    fn served(&mut self, watcher: &Arc<dyn Watcher>) {
        self.exclusive_told = true;
        let mut lists = self.source.lists.lock();
        // SAFETY: the cursor is on this list since `collect` put it there.
        let mut place = unsafe { lists.watchers.before(NonNull::from(&*self.cursor)) };
        while let Some(node) = place {
            // SAFETY: L2, a node on the list is alive while the lock is held.
            match &unsafe { node.as_ref() }.watcher {
                // The cursor of another walk.
                // SAFETY: the node was found on this list.
                None => place = unsafe { lists.watchers.before(node) },
                Some(found) if Arc::ptr_eq(found, watcher) => {
                    // SAFETY: the node was found on this list, and is on none when it is put back.
                    unsafe {
                        lists.watchers.remove(node);
                        lists.watchers.push_back(node);
                    }
                    return;
                }
                Some(_) => return,
            }
        }
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
    /// Calls `see` for the first watchers, [`WATCHERS_SEEN`] at most, outside the lock: for the wait graph.
    pub fn for_each_watcher(&self, mut see: impl FnMut(&dyn Watcher)) {
        let mut watchers = [const { None::<Arc<dyn Watcher>> }; WATCHERS_SEEN];
        let lists = self.lists.lock();
        let mut place = lists.watchers.front();
        let mut free = watchers.iter_mut();
        while let Some(node) = place {
            // SAFETY: L2, a node on the list is alive while the lock is held.
            if let Some(watcher) = &unsafe { node.as_ref() }.watcher {
                let Some(slot) = free.next() else { break };
                *slot = Some(Arc::clone(watcher));
            }
            // SAFETY: the node was found on this list.
            place = unsafe { lists.watchers.after(node) };
        }
        drop(lists);
        watchers.iter().flatten().for_each(|watcher| see(&**watcher));
    }

    /// Tells every watcher that `events` concern.
    #[cold]
    pub(super) fn notify_watchers(&self, events: Events, reason: Reason) {
        let cursor = core::pin::pin!(WatchNode::new(None, Events::empty(), false));
        let mut walk = Walk { source: self, cursor: cursor.as_ref(), linked: false, exclusive_told: false };
        let mut batch = [const { None::<Arc<dyn Watcher>> }; BATCH];
        loop {
            let end = walk.collect(events, &mut batch);
            let mut told = batch.iter_mut().map_while(Option::take).peekable();
            while let Some(watcher) = told.next() {
                if end != Batch::Exclusive || told.peek().is_some() {
                    watcher.notify(events, reason);
                } else if watcher.notify_exclusive(events, reason) {
                    walk.served(&watcher);
                }
            }
            if end == Batch::Last {
                return;
            }
        }
    }
}
