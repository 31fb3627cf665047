//! The inbox: where other CPUs leave what this CPU shall run.
//!
//! Any CPU pushes, one CPU takes everything at once. Only the push that found the inbox empty tells
//! its caller to ring the bell, so that a burst of wakes costs one interrupt.
//!
//! # Invariants
//!
//! - **I1** A node is in at most one inbox or queue, and whoever put it there owned it: it stays alive
//!   until it is taken out.
//! - **I2** The link of a node belongs to the pusher until its push succeeds, then to the taker.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use base::sync::atomic::{AtomicPtr, Ordering};

/// A node that can stand in an inbox or a queue.
///
/// # Safety
///
/// `next` returns a field of `self`, always the same one.
pub(crate) unsafe trait Chained: Sized {
    /// The link of this node.
    fn next(&self) -> &AtomicPtr<Self>;
}

/// Many pushers, one taker.
pub(crate) struct Inbox<T> {
    newest: AtomicPtr<T>,
}

impl<T: Chained> Inbox<T> {
    /// An empty inbox.
    pub(crate) fn new() -> Self {
        Inbox { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// True when nothing is inside.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.newest.load(Ordering::Acquire).is_null()
    }

    /// Leaves `node`. True when the inbox was empty: the caller rings the bell.
    ///
    /// # Safety
    ///
    /// I1: the caller owns the node and gives it away.
    #[inline]
    #[must_use]
    pub(crate) unsafe fn push(&self, node: NonNull<T>) -> bool {
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            // SAFETY: I1, I2: the node is alive and its link is ours until the exchange succeeds.
            unsafe { (*node.as_ptr()).next().store(newest, Ordering::Relaxed) };
            match self.newest.compare_exchange_weak(
                newest,
                node.as_ptr(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return newest.is_null(),
                Err(found) => newest = found,
            }
        }
    }

    /// Takes everything out, oldest first.
    #[inline]
    pub(crate) fn take_all(&self) -> Chain<T> {
        let mut newest = self.newest.swap(ptr::null_mut(), Ordering::AcqRel);
        let mut oldest = ptr::null_mut();
        while let Some(node) = NonNull::new(newest) {
            // SAFETY: I1, I2: the node was inside, so it is alive, and its link is the taker's now.
            let link = unsafe { (*node.as_ptr()).next() };
            newest = link.load(Ordering::Relaxed);
            link.store(oldest, Ordering::Relaxed);
            oldest = node.as_ptr();
        }
        Chain { oldest, _nodes: PhantomData }
    }
}

/// What was in an inbox, oldest first. Its taker owns the nodes.
pub(crate) struct Chain<T> {
    oldest: *mut T,
    _nodes: PhantomData<NonNull<T>>,
}

impl<T: Chained> Iterator for Chain<T> {
    type Item = NonNull<T>;

    #[inline]
    fn next(&mut self) -> Option<NonNull<T>> {
        let node = NonNull::new(self.oldest)?;
        // SAFETY: I1, I2: the node was taken out and not given away yet.
        self.oldest = unsafe { (*node.as_ptr()).next().load(Ordering::Relaxed) };
        Some(node)
    }
}
