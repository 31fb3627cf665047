//! Process descriptors. Source: `pidfd_open(2)`, `pidfd_send_signal(2)`, `pidfd_getfd(2)`.

use base::{Errno, Result};
use fs::file::{FdEntry, FdRights};

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::families::prctl::may_look_into;
use crate::process::pidfd::PidFd;
use crate::process::table;
use crate::signal::info::{SI_TKILL, SI_USER, SIGINFO_BYTES};
use crate::signal::permission::may_signal;
use crate::signal::{SigInfo, Signal, send_to_process};
use crate::thread::Thread;
use crate::user::copy_in;

declare! {
    async 424 => pidfd_send_signal(pidfd: Fd, signal: i32, info: Pointer, flags: u32);
    sync 434 => pidfd_open(pid: i32, flags: u32);
    sync 438 => pidfd_getfd(pidfd: Fd, fd: Fd, flags: u32);
}

/// `PIDFD_NONBLOCK`, which is `O_NONBLOCK`.
const NONBLOCK: u32 = 0o4000;

fn pidfd_open(thread: &Thread, pid: i32, flags: u32) -> Result<u64> {
    if flags & !NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let pid = pid.unsigned_abs();
    let process = match table::find_process(pid) {
        Some(process) => process,
        None if table::find_thread(pid).is_some() => return Err(Errno::EINVAL),
        None => return Err(Errno::ESRCH),
    };
    let caller = thread.caller();
    let file = PidFd::open(&caller, Some(process), flags & NONBLOCK != 0)?;
    let fd = thread.files().insert(&caller, file, true)?;
    Ok(u64::from(fd.unsigned_abs()))
}

async fn pidfd_send_signal(
    thread: &Thread,
    pidfd: Fd,
    signal: i32,
    info: Pointer,
    flags: u32,
) -> Result<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = PidFd::process_of(&*thread.files().get_required(pidfd.0, FdRights::IOCTL)?)?;
    let own = thread.process();
    let mut raw = None;
    if !info.is_null() {
        let mut bytes = [0; SIGINFO_BYTES];
        copy_in(&*thread.space(), info.0, &mut bytes).await?;
        let [s0, s1, s2, s3, _, _, _, _, c0, c1, c2, c3, ..] = bytes;
        let code = i32::from_le_bytes([c0, c1, c2, c3]);
        if i32::from_le_bytes([s0, s1, s2, s3]) != signal {
            return Err(Errno::EINVAL);
        }
        // Nobody may pretend to be the kernel, or kill(2), towards others.
        if !alloc::sync::Arc::ptr_eq(&process, own) && (code >= SI_USER || code == SI_TKILL) {
            return Err(Errno::EPERM);
        }
        raw = Some(bytes);
    }
    if table::find_process(process.pid()).is_none_or(|now| !alloc::sync::Arc::ptr_eq(&now, &process)) {
        return Err(Errno::ESRCH);
    }
    if signal != 0 {
        Signal::new(signal)?;
    }
    may_signal(thread, &process, signal)?;
    if signal != 0 {
        let signal = Signal::new(signal)?;
        let info = match raw {
            Some(bytes) => SigInfo::from_program(signal, &bytes),
            None => SigInfo::from_process(signal, SI_USER, own.pid(), thread.credentials().uid),
        };
        send_to_process(&process, info)?;
    }
    Ok(0)
}

fn pidfd_getfd(thread: &Thread, pidfd: Fd, fd: Fd, flags: u32) -> Result<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let files = thread.files();
    let process = PidFd::process_of(&*files.get_required(pidfd.0, FdRights::IOCTL)?)?;
    let other = process.first_thread().ok_or(Errno::ESRCH)?;
    if !may_look_into(thread, &other) {
        return Err(Errno::EPERM);
    }
    let theirs = other.resources().ok_or(Errno::ESRCH)?;
    // A descriptor that may not be duplicated is not there for others.
    let entry = theirs.files.entry_required(fd.0, FdRights::DUP).map_err(|_| Errno::EBADF)?;
    let copy = files.reserve(&thread.caller(), 0)?.install(FdEntry { cloexec: true, ..entry });
    Ok(u64::from(copy.unsigned_abs()))
}
