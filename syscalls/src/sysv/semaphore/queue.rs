//! Operations that cannot be done yet, found by the semaphore that is in their way.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use base::Result;
use base::charge::Charge;

use super::super::sleeper::Sleeper;
use super::values::{Operation, Until};

/// The operations of one call that waits.
pub(super) struct Pending {
    pub(super) operations: Box<[Operation]>,
    pub(super) pid: u32,
    /// The undo list of the process, when an operation asks for one.
    pub(super) undo: Option<u64>,
    pub(super) sleeper: Sleeper<Result<()>>,
    pub(super) _charge: Charge,
}

/// Those who wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    next: u64,
    waiting: BTreeMap<u64, (Arc<Pending>, u16, Until)>,
    blocked: BTreeSet<(u16, Until, u64)>,
}

impl Queue {
    /// Adds a call that waits for `semaphore`; its ticket.
    pub(super) fn add(&mut self, pending: Arc<Pending>, semaphore: u16, until: Until) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.waiting.insert(ticket, (pending, semaphore, until));
        self.blocked.insert((semaphore, until, ticket));
        ticket
    }

    /// Takes a call out, if it is still there.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Arc<Pending>> {
        let (pending, semaphore, until) = self.waiting.remove(&ticket)?;
        self.blocked.remove(&(semaphore, until, ticket));
        Some(pending)
    }

    /// Something else is in the way of this call now.
    pub(super) fn move_to(&mut self, ticket: u64, semaphore: u16, until: Until) {
        if let Some(entry) = self.waiting.get_mut(&ticket) {
            self.blocked.remove(&(entry.1, entry.2, ticket));
            (entry.1, entry.2) = (semaphore, until);
            self.blocked.insert((semaphore, until, ticket));
        }
    }

    /// The first call from `ticket` on that waits for this, and its ticket.
    pub(super) fn next(&self, semaphore: u16, until: Until, ticket: u64) -> Option<(u64, Arc<Pending>)> {
        let range = (semaphore, until, ticket)..=(semaphore, until, u64::MAX);
        let &(_, _, ticket) = self.blocked.range(range).next()?;
        self.waiting.get(&ticket).map(|(pending, ..)| (ticket, pending.clone()))
    }

    /// How many calls wait for this.
    pub(super) fn count(&self, semaphore: u16, until: Until) -> usize {
        self.blocked.range((semaphore, until, 0)..=(semaphore, until, u64::MAX)).count()
    }

    /// Takes everybody out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Pending>> + use<> {
        self.blocked.clear();
        core::mem::take(&mut self.waiting).into_values().map(|(pending, ..)| pending)
    }
}
