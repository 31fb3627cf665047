//! The items of one epoll instance as slots, with the list of those that are ready running through them.
//!
//! ```text
//!                 notify                  take                  finish: not ready, or edge-triggered
//!      Idle ----------------> Linked ----------------> Busy ----------------------------------> Idle
//!        ^                      ^                      |   |
//!        | drop_unready         +----------------------+   | notify
//!        +--- (Linked)            finish: still ready      v
//!                               ^                      BusyAgain
//!                               +----------------------+
//!                                 finish: whatever it was
//! ```
//!
//! An item is on the list at most once. `Busy` is an item that one waiter looks at: no other takes it, so an
//! edge goes to one waiter only, and a notice that comes meanwhile is kept. An item that is removed while it
//! is busy leaves its slot when the waiter has finished.
//!
//! Slots are named by a [`Handle`] with a key that never comes again, so a notice for an item that is gone
//! does not reach whoever has its slot now. Nothing here allocates but `insert`, and all else is O(1).

use alloc::boxed::Box;
use alloc::vec::Vec;

use base::{Errno, Result};

use super::interest::Interest;

/// No slot.
const NONE: u32 = u32::MAX;

/// Slots that are made at a time.
const CHUNK: usize = 32;

/// An item of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    slot: u32,
    key: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Idle,
    Linked,
    Busy,
    BusyAgain,
    /// Removed while busy.
    Gone,
}

struct Slot<F> {
    key: u64,
    state: State,
    interest: Interest,
    data: u64,
    file: Option<F>,
    /// Neighbours on the list of the ready, or the next free slot.
    next: u32,
    previous: u32,
    /// Told of while it was linked, since somebody last peeked.
    touched: bool,
    /// Modified while it was busy.
    modified: bool,
}

/// What a notice did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Notice {
    /// The item is on the list now.
    Linked,
    /// It was there, or is being looked at.
    Known,
    /// It is gone or disarmed.
    Ignored,
}

/// An item to look at.
#[derive(Debug)]
pub(super) struct Taken<F> {
    pub(super) handle: Handle,
    pub(super) interest: Interest,
    pub(super) data: u64,
    pub(super) file: F,
}

/// What becomes of an item that has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Off the list, until the next notice.
    Quiet,
    /// To the end of the list.
    Again,
    /// Back to the front: it could not be reported.
    Retry,
    /// Disarmed, until it is modified.
    Disarm,
}

/// See the [module](self).
pub(super) struct ReadyList<F> {
    chunks: Vec<Box<[Slot<F>]>>,
    free: u32,
    front: u32,
    back: u32,
    linked: usize,
    busy: usize,
    next_key: u64,
}

impl<F: Clone> ReadyList<F> {
    pub(super) const fn new() -> ReadyList<F> {
        ReadyList { chunks: Vec::new(), free: NONE, front: NONE, back: NONE, linked: 0, busy: 0, next_key: 1 }
    }

    /// Items on the list.
    pub(super) fn linked(&self) -> usize {
        self.linked
    }

    /// True while a waiter looks at an item.
    pub(super) fn is_busy(&self) -> bool {
        self.busy > 0
    }

