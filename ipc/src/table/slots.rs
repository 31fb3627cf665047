//! The slots of a handle table: numbers, generations, what a slot holds.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::time::Instant;

use crate::capability::Capability;
use crate::lineage::CapNode;
use crate::rights::Rights;

/// Numbers that a table has: 0 to 255.
pub const HANDLES_MAX: usize = 256;

/// Slots that are made at a time.
const STEP: usize = 16;

const BITS: usize = u64::BITS as usize;

/// A capability in its slot.
pub(super) struct Held {
    pub(super) capability: Capability,
}

/// What a slot remembers of a capability on its way out.
pub(super) struct Reservation {
    /// Names the reservation; never used twice.
    pub(super) token: u64,
    /// When the sweep may take the number back.
    pub(super) deadline: Instant,
    /// The latest revocation when it was made.
    pub(super) epoch: u64,
    pub(super) node: Arc<CapNode>,
    pub(super) rights: Rights,
    /// Whose process it is taken from.
    pub(super) pid: i32,
    /// The history says that it was taken.
    pub(super) is_recorded: bool,
}

/// What is in a slot.
pub(super) enum State {
    /// Nothing.
    Free,
    /// Nothing yet: the number is set aside.
    Landing,
    /// A capability.
    Held(Held),
    /// Nothing any more, or for the time being.
    Reserved(Reservation),
}

struct Slot {
    state: State,
    /// Moves with every change of the slot; never 0.
    generation: u32,
    cloexec: bool,
}

impl Slot {
    #[inline]
    fn change(&mut self, state: State) {
        self.moves();
        self.state = state;
    }

    #[inline]
    fn moves(&mut self) {
        self.generation = self.generation.wrapping_add(1).max(1);
    }
}

/// The slots, as many as were needed so far. Numbers are handed out next-fit, so that one that was closed
/// names nothing for as long as possible.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    used: [u64; HANDLES_MAX / BITS],
    /// Where the search for a free number begins.
    next: usize,
}

impl Slots {
    /// Bytes that `count` slots take.
    pub(super) fn bytes(count: usize) -> usize {
        count * size_of::<Slot>()
    }

    /// Slots there is room for.
    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Room that is needed so that `slot` exists.
    pub(super) fn capacity_for(slot: usize) -> usize {
        (slot + 1).next_multiple_of(STEP).min(HANDLES_MAX)
    }

    /// Makes room for `capacity` slots.
    pub(super) fn grow(&mut self, capacity: usize) {
        let new = || Slot { state: State::Free, generation: 1, cloexec: false };
        if capacity > self.slots.len() {
            self.slots.resize_with(capacity, new);
        }
    }

    /// Numbers in use.
    pub(super) fn len(&self) -> usize {
        self.used.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The first free number from where the last search ended, around the end; it may have no slot yet.
    pub(super) fn next_free(&self) -> Option<usize> {
        let from = |start: usize| {
            let mut word = start / BITS;
            let mut skip = (1u64 << (start % BITS)) - 1;
            while let Some(bits) = self.used.get(word) {
                let free = !(bits | skip);
                if free != 0 {
                    return Some(word * BITS + free.trailing_zeros() as usize);
                }
                skip = 0;
                word += 1;
            }
            None
        };
        from(self.next % HANDLES_MAX).or_else(|| from(0))
    }

    /// Sets a free number aside.
    pub(super) fn take(&mut self, slot: usize, cloexec: bool) {
        self.mark(slot, true);
        self.next = slot + 1;
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.cloexec = cloexec;
            slot.change(State::Landing);
        }
    }

