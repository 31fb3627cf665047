//! Tasks.
//!
//! # Life
//!
//! ```text
//!               (1) spawn
//!                  |
//!                  v     (2) popped by a CPU           (4) future is ready
//!     +-------> Ready  ------------------->  Running  ------------------> Finished
//!     |            ^                           |   |
//!     |            |  (5) woken while running  |   | (3) future is pending
//!     |            +---------------------------+   v
//!     +----------------------------------------  Blocked
//!                   (6) wake
//! ```
//!
//! Ready means: exactly one queue, inbox or CPU owns the task's runnable. Edges 5 and 6 come from
//! `async-task`, which makes a runnable out of the first wake after a poll and none out of the
//! others. The task's own waker is kept from edge 1 to edge 4, so a task ends by returning and never
//! because nobody holds a waker of it.

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use core::ptr::{self, NonNull};
use core::task::Waker;

use base::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use base::sync::{LockClass, Once, SpinLock};
use base::time::Instant;
use bitflags::bitflags;

use crate::cpu_set::CpuSet;
use crate::executor::Executor;
use crate::inbox::Chained;
use crate::pollwait::{Events, Reason, WaitKind};

/// The metadata in the task's allocation: its shared part.
pub(crate) struct Meta(pub(crate) Arc<Task>);

/// A task that is ready to run.
pub(crate) type Runnable = async_task::Runnable<Meta>;

/// Length of a task's name in bytes, as Linux's `comm` without the NUL.
pub const NAME_LENGTH: usize = 15;

bitflags! {
    /// The one word of a task that syscall entry and exit look at.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TaskFlags: u32 {
        /// An interruptible wait ends with [`Reason::Signal`].
        const INTERRUPT = 1 << 0;
        /// The task should call [`slice_over`](crate::slice_over) soon.
        const RESCHED = 1 << 1;
        /// Trace points concern this task.
        const TRACE = 1 << 2;
        /// Its syscalls are printed.
        const STRACE = 1 << 3;
        /// Fault points concern this task.
        const FAULT = 1 << 4;
        /// For the floors above, to make their slow path run once.
        const WORK = 1 << 5;
    }
}

/// What is given with a future to make a task of it.
#[derive(Clone, Copy, Debug)]
pub struct TaskOptions<'a> {
    name: &'a str,
    key: Option<u64>,
    affinity: CpuSet,
    daemon: bool,
    cpu: Option<usize>,
}

impl<'a> TaskOptions<'a> {
    /// A task of this name (cut to [`NAME_LENGTH`] bytes) that may run anywhere.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        TaskOptions { name, key: None, affinity: CpuSet::ALL, daemon: false, cpu: None }
    }

    /// Its stable key, in place of a hash of its parent's key and which child it is.
    #[must_use]
    pub const fn key(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }

    /// The CPUs it may run on.
    #[must_use]
    pub const fn affinity(mut self, affinity: CpuSet) -> Self {
        self.affinity = affinity;
        self
    }

    /// A kernel service: an otherwise idle machine with only daemons left is not deadlocked.
    #[must_use]
    pub const fn daemon(mut self) -> Self {
        self.daemon = true;
        self
    }

    /// The CPU to start on, if it may run there.
    #[must_use]
    pub const fn on_cpu(mut self, cpu: usize) -> Self {
        self.cpu = Some(cpu);
        self
    }

    pub(crate) fn wanted_cpu(&self) -> Option<usize> {
        self.cpu
    }
}

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

/// A task's wait, as published when it went to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitSnapshot {
    /// What kind of wait.
    pub kind: WaitKind,
    /// The id of the object, 0 when it has none.
    pub object: u64,
    /// What it waits for.
    pub events: Events,
    /// When it began.
    pub since: Instant,
    /// When it gives up.
    pub deadline: Option<Instant>,
    /// How the wait ended; nothing while it lasts.
    pub ended: Option<Reason>,
}

/// The shared part of a task: whatever others may look at without touching its future.
pub(crate) struct Task {
    link: AtomicPtr<Task>,
    runnable: AtomicPtr<()>,
    pub(crate) executor: &'static Executor,
    flags: AtomicU32,
    cpu: AtomicU32,
    affinity: AtomicU64,
    state: AtomicU8,
    daemon: bool,
    id: u64,
    key: u64,
    children: AtomicU64,
    cpu_time: AtomicU64,
    polls: AtomicU64,
    slices: AtomicU64,
    wait: LastWait,
    waker: SpinLock<Option<Waker>>,
    name: SpinLock<Name>,
    local: Once<Arc<dyn Any + Send + Sync>>,
}

#[derive(Default)]
struct LastWait {
    /// Kind in the low byte, reason of its end in the next (0 while it lasts), 1 << 16 when valid.
    what: AtomicU32,
    events: AtomicU32,
    object: AtomicU64,
    since: AtomicU64,
    deadline: AtomicU64,
}

