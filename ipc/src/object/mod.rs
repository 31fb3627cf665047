//! What a handle can name: identity, lifecycle, histories, the registry.
//!
//! | module | subject |
//! |---|---|
//! | `lifecycle` | the life of an object |
//! | [`history`] | the last references and transfers |
//! | `tracked` | what belongs to the file systems: vnodes and dentries |
//! | `reference` | an owned reference to any object |
//! | [`registry`] | all objects, by id |
//! | [`feed`] | which of them came or went, for the projection in sysfs |
//! | `operations` | read, write, poll and signal, whatever the object |

pub mod feed;
pub mod history;
mod lifecycle;
mod operations;
mod reference;
pub mod registry;
mod tracked;

use base::lifecycle::State;
use base::sync::atomic::{AtomicU32, Ordering};

use lifecycle::Lifecycle;
pub use reference::ObjectRef;
pub use tracked::{Tracked, TrackedNode};

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
    /// A file, whoever has it open.
    Vnode = 0x100,
    /// A name of a file.
    Dentry = 0x101,
}

impl ObjectKind {
    /// All types, in the order of their numbers.
    pub const ALL: [ObjectKind; 5] =
        [ObjectKind::Channel, ObjectKind::Port, ObjectKind::File, ObjectKind::Vnode, ObjectKind::Dentry];

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) const fn index(self) -> usize {
        match self {
            ObjectKind::Channel => 0,
            ObjectKind::Port => 1,
            ObjectKind::File => 2,
            ObjectKind::Vnode => 3,
            ObjectKind::Dentry => 4,
        }
    }

    /// The name that text files show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ObjectKind::Channel => "channel",
            ObjectKind::Port => "port",
            ObjectKind::File => "file",
            ObjectKind::Vnode => "vnode",
            ObjectKind::Dentry => "dentry",
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
}

impl ObjectBase {
    /// The base of a new object.
    pub(crate) fn new(kind: ObjectKind) -> ObjectBase {
        ObjectBase { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), kind, lifecycle: Lifecycle::new() }
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
}

impl Drop for ObjectBase {
    fn drop(&mut self) {
        self.lifecycle.end(|| registry::remove(self.id, self.kind));
    }
}
