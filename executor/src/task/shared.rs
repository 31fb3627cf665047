//! The shared part of a task: whatever others may look at without touching its future.

use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::ptr::{self, NonNull};
use core::task::Waker;

use base::current::TaskLocal;
use base::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use base::sync::{LockClass, Once, SpinLock};
use base::time::Instant;

use super::options::{Name, TaskFlags, TaskOptions};
use super::wait::{Awaited, LastWait, WaitSnapshot};
use crate::cpu_set::CpuSet;
use crate::executor::Executor;
use crate::inbox::Chained;
use crate::pollwait::{Events, Reason};

/// The metadata in the task's allocation: its shared part.
pub(crate) struct Meta(pub(crate) Arc<Task>);

/// A task that is ready to run.
pub(crate) type Runnable = async_task::Runnable<Meta>;

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TaskState {
    /// Waits for a CPU.
    Ready = 0,
    /// Is being polled, in user mode or in the kernel.
    Running = 1,
    /// Waits for a wake.
    Blocked = 2,
    /// Has returned.
    Finished = 3,
}

/// The shared part of a task: whatever others may look at without touching its future.
pub(crate) struct Task {
    link: AtomicPtr<Task>,
    runnable: AtomicPtr<()>,
    pub(crate) executor: &'static Executor,
    flags: AtomicU32,
    cpu: AtomicU32,
    pub(super) affinity: AtomicU64,
    state: AtomicU8,
    daemon: bool,
    id: u64,
    task_local: TaskLocal,
    children: AtomicU64,
    pub(super) cpu_time: AtomicU64,
    pub(super) polls: AtomicU64,
    slices: AtomicU64,
    pub(super) wait: LastWait,
    waker: SpinLock<Option<Waker>>,
    pub(super) name: SpinLock<Name>,
    pub(super) local: Once<Weak<dyn Any + Send + Sync>>,
}

// SAFETY: the one link of the task.
unsafe impl Chained for Task {
    #[inline]
    fn next(&self) -> &AtomicPtr<Task> {
        &self.link
    }
}

impl Task {
    pub(crate) fn new(
        executor: &'static Executor,
        id: u64,
        parent: Option<&Task>,
        options: &TaskOptions<'_>,
    ) -> Task {
        let key = options.key.unwrap_or_else(|| match parent {
            Some(parent) => child_key(parent.key(), parent.children.fetch_add(1, Ordering::Relaxed)),
            None => child_key(0, id),
        });
        let task_local = TaskLocal::new(key);
        task_local.faults().set_marked(parent.is_some_and(|parent| parent.task_local.faults().is_marked()));
        Task {
            link: AtomicPtr::new(ptr::null_mut()),
            runnable: AtomicPtr::new(ptr::null_mut()),
            executor,
            flags: AtomicU32::new(0),
            cpu: AtomicU32::new(0),
            affinity: AtomicU64::new(options.affinity.bits()),
            state: AtomicU8::new(TaskState::Ready as u8),
            daemon: options.daemon,
            id,
            task_local,
            children: AtomicU64::new(0),
            cpu_time: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            slices: AtomicU64::new(0),
            wait: LastWait::default(),
            waker: SpinLock::new(LockClass::Task, None),
            name: SpinLock::new(LockClass::Task, Name::new(options.name)),
            local: Once::new(),
        }
    }

    /// The pointer that stands for `runnable` in queues and inboxes (I1).
    #[inline]
    pub(crate) fn from_runnable(runnable: Runnable) -> NonNull<Task> {
        let task = NonNull::from(&*runnable.metadata().0);
        // Always the same pointer: the runnable's allocation.
        // SAFETY: the runnable's metadata keeps the task alive.
        unsafe { task.as_ref() }.runnable.store(runnable.into_raw().as_ptr(), Ordering::Relaxed);
        task
    }

