//! Capabilities on their way out of a table, and the sweep.
//!
//! A reservation takes the capability out of its slot into a value; the slot keeps the number and a token.
//! Dropped, the value puts everything back where it came from. The sweep is for a value that was leaked, or
//! whose task never runs again: when its time is over, the number is free for others, and what the value
//! still owns is lost with it. Whoever waits with a reservation renews it.

use alloc::sync::Arc;
use core::time::Duration;

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
    /// The history knows of it: not so when another handle of the same message could not be reserved.
    recorded: bool,
    count: usize,
    entries: [Option<Entry>; HANDLES_PER_MESSAGE],
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
                let Some(State::Held(Held { capability })) =
                    self.slots.set(slot, State::Reserved(reservation))
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
        let now = machine().now();
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

    /// The end of one reservation: the capability goes back, or the number becomes free.
    fn settle(&mut self, table: &Arc<HandleTable>, entry: Entry) -> core::result::Result<(), Lost> {
        let slot = index(entry.ticket.handle).unwrap_or(usize::MAX);
        if self.check(entry.ticket).is_err() || self.dead {
            // Swept, and recorded as lost then.
            return entry.capability.map_or(Ok(()), |capability| Err(Lost(capability)));
        }
        self.reserved -= 1;
        let Some(capability) = entry.capability else {
            if let Some(reservation) = self.slots.reservation(slot) {
                note_epoch(reservation);
            }
            self.slots.free(slot);
            return Ok(());
        };
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
        let entries = [const { None }; HANDLES_PER_MESSAGE];
        let pid = caller.pid.cast_signed();
        Reserved { table: table.clone(), pid, recorded: false, count: 0, entries }
    }

    /// Takes `handles` out of their slots, all or none: for a value that has none yet.
    ///
    /// # Errors
    ///
    /// Those of the first that cannot be sent: `EBADF`, `EBUSY` when it is being sent already (it may be
    /// listed twice), `EACCES` without the right TRANSFER; `EMSGSIZE` for more than a message carries.
    pub fn take(&mut self, handles: &[i32]) -> Result<()> {
        if handles.len() > HANDLES_PER_MESSAGE {
            return Err(Errno::EMSGSIZE);
        }
        let now = machine().now();
        {
            let mut inner = self.table.lock();
            for (handle, place) in handles.iter().zip(&mut self.entries) {
                // What was reserved so far is put back by the drop.
                *place = Some(inner.reserve(*handle, now)?);
                self.count += 1;
            }
        }
        self.recorded = true;
        for capability in self.capabilities() {
            let step = (TransferEvent::Take, self.pid, NO_PID);
            capability.node().record_transfers(now, capability.rights(), &[step]);
        }
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().take(self.count).flatten()
    }

    /// The names of the reservations, for tests and traces.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.entries().map(|entry| entry.ticket)
    }

    /// The capabilities that have not been committed.
    pub fn capabilities(&self) -> impl Iterator<Item = &Capability> {
        self.entries().filter_map(|entry| entry.capability.as_ref())
    }

    /// Commits: what was reserved is in flight from now on, in `handles`, and the numbers are free when `self`
    /// is dropped. It takes no lock of the table, so a channel does this under its own.
    pub fn commit(&mut self, handles: &mut Handles) {
        for (entry, place) in self.entries.iter_mut().take(self.count).flatten().zip(handles) {
            *place = entry.capability.take().map(InFlight::new);
        }
    }

    /// Renews the reservations: whoever waits with them does so before [`Reserved::renew_at`].
    ///
    /// # Errors
    ///
    /// `EBADF` when the time of one was over and the sweep has recorded it as lost: it must not be sent any more.
    pub fn renew(&mut self) -> Result<()> {
        let deadline = machine().now() + timeout();
        let mut inner = self.table.inner.lock();
        for entry in self.entries() {
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
        (self.count > 0).then(|| machine().now() + timeout() / 2)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        // Those that were sent: their numbers are free under one hold of the lock.
        let is_sent = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.capability.is_none());
        if self.entries.iter().take(self.count).all(is_sent) {
            let mut inner = self.table.inner.lock();
            for entry in self.entries.iter_mut().take(self.count).filter_map(Option::take) {
                let _ = inner.settle(&self.table, entry);
            }
            return;
        }
        for entry in self.entries.iter_mut().take(self.count).filter_map(Option::take) {
            put_back(&self.table, entry, self.pid, self.recorded);
        }
    }
}

/// Puts one capability back where it came from, or drops it when that cannot be.
#[cold]
fn put_back(table: &Arc<HandleTable>, entry: Entry, pid: i32, recorded: bool) {
    let restored =
        entry.capability.as_ref().map(|capability| (capability.node().clone(), capability.rights()));
    let settled = table.inner.lock().settle(table, entry);
    let Some((node, rights)) = restored else { return };
    match settled {
        Ok(()) if recorded => node.record_transfer(TransferEvent::Restore, NO_PID, pid, rights),
        Ok(()) => {}
        Err(Lost(capability)) => {
            node.record_transfer(TransferEvent::Drop, NO_PID, NO_PID, rights);
            drop(capability);
        }
    }
}
