//! Threads: the part that others may look at. What only the thread itself touches (registers,
//! floating-point state, the syscall in flight) lives in its future, in [`run`].

pub mod attention;
pub mod dispatch;
pub mod name;
pub mod resources;
pub mod run;

use alloc::sync::Arc;

use base::caller::{Caller, Credentials};
use base::sync::Once;
use base::sync::atomic::{AtomicU32, Ordering};

use attention::{Attention, Reasons};
use name::Name;
use resources::{Resources, Slot};

use crate::mm::AddressSpace;
use crate::process::Process;
use crate::process::usage::Usage;

/// How others reach the task that runs a thread.
pub trait TaskControl: Send + Sync {
    /// Polls the task again, so that it looks at its attention word.
    fn wake(&self);

    /// Ends an interruptible wait with the reason `Signal`, and polls the task.
    fn interrupt(&self);
}

/// A thread, as everybody else sees it.
pub struct Thread {
    tid: AtomicU32,
    key: u64,
    process: Arc<Process>,
    attention: Attention,
    published: dispatch::Published,
    task: Once<Arc<dyn TaskControl>>,
    resources: Slot,
    name: Name,
    usage: Usage,
}

impl Thread {
    /// A thread of `process` with this id and stable key.
    #[must_use]
    pub fn new(tid: u32, key: u64, process: Arc<Process>) -> Arc<Thread> {
        Arc::new(Thread {
            tid: AtomicU32::new(tid),
            key,
            process,
            attention: Attention::default(),
            published: dispatch::Published::default(),
            task: Once::new(),
            resources: Slot::default(),
            name: Name::default(),
            usage: Usage::default(),
        })
    }

    /// Thread id. It changes once at most, when execve(2) makes the thread its process's first.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// The same in every run of one seed: a hash of the parent's key and which child it is.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// The process it belongs to.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// What the thread has to look at before it goes back to ring 3.
    #[must_use]
    pub fn attention(&self) -> &Attention {
        &self.attention
    }

    /// Raises reasons, and makes the thread look at them wherever it is: in ring 3, waiting, or queued.
    pub fn raise(&self, reasons: Reasons) {
        self.attention.raise(reasons);
        self.interrupt();
    }

    /// Ends the thread's interruptible wait, if it is in one, with the reason `Signal`; a thread that
    /// runs in ring 3 comes back from it.
    pub fn interrupt(&self) {
        if let Some(task) = self.task.get() {
            task.interrupt();
        }
    }

    /// Has the thread's task polled again, without ending its wait.
    pub fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        }
    }

    /// What the thread is blocked in, for those who watch it.
    #[must_use]
    pub fn published(&self) -> &dispatch::Published {
        &self.published
    }

    /// What it acts with; `None` once it has exited.
    #[must_use]
    pub fn resources(&self) -> Option<Arc<Resources>> {
        self.resources.get()
    }

    /// Replaces what it acts with. Only the thread itself does this; `None` when it exits.
    pub fn set_resources(&self, resources: Option<Arc<Resources>>) {
        drop(self.resources.replace(resources));
    }

    /// Itself, as `fs` and `ipc` know it. For the thread's own syscalls.
    ///
    /// # Panics
    ///
    /// When the thread has exited: it makes no syscalls then.
    #[must_use]
    pub fn caller(&self) -> Arc<Caller> {
        self.own(|resources| resources.caller.clone())
    }

    /// Its ids and capabilities. Panics as [`Thread::caller`].
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.own(|resources| resources.caller.credentials.clone())
    }

    /// Its memory. Panics as [`Thread::caller`].
    #[must_use]
    pub fn space(&self) -> Arc<AddressSpace> {
        self.own(|resources| resources.space.clone())
    }

    fn own<R>(&self, read: impl FnOnce(&Resources) -> R) -> R {
        self.resources.map(read).expect("a thread that runs has its resources")
    }

    /// Its name: `prctl(PR_SET_NAME)`, `/proc/<pid>/comm`.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it has used so far.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }
}

impl core::fmt::Debug for Thread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "thread {} of {:?}", self.tid(), self.process)
    }
}
