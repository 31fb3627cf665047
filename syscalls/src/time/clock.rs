//! The clocks of `clock_gettime(2)`.
//!
//! The wall clock is the monotonic one plus an offset: the time of boot, moved by whoever sets the clock.

use core::time::Duration;

use base::time::Instant;
use base::{Errno, Result, machine, wall_clock};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource};

use crate::machine::user_machine;
use crate::process::Process;
use crate::process::table::{all_processes, find_process, find_thread};
use crate::thread::Thread;

/// A clock that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Wall-clock time.
    Realtime,
    /// Time since boot. Suspend does not exist here, so the monotonic, raw and boot clocks agree.
    Monotonic,
    /// CPU time of a process; 0 is the caller's own.
    ProcessCpu(u32),
    /// CPU time of a thread; 0 is the caller.
    ThreadCpu(u32),
}

/// Resolution of every clock but the coarse ones, in nanoseconds.
const FINE: u64 = 1;
/// Resolution of the coarse clocks: a tick of 250 Hz, as Linux reports it.
const COARSE: u64 = 4_000_000;

impl Clock {
    /// The clock with Linux's number `id`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number without a clock.
    pub fn from_id(id: i32) -> Result<Clock> {
        match id {
            0 | 5 | 8 | 11 => Ok(Clock::Realtime),
            1 | 4 | 6 | 7 | 9 => Ok(Clock::Monotonic),
            2 => Ok(Clock::ProcessCpu(0)),
            3 => Ok(Clock::ThreadCpu(0)),
            // A negative number packs a process or thread id with the kind of CPU clock.
            i32::MIN..0 if id & 3 == 3 => Err(Errno::EINVAL),
            i32::MIN..0 => {
                let number = !(id >> 3);
                let number = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
                Ok(if id & 4 != 0 { Clock::ThreadCpu(number) } else { Clock::ProcessCpu(number) })
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// What the clock shows, since its epoch.
    ///
    /// # Errors
    ///
    /// `EINVAL` for the CPU clock of a process or thread that is gone.
    pub fn read(self, thread: &Thread) -> Result<Duration> {
        match self {
            Clock::Realtime => Ok(realtime()),
            Clock::Monotonic => Ok(Duration::from_nanos(machine::now().as_nanos())),
            Clock::ProcessCpu(0) => Ok(process_time(thread.process())),
            Clock::ProcessCpu(pid) => {
                find_process(pid).map(|process| process_time(&process)).ok_or(Errno::EINVAL)
            }
            Clock::ThreadCpu(0) => Ok(thread_time(thread)),
            Clock::ThreadCpu(tid) => find_thread(tid).map(|thread| thread_time(&thread)).ok_or(Errno::EINVAL),
        }
    }
}

fn thread_time(thread: &Thread) -> Duration {
    thread.used().cpu_time()
}

fn process_time(process: &Process) -> Duration {
    process.total_usage().cpu_time()
}

/// Resolution of the clock with Linux's number `id`, in nanoseconds.
#[must_use]
pub fn resolution(id: i32) -> u64 {
    if id == 5 || id == 6 { COARSE } else { FINE }
}

/// Wakes those whose absolute wall-clock deadline a clock step moved.
static STEPPED: WaitSource = WaitSource::new(WaitKind::Sleep, 0);

/// Wall-clock time since 1970.
#[must_use]
pub fn realtime() -> Duration {
    wall_clock::now()
}

/// The instant at which the wall clock, as it is set now, will show `time`.
#[must_use]
pub fn realtime_to_monotonic(time: Duration) -> Instant {
    wall_clock::when(time)
}

/// Sets the wall clock, and tells those whose deadlines move with it: clock_settime(2), settimeofday(2).
pub fn set_realtime(time: Duration) {
    wall_clock::set(time);
    user_machine().wall_clock_moved(wall_clock::offset());
    STEPPED.wake_all(Events::empty(), Reason::Data);
    fs::timerfd::clock_was_set();
    for process in all_processes() {
        process.timers().clock_stepped();
    }
}

/// What an absolute wait on the wall clock looks at beside its deadline: woken by every clock step.
#[must_use]
pub fn stepped() -> &'static WaitSource {
    &STEPPED
}
