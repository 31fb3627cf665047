//! Capabilities on their way out of a table, and the sweep.
//!
//! A reservation takes the capability out of its slot into a value; the slot keeps the number and a token.
//! Dropped, the value puts everything back where it came from. The sweep is for a value that was leaked, or
//! whose task never runs again: when its time is over, the number is free for others, and what the value
//! still owns is lost with it. Whoever waits with a reservation renews it.

use alloc::sync::Arc;
use core::time::Duration;

use arrayvec::ArrayVec;
use base::caller::Caller;
use base::sync::atomic::{AtomicU64, Ordering};
use base::time::Instant;
use base::trace::capability::Op as Guard;
use base::{Errno, Result, machine};

use super::landing::LANDING_MAX;
use super::slots::{Held, Reservation, State};
use super::{HandleTable, Inner, index};
use crate::capability::{Capability, InFlight};
use crate::lineage::revoke;
use crate::object::NO_PID;
use crate::object::history::TransferEvent;
use crate::rights::AccessOp;
use crate::stats::{Counter, bump};
use crate::trace;

/// Handles that a message may carry.
pub const HANDLES_PER_MESSAGE: usize = LANDING_MAX;

/// How long a reservation lasts unless it is renewed.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// The shortest time that can be set.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);

static TIMEOUT: AtomicU64 = AtomicU64::new(DEFAULT_TIMEOUT.as_nanos() as u64);
static NEXT_TOKEN: AtomicU64 = AtomicU64::new(1);

/// How long a reservation lasts unless it is renewed.
#[must_use]
pub fn timeout() -> Duration {
    Duration::from_nanos(TIMEOUT.load(Ordering::Relaxed))
}

/// Sets how long a reservation lasts, at least 10 ms: for tests. Returns what it was.
pub fn set_timeout(timeout: Duration) -> Duration {
    let nanoseconds = u64::try_from(timeout.max(SHORTEST_TIMEOUT).as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(TIMEOUT.swap(nanoseconds, Ordering::Relaxed))
}

/// The names of one reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The number.
    pub handle: i32,
    /// The reservation's token.
    pub token: u64,
    /// The slot's generation since the reservation.
    pub generation: u32,
}

struct Entry {
    ticket: Ticket,
    /// Nothing once it is committed.
    capability: Option<Capability>,
}

/// Handles that are being sent: out of their slots, not yet in a message.
pub struct Reserved {
    table: Arc<HandleTable>,
    pid: i32,
    taken: Taken,
    entries: ArrayVec<Entry, HANDLES_PER_MESSAGE>,
}

/// What the histories know of the reservations.
#[derive(Clone, Copy)]
enum Taken {
    /// Nothing, nor will they: not all handles of the message could be reserved.
    Not,
    /// Nothing yet: they were made at this moment, and are recorded with the next step.
    At(Instant),
    /// That they were made.
    Recorded,
    /// That they were committed.
    Sent,
}

/// What a message carries.
pub type Handles = [Option<InFlight>; HANDLES_PER_MESSAGE];

impl HandleTable {
    /// Takes `handles` out of their slots, all or none.
    ///
    /// # Errors
    ///
    /// As [`Reserved::take`].
    pub fn reserve(self: &Arc<Self>, caller: &Caller, handles: &[i32]) -> Result<Reserved> {
        let mut reserved = Reserved::none(self, caller);
        reserved.take(handles)?;
        Ok(reserved)
    }

    /// Checks the names of a reservation, as commit and abort do.
    ///
    /// # Errors
    ///
    /// `EBADF` when the slot is empty; `EINVAL` for token or generation 0; `EAGAIN`, counted, when the slot is
    /// not reserved, or by another.
    pub fn check_reservation(&self, ticket: Ticket) -> Result<()> {
        self.inner.lock().check(ticket)
    }
}

impl Inner {
    fn reserve(&mut self, handle: i32, now: Instant) -> Result<Entry> {
        let slot = index(handle)?;
        match self.slots.state(slot) {
            Some(State::Held(held)) => {
                let capability = &held.capability;
                if capability.node().is_revoked() {
                    return Err(Errno::EBADF);
                }
                if !AccessOp::Transfer.is_allowed_by(capability.rights()) {
                    return Err(Errno::EACCES);
                }
                let deadline = now + timeout();
                let reservation = Reservation {
                    token: NEXT_TOKEN.fetch_add(1, Ordering::Relaxed),
                    deadline,
                    epoch: revoke::epoch(),
                    node: capability.node().clone(),
                    rights: capability.rights(),
                };
                let token = reservation.token;
                let Some(Held { capability }) = self.slots.take_held(slot, State::Reserved(reservation))
                else {
                    return Err(Errno::EBADF);
                };
                capability.node().unbind();
                self.reserved += 1;
                self.sweep_at = self.sweep_at.min(deadline);
                let generation = self.slots.generation(slot);
                Ok(Entry { ticket: Ticket { handle, token, generation }, capability: Some(capability) })
            }
            Some(State::Reserved(_)) => Err(Errno::EBUSY),
            _ => Err(Errno::EBADF),
        }
    }

