//! The timers of one process, and the limit on its CPU time.
//!
//! A timer that counts CPU time has nothing to look at while no thread of its process runs. It sleeps then,
//! and the first thread that runs again wakes it: the flag is set before the threads are looked at, and a
//! thread shows that it runs before it looks at the flag, so one of the two always sees the other.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::time::Duration;

use base::caller::{Limits, Resource};
use base::charge::Charge;
use base::sync::atomic::{AtomicBool, Ordering, fence};
use base::sync::{LockClass, Once, SpinLock};
use base::time::Instant;
use base::{Errno, Result};
use executor::{Timer, TimerTarget};

use crate::process::ending::ExitStatus;
use crate::process::{Process, table};
use crate::signal::info::Detail;
use crate::signal::send::end_process;
use crate::signal::{SigInfo, Signal, send_to_process};
use crate::time::interval::{Base, IntervalTimer, Notice, cpu_deadline};

/// Which timer of setitimer(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Which {
    /// `ITIMER_REAL`.
    Real = 0,
    /// `ITIMER_VIRTUAL`.
    Virtual = 1,
    /// `ITIMER_PROF`.
    Prof = 2,
}

impl Which {
    /// The timer with Linux's number.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub fn from_raw(raw: i32) -> Result<Which> {
        match raw {
            0 => Ok(Which::Real),
            1 => Ok(Which::Virtual),
            2 => Ok(Which::Prof),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// The timers of a process.
pub struct Timers {
    set: SpinLock<Set>,
    cpu_limit: Once<Arc<CpuLimit>>,
    /// CPU timers wait until a thread runs.
    asleep: AtomicBool,
}

#[derive(Default)]
struct Set {
    interval: [Option<Arc<IntervalTimer>>; 3],
    posix: BTreeMap<i32, (Arc<IntervalTimer>, Charge)>,
    next_id: i32,
}

impl Timers {
    /// None yet; a limit on CPU time is looked at once the process runs.
    #[must_use]
    pub fn new(limits: &Limits) -> Timers {
        Timers {
            set: SpinLock::new(LockClass::Process, Set::default()),
            cpu_limit: Once::new(),
            asleep: AtomicBool::new(has_cpu_limit(limits)),
        }
    }

    /// A timer of setitimer(2), made when it is first set.
    #[must_use]
    pub fn interval(&self, process: &Arc<Process>, which: Which) -> Arc<IntervalTimer> {
        let mut set = self.set.lock();
        let slot = &mut set.interval[which as usize];
        slot.get_or_insert_with(|| {
            let (base, signal) = match which {
                Which::Real => (Base::Elapsed { wall: false }, Signal::SIGALRM),
                Which::Virtual => (Base::UserTime, Signal::SIGVTALRM),
                Which::Prof => (Base::ProcessCpu(Arc::downgrade(process)), Signal::SIGPROF),
            };
            IntervalTimer::new(process, base, Notice::Plain(signal))
        })
        .clone()
    }

    /// A timer of setitimer(2), if it was ever set.
    #[must_use]
    pub fn existing_interval(&self, which: Which) -> Option<Arc<IntervalTimer>> {
        self.set.lock().interval[which as usize].clone()
    }

    /// timer_create(2): a timer with a fresh id. `notice` gets the id.
    ///
    /// # Errors
    ///
    /// `EAGAIN` past `RLIMIT_SIGPENDING`, or without memory.
    pub fn create(
        &self,
        process: &Arc<Process>,
        base: Base,
        notice: impl FnOnce(i32) -> Notice,
    ) -> Result<i32> {
        let charge = Charge::new(process.account(), size_of::<IntervalTimer>()).map_err(|_| Errno::EAGAIN)?;
        let mut set = self.set.lock();
        if set.posix.len() as u64 >= process.limits().soft(Resource::PendingSignals) {
            return Err(Errno::EAGAIN);
        }
        let mut id = set.next_id;
        while set.posix.contains_key(&id) {
            id = id.checked_add(1).unwrap_or(0);
        }
        set.next_id = id.checked_add(1).unwrap_or(0);
        set.posix.insert(id, (IntervalTimer::new(process, base, notice(id)), charge));
        Ok(id)
    }

    /// The timer of timer_create(2) with this id.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub fn find(&self, id: i32) -> Result<Arc<IntervalTimer>> {
        self.set.lock().posix.get(&id).map(|(timer, _)| timer.clone()).ok_or(Errno::EINVAL)
    }

    /// timer_delete(2).
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub fn delete(&self, id: i32) -> Result<()> {
        let timer = self.set.lock().posix.remove(&id);
        timer.map(|(timer, _charge)| timer.cancel()).ok_or(Errno::EINVAL)
    }

    /// Deletes all timers of timer_create(2): execve(2).
    pub fn delete_all(&self) {
        let timers = core::mem::take(&mut self.set.lock().posix);
        for (timer, _charge) in timers.values() {
            timer.cancel();
        }
    }

    /// The process has ended.
    pub fn end(&self) {
        self.delete_all();
        let interval = core::mem::take(&mut self.set.lock().interval);
        for timer in interval.into_iter().flatten() {
            timer.cancel();
        }
        if let Some(limit) = self.cpu_limit.get() {
            limit.timer.cancel();
        }
    }

    /// A signal was taken from a queue. If it is a timer's, the timer goes on, and the signal learns its
    /// overrun.
    pub fn signal_taken(&self, info: &mut SigInfo) {
        if let Detail::Timer { id, overrun, .. } = &mut info.detail {
            if let Ok(timer) = self.find(*id) {
                *overrun = timer.signal_taken();
            }
        } else if info.signal == Signal::SIGALRM
            && let Some(timer) = self.existing_interval(Which::Real)
        {
            timer.signal_taken();
        }
    }

    /// The wall clock was set.
    pub fn clock_stepped(&self) {
        for timer in self.all() {
            timer.rearm();
        }
    }

    /// setrlimit(2) changed `RLIMIT_CPU`.
    pub fn limit_changed(&self, process: &Arc<Process>) {
        self.wake(process);
    }

    /// A thread of the process runs from now on.
    pub fn resumed(&self, process: &Arc<Process>) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst) {
            self.wake(process);
        }
    }

    /// True when a timer that counts CPU time need not look again until a thread runs: it will be woken.
    #[must_use]
    pub fn may_sleep(&self, process: &Process) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let mut running = false;
        table::for_each_thread(process, |thread| running |= thread.clock().is_running());
        !running
    }

    fn wake(&self, process: &Arc<Process>) {
        for timer in self.all().into_iter().filter(|timer| timer.counts_cpu()) {
            timer.rearm();
        }
        if has_cpu_limit(process.limits()) {
            self.cpu_limit.call_once(|| CpuLimit::new(process)).look();
        }
    }

    fn all(&self) -> Vec<Arc<IntervalTimer>> {
        let set = self.set.lock();
        let posix = set.posix.values().map(|(timer, _)| timer);
        set.interval.iter().flatten().chain(posix).cloned().collect()
    }
}

