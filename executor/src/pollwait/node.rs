//! The wait node: one waiter on one source, once.
//!
//! # Life
//!
//! ```text
//!             (1) link                    (2) wake
//!    Idle ---------------->  Linked  ------------------>  Woken(reason)
//!     |                      |    ^ |                        |      |
//!     | (1b) sequence moved  |    +-+ (3) requeue: the       |      | (5) poll: consumed
//!     |      or closed       |        source changes         |      v
//!     |                      | (4) detach: signal, deadline, |     Done
//!     |                      |     drop                      |      ^
//!     +----------> Done <----+                               |      |
//!                                      (6) drop: not consumed, a wake-one
//!                                          passes on to the next waiter
//! ```
//!
//! Edges 1, 4, 5 and 6 belong to the owner (the future that embeds the node), 2 and 3 to whoever
//! wakes or requeues. Edges 1 to 4 happen under the lock of the source that the node is on. Edge 2
//! writes the reason into this node, before its waker fires; two wakes can't overwrite each other.
//!
//! # Invariants
//!
//! - **N1** A linked node is pinned and alive: its owner goes through edge 4 before it is dropped.
//! - **N2** `waker` and `links` are touched only under the lock of the source in `home` while the
//!   node is linked, and only by the owner otherwise.
//! - **N3** `state = Woken` is the last thing a waker does to a node (release); the owner that reads
//!   it (acquire) may free the node at once.
//! - **N4** `home` changes to a source only under that source's lock, so whoever holds the lock of
//!   `s` and reads `home == s` knows that the node is on `s` until the lock is released.
//! - **N5** The source in `home` outlives the node: the owner borrows its first source, and `moved_to`
//!   holds a reference to the one that a requeue put the node on.

use alloc::sync::Arc;
use core::ptr::{self, NonNull};
use core::task::Waker;

use base::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use base::sync::cell::UnsafeCell;
use base::sync::{LockClass, SpinLock};

use super::events::{Events, Reason};
use super::source::WaitSource;
use crate::list::{Linked, Links};

const IDLE: u32 = 0;
const LINKED: u32 = 1;
const DONE: u32 = 2;
const WOKEN: u32 = 3;
const PHASE: u32 = 0xff;
const REASON_SHIFT: u32 = 8;
/// The wake was meant for one waiter: a node that leaves without consuming it passes it on.
const ONE: u32 = 1 << 16;

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not on a source yet.
    Idle,
    /// On the source in `home`.
    Linked,
    /// Woken, and not looked at by its owner.
    Woken {
        /// Why.
        reason: Reason,
        /// The wake was meant for one waiter.
        one: bool,
    },
    /// Over.
    Done,
}

/// For whom a wake is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// As many as were counted: one who does not use it passes it on.
    Counted,
    /// Everybody: it is nobody's to pass on.
    Everybody,
}

/// One waiter on one source.
pub(crate) struct Node {
    links: UnsafeCell<Links<Node>>,
    waker: UnsafeCell<Option<Waker>>,
    home: AtomicPtr<WaitSource>,
    state: AtomicU32,
    interest: Events,
    /// What it was woken with; written before the state says so.
    woken_with: AtomicU32,
    moved_to: SpinLock<Option<Arc<WaitSource>>>,
}

// SAFETY: N2 says who touches the cells and when; everything else is atomic, locked or constant.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

// SAFETY: the one cell of the node.
unsafe impl Linked for Node {
    #[inline]
    fn links(&self) -> &UnsafeCell<Links<Node>> {
        &self.links
    }
}

impl Node {
    /// An idle node that is concerned by `interest`.
    #[inline(always)]
    pub(crate) fn new(interest: Events) -> Node {
        Node {
            links: UnsafeCell::new(Links::UNLINKED),
            waker: UnsafeCell::new(None),
            home: AtomicPtr::new(ptr::null_mut()),
            state: AtomicU32::new(IDLE),
            interest,
            woken_with: AtomicU32::new(0),
            moved_to: SpinLock::new(LockClass::WaitNode, None),
        }
    }

    /// What it waits for.
    #[inline]
    pub(crate) fn interest(&self) -> Events {
        self.interest
    }