    /// A new item, not ready.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn insert(&mut self, interest: Interest, data: u64, file: F) -> Result<Handle> {
        if self.free == NONE {
            self.grow()?;
        }
        let (slot, key) = (self.free, self.next_key);
        let entry = self.slot_mut(slot).ok_or(Errno::ENOMEM)?;
        let next_free = entry.next;
        *entry = Slot { key, state: State::Idle, ..Slot::free(NONE) };
        (entry.interest, entry.data, entry.file) = (interest, data, Some(file));
        self.free = next_free;
        self.next_key += 1;
        Ok(Handle { slot, key })
    }

    fn grow(&mut self) -> Result<()> {
        let first = u32::try_from(self.chunks.len() * CHUNK).map_err(|_| Errno::ENOMEM)?;
        let last = first.checked_add(CHUNK as u32).filter(|end| *end < NONE).ok_or(Errno::ENOMEM)?;
        self.chunks.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(CHUNK).map_err(|_| Errno::ENOMEM)?;
        chunk.extend((first + 1..last).chain([NONE]).map(Slot::free));
        self.chunks.push(chunk.into_boxed_slice());
        self.free = first;
        Ok(())
    }

    /// Removes an item. Gives what it held, to be dropped outside the lock.
    pub(super) fn remove(&mut self, handle: Handle) -> Option<F> {
        let entry = self.find(handle)?;
        let file = entry.file.take();
        match entry.state {
            State::Linked => {
                self.unlink(handle.slot);
                self.release(handle.slot);
            }
            State::Busy | State::BusyAgain => entry.state = State::Gone,
            _ => self.release(handle.slot),
        }
        file
    }

    /// Changes what an item asks for.
    pub(super) fn modify(&mut self, handle: Handle, interest: Interest, data: u64) {
        if let Some(entry) = self.find(handle) {
            (entry.interest, entry.data) = (interest, data);
            entry.modified = true;
        }
    }

    /// What an item asks for and its data, for the descriptions; `None` when it is gone.
    pub(super) fn asked(&mut self, handle: Handle) -> Option<(Interest, u64)> {
        self.find(handle).map(|entry| (entry.interest, entry.data))
    }

    /// Something happened to the item's file.
    pub(super) fn notify(&mut self, handle: Handle) -> Notice {
        let Some(entry) = self.find(handle).filter(|entry| !entry.interest.events().is_empty()) else {
            return Notice::Ignored;
        };
        match entry.state {
            State::Idle => {
                self.link_back(handle.slot);
                Notice::Linked
            }
            State::Linked => {
                entry.touched = true;
                Notice::Known
            }
            State::Busy | State::BusyAgain => {
                entry.state = State::BusyAgain;
                Notice::Known
            }
            State::Free | State::Gone => Notice::Ignored,
        }
    }

    /// The oldest ready item, off the list and busy until [`ReadyList::finish`].
    pub(super) fn take(&mut self) -> Option<Taken<F>> {
        let slot = self.front;
        if slot == NONE {
            return None;
        }
        self.unlink(slot);
        let entry = self.slot_mut(slot)?;
        (entry.state, entry.modified) = (State::Busy, false);
        let taken = entry.taken(slot);
        self.busy += usize::from(taken.is_some());
        taken
    }

    /// The item has been looked at. True when it is on the list again because of something that happened
    /// meanwhile, of which nobody was told.
    pub(super) fn finish(&mut self, handle: Handle, after: After) -> bool {
        self.busy = self.busy.saturating_sub(1);
        let Some(entry) = self.slot_mut(handle.slot).filter(|entry| entry.key == handle.key) else {
            return false;
        };
        if entry.state == State::Gone {
            self.release(handle.slot);
            return false;
        }
        let again = entry.state == State::BusyAgain;
        entry.state = State::Idle;
        if after == After::Disarm && !entry.modified {
            entry.interest = entry.interest.disarmed();
            return false;
        }
        match after {
            After::Retry => self.link_front(handle.slot),
            After::Again => self.link_back(handle.slot),
            After::Quiet | After::Disarm if again => self.link_back(handle.slot),
            After::Quiet | After::Disarm => {}
        }
        again
    }

    /// The oldest ready item, which stays where it is.
    pub(super) fn peek(&mut self) -> Option<Taken<F>> {
        let slot = self.front;
        let entry = self.slot_mut(slot)?;
        entry.touched = false;
        entry.taken(slot)
    }

    /// Takes an item off the list that turned out not to be ready, unless it was told of since the peek.
    pub(super) fn drop_unready(&mut self, handle: Handle) {
        if self.find(handle).is_some_and(|entry| entry.state == State::Linked && !entry.touched) {
            self.unlink(handle.slot);
            if let Some(entry) = self.slot_mut(handle.slot) {
                entry.state = State::Idle;
            }
        }
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot<F>> {
        let slot = slot as usize;
        self.chunks.get_mut(slot / CHUNK)?.get_mut(slot % CHUNK)
    }

    /// The slot of an item that has not been removed.
    fn find(&mut self, handle: Handle) -> Option<&mut Slot<F>> {
        self.slot_mut(handle.slot).filter(|entry| entry.key == handle.key && entry.state != State::Gone)
    }

    fn release(&mut self, slot: u32) {
        let free = self.free;
        if let Some(entry) = self.slot_mut(slot) {
            *entry = Slot::free(free);
            self.free = slot;
        }
    }

    fn link_back(&mut self, slot: u32) {
        let back = self.back;
        self.place(slot, back, NONE);
        match self.slot_mut(back) {
            Some(last) => last.next = slot,
            None => self.front = slot,
        }
        self.back = slot;
    }

    fn link_front(&mut self, slot: u32) {
        let front = self.front;
        self.place(slot, NONE, front);
        match self.slot_mut(front) {
            Some(first) => first.previous = slot,
            None => self.back = slot,
        }
        self.front = slot;
    }

    fn place(&mut self, slot: u32, previous: u32, next: u32) {
        if let Some(entry) = self.slot_mut(slot) {
            (entry.previous, entry.next, entry.state, entry.touched) = (previous, next, State::Linked, true);
            self.linked += 1;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some(entry) = self.slot_mut(slot) else { return };
        let (previous, next) = (entry.previous, entry.next);
        (entry.previous, entry.next) = (NONE, NONE);
        match self.slot_mut(previous) {
            Some(entry) => entry.next = next,
            None => self.front = next,
        }
        match self.slot_mut(next) {
            Some(entry) => entry.previous = previous,
            None => self.back = previous,
        }
        self.linked -= 1;
    }
}

impl<F: Clone> Slot<F> {
    fn free(next: u32) -> Slot<F> {
        Slot {
            key: 0,
            state: State::Free,
            interest: Interest::from_program(0),
            data: 0,
            file: None,
            next,
            previous: NONE,
            touched: false,
            modified: false,
        }
    }

    fn taken(&self, slot: u32) -> Option<Taken<F>> {
        let handle = Handle { slot, key: self.key };
        let file = self.file.clone()?;
        Some(Taken { handle, interest: self.interest, data: self.data, file })
    }
}

#[cfg(test)]
mod tests;
