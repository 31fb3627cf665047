//! A waiter's side of a source: coming, leaving, changing its waker.

use core::task::Waker;

use base::sync::atomic::Ordering;

use super::census;
use super::events::Reason;
use super::node::{Node, Phase};
use super::source::{CLOSED, FLAGS, HAS_WAITERS, Lists, Seq, WaitSource};

impl WaitSource {
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
        let events = node.woken_with();
        if node.is_at(self) {
            self.pass_on(events);
        } else if let Some(target) = node.moved_to() {
            target.pass_on(events);
        }
    }
}
