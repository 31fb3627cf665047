//! Reading, setting and sleeping on clocks.

use core::time::Duration;

use base::caller::Capabilities;
use base::time::Instant;
use base::{Errno, Result, machine};
use executor::pollwait::{Reason, Wait, WaitKind, WaitSource};

use crate::declare;
use crate::declare::Pointer;
use crate::restart::RestartBlock;
use crate::thread::Thread;
use crate::time::clock::{self, Clock};
use crate::time::timespec::{read_timespec, read_timeval, write_timespec};

declare! {
    async 35 => nanosleep(request: Pointer, remaining: Pointer);
    sync 96 => gettimeofday(time: Pointer, zone: Pointer);
    async 164 => settimeofday(time: Pointer, zone: Pointer);
    sync 201 => time(seconds: Pointer);
    async 219 => restart_syscall();
    async 227 => clock_settime(id: i32, time: Pointer);
    sync 228 => clock_gettime(id: i32, time: Pointer);
    sync 229 => clock_getres(id: i32, resolution: Pointer);
    async 230 => clock_nanosleep(id: i32, flags: i32, request: Pointer, remaining: Pointer);
}

const TIMER_ABSTIME: i32 = 1;

fn clock_gettime(thread: &Thread, id: i32, time: Pointer) -> Result<u64> {
    let now = Clock::from_id(id)?.read(thread)?;
    thread.put_words(time, [now.as_secs(), now.subsec_nanos().into()])?;
    Ok(0)
}

fn clock_getres(thread: &Thread, id: i32, resolution: Pointer) -> Result<u64> {
    Clock::from_id(id)?;
    if !resolution.is_null() {
        thread.put_words(resolution, [0, clock::resolution(id)])?;
    }
    Ok(0)
}

async fn clock_settime(thread: &Thread, id: i32, time: Pointer) -> Result<u64> {
    let settable = id == 0;
    Clock::from_id(id)?;
    if !settable {
        return Err(Errno::EINVAL);
    }
    let time = read_timespec(&*thread.space(), time).await?;
    set_clock(thread, time)
}

fn set_clock(thread: &Thread, time: Duration) -> Result<u64> {
    if !thread.credentials().capable(Capabilities::SYS_TIME) {
        return Err(Errno::EPERM);
    }
    clock::set_realtime(time);
    Ok(0)
}

fn gettimeofday(thread: &Thread, time: Pointer, zone: Pointer) -> Result<u64> {
    if !time.is_null() {
        let now = clock::realtime();
        thread.put_words(time, [now.as_secs(), now.subsec_micros().into()])?;
    }
    if !zone.is_null() {
        // The time zone belongs to programs; the kernel's is UTC.
        thread.put_words(zone, [0])?;
    }
    Ok(0)
}

async fn settimeofday(thread: &Thread, time: Pointer, zone: Pointer) -> Result<u64> {
    let space = thread.space();
    let time = if time.is_null() { None } else { Some(read_timeval(&*space, time).await?) };
    if !zone.is_null() {
        return Err(Errno::EINVAL);
    }
    match time {
        Some(time) => set_clock(thread, time),
        None => Ok(0),
    }
}

fn time(thread: &Thread, seconds: Pointer) -> Result<u64> {
    let now = clock::realtime().as_secs();
    if !seconds.is_null() {
        thread.put_words(seconds, [now])?;
    }
    Ok(now)
}

async fn nanosleep(thread: &Thread, request: Pointer, remaining: Pointer) -> Result<u64> {
    let span = read_timespec(&*thread.space(), request).await?;
    sleep_for(thread, Clock::Monotonic, span, remaining).await
}

async fn clock_nanosleep(
    thread: &Thread,
    id: i32,
    flags: i32,
    request: Pointer,
    remaining: Pointer,
) -> Result<u64> {
    let clock = match Clock::from_id(id)? {
        // A thread cannot sleep until it has run for some time itself.
        Clock::ThreadCpu(_) if id < 0 => return Err(Errno::EINVAL),
        Clock::ThreadCpu(_) => return Err(Errno::EOPNOTSUPP),
        Clock::ProcessCpu(_) => return Err(Errno::EOPNOTSUPP),
        clock => clock,
    };
    // Clocks that show coarse or raw time cannot be slept on.
    if matches!(id, 4..=6) {
        return Err(Errno::EOPNOTSUPP);
    }
    let time = read_timespec(&*thread.space(), request).await?;
    if flags & TIMER_ABSTIME == 0 {
        return sleep_for(thread, clock, time, remaining).await;
    }
    sleep_until(clock, time).await.map_err(|error| match error {
        Errno::EINTR => Errno::ERESTARTNOHAND,
        error => error,
    })
}

/// Sleeps until the clock shows `time`; a step of the wall clock moves the end.
async fn sleep_until(clock: Clock, time: Duration) -> Result<u64> {
    let own = WaitSource::new(WaitKind::Sleep, 0);
    loop {
        let source = if clock == Clock::Realtime { clock::stepped() } else { &own };
        let seen = source.observe();
        let deadline = match clock {
            Clock::Realtime => clock::realtime_to_monotonic(time),
            _ => Instant::BOOT + time,
        };
        match source.wait(seen, Wait::interruptible().until(Some(deadline))).await {
            Reason::Timeout => return Ok(0),
            Reason::Signal => return Err(Errno::EINTR),
            Reason::Data | Reason::Hup | Reason::Close => {}
        }
    }
}

async fn sleep_for(thread: &Thread, clock: Clock, span: Duration, remaining: Pointer) -> Result<u64> {
    let deadline = machine::now() + span;
    go_on_sleeping(thread, RestartBlock::Sleep { clock, deadline, remaining }, deadline, remaining).await
}

/// Sleeps to the deadline. Cut short, it tells the rest and remembers how to go on.
async fn go_on_sleeping(
    thread: &Thread,
    block: RestartBlock,
    deadline: Instant,
    remaining: Pointer,
) -> Result<u64> {
    let own = WaitSource::new(WaitKind::Sleep, 0);
    let wait = Wait::interruptible().until(Some(deadline));
    if own.wait(own.observe(), wait).await != Reason::Signal {
        return Ok(0);
    }
    let left = deadline - machine::now();
    if left.is_zero() {
        return Ok(0);
    }
    if !remaining.is_null() {
        write_timespec(&*thread.space(), remaining, left).await?;
    }
    Err(thread.restart().later(block))
}

async fn restart_syscall(thread: &Thread) -> Result<u64> {
    match thread.restart().take() {
        None => Err(Errno::EINTR),
        Some(block @ RestartBlock::Sleep { deadline, remaining, .. }) => {
            go_on_sleeping(thread, block, deadline, remaining).await
        }
        Some(RestartBlock::Futex { word, sharing, expected, bits, deadline }) => {
            super::futex::go_on_waiting(thread, word, sharing, expected, bits, deadline).await
        }
        Some(RestartBlock::Poll { fds, count, deadline }) => {
            super::poll::go_on_polling(thread, fds, count, deadline).await
        }
    }
}
