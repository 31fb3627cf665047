//! Timers that send signals: setitimer(2), alarm(2), timer_create(2).
//!
//! ```text
//!            set                    due: the signal is sent
//!   idle ----------> armed -----------------------------------> signalled
//!    ^   <----------   ^   <----------------------------------     |
//!    |    set to 0     |      taken, and it has a period           |
//!    +------------------------------------------------------------+
//!                             taken, and it has none
//! ```
//!
//! While its signal is pending a timer is not armed, however short its period: the expirations since then
//! are counted when the signal is taken, as its overrun. So a program cannot have the machine work for a
//! signal that it does not take.
//!
//! A timer on a wall or monotonic clock is armed for its deadline. One that counts CPU time is armed for the
//! earliest moment at which that much can have been used, with every CPU working for it, and looks again
//! then; while nobody works for it, it sleeps ([`Timers::may_sleep`](super::timers::Timers::may_sleep)).

use alloc::sync::{Arc, Weak};
use core::time::Duration;

use base::machine;
use base::schedule::{Schedule, Setting};
use base::sync::{LockClass, SpinLock};
use base::time::Instant;
use executor::{Timer, TimerTarget};

use crate::process::Process;
use crate::process::table::find_thread;
use crate::signal::info::{Detail, SI_TIMER};
use crate::signal::send::send_from_timer;
use crate::signal::{SigInfo, Signal};
use crate::thread::Thread;
use crate::time::clock;

/// Shortest time between two looks at a CPU clock, and shortest period of a signal that is ignored.
const LOOK: Duration = Duration::from_millis(1);

/// What a timer counts on.
#[derive(Clone, Debug)]
pub enum Base {
    /// The monotonic clock; with an absolute value `wall` has it follow the steps of the wall clock.
    Elapsed {
        /// The clock is the wall clock.
        wall: bool,
    },
    /// User time of its own process: `ITIMER_VIRTUAL`.
    UserTime,
    /// CPU time of a process.
    ProcessCpu(Weak<Process>),
    /// CPU time of a thread.
    ThreadCpu(Weak<Thread>),
}

/// What happens when a timer expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The kernel's own signal to the process: setitimer(2).
    Plain(Signal),
    /// `SIGEV_SIGNAL` and `SIGEV_THREAD_ID`, with the timer's id and value.
    Queued {
        /// Which signal.
        signal: Signal,
        /// The thread it goes to, or the process.
        thread: Option<u32>,
        /// Timer id.
        id: i32,
        /// `sigev_value`.
        value: u64,
    },
    /// `SIGEV_NONE`.
    Nothing,
}

/// A timer of a process.
pub struct IntervalTimer {
    process: Weak<Process>,
    base: Base,
    notice: Notice,
    state: SpinLock<State>,
    timer: Timer,
    this: Weak<IntervalTimer>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    schedule: Schedule,
    phase: Phase,
    /// The schedule is in readings of the wall clock.
    wall: bool,
    /// Expirations beyond the first that the last taken signal stood for.
    overrun: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Armed,
    Signalled,
}

impl IntervalTimer {
    /// A disarmed timer.
    #[must_use]
    pub fn new(process: &Arc<Process>, base: Base, notice: Notice) -> Arc<IntervalTimer> {
        Arc::new_cyclic(|this| IntervalTimer {
            process: Arc::downgrade(process),
            base,
            notice,
            state: SpinLock::new(LockClass::Signals, State::default()),
            timer: Timer::new(),
            this: this.clone(),
        })
    }

    /// Arms the timer (or disarms it, with a zero value), and tells how it stood. With `absolute` the value
    /// is a reading of its clock. `None` when it counts the time of a process or thread that is gone.
    pub fn set(&self, setting: Setting, absolute: bool) -> Option<Setting> {
        let wall = absolute && matches!(self.base, Base::Elapsed { wall: true });
        let before = self.get();
        let now = self.reading(wall)?;
        let schedule = Schedule::new(setting, absolute, now);
        let mut state = self.state.lock();
        let phase = if schedule.expiry.is_some() { Phase::Armed } else { Phase::Idle };
        *state = State { schedule, phase, wall, overrun: 0 };
        self.arm(&state, now, Duration::ZERO);
        Some(before)
    }

    /// How the timer stands.
    #[must_use]
    pub fn get(&self) -> Setting {
        let wall = self.state.lock().wall;
        let Some(now) = self.reading(wall) else { return Setting::default() };
        let state = *self.state.lock();
        let waits = state.phase == Phase::Signalled && matches!(self.notice, Notice::Plain(_));
        let value = match state.schedule.remaining(now) {
            _ if waits => Duration::ZERO,
            // One that is about to expire never shows zero, which would mean disarmed.
            Duration::ZERO if state.schedule.expiry.is_some() && self.notice != Notice::Nothing => {
                Duration::from_nanos(1)
            }
            value => value,
        };
        Setting { value, interval: state.schedule.interval }
    }

    /// Overrun of the signal that was taken last: timer_getoverrun(2).
    #[must_use]
    pub fn overrun(&self) -> i32 {
        i32::try_from(self.state.lock().overrun).unwrap_or(i32::MAX)
    }

