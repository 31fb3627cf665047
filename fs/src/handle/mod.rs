//! Descriptors made from handles, and handles made from descriptors.
//!
//! | module | subject |
//! |---|---|
//! | `channel` | the descriptor of a channel's end |
//! | `port` | the descriptor of a port |
//! | `held` | the capability that both of them hold |
//! | `origin` | what a file's descriptor remembers of the handle it was made from |
//! | [`convert`] | the one way from a handle to a descriptor and back |
//!
//! A descriptor made from a handle holds a capability derived from it. When that is revoked, the descriptor
//! stays in its table, but every operation answers `EBADF` and poll tells an error and a hang-up.

mod channel;
pub mod convert;
mod held;
mod origin;
mod port;

pub use channel::ChannelFile;
pub use origin::Origin;
pub use port::PortFile;

use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;

use executor::pollwait::{Events, Reason, WaitSource};
use ipc::collector::Node;
use ipc::file::FileObject;

use crate::file::OpenFile;
use crate::{unix, vfs};

/// What a poll of a revoked descriptor tells.
pub const REVOKED: Events = Events::ERR.union(Events::HUP);

impl FileObject for OpenFile {
    fn visit(self: Arc<Self>, visit: &mut dyn FnMut(&dyn Node)) {
        unix::show(&self, visit);
    }

    fn readiness(&self) -> Events {
        self.poll()
    }

    fn sources(&self) -> [Option<Arc<WaitSource>>; 2] {
        self.awaited()
    }

    fn wakes(&self, tell: &mut dyn FnMut(&WaitSource)) {
        OpenFile::wakes(self, tell);
    }

    fn revoked(&self) {
        for source in self.ops().sources(self).iter() {
            source.wake_all(Events::empty(), Reason::Close);
        }
    }

    fn identity(&self) -> (u64, String) {
        (self.inode().metadata().ino, vfs::path_word(self.path()))
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
