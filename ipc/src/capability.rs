//! One capability, held or in flight, as a value with a `Drop`.

use alloc::sync::{Arc, Weak};

use base::Result;
use base::caller::Caller;

use crate::collector;
use crate::lineage::node::{CapNode, Holder};
use crate::lineage::{CapId, uproot};
use crate::object::history::TransferEvent;
use crate::object::{NO_PID, ObjectRef};
use crate::rights::Rights;
use crate::trace;

/// Which kind of owner keeps an endpoint or a port open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerClass {
    /// A handle, in a table or in a message.
    Handle,
    /// An open file made from a handle.
    Descriptor,
    /// Anything else: kernel code that uses an object itself.
    Other,
}

/// The one owner of a capability. As long as it lives, the object is open; when it goes, the lineage
/// forgets the capability, and a channel whose last owner this was closes.
pub struct Capability {
    node: Arc<CapNode>,
    rights: Rights,
    class: OwnerClass,
}

impl Capability {
    /// A capability without ancestors.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn root(caller: &Caller, object: ObjectRef, rights: Rights) -> Result<Capability> {
        let (node, class) = (CapNode::root(caller, object)?, OwnerClass::Handle);
        node.object().acquire(class);
        Ok(Capability { node, rights, class })
    }

    /// A capability derived from `parent`, with the `rights` given, for an owner of `class`.
    ///
    /// # Errors
    ///
    /// `EACCES` when the parent is revoked; `ENOENT` when it is gone; `ENOMEM`.
    pub fn derive(
        caller: &Caller,
        parent: &CapNode,
        rights: Rights,
        class: OwnerClass,
    ) -> Result<Capability> {
        // First, so that the object stays open when the parent's owner goes meanwhile.
        let object = parent.object();
        object.acquire(class);
        if let Some(owners) = object.owners_in_flight() {
            owners.give_out();
        }
        match parent.child(caller) {
            Ok(node) => Ok(Capability { node, rights, class }),
            Err(error) => {
                object.release(class);
                Err(error)
            }
        }
    }

    /// Its node.
    #[must_use]
    pub fn node(&self) -> &Arc<CapNode> {
        &self.node
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> CapId {
        self.node.id()
    }

    /// What it names.
    #[must_use]
    pub fn object(&self) -> &ObjectRef {
        self.node.object()
    }

    /// What it allows.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// Takes rights away.
    pub(crate) fn narrow(&mut self, mask: Rights) {
        self.rights &= mask;
    }

    /// Says where it is held, so that a revocation finds it.
    ///
    /// # Errors
    ///
    /// `EACCES` when it is revoked.
    pub fn bind(&self, holder: Weak<dyn Holder>, slot: u16) -> Result<()> {
        self.node.bind(holder, slot)
    }

    pub(crate) fn record(&self, event: TransferEvent, from: i32, to: i32) {
        self.node.record_transfer(event, from, to, self.rights);
    }
}

impl Drop for Capability {
    fn drop(&mut self) {
        trace::gone(&self.node);
        uproot(&self.node);
        self.node.object().release(self.class);
    }
}

/// A capability that is in no table: in a message, or on its way into or out of one. Dropped, it is
/// recorded as lost.
pub struct InFlight(Option<Capability>);

impl InFlight {
    /// `capability` has left its table.
    #[must_use]
    pub fn new(capability: Capability) -> InFlight {
        collector::departed(capability.object());
        InFlight(Some(capability))
    }

    /// What it names.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectRef> {
        self.0.as_ref().map(Capability::object)
    }

    /// True when it was revoked: it can't be installed any more.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.0.as_ref().is_none_or(|capability| capability.node.is_revoked())
    }

    pub(crate) fn record(&self, event: TransferEvent, from: i32, to: i32) {
        if let Some(capability) = &self.0 {
            capability.record(event, from, to);
        }
    }

    /// It has arrived: the capability, for a table.
    pub(crate) fn arrive(mut self) -> Option<Capability> {
        let capability = self.0.take()?;
        collector::arrived(capability.object());
        // Nothing is left to drop.
        core::mem::forget(self);
        Some(capability)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(capability) = self.0.take() {
            collector::arrived(capability.object());
            capability.record(TransferEvent::Drop, NO_PID, NO_PID);
        }
    }
}
