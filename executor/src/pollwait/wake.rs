//! Waking: one, some, all; handing over; requeueing.
//!
//! Wakers are taken out under the source's lock and fired after it, in batches of bounded size.

use alloc::sync::Arc;
use core::task::Waker;

use base::sync::SpinGuard;
use base::sync::atomic::Ordering;

use super::census;
#[cfg(not(loom))]
use super::counters;
use super::events::{Events, Reason};
use super::node::{Aim, Node};
use super::source::{CLOSED, HAS_WAITERS, HAS_WATCHERS, Lists, STEP, WaitSource};
use crate::disturbance;

/// How many wakers are taken out under one hold of the lock.
const BATCH: usize = 8;

impl WaitSource {
    /// Wakes the first waiter that `events` concern, and every such watcher. Returns how many
    /// waiters were woken.
    #[inline(always)]
    pub fn wake_one(&self, events: Events, reason: Reason) -> usize {
        self.wake_n(1, events, reason)
    }

    /// Wakes every waiter and watcher that `events` concern. Returns how many waiters were woken.
    #[inline(always)]
    pub fn wake_all(&self, events: Events, reason: Reason) -> usize {
        self.wake_n(usize::MAX, events, reason)
    }

    /// Wakes up to `count` waiters that `events` concern, first come first served, and every such
    /// watcher. Returns how many waiters were woken.
    ///
    /// While nobody is there it is one atomic addition, in place.
    #[inline(always)]
    pub fn wake_n(&self, count: usize, events: Events, reason: Reason) -> usize {
        let before = self.word.fetch_add(STEP, Ordering::AcqRel);
        if before & (HAS_WAITERS | HAS_WATCHERS) == 0 {
            return 0;
        }
        self.wake_found(before, count, events, reason)
    }

    /// The rest of [`wake_n`](Self::wake_n) when the word, `before`, told that somebody is there.
    #[inline]
    fn wake_found(&self, before: u64, count: usize, events: Events, reason: Reason) -> usize {
        counters::count_wake();
        // The commonest, with nothing to do after it.
        if count == 1 && before & HAS_WATCHERS == 0 && !counters::is_noted(self.kind()) {
            return self.wake_first(events, reason);
        }
        self.wake_noted(before, count, events, reason)
    }

    /// As [`wake_found`](Self::wake_found), with watchers, faults and traces.
    fn wake_noted(&self, before: u64, count: usize, events: Events, reason: Reason) -> usize {
        let woken = match count {
            _ if before & HAS_WAITERS == 0 => 0,
            0 => 0,
            // Whoever is woken looks, so that more than one is no mistake; the waker is told of the one it asked for.
            1 if disturbance::wakes_everybody() => self.wake_waiters(usize::MAX, events, reason).min(1),
            1 => self.wake_first(events, reason),
            _ => self.wake_waiters(count, events, reason),
        };
        if counters::is_noted(self.kind()) {
            counters::note_wake(self, count, events, reason, woken);
        }
        if before & HAS_WATCHERS != 0 {
            self.notify_watchers(events, reason);
        }
        woken
    }

    /// Gives a wake with `events` that came to one waiter, who did not use it, to the next whom it concerns. Watchers
    /// were told when it came.
    #[cold]
    pub(crate) fn pass_on(&self, events: Events) {
        let before = self.word.fetch_add(STEP, Ordering::AcqRel);
        if before & HAS_WAITERS != 0 {
            counters::count_wake();
            let woken = self.wake_first(events, Reason::Data);
            counters::note_wake(self, 1, events, Reason::Data, woken);
        }
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
                batch[taken] = unsafe { Node::set_woken(front, Events::empty(), Reason::Data, Aim::Counted) };
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
    #[inline]
    fn wake_first(&self, events: Events, reason: Reason) -> usize {
        self.wake_next(self.lists.lock(), events, reason, Aim::Counted)
    }

    /// Wakes the first waiter that `events` concern.
    fn wake_next(&self, mut lists: SpinGuard<'_, Lists>, events: Events, reason: Reason, aim: Aim) -> usize {
        let Some(waiter) = lists.take_concerned(events) else {
            if lists.waiters.is_empty() {
                self.word.fetch_and(!HAS_WAITERS, Ordering::AcqRel);
            }
            return 0;
        };
        // SAFETY: N3, the lock is held and the node was just taken off.
        let waker = unsafe { Node::set_woken(waiter, events, reason, aim) };
        drop(lists);
        if let Some(waker) = waker {
            waker.wake();
        }
        1
    }

    fn wake_waiters(&self, count: usize, events: Events, reason: Reason) -> usize {
        // Of a counted one each waiter got its share.
        let aim = if count == usize::MAX { Aim::Everybody } else { Aim::Counted };
        let mut lists = self.lists.lock();
        if lists.waiting == 1 {
            // Which is most: spares it the batch.
            return self.wake_next(lists, events, reason, aim);
        }
        let mut batch = [const { None::<Waker> }; BATCH];
        let mut woken = 0;
        // Those who come while the batch is fired have seen the sequence of this wake.
        let mut limit = count;
        loop {
            if woken == 0 {
                limit = limit.min(lists.waiting);
            }
            let mut taken = 0;
            while taken < BATCH && woken + taken < limit {
                let Some(waiter) = lists.take_concerned(events) else { break };
                // SAFETY: N3, the lock is held and the node was just taken off.
                batch[taken] = unsafe { Node::set_woken(waiter, events, reason, aim) };
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
            lists = self.lists.lock();
        }
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

/// The model checker counts nothing.
#[cfg(loom)]
mod counters {
    use super::{Events, Reason, WaitSource};
    use crate::pollwait::WaitKind;

    pub(super) fn count_wake() {}

    pub(super) fn is_noted(_: WaitKind) -> bool {
        false
    }

    pub(super) fn note_wake(_: &WaitSource, _: usize, _: Events, _: Reason, _: usize) {}
}
