//! The timer node: one deadline on one wheel.
//!
//! # Life
//!
//! ```text
//!              (1) arm                 (2) fire: target taken out under the lock,
//!    Idle ----------------->  Armed        called after it ------------> Idle
//!     ^                         |
//!     +------ (3) cancel, drop -+
//! ```
//!
//! Edges 1 and 3 belong to the owner, edge 2 to the CPU that owns the wheel. All happen under the
//! wheel's lock. A node can be cancelled from any CPU: it knows its wheel.
//!
//! # Invariants
//!
//! - **T1** An armed node is pinned and alive: its owner goes through edge 3 before it is dropped.
//! - **T2** `armed` is initialised by edge 1. Its fields are touched only under the lock of the wheel in `home` while that is
//!   not null, and only by the owner otherwise.
//! - **T3** `home = null` is the last thing that edge 2 does to a node (release); the owner that reads
//!   it (acquire) may free the node at once.
//! - **T4** Wheels live for ever, and `home` becomes a wheel only under that wheel's lock.

use alloc::sync::Arc;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::task::Waker;

use base::sync::atomic::{AtomicPtr, Ordering};
use base::sync::cell::UnsafeCell;
use base::time::Instant;

use super::wheel::{Place, WheelLock};
use crate::list::{Linked, Links};

/// How many timers fire for one hold of the wheel's lock.
const BATCH: usize = 8;

/// Something that is told when a [`Timer`](super::Timer) fires.
pub trait TimerTarget: Send + Sync {
    /// The timer that was armed for `deadline` is due.
    ///
    /// Called without any lock, from the executor's loop: it only records and wakes. It may still
    /// come once after the timer was cancelled on another CPU.
    fn expired(&self, deadline: Instant);
}

/// What a firing timer does.
pub(crate) enum Target {
    /// Wakes a task.
    Wake(Waker),
    /// Calls a target.
    Call(Arc<dyn TimerTarget>),
}

/// What edge 2 took out of a node.
pub(crate) struct Fired {
    deadline: u64,
    target: Target,
}

impl Fired {
    /// Does what the timer is for. Called without any lock.
    pub(crate) fn deliver(self) {
        match self.target {
            Target::Wake(waker) => waker.wake(),
            Target::Call(target) => target.expired(Instant::from_nanos(self.deadline)),
        }
    }
}

struct Armed {
    deadline: u64,
    target: Option<Target>,
    place: Place,
    keeping: bool,
}

/// One deadline. It is pinned by the future or the timer that embeds it.
pub(crate) struct TimerNode {
    links: UnsafeCell<Links<TimerNode>>,
    home: AtomicPtr<WheelLock>,
    /// Written by edge 1 and left without anything to drop by edges 2 and 3, so that a node which is
    /// never armed costs next to nothing.
    armed: UnsafeCell<MaybeUninit<Armed>>,
    _pinned: PhantomPinned,
}

// SAFETY: T2 says who touches the cells and when.
unsafe impl Send for TimerNode {}
// SAFETY: as above.
unsafe impl Sync for TimerNode {}

// SAFETY: the one cell of the node.
unsafe impl Linked for TimerNode {
    #[inline]
    fn links(&self) -> &UnsafeCell<Links<TimerNode>> {
        &self.links
    }
}

impl TimerNode {
    /// An idle node.
    #[inline(always)]
    pub(crate) fn new() -> TimerNode {
        TimerNode {
            links: UnsafeCell::new(Links::UNLINKED),
            home: AtomicPtr::new(ptr::null_mut()),
            armed: UnsafeCell::new(MaybeUninit::uninit()),
            _pinned: PhantomPinned,
        }
    }

