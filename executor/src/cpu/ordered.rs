//! What an order policy does on a CPU: where a task stands in line, and when a slice of user mode is over.
//!
//! Under a policy a slice is measured in the time that the thread spends in user mode. So neither what the kernel
//! does meanwhile nor what the policy itself costs moves its end: it is at the same instruction of the program
//! whenever that slice is cut at that length. Without a policy nothing of this runs.

use core::time::Duration;

use base::decision::{Decision, record};
use base::machine;
use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use base::time::Instant;

use super::Cpu;
use crate::order::Slice;
use crate::task::{Runnable, Task};

/// From the look at the clock to the first instruction in user mode, in nanoseconds under instruction counting and
/// rather too few: the shortest slices shall not all be over before they have begun, and no instruction may be out of
/// their reach.
const WAY_TO_USER_MODE: u64 = 100;

/// The running slice. All fields are the CPU's own.
#[derive(Default)]
pub(super) struct UserSlice {
    /// The poll in which it began, as `Cpu::polls` counts them.
    poll: AtomicU64,
    /// Its length, in nanoseconds of user mode.
    length: AtomicU64,
    /// What is left of it.
    left: AtomicU64,
    /// When the thread went to user mode last.
    entered: AtomicU64,
    /// It is shorter than usual, and its end has been noticed.
    was_cut: AtomicBool,
}

/// The slice for which `task` stands in line.
fn next_slice(task: &Task) -> Slice {
    Slice { key: task.key(), nth: task.slices() }
}

/// The slice in which `task` is.
fn running_slice(task: &Task) -> Slice {
    Slice { key: task.key(), nth: task.slices().saturating_sub(1) }
}

/// True for tasks that are left in peace: the kernel's services and the first process, which are not what is
/// looked at.
fn is_spared(task: &Task) -> bool {
    const FIRST_PROCESS: u32 = 1;
    task.is_daemon() || task.task_local().pid() == FIRST_PROCESS
}

/// True for a task that never goes to user mode, as far as is known.
fn stays_in_kernel(task: &Task) -> bool {
    task.task_local().pid() == 0
}

impl Cpu {
    /// Puts `runnable` in line where the policy says.
    #[cold]
    pub(super) fn enqueue_in_order(&self, runnable: Runnable) {
        let Some(order) = &self.executor.config().order else { return self.enqueue_last(runnable) };
        let slice = next_slice(&runnable.metadata().0);
        let spared = is_spared(&runnable.metadata().0);
        let place = {
            let mut ready = self.ready.lock();
            let position = |wanted: &dyn Fn(Slice) -> bool| ready.position(|task| wanted(next_slice(task)));
            let place = if spared { None } else { order.place(slice, &position) };
            let place = place.filter(|others| *others < ready.len());
            match place {
                Some(others) => ready.push_behind(others, runnable),
                None => ready.push(runnable),
            }
            self.waiting.store(ready.len(), Ordering::Release);
            place
        };
        if let Some(others) = place {
            record(Decision::Behind { key: slice.key, nth: slice.nth, others: others as u64 });
        }
        if let Some(running) = self.current_task()
            && !spared
            && !is_spared(running)
            && order.outranks(slice, running_slice(running))
        {
            self.user_slice.end_now();
        }
        if self.is_polling() {
            self.somebody_waits();
        }
    }

    /// Puts `runnable`, which has just run here, in line: a thread at the end, unless it was preempted.
    #[cold]
    pub(super) fn enqueue_again_in_order(&self, runnable: Runnable) {
        if self.user_slice.was_cut.load(Ordering::Relaxed) || stays_in_kernel(&runnable.metadata().0) {
            self.user_slice.was_cut.store(false, Ordering::Relaxed);
            self.enqueue_in_order(runnable);
        } else {
            self.enqueue_last(runnable);
        }
    }

    /// A poll of `task` begins.
    #[cold]
    pub(super) fn begin_poll_in_order(task: &Task) {
        if stays_in_kernel(task) {
            task.count_slice();
        }
    }

    /// The current task goes to user mode. True when it must not: its slice is over, and somebody waits.
    pub(crate) fn enter_user(&self) -> bool {
        let Some(task) = self.current_task() else { return false };
        if !self.is_in_user_slice() {
            self.begin_user_slice(task);
        }
        let left = self.user_slice.left.load(Ordering::Relaxed);
        let waits = self.waiting.load(Ordering::Relaxed) > 0;
        if left == 0 && waits {
            return true;
        }
        let now = self.look_at_clock().as_nanos();
        self.user_slice.entered.store(now, Ordering::Relaxed);
        self.arm_for_user_mode(if waits { now + WAY_TO_USER_MODE + left } else { u64::MAX });
        false
    }

    /// Arms the hardware for the end of the slice or what comes before it, and for nothing else: an interrupt that
    /// comes for nothing takes some of the slice. So does this way to user mode, which therefore is the same each time:
    /// what the hardware was armed for before depends on more than the decisions.
    fn arm_for_user_mode(&self, slice_end: u64) {
        let need = slice_end.min(self.wheel.next_nanos()).min(self.share_at.load(Ordering::Relaxed));
        self.armed.store(need, Ordering::Relaxed);
        machine().arm_timer((need != u64::MAX).then(|| Instant::from_nanos(need)));
    }

    /// The current task is back from user mode.
    pub(crate) fn leave_user(&self) {
        let spent = machine::now().as_nanos() - self.user_slice.entered.load(Ordering::Relaxed);
        let left = self.user_slice.left.load(Ordering::Relaxed);
        self.user_slice.left.store(left.saturating_sub(spent), Ordering::Relaxed);
    }

    /// True when the current task has been in user mode in this poll.
    fn is_in_user_slice(&self) -> bool {
        self.user_slice.poll.load(Ordering::Relaxed) == self.polls.load(Ordering::Relaxed)
    }

    fn begin_user_slice(&self, task: &Task) {
        let slice = next_slice(task);
        task.count_slice();
        let default = self.executor.config().slice;
        let order = self.executor.config().order.as_ref().filter(|_| !is_spared(task));
        let length = order.and_then(|order| order.length(slice, default)).unwrap_or(default);
        self.user_slice.begin(self.polls.load(Ordering::Relaxed), length);
    }

    /// True when `task` runs in a slice that is over: it makes way.
    pub(super) fn user_slice_is_over(&self, task: &Task) -> bool {
        if self.executor.is_fair
            || !self.is_in_user_slice()
            || self.user_slice.left.load(Ordering::Relaxed) > 0
        {
            return false;
        }
        let length = self.user_slice.length.load(Ordering::Relaxed);
        if Duration::from_nanos(length) < self.executor.config().slice {
            self.user_slice.was_cut.store(true, Ordering::Relaxed);
            let Slice { key, nth } = running_slice(task);
            record(Decision::Preempt { key, nth, after: length });
        }
        true
    }
}

impl UserSlice {
    fn begin(&self, poll: u64, length: Duration) {
        let length = length.as_nanos() as u64;
        self.poll.store(poll, Ordering::Relaxed);
        self.length.store(length, Ordering::Relaxed);
        self.left.store(length, Ordering::Relaxed);
        self.was_cut.store(false, Ordering::Relaxed);
    }

    /// What has been used of it is its length.
    fn end_now(&self) {
        let (length, left) = (self.length.load(Ordering::Relaxed), self.left.load(Ordering::Relaxed));
        self.length.store(length - left, Ordering::Relaxed);
        self.left.store(0, Ordering::Relaxed);
    }
}
