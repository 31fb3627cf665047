//! Clone, fork, exec, exit.

use alloc::sync::Arc;

use base::caller::Caller;
use base::charge::Charge;
use base::sync::atomic::Ordering;
use base::time::Instant;
use base::{Errno, Result};

use super::slots::{Held, Slots};
use super::{HANDLES_MAX, HandleTable, Inner};
use crate::capability::{Capability, OwnerClass};

/// Handles that are closed between two chances for other tasks.
const CLOSE_BATCH: usize = 32;

impl HandleTable {
    /// One more task uses the table: `CLONE_FILES`.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Arc<HandleTable> {
        self.users.fetch_add(1, Ordering::Relaxed);
        self.clone()
    }

    /// True when more than one task uses the table.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.users.load(Ordering::Acquire) > 1
    }

    /// A copy for a new process, charged to `caller`: the same numbers, rights and generations, each a
    /// capability derived from the original. Handles that are being sent or are revoked are missing in it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn duplicate(self: &Arc<Self>, caller: &Caller) -> Result<Arc<HandleTable>> {
        let capacity = self.inner.lock().slots.capacity();
        let copy = HandleTable::new();
        if capacity == 0 {
            return Ok(copy);
        }
        let mut slots = Slots::default();
        let charge = Charge::new(&caller.account, Slots::bytes(capacity))?;
        slots.grow(capacity);
        let mut target =
            Inner { slots, reserved: 0, sweep_at: Instant::FAR_FUTURE, dead: false, charge: Some(charge) };
        let mut from = 0;
        // A slot at a time, since what a failed copy drops must end outside the lock.
        while let Some((slot, access, marks)) = self.next_held(from).filter(|(slot, ..)| *slot < capacity) {
            from = slot + 1;
            match Capability::derive(caller, access.node(), access.rights(), OwnerClass::Handle) {
                Ok(capability) => {
                    target.slots.take(slot, false);
                    // The copy is nobody else's yet: a revocation that comes before the bind is met by it.
                    if let Err(refused) = target.hold(slot, &copy, capability) {
                        drop(refused.capability);
                    }
                    target.slots.copy_marks(slot, marks.0, marks.1);
                }
                Err(Errno::ENOMEM) => return Err(Errno::ENOMEM),
                // Closed or revoked meanwhile.
                Err(_) => {}
            }
        }
        *copy.inner.lock() = target;
        copy.drop_revoked();
        Ok(copy)
    }

    /// The first held slot from `from` on, with its generation and close-on-exec mark.
    fn next_held(&self, from: usize) -> Option<(usize, super::Access, (u32, bool))> {
        let inner = self.inner.lock();
        (from..inner.slots.capacity()).find_map(|slot| {
            let capability = &inner.slots.held(slot)?.capability;
            let access = super::Access { node: capability.node().clone(), rights: capability.rights() };
            let marks = (inner.slots.generation(slot), inner.slots.cloexec(slot));
            (!access.node.is_revoked()).then_some((slot, access, marks))
        })
    }

    /// Lets go of what was revoked while the table was being filled, when a revoker found its slots empty.
    fn drop_revoked(&self) {
        for slot in 0..HANDLES_MAX {
            let held = {
                let mut inner = self.inner.lock();
                match inner.slots.held(slot) {
                    Some(held) if held.capability.node().is_revoked() => inner.slots.empty(slot),
                    _ => None,
                }
            };
            drop(held);
        }
    }

    /// One task stops using the table; the last one closes everything in it, in the order of the numbers, with
    /// chances for others between. A drop midway leaves the rest open until the table itself goes.
    pub async fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        self.inner.lock().dead = true;
        self.close_where(|_, _| true).await;
    }

    /// execve(2), which has made sure that the table has one user: closes what is marked so, and everything
    /// when the new program runs with rights that the old one did not have.
    pub async fn close_on_exec(&self, gains_rights: bool) {
        self.close_where(|slots, slot| gains_rights || slots.cloexec(slot)).await;
    }

    async fn close_where(&self, wanted: impl Fn(&Slots, usize) -> bool) {
        let mut closed = 0;
        let mut from = 0;
        loop {
            let held: Option<Held> = {
                let mut inner = self.inner.lock();
                let Some(slot) = inner.slots.next_used(from) else { return };
                from = slot + 1;
                if wanted(&inner.slots, slot) { inner.slots.empty(slot) } else { None }
            };
            if held.is_some() {
                drop(held);
                closed += 1;
                if closed % CLOSE_BATCH == 0 {
                    executor::yield_point().await;
                }
            }
        }
    }
}
