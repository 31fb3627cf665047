//! Timers that send signals. Source: `setitimer(2)`, `alarm(2)`, `timer_create(2)` and its relatives.

use alloc::sync::Arc;
use core::time::Duration;

use base::memory::UserMemory;
use base::schedule::Setting;
use base::{Errno, Result};

use crate::declare;
use crate::declare::Pointer;
use crate::process::table::{find_process, find_thread};
use crate::signal::Signal;
use crate::thread::Thread;
use crate::time::clock::Clock;
use crate::time::interval::{Base, Notice};
use crate::time::timers::Which;
use crate::time::timespec::from_parts;
use crate::user::{copy_in, read_words, write_u32, write_words};

declare! {
    async 36 => getitimer(which: i32, current: Pointer);
    sync 37 => alarm(seconds: u32);
    async 38 => setitimer(which: i32, new: Pointer, old: Pointer);
    async 222 => timer_create(clock: i32, event: Pointer, id: Pointer);
    async 223 => timer_settime(id: i32, flags: i32, new: Pointer, old: Pointer);
    async 224 => timer_gettime(id: i32, current: Pointer);
    sync 225 => timer_getoverrun(id: i32);
    sync 226 => timer_delete(id: i32);
}

const TIMER_ABSTIME: i32 = 1;
/// Bytes of a `struct sigevent`.
const SIGEVENT_BYTES: usize = 64;
const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;

fn alarm(thread: &Thread, seconds: u32) -> Result<u64> {
    let timer = thread.process().timers().interval(thread.process(), Which::Real);
    let setting = Setting { value: Duration::from_secs(seconds.into()), interval: Duration::ZERO };
    let left = timer.set(setting, false).unwrap_or_default().value;
    // What is left is rounded to the nearest second, but never to none.
    let up = left.subsec_millis() >= 500 || (left.as_secs() == 0 && !left.is_zero());
    Ok(left.as_secs() + u64::from(up))
}

async fn getitimer(thread: &Thread, which: i32, current: Pointer) -> Result<u64> {
    let timer = thread.process().timers().existing_interval(Which::from_raw(which)?);
    let setting = timer.map(|timer| timer.get()).unwrap_or_default();
    write_itimerval(&*thread.space(), current, setting).await
}

async fn setitimer(thread: &Thread, which: i32, new: Pointer, old: Pointer) -> Result<u64> {
    let space = thread.space();
    // Linux takes a null pointer for a disarmed timer.
    let setting = if new.is_null() { Setting::default() } else { read_setting(&*space, new, 1000).await? };
    let timer = thread.process().timers().interval(thread.process(), Which::from_raw(which)?);
    let before = timer.set(setting, false).unwrap_or_default();
    if old.is_null() { Ok(0) } else { write_itimerval(&*space, old, before).await }
}

async fn timer_create(thread: &Thread, clock: i32, event: Pointer, id: Pointer) -> Result<u64> {
    let space = thread.space();
    let mut bytes = [0; SIGEVENT_BYTES];
    if !event.is_null() {
        copy_in(&*space, event.0, &mut bytes).await?;
    }
    let base = base_of(thread, clock)?;
    let event = (!event.is_null()).then(|| SigEvent::parse(&bytes));
    if let Some(event) = &event {
        event.check(thread)?;
    }
    let process = thread.process();
    let created = process.timers().create(process, base, |id| match &event {
        Some(event) => event.notice(id),
        None => {
            let value = u64::from(id.cast_unsigned());
            Notice::Queued { signal: Signal::SIGALRM, thread: None, id, value }
        }
    })?;
    if let Err(error) = write_u32(&*space, id.0, created.cast_unsigned()).await {
        let _ = process.timers().delete(created);
        return Err(error);
    }
    Ok(0)
}

async fn timer_settime(thread: &Thread, id: i32, flags: i32, new: Pointer, old: Pointer) -> Result<u64> {
    let space = thread.space();
    if new.is_null() {
        return Err(Errno::EINVAL);
    }
    let setting = read_setting(&*space, new, 1).await?;
    let timer = thread.process().timers().find(id)?;
    // Like Linux, every other flag is without meaning.
    let before = timer.set(setting, flags & TIMER_ABSTIME != 0).ok_or(Errno::ESRCH)?;
    if old.is_null() { Ok(0) } else { write_itimerspec(&*space, old, before).await }
}

async fn timer_gettime(thread: &Thread, id: i32, current: Pointer) -> Result<u64> {
    let setting = thread.process().timers().find(id)?.get();
    write_itimerspec(&*thread.space(), current, setting).await
}

fn timer_getoverrun(thread: &Thread, id: i32) -> Result<u64> {
    let overrun = thread.process().timers().find(id)?.overrun();
    Ok(u64::from(overrun.cast_unsigned()))
}

fn timer_delete(thread: &Thread, id: i32) -> Result<u64> {
    thread.process().timers().delete(id)?;
    Ok(0)
}

