//! The wheel: all deadlines of one CPU, to the nanosecond.
//!
//! Eleven levels of 64 slots cover the whole range of the clock. A deadline goes to the level of
//! the highest group of six bits in which it differs from the wheel's own time, and there to the
//! slot that this group names, so inserting and removing touch one slot. Whatever is on a lower
//! level is earlier than everything on a higher one, and the slots of a level are in order. A slot
//! remembers the earliest deadline that was ever put into it, so the hardware is armed for a real
//! deadline and not for the beginning of a slot; after a removal it may be early, which costs one
//! look. When the time comes the slot is emptied: what is due fires, the rest moves down.

use alloc::boxed::Box;
use core::ptr::NonNull;

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::time::Instant;

use super::node::TimerNode;
use crate::list::List;

/// Bits of one level.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 11;

/// A wheel, the lock that guards it, and its next deadline to be read without the lock. It lives for
/// ever: nodes point at it.
pub(crate) struct WheelLock {
    wheel: SpinLock<Wheel>,
    next: AtomicU64,
}

impl WheelLock {
    /// An empty wheel.
    pub(crate) fn new() -> WheelLock {
        WheelLock { wheel: SpinLock::new(LockClass::Timer, Wheel::new()), next: AtomicU64::new(u64::MAX) }
    }

    /// Runs `action` under the lock, and publishes the next deadline before it is released.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut Wheel) -> R) -> R {
        let mut wheel = self.wheel.lock();
        let result = action(&mut wheel);
        let next = wheel.next().map_or(u64::MAX, Instant::as_nanos);
        self.next.store(next, Ordering::Relaxed);
        result
    }

    /// Like [`with`](Self::with), where the published deadline may stay as it is: too early is
    /// harmless.
    pub(super) fn with_removal<R>(&self, action: impl FnOnce(&mut Wheel) -> R) -> R {
        action(&mut self.wheel.lock())
    }

    /// No timer is due before this instant, in nanoseconds; `u64::MAX` when none is armed.
    #[inline]
    pub(crate) fn next_nanos(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Number of armed timers, and how many of them keep a run from being a deadlock.
    pub(crate) fn armed(&self) -> (usize, usize) {
        let wheel = self.wheel.lock();
        (wheel.armed, wheel.keeping)
    }
}

struct Slot {
    nodes: List<TimerNode>,
    /// No deadline in the slot is earlier.
    earliest: u64,
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a slot.
    Slot {
        /// From the finest, 0.
        level: u8,
        /// Within the level.
        slot: u8,
    },
    /// On the list of those that are due.
    Due,
}

/// All deadlines of one CPU.
pub(super) struct Wheel {
    /// Level after level, the finest first.
    slots: Box<[Slot]>,
    /// One bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    /// Timers that are due and not fired yet.
    due: List<TimerNode>,
    /// The wheel's time: every deadline in a slot is later, or was when it came.
    elapsed: u64,
    /// Armed timers.
    armed: usize,
    /// Armed timers on which work that is not a daemon's depends.
    keeping: usize,
}

impl Wheel {
    /// An empty wheel at time zero.
    fn new() -> Wheel {
        let empty = |_| Slot { nodes: List::new(), earliest: u64::MAX };
        Wheel {
            // Collected, so that the slots never lie on the small kernel stack.
            slots: (0..LEVELS * SLOTS).map(empty).collect(),
            occupied: [0; LEVELS],
            due: List::new(),
            elapsed: 0,
            armed: 0,
            keeping: 0,
        }
    }

    /// No timer is due before this instant; nothing when no timer is armed.
    fn next(&self) -> Option<Instant> {
        if !self.due.is_empty() {
            return Some(Instant::BOOT);
        }
        let (level, slot) = self.first()?;
        Some(Instant::from_nanos(self.slot(level, slot)?.earliest))
    }

    /// Puts `node` where its deadline belongs.
    ///
    /// # Safety
    ///
    /// T1, L1, L2: the node is on no wheel and stays in place until it is off this one again; the
    /// caller holds the lock of this wheel.
    pub(super) unsafe fn insert(&mut self, node: NonNull<TimerNode>) {
        self.armed += 1;
        // SAFETY: T2, the lock is held.
        self.keeping += usize::from(unsafe { node.as_ref().keeping() });
        // SAFETY: the caller's promise.
        unsafe { self.place(node) };
    }

