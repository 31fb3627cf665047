//! Signals as a descriptor. Source: `signalfd(2)`.

use base::{Errno, Result};
use fs::file::OpenFlags;

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::signal::SignalSet;
use crate::signal::signalfd::SignalFd;
use crate::signal::state::check_mask_size;
use crate::thread::Thread;
use crate::user::read_words;

declare! {
    async 282 => signalfd(fd: Fd, mask: Pointer, size: usize);
    async 289 => signalfd4(fd: Fd, mask: Pointer, size: usize, flags: u32);
}

async fn signalfd(thread: &Thread, fd: Fd, mask: Pointer, size: usize) -> Result<u64> {
    signalfd4(thread, fd, mask, size, 0).await
}

async fn signalfd4(thread: &Thread, fd: Fd, mask: Pointer, size: usize, flags: u32) -> Result<u64> {
    check_mask_size(size)?;
    let [mask] = read_words::<1>(&*thread.space(), mask.0).await?;
    let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) {
        return Err(Errno::EINVAL);
    }
    let files = thread.files();
    let fd = if fd.0 == -1 {
        let caller = thread.caller();
        let file = SignalFd::open(&caller, SignalSet(mask), flags.contains(OpenFlags::NONBLOCK))?;
        files.insert(&caller, file, flags.contains(OpenFlags::CLOEXEC))?
    } else {
        SignalFd::of(&*files.get(fd.0)?)?.set_mask(SignalSet(mask));
        fd.0
    };
    Ok(u64::from(fd.unsigned_abs()))
}
