//! Descriptors: opening pipes, closing, duplicating, and fcntl's part of them.

use alloc::sync::Arc;

use base::{Errno, Result};
use fs::dev::open_peer;
use fs::file::{FdEntry, FdRights, OpenFile, OpenFlags};
use fs::pipe::{pipe as make_pipe, pipe_of};
use fs::vfs::Subject;

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::families::{file_owners, locks};
use crate::thread::Thread;
use crate::user::copy_out;

declare! {
    async 3 => close(fd: Fd);
    async 16 => ioctl(fd: Fd, request: u32, argument: u64) [restart];
    async 22 => pipe(fds: Pointer);
    sync 32 => dup(fd: Fd);
    async 33 => dup2(old: Fd, new: Fd);
    async 72 => fcntl(fd: Fd, command: i32, argument: u64) [restart];
    async 292 => dup3(old: Fd, new: Fd, flags: u32);
    async 293 => pipe2(fds: Pointer, flags: u32);
    async 436 => close_range(first: u32, last: u32, flags: u32);
}

const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const FIOASYNC: u32 = 0x5452;
const TIOCGPTPEER: u32 = 0x5441;

const F_DUPFD: i32 = 0;
const F_GETFD: i32 = 1;
const F_SETFD: i32 = 2;
const F_GETFL: i32 = 3;
const F_SETFL: i32 = 4;
const F_DUPFD_CLOEXEC: i32 = 1030;
const F_SETPIPE_SZ: i32 = 1031;
const F_GETPIPE_SZ: i32 = 1032;
const F_ADD_SEALS: i32 = 1033;
const F_GET_SEALS: i32 = 1034;
const FD_CLOEXEC: u64 = 1;
const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

async fn close(thread: &Thread, fd: Fd) -> Result<u64> {
    thread.files().close(fd.0)?;
    Ok(0)
}

async fn close_range(thread: &Thread, first: u32, last: u32, flags: u32) -> Result<u64> {
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        thread.unshare(false, true).await?;
    }
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        thread.files().cloexec_range(first, last);
    } else {
        thread.files().close_range(first, last).await;
    }
    Ok(0)
}

async fn pipe(thread: &Thread, fds: Pointer) -> Result<u64> {
    pipe2(thread, fds, 0).await
}

async fn pipe2(thread: &Thread, fds: Pointer, flags: u32) -> Result<u64> {
    let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK | OpenFlags::DIRECT).contains(flags) {
        return Err(Errno::EINVAL);
    }
    let caller = thread.caller();
    let files = thread.files();
    let (reader, writer) = make_pipe(&caller, flags)?;
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    let first = files.reserve(&caller, 0)?;
    let second = files.reserve(&caller, 0)?;
    let mut numbers = [0; 8];
    numbers[..4].copy_from_slice(&first.number().to_le_bytes());
    numbers[4..].copy_from_slice(&second.number().to_le_bytes());
    // Nothing is open yet if this fails.
    copy_out(&*thread.space(), fds.0, &numbers).await?;
    first.install(FdEntry::new(reader, cloexec));
    second.install(FdEntry::new(writer, cloexec));
    Ok(0)
}

fn dup(thread: &Thread, fd: Fd) -> Result<u64> {
    number(thread.files().duplicate_fd(&thread.caller(), fd.0, 0, false)?)
}

async fn dup2(thread: &Thread, old: Fd, new: Fd) -> Result<u64> {
    if old == new {
        thread.files().get_any(old.0)?;
        return number(new.0);
    }
    number(thread.files().duplicate_to(&thread.caller(), old.0, new.0, false)?)
}

async fn dup3(thread: &Thread, old: Fd, new: Fd, flags: u32) -> Result<u64> {
    if flags & !OpenFlags::CLOEXEC.bits() != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    number(thread.files().duplicate_to(&thread.caller(), old.0, new.0, flags != 0)?)
}

fn number(fd: i32) -> Result<u64> {
    u64::try_from(fd).map_err(|_| Errno::EBADF)
}

