//! Descriptors that tell of events. Source: `eventfd(2)`.

use base::{Errno, Result};
use fs::eventfd::{EventFd, EventFdFlags};

use crate::declare;
use crate::thread::Thread;

declare! {
    sync 284 => eventfd(count: u32);
    sync 290 => eventfd2(count: u32, flags: u32);
}

fn eventfd(thread: &Thread, count: u32) -> Result<u64> {
    eventfd2(thread, count, 0)
}

fn eventfd2(thread: &Thread, count: u32, flags: u32) -> Result<u64> {
    let flags = EventFdFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let caller = thread.caller();
    let file = EventFd::open(&caller, count, flags)?;
    let fd = thread.files().insert(&caller, file, flags.contains(EventFdFlags::CLOEXEC))?;
    Ok(u64::from(fd.unsigned_abs()))
}
