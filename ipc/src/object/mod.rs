//! What a handle can name: identity, lifecycle, histories, the registry.
//!
//! | module | subject |
//! |---|---|
//! | [`lifecycle`] | the states of an object |
//! | [`history`] | the last references and transfers |
//! | `reference` | an owned reference to any object |
//! | [`registry`] | all objects, by id |
//! | `operations` | read, write, poll and signal, whatever the object |

pub mod history;
pub mod lifecycle;
mod operations;
mod reference;
pub mod registry;

use base::machine;
use base::sync::atomic::{AtomicU32, Ordering};
use base::sync::{LockClass, SpinLock};

use history::{History, Transfer, TransferEvent};
#[cfg(debug_assertions)]
use history::{Reference, ReferenceEvent};
use lifecycle::{Lifecycle, State};
pub use reference::ObjectRef;

/// Type of an object, with the numbers of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ObjectKind {
    /// One end of a channel.
    Channel = 1,
    /// A port.
    Port = 2,
    /// An open file.
    File = 3,
}

impl ObjectKind {
    /// The name that text files show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ObjectKind::Channel => "channel",
            ObjectKind::Port => "port",
            ObjectKind::File => "file",
        }
    }
}

/// Nobody in particular, where a history names a process.
pub const NO_PID: i32 = -1;

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// What every object has.
pub struct ObjectBase {
    id: u32,
    kind: ObjectKind,
    lifecycle: Lifecycle,
    transfers: SpinLock<History<Transfer, { history::TRANSFERS }>>,
    #[cfg(debug_assertions)]
    references: SpinLock<History<Reference, { history::REFERENCES }>>,
}

impl ObjectBase {
    /// The base of a new object, which has one reference: its maker's.
    pub(crate) fn new(kind: ObjectKind) -> ObjectBase {
        let base = ObjectBase {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            kind,
            lifecycle: Lifecycle::new(),
            transfers: SpinLock::new(LockClass::Registry, History::new()),
            #[cfg(debug_assertions)]
            references: SpinLock::new(LockClass::Registry, History::new()),
        };
        #[cfg(debug_assertions)]
        base.record_reference(ReferenceEvent::Init, 1);
        base
    }

    /// A number that no other object has.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        self.lifecycle.state()
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Records a step of a capability that moves.
    pub(crate) fn record_transfer(&self, event: TransferEvent, from: i32, to: i32, rights: u32) {
        let now = machine().now();
        self.transfers.lock().push(Transfer::new(now, event, from, to, rights));
    }

    /// The last transfers, oldest first.
    pub fn transfers(&self, mut visit: impl FnMut(&Transfer)) {
        // A copy is small enough for the stack, and `visit` may do what it likes.
        let copy = *self.transfers.lock();
        copy.iter().for_each(&mut visit);
    }

    #[cfg(debug_assertions)]
    pub(crate) fn record_reference(&self, event: ReferenceEvent, after: usize) {
        let now = machine().now();
        self.references.lock().push(Reference::new(now, event, after));
    }

    /// The last references taken and given back, oldest first. They are recorded in debug builds only.
    pub fn references(&self, visit: impl FnMut(&history::Reference)) {
        #[cfg(debug_assertions)]
        {
            let copy = *self.references.lock();
            copy.iter().for_each(visit);
        }
        #[cfg(not(debug_assertions))]
        drop(visit);
    }
}

impl Drop for ObjectBase {
    fn drop(&mut self) {
        self.lifecycle.end(|| registry::remove(self.id));
    }
}