async fn ioctl(thread: &Thread, fd: Fd, request: u32, argument: u64) -> Result<u64> {
    let files = thread.files();
    let file = files.get_required(fd.0, FdRights::IOCTL)?;
    let caller = thread.caller();
    match request {
        FIOCLEX | FIONCLEX => files.set_cloexec(fd.0, request == FIOCLEX).map(|()| 0),
        FIOASYNC => file_owners::set_async(thread, &file, fd.0, Pointer(argument)).await,
        TIOCGPTPEER => {
            // The file first: a master alone answers this.
            #[allow(clippy::cast_possible_truncation, reason = "Linux reads an int")]
            let flags = OpenFlags::from_bits_truncate(argument as u32);
            let context = thread.fs_context();
            let peer = open_peer(Subject { caller: &caller, fs: &context }, &file, flags).await?;
            let reserved = files.reserve(&caller, 0)?;
            number(reserved.install(FdEntry::new(peer, flags.contains(OpenFlags::CLOEXEC))))
        }
        _ => file.ioctl(&caller, request, argument).await,
    }
}

async fn fcntl(thread: &Thread, fd: Fd, command: i32, argument: u64) -> Result<u64> {
    let files = thread.files();
    let caller = thread.caller();
    let file = files.get_any(fd.0)?;
    if file.is_path_only() && !matches!(command, F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL) {
        return Err(Errno::EBADF);
    }
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let from = usize::try_from(argument.cast_signed()).map_err(|_| Errno::EINVAL)?;
            let limit = caller.limits.soft(base::caller::Resource::OpenFiles);
            if argument >= limit {
                return Err(Errno::EINVAL);
            }
            number(files.duplicate_fd(&caller, fd.0, from, command == F_DUPFD_CLOEXEC)?)
        }
        F_GETFD => Ok(if files.cloexec(fd.0)? { FD_CLOEXEC } else { 0 }),
        F_SETFD => files.set_cloexec(fd.0, argument & FD_CLOEXEC != 0).map(|()| 0),
        F_GETFL => Ok(file.status().bits().into()),
        F_SETFL => {
            files.get_required(fd.0, FdRights::IOCTL)?;
            set_flags(&file, &caller, fd, argument)
        }
        _ if locks::is_lock_command(command) => {
            locks::record_lock(thread, fd, &file, command, argument).await
        }
        _ if file_owners::is_owner_command(command) => {
            file_owners::owner(thread, &file, command, argument).await
        }
        F_GETPIPE_SZ => Ok(pipe_of(&file).ok_or(Errno::EBADF)?.capacity() as u64),
        F_SETPIPE_SZ => {
            let wanted = usize::try_from(argument & 0xffff_ffff).map_err(|_| Errno::EINVAL)?;
            Ok(pipe_of(&file).ok_or(Errno::EBADF)?.set_capacity(&caller, wanted)? as u64)
        }
        F_ADD_SEALS => {
            let bits = u32::try_from(argument & 0xffff_ffff).map_err(|_| Errno::EINVAL)?;
            fs::tmpfs::add_seals(&file, bits).map(|()| 0)
        }
        F_GET_SEALS => Ok(fs::tmpfs::seals(&file)?.bits().into()),
        _ => Err(Errno::EINVAL),
    }
}

fn set_flags(file: &Arc<OpenFile>, caller: &base::caller::Caller, fd: Fd, argument: u64) -> Result<u64> {
    #[allow(clippy::cast_possible_truncation, reason = "Linux reads an int")]
    let wanted = OpenFlags::from_bits_truncate(argument as u32);
    let status = (file.status() - OpenFlags::SETTABLE) | (wanted & OpenFlags::SETTABLE);
    file.set_status(caller, status)?;
    // As on Linux, a file that tells nobody does not take the flag, and that is no error.
    let _ = file.set_async(fd.0, wanted.contains(OpenFlags::ASYNC));
    Ok(0)
}
