//! epoll (epoll(7), epoll_ctl(2), epoll_wait(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, POLLIN,
};

pub(crate) const CASES: &[Case] = &[
    case!(level_triggered),
    case!(edge_triggered),
    case!(oneshot),
    case!(blocks_and_times_out),
    case!(control_errors),
    case!(forgets_closed_files),
    case!(nests),
    case!(round_robin),
    case!(add_while_waiting),
];

fn level_triggered() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 7).unwrap();
    epoll_control(epoll, EPOLL_CTL_ADD, to, EPOLLIN, 8).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), []);
    write(to, b"xy").unwrap();
    for _ in 0..3 {
        assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 7)], "as long as there is something to read");
    }
    read_some(from, 2).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), []);
    close(to).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLHUP, 7)]);
}

fn edge_triggered() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLET, 1).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)]);
    assert_eq!(epoll_wait(epoll, 10, 0), [], "told once");
    write(to, b"y").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)], "news, although it never was empty");
    epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN | EPOLLET, 2).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 2)], "MOD looks again");
}

fn oneshot() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLONESHOT, 1).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)]);
    write(to, b"y").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [], "disarmed");
    epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN | EPOLLONESHOT, 1).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)]);
}

fn blocks_and_times_out() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 1).unwrap();
    let before = monotonic();
    assert_eq!(epoll_wait(epoll, 1, 5), []);
    assert!(monotonic() - before >= 5_000_000);
    let waiter = fork(|| assert_eq!(epoll_wait(epoll, 1, -1), [(EPOLLIN, 1)]));
    wait_until_blocked(waiter.pid);
    write(to, b"x").unwrap();
    waiter.succeeds();
}

fn control_errors() {
    let (epoll, (from, _to)) = (epoll_create(), pipe());
    assert_eq!(epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN, 0), Err(ENOENT));
    assert_eq!(epoll_control(epoll, EPOLL_CTL_DEL, from, 0, 0), Err(ENOENT));
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 0).unwrap();
    assert_eq!(epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 0), Err(EEXIST));
    assert!(epoll_control(epoll, EPOLL_CTL_ADD, dup(from).unwrap(), EPOLLIN, 0).is_ok(), "another number");
    assert_eq!(epoll_control(epoll, EPOLL_CTL_ADD, 700, EPOLLIN, 0), Err(EBADF));
    assert_eq!(epoll_control(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN, 0), Err(EINVAL));
    assert_eq!(epoll_control(from, EPOLL_CTL_ADD, from, EPOLLIN, 0), Err(EINVAL));
    assert_eq!(epoll_control(epoll, 9, from, EPOLLIN, 0), Err(EINVAL));
    let file = create_open(c"file");
    assert_eq!(epoll_control(epoll, EPOLL_CTL_ADD, file, EPOLLIN, 0), Err(EPERM), "always ready: refused");
    assert_eq!(syscall!(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, pipe().0, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_epoll_wait, epoll, 0, 0, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_create1, 1), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_create, 0), Err(EINVAL));
}

fn forgets_closed_files() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 1).unwrap();
    let copy = dup(from).unwrap();
    write(to, b"x").unwrap();
    close(from).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)], "the open file is still open");
    close(copy).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), []);
}

fn nests() {
    let (inner, outer, (from, to)) = (epoll_create(), epoll_create(), pipe());
    epoll_control(inner, EPOLL_CTL_ADD, from, EPOLLIN, 1).unwrap();
    epoll_control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 2).unwrap();
    assert_eq!(epoll_control(inner, EPOLL_CTL_ADD, outer, EPOLLIN, 3), Err(ELOOP));
    assert_eq!(epoll_wait(outer, 10, 0), []);
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(outer, 10, -1), [(EPOLLIN, 2)]);
    assert_eq!(events_now(inner, POLLIN), POLLIN);
    read_some(from, 1).unwrap();
    assert_eq!(epoll_wait(outer, 10, 0), []);
}

fn round_robin() {
    let epoll = epoll_create();
    for number in 0..5 {
        let (from, to) = pipe();
        epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, number).unwrap();
        write(to, b"x").unwrap();
    }
    let order: Vec<u64> = (0..10).map(|_| epoll_wait(epoll, 1, 0)[0].1).collect();
    let mut first: Vec<u64> = order[..5].to_vec();
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2, 3, 4], "nobody starves: {order:?}");
    assert_eq!(order[..5], order[5..]);
}

fn add_while_waiting() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    let (send_tid, tid) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        send_tid.send(gettid()).unwrap();
        epoll_wait(epoll, 1, -1)
    });
    wait_until_thread_blocked(tid.recv().unwrap());
    write(to, b"x").unwrap();
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLOUT, 9).unwrap();
    assert_eq!(waiter.join().unwrap(), [(EPOLLIN, 9)]);
}