const WAIT_VALID: u32 = 1 << 16;

#[derive(Clone, Copy, Default)]
struct Name {
    bytes: [u8; NAME_LENGTH],
    length: u8,
}

impl Name {
    fn new(text: &str) -> Name {
        let mut length = text.len().min(NAME_LENGTH);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let mut name = Name { bytes: [0; NAME_LENGTH], length: length as u8 };
        for (place, byte) in name.bytes.iter_mut().zip(text.bytes().take(length)) {
            *place = byte;
        }
        name
    }

    fn text(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
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
            Some(parent) => child_key(parent.key, parent.children.fetch_add(1, Ordering::Relaxed)),
            None => child_key(0, id),
        });
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
            key,
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
        self.key
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

    /// The number of the slice that begins now.
    pub(crate) fn next_slice(&self) -> u64 {
        let slice = self.slices.load(Ordering::Relaxed);
        self.slices.store(slice.wrapping_add(1), Ordering::Relaxed);
        slice
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
    pub(crate) fn record_wait(&self, kind: WaitKind, object: u64, events: Events, deadline: Option<Instant>) {
        self.wait.object.store(object, Ordering::Relaxed);
        // The CPU's last look at the clock was at the start of this poll or later.
        let since = crate::cpu::this().map_or(0, crate::cpu::Cpu::stamp);
        self.wait.since.store(since, Ordering::Relaxed);
        self.wait.events.store(events.bits(), Ordering::Relaxed);
        let deadline = deadline.unwrap_or(Instant::FAR_FUTURE).as_nanos();
        self.wait.deadline.store(deadline, Ordering::Relaxed);
        self.wait.what.store(kind as u32 | WAIT_VALID, Ordering::Release);
    }

    /// Publishes how the wait ended.
    #[inline]
    pub(crate) fn record_wake(&self, reason: Reason) {
        let what = self.wait.what.load(Ordering::Relaxed) & !0xff00;
        self.wait.what.store(what | (reason as u32) << 8, Ordering::Relaxed);
    }

    fn last_wait(&self) -> Option<WaitSnapshot> {
        let what = self.wait.what.load(Ordering::Acquire);
        if what & WAIT_VALID == 0 {
            return None;
        }
        let deadline = Instant::from_nanos(self.wait.deadline.load(Ordering::Relaxed));
        let ended = (what >> 8) as u8;
        Some(WaitSnapshot {
            kind: WaitKind::from_number(what as u8),
            object: self.wait.object.load(Ordering::Relaxed),
            events: Events::from_bits_retain(self.wait.events.load(Ordering::Relaxed)),
            since: Instant::from_nanos(self.wait.since.load(Ordering::Relaxed)),
            deadline: (deadline != Instant::FAR_FUTURE).then_some(deadline),
            ended: (ended != 0).then(|| Reason::from_number(ended)),
        })
    }
}

/// The key of the `nth` child of the task with key `parent`. It depends on nothing else, so it is the
/// same in every run of one program.
#[must_use]
pub fn child_key(parent: u64, nth: u64) -> u64 {
    crate::order::mix(parent.rotate_left(17) ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995)
}

/// A reference to a task: cheap to clone, valid for ever.
#[derive(Clone)]
pub struct TaskRef(pub(crate) Arc<Task>);

impl TaskRef {
    /// Its number, unique since boot, never 0.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Its stable key: the same in every run of one seed.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.0.key
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
    }

    /// True for a kernel service.
    #[must_use]
    pub fn is_daemon(&self) -> bool {
        self.0.daemon
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

    /// The one word that syscall entry and exit look at.
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

    /// True when the task should call [`slice_over`](crate::slice_over) soon.
    #[inline]
    #[must_use]
    pub fn need_resched(&self) -> bool {
        self.0.flags().contains(TaskFlags::RESCHED)
    }

    /// The CPUs it may run on.
    #[must_use]
    pub fn affinity(&self) -> CpuSet {
        self.0.affinity()
    }

    /// Sets the CPUs it may run on; false, and no change, when none of them is online. If it runs on
    /// another one now it moves at its next [`slice_over`](crate::slice_over) or poll.
    pub fn set_affinity(&self, affinity: CpuSet) -> bool {
        if affinity.intersection(self.0.executor.online()).is_empty() {
            return false;
        }
        self.0.affinity.store(affinity.bits(), Ordering::Relaxed);
        if !affinity.contains(self.0.cpu()) {
            self.raise_flags(TaskFlags::RESCHED);
            self.0.executor.nudge(&self.0);
        }
        true
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

    /// Hangs `local` on the task, for the dumps. Only the first call has an effect.
    pub fn set_local(&self, local: Arc<dyn Any + Send + Sync>) {
        self.0.local.call_once(|| local);
    }

    /// What [`set_local`](Self::set_local) hung on it.
    #[must_use]
    pub fn local(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.0.local.get()
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
