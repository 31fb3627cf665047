//! A process's handles, shared by tasks that `CLONE_FILES` made.
//!
//! | module | subject |
//! |---|---|
//! | `slots` | numbers, generations, what a slot holds |
//! | [`landing`] | numbers set aside before something is put there |
//! | [`reserve`] | capabilities on their way out, and the sweep |
//! | `sharing` | clone, fork, exec, exit |
//! | [`rows`] | what `/proc` shows |
//!
//! A lookup is the only road from a number to an object: it looks at the slot, the mark of revocation and
//! the rights under one lock, and what it returns shares the node, so that an operation that waits sees a
//! mark that comes later.
//!
//! There is no cache of lookups per CPU. The plain lookup takes some forty instructions: an uncontended lock, an
//! index, two comparisons, a count. An entry of a cache would be found by table, number and operation, compared with
//! the table's epoch and sequence, and brought back to life from a weak reference, which is not less; and it would be
//! one more place that a revocation has to be right about. `/sys/ipc/stats` counts every lookup as a miss.

pub mod landing;
pub mod reserve;
pub mod rows;
mod sharing;
mod slots;

use alloc::sync::Arc;

use base::caller::Caller;
use base::charge::Charge;
use base::sync::atomic::AtomicUsize;
use base::sync::{LockClass, SpinGuard, SpinLock};
use base::time::Instant;
use base::{Errno, Result, machine};

use crate::capability::{Capability, OwnerClass};
use crate::lineage::CapNode;
use crate::lineage::node::Holder;
use crate::lineage::revoke::Revocation;
use crate::object::ObjectRef;
use crate::rights::{AccessOp, Rights};
use crate::stats::{Counter, bump};
use landing::Landing;
use slots::{Held, Slots, State};

pub use slots::HANDLES_MAX;

/// The handles of one or more tasks.
///
/// Whoever uses the table as its own holds one count of `users`; the last one to leave closes everything,
/// even while `/proc` still looks at it.
pub struct HandleTable {
    users: AtomicUsize,
    inner: SpinLock<Inner>,
}

struct Inner {
    slots: Slots,
    /// Slots whose capability is on its way out.
    reserved: usize,
    /// When to look for reservations that nobody will finish.
    sweep_at: Instant,
    /// The last user has left.
    dead: bool,
    charge: Option<Charge>,
}

/// What a lookup gives: the capability as it was found. It keeps the object allocated, not open.
#[derive(Clone, Debug)]
pub struct Access {
    node: Arc<CapNode>,
    rights: Rights,
}

impl Access {
    /// The object.
    #[inline]
    #[must_use]
    pub fn object(&self) -> &ObjectRef {
        self.node.object()
    }

    /// The capability's node.
    #[must_use]
    pub fn node(&self) -> &Arc<CapNode> {
        &self.node
    }

    /// The handle's rights.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// Checks that it has not been revoked since: after every wait.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    #[inline]
    pub fn check(&self) -> Result<()> {
        if self.node.is_revoked() { Err(Errno::EBADF) } else { Ok(()) }
    }
}

/// What `handle_info` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleInfo {
    /// Type number of the object.
    pub kind: u32,
    /// Rights of the handle.
    pub rights: u32,
    /// Id of the object.
    pub object: u32,
    /// Id of the capability.
    pub capability: u64,
}

impl HandleTable {
    /// An empty table with one user.
    #[must_use]
    pub fn new() -> Arc<HandleTable> {
        Arc::new(HandleTable {
            users: AtomicUsize::new(1),
            inner: SpinLock::new(
                LockClass::HandleTable,
                Inner {
                    slots: Slots::default(),
                    reserved: 0,
                    sweep_at: Instant::FAR_FUTURE,
                    dead: false,
                    charge: None,
                },
            ),
        })
    }

    /// The one entry for the use of a handle: what `handle` names, if it allows `op`.
    ///
    /// # Errors
    ///
    /// `EBADF` when there is no such handle, when it is being sent, or when it is revoked; `EACCES` when a
    /// right is missing.
    #[inline(always)]
    pub fn get(&self, handle: i32, op: AccessOp) -> Result<Access> {
        let access = self.get_any(handle)?;
        if op.is_allowed_by(access.rights) { Ok(access) } else { Err(Errno::EACCES) }
    }

    /// As [`get`](Self::get), for operations that need no right.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    #[inline(always)]
    pub fn get_any(&self, handle: i32) -> Result<Access> {
        bump(Counter::HandleLookups);
        let inner = self.lock();
        let held = inner.slots.held(index(handle)?).ok_or(Errno::EBADF)?;
        let capability = &held.capability;
        if capability.node().is_revoked() {
            return Err(Errno::EBADF);
        }
        Ok(Access { node: capability.node().clone(), rights: capability.rights() })
    }

    /// Puts a capability on a free number.
    ///
    /// # Errors
    ///
    /// `EMFILE` when the table is full; `EACCES` when it was revoked; `ENOMEM`.
    pub fn insert(self: &Arc<Self>, caller: &Caller, capability: Capability, cloexec: bool) -> Result<i32> {
        let mut landing = self.land(caller, 1, cloexec)?;
        let number = landing.number(0);
        landing.install(capability)?;
        Ok(number)
    }

