//! The ready queue of a CPU: first in, first out, and one place for a hand-over.
//!
//! It holds runnables by the link inside their task, so pushing allocates nothing and can't fail.

use core::ptr::{self, NonNull};

use base::sync::atomic::Ordering;

use crate::cpu_set::CpuSet;
use crate::inbox::Chained;
use crate::task::{Runnable, Task};

/// How many hand-overs may follow each other before the queue has its turn.
const MAX_HANDOVERS: u32 = 16;

/// Runnables that wait for their CPU.
#[derive(Default)]
pub(crate) struct ReadyQueue {
    /// The oldest and the newest.
    ends: Option<(NonNull<Task>, NonNull<Task>)>,
    /// Woken by the task that ran last, and run next.
    next: Option<NonNull<Task>>,
    handovers: u32,
    len: usize,
}

// SAFETY: I1: the pointers are runnables that the queue owns, and those are Send.
unsafe impl Send for ReadyQueue {}

/// A runnable, and how it comes to run.
pub(crate) struct Popped {
    pub(crate) runnable: Runnable,
    /// It was handed over: it runs on what is left of its predecessor's slice.
    pub(crate) handed_over: bool,
}

impl ReadyQueue {
    /// How many wait, the one in the hand-over place included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Puts `runnable` at the end.
    #[inline]
    pub(crate) fn push(&mut self, runnable: Runnable) {
        self.len += 1;
        self.append(Task::from_runnable(runnable));
    }

    /// Puts `runnable` into the hand-over place, or at the end when that is taken or too many
    /// hand-overs followed each other.
    #[inline]
    pub(crate) fn push_next(&mut self, runnable: Runnable) {
        self.len += 1;
        let task = Task::from_runnable(runnable);
        if self.next.is_none() && self.handovers < MAX_HANDOVERS {
            self.next = Some(task);
        } else {
            self.append(task);
        }
    }

    /// Puts `runnable` behind the first `others`, or at the end when there are not so many. The hand-over place
    /// is not in use.
    pub(crate) fn push_behind(&mut self, others: usize, runnable: Runnable) {
        let place = others.checked_sub(1).map(|last| self.iter().nth(last));
        let task = Task::from_runnable(runnable);
        self.len += 1;
        match place {
            None => self.prepend(task),
            Some(Some(before)) if link(before).is_some() => {
                set_link(task, link(before));
                set_link(before, Some(task));
            }
            Some(_) => self.append(task),
        }
    }

    /// The tasks in line, without the one in the hand-over place.
    fn iter(&self) -> impl Iterator<Item = NonNull<Task>> {
        core::iter::successors(self.ends.map(|(front, _)| front), |task| link(*task))
    }

    /// Calls `see` with each task in line, from the front on, until it says `true`; how many it had seen before.
    pub(crate) fn position(&self, mut see: impl FnMut(&Task) -> bool) -> Option<usize> {
        // SAFETY: I1: a task in the queue is alive.
        self.iter().position(|task| see(unsafe { task.as_ref() }))
    }

    /// Takes the next one to run.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Popped> {
        if let Some(task) = self.next.take() {
            self.len -= 1;
            self.handovers += 1;
            return Some(self.popped(task, true));
        }
        self.handovers = 0;
        let task = self.unlink_front()?;
        Some(self.popped(task, false))
    }

    /// Takes the oldest one that may run on `cpu`, of the first `depth`; at last the one in the
    /// hand-over place. For a CPU that has nothing to do.
    pub(crate) fn pull(&mut self, cpu: usize, depth: usize) -> Option<Runnable> {
        let mut seen = 0;
        let mut place = self.ends.map(|(front, _)| front);
        while let Some(task) = place
            && seen < depth
        {
            if may_run_on(task, cpu) {
                let task = self.unlink_at(seen)?;
                return Some(self.popped(task, false).runnable);
            }
            place = link(task);
            seen += 1;
        }
        let task = self.next.take_if(|task| may_run_on(*task, cpu))?;
        self.len -= 1;
        Some(self.popped(task, false).runnable)
    }

    fn popped(&self, task: NonNull<Task>, handed_over: bool) -> Popped {
        // SAFETY: I1: the task came from `from_runnable` and has just been taken out.
        Popped { runnable: unsafe { Task::into_runnable(task) }, handed_over }
    }

    #[inline]
    fn append(&mut self, task: NonNull<Task>) {
        set_link(task, None);
        self.ends = match self.ends {
            None => Some((task, task)),
            Some((front, back)) => {
                set_link(back, Some(task));
                Some((front, task))
            }
        };
    }

    fn prepend(&mut self, task: NonNull<Task>) {
        set_link(task, self.ends.map(|(front, _)| front));
        self.ends = Some((task, self.ends.map_or(task, |(_, back)| back)));
    }

    #[inline]
    fn unlink_front(&mut self) -> Option<NonNull<Task>> {
        let (front, back) = self.ends?;
        self.ends = link(front).map(|second| (second, back));
        self.len -= 1;
        Some(front)
    }

    /// Takes out the one at `index`.
    fn unlink_at(&mut self, index: usize) -> Option<NonNull<Task>> {
        let mut before = None;
        let mut place = self.ends.map(|(front, _)| front);
        let mut position = 0;
        while let Some(task) = place {
            if position == index {
                let Some(before) = before else { return self.unlink_front() };
                let after = link(task);
                set_link(before, after);
                if after.is_none() {
                    self.ends = self.ends.map(|(front, _)| (front, before));
                }
                self.len -= 1;
                return Some(task);
            }
            before = Some(task);
            place = link(task);
            position += 1;
        }
        None
    }
}

impl Drop for ReadyQueue {
    fn drop(&mut self) {
        while let Some(popped) = self.pop() {
            drop(popped);
        }
    }
}

#[inline]
fn may_run_on(task: NonNull<Task>, cpu: usize) -> bool {
    // SAFETY: I1: a task in the queue is alive.
    unsafe { task.as_ref() }.affinity().intersection(CpuSet::only(cpu)) != CpuSet::EMPTY
}

#[inline]
fn link(task: NonNull<Task>) -> Option<NonNull<Task>> {
    // SAFETY: I1, I2: a task in the queue is alive, and its link belongs to the queue.
    NonNull::new(unsafe { task.as_ref() }.next().load(Ordering::Relaxed))
}

#[inline]
fn set_link(task: NonNull<Task>, next: Option<NonNull<Task>>) {
    // SAFETY: I1, I2: as above.
    let place = unsafe { task.as_ref() }.next();
    place.store(next.map_or(ptr::null_mut(), NonNull::as_ptr), Ordering::Relaxed);
}
