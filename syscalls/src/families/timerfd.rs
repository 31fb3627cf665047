//! Timers as descriptors. Source: `timerfd_create(2)`.

use base::{Errno, Result};
use fs::file::OpenFlags;
use fs::timerfd::{SetFlags, TimerClock, TimerFd};

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::families::timers::{read_setting, write_itimerspec};
use crate::thread::Thread;

declare! {
    sync 283 => timerfd_create(clock: i32, flags: u32);
    async 286 => timerfd_settime(fd: Fd, flags: u32, new: Pointer, old: Pointer);
    async 287 => timerfd_gettime(fd: Fd, current: Pointer);
}

fn timerfd_create(thread: &Thread, clock: i32, flags: u32) -> Result<u64> {
    let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) {
        return Err(Errno::EINVAL);
    }
    let clock = TimerClock::from_id(clock)?;
    let caller = thread.caller();
    let file = TimerFd::open(&caller, clock, flags.contains(OpenFlags::NONBLOCK))?;
    let fd = thread.files().insert(&caller, file, flags.contains(OpenFlags::CLOEXEC))?;
    Ok(u64::from(fd.unsigned_abs()))
}

async fn timerfd_settime(thread: &Thread, fd: Fd, flags: u32, new: Pointer, old: Pointer) -> Result<u64> {
    let space = thread.space();
    let setting = read_setting(&*space, new, 1).await?;
    let flags = SetFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let file = thread.files().get(fd.0)?;
    let before = TimerFd::of(&file)?.set(&thread.caller(), setting, flags)?;
    if old.is_null() { Ok(0) } else { write_itimerspec(&*space, old, before).await }
}

async fn timerfd_gettime(thread: &Thread, fd: Fd, current: Pointer) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    let setting = TimerFd::of(&file)?.get();
    write_itimerspec(&*thread.space(), current, setting).await
}
