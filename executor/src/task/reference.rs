//! References to tasks: what everybody but the executor uses.

use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::fmt;

use base::current::TaskLocal;
use base::sync::atomic::Ordering;
use base::trace::{self, Identity};

use super::options::{Name, TaskFlags};
use super::shared::{Task, TaskState};
use super::wait::{WaitSnapshot, WakeSnapshot};
use crate::cpu_set::CpuSet;

/// A reference to a task: cheap to clone, valid for ever.
#[derive(Clone)]
pub struct TaskRef(pub(crate) Arc<Task>);

impl TaskRef {
    /// Its number, unique since boot, never 0.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id()
    }

    /// Its stable key: the same in every run of one seed.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.0.key()
    }

    /// What trace points and fault points know of it.
    #[must_use]
    pub fn task_local(&self) -> &TaskLocal {
        self.0.task_local()
    }

    /// Calls `read` with its name.
    pub fn with_name<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        let name = *self.0.name.lock();
        read(name.text())
    }

    /// As [`with_name`](Self::with_name) for a dump, which may have interrupted a lock's holder: nothing when
    /// the name is being written.
    pub fn try_with_name<R>(&self, read: impl FnOnce(&str) -> R) -> Option<R> {
        let name = *self.0.name.try_lock()?;
        Some(read(name.text()))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> alloc::string::String {
        self.with_name(|name| name.into())
    }

    /// Renames it; the name is cut to [`NAME_LENGTH`] bytes.
    pub fn set_name(&self, name: &str) {
        *self.0.name.lock() = Name::new(name);
        trace::name_task(Identity::of(self.0.task_local()), name.as_bytes());
    }

    /// True for a kernel service.
    #[must_use]
    pub fn is_daemon(&self) -> bool {
        self.0.is_daemon()
    }

    /// Makes it look again. Nothing when it has finished.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Interrupts it: raises [`TaskFlags::INTERRUPT`], makes it look again, and if it is in user
    /// mode on another CPU gets it out. An interruptible wait then ends with [`Reason::Signal`].
    pub fn interrupt(&self) {
        self.raise_flags(TaskFlags::INTERRUPT);
        self.0.wake();
        self.0.executor.nudge(&self.0);
    }

    /// Takes the interruption back, when it has been answered.
    pub fn clear_interrupt(&self) {
        self.0.lower(TaskFlags::INTERRUPT);
    }

    /// True between [`interrupt`](Self::interrupt) and [`clear_interrupt`](Self::clear_interrupt).
    #[inline]
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.0.flags().contains(TaskFlags::INTERRUPT)
    }

    /// What others want of it.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> TaskFlags {
        self.0.flags()
    }

    /// Raises flags, without waking the task.
    pub fn raise_flags(&self, flags: TaskFlags) {
        self.0.raise(flags);
    }

    /// Lowers flags.
    pub fn lower_flags(&self, flags: TaskFlags) {
        self.0.lower(flags);
    }

    /// The CPUs it may run on.
    #[must_use]
    pub fn affinity(&self) -> CpuSet {
        self.0.affinity()
    }

    /// Sets the CPUs it may run on; false, and no change, when none of them is online. If it runs on
    /// another one now it moves at its next [`slice_over`](crate::slice_over) or poll; a task that may not
    /// come there for long has to be told, and then [nudged](Self::nudge).
    pub fn set_affinity(&self, affinity: CpuSet) -> bool {
        if affinity.intersection(self.0.executor.online()).is_empty() {
            return false;
        }
        self.0.affinity.store(affinity.bits(), Ordering::Relaxed);
        true
    }

    /// Gets it out of user mode, if it is there now on another CPU. What was written for it before this call it
    /// sees afterwards: either it had not begun its poll, or it comes back to its loop.
    pub fn nudge(&self) {
        self.0.executor.nudge(&self.0);
    }

    /// The CPU it runs on, or ran on last.
    #[must_use]
    pub fn cpu(&self) -> usize {
        self.0.cpu()
    }

    /// Time it was polled, user mode included, in nanoseconds; without the poll that lasts now.
    #[must_use]
    pub fn cpu_time_ns(&self) -> u64 {
        self.0.cpu_time.load(Ordering::Relaxed)
    }

    /// How often it was polled.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.0.polls.load(Ordering::Relaxed)
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> TaskState {
        self.0.state()
    }

    /// Its last wait; the current one when it is blocked.
    #[must_use]
    pub fn last_wait(&self) -> Option<WaitSnapshot> {
        self.0.last_wait()
    }

    /// How its last wait that is over ended.
    #[must_use]
    pub fn last_wake(&self) -> Option<WakeSnapshot> {
        self.0.wait.last_end()
    }

    /// Hangs `local` on the task, for the dumps. Only the first call has an effect. The task does not own it:
    /// what it belongs to usually owns the task.
    pub fn set_local(&self, local: Weak<dyn Any + Send + Sync>) {
        self.0.local.call_once(|| local);
    }

    /// What [`set_local`](Self::set_local) hung on it, while somebody owns that.
    #[must_use]
    pub fn local(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0.local.get()?.upgrade()
    }

    /// True when both refer to one task.
    #[must_use]
    pub fn same(&self, other: &TaskRef) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_name(|name| {
            f.debug_struct("Task")
                .field("id", &self.id())
                .field("name", &name)
                .field("state", &self.state())
                .field("cpu", &self.cpu())
                .field("wait", &self.last_wait())
                .finish()
        })
    }
}
