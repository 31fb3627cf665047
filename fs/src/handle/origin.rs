//! What a file's descriptor remembers of the handle it was made from.

use alloc::sync::{Arc, Weak};

use base::Result;
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};
use ipc::lineage::{CapNode, Holder};
use ipc::{Capability, Rights};

/// The capability behind a descriptor that was made from a FILE handle. Duplicates of the descriptor share it.
///
/// It is what makes revocation reach the descriptor, and what keeps a handle that is made from the descriptor
/// from gaining rights that the first handle did not have.
pub struct Origin {
    capability: Capability,
    /// Closed when the capability is revoked: whoever waits in the file's name gives up.
    ended: WaitSource,
}

impl Origin {
    /// Remembers `capability`, which was derived from the handle.
    ///
    /// # Errors
    ///
    /// `EACCES` when it is revoked.
    pub(super) fn new(capability: Capability) -> Result<Arc<Origin>> {
        let object = capability.object().base().id();
        let ended = WaitSource::new(WaitKind::Other, object.into());
        let origin = Arc::new(Origin { capability, ended });
        let holder: Weak<dyn Holder> = Arc::downgrade(&origin) as _;
        origin.capability.bind(holder, 0)?;
        Ok(origin)
    }

    /// The capability's node.
    #[must_use]
    pub fn node(&self) -> &CapNode {
        self.capability.node()
    }

    /// The rights of the handle.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.capability.rights()
    }

    /// True when the descriptor can't be used any more.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.capability.node().is_revoked()
    }

    /// Waits until the capability is revoked. A drop leaves nothing behind.
    pub async fn revoked(&self) {
        let seen = self.ended.observe();
        if !self.is_revoked() {
            self.ended.wait(seen, Wait::uninterruptible()).await;
        }
    }
}

impl Holder for Origin {
    fn revoke(&self, _slot: u16, node: &Arc<CapNode>) {
        self.ended.close();
        // Those who poll the file look again.
        node.object().interrupt();
        self.ended.wake_all(Events::HUP, Reason::Close);
    }
}
