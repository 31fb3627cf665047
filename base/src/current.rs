//! The task under which code runs, as far as the lowest floor has to know it.
//!
//! A fault point or a trace point may stand anywhere: under a lock of `ipc`, in the wait core, in the page-fault
//! path. None of these is handed a [`Caller`](crate::caller::Caller). So each task owns a [`TaskLocal`], and whoever
//! polls the task says so with [`enter`] and [`leave`].
//!
//! Invariant, cited by the `SAFETY` comments:
//!
//! - **C1** Between `enter` and `leave` the pointer of this CPU names a `TaskLocal` that is alive, and only code
//!   that runs between the two, on this CPU, asks for it.

use core::ptr;

use crate::fault::TaskFaults;
use crate::sync::atomic::{AtomicU32, Ordering};

/// What is kept of each task down here.
#[derive(Debug)]
pub struct TaskLocal {
    key: u64,
    pid: AtomicU32,
    tid: AtomicU32,
    draws: AtomicU32,
    faults: TaskFaults,
}

impl TaskLocal {
    /// A task with this stable key, which is no thread of a program (yet).
    #[must_use]
    pub const fn new(key: u64) -> TaskLocal {
        TaskLocal {
            key,
            pid: AtomicU32::new(0),
            tid: AtomicU32::new(0),
            draws: AtomicU32::new(0),
            faults: TaskFaults::new(),
        }
    }

    /// Its stable key: the same in every run of one seed.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// The process whose thread it is; 0 for the kernel's own tasks.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// The thread that it is; 0 for the kernel's own tasks.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// It is this thread from now on. The number of a thread may change once, at execve(2).
    pub fn set_thread(&self, pid: u32, tid: u32) {
        self.pid.store(pid, Ordering::Relaxed);
        self.tid.store(tid, Ordering::Relaxed);
    }

    /// How many random numbers it has drawn before the one that it draws now.
    #[must_use]
    pub fn count_draw(&self) -> u32 {
        self.draws.fetch_add(1, Ordering::Relaxed)
    }

    /// Its part in fault injection.
    #[must_use]
    pub fn faults(&self) -> &TaskFaults {
        &self.faults
    }
}

#[cfg(not(any(shuttle, test, feature = "host")))]
mod place {
    use super::TaskLocal;
    use crate::sync::atomic::{AtomicPtr, Ordering};
    use crate::sync::{CachePadded, MAX_CPUS, PerCpu};
    use core::ptr;

    static CURRENT: PerCpu<AtomicPtr<TaskLocal>> =
        PerCpu::from_padded([const { CachePadded(AtomicPtr::new(ptr::null_mut())) }; MAX_CPUS]);

    #[inline]
    pub(super) fn set(task: *const TaskLocal) {
        CURRENT.this().store(task.cast_mut(), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn get() -> *const TaskLocal {
        CURRENT.this().load(Ordering::Relaxed)
    }
}

/// In a model each of its threads has a task, which take turns on one of the host's.
#[cfg(shuttle)]
mod place {
    use super::TaskLocal;
    use crate::sync::{MODEL_THREADS, model_thread};
    use core::cell::Cell;
    use core::ptr;

    std::thread_local!(
        static CURRENT: [Cell<*const TaskLocal>; MODEL_THREADS] =
            const { [const { Cell::new(ptr::null()) }; MODEL_THREADS] }
    );

    pub(super) fn set(task: *const TaskLocal) {
        CURRENT.with(|current| current[model_thread()].set(task));
    }

    pub(super) fn get() -> *const TaskLocal {
        CURRENT.with(|current| current[model_thread()].get())
    }
}

/// On the host several executors may run at once, each with threads for CPUs.
#[cfg(all(any(test, feature = "host"), not(shuttle)))]
mod place {
    use super::TaskLocal;
    use core::cell::Cell;
    use core::ptr;

    std::thread_local!(static CURRENT: Cell<*const TaskLocal> = const { Cell::new(ptr::null()) });

    pub(super) fn set(task: *const TaskLocal) {
        CURRENT.with(|current| current.set(task));
    }

    pub(super) fn get() -> *const TaskLocal {
        CURRENT.with(Cell::get)
    }
}

/// The task of `task` runs on this CPU from now on.
///
/// # Safety
///
/// C1: `task` lives until [`leave`] is called on this CPU.
#[inline]
pub unsafe fn enter(task: &TaskLocal) {
    place::set(task);
}

/// No task runs on this CPU any more.
#[inline]
pub fn leave() {
    place::set(ptr::null());
}

/// Calls `read` with the task that runs here; `None` between two polls, and at boot.
#[inline]
pub fn with<R>(read: impl FnOnce(&TaskLocal) -> R) -> Option<R> {
    // SAFETY: C1.
    unsafe { place::get().as_ref() }.map(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_task_is_known_between_enter_and_leave() {
        let task = TaskLocal::new(7);
        task.set_thread(3, 4);
        assert!(with(TaskLocal::key).is_none());
        // SAFETY: `leave` comes before the end of `task`.
        unsafe { enter(&task) };
        assert_eq!(with(|task| (task.key(), task.pid(), task.tid())), Some((7, 3, 4)));
        leave();
        assert!(with(TaskLocal::key).is_none());
    }
}
