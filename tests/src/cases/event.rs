//! Descriptors made for waiting: epoll, eventfd, timerfd (epoll(7), eventfd(2), timerfd_create(2)).

use crate::harness::{Case, case, or_skip};
use crate::sys::*;
use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, POLLIN,
    POLLOUT,
};

pub(crate) const CASES: &[Case] = &[
    case!(epoll_level_triggered),
    case!(epoll_edge_triggered),
    case!(epoll_oneshot),
    case!(epoll_blocks_and_times_out),
    case!(epoll_control_errors),
    case!(epoll_forgets_closed_files),
    case!(epoll_nests),
    case!(epoll_round_robin),
    case!(epoll_add_while_waiting),
    case!(eventfd_counts),
    case!(eventfd_semaphore),
    case!(eventfd_limits),
    case!(eventfd_wakes_a_reader),
    case!(timerfd_expires),
    case!(timerfd_interval_counts),
    case!(timerfd_errors_and_disarming),
];

fn epoll() -> Fd {
    or_skip(syscall!(SYS_epoll_create1, 0)) as Fd
}

fn control(epoll: Fd, operation: i32, fd: Fd, events: i32, data: u64) -> Sys<usize> {
    let event = libc::epoll_event { events: events as u32, u64: data };
    syscall!(SYS_epoll_ctl, epoll, operation, fd, &event)
}

/// (events, data) that are ready.
fn wait(epoll: Fd, most: usize, timeout_ms: i32) -> Vec<(i32, u64)> {
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; most];
    let count = syscall!(SYS_epoll_wait, epoll, events.as_mut_ptr(), most, timeout_ms).expect("epoll_wait");
    events[..count].iter().map(|event| (event.events as i32, event.u64)).collect()
}

fn epoll_level_triggered() {
    let (epoll, (from, to)) = (epoll(), pipe());
    control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 7).unwrap();
    control(epoll, EPOLL_CTL_ADD, to, EPOLLIN, 8).unwrap();
    assert_eq!(wait(epoll, 10, 0), []);
    write(to, b"xy").unwrap();
    for _ in 0..3 {
        assert_eq!(wait(epoll, 10, 0), [(EPOLLIN, 7)], "as long as there is something to read");
    }
    read_some(from, 2).unwrap();
    assert_eq!(wait(epoll, 10, 0), []);
    close(to).unwrap();
    assert_eq!(wait(epoll, 10, 0), [(EPOLLHUP, 7)]);
}

fn epoll_edge_triggered() {
    let (epoll, (from, to)) = (epoll(), pipe());
    control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLET, 1).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(wait(epoll, 10, 0), [(EPOLLIN, 1)]);
    assert_eq!(wait(epoll, 10, 0), [], "told once");
    write(to, b"y").unwrap();
    assert_eq!(wait(epoll, 10, 0), [(EPOLLIN, 1)], "news, although it never was empty");
    control(epoll, EPOLL_CTL_MOD, from, EPOLLIN | EPOLLET, 2).unwrap();
    assert_eq!(wait(epoll, 10, 0), [(EPOLLIN, 2)], "MOD looks again");
}

fn epoll_oneshot() {
    let (epoll, (from, to)) = (epoll(), pipe());
    control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLONESHOT, 1).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(wait(epoll, 10, 0), [(EPOLLIN, 1)]);
    write(to, b"y").unwrap();
    assert_eq!(wait(epoll, 10, 0), [], "disarmed");
    control(epoll, EPOLL_CTL_MOD, from, EPOLLIN | EPOLLONESHOT, 1).unwrap();
    assert_eq!(wait(epoll, 10, 0), [(EPOLLIN, 1)]);
}

fn epoll_blocks_and_times_out() {
    let (epoll, (from, to)) = (epoll(), pipe());
    control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 1).unwrap();
    let before = monotonic();
    assert_eq!(wait(epoll, 1, 5), []);
    assert!(monotonic() - before >= 5_000_000);
    let waiter = fork(|| assert_eq!(wait(epoll, 1, -1), [(EPOLLIN, 1)]));
    wait_until_blocked(waiter.pid);
    write(to, b"x").unwrap();
    waiter.succeeds();
}