fn has_cpu_limit(limits: &Limits) -> bool {
    limits.soft(Resource::Cpu) != Limits::INFINITY || limits.hard(Resource::Cpu) != Limits::INFINITY
}

/// Looks after `RLIMIT_CPU`: `SIGXCPU` in every second beyond the soft limit, the end at the hard one.
struct CpuLimit {
    process: Weak<Process>,
    timer: Timer,
    this: Weak<CpuLimit>,
}

impl CpuLimit {
    fn new(process: &Arc<Process>) -> Arc<CpuLimit> {
        Arc::new_cyclic(|this| CpuLimit {
            process: Arc::downgrade(process),
            timer: Timer::new(),
            this: this.clone(),
        })
    }

    fn look(&self) {
        let (Some(process), Some(this)) = (self.process.upgrade(), self.this.upgrade()) else { return };
        let used = process.total_usage().cpu_time();
        let limits = process.limits();
        let (soft, hard) = (limits.soft(Resource::Cpu), limits.hard(Resource::Cpu));
        if hard != Limits::INFINITY && used >= Duration::from_secs(hard) {
            end_process(&process, ExitStatus::Signal { signal: Signal::SIGKILL, core: false });
            return;
        }
        let mut next = soft;
        if soft != Limits::INFINITY && used >= Duration::from_secs(soft) {
            next = soft.saturating_add(1);
            limits.set(Resource::Cpu, next, hard);
            // A standard signal that is pending already says enough.
            let _ = send_to_process(&process, SigInfo::kernel(Signal::SIGXCPU));
        }
        let limit = next.min(hard);
        if limit != Limits::INFINITY && !process.timers().may_sleep(&process) {
            let left = Duration::from_secs(limit).saturating_sub(used);
            self.timer.arm(cpu_deadline(left), this);
        }
    }
}

impl TimerTarget for CpuLimit {
    fn expired(&self, _deadline: Instant) {
        self.look();
    }
}
