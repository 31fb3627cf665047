//! Descriptors made for waiting.

use super::{Fd, Sys, read, sleeper, write};
use crate::harness::or_skip;

/// A new epoll instance.
pub(crate) fn epoll_create() -> Fd {
    or_skip(syscall!(SYS_epoll_create1, 0)) as Fd
}

/// `epoll_ctl` with this interest and data.
pub(crate) fn epoll_control(epoll: Fd, operation: i32, fd: Fd, events: i32, data: u64) -> Sys<usize> {
    let event = libc::epoll_event { events: events as u32, u64: data };
    syscall!(SYS_epoll_ctl, epoll, operation, fd, &event)
}

/// Adds a descriptor that must be good.
pub(crate) fn epoll_add(epoll: Fd, fd: Fd, events: i32, data: u64) {
    epoll_control(epoll, libc::EPOLL_CTL_ADD, fd, events, data).expect("EPOLL_CTL_ADD");
}

/// A thread that waits once, without a timeout; it is blocked when this returns.
pub(crate) fn epoll_waiter(epoll: Fd, most: usize) -> std::thread::JoinHandle<Vec<(i32, u64)>> {
    sleeper(move || epoll_wait(epoll, most, -1))
}

/// (events, data) that are ready.
pub(crate) fn epoll_wait(epoll: Fd, most: usize, timeout_ms: i32) -> Vec<(i32, u64)> {
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; most];
    let count = syscall!(SYS_epoll_wait, epoll, events.as_mut_ptr(), most, timeout_ms).expect("epoll_wait");
    events[..count].iter().map(|event| (event.events as i32, event.u64)).collect()
}

/// A new event counter.
pub(crate) fn eventfd(value: u32, flags: i32) -> Fd {
    or_skip(syscall!(SYS_eventfd2, value, flags)) as Fd
}

/// Adds to an event counter.
pub(crate) fn event_add(event: Fd, value: u64) -> Sys<usize> {
    write(event, &value.to_ne_bytes())
}

/// Reads an event counter, or the expirations of a timer.
pub(crate) fn event_take(event: Fd) -> Sys<u64> {
    let mut value = [0u8; 8];
    read(event, &mut value).map(|_| u64::from_ne_bytes(value))
}

/// A new timer on the monotonic clock.
pub(crate) fn timerfd(flags: i32) -> Fd {
    or_skip(syscall!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, flags)) as Fd
}

/// `timerfd_settime`.
pub(crate) fn timer_arm(
    timer: Fd,
    value: libc::timespec,
    interval: libc::timespec,
    flags: i32,
) -> Sys<usize> {
    let setting = libc::itimerspec { it_interval: interval, it_value: value };
    syscall!(SYS_timerfd_settime, timer, flags, &setting, 0)
}