    /// Takes `node` off.
    ///
    /// # Safety
    ///
    /// The node is on this wheel, and the caller holds the wheel's lock.
    pub(super) unsafe fn remove(&mut self, node: NonNull<TimerNode>) {
        // SAFETY: T1, T2: the node is alive and the lock is held.
        let (place, keeping) = unsafe { (node.as_ref().place(), node.as_ref().keeping()) };
        match place {
            // SAFETY: the node is on the list that its place names.
            Place::Due => unsafe { self.due.remove(node) },
            Place::Slot { level, slot } => {
                if let Some(target) = self.slot_mut(level, slot) {
                    // SAFETY: as above.
                    unsafe { target.nodes.remove(node) };
                    if target.nodes.is_empty() {
                        self.vacate(level, slot);
                    }
                }
            }
        }
        self.armed -= 1;
        self.keeping -= usize::from(keeping);
    }

    /// Takes one timer off that is due at `now`, earlier slots first. The caller holds the lock.
    pub(super) fn expire(&mut self, now: Instant) -> Option<NonNull<TimerNode>> {
        if self.due.is_empty() {
            self.collect_due(now.as_nanos());
        }
        let node = self.due.pop_front()?;
        self.armed -= 1;
        // SAFETY: T1, T2: the node was on the wheel and the lock is held.
        self.keeping -= usize::from(unsafe { node.as_ref().keeping() });
        Some(node)
    }

    /// Empties slots from the earliest on until one gave a due timer, or none is left that can.
    fn collect_due(&mut self, now: u64) {
        while self.due.is_empty() {
            let Some((level, slot)) = self.first() else { return };
            let Some(source) = self.slot_mut(level, slot) else { return };
            if source.earliest > now {
                return;
            }
            let mut nodes = core::mem::replace(&mut source.nodes, List::new());
            self.vacate(level, slot);
            // Nothing is left before this slot, so the wheel's time may move to its beginning, and
            // what stays in it is placed on lower levels.
            let shift = u32::from(level) * BITS;
            let above = u64::MAX.checked_shl(shift + BITS).unwrap_or(0);
            let start = (self.elapsed & above) | (u64::from(slot) << shift);
            self.elapsed = self.elapsed.max(start);
            while let Some(node) = nodes.pop_front() {
                // SAFETY: T1, T2: the node was on the wheel, and the lock is held; L1: it was just
                // taken off its list.
                unsafe {
                    if node.as_ref().deadline() <= now {
                        node.as_ref().set_place(Place::Due);
                        self.due.push_back(node);
                    } else {
                        self.place(node);
                    }
                }
            }
        }
    }

    /// # Safety
    ///
    /// As for [`insert`](Self::insert).
    unsafe fn place(&mut self, node: NonNull<TimerNode>) {
        // SAFETY: T1, T2: the node is alive and the lock is held.
        let deadline = unsafe { node.as_ref().deadline() };
        // A deadline that has passed goes where it is found first.
        let effective = deadline.max(self.elapsed);
        let differing = effective ^ self.elapsed;
        let level = (63 - (differing | 1).leading_zeros()) / BITS;
        let slot = (effective >> (level * BITS)) as usize % SLOTS;
        let (level, slot) = (level as u8, slot as u8);
        // SAFETY: as above.
        unsafe { node.as_ref().set_place(Place::Slot { level, slot }) };
        if let Some(target) = self.slot_mut(level, slot) {
            target.earliest = target.earliest.min(deadline);
            // SAFETY: L1, L2 from the caller's promise.
            unsafe { target.nodes.push_back(node) };
        }
        if let Some(occupied) = self.occupied.get_mut(usize::from(level)) {
            *occupied |= 1 << slot;
        }
    }

    /// Marks an empty slot as free.
    fn vacate(&mut self, level: u8, slot: u8) {
        if let Some(target) = self.slot_mut(level, slot) {
            target.earliest = u64::MAX;
        }
        if let Some(occupied) = self.occupied.get_mut(usize::from(level)) {
            *occupied &= !(1 << slot);
        }
    }

    /// The slot with the earliest deadlines.
    fn first(&self) -> Option<(u8, u8)> {
        let level = self.occupied.iter().position(|&occupied| occupied != 0)?;
        let slot = self.occupied.get(level)?.trailing_zeros();
        Some((level as u8, slot as u8))
    }

    fn slot(&self, level: u8, slot: u8) -> Option<&Slot> {
        self.slots.get(usize::from(level) * SLOTS + usize::from(slot))
    }

    fn slot_mut(&mut self, level: u8, slot: u8) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(level) * SLOTS + usize::from(slot))
    }
}
