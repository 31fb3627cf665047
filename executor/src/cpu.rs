//! What belongs to one CPU: its ready queue, inbox, wheel, slice and clock.
//!
//! All fields are atomic or locked, so any CPU may look; those marked "own" are written by the CPU
//! itself only, and with relaxed order.

mod ordered;

use alloc::sync::Arc;
use core::ptr;

use base::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use base::sync::{LockClass, SpinLock};
use base::time::Instant;
use base::trace::wait_core::{self, Counter};
use base::trace::{self, EventKind};
use base::{current, machine};

use crate::executor::Executor;
use crate::inbox::Inbox;
use crate::queue::{Popped, ReadyQueue};
use crate::task::{Runnable, Task, TaskRef};
use crate::timer::WheelLock;
use crate::timer::node::fire_due;

use ordered::UserSlice;

pub(crate) use crate::here::{enter, this, this_or_first};

/// How long a ready task waits behind a running one before an idle CPU gets it, in nanoseconds. A
/// waker that is about to block hands its CPU over sooner, and spares two inter-CPU interrupts.
const SHARE_DELAY: u64 = 100_000;

/// How long a task whose slice is over already may go on when somebody begins to wait, in nanoseconds:
/// often it is about to block, and an interrupt is spared.
const GRACE: u64 = 50_000;

/// Calls of `yield_point` between two looks at the clock.
const POINTS_PER_LOOK: u32 = 8;

/// One CPU of an executor.
pub(crate) struct Cpu {
    pub(crate) index: usize,
    pub(crate) executor: &'static Executor,
    ready: SpinLock<ReadyQueue>,
    /// Length of `ready`, written under its lock.
    waiting: AtomicUsize,
    inbox: Inbox<Task>,
    wheel: &'static WheelLock,
    /// The task that is polled now. Written before and after the poll; own.
    current: AtomicPtr<Task>,
    /// What the hardware timer is armed for, `u64::MAX` for nothing; own.
    armed: AtomicU64,
    /// When the running slice ends; own. Never, under an order policy.
    slice_end: AtomicU64,
    /// The running slice as an order policy has it.
    user_slice: UserSlice,
    /// When ready tasks are offered to idle CPUs; own.
    share_at: AtomicU64,
    /// The clock at the last look; own.
    stamp: AtomicU64,
    /// That look was made for the end of the poll that lasts now; own.
    ends_now: AtomicBool,
    /// When the poll that lasts now began; own.
    poll_start: AtomicU64,
    points: AtomicU32,
    /// Time in finished halts, nanoseconds; own.
    idle_time: AtomicU64,
    /// When the halt that lasts now began, 0 for none; own.
    idle_since: AtomicU64,
    /// Polls so far: a neighbour sees by it that this CPU is alive; own.
    pub(crate) polls: AtomicU64,
}

impl Cpu {
    pub(crate) fn new(executor: &'static Executor, index: usize, wheel: &'static WheelLock) -> Cpu {
        Cpu {
            index,
            executor,
            ready: SpinLock::new(LockClass::RunQueue, ReadyQueue::default()),
            waiting: AtomicUsize::new(0),
            inbox: Inbox::new(),
            wheel,
            current: AtomicPtr::new(ptr::null_mut()),
            armed: AtomicU64::new(u64::MAX),
            slice_end: AtomicU64::new(0),
            user_slice: UserSlice::default(),
            share_at: AtomicU64::new(u64::MAX),
            stamp: AtomicU64::new(0),
            ends_now: AtomicBool::new(false),
            poll_start: AtomicU64::new(0),
            points: AtomicU32::new(0),
            idle_time: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            polls: AtomicU64::new(0),
        }
    }