    fn check(&self, ticket: Ticket) -> Result<()> {
        let slot = index(ticket.handle)?;
        if ticket.token == 0 || ticket.generation == 0 {
            return Err(Errno::EINVAL);
        }
        if matches!(self.slots.state(slot), None | Some(State::Free)) {
            return Err(Errno::EBADF);
        }
        let generation = self.slots.generation(slot);
        let found = self.slots.reservation(slot);
        let differs =
            (found.is_some_and(|found| found.token != ticket.token), generation != ticket.generation);
        if found.is_some() && differs == (false, false) {
            return Ok(());
        }
        bump(Counter::CommitEagain);
        let capability = found.map_or(0, |found| found.node.id().as_u64());
        trace::guard(Guard::CommitEagain, capability, || {
            let mask = u64::from(found.is_none()) | u64::from(differs.0) << 1 | u64::from(differs.1) << 2;
            u64::from(ticket.handle.cast_unsigned()) << 32 | mask
        });
        Err(Errno::EAGAIN)
    }

    /// Takes back the numbers of reservations whose time is over.
    #[cold]
    pub(super) fn sweep(&mut self) {
        let now = machine::now();
        let mut next = Instant::FAR_FUTURE;
        for slot in 0..self.slots.capacity() {
            let Some(reservation) = self.slots.reservation(slot) else { continue };
            if reservation.deadline > now {
                next = next.min(reservation.deadline);
                continue;
            }
            let (node, rights) = (reservation.node.clone(), reservation.rights);
            node.record_transfer(TransferEvent::Drop, NO_PID, NO_PID, rights);
            // The value still owns the capability, so no object ends under the lock.
            self.slots.free(slot);
            self.reserved -= 1;
            bump(Counter::Swept);
        }
        self.sweep_at = next;
    }

    /// The end of one reservation that was committed: the number becomes free.
    fn release(&mut self, ticket: Ticket) {
        // One that was swept was recorded as lost then.
        if self.dead || self.check(ticket).is_err() {
            return;
        }
        let Ok(slot) = index(ticket.handle) else { return };
        self.reserved -= 1;
        if let Some(reservation) = self.slots.reservation(slot) {
            note_epoch(reservation);
        }
        self.slots.free(slot);
    }

    /// The end of one that was not: the capability goes back to its slot.
    fn restore(
        &mut self,
        table: &Arc<HandleTable>,
        ticket: Ticket,
        capability: Capability,
    ) -> core::result::Result<(), Lost> {
        if self.dead || self.check(ticket).is_err() {
            return Err(Lost(capability));
        }
        let Ok(slot) = index(ticket.handle) else { return Err(Lost(capability)) };
        self.reserved -= 1;
        self.hold(slot, table, capability).map_err(|refused| Lost(refused.capability))
    }
}

/// Notes a commit when something was revoked since the reservation.
fn note_epoch(reservation: &Reservation) {
    let (expected, current) = (reservation.epoch, revoke::epoch());
    if expected != current {
        bump(Counter::CommitEpochMismatch);
        trace::guard(Guard::CommitEpochMismatch, reservation.node.id().as_u64(), || {
            expected << 32 | current & u64::from(u32::MAX)
        });
    }
}

/// A capability that could not go back.
struct Lost(Capability);

impl Reserved {
    /// No handles yet of `caller`'s table.
    #[inline]
    #[must_use]
    pub fn none(table: &Arc<HandleTable>, caller: &Caller) -> Reserved {
        let pid = caller.pid.cast_signed();
        Reserved { table: table.clone(), pid, taken: Taken::Not, entries: ArrayVec::new_const() }
    }