    /// Its signal is being delivered: goes on with the next period. Tells the overrun.
    pub fn signal_taken(&self) -> i32 {
        let wall = self.state.lock().wall;
        if let Some(now) = self.reading(wall) {
            let mut state = self.state.lock();
            if state.phase == Phase::Signalled {
                state.overrun = state.schedule.expire(now).saturating_sub(1);
                state.phase = if state.schedule.expiry.is_some() { Phase::Armed } else { Phase::Idle };
                self.arm(&state, now, Duration::ZERO);
            }
        }
        self.overrun()
    }

    /// Disarms it.
    pub fn cancel(&self) {
        let mut state = self.state.lock();
        *state = State::default();
        self.timer.cancel();
    }

    /// Looks again when it is to fire: the wall clock was set, or somebody works again for a process whose
    /// timers slept.
    pub fn rearm(&self) {
        let wall = self.state.lock().wall;
        if let Some(now) = self.reading(wall) {
            self.arm(&self.state.lock(), now, Duration::ZERO);
        }
    }

    /// True when it counts CPU time.
    #[must_use]
    pub fn counts_cpu(&self) -> bool {
        !matches!(self.base, Base::Elapsed { .. })
    }

    /// True when it counts CPU time that only threads of `process`, its own, can use.
    fn counts_own_cpu(&self, process: &Arc<Process>) -> bool {
        match &self.base {
            Base::Elapsed { .. } => false,
            Base::UserTime | Base::ThreadCpu(_) => true,
            Base::ProcessCpu(of) => Weak::as_ptr(of) == Arc::as_ptr(process),
        }
    }

    fn reading(&self, wall: bool) -> Option<Duration> {
        Some(match &self.base {
            Base::Elapsed { .. } if wall => clock::realtime(),
            Base::Elapsed { .. } => Duration::from_nanos(machine::now().as_nanos()),
            Base::UserTime => Duration::from_nanos(self.process.upgrade()?.total_usage().user),
            Base::ProcessCpu(process) => process.upgrade()?.total_usage().cpu_time(),
            Base::ThreadCpu(thread) => thread.upgrade()?.used().cpu_time(),
        })
    }

    /// Arms the hardware for the schedule, or for `at_least` from now if that is later.
    fn arm(&self, state: &State, now: Duration, at_least: Duration) {
        let expiry = state.schedule.expiry.filter(|_| state.phase == Phase::Armed);
        let (Some(expiry), Some(this)) =
            (expiry.filter(|_| self.notice != Notice::Nothing), self.this.upgrade())
        else {
            self.timer.cancel();
            return;
        };
        let left = expiry.saturating_sub(now);
        let deadline = if self.counts_cpu() {
            cpu_deadline(left)
        } else if state.wall {
            clock::realtime_to_monotonic(expiry)
        } else {
            Instant::BOOT + expiry
        };
        self.timer.arm(deadline.max(machine::now() + at_least), this);
    }

    /// It may be due.
    fn look(&self, process: &Arc<Process>) {
        let wall = self.state.lock().wall;
        let Some(now) = self.reading(wall) else { return };
        // Asked without the timer's lock: it looks at all threads.
        let sleeps = self.counts_own_cpu(process) && process.timers().may_sleep(process);
        {
            let mut state = self.state.lock();
            if state.phase != Phase::Armed || state.wall != wall {
                return;
            }
            if !state.schedule.is_due(now) {
                if !sleeps {
                    self.arm(&state, now, Duration::ZERO);
                }
                return;
            }
            if self.counts_cpu() && matches!(self.notice, Notice::Plain(_)) {
                state.schedule.expire(now);
                self.arm(&state, now, Duration::ZERO);
            } else {
                state.phase = Phase::Signalled;
            }
        }
        if !self.notify(process) {
            self.not_taken(now);
        }
    }

    /// The signal was ignored, or found no room. A timer of setitimer(2) rests then, as on Linux; one of
    /// timer_create(2) tries again.
    fn not_taken(&self, now: Duration) {
        let mut state = self.state.lock();
        if state.phase == Phase::Signalled && matches!(self.notice, Notice::Queued { .. }) {
            state.schedule.expire(now);
            state.phase = if state.schedule.expiry.is_some() { Phase::Armed } else { Phase::Idle };
            self.arm(&state, now, LOOK);
        }
    }

    /// Sends the signal; false when nobody will take it.
    fn notify(&self, process: &Arc<Process>) -> bool {
        match &self.notice {
            Notice::Nothing => true,
            Notice::Plain(signal) => send_from_timer(process, None, SigInfo::kernel(*signal)),
            Notice::Queued { signal, thread, id, value } => {
                let detail = Detail::Timer { id: *id, overrun: 0, value: *value };
                let info = SigInfo { signal: *signal, code: SI_TIMER, errno: 0, detail };
                match thread.map(find_thread) {
                    None => send_from_timer(process, None, info),
                    Some(Some(target)) => send_from_timer(process, Some(&target), info),
                    Some(None) => false,
                }
            }
        }
    }
}

impl TimerTarget for IntervalTimer {
    fn expired(&self, _deadline: Instant) {
        if let Some(process) = self.process.upgrade() {
            self.look(&process);
        }
    }
}

/// The earliest moment at which `left` of CPU time can have been used, with every CPU working for it.
pub(super) fn cpu_deadline(left: Duration) -> Instant {
    let cpus = u32::try_from(machine().cpu_count()).unwrap_or(1).max(1);
    machine::now() + (left / cpus).max(LOOK)
}
