//! POSIX message queues. A queue loses its name when its value is dropped.

use super::{Fd, Sys, getpid, path, zeroed};
use std::ffi::CString;

/// A queue by name.
pub(crate) struct NamedQueue {
    pub(crate) name: CString,
    pub(crate) fd: Fd,
}

impl Drop for NamedQueue {
    fn drop(&mut self) {
        let _ = mq_unlink(&self.name);
    }
}

/// `struct mq_attr`.
pub(crate) fn mq_limits(messages: i64, bytes: i64) -> libc::mq_attr {
    let mut attributes: libc::mq_attr = zeroed();
    (attributes.mq_maxmsg, attributes.mq_msgsize) = (messages, bytes);
    attributes
}

pub(crate) fn mq_open(name: &CString, flags: i32, mode: u32, limits: Option<&libc::mq_attr>) -> Sys<Fd> {
    let limits = limits.map_or(std::ptr::null(), std::ptr::from_ref);
    syscall!(SYS_mq_open, name.as_c_str(), flags, mode, limits).map(|fd| fd as Fd)
}

pub(crate) fn mq_unlink(name: &CString) -> Sys<()> {
    syscall!(SYS_mq_unlink, name.as_c_str()).map(drop)
}

impl NamedQueue {
    /// A new queue with these limits, for reading and writing.
    pub(crate) fn new(tag: &str, messages: i64, bytes: i64) -> NamedQueue {
        let name = path(format!("kairos-{tag}-{}", getpid()));
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let fd = mq_open(&name, flags, 0o600, Some(&mq_limits(messages, bytes))).expect("mq_open");
        NamedQueue { name, fd }
    }
}

/// `mq_timedsend` without a deadline.
pub(crate) fn mq_send(queue: Fd, text: &[u8], priority: u32) -> Sys<()> {
    mq_send_until(queue, text, priority, None)
}

pub(crate) fn mq_send_until(
    queue: Fd,
    text: &[u8],
    priority: u32,
    deadline: Option<&libc::timespec>,
) -> Sys<()> {
    let deadline = deadline.map_or(std::ptr::null(), std::ptr::from_ref);
    syscall!(SYS_mq_timedsend, queue, text.as_ptr(), text.len(), priority, deadline).map(drop)
}

/// Text and priority of the next message.
pub(crate) fn mq_receive(queue: Fd, size: usize) -> Sys<(Vec<u8>, u32)> {
    mq_receive_until(queue, size, None)
}

pub(crate) fn mq_receive_until(
    queue: Fd,
    size: usize,
    deadline: Option<&libc::timespec>,
) -> Sys<(Vec<u8>, u32)> {
    let deadline = deadline.map_or(std::ptr::null(), std::ptr::from_ref);
    let mut text = vec![0; size];
    let mut priority = 0u32;
    let length = syscall!(SYS_mq_timedreceive, queue, text.as_mut_ptr(), size, &mut priority, deadline)?;
    text.truncate(length);
    Ok((text, priority))
}

/// Sets the flags of a queue if some are given; its attributes before.
pub(crate) fn mq_getsetattr(queue: Fd, flags: Option<i64>) -> Sys<libc::mq_attr> {
    let new = flags.map(|flags| {
        let mut attributes = mq_limits(0, 0);
        attributes.mq_flags = flags;
        attributes
    });
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut old: libc::mq_attr = zeroed();
    syscall!(SYS_mq_getsetattr, queue, new, &mut old).map(|_| old)
}

/// `mq_notify` with a method, signal and value; `None` takes the registration back.
pub(crate) fn mq_notify(queue: Fd, event: Option<(i32, i32, usize)>) -> Sys<()> {
    let event = event.map(|(method, signal, value)| {
        let mut event: libc::sigevent = zeroed();
        event.sigev_notify = method;
        event.sigev_signo = signal;
        event.sigev_value.sival_ptr = std::ptr::without_provenance_mut(value);
        event
    });
    let event = event.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    syscall!(SYS_mq_notify, queue, event).map(drop)
}
