//! Bounded histories: the last references and transfers of an object, oldest overwritten.

use base::machine;
use base::sync::{LockClass, SpinLock};
use base::time::Instant;

/// Transfers that an object remembers.
pub const TRANSFERS: usize = 32;
/// References that an object remembers.
pub const REFERENCES: usize = 16;

/// The last `N` entries.
#[derive(Clone, Copy)]
pub struct History<T: Copy, const N: usize> {
    entries: [Option<(u32, T)>; N],
    /// Sequence number of the last entry; 0 before the first.
    last: u32,
}

impl<T: Copy, const N: usize> History<T, N> {
    /// A history of nothing.
    #[must_use]
    pub const fn new() -> Self {
        History { entries: [None; N], last: 0 }
    }

    /// Adds an entry that is made from its sequence number.
    pub fn push(&mut self, make: impl FnOnce(u32) -> T) {
        self.last = self.last.wrapping_add(1).max(1);
        let place = self.last as usize % N.max(1);
        if let Some(entry) = self.entries.get_mut(place) {
            *entry = Some((self.last, make(self.last)));
        }
    }

    /// The entries that are retained, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let start = (self.last as usize + 1) % N.max(1);
        let (newer, older) = self.entries.split_at(start.min(N));
        older.iter().chain(newer).flatten().map(|(_, entry)| entry)
    }
}

impl<T: Copy, const N: usize> Default for History<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A step of a capability that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum TransferEvent {
    /// Taken out of its slot.
    Take = 1,
    /// Queued in a message.
    Enqueue = 2,
    /// The message was received.
    Deliver = 3,
    /// Put into the receiver's table.
    Install = 4,
    /// Put back into its slot.
    Restore = 5,
    /// Lost on its way.
    Drop = 6,
    /// The sender's claim is over: the move is complete.
    Release = 7,
}

impl TransferEvent {
    /// The name that text files show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TransferEvent::Take => "take",
            TransferEvent::Enqueue => "enqueue",
            TransferEvent::Deliver => "deliver",
            TransferEvent::Install => "install",
            TransferEvent::Restore => "restore",
            TransferEvent::Drop => "drop",
            TransferEvent::Release => "release",
        }
    }
}

/// A step of a capability that moves: what, from whom, to whom.
pub(crate) type Step = (TransferEvent, i32, i32);

/// One entry of the transfer history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// When, in nanoseconds since boot.
    pub at_ns: u64,
    /// The how manieth of the object.
    pub seq: u32,
    /// Whose it was; -1 when it was nobody's.
    pub from_pid: i32,
    /// Whose it became; -1 when nobody's.
    pub to_pid: i32,
    /// Rights of the handle that moved.
    pub rights: u32,
    /// What happened.
    pub event: TransferEvent,
    /// On which CPU.
    pub cpu: u16,
}

impl Transfer {
    pub(super) fn new(
        now: Instant,
        event: TransferEvent,
        from_pid: i32,
        to_pid: i32,
        rights: u32,
    ) -> impl FnOnce(u32) -> Transfer {
        move |seq| Transfer { at_ns: now.as_nanos(), seq, from_pid, to_pid, rights, event, cpu: this_cpu() }
    }
}

/// A change of the number of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ReferenceEvent {
    /// The object was made.
    Init = 1,
    /// One more.
    Get = 2,
    /// One less.
    Put = 3,
    /// The last one went.
    LastPut = 4,
}

/// One entry of the reference history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// When, in nanoseconds since boot.
    pub at_ns: u64,
    /// The how manieth of the object.
    pub seq: u32,
    /// References afterwards.
    pub after: u32,
    /// What happened.
    pub event: ReferenceEvent,
    /// On which CPU.
    pub cpu: u16,
}

impl Reference {
    #[cfg_attr(not(debug_assertions), allow(dead_code, reason = "references are recorded in debug builds"))]
    pub(super) fn new(now: Instant, event: ReferenceEvent, after: usize) -> impl FnOnce(u32) -> Reference {
        let after = u32::try_from(after).unwrap_or(u32::MAX);
        move |seq| Reference { at_ns: now.as_nanos(), seq, after, event, cpu: this_cpu() }
    }
}

fn this_cpu() -> u16 {
    u16::try_from(machine::cpu_id()).unwrap_or(u16::MAX)
}

/// The histories of an object that handles can name.
pub(crate) struct Histories {
    transfers: SpinLock<History<Transfer, TRANSFERS>>,
    #[cfg(debug_assertions)]
    references: SpinLock<History<Reference, REFERENCES>>,
}

impl Histories {
    /// Those of a new object, which has one reference: its maker's.
    pub(crate) fn new() -> Histories {
        let histories = Histories {
            transfers: SpinLock::new(LockClass::History, History::new()),
            #[cfg(debug_assertions)]
            references: SpinLock::new(LockClass::History, History::new()),
        };
        #[cfg(debug_assertions)]
        histories.record_reference(ReferenceEvent::Init, 1);
        histories
    }

    #[inline]
    pub(super) fn record_transfers(&self, now: Instant, rights: u32, steps: &[Step]) {
        let mut transfers = self.transfers.lock();
        for (event, from, to) in steps {
            transfers.push(Transfer::new(now, *event, *from, *to, rights));
        }
    }

    pub(super) fn transfers(&self, visit: impl FnMut(&Transfer)) {
        // A copy is small enough for the stack, and `visit` may do what it likes.
        let copy = *self.transfers.lock();
        copy.iter().for_each(visit);
    }

    #[cfg(debug_assertions)]
    pub(super) fn record_reference(&self, event: ReferenceEvent, after: usize) {
        let now = machine::now();
        self.references.lock().push(Reference::new(now, event, after));
    }

    pub(super) fn references(&self, visit: impl FnMut(&Reference)) {
        #[cfg(debug_assertions)]
        {
            let copy = *self.references.lock();
            copy.iter().for_each(visit);
        }
        #[cfg(not(debug_assertions))]
        drop(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_goes_first_and_is_overwritten_first() {
        let mut history = History::<u32, 4>::new();
        assert_eq!(history.iter().count(), 0);
        for _ in 0..3 {
            history.push(|seq| seq);
        }
        assert!(history.iter().eq(&[1, 2, 3]));
        for _ in 0..3 {
            history.push(|seq| seq);
        }
        assert!(history.iter().eq(&[3, 4, 5, 6]));
    }
}