    /// Where it is in its life. `Woken` is final for everybody but the owner.
    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        let state = self.state.load(Ordering::Acquire);
        match state & PHASE {
            IDLE => Phase::Idle,
            LINKED => Phase::Linked,
            WOKEN => Phase::Woken {
                reason: Reason::from_number((state >> REASON_SHIFT) as u8),
                one: state & ONE != 0,
            },
            _ => Phase::Done,
        }
    }

    /// The owner is through with the node (edges 1b and 5).
    #[inline]
    pub(crate) fn finish(&self) {
        let one = self.state.load(Ordering::Relaxed) & ONE;
        self.state.store(DONE | one, Ordering::Relaxed);
    }

    /// True when a wake that was meant for one waiter came to this one, who consumed it or has it before him.
    #[inline]
    pub(crate) fn was_the_one(&self) -> bool {
        self.state.load(Ordering::Relaxed) & ONE != 0
    }

    /// True once it has been on a source; false of one that was found not to need it (edge 1b).
    #[inline]
    pub(crate) fn was_linked(&self) -> bool {
        !self.home.load(Ordering::Relaxed).is_null()
    }

    /// The events of the wake that came to it.
    #[inline]
    pub(crate) fn woken_with(&self) -> Events {
        Events::from_bits_retain(self.woken_with.load(Ordering::Relaxed))
    }

    /// Edge 1, the node's half: `source` is locked and is about to take the node.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of `source`, owns the node, and the node is idle.
    #[inline]
    pub(super) unsafe fn set_linked(&self, source: &WaitSource, waker: &Waker) {
        // SAFETY: N2, the node is idle and the caller owns it.
        self.waker.with_mut(|place| unsafe { *place = Some(waker.clone()) });
        self.home.store(ptr::from_ref(source).cast_mut(), Ordering::Relaxed);
        self.state.store(LINKED, Ordering::Relaxed);
    }

    /// Edge 2: writes the reason and gives the waker to the caller, who fires it after unlocking.
    ///
    /// It takes a pointer because no reference may reach beyond the last store: the owner may free
    /// the node before this function has returned.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the node's source and has just taken the node off its list. It
    /// does not touch the node again (N3).
    #[inline]
    pub(super) unsafe fn set_woken(
        node: NonNull<Node>,
        events: Events,
        reason: Reason,
        aim: Aim,
    ) -> Option<Waker> {
        let node = node.as_ptr();
        // SAFETY: N1, N2: the node was linked, and the caller holds the lock of its source.
        let waker = unsafe { (*node).waker.with_mut(|place| (*place).take()) };
        // `home` stays: the owner passes an unconsumed wake on to the source it came from, with the events it had.
        // SAFETY: N3, as below.
        unsafe { (*node).woken_with.store(events.bits(), Ordering::Relaxed) };
        let one = if aim == Aim::Counted { ONE } else { 0 };
        let state = WOKEN | ((reason as u32) << REASON_SHIFT) | one;
        // SAFETY: N3, until this store the owner cannot have seen the node woken.
        unsafe { (*node).state.store(state, Ordering::Release) };
        waker
    }

    /// Edge 4, the node's half.
    ///
    /// # Safety
    ///
    /// As for [`set_woken`](Self::set_woken), and the caller owns the node.
    #[inline]
    pub(super) unsafe fn set_detached(&self) -> Option<Waker> {
        self.state.store(DONE, Ordering::Relaxed);
        // SAFETY: N2, the caller holds the lock of the source that the node was on.
        self.waker.with_mut(|place| unsafe { (*place).take() })
    }

    /// Puts `waker` in the place of the node's waker, and gives the old one to be dropped.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the node's source, and the node is linked.
    pub(super) unsafe fn set_waker(&self, waker: &Waker) -> Option<Waker> {
        // SAFETY: N2, the caller holds the lock.
        self.waker.with_mut(|place| unsafe {
            match &*place {
                Some(old) if old.will_wake(waker) => None,
                _ => (*place).replace(waker.clone()),
            }
        })
    }

    /// Edge 3, the node's half: the node goes to `target`, which it keeps alive from now on (N5).
    ///
    /// # Safety
    ///
    /// The caller holds the locks of the old source and of `target`, and keeps the old one alive.
    pub(super) unsafe fn set_moved(&self, target: &Arc<WaitSource>) {
        let old = self.moved_to.lock().replace(Arc::clone(target));
        self.home.store(Arc::as_ptr(target).cast_mut(), Ordering::Release);
        drop(old);
    }

    /// True when the node is on `source` or was woken from it; stable while the caller holds the
    /// lock of `source` (N4).
    #[inline]
    pub(super) fn is_at(&self, source: &WaitSource) -> bool {
        ptr::eq(self.home.load(Ordering::Acquire), source)
    }

    /// The source that a requeue moved the node to, if one did.
    pub(super) fn moved_to(&self) -> Option<Arc<WaitSource>> {
        self.moved_to.lock().clone()
    }

    /// The node as the pointer that lists hold.
    #[inline]
    pub(super) fn as_pointer(&self) -> NonNull<Node> {
        NonNull::from(self)
    }
}