    /// `handle_duplicate`: another handle for the same object, derived from this one, with those of its
    /// rights that `mask` names (all of them when it names none).
    ///
    /// # Errors
    ///
    /// `EBADF`; `EACCES` without the right DUPLICATE, when no right is left, and when the handle is revoked
    /// meanwhile; `EMFILE`, `ENOMEM`.
    pub fn duplicate_handle(
        self: &Arc<Self>,
        caller: &Caller,
        handle: i32,
        mask: Rights,
        cloexec: bool,
    ) -> Result<i32> {
        let (mut landing, copy) = self.prepare_duplicate(caller, handle, mask, cloexec)?;
        let number = landing.number(0);
        landing.install(copy)?;
        Ok(number)
    }

    /// As [`duplicate_handle`](Self::duplicate_handle), up to the point where the program has to be told the
    /// number: the number, and what is to be installed there.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn prepare_duplicate<'a>(
        self: &'a Arc<Self>,
        caller: &Caller,
        handle: i32,
        mask: Rights,
        cloexec: bool,
    ) -> Result<(Landing<'a>, Capability)> {
        let source = self.get(handle, AccessOp::Duplicate)?;
        let rights = masked(source.rights, mask)?;
        let landing = self.land(caller, 1, cloexec)?;
        let copy = Capability::derive(caller, &source.node, rights, OwnerClass::Handle).map_err(gone)?;
        Ok((landing, copy))
    }

    /// `handle_narrow`: takes the rights away that `mask` does not name.
    ///
    /// # Errors
    ///
    /// `EBADF`; `EACCES` when no right would be left.
    pub fn narrow(&self, handle: i32, mask: Rights) -> Result<Rights> {
        let mut inner = self.lock();
        let held = inner.slots.held_mut(index(handle)?).ok_or(Errno::EBADF)?;
        if held.capability.node().is_revoked() {
            return Err(Errno::EBADF);
        }
        let rights = held.capability.rights() & mask;
        if rights.is_empty() {
            return Err(Errno::EACCES);
        }
        held.capability.narrow(mask);
        Ok(rights)
    }

    /// `handle_info`.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn info(&self, handle: i32) -> Result<HandleInfo> {
        let access = self.get_any(handle)?;
        let object = access.object().base();
        Ok(HandleInfo {
            kind: object.kind() as u32,
            rights: access.rights.bits(),
            object: object.id(),
            capability: access.node.id().as_u64(),
        })
    }

    /// `handle_close`: frees the number. What was derived from it stays.
    ///
    /// # Errors
    ///
    /// `EBADF` when there is no such handle or it is being sent.
    pub fn close(&self, handle: i32) -> Result<()> {
        let held = self.lock().slots.empty(index(handle)?).ok_or(Errno::EBADF)?;
        // Outside the lock: a channel may close here.
        drop(held);
        Ok(())
    }

    /// Begins to revoke what was derived from a handle, wherever it is, and with `whole` the handle itself:
    /// `handle_revoke_descendants`, and `handle_close` with REVOKE_DESCENDANTS.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub fn begin_revocation(&self, handle: i32, whole: bool) -> Result<Revocation> {
        let root = self.get_any(handle)?;
        Ok(Revocation::begin(&root.node, whole))
    }

    /// How many numbers are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.lock().slots.len()
    }

    /// True when no number is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the lock, and first whatever reservations are overdue.
    #[inline]
    fn lock(&self) -> SpinGuard<'_, Inner> {
        let inner = self.inner.lock();
        if inner.reserved == 0 || machine::now() < inner.sweep_at {
            return inner;
        }
        drop(inner);
        self.sweep();
        self.inner.lock()
    }
}

impl Holder for HandleTable {
    fn revoke(&self, slot: u16, node: &Arc<CapNode>) {
        let held = {
            let mut inner = self.inner.lock();
            let slot = usize::from(slot);
            match inner.slots.held(slot) {
                Some(held) if Arc::ptr_eq(held.capability.node(), node) => inner.slots.empty(slot),
                _ => None,
            }
        };
        if held.is_some() {
            drop(held);
            node.object().interrupt();
        }
    }
}

/// The rights that `mask` leaves of `rights`; an empty mask leaves all.
pub(crate) fn masked(rights: Rights, mask: Rights) -> Result<Rights> {
    match rights & mask {
        _ if mask.is_empty() => Ok(rights),
        left if left.is_empty() => Err(Errno::EACCES),
        left => Ok(left),
    }
}

/// A parent that ended between lookup and derivation was closed.
fn gone(error: Errno) -> Errno {
    if error == Errno::ENOENT { Errno::EBADF } else { error }
}

#[inline]
fn index(handle: i32) -> Result<usize> {
    match usize::try_from(handle) {
        Ok(index) if index < HANDLES_MAX => Ok(index),
        _ => Err(Errno::EBADF),
    }
}

impl Inner {
    /// Fills a slot that was set aside.
    fn hold(
        &mut self,
        slot: usize,
        table: &Arc<HandleTable>,
        capability: Capability,
    ) -> core::result::Result<(), Refused> {
        let holder: alloc::sync::Weak<dyn Holder> = Arc::downgrade(table) as _;
        let number = u16::try_from(slot).unwrap_or(u16::MAX);
        // Under the table's lock, so that a revoker who sees the holder also sees the slot filled.
        match capability.bind(holder, number) {
            Ok(()) => {
                self.slots.set(slot, State::Held(Held { capability }));
                Ok(())
            }
            Err(errno) => {
                self.slots.free(slot);
                Err(Refused { errno, capability })
            }
        }
    }
}

/// A capability that a slot did not take; dropped outside the lock.
struct Refused {
    errno: Errno,
    capability: Capability,
}

impl Refused {
    fn settle(self) -> Errno {
        drop(self.capability);
        self.errno
    }
}
