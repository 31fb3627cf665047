//! What a descriptor allows, when it travels or is a socket's; socket descriptors in channels.

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{MSG_DONTWAIT, POLLHUP, POLLIN, SOCK_DGRAM, SOCK_STREAM};

pub(crate) const CASES: &[Case] = &[
    case!(rights_travel_with_a_descriptor).kairos(),
    case!(a_descriptor_that_may_not_be_passed_on).kairos(),
    case!(sending_and_receiving_need_rights).kairos(),
    case!(a_descriptor_of_a_descriptor),
    case!(epoll_and_sockets),
    case!(splice_and_sockets),
];

fn rights_travel_with_a_descriptor() {
    let (one, other) = socketpair(SOCK_STREAM);
    let (from, _to) = pipe();
    cap_rights_limit(from, FD_RIGHT_READ | FD_RIGHT_DUP).unwrap();
    send_rights(one, b"x", &[from]).unwrap();
    let fd = recvmsg(other, 9, 64, 0).unwrap().rights()[0];
    assert_eq!(cap_rights_get(fd), Ok(FD_RIGHT_READ | FD_RIGHT_DUP));
    assert_eq!(ioctl(fd, libc::FIONREAD, &mut 0), Err(EBADF));
}

fn a_descriptor_that_may_not_be_passed_on() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let (from, _to) = pipe();
    cap_rights_limit(from, FD_RIGHT_READ).unwrap();
    assert_eq!(send_rights(one, b"x", &[from]), Err(EBADF));
    assert_eq!(recv(other, 9, MSG_DONTWAIT), Err(EAGAIN));
}

fn sending_and_receiving_need_rights() {
    let (one, other) = socketpair(SOCK_DGRAM);
    cap_rights_limit(one, FD_RIGHT_READ).unwrap();
    assert_eq!(send(one, b"x", 0), Err(EBADF));
    assert_eq!(send_rights(one, b"x", &[0]), Err(EBADF));
    assert_eq!(send(other, b"x", 0), Ok(1));
    assert_eq!(recv(one, 9, 0), Ok(b"x".to_vec()));
    cap_rights_limit(other, FD_RIGHT_WRITE).unwrap();
    assert_eq!(recv(other, 9, MSG_DONTWAIT), Err(EBADF));
}

fn a_descriptor_of_a_descriptor() {
    // A socket that holds a socket that holds a pipe.
    let (outer, last) = socketpair(SOCK_DGRAM);
    let (one, other) = socketpair(SOCK_DGRAM);
    let (from, to) = pipe();
    send_rights(one, b"x", &[to]).unwrap();
    send_rights(outer, b"y", &[other]).unwrap();
    for fd in [to, one, other] {
        close(fd).unwrap();
    }
    assert_eq!(events_now(from, POLLIN), 0);
    let other = recvmsg(last, 9, 64, 0).unwrap().rights()[0];
    assert_eq!(events_now(other, POLLIN), POLLIN);
    close(other).unwrap();
    wait_until(|| events_now(from, POLLIN) == POLLHUP);
}

fn epoll_and_sockets() {
    let epoll = syscall!(SYS_epoll_create1, 0).unwrap() as Fd;
    let (one, other) = socketpair(SOCK_STREAM);
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    let wanted = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
    for fd in [other, server] {
        let event = libc::epoll_event { events: wanted, u64: fd as u64 };
        syscall!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, fd, &event).unwrap();
    }
    let ready = || {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
        let count = syscall!(SYS_epoll_wait, epoll, &mut events, 4, 0).unwrap();
        events[..count].iter().map(|event| (event.u64 as Fd, event.events as i32)).collect::<Vec<_>>()
    };
    assert_eq!(ready(), []);
    write(one, b"x").unwrap();
    assert_eq!(ready(), [(other, libc::EPOLLIN)]);
    assert_eq!(ready(), [], "an edge is told once");
    write(one, b"y").unwrap();
    assert_eq!(ready(), [(other, libc::EPOLLIN)], "each message is an edge");
    let client = connected(SOCK_STREAM, &address);
    assert_eq!(ready(), [(server, libc::EPOLLIN)]);
    close(client).unwrap();
    shutdown(one, libc::SHUT_WR).unwrap();
    assert_eq!(ready(), [(other, libc::EPOLLIN | libc::EPOLLRDHUP)]);
    close(one).unwrap();
    assert_eq!(ready(), [(other, libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP)]);
}

fn splice_and_sockets() {
    let (one, other) = socketpair(SOCK_STREAM);
    let (from, to) = pipe();
    write(to, b"through the kernel").unwrap();
    assert_eq!(syscall!(SYS_splice, from, 0, one, 0, 100, 0), Ok(18));
    assert_eq!(read_some(other, 100), Ok(b"through the kernel".to_vec()));
    write(one, b"and back").unwrap();
    assert_eq!(syscall!(SYS_splice, other, 0, to, 0, 100, 0), Ok(8));
    assert_eq!(read_some(from, 100), Ok(b"and back".to_vec()));
}
