//! Vnodes and dentries as objects: the file systems own them, the registry lists them, no handle names them.

use alloc::sync::{Arc, Weak};
use core::fmt;

use base::Result;

use super::{ObjectBase, ObjectKind, registry};
use crate::report::{Described, Fields};

/// What is tracked, as its owner describes it.
pub trait Tracked: Send + Sync {
    /// Writes the fields of `kind`: [`VNODE_FIELDS`](crate::report::VNODE_FIELDS) or
    /// [`DENTRY_FIELDS`](crate::report::DENTRY_FIELDS).
    ///
    /// # Errors
    ///
    /// As the writer.
    fn describe(
        &self,
        kind: ObjectKind,
        fields: &mut dyn Fields,
    ) -> core::result::Result<Described, fmt::Error>;
}

/// The object of something tracked. Whoever owns the thing holds this beside it, so that both go together.
pub struct TrackedNode {
    base: ObjectBase,
    thing: Weak<dyn Tracked>,
}

impl TrackedNode {
    /// The object of `thing`, known from now on. `kind` is vnode or dentry.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(kind: ObjectKind, thing: Weak<dyn Tracked>) -> Result<Arc<TrackedNode>> {
        let node = Arc::new(TrackedNode { base: ObjectBase::new(kind), thing });
        registry::publish(&node.clone().into())?;
        Ok(node)
    }

    /// What every object has.
    #[must_use]
    pub fn base(&self) -> &ObjectBase {
        &self.base
    }

    /// The thing; nothing when it died under the object.
    #[must_use]
    pub fn thing(&self) -> Option<Arc<dyn Tracked>> {
        self.thing.upgrade()
    }
}