    /// Takes `handles` out of their slots, all or none: for a value that has none yet.
    ///
    /// # Errors
    ///
    /// Those of the first that cannot be sent: `EBADF`, `EBUSY` when it is being sent already (it may be
    /// listed twice), `EACCES` without the right TRANSFER; `EMSGSIZE` for more than a message carries.
    pub fn take(&mut self, handles: &[i32]) -> Result<()> {
        if handles.len() > self.entries.remaining_capacity() {
            return Err(Errno::EMSGSIZE);
        }
        let now = machine::now();
        {
            let mut inner = self.table.lock();
            for handle in handles {
                // What was reserved so far is put back by the drop.
                self.entries.push(inner.reserve(*handle, now)?);
            }
        }
        self.taken = Taken::At(now);
        if self.entries.len() > 1 {
            // They may name one object, whose history says then that all were taken first.
            self.record();
        }
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// The names of the reservations, for tests and traces.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.entries.iter().map(|entry| entry.ticket)
    }

    /// The capabilities that have not been committed.
    pub fn capabilities(&self) -> impl Iterator<Item = &Capability> {
        self.entries.iter().filter_map(|entry| entry.capability.as_ref())
    }

    /// Records that they were taken, for those who look while the message waits.
    pub fn record(&mut self) {
        let Taken::At(now) = self.taken else { return };
        let step = (TransferEvent::Take, self.pid, NO_PID);
        for capability in self.capabilities() {
            capability.node().record_transfers(now, capability.rights(), &[step]);
        }
        self.taken = Taken::Recorded;
    }

    /// Commits: what was reserved is in flight from now on, in `handles`, and the numbers are free after
    /// [`release`](Self::release). It takes no lock of the table, so a channel does this under its own.
    pub fn commit(&mut self, handles: &mut Handles) {
        let steps = [(TransferEvent::Take, self.pid, NO_PID), (TransferEvent::Enqueue, self.pid, NO_PID)];
        let (now, steps) = match self.taken {
            Taken::At(now) => (now, &steps[..]),
            _ => (machine::now(), &steps[1..]),
        };
        self.taken = Taken::Sent;
        for (entry, place) in self.entries.iter_mut().zip(handles) {
            if let Some(capability) = entry.capability.take() {
                capability.node().record_transfers(now, capability.rights(), steps);
                *place = Some(InFlight::new(capability));
            }
        }
    }

    /// The numbers of what was committed become free. The caller holds no lock. True when there were any.
    pub fn release(&mut self) -> bool {
        if !matches!(self.taken, Taken::Sent) || self.entries.is_empty() {
            return false;
        }
        {
            let mut inner = self.table.inner.lock();
            for entry in &self.entries {
                inner.release(entry.ticket);
            }
        }
        self.entries.clear();
        true
    }

    /// Puts back what was not sent.
    #[cold]
    fn restore(&mut self) {
        self.record();
        let is_known = matches!(self.taken, Taken::Recorded);
        for Entry { ticket, capability } in core::mem::take(&mut self.entries) {
            if let Some(capability) = capability {
                put_back(&self.table, ticket, capability, self.pid, is_known);
            }
        }
    }

    /// Renews the reservations: whoever waits with them does so before [`Reserved::renew_at`].
    ///
    /// # Errors
    ///
    /// `EBADF` when the time of one was over and the sweep has recorded it as lost: it must not be sent any more.
    pub fn renew(&mut self) -> Result<()> {
        let deadline = machine::now() + timeout();
        let mut inner = self.table.inner.lock();
        for entry in &self.entries {
            inner.check(entry.ticket).map_err(|_| Errno::EBADF)?;
            if let Some(reservation) = inner.slots.reservation_mut(index(entry.ticket.handle)?) {
                reservation.deadline = deadline;
            }
        }
        Ok(())
    }

    /// When to renew at the latest; `None` when there is nothing to renew.
    #[must_use]
    pub fn renew_at(&self) -> Option<Instant> {
        (!self.entries.is_empty()).then(|| machine::now() + timeout() / 2)
    }
}

impl Drop for Reserved {
    #[inline]
    fn drop(&mut self) {
        if !self.release() && !self.entries.is_empty() {
            self.restore();
        }
    }
}

/// Puts one capability back where it came from, or drops it when that cannot be. The histories learn of it if they know
/// that it was taken.
#[cold]
fn put_back(table: &Arc<HandleTable>, ticket: Ticket, capability: Capability, pid: i32, is_known: bool) {
    let (node, rights) = (capability.node().clone(), capability.rights());
    let restored = table.inner.lock().restore(table, ticket, capability);
    match restored {
        Ok(()) if is_known => node.record_transfer(TransferEvent::Restore, NO_PID, pid, rights),
        Ok(()) => {}
        Err(Lost(capability)) => {
            node.record_transfer(TransferEvent::Drop, NO_PID, NO_PID, rights);
            drop(capability);
        }
    }
}
