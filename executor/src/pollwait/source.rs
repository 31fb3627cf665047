//! The wait source: the only thing anybody waits on.
//!
//! One word holds the sequence number and two flags. A waker changes the object, then moves the
//! sequence with one atomic addition; when the old value had no flag nobody is there, and the wake
//! is over. A waiter links its node under the lock, raises the flag, and reads the sequence from
//! the same word: either it sees the waker's step, or the waker sees its flag. So a wake between
//! [`observe`](WaitSource::observe) and the wait is never lost, and a wake for nobody takes no lock.

use alloc::sync::Arc;
use core::fmt;
use core::ptr::NonNull;
use core::task::Waker;

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinGuard, SpinLock};

use super::census;
use super::events::{Events, Reason};
use super::kind::WaitKind;
use super::node::{Node, Phase};
use super::watch::WatchNode;
use crate::list::List;

/// Somebody may be on the list of waiters; cleared only under the lock.
const HAS_WAITERS: u64 = 1;
/// Somebody may be on the list of watchers; cleared only under the lock.
const HAS_WATCHERS: u64 = 2;
/// The source is closed for good.
const CLOSED: u64 = 4;
const FLAGS: u64 = 7;
const STEP: u64 = 8;

/// How many wakers are taken out under one hold of the lock.
const BATCH: usize = 8;

/// The sequence number of a source at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seq(u64);

/// What a waiter waits on and a waker wakes. See the [module](self) for the protocol.
pub struct WaitSource {
    word: AtomicU64,
    pub(super) lists: SpinLock<Lists>,
    object: u64,
    kind: WaitKind,
}

/// Who is there, in the order of arrival.
pub(super) struct Lists {
    pub(super) waiters: List<Node>,
    pub(super) waiting: usize,
    pub(super) watchers: List<WatchNode>,
}

impl Lists {
    #[cfg_attr(loom, allow(clippy::missing_const_for_fn))]
    const fn new() -> Lists {
        Lists { waiters: List::new(), waiting: 0, watchers: List::new() }
    }

    /// The first waiter that `events` concern, taken off the list.
    #[inline]
    fn take_concerned(&mut self, events: Events) -> Option<NonNull<Node>> {
        let mut place = self.waiters.front();
        while let Some(node) = place {
            // SAFETY: N1, a linked node is alive.
            if events.concern(unsafe { node.as_ref() }.interest()) {
                // SAFETY: the node was found on this list.
                unsafe { self.waiters.remove(node) };
                self.waiting -= 1;
                census::node_unlinked();
                return Some(node);
            }
            // SAFETY: the node was found on this list.
            place = unsafe { self.waiters.after(node) };
        }
        None
    }
}

