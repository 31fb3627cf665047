//! Timers as descriptors. Source: `timerfd_create(2)`.

mod file;
mod state;

use alloc::sync::{Arc, Weak};
use core::time::Duration;

use base::caller::{Caller, Capabilities};
use base::charge::Charge;
use base::schedule::{Schedule, Setting};
use base::sync::{Lazy, LockClass, SpinLock};
use base::time::Instant;
use base::{Errno, Result, machine, wall_clock};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource, Watch, Watcher};
use executor::{Timer, TimerTarget};

use crate::file::{OpenFile, OpenFlags};
use state::State;

bitflags::bitflags! {
    /// The flags of `timerfd_settime(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SetFlags: u32 {
        /// The value is a reading of the clock.
        const ABSTIME = 1;
        /// With `ABSTIME` on a wall clock: reads fail when somebody sets the clock.
        const CANCEL_ON_SET = 2;
    }
}

/// The clock of a timer descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerClock {
    /// Linux's number.
    pub id: i32,
    /// It is the wall clock.
    wall: bool,
    /// It would wake the machine from sleep.
    alarm: bool,
}

impl TimerClock {
    /// The clock with Linux's number.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a clock that descriptors do not have.
    pub fn from_id(id: i32) -> Result<TimerClock> {
        let (wall, alarm) = match id {
            0 => (true, false),
            1 | 7 => (false, false),
            8 => (true, true),
            9 => (false, true),
            _ => return Err(Errno::EINVAL),
        };
        Ok(TimerClock { id, wall, alarm })
    }

    /// Refuses an alarm clock to those who may not wake the machine.
    fn check(self, caller: &Caller) -> Result<()> {
        let refused = self.alarm && !caller.credentials.capable(Capabilities::WAKE_ALARM);
        if refused { Err(Errno::EPERM) } else { Ok(()) }
    }
}

/// Kernel memory that a timer takes beside its open file.
const TIMER_BYTES: usize = 640;

/// Woken when somebody sets the wall clock: those timers stand on it that care.
static STEPS: Lazy<Arc<WaitSource>> = Lazy::new(|| Arc::new(WaitSource::new(WaitKind::TimerFd, 0)));

/// The wall clock was set: deadlines on it move, and reads that asked for that end.
pub fn clock_was_set() {
    STEPS.wake_all(Events::empty(), Reason::Data);
}

/// A timer descriptor.
pub struct TimerFd {
    clock: TimerClock,
    state: SpinLock<State>,
    timer: Timer,
    expired: Arc<WaitSource>,
    /// While it counts on the wall clock: how it hears of steps.
    steps: SpinLock<Option<Watch>>,
    this: Weak<TimerFd>,
    _charge: Charge,
}

impl TimerFd {
    /// An open file with a disarmed timer.
    ///
    /// # Errors
    ///
    /// `EPERM` for an alarm clock without `CAP_WAKE_ALARM`; `ENFILE`, `ENOMEM`.
    pub fn open(caller: &Caller, clock: TimerClock, nonblocking: bool) -> Result<Arc<OpenFile>> {
        clock.check(caller)?;
        let charge = Charge::new(&caller.account, TIMER_BYTES)?;
        let timer = Arc::new_cyclic(|this| TimerFd {
            clock,
            state: SpinLock::new(LockClass::Event, State::default()),
            timer: Timer::new(),
            expired: Arc::new(WaitSource::new(WaitKind::TimerFd, 0)),
            steps: SpinLock::new(LockClass::EventSetting, None),
            this: this.clone(),
            _charge: charge,
        });
        let mut status = OpenFlags::RDWR;
        status.set(OpenFlags::NONBLOCK, nonblocking);
        OpenFile::anonymous(caller, timer, "anon_inode:[timerfd]", status)
    }

    /// The timer behind an open file.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it is none.
    pub fn of(file: &OpenFile) -> Result<&TimerFd> {
        file.ops_as::<TimerFd>().ok_or(Errno::EINVAL)
    }

    /// Arms the timer, or disarms it with a zero value; tells how it stood.
    ///
    /// # Errors
    ///
    /// `EPERM` as [`TimerFd::open`]; `ECANCELED` when the clock was set since the last read and the flags ask
    /// for that: the timer is armed all the same.
    pub fn set(&self, caller: &Caller, setting: Setting, flags: SetFlags) -> Result<Setting> {
        self.clock.check(caller)?;
        let wall = self.clock.wall && flags.contains(SetFlags::ABSTIME);
        let before = {
            // Two settings at once are done one after the other.
            let mut steps = self.steps.lock();
            let before = self.get();
            if wall && steps.is_none() {
                *steps = self.this.upgrade().map(|this| Watch::new(&STEPS, this, Events::empty()));
            } else if !wall {
                *steps = None;
            }
            let now = self.reading(wall);
            let schedule = schedule(setting, flags, now);
            let mut state = self.state.lock();
            let cancelled = state.cancelled;
            let cancels = wall && flags.contains(SetFlags::CANCEL_ON_SET);
            *state = State { schedule, wall, cancels, cancelled, flags: flags.bits(), ..State::default() };
            self.arm(&state);
            if state.take_cancelled() {
                return Err(Errno::ECANCELED);
            }
            before
        };
        Ok(before)
    }

    /// Time to the next expiration and the period: `timerfd_gettime(2)`.
    #[must_use]
    pub fn get(&self) -> Setting {
        let mut state = self.state.lock();
        let now = self.reading(state.wall);
        if state.expired {
            state.go_on(now);
            self.arm(&state);
        }
        state.setting(now)
    }

    fn reading(&self, wall: bool) -> Duration {
        if wall { wall_clock::now() } else { Duration::from_nanos(machine::now().as_nanos()) }
    }

    /// Has the machine look when the next expiration is due.
    fn arm(&self, state: &State) {
        match (state.next(), self.this.upgrade()) {
            (Some(reading), Some(this)) => {
                let deadline = if state.wall { wall_clock::when(reading) } else { Instant::BOOT + reading };
                self.timer.arm(deadline, this);
            }
            _ => {
                self.timer.cancel();
            }
        }
    }
}

/// The end of time as Linux has it: spans and readings stop there.
const END: Duration = Duration::from_nanos(i64::MAX as u64);

/// The schedule that a setting asks for; a disarmed timer keeps its period, for those who look.
fn schedule(setting: Setting, flags: SetFlags, now: Duration) -> Schedule {
    let setting = Setting { value: setting.value.min(END), interval: setting.interval.min(END) };
    let schedule = Schedule::new(setting, flags.contains(SetFlags::ABSTIME), now);
    Schedule { expiry: schedule.expiry.map(|expiry| expiry.min(END)), interval: setting.interval }
}

impl TimerTarget for TimerFd {
    fn expired(&self, _deadline: Instant) {
        let due = {
            let mut state = self.state.lock();
            let now = self.reading(state.wall);
            let due = state.expire(now);
            if !due {
                // The clock was set back, or somebody armed it anew meanwhile.
                self.arm(&state);
            }
            due
        };
        if due {
            self.expired.wake_all(Events::IN, Reason::Data);
        }
    }
}

impl Watcher for TimerFd {
    fn notify(&self, _events: Events, _reason: Reason) {
        let cancelled = {
            let mut state = self.state.lock();
            if state.wall {
                self.arm(&state);
            }
            state.cancelled |= state.cancels;
            state.cancels
        };
        if cancelled {
            self.expired.wake_all(Events::IN, Reason::Data);
        }
    }
}
