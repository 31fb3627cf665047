//! Open files as objects. `fs` implements the trait; nothing here knows what a file is.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;

use base::Result;
use base::caller::Caller;
use base::charge::Charge;
use executor::pollwait::{Events, WaitSource};

use crate::capability::{Capability, OwnerClass};
use crate::channel::owners::Owners;
use crate::collector::{self, Node};
use crate::object::history::Histories;
use crate::object::registry::ENTRY_BYTES;
use crate::object::{ObjectBase, ObjectKind, ObjectRef, registry};
use crate::rights::Rights;

/// An open file, as far as capabilities are concerned.
pub trait FileObject: Send + Sync + Any {
    /// Shows the open file itself to the collector, if it keeps what others queued: a socket.
    fn visit(self: Arc<Self>, _visit: &mut dyn FnMut(&dyn Node)) {}

    /// What the file is ready for now.
    fn readiness(&self) -> Events {
        Events::IN | Events::OUT
    }

    /// Whom to wait for when it is not ready.
    fn sources(&self) -> [Option<Arc<WaitSource>>; 2] {
        [None, None]
    }

    /// Calls `tell` with each source that whoever has the file may wake: for the wait graph.
    fn wakes(&self, _tell: &mut dyn FnMut(&WaitSource)) {}

    /// A capability through which somebody uses the file was revoked: whoever waits in it looks again.
    fn revoked(&self) {}

    /// Its inode number, 0 when it has none, and the path it was opened by, with what separates words escaped and
    /// empty when there is none: for text files.
    fn identity(&self) -> (u64, String) {
        (0, String::new())
    }

    /// For `fs`, which wants its own type back.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// The object behind a FILE handle. Each conversion of a descriptor makes a new one; they share the open
/// file.
pub struct FileNode {
    base: ObjectBase,
    histories: Histories,
    owners: Owners,
    file: Arc<dyn FileObject>,
    _charge: Charge,
}

impl FileNode {
    /// An object around `file`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(caller: &Caller, file: Arc<dyn FileObject>) -> Result<Arc<FileNode>> {
        let charge = Charge::new(&caller.account, size_of::<FileNode>() + ENTRY_BYTES)?;
        let node = Arc::new(FileNode {
            base: ObjectBase::new(ObjectKind::File),
            histories: Histories::new(),
            owners: Owners::new(),
            file,
            _charge: charge,
        });
        registry::publish(&ObjectRef::from(node.clone()))?;
        Ok(node)
    }

    /// As [`new`](Self::new), with the first capability to it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn capability(caller: &Caller, file: Arc<dyn FileObject>, rights: Rights) -> Result<Capability> {
        Capability::root(caller, Self::new(caller, file)?.into(), rights)
    }

    /// What every object has.
    #[must_use]
    pub fn base(&self) -> &ObjectBase {
        &self.base
    }

    pub(crate) fn histories(&self) -> &Histories {
        &self.histories
    }

    /// The capabilities to it: handles, and descriptors that were made from them.
    #[must_use]
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// One owner less.
    pub(crate) fn release(&self, class: OwnerClass) {
        if !self.owners.release(class) && self.owners.may_be_unreachable() {
            collector::request();
        }
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn FileObject> {
        &self.file
    }
}

impl Node for Arc<FileNode> {
    fn id(&self) -> u64 {
        self.base.id().into()
    }

    fn references(&self) -> usize {
        self.owners.total() as usize
    }

    fn given_out(&self) -> u64 {
        self.owners.given_out()
    }

    fn visit(&self, visit: &mut dyn FnMut(&dyn Node)) {
        self.file.clone().visit(visit);
    }

    fn hold(&self) -> Box<dyn Node> {
        Box::new(self.clone())
    }

    /// It has no queue.
    fn collect(&self) {}
}