impl WaitSource {
    /// A source of the object with id `object` (0 when it has none), for the dumps.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new(kind: WaitKind, object: u64) -> WaitSource {
        WaitSource {
            word: AtomicU64::new(0),
            lists: SpinLock::new(LockClass::WaitSource, Lists::new()),
            object,
            kind,
        }
    }

    /// A source of the object with id `object` (0 when it has none), for the dumps.
    #[cfg(loom)]
    #[must_use]
    pub fn new(kind: WaitKind, object: u64) -> WaitSource {
        WaitSource {
            word: AtomicU64::new(0),
            lists: SpinLock::new(LockClass::WaitSource, Lists::new()),
            object,
            kind,
        }
    }

    /// The sequence number now. Taken before the condition is looked at.
    #[inline]
    #[must_use]
    pub fn observe(&self) -> Seq {
        Seq(self.word.load(Ordering::Acquire) & !FLAGS)
    }

    /// What kind of wait this is.
    #[must_use]
    pub fn kind(&self) -> WaitKind {
        self.kind
    }

    /// The id of the object that the source belongs to.
    #[must_use]
    pub fn object(&self) -> u64 {
        self.object
    }

    /// True after [`close`](Self::close).
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// True when a task waits or a watcher stands here; a hint, unless the caller excludes changes.
    #[inline]
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.word.load(Ordering::Acquire) & (HAS_WAITERS | HAS_WATCHERS) != 0
    }

    /// How many tasks wait here now: for dumps and tests.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lists.lock().waiting
    }

    /// Wakes the first waiter that `events` concern, and every such watcher. Returns how many
    /// waiters were woken.
    #[inline]
    pub fn wake_one(&self, events: Events, reason: Reason) -> usize {
        self.wake_n(1, events, reason)
    }

    /// Wakes every waiter and watcher that `events` concern. Returns how many waiters were woken.
    #[inline]
    pub fn wake_all(&self, events: Events, reason: Reason) -> usize {
        self.wake_n(usize::MAX, events, reason)
    }

    /// Wakes up to `count` waiters that `events` concern, first come first served, and every such
    /// watcher. Returns how many waiters were woken.
    #[inline]
    pub fn wake_n(&self, count: usize, events: Events, reason: Reason) -> usize {
        let before = self.word.fetch_add(STEP, Ordering::AcqRel);
        if before & (HAS_WAITERS | HAS_WATCHERS) == 0 {
            return 0;
        }
        let woken = match count {
            _ if before & HAS_WAITERS == 0 => 0,
            0 => 0,
            1 => self.wake_first(events, reason),
            _ => self.wake_waiters(count, events, reason),
        };
        if before & HAS_WATCHERS != 0 {
            self.notify_watchers(events, reason);
        }
        woken
    }

    /// Gives a wake that the caller was given and did not use (its buffer was too small, it was
    /// interrupted) to the next waiter.
    pub fn pass_on(&self) {
        self.wake_one(Events::empty(), Reason::Data);
    }

    /// Ends the source: all waits, now and later, end with [`Reason::Close`].
    pub fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
        self.wake_all(Events::HUP, Reason::Close);
    }

    /// For locks that hand over: wakes waiters from the front as long as `grant` says so under the
    /// lock, given what the waiter is interested in; the sequence does not move. When nobody waits
    /// any more, `emptied` runs under the lock, given how many were woken.
    pub(crate) fn hand_over(
        &self,
        mut grant: impl FnMut(Events) -> bool,
        emptied: impl FnOnce(usize),
    ) -> usize {
        let mut batch = [const { None::<Waker> }; BATCH];
        let mut handed = 0;
        let mut emptied = Some(emptied);
        loop {
            let mut lists = self.lists.lock();
            let mut taken = 0;
            while taken < BATCH {
                let Some(front) = lists.waiters.front() else { break };
                // SAFETY: N1, a linked node is alive.
                if !grant(unsafe { front.as_ref() }.interest()) {
                    break;
                }
                // SAFETY: the node is the front of this list.
                unsafe { lists.waiters.remove(front) };
                lists.waiting -= 1;
                census::node_unlinked();
                // SAFETY: N3, the lock is held and the node was just taken off.
                batch[taken] = unsafe { Node::set_woken(front, Reason::Data, true) };
                taken += 1;
            }
            handed += taken;
            let is_empty = lists.waiters.is_empty();
            if is_empty && let Some(emptied) = emptied.take() {
                emptied(handed);
            }
            drop(lists);
            fire(&mut batch[..taken]);
            if is_empty || taken < BATCH {
                return handed;
            }
        }
    }

    /// Wakes up to `wake` waiters and moves up to `requeue` others to `target`, where they wait on
    /// as if they had come there last. Returns how many were woken and how many moved.
    ///
    /// Both are those that came first. A waiter that is dropped, times out or is interrupted at the
    /// same time is on one of the two sources or on none, never on both. `target` may be `self`.
    pub fn requeue(
        self: &Arc<Self>,
        wake: usize,
        requeue: usize,
        target: &Arc<WaitSource>,
    ) -> (usize, usize) {
        let woken = self.wake_n(wake, Events::empty(), Reason::Data);
        if Arc::ptr_eq(self, target) || requeue == 0 {
            return (woken, 0);
        }
        let (mut from, mut to) = self.lock_both(target);
        let mut moved = 0;
        while moved < requeue {
            let Some(node) = from.waiters.pop_front() else { break };
            from.waiting -= 1;
            // SAFETY: N1, a linked node is alive; both locks are held (N4), and `self` is kept alive
            // by the caller (N5).
            unsafe { node.as_ref().set_moved(target) };
            // SAFETY: L1, L2: the node was just taken off the other list.
            unsafe { to.waiters.push_back(node) };
            to.waiting += 1;
            moved += 1;
        }
        if moved > 0 {
            target.word.fetch_or(HAS_WAITERS, Ordering::AcqRel);
        }
        drop(from);
        drop(to);
        if target.is_closed() {
            target.wake_all(Events::HUP, Reason::Close);
        }
        (woken, moved)
    }

    /// Locks the lists of both sources, in the order of their addresses.
    fn lock_both<'a>(&'a self, other: &'a WaitSource) -> (SpinGuard<'a, Lists>, SpinGuard<'a, Lists>) {
        if self.rank() < other.rank() {
            let mine = self.lists.lock();
            (mine, other.lists.lock_nested())
        } else {
            let theirs = other.lists.lock();
            (self.lists.lock_nested(), theirs)
        }
    }

    /// Where this source stands among those that are locked together: its address. The checker needs
    /// the same order in every run of a model, so there it is the object's id.
    fn rank(&self) -> u64 {
        if cfg!(loom) { self.object } else { core::ptr::from_ref(self).addr() as u64 }
    }

    /// The commonest wake: of one.
    fn wake_first(&self, events: Events, reason: Reason) -> usize {
        let mut lists = self.lists.lock();
        let Some(waiter) = lists.take_concerned(events) else {
            if lists.waiters.is_empty() {
                self.word.fetch_and(!HAS_WAITERS, Ordering::AcqRel);
            }
            return 0;
        };
        // SAFETY: N3, the lock is held and the node was just taken off.
        let waker = unsafe { Node::set_woken(waiter, reason, true) };
        drop(lists);
        if let Some(waker) = waker {
            waker.wake();
        }
        1
    }

    fn wake_waiters(&self, count: usize, events: Events, reason: Reason) -> usize {
        // A wake for all is nobody's to pass on; of a counted one each waiter got its share.
        let counted = count != usize::MAX;
        let mut batch = [const { None::<Waker> }; BATCH];
        let mut woken = 0;
        // Those who come while the batch is fired have seen the sequence of this wake.
        let mut limit = count;
        loop {
            let mut lists = self.lists.lock();
            if woken == 0 {
                limit = limit.min(lists.waiting);
            }
            let mut taken = 0;
            while taken < BATCH && woken + taken < limit {
                let Some(waiter) = lists.take_concerned(events) else { break };
                // SAFETY: N3, the lock is held and the node was just taken off.
                batch[taken] = unsafe { Node::set_woken(waiter, reason, counted) };
                taken += 1;
            }
            if lists.waiters.is_empty() && taken == 0 {
                self.word.fetch_and(!HAS_WAITERS, Ordering::AcqRel);
            }
            drop(lists);
            woken += taken;
            fire(&mut batch[..taken]);
            if taken < BATCH || woken >= limit {
                return woken;
            }
        }
    }

    /// Edge 1 of a node's life: under the lock, `admit` has the last look; if it returns nothing,
    /// the node is linked and the flag raised. Otherwise the node is not touched.
    ///
    /// # Safety
    ///
    /// The caller owns `node`, which is idle, pinned, and will be detached before it is dropped or
    /// this source is (N1, N5).
    #[inline]
    pub(crate) unsafe fn link<R>(
        &self,
        node: &Node,
        waker: &Waker,
        admit: impl FnOnce() -> Option<R>,
    ) -> Option<R> {
        let mut lists = self.lists.lock();
        if let Some(admitted) = admit() {
            return Some(admitted);
        }
        // SAFETY: the lock is held and the caller owns the idle node.
        unsafe { node.set_linked(self, waker) };
        // SAFETY: L1, L2: the node is idle and pinned.
        unsafe { lists.waiters.push_back(node.as_pointer()) };
        lists.waiting += 1;
        census::node_linked();
        None
    }

    /// [`link`](Self::link) for a plain wait: refused when the sequence moved since `seen` or the
    /// source is closed.
    ///
    /// # Safety
    ///
    /// As for `link`.
    #[inline]
    pub(crate) unsafe fn link_unless_moved(&self, node: &Node, waker: &Waker, seen: Seq) -> Option<Reason> {
        let admit = || {
            // The flag is cleared only under the lock, which is held: when it is up already, a
            // plain load is ordered with every waker by the word's own modification order.
            let mut word = self.word.load(Ordering::Acquire);
            if word & HAS_WAITERS == 0 {
                word = self.word.fetch_or(HAS_WAITERS, Ordering::AcqRel);
            }
            if word & CLOSED != 0 {
                Some(Reason::Close)
            } else if word & !FLAGS != seen.0 {
                Some(Reason::Data)
            } else {
                None
            }
        };
        // SAFETY: the caller's promise.
        unsafe { self.link(node, waker, admit) }
    }

    /// Edge 4: takes `node` off the source it is on (this one, or one it was requeued to). Returns
    /// what it had been woken with, if a wake came first.
    ///
    /// # Safety
    ///
    /// The caller owns `node`, which was linked to this source.
    pub(crate) unsafe fn detach(&self, node: &Node) -> Phase {
        // SAFETY: the node is on the list of the locked source.
        let taken = Self::at_home(self, node, |lists| unsafe {
            lists.waiters.remove(node.as_pointer());
            lists.waiting -= 1;
            census::node_unlinked();
            node.set_detached()
        });
        match taken {
            Some(waker) => {
                drop(waker);
                Phase::Linked
            }
            None => node.phase(),
        }
    }

    /// Puts `waker` in the place of a linked node's waker; nothing when the node was woken.
    ///
    /// # Safety
    ///
    /// The caller owns `node`, which was linked to this source.
    pub(crate) unsafe fn refresh(&self, node: &Node, waker: &Waker) {
        // SAFETY: the node is linked and its source locked.
        let old = Self::at_home(self, node, |_| unsafe { node.set_waker(waker) });
        drop(old);
    }

    /// Runs `action` under the lock of the source that `node` is on, unless it is on none.
    fn at_home<R>(first: &WaitSource, node: &Node, action: impl FnOnce(&mut Lists) -> R) -> Option<R> {
        loop {
            if node.phase() != Phase::Linked {
                return None;
            }
            let moved_to;
            let source = if node.is_at(first) {
                first
            } else {
                // N5: the reference keeps the target alive until the lock is released.
                moved_to = node.moved_to();
                match &moved_to {
                    Some(target) => target,
                    None => first,
                }
            };
            let mut lists = source.lists.lock();
            // N4: under the lock both answers are stable.
            if node.is_at(source) {
                return match node.phase() {
                    Phase::Linked => Some(action(&mut lists)),
                    _ => None,
                };
            }
        }
    }

    /// Passes a wake-one that `node` got and its owner did not consume (edge 6) on to the next
    /// waiter of the source it came from.
    pub(crate) fn pass_on_from(&self, node: &Node) {
        if node.is_at(self) {
            self.pass_on();
        } else if let Some(target) = node.moved_to() {
            target.pass_on();
        }
    }

    /// Raises the flag for watchers; the caller holds the lock and has added one.
    pub(super) fn raise_watched(&self) {
        self.word.fetch_or(HAS_WATCHERS, Ordering::AcqRel);
    }

    /// Lowers the flag for watchers; the caller holds the lock and has seen the list empty.
    pub(super) fn lower_watched(&self) {
        self.word.fetch_and(!HAS_WATCHERS, Ordering::AcqRel);
    }
}

/// Fires wakers outside the lock, oldest first.
#[inline]
fn fire(batch: &mut [Option<Waker>]) {
    for waker in batch {
        if let Some(waker) = waker.take() {
            waker.wake();
        }
    }
}

impl fmt::Debug for WaitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word.load(Ordering::Relaxed);
        f.debug_struct("WaitSource")
            .field("kind", &self.kind.name())
            .field("object", &self.object)
            .field("sequence", &(word / STEP))
            .field("closed", &(word & CLOSED != 0))
            .finish_non_exhaustive()
    }
}
