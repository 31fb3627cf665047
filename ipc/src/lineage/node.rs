//! One capability's place in the forest, its mark, and where it is held.

use alloc::sync::{Arc, Weak};
use core::fmt;

use base::caller::Caller;
use base::charge::Charge;
use base::fault::{self, Point};
use base::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::time::Instant;
use base::trace::capability::Op as Guard;
use base::{Errno, Result, machine};

use super::forest::{self, ENTRY_BYTES, NONE};
use crate::object::ObjectRef;
use crate::object::history::{Step, TransferEvent};
use crate::rights::Rights;
use crate::stats::{Counter, bump};
use crate::trace;

/// What `bind_rejected_revoked` tells: it was the node's mark.
const BY_MARK: u64 = 1;

/// The name of a capability: a generation in the high half and a number in the low one, both counting
/// from 1. 0 is no capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapId(u64);

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);
static NEXT_GENERATION: AtomicU32 = AtomicU32::new(1);

impl CapId {
    fn fresh() -> CapId {
        CapId(u64::from(count(&NEXT_GENERATION)) << 32 | u64::from(count(&NEXT_NUMBER)))
    }

    /// As a number, for text files and the ABI.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// The next value, which is never 0.
fn count(counter: &AtomicU32) -> u32 {
    loop {
        let value = counter.fetch_add(1, Ordering::Relaxed);
        if value != 0 {
            return value;
        }
    }
}

impl fmt::Display for CapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a capability is held: a handle table, or a descriptor made from a handle.
pub trait Holder: Send + Sync {
    /// The capability `node`, last seen at `slot`, was revoked: let go of it if it is still there.
    ///
    /// Called without any lock.
    fn revoke(&self, slot: u16, node: &Arc<CapNode>);
}

/// What may change of a node.
#[derive(Default)]
struct Links {
    /// Who holds it and where; nothing while it moves.
    holder: Option<(Weak<dyn Holder>, u16)>,
    /// The next one of the revocation that marked it.
    next_marked: Option<Arc<CapNode>>,
}

/// One capability: the object it names, and what lineage knows of it. It is owned by exactly one
/// [`Capability`](crate::Capability); operations under way share it to see the mark.
pub struct CapNode {
    id: CapId,
    object: ObjectRef,
    /// The revocation that marked it; 0 for none.
    revoked: AtomicU64,
    /// Its entry in the forest.
    place: AtomicU32,
    links: SpinLock<Links>,
    /// It was derived from another, whose revocation can reach it wherever it is.
    is_derived: bool,
    _charge: Charge,
}

impl CapNode {
    /// A node without parents.
    pub(crate) fn root(caller: &Caller, object: ObjectRef) -> Result<Arc<CapNode>> {
        let node = Self::make(caller, object, false)?;
        forest::plant(&node);
        trace::born(&node, None);
        Ok(node)
    }

    /// A node below `self`, for the same object.
    ///
    /// `EACCES` when `self` is revoked, `ENOENT` when it is gone.
    pub(crate) fn child(&self, caller: &Caller) -> Result<Arc<CapNode>> {
        let node = Self::make(caller, self.object.clone(), true)?;
        forest::graft(&node, self)?;
        trace::born(&node, Some(self));
        Ok(node)
    }

    fn make(caller: &Caller, object: ObjectRef, is_derived: bool) -> Result<Arc<CapNode>> {
        let charge =
            Charge::new(&caller.account, size_of::<CapNode>() + 2 * size_of::<usize>() + ENTRY_BYTES)?;
        Ok(Arc::new(CapNode {
            id: CapId::fresh(),
            object,
            revoked: AtomicU64::new(0),
            place: AtomicU32::new(NONE),
            links: SpinLock::new(LockClass::Lineage, Links::default()),
            is_derived,
            _charge: charge,
        }))
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> CapId {
        self.id
    }

    /// What it names.
    #[inline]
    #[must_use]
    pub fn object(&self) -> &ObjectRef {
        &self.object
    }

    /// True as soon as a revocation has marked it.
    #[inline]
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire) != 0
    }

    /// Records that it moves.
    pub(crate) fn record_transfer(&self, event: TransferEvent, from: i32, to: i32, rights: Rights) {
        self.record_transfers(machine::now(), rights, &[(event, from, to)]);
    }

    /// Records steps that it made, with `rights`, at one moment: for its object's history, and in the trace.
    #[inline]
    pub(crate) fn record_transfers(&self, now: Instant, rights: Rights, steps: &[Step]) {
        self.object.record_transfers(now, rights.bits(), steps);
        trace::moved(self, steps, rights);
    }

    /// Says where it is held from now on.
    ///
    /// `EACCES` when it was revoked meanwhile. Under one lock with the revoker's look at the holder, so that
    /// either this fails or the revoker finds the holder.
    pub(crate) fn bind(&self, holder: Weak<dyn Holder>, slot: u16) -> Result<()> {
        let mut links = self.links.lock();
        if self.is_revoked() {
            bump(Counter::BindRejectedRevoked);
            trace::guard(Guard::BindRejectedRevoked, self.id.0, || BY_MARK);
            return Err(Errno::EACCES);
        }
        // Nobody could have revoked any other on its way.
        if self.is_derived {
            fault::check(Point::LineageBind)?;
        }
        links.holder = Some((holder, slot));
        Ok(())
    }

    /// It moves: nobody holds it.
    pub(crate) fn unbind(&self) {
        self.links.lock().holder = None;
    }

    /// Marks it with the revocation `epoch`. True when it had not been marked.
    pub(super) fn mark(&self, epoch: u64) -> bool {
        self.revoked.swap(epoch, Ordering::AcqRel) == 0
    }

    pub(super) fn place(&self) -> u32 {
        self.place.load(Ordering::Relaxed)
    }

    /// Changed under the forest's lock.
    pub(super) fn set_place(&self, place: u32) {
        self.place.store(place, Ordering::Relaxed);
    }

    pub(super) fn holder(&self) -> Option<(Weak<dyn Holder>, u16)> {
        self.links.lock().holder.clone()
    }

    /// Replaces the next one of its revocation. Under the forest's lock when `next` is something.
    pub(super) fn set_next_marked(&self, next: Option<Arc<CapNode>>) -> Option<Arc<CapNode>> {
        core::mem::replace(&mut self.links.lock_nested().next_marked, next)
    }
}

impl fmt::Debug for CapNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapNode")
            .field("id", &self.id.0)
            .field("object", &self.object.base().id())
            .field("revoked", &self.is_revoked())
            .finish_non_exhaustive()
    }
}
