//! What a thread acts with: who it is, its memory, its descriptors, its place in the file system.
//!
//! The whole is immutable and replaced at once, by the thread itself (execve, unshare, setuid); others
//! that look (`/proc`) see the old one or the new one. A thread that has exited has none.

use alloc::sync::Arc;

use base::caller::{Caller, Credentials};
use base::sync::{LockClass, SpinLock};
use fs::file::FdTable;
use fs::vfs::FsContext;
use ipc::HandleTable;

use crate::mm::AddressSpace;

/// The set.
#[derive(Clone)]
pub struct Resources {
    /// What `fs` and `ipc` may know about the thread.
    pub caller: Arc<Caller>,
    /// Its memory.
    pub space: Arc<AddressSpace>,
    /// Its descriptors.
    pub files: Arc<FdTable>,
    /// Its handles, shared and copied together with the descriptors.
    pub handles: Arc<HandleTable>,
    /// Its root, working directory and umask.
    pub place: Arc<FsContext>,
}

impl Resources {
    /// The same with other credentials.
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials) -> Resources {
        let caller = Caller { credentials: Arc::new(credentials), ..Caller::clone(&self.caller) };
        Resources { caller: Arc::new(caller), ..self.clone() }
    }
}

/// The place where a thread keeps them.
pub(super) struct Slot(SpinLock<Option<Arc<Resources>>>);

impl Default for Slot {
    fn default() -> Self {
        Slot(SpinLock::new(LockClass::Process, None))
    }
}

impl Slot {
    /// The resources, unless the thread has exited.
    pub(super) fn get(&self) -> Option<Arc<Resources>> {
        self.0.lock().clone()
    }

    /// Reads one of them under the lock.
    pub(super) fn map<R>(&self, read: impl FnOnce(&Resources) -> R) -> Option<R> {
        self.0.lock().as_deref().map(read)
    }

    /// Replaces them. The old ones are dropped outside the lock.
    pub(super) fn replace(&self, new: Option<Arc<Resources>>) -> Option<Arc<Resources>> {
        core::mem::replace(&mut *self.0.lock(), new)
    }
}
