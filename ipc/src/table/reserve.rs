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
use crate::lineage::{CapNode, revoke};
use crate::object::NO_PID;
use crate::object::history::{Step, TransferEvent};
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
    progress: Progress,
    entries: ArrayVec<Entry, HANDLES_PER_MESSAGE>,
}

/// How far the handles have come, and what their histories know of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Not all are reserved, and perhaps one cannot be: the histories will not hear of them.
    Incomplete,
    /// All are reserved, which is recorded with the next step.
    Reserved,
    /// All are reserved, and that is recorded.
    Recorded,
    /// All are in flight.
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
    fn reserve(&mut self, handle: i32, now: Instant, pid: i32) -> Result<Entry> {
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
                    pid,
                    is_recorded: false,
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

    /// Takes back the numbers of reservations whose time is over, as many as fit. What is returned is dropped without
    /// the lock: one that was committed meanwhile may be the last to know its object.
    fn sweep(&mut self) -> ArrayVec<Arc<CapNode>, HANDLES_PER_MESSAGE> {
        let now = machine::now();
        let mut swept = ArrayVec::new_const();
        let mut next = Instant::FAR_FUTURE;
        for slot in 0..self.slots.capacity() {
            let Some(reservation) = self.slots.reservation(slot) else { continue };
            if reservation.deadline > now || swept.is_full() {
                next = next.min(reservation.deadline);
                continue;
            }
            let lost =
                [(TransferEvent::Take, reservation.pid, NO_PID), (TransferEvent::Drop, NO_PID, NO_PID)];
            let steps = if reservation.is_recorded { &lost[1..] } else { &lost[..] };
            reservation.node.record_transfers(now, reservation.rights, steps);
            swept.extend(self.slots.take_reservation(slot).map(|reservation| reservation.node));
            self.reserved -= 1;
            bump(Counter::Swept);
        }
        self.sweep_at = next;
        swept
    }

    /// The end of one reservation that was committed: the number becomes free. What is returned is dropped without the
    /// lock.
    #[inline]
    fn release(&mut self, ticket: Ticket) -> Option<Arc<CapNode>> {
        // One that was swept was recorded as lost then.
        if self.dead || self.check(ticket).is_err() {
            return None;
        }
        let reservation = self.slots.take_reservation(index(ticket.handle).ok()?)?;
        self.reserved -= 1;
        note_epoch(&reservation);
        Some(reservation.node)
    }

    /// The end of one that was not: the capability goes back to its slot.
    fn restore(
        &mut self,
        table: &Arc<HandleTable>,
        ticket: Ticket,
        capability: Capability,
    ) -> core::result::Result<(), Lost> {
        let slot = match index(ticket.handle) {
            _ if self.dead => return Err(Lost::Refused(capability)),
            Ok(slot) if self.check(ticket).is_ok() => slot,
            _ => return Err(Lost::Swept(capability)),
        };
        self.reserved -= 1;
        self.hold(slot, table, capability).map_err(|refused| Lost::Refused(refused.capability))
    }
}

impl HandleTable {
    /// Takes back the numbers of reservations whose time is over.
    #[cold]
    pub(super) fn sweep(&self) {
        loop {
            let swept = self.inner.lock().sweep();
            if !swept.is_full() {
                return;
            }
        }
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
enum Lost {
    /// Its time was over, and the sweep recorded it as lost.
    Swept(Capability),
    /// It was revoked, or the table is gone.
    Refused(Capability),
}

impl Reserved {
    /// No handles yet of `caller`'s table.
    #[inline]
    #[must_use]
    pub fn none(table: &Arc<HandleTable>, caller: &Caller) -> Reserved {
        let pid = caller.pid.cast_signed();
        Reserved { table: table.clone(), pid, progress: Progress::Incomplete, entries: ArrayVec::new_const() }
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
                self.entries.push(inner.reserve(*handle, now, self.pid)?);
            }
        }
        self.progress = Progress::Reserved;
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
        if self.progress != Progress::Reserved {
            return;
        }
        self.progress = Progress::Recorded;
        let now = machine::now();
        let step = (TransferEvent::Take, self.pid, NO_PID);
        let mut inner = self.table.inner.lock();
        for Ticket { handle, token, .. } in self.entries.iter().map(|entry| entry.ticket) {
            let Ok(slot) = index(handle) else { continue };
            // One that was swept meanwhile was recorded then.
            if let Some(reservation) = inner.slots.reservation_mut(slot)
                && reservation.token == token
            {
                reservation.is_recorded = true;
                reservation.node.record_transfers(now, reservation.rights, &[step]);
            }
        }
    }

    /// Commits: what was reserved is in flight from now on, in `handles`, and the numbers are free after
    /// [`release`](Self::release). It takes no lock of the table, so a channel does this under its own.
    pub fn commit(&mut self, handles: &mut Handles) {
        let now = machine::now();
        let sent = [(TransferEvent::Take, self.pid, NO_PID), (TransferEvent::Enqueue, self.pid, NO_PID)];
        let steps = if self.progress == Progress::Recorded { &sent[1..] } else { &sent[..] };
        self.progress = Progress::Sent;
        for (entry, place) in self.entries.iter_mut().zip(handles) {
            if let Some(capability) = entry.capability.take() {
                capability.node().record_transfers(now, capability.rights(), steps);
                *place = Some(InFlight::new(capability));
            }
        }
    }

    /// The numbers of what was committed become free. The caller holds no lock. True when there were any.
    pub fn release(&mut self) -> bool {
        if self.progress != Progress::Sent || self.entries.is_empty() {
            return false;
        }
        let mut released = ArrayVec::<_, HANDLES_PER_MESSAGE>::new_const();
        {
            let mut inner = self.table.inner.lock();
            released.extend(self.entries.iter().filter_map(|entry| inner.release(entry.ticket)));
        }
        self.entries.clear();
        true
    }

    /// Puts back what was not sent.
    #[cold]
    fn restore(&mut self) {
        for Entry { ticket, capability } in core::mem::take(&mut self.entries) {
            if let Some(capability) = capability {
                self.put_back(ticket, capability);
            }
        }
    }

    /// Puts one capability back where it came from, or drops it when that cannot be.
    fn put_back(&self, ticket: Ticket, capability: Capability) {
        let (node, rights) = (capability.node().clone(), capability.rights());
        let taken = (TransferEvent::Take, self.pid, NO_PID);
        let record = |last: Step| match self.progress {
            Progress::Incomplete if last.0 == TransferEvent::Restore => {}
            Progress::Reserved => node.record_transfers(machine::now(), rights, &[taken, last]),
            _ => node.record_transfers(machine::now(), rights, &[last]),
        };
        let restored = self.table.inner.lock().restore(&self.table, ticket, capability);
        match restored {
            Ok(()) => record((TransferEvent::Restore, NO_PID, self.pid)),
            Err(Lost::Refused(capability)) => {
                record((TransferEvent::Drop, NO_PID, NO_PID));
                drop(capability);
            }
            Err(Lost::Swept(capability)) => drop(capability),
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