    /// Replaces what is in a slot; the number stays in use.
    #[inline]
    pub(super) fn set(&mut self, slot: usize, state: State) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.change(state);
        }
    }

    /// Takes the capability out of a slot, which becomes `left`; the number stays in use. Nothing happens to a slot that
    /// has none.
    #[inline]
    pub(super) fn take_held(&mut self, slot: usize, left: State) -> Option<Held> {
        let slot = self.slots.get_mut(slot)?;
        if !matches!(slot.state, State::Held(_)) {
            return None;
        }
        slot.moves();
        match core::mem::replace(&mut slot.state, left) {
            State::Held(held) => Some(held),
            _ => None,
        }
    }

    /// Frees a number that is reserved: the reservation, which may be the last to know its object.
    #[inline]
    pub(super) fn take_reservation(&mut self, slot: usize) -> Option<Reservation> {
        let place = self.slots.get_mut(slot)?;
        if !matches!(place.state, State::Reserved(_)) {
            return None;
        }
        place.moves();
        let state = core::mem::replace(&mut place.state, State::Free);
        self.mark(slot, false);
        match state {
            State::Reserved(reservation) => Some(reservation),
            _ => None,
        }
    }

    /// Frees a number, whatever is there.
    pub(super) fn free(&mut self, slot: usize) {
        self.mark(slot, false);
        self.set(slot, State::Free);
    }

    /// Frees a number that holds a capability, which is returned.
    pub(super) fn empty(&mut self, slot: usize) -> Option<Held> {
        let held = self.take_held(slot, State::Free)?;
        self.mark(slot, false);
        Some(held)
    }

    fn mark(&mut self, slot: usize, used: bool) {
        if let Some(word) = self.used.get_mut(slot / BITS) {
            let bit = 1 << (slot % BITS);
            *word = if used { *word | bit } else { *word & !bit };
        }
    }

    /// What is in a slot.
    pub(super) fn state(&self, slot: usize) -> Option<&State> {
        self.slots.get(slot).map(|slot| &slot.state)
    }

    /// The capability in a slot.
    #[inline]
    pub(super) fn held(&self, slot: usize) -> Option<&Held> {
        match &self.slots.get(slot)?.state {
            State::Held(held) => Some(held),
            _ => None,
        }
    }

    /// As [`held`](Self::held), to change it.
    pub(super) fn held_mut(&mut self, slot: usize) -> Option<&mut Held> {
        match &mut self.slots.get_mut(slot)?.state {
            State::Held(held) => Some(held),
            _ => None,
        }
    }

    /// The reservation of a slot.
    pub(super) fn reservation(&self, slot: usize) -> Option<&Reservation> {
        match &self.slots.get(slot)?.state {
            State::Reserved(reservation) => Some(reservation),
            _ => None,
        }
    }

    /// As [`reservation`](Self::reservation), to change it.
    pub(super) fn reservation_mut(&mut self, slot: usize) -> Option<&mut Reservation> {
        match &mut self.slots.get_mut(slot)?.state {
            State::Reserved(reservation) => Some(reservation),
            _ => None,
        }
    }

    /// The slot's generation; 0 when there is no such slot.
    pub(super) fn generation(&self, slot: usize) -> u32 {
        self.slots.get(slot).map_or(0, |slot| slot.generation)
    }

    /// True when the slot is closed on exec.
    pub(super) fn cloexec(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.cloexec)
    }

    /// Makes a slot what it is in the table that this one is copied from.
    pub(super) fn copy_marks(&mut self, slot: usize, generation: u32, cloexec: bool) {
        if let Some(slot) = self.slots.get_mut(slot) {
            (slot.generation, slot.cloexec) = (generation, cloexec);
        }
    }

    /// The first number in use from `from` on.
    pub(super) fn next_used(&self, from: usize) -> Option<usize> {
        (from..self.slots.len())
            .find(|&slot| self.used.get(slot / BITS).is_some_and(|word| word & (1 << (slot % BITS)) != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_next_fit_and_around_the_end() {
        let mut slots = Slots::default();
        slots.grow(HANDLES_MAX);
        for expected in 0..HANDLES_MAX {
            assert_eq!(slots.next_free(), Some(expected));
            slots.take(expected, false);
        }
        assert_eq!(slots.next_free(), None);
        slots.free(3);
        slots.free(200);
        assert_eq!(slots.next_free(), Some(3), "around the end");
        slots.take(3, false);
        assert_eq!(slots.next_free(), Some(200));
        assert_eq!(slots.len(), HANDLES_MAX - 1);
    }

    #[test]
    fn every_change_moves_the_generation() {
        let mut slots = Slots::default();
        slots.grow(Slots::capacity_for(0));
        let first = slots.generation(0);
        slots.take(0, true);
        let taken = slots.generation(0);
        slots.free(0);
        assert!(first < taken && taken < slots.generation(0));
        assert_eq!(slots.generation(500), 0);
    }
}
