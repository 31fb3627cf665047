//! Numbers set aside before something is put there, so that what arrives cannot find the table full.

use alloc::sync::Arc;

use base::caller::Caller;
use base::charge::Charge;
use base::fault::{self, Point};
use base::time::Instant;
use base::{Errno, Result};

use super::slots::Slots;
use super::{HandleTable, Inner};
use crate::capability::{Capability, InFlight};
use crate::object::NO_PID;
use crate::object::history::TransferEvent;

/// Most numbers that are set aside at once: as many as a message has handles.
pub const LANDING_MAX: usize = 8;

/// Free numbers of a table that nobody else can take. Those that are not used are free again when it is
/// dropped.
pub struct Landing<'a> {
    table: &'a Arc<HandleTable>,
    slots: [u16; LANDING_MAX],
    count: usize,
    /// How many of them have been filled, or given up, from the front.
    done: usize,
}

impl HandleTable {
    /// Sets `count` numbers aside, at most [`LANDING_MAX`], for handles that exec closes if `cloexec`.
    ///
    /// # Errors
    ///
    /// `EMFILE` when there are not so many; `ENOMEM`.
    pub fn land<'a>(
        self: &'a Arc<Self>,
        caller: &Caller,
        count: usize,
        cloexec: bool,
    ) -> Result<Landing<'a>> {
        fault::check(Point::HandleInstall)?;
        let mut landing = Landing { table: self, slots: [0; LANDING_MAX], count: 0, done: 0 };
        let mut inner = self.lock();
        for place in landing.slots.iter_mut().take(count) {
            match inner.take(caller, cloexec) {
                Ok(slot) => *place = slot,
                Err(error) => {
                    // The landing's drop takes the lock.
                    drop(inner);
                    return Err(error);
                }
            }
            landing.count += 1;
        }
        Ok(landing)
    }
}

impl Inner {
    fn take(&mut self, caller: &Caller, cloexec: bool) -> Result<u16> {
        let slot = self.slots.next_free().ok_or(Errno::EMFILE)?;
        self.make_room(caller, slot)?;
        self.slots.take(slot, cloexec);
        u16::try_from(slot).map_err(|_| Errno::EMFILE)
    }

    pub(super) fn make_room(&mut self, caller: &Caller, slot: usize) -> Result<()> {
        if slot < self.slots.capacity() {
            return Ok(());
        }
        // At least double, so that growing to the end costs as much as having been large at once.
        let capacity = Slots::capacity_for(slot.max(2 * self.slots.capacity()).min(super::HANDLES_MAX - 1));
        let charge = Charge::new(&caller.account, Slots::bytes(capacity))?;
        self.slots.grow(capacity);
        self.charge = Some(charge);
        Ok(())
    }
}

impl Landing<'_> {
    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The number that the `index`th will have.
    #[must_use]
    pub fn number(&self, index: usize) -> i32 {
        self.slots.get(index).copied().map_or(-1, i32::from)
    }

    /// Puts a capability on the next number.
    ///
    /// # Errors
    ///
    /// `EACCES` when it was revoked: the number is free again, the capability gone.
    pub fn install(&mut self, capability: Capability) -> Result<()> {
        let Some(slot) = self.slots.get(self.done).copied().filter(|_| self.done < self.count) else {
            return Err(Errno::EMFILE);
        };
        self.done += 1;
        let held = self.table.inner.lock().hold(usize::from(slot), self.table, capability);
        held.map_err(super::Refused::settle)
    }

    /// Puts a capability that was in flight, and was delivered to `caller` at `now`, on the next number.
    ///
    /// # Errors
    ///
    /// As [`install`](Self::install).
    pub fn receive(&mut self, caller: &Caller, now: Instant, flight: InFlight) -> Result<()> {
        let pid = caller.pid.cast_signed();
        if flight.is_revoked() {
            flight.record(TransferEvent::Deliver, NO_PID, pid);
            self.skip();
            return Err(Errno::EACCES);
        }
        let Some(capability) = flight.arrive() else { return Err(Errno::ENOENT) };
        let node = capability.node().clone();
        let rights = capability.rights();
        let delivered = (TransferEvent::Deliver, NO_PID, pid);
        if let Err(error) = self.install(capability) {
            node.record_transfers(now, rights, &[delivered]);
            return Err(error);
        }
        let installed = (TransferEvent::Install, NO_PID, pid);
        let released = (TransferEvent::Release, NO_PID, NO_PID);
        node.record_transfers(now, rights, &[delivered, installed, released]);
        Ok(())
    }

    /// Gives the next number up.
    pub fn skip(&mut self) {
        if let Some(slot) = self.slots.get(self.done).filter(|_| self.done < self.count) {
            self.table.inner.lock().slots.free(usize::from(*slot));
            self.done += 1;
        }
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if self.done == self.count {
            return;
        }
        let mut inner = self.table.inner.lock();
        for slot in self.slots.iter().take(self.count).skip(self.done) {
            inner.slots.free(usize::from(*slot));
        }
    }
}
