//! The executor: tasks, CPUs, and who runs where.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll};

use async_task::{ScheduleInfo, WithInfo};
use base::machine;
use base::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use base::sync::{CachePadded, MAX_CPUS, Once};
use base::trace::{self, Classes, EventKind, Identity};

use crate::config::Config;
use crate::cpu::{self, Cpu};
use crate::cpu_set::CpuSet;
use crate::idleness::Idleness;
use crate::registry::Registry;
use crate::task::{Meta, Runnable, Task, TaskOptions, TaskRef, TaskState};
use crate::timer::WheelLock;

/// How many tasks wait behind a CPU before a wake looks for an idle one.
const OVERLOADED: usize = 4;

/// Tasks on CPUs. It lives for ever.
pub struct Executor {
    cpus: Once<Box<[CachePadded<Cpu>]>>,
    config: Config,
    /// The default order; with a policy nobody is preferred.
    pub(crate) is_fair: bool,
    /// `config.slice` in nanoseconds; with a policy there is no end to it.
    pub(crate) slice: u64,
    /// `config.poll_budget` in nanoseconds.
    pub(crate) poll_budget: u64,
    pub(crate) registry: Registry,
    next_id: AtomicU64,
    pub(crate) idleness: Idleness,
    /// Unfinished tasks that are not daemons.
    pub(crate) live: AtomicUsize,
    pub(crate) deadlock_told: AtomicBool,
    stopping: AtomicBool,
}