    /// True from edge 1 until edge 2 or 3.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        !self.home.load(Ordering::Acquire).is_null()
    }

    /// Edge 1: arms the node on `wheel`. The caller looks whether the hardware has to know.
    ///
    /// `keeping` says that a run with this timer armed is no deadlock.
    ///
    /// # Safety
    ///
    /// T1: the caller owns the node, which is idle and pinned, and cancels it before it is dropped.
    pub(crate) unsafe fn arm(
        &self,
        wheel: &'static WheelLock,
        deadline: Instant,
        target: Target,
        keeping: bool,
    ) {
        let armed = Armed { deadline: deadline.as_nanos(), target: Some(target), place: Place::Due, keeping };
        wheel.with(|wheel_inside| {
            // SAFETY: T2, the node is idle and the caller owns it; nothing in it needs a drop.
            self.armed.with_mut(|place| unsafe { (*place).write(armed) });
            // SAFETY: T1, L1, L2: the node is idle and pinned; the lock is held.
            unsafe { wheel_inside.insert(NonNull::from(self)) };
            self.home.store(ptr::from_ref(wheel).cast_mut(), Ordering::Relaxed);
        });
    }

    /// Edge 3: takes the node off its wheel; nothing when it is on none. True when it was on one.
    #[inline]
    pub(crate) fn cancel(&self) -> bool {
        let home = self.home.load(Ordering::Acquire);
        // SAFETY: T4, wheels live for ever.
        unsafe { home.as_ref() }.is_some_and(|wheel| self.take_off(wheel))
    }

    fn take_off(&self, wheel: &WheelLock) -> bool {
        let target = wheel.with_removal(|wheel| {
            // T4: under the lock the answer is stable. Only the owner arms, so no other wheel came.
            if self.home.load(Ordering::Acquire).is_null() {
                return None;
            }
            // SAFETY: the node is on this wheel, whose lock is held.
            unsafe { wheel.remove(NonNull::from(self)) };
            // SAFETY: T2, as above.
            let target = self.armed.with_mut(|armed| unsafe { (*armed).assume_init_mut().target.take() });
            self.home.store(ptr::null_mut(), Ordering::Release);
            target
        });
        // The target is dropped outside the lock: it may be the last reference to something.
        target.is_some()
    }

    /// When it is due. Under the lock of its wheel (T2).
    pub(super) fn deadline(&self) -> u64 {
        // SAFETY: T2, the caller holds the wheel's lock.
        self.armed.with(|armed| unsafe { (*armed).assume_init_ref().deadline })
    }

    /// Where it stands. Under the lock of its wheel (T2).
    pub(super) fn place(&self) -> Place {
        // SAFETY: T2, the caller holds the wheel's lock.
        self.armed.with(|armed| unsafe { (*armed).assume_init_ref().place })
    }

    /// Whether it keeps a run from being a deadlock. Under the lock of its wheel (T2).
    pub(super) fn keeping(&self) -> bool {
        // SAFETY: T2, the caller holds the wheel's lock.
        self.armed.with(|armed| unsafe { (*armed).assume_init_ref().keeping })
    }

    /// Remembers where it stands. Under the lock of its wheel (T2).
    pub(super) fn set_place(&self, place: Place) {
        // SAFETY: T2, the caller holds the wheel's lock.
        self.armed.with_mut(|armed| unsafe { (*armed).assume_init_mut().place = place });
    }

    /// Edge 2: takes out what the timer does and lets go of the node.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the wheel that the node has just been taken off, and does not
    /// touch the node again (T3).
    unsafe fn fire(node: NonNull<TimerNode>) -> Option<Fired> {
        let node = node.as_ptr();
        // SAFETY: T1, T2: the node was on the wheel, and its lock is held.
        let fired = unsafe {
            (*node).armed.with_mut(|armed| {
                let armed = (*armed).assume_init_mut();
                let target = armed.target.take()?;
                Some(Fired { deadline: armed.deadline, target })
            })
        };
        // SAFETY: T3, until this store the owner cannot have seen the node idle.
        unsafe { (*node).home.store(ptr::null_mut(), Ordering::Release) };
        fired
    }
}

impl Drop for TimerNode {
    #[inline]
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Fires what is due on `wheel` at `now`.
pub(crate) fn fire_due(wheel: &'static WheelLock, now: Instant) {
    loop {
        let mut batch = [const { None::<Fired> }; BATCH];
        let taken = wheel.with(|wheel| {
            for (index, place) in batch.iter_mut().enumerate() {
                let Some(node) = wheel.expire(now) else { return index };
                // SAFETY: the lock is held and the node was just taken off.
                *place = unsafe { TimerNode::fire(node) };
            }
            BATCH
        });
        for fired in batch.into_iter().flatten() {
            fired.deliver();
        }
        if taken < BATCH {
            return;
        }
    }
}
