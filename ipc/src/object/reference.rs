//! An owned reference to any object.

use alloc::sync::{Arc, Weak};

use base::time::Instant;

use super::history::{Histories, Reference, Step, Transfer};
use super::tracked::TrackedNode;
use super::{ObjectBase, ObjectKind};
use crate::channel::Endpoint;
use crate::file::FileNode;
use crate::port::Port;

/// A reference that keeps an object allocated. Whether a channel's end stays *open* is another matter:
/// that is what [`Capability`](crate::Capability) and descriptors decide.
pub struct ObjectRef(Target);

#[derive(Clone)]
enum Target {
    Channel(Arc<Endpoint>),
    Port(Arc<Port>),
    File(Arc<FileNode>),
    Tracked(Arc<TrackedNode>),
}

impl ObjectRef {
    /// What every object has.
    #[must_use]
    pub fn base(&self) -> &ObjectBase {
        match &self.0 {
            Target::Channel(endpoint) => endpoint.base(),
            Target::Port(port) => port.base(),
            Target::File(file) => file.base(),
            Target::Tracked(node) => node.base(),
        }
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ObjectKind {
        self.base().kind()
    }

    /// None for what handles cannot name.
    fn histories(&self) -> Option<&Histories> {
        match &self.0 {
            Target::Channel(endpoint) => Some(endpoint.histories()),
            Target::Port(port) => Some(port.histories()),
            Target::File(file) => Some(file.histories()),
            Target::Tracked(_) => None,
        }
    }

    /// Records steps that a capability with `rights` made at one moment.
    #[inline]
    pub(crate) fn record_transfers(&self, now: Instant, rights: u32, steps: &[Step]) {
        if let Some(histories) = self.histories() {
            histories.record_transfers(now, rights, steps);
        }
    }

    /// The last transfers, oldest first.
    pub fn transfers(&self, visit: impl FnMut(&Transfer)) {
        if let Some(histories) = self.histories() {
            histories.transfers(visit);
        }
    }

    /// The last references taken and given back, oldest first. They are recorded in debug builds only.
    pub fn reference_history(&self, visit: impl FnMut(&Reference)) {
        if let Some(histories) = self.histories() {
            histories.references(visit);
        }
    }

    /// The endpoint, if it is one.
    #[must_use]
    pub fn channel(&self) -> Option<&Arc<Endpoint>> {
        if let Target::Channel(endpoint) = &self.0 { Some(endpoint) } else { None }
    }

    /// The port, if it is one.
    #[must_use]
    pub fn port(&self) -> Option<&Arc<Port>> {
        if let Target::Port(port) = &self.0 { Some(port) } else { None }
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Arc<FileNode>> {
        if let Target::File(file) = &self.0 { Some(file) } else { None }
    }

    /// What is tracked for a file system, if it is that.
    #[must_use]
    pub fn tracked(&self) -> Option<&Arc<TrackedNode>> {
        if let Target::Tracked(node) = &self.0 { Some(node) } else { None }
    }

    /// References that keep it allocated now: for text files.
    #[must_use]
    pub fn references(&self) -> usize {
        match &self.0 {
            Target::Channel(endpoint) => Arc::strong_count(endpoint),
            Target::Port(port) => Arc::strong_count(port),
            Target::File(file) => Arc::strong_count(file),
            Target::Tracked(node) => Arc::strong_count(node),
        }
    }

    /// True when both name one object.
    #[must_use]
    pub fn is(&self, other: &ObjectRef) -> bool {
        self.base().id() == other.base().id()
    }

    pub(crate) fn downgrade(&self) -> WeakObject {
        match &self.0 {
            Target::Channel(endpoint) => WeakObject::Channel(Arc::downgrade(endpoint)),
            Target::Port(port) => WeakObject::Port(Arc::downgrade(port)),
            Target::File(file) => WeakObject::File(Arc::downgrade(file)),
            Target::Tracked(node) => WeakObject::Tracked(Arc::downgrade(node)),
        }
    }
}

impl From<Arc<Endpoint>> for ObjectRef {
    fn from(endpoint: Arc<Endpoint>) -> Self {
        ObjectRef(Target::Channel(endpoint))
    }
}

impl From<Arc<Port>> for ObjectRef {
    fn from(port: Arc<Port>) -> Self {
        ObjectRef(Target::Port(port))
    }
}

impl From<Arc<FileNode>> for ObjectRef {
    fn from(file: Arc<FileNode>) -> Self {
        ObjectRef(Target::File(file))
    }
}

impl From<Arc<TrackedNode>> for ObjectRef {
    fn from(node: Arc<TrackedNode>) -> Self {
        ObjectRef(Target::Tracked(node))
    }
}

impl Clone for ObjectRef {
    fn clone(&self) -> Self {
        let copy = ObjectRef(self.0.clone());
        #[cfg(debug_assertions)]
        if let Some(histories) = self.histories() {
            histories.record_reference(super::history::ReferenceEvent::Get, self.references());
        }
        copy
    }
}

#[cfg(debug_assertions)]
impl Drop for ObjectRef {
    fn drop(&mut self) {
        use super::history::ReferenceEvent::{LastPut, Put};
        let after = self.references().saturating_sub(1);
        if let Some(histories) = self.histories() {
            histories.record_reference(if after == 0 { LastPut } else { Put }, after);
        }
    }
}

/// A reference that does not keep the object.
#[derive(Clone)]
pub(crate) enum WeakObject {
    Channel(Weak<Endpoint>),
    Port(Weak<Port>),
    File(Weak<FileNode>),
    Tracked(Weak<TrackedNode>),
}

impl WeakObject {
    /// True when somebody has a reference.
    pub(crate) fn is_alive(&self) -> bool {
        let references = match self {
            WeakObject::Channel(endpoint) => endpoint.strong_count(),
            WeakObject::Port(port) => port.strong_count(),
            WeakObject::File(file) => file.strong_count(),
            WeakObject::Tracked(node) => node.strong_count(),
        };
        references > 0
    }

    /// A reference, if somebody still has one.
    pub(crate) fn upgrade(&self) -> Option<ObjectRef> {
        match self {
            WeakObject::Channel(endpoint) => endpoint.upgrade().map(ObjectRef::from),
            WeakObject::Port(port) => port.upgrade().map(ObjectRef::from),
            WeakObject::File(file) => file.upgrade().map(ObjectRef::from),
            WeakObject::Tracked(node) => node.upgrade().map(ObjectRef::from),
        }
    }
}