impl Executor {
    /// An executor for `cpus` CPUs (1 to [`MAX_CPUS`]; other numbers are brought into that range).
    #[must_use]
    pub fn new(cpus: usize, config: Config) -> &'static Executor {
        let executor: &'static Executor = Box::leak(Box::new(Executor {
            cpus: Once::new(),
            is_fair: config.order.is_none(),
            // A policy measures slices by the time in user mode.
            slice: if config.order.is_none() { config.slice.as_nanos() as u64 } else { u64::MAX },
            poll_budget: config.poll_budget.as_nanos() as u64,
            config,
            registry: Registry::new(),
            next_id: AtomicU64::new(1),
            idleness: Idleness::new(),
            live: AtomicUsize::new(0),
            deadlock_told: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }));
        let cpus = executor.cpus.call_once(|| {
            let make = |index| {
                let wheel = Box::leak(Box::new(WheelLock::new()));
                CachePadded(Cpu::new(executor, index, wheel))
            };
            (0..cpus.clamp(1, MAX_CPUS)).map(make).collect::<Vec<_>>().into_boxed_slice()
        });
        if let Some(first) = cpus.first() {
            crate::here::remember_first(first);
        }
        executor
    }

    /// Makes a task of `future`; it may run at once, on another CPU.
    pub fn spawn<F>(&'static self, options: TaskOptions<'_>, future: F) -> TaskRef
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let here = self.here();
        let task = here
            .and_then(|cpu| cpu.with_current(|parent| Task::new(self, id, Some(parent), &options)))
            .unwrap_or_else(|| Task::new(self, id, None, &options));
        let task = Arc::new(task);
        if !task.is_daemon() {
            self.live.fetch_add(1, Ordering::AcqRel);
        }
        let body = Body { task: Arc::clone(&task), future };
        let (runnable, handle) =
            async_task::Builder::new().metadata(Meta(Arc::clone(&task))).spawn(|_| body, WithInfo(schedule));
        // The task's own waker keeps it from now on.
        task.keep_waker(runnable.waker());
        handle.detach();
        let reference = TaskRef(task);
        trace::name_task(Identity::of(reference.task_local()), options.name.as_bytes());
        self.registry.insert(reference.clone());
        let target = self.place_new(&reference.0, options.wanted_cpu(), here);
        reference.0.set_cpu(target.index);
        match here {
            Some(here) if ptr::eq(here, target) => here.enqueue(runnable, false),
            _ => target.send(runnable),
        }
        reference
    }

    /// The CPUs that have entered their loop.
    #[must_use]
    pub fn online(&self) -> CpuSet {
        self.idleness.online()
    }

    /// Number of CPUs it was made for.
    #[must_use]
    pub fn cpu_count(&self) -> usize {
        self.cpus().len()
    }

    /// Number of unfinished tasks.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.registry.len()
    }

    /// Number of armed timers on all CPUs, those for housekeeping left out.
    #[must_use]
    pub fn timer_count(&self) -> usize {
        self.cpus().iter().map(|cpu| cpu.wheel().armed().1).sum()
    }

    /// The unfinished task with this id.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<TaskRef> {
        self.registry.find(id)
    }

    /// Calls `see` for each unfinished task by id; no lock is held meanwhile, and no future touched.
    pub fn for_each_task(&self, see: impl FnMut(&TaskRef)) {
        self.registry.for_each(see);
    }

    /// Like [`for_each_task`](Self::for_each_task) for a panic or an NMI: takes no lock by force and
    /// allocates nothing. False when the registry was in use.
    pub fn try_for_each_task(&self, see: impl FnMut(&TaskRef)) -> bool {
        self.registry.try_for_each(see)
    }

    /// Polls that `cpu` has made since boot: it stands still when the CPU is stuck (or idle).
    #[must_use]
    pub fn polls(&self, cpu: usize) -> u64 {
        self.cpu(cpu).map_or(0, |cpu| cpu.polls.load(Ordering::Relaxed))
    }

    /// Time that `cpu` was halted for want of work, in nanoseconds since boot.
    #[must_use]
    pub fn idle_time_ns(&self, cpu: usize) -> u64 {
        self.cpu(cpu).map_or(0, Cpu::idle_time)
    }

    /// Tasks that run or wait for a CPU now.
    #[must_use]
    pub fn runnable_count(&self) -> usize {
        self.cpus().iter().map(|cpu| cpu.waiting() + usize::from(cpu.is_polling())).sum()
    }

    /// True when `cpu` has nothing to do.
    #[must_use]
    pub fn is_idle(&self, cpu: usize) -> bool {
        self.idleness.idle().contains(cpu)
    }

    /// Makes [`run`](Self::run) return on every CPU; unfinished tasks stay as they are.
    pub fn stop(&self) {
        // Sequentially consistent against `run`: either this sees the CPU online, or the CPU sees this.
        self.stopping.store(true, Ordering::SeqCst);
        for cpu in self.idleness.online().iter() {
            machine().kick(cpu);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn cpus(&self) -> &'static [CachePadded<Cpu>]
    where
        Self: 'static,
    {
        let cpus = self.cpus.get().map_or(&[][..], |cpus| cpus);
        // SAFETY: an executor is leaked when it is made, so what it owns lives for ever.
        unsafe { &*ptr::from_ref(cpus) }
    }

    pub(crate) fn cpu(&self, index: usize) -> Option<&'static Cpu> {
        self.cpus().get(index).map(|cpu| &cpu.0)
    }

    /// This CPU, if it is one of this executor's.
    #[inline]
    fn here(&self) -> Option<&'static Cpu> {
        cpu::this().filter(|cpu| ptr::eq(cpu.executor, self))
    }

    /// Gets `task` out of user mode if it is there now, on another CPU.
    pub(crate) fn nudge(&self, task: &Task) {
        let Some(cpu) = self.cpu(task.cpu()) else { return };
        let is_here = self.here().is_some_and(|here| ptr::eq(here, cpu));
        if !is_here && ptr::eq(cpu.current(), task) {
            machine().kick(cpu.index);
        }
    }

    /// True when a CPU other than `cpu` is idle.
    #[inline]
    pub(crate) fn idle_cpus_beside(&self, cpu: usize) -> bool {
        !self.idleness.idle().without(CpuSet::only(cpu)).is_empty()
    }

    /// The CPUs on which `task` may run now; all that are online when its affinity names none.
    pub(crate) fn allowed(&self, task: &Task) -> CpuSet {
        let online = match self.online() {
            // Before the first CPU has entered its loop, CPU 0 collects.
            CpuSet::EMPTY => CpuSet::only(0),
            online => online,
        };
        match task.affinity().intersection(online) {
            CpuSet::EMPTY => online,
            allowed => allowed,
        }
    }

    /// Where a woken task goes: to the waker's CPU while that is not busy, since the waker is often
    /// about to block; otherwise to its last CPU, or an idle one when that is overloaded.
    #[inline]
    fn place(&self, task: &Task, here: Option<&'static Cpu>) -> Option<&'static Cpu> {
        let allowed = self.allowed(task);
        let last = task.cpu();
        if let Some(here) = here
            && allowed.contains(here.index)
            && (last == here.index || (here.is_polling() && here.waiting() < 2))
        {
            return Some(here);
        }
        let idle = self.idleness.idle().intersection(allowed);
        let last = self.cpu(last).filter(|_| allowed.contains(last));
        match (last, idle.first()) {
            (Some(last), None) => Some(last),
            (Some(last), Some(_)) if last.waiting() < OVERLOADED => Some(last),
            (_, Some(idle)) => self.cpu(idle),
            (None, None) => allowed.first().and_then(|first| self.cpu(first)),
        }
    }

    /// Where a new task goes: as asked, or to an idle CPU, or to its maker's.
    fn place_new(&self, task: &Task, wanted: Option<usize>, here: Option<&'static Cpu>) -> &'static Cpu {
        let allowed = self.allowed(task);
        let idle = self.idleness.idle().intersection(allowed);
        let here = here.map(|cpu| cpu.index);
        let index = wanted
            .filter(|&cpu| allowed.contains(cpu))
            .or(idle.first())
            .or(here.filter(|&cpu| allowed.contains(cpu)))
            .or(allowed.first())
            .unwrap_or(0);
        let cpus = self.cpus();
        cpus.get(index).unwrap_or(&cpus[0])
    }

    /// Sends `runnable` to where it may run.
    #[cold]
    pub(crate) fn route(&self, runnable: Runnable) {
        let here = self.here();
        let target = self.place(&runnable.metadata().0, here);
        match (here, target) {
            (Some(here), Some(target)) if ptr::eq(here, target) => {
                here.enqueue(runnable, here.is_polling());
            }
            (_, Some(target)) => target.send(runnable),
            // There is at least one CPU, so this is not reached; dropping would kill the task.
            (_, None) => core::mem::forget(runnable),
        }
    }
}

/// Every wake that makes a task ready ends here (edges 5 and 6 of a task's life).
#[inline]
fn schedule(runnable: Runnable, info: ScheduleInfo) {
    runnable.metadata().0.set_state(TaskState::Ready);
    if trace::is_on(Classes::SCHED) {
        note_wake_and_queue(runnable, info);
    } else {
        queue(runnable, info);
    }
}

#[cold]
fn note_wake_and_queue(runnable: Runnable, info: ScheduleInfo) {
    let task = &*runnable.metadata().0;
    trace::event(EventKind::TaskWake, || {
        let who = Identity::of(task.task_local());
        (u32::from(info.woken_while_running), [who.task, who.who(), task.cpu() as u64])
    });
    queue(runnable, info);
}

/// Puts a task that is ready where it may run.
#[inline(always)]
fn queue(runnable: Runnable, info: ScheduleInfo) {
    let task = &*runnable.metadata().0;
    let executor = task.executor;
    // The common case: it ran here last, and may stay.
    if let Some(here) = executor.here()
        && here.index == task.cpu()
        && task.affinity().contains(here.index)
    {
        if info.woken_while_running {
            // It yields, or was woken before it slept: behind the others.
            here.enqueue_again(runnable);
        } else {
            here.enqueue(runnable, true);
        }
        return;
    }
    executor.route(runnable);
}

/// The future that `async-task` polls: the task's own, with what has to happen around it while the
/// task is still running and nobody else can poll it.
struct Body<F> {
    task: Arc<Task>,
    future: F,
}

impl<F: Future<Output = ()>> Future for Body<F> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `future` is pinned with the body and never moved out; `task` is not pinned.
        let (task, future) = unsafe {
            let body = self.get_unchecked_mut();
            (&body.task, Pin::new_unchecked(&mut body.future))
        };
        let result = future.poll(context);
        if let Some(cpu) = cpu::this() {
            cpu.end_poll(task);
        }
        let state = match result {
            // It yields: those who look never see it asleep.
            Poll::Pending if task.state() == TaskState::Ready => TaskState::Ready,
            Poll::Pending => TaskState::Blocked,
            Poll::Ready(()) => TaskState::Finished,
        };
        trace::event(EventKind::TaskStop, || (state as u32, [0; 3]));
        match result {
            Poll::Pending => task.set_state(state),
            Poll::Ready(()) => finish(task),
        }
        result
    }
}

/// Edge 4 of a task's life.
fn finish(task: &Task) {
    task.set_state(TaskState::Finished);
    let executor = task.executor;
    executor.registry.remove(task.id());
    drop(task.take_waker());
    if !task.is_daemon()
        && executor.live.fetch_sub(1, Ordering::AcqRel) == 1
        && executor.config.stop_when_finished
    {
        executor.stop();
    }
}