fn epoll_control_errors() {
    let (epoll, (from, _to)) = (epoll(), pipe());
    assert_eq!(control(epoll, EPOLL_CTL_MOD, from, EPOLLIN, 0), Err(ENOENT));
    assert_eq!(control(epoll, EPOLL_CTL_DEL, from, 0, 0), Err(ENOENT));
    control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 0).unwrap();
    assert_eq!(control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 0), Err(EEXIST));
    assert!(control(epoll, EPOLL_CTL_ADD, dup(from).unwrap(), EPOLLIN, 0).is_ok(), "another number");
    assert_eq!(control(epoll, EPOLL_CTL_ADD, 700, EPOLLIN, 0), Err(EBADF));
    assert_eq!(control(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN, 0), Err(EINVAL));
    assert_eq!(control(from, EPOLL_CTL_ADD, from, EPOLLIN, 0), Err(EINVAL));
    assert_eq!(control(epoll, 9, from, EPOLLIN, 0), Err(EINVAL));
    let file = create_open(c"file");
    assert_eq!(control(epoll, EPOLL_CTL_ADD, file, EPOLLIN, 0), Err(EPERM), "always ready: refused");
    assert_eq!(syscall!(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, pipe().0, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_epoll_wait, epoll, 0, 0, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_create1, 1), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_create, 0), Err(EINVAL));
}

fn epoll_forgets_closed_files() {
    let (epoll, (from, to)) = (epoll(), pipe());
    control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 1).unwrap();
    let copy = dup(from).unwrap();
    write(to, b"x").unwrap();
    close(from).unwrap();
    assert_eq!(wait(epoll, 10, 0), [(EPOLLIN, 1)], "the open file is still open");
    close(copy).unwrap();
    assert_eq!(wait(epoll, 10, 0), []);
}

fn epoll_nests() {
    let (inner, outer, (from, to)) = (epoll(), epoll(), pipe());
    control(inner, EPOLL_CTL_ADD, from, EPOLLIN, 1).unwrap();
    control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 2).unwrap();
    assert_eq!(control(inner, EPOLL_CTL_ADD, outer, EPOLLIN, 3), Err(ELOOP));
    assert_eq!(wait(outer, 10, 0), []);
    write(to, b"x").unwrap();
    assert_eq!(wait(outer, 10, -1), [(EPOLLIN, 2)]);
    assert_eq!(events_now(inner, POLLIN), POLLIN);
    read_some(from, 1).unwrap();
    assert_eq!(wait(outer, 10, 0), []);
}

fn epoll_round_robin() {
    let epoll = epoll();
    for number in 0..5 {
        let (from, to) = pipe();
        control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, number).unwrap();
        write(to, b"x").unwrap();
    }
    let order: Vec<u64> = (0..10).map(|_| wait(epoll, 1, 0)[0].1).collect();
    let mut first: Vec<u64> = order[..5].to_vec();
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2, 3, 4], "nobody starves: {order:?}");
    assert_eq!(order[..5], order[5..]);
}

fn epoll_add_while_waiting() {
    let (epoll, (from, to)) = (epoll(), pipe());
    let (send_tid, tid) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        send_tid.send(gettid()).unwrap();
        wait(epoll, 1, -1)
    });
    wait_until_thread_blocked(tid.recv().unwrap());
    write(to, b"x").unwrap();
    control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLOUT, 9).unwrap();
    assert_eq!(waiter.join().unwrap(), [(EPOLLIN, 9)]);
}

fn eventfd(value: u32, flags: i32) -> Fd {
    or_skip(syscall!(SYS_eventfd2, value, flags)) as Fd
}

fn add(event: Fd, value: u64) -> Sys<usize> {
    write(event, &value.to_ne_bytes())
}

fn take(event: Fd) -> Sys<u64> {
    let mut value = [0u8; 8];
    read(event, &mut value).map(|_| u64::from_ne_bytes(value))
}

fn eventfd_counts() {
    let event = eventfd(3, libc::EFD_NONBLOCK);
    assert_eq!(add(event, 4), Ok(8));
    assert_eq!(take(event), Ok(7));
    assert_eq!(take(event), Err(EAGAIN));
    assert_eq!(events_now(event, POLLIN | POLLOUT), POLLOUT);
    assert_eq!(read(event, &mut [0; 7]), Err(EINVAL));
    assert_eq!(write(event, &[0; 7]), Err(EINVAL));
}