    /// The runnable that `task` stands for.
    ///
    /// # Safety
    ///
    /// I1: the pointer came from [`from_runnable`](Self::from_runnable), and this is the only time
    /// it is turned back.
    #[inline]
    pub(crate) unsafe fn into_runnable(task: NonNull<Task>) -> Runnable {
        // SAFETY: I1: the runnable keeps its task alive.
        let raw = unsafe { task.as_ref() }.runnable.load(Ordering::Relaxed);
        // SAFETY: the pointer is what `into_raw` gave, never null.
        unsafe { Runnable::from_raw(NonNull::new_unchecked(raw)) }
    }

    #[inline]
    pub(crate) fn affinity(&self) -> CpuSet {
        CpuSet::from_bits(self.affinity.load(Ordering::Relaxed))
    }

    /// The CPU it ran on last, or was placed on first.
    #[inline]
    pub(crate) fn cpu(&self) -> usize {
        self.cpu.load(Ordering::Relaxed) as usize
    }

    #[inline]
    pub(crate) fn set_cpu(&self, cpu: usize) {
        self.cpu.store(cpu as u32, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn set_state(&self, state: TaskState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub(crate) fn state(&self) -> TaskState {
        match self.state.load(Ordering::Relaxed) {
            0 => TaskState::Ready,
            1 => TaskState::Running,
            2 => TaskState::Blocked,
            _ => TaskState::Finished,
        }
    }

    #[inline]
    pub(crate) fn flags(&self) -> TaskFlags {
        TaskFlags::from_bits_retain(self.flags.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn is_daemon(&self) -> bool {
        self.daemon
    }

    pub(crate) fn key(&self) -> u64 {
        self.task_local.key()
    }

    pub(crate) fn task_local(&self) -> &TaskLocal {
        &self.task_local
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Raises `flags`; true when they were not all up already.
    pub(crate) fn raise(&self, flags: TaskFlags) -> bool {
        self.flags.fetch_or(flags.bits(), Ordering::AcqRel) & flags.bits() != flags.bits()
    }

    pub(crate) fn lower(&self, flags: TaskFlags) {
        // The common case is that nothing is up, and then no atomic operation is due.
        if self.flags().intersects(flags) {
            self.flags.fetch_and(!flags.bits(), Ordering::AcqRel);
        }
    }

    /// Counts one poll of `nanoseconds`.
    #[inline]
    pub(crate) fn account(&self, nanoseconds: u64) {
        // Only the CPU that polls the task writes these.
        let time = self.cpu_time.load(Ordering::Relaxed);
        self.cpu_time.store(time.wrapping_add(nanoseconds), Ordering::Relaxed);
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls.wrapping_add(1), Ordering::Relaxed);
    }

    /// How many slices have begun, as an order policy counts them.
    pub(crate) fn slices(&self) -> u64 {
        self.slices.load(Ordering::Relaxed)
    }

    /// One more begins.
    pub(crate) fn count_slice(&self) {
        // Only the CPU that polls the task writes it.
        self.slices.store(self.slices().wrapping_add(1), Ordering::Relaxed);
    }

    /// Keeps the task's own waker until it finishes.
    pub(crate) fn keep_waker(&self, waker: Waker) {
        *self.waker.lock() = Some(waker);
    }

    /// Lets go of the task's own waker.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.waker.lock().take()
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }

    /// Publishes what the task waits for.
    #[inline]
    pub(crate) fn record_wait(&self, on: Awaited<'_>, events: Events, deadline: Option<Instant>) {
        self.wait.begin(on, events, deadline);
    }

    /// The wait that was published last.
    pub(crate) fn last_wait(&self) -> Option<WaitSnapshot> {
        self.wait.read()
    }

    /// Publishes how the wait ended.
    #[inline]
    pub(crate) fn record_wake(&self, on: Awaited<'_>, reason: Reason) {
        self.wait.end(on, reason);
    }
}

/// The key of the `nth` child of the task with key `parent`. It depends on nothing else, so it is the
/// same in every run of one program.
#[must_use]
pub fn child_key(parent: u64, nth: u64) -> u64 {
    crate::order::mix(parent.rotate_left(17) ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995)
}
