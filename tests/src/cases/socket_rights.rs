//! What a descriptor allows, when it travels or is a socket's; socket descriptors in channels.

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{MSG_DONTWAIT, POLLHUP, POLLIN, SOCK_DGRAM, SOCK_STREAM};

pub(crate) const CASES: &[Case] = &[
    case!(rights_travel_with_a_descriptor).kairos(),
    case!(a_descriptor_that_may_not_be_passed_on).kairos(),
    case!(sending_and_receiving_need_rights).kairos(),
    case!(unix_stream_message_control_basic).kairos(),
    case!(unix_stream_message_control_peek_merge),
    case!(unix_stream_message_control_boundary_drop),
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

fn unix_stream_message_control_basic() {
    let (one, other) = socketpair(SOCK_STREAM);
    let (from, to) = pipe();
    let narrow = dup(from).unwrap();
    cap_rights_limit(narrow, FD_RIGHT_READ | FD_RIGHT_DUP).unwrap();
    let fixed = dup(from).unwrap();
    cap_rights_limit(fixed, FD_RIGHT_READ).unwrap();
    assert_eq!(send_rights(one, b"x", &[fixed]), Err(EBADF));
    assert_eq!(send_rights(one, b"x", &[narrow, fixed]), Err(EBADF), "all or none");
    send_rights(one, b"a", &[narrow, to]).unwrap();
    send_rights(one, b"b", &[narrow]).unwrap();
    let first = recvmsg(other, 1, 64, 0).unwrap().rights();
    let second = recvmsg(other, 1, 64, libc::MSG_CMSG_CLOEXEC).unwrap().rights();
    assert_eq!((first.len(), second.len()), (2, 1), "in the order of the stream");
    assert_eq!(cap_rights_get(first[0]), Ok(FD_RIGHT_READ | FD_RIGHT_DUP));
    assert_eq!(cap_rights_get(first[1]), cap_rights_get(to));
    assert_eq!((fcntl(first[0], libc::F_GETFD, 0), fcntl(second[0], libc::F_GETFD, 0)), (Ok(0), Ok(1)));
    // The same open file: what one writes the other reads, and its flags are shared.
    set_nonblocking(from);
    assert_eq!(read_some(second[0], 9), Err(EAGAIN));
    write(first[1], b"through").unwrap();
    assert_eq!(read_some(second[0], 9), Ok(b"through".to_vec()));
}

fn unix_stream_message_control_peek_merge() {
    let ((one, other), (from, to)) = (socketpair(SOCK_STREAM), pipe());
    send_rights(one, b"1234", &[from]).unwrap();
    send_rights(one, b"5678", &[to]).unwrap();
    let peeked = recvmsg(other, 8, 64, libc::MSG_PEEK).unwrap();
    assert_eq!((&peeked.bytes[..4], peeked.rights().len()), (&b"1234"[..], 1));
    let first = recvmsg(other, 8, 64, 0).unwrap();
    assert_eq!((&first.bytes[..], first.rights().len()), (&b"1234"[..], 1), "it was not consumed");
    let second = recvmsg(other, 8, 64, 0).unwrap();
    assert_eq!((&second.bytes[..], second.rights().len()), (&b"5678"[..], 1), "in their order");
    write(second.rights()[0], b"x").unwrap();
    assert_eq!(read_some(first.rights()[0], 9), Ok(b"x".to_vec()));
    assert_eq!(read_some(peeked.rights()[0], 0), Ok(vec![]), "and what was peeked is a copy");
}

fn unix_stream_message_control_boundary_drop() {
    let ((one, other), (from, to)) = (socketpair(SOCK_STREAM), pipe());
    write(one, b"1234").unwrap();
    send_rights(one, b"5678", &[to]).unwrap();
    close(to).unwrap();
    let mut bytes = Vec::new();
    while bytes.len() < 6 {
        bytes.extend(read_some(other, 6 - bytes.len()).unwrap());
    }
    assert_eq!(bytes, b"123456");
    assert_eq!(read_some(from, 1), Ok(vec![]), "a read that crosses it drops it");
    let rest = recvmsg(other, 8, 64, 0).unwrap();
    assert_eq!((&rest.bytes[..], rest.rights().len()), (&b"78"[..], 0));
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