fn eventfd_semaphore() {
    let event = eventfd(2, libc::EFD_SEMAPHORE | libc::EFD_NONBLOCK);
    assert_eq!((take(event), take(event), take(event)), (Ok(1), Ok(1), Err(EAGAIN)));
}

fn eventfd_limits() {
    let event = eventfd(0, libc::EFD_NONBLOCK);
    assert_eq!(add(event, u64::MAX), Err(EINVAL));
    assert_eq!(add(event, u64::MAX - 1), Ok(8));
    assert_eq!(add(event, 1), Err(EAGAIN), "full");
    assert_eq!(add(event, 0), Ok(8));
    assert_eq!(events_now(event, POLLIN | POLLOUT), POLLIN);
    assert_eq!(take(event), Ok(u64::MAX - 1));
    assert_eq!(syscall!(SYS_eventfd2, 0, 1 << 20), Err(EINVAL));
}

fn eventfd_wakes_a_reader() {
    let event = eventfd(0, 0);
    let reader = fork(|| assert_eq!(take(event), Ok(5)));
    wait_until_blocked(reader.pid);
    add(event, 5).unwrap();
    reader.succeeds();
    add(event, u64::MAX - 1).unwrap();
    let writer = fork(|| assert_eq!(add(event, 2), Ok(8)));
    wait_until_blocked(writer.pid);
    assert_eq!(take(event), Ok(u64::MAX - 1));
    writer.succeeds();
}

fn timerfd(flags: i32) -> Fd {
    or_skip(syscall!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, flags)) as Fd
}

fn arm(timer: Fd, value: libc::timespec, interval: libc::timespec, flags: i32) -> Sys<usize> {
    let setting = libc::itimerspec { it_interval: interval, it_value: value };
    syscall!(SYS_timerfd_settime, timer, flags, &setting, 0)
}

fn timerfd_expires() {
    let timer = timerfd(0);
    let before = monotonic();
    arm(timer, milliseconds(5), milliseconds(0), 0).unwrap();
    assert_eq!(take(timer), Ok(1));
    assert!(monotonic() - before >= 5_000_000);
    set_nonblocking(timer);
    assert_eq!(take(timer), Err(EAGAIN));
    let until = monotonic() + 3_000_000;
    let absolute = libc::timespec { tv_sec: until / NANOS_PER_SECOND, tv_nsec: until % NANOS_PER_SECOND };
    arm(timer, absolute, milliseconds(0), libc::TFD_TIMER_ABSTIME).unwrap();
    assert_eq!(poll(&mut [pollfd(timer, POLLIN)], -1), Ok(1));
    assert!(monotonic() >= until);
    assert_eq!(take(timer), Ok(1));
}

fn timerfd_interval_counts() {
    let timer = timerfd(0);
    arm(timer, milliseconds(1), milliseconds(1), 0).unwrap();
    let start = monotonic();
    let mut total = 0;
    while total < 20 {
        total += take(timer).unwrap();
    }
    assert!(monotonic() - start >= 18_000_000, "20 expirations of 1 ms");
    let mut now: libc::itimerspec = zeroed();
    syscall!(SYS_timerfd_gettime, timer, &mut now).unwrap();
    assert_eq!(nanoseconds(now.it_interval), 1_000_000);
    assert!(nanoseconds(now.it_value) <= 1_000_000);
}

fn timerfd_errors_and_disarming() {
    let timer = timerfd(libc::TFD_NONBLOCK);
    arm(timer, milliseconds(1_000_000), milliseconds(0), 0).unwrap();
    let mut old: libc::itimerspec = zeroed();
    let off: libc::itimerspec = zeroed();
    syscall!(SYS_timerfd_settime, timer, 0, &off, &mut old).unwrap();
    assert!(nanoseconds(old.it_value) > 900_000_000_000);
    assert_eq!(take(timer), Err(EAGAIN));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: NANOS_PER_SECOND };
    assert_eq!(arm(timer, bad, milliseconds(0), 0), Err(EINVAL));
    assert_eq!(arm(timer, milliseconds(1), milliseconds(0), 64), Err(EINVAL));
    assert_eq!(arm(pipe().0, milliseconds(1), milliseconds(0), 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_timerfd_create, 77, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 64), Err(EINVAL));
}
