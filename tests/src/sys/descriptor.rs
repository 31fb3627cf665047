//! Calls on file descriptors.

use super::{Sys, zeroed};
use std::ffi::CStr;

/// A file descriptor number. Nothing is closed on drop: what stays open, and who closes last,
/// is what many cases are about.
pub(crate) type Fd = i32;

/// A buffer for `readv` and `writev`.
pub(crate) type Iovec = libc::iovec;

pub(crate) fn iovec(bytes: &mut [u8]) -> Iovec {
    Iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

/// `openat(AT_FDCWD, path, flags, 0644)`.
pub(crate) fn open(path: &CStr, flags: i32) -> Sys<Fd> {
    open_mode(path, flags, 0o644)
}

pub(crate) fn open_mode(path: &CStr, flags: i32, mode: u32) -> Sys<Fd> {
    syscall!(SYS_openat, libc::AT_FDCWD, path, flags, mode).map(|fd| fd as Fd)
}

pub(crate) fn close(fd: Fd) -> Sys<()> {
    syscall!(SYS_close, fd).map(drop)
}

pub(crate) fn read(fd: Fd, buffer: &mut [u8]) -> Sys<usize> {
    syscall!(SYS_read, fd, buffer.as_mut_ptr(), buffer.len())
}

/// One `read` of at most `len` bytes.
pub(crate) fn read_some(fd: Fd, len: usize) -> Sys<Vec<u8>> {
    let mut buffer = vec![0; len];
    let got = read(fd, &mut buffer)?;
    buffer.truncate(got);
    Ok(buffer)
}

/// Reads until the end of file.
pub(crate) fn read_to_end(fd: Fd) -> Sys<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let part = read_some(fd, 4096)?;
        if part.is_empty() {
            return Ok(all);
        }
        all.extend(part);
    }
}

pub(crate) fn write(fd: Fd, bytes: &[u8]) -> Sys<usize> {
    syscall!(SYS_write, fd, bytes.as_ptr(), bytes.len())
}

pub(crate) fn pread(fd: Fd, buffer: &mut [u8], offset: i64) -> Sys<usize> {
    syscall!(SYS_pread64, fd, buffer.as_mut_ptr(), buffer.len(), offset)
}

/// One `pread` of at most `len` bytes.
pub(crate) fn pread_some(fd: Fd, len: usize, offset: i64) -> Sys<Vec<u8>> {
    let mut buffer = vec![0; len];
    let got = pread(fd, &mut buffer, offset)?;
    buffer.truncate(got);
    Ok(buffer)
}

pub(crate) fn pwrite(fd: Fd, bytes: &[u8], offset: i64) -> Sys<usize> {
    syscall!(SYS_pwrite64, fd, bytes.as_ptr(), bytes.len(), offset)
}

pub(crate) fn lseek(fd: Fd, offset: i64, whence: i32) -> Sys<usize> {
    syscall!(SYS_lseek, fd, offset, whence)
}

/// `(read end, write end)`.
pub(crate) fn pipe() -> (Fd, Fd) {
    pipe2(0).expect("pipe2")
}

pub(crate) fn pipe2(flags: i32) -> Sys<(Fd, Fd)> {
    let mut ends = [0; 2];
    syscall!(SYS_pipe2, &mut ends, flags)?;
    Ok((ends[0], ends[1]))
}

pub(crate) fn dup(fd: Fd) -> Sys<Fd> {
    syscall!(SYS_dup, fd).map(|fd| fd as Fd)
}

pub(crate) fn dup2(old: Fd, new: Fd) -> Sys<Fd> {
    syscall!(SYS_dup2, old, new).map(|fd| fd as Fd)
}

pub(crate) fn dup3(old: Fd, new: Fd, flags: i32) -> Sys<Fd> {
    syscall!(SYS_dup3, old, new, flags).map(|fd| fd as Fd)
}

pub(crate) fn fcntl(fd: Fd, command: i32, argument: impl super::Argument) -> Sys<usize> {
    syscall!(SYS_fcntl, fd, command, argument)
}

/// Adds to the file status flags (O_NONBLOCK, O_APPEND, ...).
pub(crate) fn add_status_flags(fd: Fd, flags: i32) {
    let old = fcntl(fd, libc::F_GETFL, 0).expect("F_GETFL");
    fcntl(fd, libc::F_SETFL, old | flags as usize).expect("F_SETFL");
}

pub(crate) fn set_nonblocking(fd: Fd) {
    add_status_flags(fd, libc::O_NONBLOCK);
}

/// Whether the descriptor is open.
pub(crate) fn is_open(fd: Fd) -> bool {
    fcntl(fd, libc::F_GETFD, 0).is_ok()
}

pub(crate) fn ioctl(fd: Fd, request: u64, argument: impl super::Argument) -> Sys<usize> {
    syscall!(SYS_ioctl, fd, request as u32, argument)
}

/// Bytes that can be read now (FIONREAD).
pub(crate) fn readable_bytes(fd: Fd) -> usize {
    let mut count = 0i32;
    ioctl(fd, libc::FIONREAD, &mut count).expect("FIONREAD");
    count as usize
}

pub(crate) fn fstat(fd: Fd) -> Sys<libc::stat> {
    let mut status: libc::stat = zeroed();
    syscall!(SYS_fstat, fd, &mut status)?;
    Ok(status)
}

pub(crate) fn pollfd(fd: Fd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// `poll(2)`; the timeout is in milliseconds, -1 for none.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout_ms: i32) -> Sys<usize> {
    syscall!(SYS_poll, fds.as_mut_ptr(), fds.len(), timeout_ms)
}

/// What `poll` says about one descriptor as soon as it says something.
pub(crate) fn events_at_last(fd: Fd, events: i16) -> i16 {
    let mut set = [pollfd(fd, events)];
    poll(&mut set, -1).expect("poll");
    set[0].revents
}

/// What `poll` says about one descriptor right now.
pub(crate) fn events_now(fd: Fd, events: i16) -> i16 {
    let mut set = [pollfd(fd, events)];
    poll(&mut set, 0).expect("poll");
    set[0].revents
}
