//! Where a process stands: its root, its working directory and its umask.

use alloc::sync::Arc;

use base::sync::{LockClass, SpinLock};

use super::mount::Namespace;
use super::path::Path;

/// Root, working directory and umask, shared by tasks that `CLONE_FS` made.
pub struct FsContext {
    namespace: Arc<Namespace>,
    inner: SpinLock<Inner>,
}

#[derive(Clone)]
struct Inner {
    root: Path,
    cwd: Path,
    umask: u32,
}

impl FsContext {
    /// The context of the first process: at the top of `namespace`, with umask 022.
    #[must_use]
    pub fn new(namespace: &Arc<Namespace>) -> Arc<FsContext> {
        let root = namespace.descend(namespace.root());
        Self::with(namespace, Inner { cwd: root.clone(), root, umask: 0o022 })
    }

    fn with(namespace: &Arc<Namespace>, inner: Inner) -> Arc<FsContext> {
        Arc::new(FsContext {
            namespace: namespace.clone(),
            inner: SpinLock::new(LockClass::FsContext, inner),
        })
    }

    /// A copy for a new process.
    #[must_use]
    pub fn duplicate(&self) -> Arc<FsContext> {
        let inner = self.inner.lock().clone();
        Self::with(&self.namespace, inner)
    }

    /// The mounts it sees.
    #[must_use]
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> Path {
        self.inner.lock().root.clone()
    }

    /// Its working directory.
    #[must_use]
    pub fn cwd(&self) -> Path {
        self.inner.lock().cwd.clone()
    }

    /// Both, as they were at one moment.
    #[must_use]
    pub fn root_and_cwd(&self) -> (Path, Path) {
        let inner = self.inner.lock();
        (inner.root.clone(), inner.cwd.clone())
    }

    /// Sets the root.
    pub fn set_root(&self, root: Path) {
        let old = core::mem::replace(&mut self.inner.lock().root, root);
        drop(old);
    }

    /// Sets the working directory.
    pub fn set_cwd(&self, cwd: Path) {
        let old = core::mem::replace(&mut self.inner.lock().cwd, cwd);
        drop(old);
    }

    /// The permission bits that new files don't get.
    #[must_use]
    pub fn umask(&self) -> u32 {
        self.inner.lock().umask
    }

    /// Sets the umask (of its low nine bits); returns the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        core::mem::replace(&mut self.inner.lock().umask, umask & 0o777)
    }
}