/// What a timer on the clock with Linux's number counts.
///
/// # Errors
///
/// `EINVAL` for no clock, or for the CPU clock of a process or thread that is gone or another process's
/// thread; `EOPNOTSUPP` for a clock without timers.
fn base_of(thread: &Thread, clock: i32) -> Result<Base> {
    let process = thread.process();
    let own_thread = |tid| find_thread(tid).filter(|other| Arc::ptr_eq(other.process(), process));
    match Clock::from_id(clock)? {
        // The raw and coarse clocks have no timers, and without a real-time clock device to wake the
        // machine the alarm clocks have none either.
        _ if matches!(clock, 4..=6 | 8 | 9) => Err(Errno::EOPNOTSUPP),
        Clock::Realtime => Ok(Base::Elapsed { wall: true }),
        Clock::Monotonic => Ok(Base::Elapsed { wall: false }),
        Clock::ProcessCpu(0) => Ok(Base::ProcessCpu(Arc::downgrade(process))),
        Clock::ProcessCpu(pid) => {
            let of = find_process(pid).ok_or(Errno::EINVAL)?;
            Ok(Base::ProcessCpu(Arc::downgrade(&of)))
        }
        Clock::ThreadCpu(tid) => {
            let tid = if tid == 0 { thread.tid() } else { tid };
            let of = own_thread(tid).ok_or(Errno::EINVAL)?;
            Ok(Base::ThreadCpu(Arc::downgrade(&of)))
        }
    }
}

/// A `struct sigevent`.
struct SigEvent {
    value: u64,
    signal: i32,
    notify: i32,
    thread: i32,
}

impl SigEvent {
    fn parse(bytes: &[u8; SIGEVENT_BYTES]) -> SigEvent {
        let [v0, v1, v2, v3, v4, v5, v6, v7, s0, s1, s2, s3, n0, n1, n2, n3, t0, t1, t2, t3, ..] = *bytes;
        SigEvent {
            value: u64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]),
            signal: i32::from_le_bytes([s0, s1, s2, s3]),
            notify: i32::from_le_bytes([n0, n1, n2, n3]),
            thread: i32::from_le_bytes([t0, t1, t2, t3]),
        }
    }

    /// # Errors
    ///
    /// `EINVAL` for an unknown way to notify, no signal, or a thread of another process.
    fn check(&self, thread: &Thread) -> Result<()> {
        match self.notify {
            SIGEV_NONE => return Ok(()),
            SIGEV_SIGNAL | SIGEV_THREAD => {}
            SIGEV_THREAD_ID => {
                let target = u32::try_from(self.thread).ok().and_then(find_thread);
                if !target.is_some_and(|target| Arc::ptr_eq(target.process(), thread.process())) {
                    return Err(Errno::EINVAL);
                }
            }
            _ => return Err(Errno::EINVAL),
        }
        Signal::new(self.signal).map(drop)
    }

    fn notice(&self, id: i32) -> Notice {
        // The signal of a SIGEV_NONE timer is never looked at.
        match Signal::new(self.signal) {
            Ok(signal) if self.notify != SIGEV_NONE => {
                let thread = u32::try_from(self.thread).ok().filter(|_| self.notify == SIGEV_THREAD_ID);
                Notice::Queued { signal, thread, id, value: self.value }
            }
            _ => Notice::Nothing,
        }
    }
}

/// Reads interval and value, with fractions in units of `unit` nanoseconds.
///
/// # Errors
///
/// `EFAULT`; `EINVAL` when one is out of range.
pub(super) async fn read_setting(memory: &dyn UserMemory, at: Pointer, unit: u64) -> Result<Setting> {
    let [interval, interval_fraction, value, value_fraction] = read_words::<4>(memory, at.0).await?;
    let value = from_parts(value, value_fraction, unit)?;
    Ok(Setting { value, interval: from_parts(interval, interval_fraction, unit)? })
}

/// Writes interval and value.
///
/// # Errors
///
/// `EFAULT`.
pub(super) async fn write_itimerspec(memory: &dyn UserMemory, at: Pointer, setting: Setting) -> Result<u64> {
    let Setting { value, interval } = setting;
    let words =
        [interval.as_secs(), interval.subsec_nanos().into(), value.as_secs(), value.subsec_nanos().into()];
    write_words(memory, at.0, &words).await?;
    Ok(0)
}

async fn write_itimerval(memory: &dyn UserMemory, at: Pointer, setting: Setting) -> Result<u64> {
    let Setting { mut value, interval } = setting;
    // An armed timer does not show zero.
    if !value.is_zero() {
        value = value.max(Duration::from_micros(1));
    }
    let words =
        [interval.as_secs(), interval.subsec_micros().into(), value.as_secs(), value.subsec_micros().into()];
    write_words(memory, at.0, &words).await?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_the_abi_lays_it_out() {
        let mut bytes = [0; SIGEVENT_BYTES];
        bytes[0] = 7;
        bytes[8] = 34;
        bytes[12] = 4;
        bytes[16] = 9;
        let event = SigEvent::parse(&bytes);
        let signal = Signal::new(34).unwrap();
        assert_eq!(event.notice(3), Notice::Queued { signal, thread: Some(9), id: 3, value: 7 });
        bytes[12] = 1;
        assert_eq!(SigEvent::parse(&bytes).notice(3), Notice::Nothing);
    }
}