    pub(crate) fn wheel(&self) -> &'static WheelLock {
        self.wheel
    }

    /// The task that is polled now, as an address to compare with.
    #[inline]
    pub(crate) fn current(&self) -> *const Task {
        self.current.load(Ordering::Acquire)
    }

    /// True when something waits to run here.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.waiting() > 0 || !self.inbox.is_empty()
    }

    /// How many tasks wait in the queue.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Reads the clock.
    #[inline]
    pub(crate) fn look_at_clock(&self) -> Instant {
        let now = machine::now();
        self.stamp.store(now.as_nanos(), Ordering::Relaxed);
        now
    }

    /// The clock at the last look.
    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Relaxed)
    }

    /// True while a task is polled here, in user mode or in the kernel.
    #[inline]
    pub(crate) fn is_polling(&self) -> bool {
        !self.current.load(Ordering::Relaxed).is_null()
    }

    /// Puts `runnable` on this CPU's own queue: when a task wakes it and `prefer` says so into the
    /// hand-over place, otherwise at the end. An order policy may put it elsewhere.
    #[inline]
    pub(crate) fn enqueue(&self, runnable: Runnable, prefer: bool) {
        if !self.executor.is_fair {
            self.enqueue_in_order(runnable);
            return;
        }
        if !self.is_polling() {
            self.enqueue_last(runnable);
            return;
        }
        {
            let mut ready = self.ready.lock();
            if prefer {
                ready.push_next(runnable);
            } else {
                ready.push(runnable);
            }
            self.waiting.store(ready.len(), Ordering::Release);
        }
        self.somebody_waits();
    }

    /// Puts `runnable` at the end of this CPU's own queue, when no task runs on beside it.
    #[inline]
    pub(crate) fn enqueue_last(&self, runnable: Runnable) {
        let mut ready = self.ready.lock();
        ready.push(runnable);
        self.waiting.store(ready.len(), Ordering::Release);
    }

    /// The running task has a competitor: its slice begins to matter.
    #[inline]
    fn somebody_waits(&self) {
        let stamp = self.stamp();
        let (end, armed) = (self.slice_end.load(Ordering::Relaxed), self.armed.load(Ordering::Relaxed));
        let in_time = stamp < armed && armed <= end;
        if !in_time || self.executor.idle_cpus_beside(self.index) {
            self.arm_for_the_waiting();
        }
    }

    fn arm_for_the_waiting(&self) {
        if self.executor.idle_cpus_beside(self.index) && self.share_at.load(Ordering::Relaxed) == u64::MAX {
            let now = self.look_at_clock().as_nanos();
            self.share_at.store(now + SHARE_DELAY, Ordering::Relaxed);
        }
        if self.slice_end.load(Ordering::Relaxed) <= self.stamp() {
            // It ran alone for longer than a slice. The grace counts from now, not from the last look.
            self.look_at_clock();
        }
        self.rearm();
    }

    /// Leaves `runnable` for this CPU, from another one.
    pub(crate) fn send(&self, runnable: Runnable) {
        let task = Task::from_runnable(runnable);
        // SAFETY: I1: the pointer stands for the runnable, which is given away.
        let first = unsafe { self.inbox.push(task) };
        if first {
            machine().kick(self.index);
        }
    }

    /// Moves what others left here to the queue.
    #[inline]
    pub(crate) fn drain_inbox(&self) {
        if self.inbox.is_empty() {
            return;
        }
        // SAFETY: I1: `send` made the pointer from a runnable and gave it away.
        let arrivals = self.inbox.take_all().map(|task| unsafe { Task::into_runnable(task) });
        if !self.executor.is_fair {
            arrivals.for_each(|runnable| self.enqueue_in_order(runnable));
            return;
        }
        let mut ready = self.ready.lock();
        arrivals.for_each(|runnable| ready.push(runnable));
        self.waiting.store(ready.len(), Ordering::Release);
    }

    /// Puts `runnable`, which has just run here, on this CPU's own queue.
    #[inline]
    pub(crate) fn enqueue_again(&self, runnable: Runnable) {
        if self.executor.is_fair {
            self.enqueue_last(runnable);
        } else {
            self.enqueue_again_in_order(runnable);
        }
    }

    /// Takes the next task to run.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Popped> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut ready = self.ready.lock();
        let popped = ready.pop();
        self.waiting.store(ready.len(), Ordering::Release);
        popped
    }

    /// Gives a task that `thief` may run to it, if one waits here and the queue is not in use.
    pub(crate) fn give(&self, thief: usize, depth: usize) -> Option<Runnable> {
        if self.waiting() == 0 {
            return None;
        }
        let mut ready = self.ready.try_lock()?;
        let runnable = ready.pull(thief, depth);
        self.waiting.store(ready.len(), Ordering::Release);
        runnable
    }

    /// Runs timers that are due at the last look at the clock.
    #[inline(always)]
    pub(crate) fn run_timers(&self) {
        let now = self.stamp();
        if self.wheel.next_nanos() <= now {
            fire_due(self.wheel, Instant::from_nanos(now));
        }
    }

    /// Begins a slice, unless the task runs on what is left of its predecessor's.
    #[inline]
    pub(crate) fn begin_poll(&self, task: &Arc<Task>, handed_over: bool) {
        let now = self.stamp();
        if !handed_over {
            self.slice_end.store(now.saturating_add(self.executor.slice), Ordering::Relaxed);
        }
        if !self.executor.is_fair {
            Cpu::begin_poll_in_order(task);
        }
        self.share_at.store(u64::MAX, Ordering::Relaxed);
        self.poll_start.store(now, Ordering::Relaxed);
        self.points.store(POINTS_PER_LOOK, Ordering::Relaxed);
        self.polls.store(self.polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        // Before the poll's first atomic step, so that whoever finds the task running finds it here.
        self.current.store(Arc::as_ptr(task).cast_mut(), Ordering::Release);
        // SAFETY: C1: the runnable keeps the task until the poll is over, and `clear_current` follows it.
        unsafe { current::enter(task.task_local()) };
        if handed_over {
            wait_core::add_on(self.index, Counter::PollHeadDirectSwitch, 1);
        }
        trace::event(EventKind::TaskRun, || (u32::from(handed_over), [0; 3]));
    }

    /// When the poll that runs here began.
    #[inline]
    pub(crate) fn poll_began(&self) -> Instant {
        Instant::from_nanos(self.poll_start.load(Ordering::Relaxed))
    }

    /// The poll of the current task is about to end: reads the clock for both of them.
    #[inline]
    pub(crate) fn poll_ends(&self) -> Instant {
        self.ends_now.store(true, Ordering::Relaxed);
        self.look_at_clock()
    }

    /// The poll of the current task is over. Its future calls this while the task is still running.
    #[inline]
    pub(crate) fn end_poll(&self, task: &Task) {
        let start = self.poll_start.load(Ordering::Relaxed);
        let now = if self.ends_now.load(Ordering::Relaxed) {
            self.ends_now.store(false, Ordering::Relaxed);
            self.stamp()
        } else {
            self.look_at_clock().as_nanos()
        };
        task.account(now.saturating_sub(start));
    }

    /// Nobody is polled here any more.
    #[inline]
    pub(crate) fn clear_current(&self) {
        current::leave();
        self.current.store(ptr::null_mut(), Ordering::Release);
    }

    /// The current task, for the CPU itself.
    #[inline]
    fn current_task(&self) -> Option<&Task> {
        // SAFETY: the pointer is set from before until after a poll, during which the task's future
        // keeps the task alive; only code under that poll, on this CPU, comes here.
        unsafe { self.current.load(Ordering::Relaxed).as_ref() }
    }

    /// Arms the hardware for the next thing to look at, if that is earlier than what it is armed for.
    #[inline]
    pub(crate) fn rearm(&self) {
        let mut need = self.wheel.next_nanos();
        if self.waiting.load(Ordering::Relaxed) > 0 {
            let end = self.slice_end.load(Ordering::Relaxed);
            let stamp = self.stamp();
            need = need.min(if end > stamp { end } else { stamp + GRACE });
            need = need.min(self.share_at.load(Ordering::Relaxed));
        }
        let mut armed = self.armed.load(Ordering::Relaxed);
        if armed <= self.stamp() {
            // It has gone off, or is about to: what was due then has been looked at.
            armed = u64::MAX;
        }
        if need < armed {
            self.armed.store(need, Ordering::Relaxed);
            machine().arm_timer(Some(Instant::from_nanos(need)));
        }
    }

    /// What the hardware timer is armed for.
    #[cfg(test)]
    pub(crate) fn armed_for(&self) -> u64 {
        self.armed.load(Ordering::Relaxed)
    }

    /// A timer was armed on this CPU's wheel.
    pub(crate) fn deadline_added(&self) {
        match this() {
            Some(here) if ptr::eq(here, self) => self.rearm(),
            // Not a CPU of this executor: the owner arms its hardware.
            _ => machine().kick(self.index),
        }
    }

    /// The hardware timer went off: it is armed for nothing.
    pub(crate) fn timer_expired(&self) {
        self.armed.store(u64::MAX, Ordering::Relaxed);
    }

    /// Looks at everything an interrupt may have brought, and whether the current task's time is
    /// over.
    pub(crate) fn slice_over(&'static self) -> bool {
        let now = self.look_at_clock().as_nanos();
        if self.armed.load(Ordering::Relaxed) <= now {
            self.armed.store(u64::MAX, Ordering::Relaxed);
        }
        self.drain_inbox();
        self.run_timers();
        let Some(task) = self.current_task() else { return false };
        if !task.affinity().contains(self.index) {
            return true;
        }
        if self.share_at.load(Ordering::Relaxed) <= now {
            self.share_at.store(u64::MAX, Ordering::Relaxed);
            self.executor.share(self);
        }
        if self.waiting() == 0 {
            // What was armed may have been a deadline that is cancelled by now: the next one counts.
            self.rearm();
            return false;
        }
        if self.slice_end.load(Ordering::Relaxed) <= now || self.user_slice_is_over(task) {
            return true;
        }
        self.somebody_waits();
        false
    }

    /// The CPU is about to halt.
    pub(crate) fn halts(&self) {
        let now = self.look_at_clock().as_nanos();
        self.idle_since.store(now.max(1), Ordering::Relaxed);
    }

    /// Time that it was halted, in nanoseconds, with the halt that lasts now.
    pub(crate) fn idle_time(&self) -> u64 {
        let total = self.idle_time.load(Ordering::Relaxed);
        match self.idle_since.load(Ordering::Relaxed) {
            0 => total,
            since => total + machine::now().as_nanos().saturating_sub(since),
        }
    }

    /// The CPU left its halt.
    pub(crate) fn woke_up(&self) {
        let now = self.look_at_clock().as_nanos();
        let halted = now.saturating_sub(self.idle_since.load(Ordering::Relaxed));
        self.idle_since.store(0, Ordering::Relaxed);
        self.idle_time.store(self.idle_time.load(Ordering::Relaxed) + halted, Ordering::Relaxed);
        if self.armed.load(Ordering::Relaxed) <= now {
            self.armed.store(u64::MAX, Ordering::Relaxed);
        }
        if self.has_work() {
            // Something runs again: the next deadlock is a new one.
            self.executor.deadlock_told.store(false, Ordering::Release);
        }
    }

    /// True when the current poll has lasted for its budget.
    #[inline]
    pub(crate) fn budget_over(&self) -> bool {
        let points = self.points.load(Ordering::Relaxed);
        if points > 0 {
            self.points.store(points - 1, Ordering::Relaxed);
            return false;
        }
        self.points.store(POINTS_PER_LOOK, Ordering::Relaxed);
        let now = self.look_at_clock().as_nanos();
        now.saturating_sub(self.poll_start.load(Ordering::Relaxed)) >= self.executor.poll_budget
    }

    /// A reference to the task that is polled now.
    pub(crate) fn current_ref(&self) -> Option<TaskRef> {
        let task = self.current.load(Ordering::Relaxed).cast_const();
        if task.is_null() {
            return None;
        }
        // SAFETY: the pointer came from the `Arc` in the runnable's metadata, which lives while the
        // task is polled, and only code under that poll, on this CPU, comes here.
        unsafe {
            Arc::increment_strong_count(task);
            Some(TaskRef(Arc::from_raw(task)))
        }
    }

    /// Calls `use_it` with the task that is polled now.
    #[inline]
    pub(crate) fn with_current<R>(&self, use_it: impl FnOnce(&Task) -> R) -> Option<R> {
        self.current_task().map(use_it)
    }
}
