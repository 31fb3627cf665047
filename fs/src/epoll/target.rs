//! What an item looks at: an open file, through a descriptor that may have been made from a handle.

use alloc::sync::{Arc, Weak};

use executor::pollwait::Events;

use crate::file::{FdEntry, OpenFile};
use crate::handle::{Origin, REVOKED};

/// The file, and the handle that the descriptor was made from. It keeps neither.
#[derive(Clone, Debug)]
pub(super) struct Target {
    file: Weak<OpenFile>,
    origin: Option<Weak<Origin>>,
}

impl Target {
    /// What `entry` names.
    pub(super) fn of(entry: &FdEntry) -> Target {
        Target { file: Arc::downgrade(&entry.file), origin: entry.origin.as_ref().map(Arc::downgrade) }
    }

    /// The file, if somebody still has it.
    pub(super) fn file(&self) -> Option<Arc<OpenFile>> {
        self.file.upgrade()
    }

    /// What `file`, which is its own, is ready for: an error when the handle was revoked.
    pub(super) fn poll(&self, file: &OpenFile) -> Events {
        let origin = self.origin.as_ref().and_then(Weak::upgrade);
        if origin.is_some_and(|origin| origin.is_revoked()) { REVOKED } else { file.poll() }
    }
}
