//! The capability that a descriptor made from a handle holds.

use alloc::sync::{Arc, Weak};

use base::{Errno, Result};
use ipc::Capability;
use ipc::lineage::{CapNode, Holder};

/// A capability in the hands of a file. It is given back with the file.
pub(super) struct Held(Capability);

impl Held {
    /// Takes `capability` for a file.
    ///
    /// # Errors
    ///
    /// `EACCES` when it is revoked.
    pub(super) fn new(capability: Capability) -> Result<Arc<Held>> {
        let held = Arc::new(Held(capability));
        let holder: Weak<dyn Holder> = Arc::downgrade(&held) as _;
        held.0.bind(holder, 0)?;
        Ok(held)
    }

    /// The capability.
    pub(super) fn capability(&self) -> &Capability {
        &self.0
    }

    /// What every operation asks first.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is revoked.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.node().is_revoked() { Err(Errno::EBADF) } else { Ok(()) }
    }
}

impl Holder for Held {
    fn revoke(&self, _slot: u16, node: &Arc<CapNode>) {
        node.object().interrupt();
    }
}
