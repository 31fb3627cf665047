//! Sockets that nobody but their own queues holds, and how long chains of them are closed (unix(7), SCM_RIGHTS).

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{MSG_PEEK, POLLHUP, POLLIN, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};

pub(crate) const CASES: &[Case] = &[
    case!(sockets_that_hold_each_other_are_collected),
    case!(a_socket_sent_through_itself_is_collected),
    case!(sockets_that_hold_each_other_go_with_the_last_descriptor),
    case!(a_connection_nobody_accepted_is_collected),
    case!(a_socket_in_a_live_queue_is_kept),
    case!(a_long_chain_closes),
    case!(a_socket_and_a_channel_that_hold_each_other_are_collected).kairos(),
    case!(a_socket_that_holds_its_own_handles_descriptor_is_collected).kairos(),
    case!(a_knot_with_a_way_in_is_kept).kairos(),
    case!(what_moves_is_never_taken_for_lost).kairos(),
];

/// Waits until nobody holds the writing end of a pipe. Linux collects when a socket is closed.
fn wait_until_collected(from: Fd) {
    wait_until(|| {
        let (one, other) = socketpair(SOCK_STREAM);
        close(one).unwrap();
        close(other).unwrap();
        events_now(from, POLLIN) == POLLHUP
    });
}

fn sockets_that_hold_each_other_are_collected() {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (from, to) = pipe();
        let (one, other) = socketpair(kind);
        send_rights(one, b"x", &[one, to]).unwrap();
        send_rights(other, b"x", &[other, to]).unwrap();
        for fd in [one, other, to] {
            close(fd).unwrap();
        }
        wait_until_collected(from);
    }
}

fn a_socket_sent_through_itself_is_collected() {
    let (from, to) = pipe();
    let address = abstract_address("self");
    let own = socket(SOCK_DGRAM);
    bind(own, &address).unwrap();
    connect(own, &address).unwrap();
    send_rights(own, b"x", &[own, to]).unwrap();
    close(own).unwrap();
    close(to).unwrap();
    wait_until_collected(from);
    // The pipe may be closed a moment before the socket that lay beside it.
    let again = socket(SOCK_DGRAM);
    wait_until(|| match bind(again, &address) {
        Ok(()) => true,
        Err(errno) => {
            assert_eq!(errno, EADDRINUSE);
            false
        }
    });
}

/// No socket ends here that would have the others looked at. The census tells; nothing else may be asked, for that
/// would be a reason to look.
fn sockets_that_hold_each_other_go_with_the_last_descriptor() {
    let (one, other) = socketpair(SOCK_DGRAM);
    send_rights(one, b"x", &[one, other]).unwrap();
    close(one).unwrap();
    close(other).unwrap();
}

fn a_connection_nobody_accepted_is_collected() {
    let (from, to) = pipe();
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    let client = connected(SOCK_STREAM, &address);
    // The queue of the connection that waits holds the listener that holds the connection.
    send_rights(client, b"x", &[server, client, to]).unwrap();
    for fd in [server, client, to] {
        close(fd).unwrap();
    }
    wait_until_collected(from);
}

fn a_socket_in_a_live_queue_is_kept() {
    let (from, to) = pipe();
    let (one, other) = socketpair(SOCK_DGRAM);
    let (outer, live) = socketpair(SOCK_DGRAM);
    send_rights(one, b"x", &[one, other, to]).unwrap();
    send_rights(outer, b"y", &[other]).unwrap();
    for fd in [one, other, to] {
        close(fd).unwrap();
    }
    for _ in 0..20 {
        let (a, b) = socketpair(SOCK_STREAM);
        close(a).unwrap();
        close(b).unwrap();
        sleep_a_tick();
    }
    assert_eq!(events_now(from, POLLIN), 0, "it can still be reached");
    let other = recvmsg(live, 9, 64, 0).unwrap().rights()[0];
    let held = recvmsg(other, 9, 64, 0).unwrap();
    assert_eq!((held.bytes.as_slice(), held.rights().len()), (&b"x"[..], 3));
    write(held.rights()[2], b"z").unwrap();
    assert_eq!(read_some(from, 9), Ok(b"z".to_vec()));
}

fn a_long_chain_closes() {
    let (from, to) = pipe();
    let mut held = to;
    for _ in 0..500 {
        let (one, other) = socketpair(SOCK_DGRAM);
        send_rights(one, b"x", &[held]).unwrap();
        close(held).unwrap();
        close(one).unwrap();
        held = other;
    }
    assert_eq!(events_now(from, POLLIN), 0);
    close(held).unwrap();
    wait_until(|| events_now(from, POLLIN) == POLLHUP);
}

/// A socket whose queue holds a channel's descriptor (and `to`), and whose handle is in the queue of that channel. The
/// socket's descriptor, and the channel's other end.
fn tie(kind: i32, to: Fd) -> (Fd, Handle) {
    let (one, other) = socketpair(kind);
    let (outside, inside) = channel();
    let descriptor = fd_from_handle(inside, 0).unwrap();
    handle_close(inside).unwrap();
    send_rights(other, b"x", &[descriptor, to]).unwrap();
    let handle = handle_from_fd(one, 0).unwrap();
    channel_send(outside, b"y", &[handle], 0).unwrap();
    for fd in [descriptor, other] {
        close(fd).unwrap();
    }
    (one, outside)
}

/// Gives the collector something to find, and waits until it has.
fn have_a_knot_collected() {
    let (from, to) = pipe();
    let (own, outside) = tie(SOCK_STREAM, to);
    close(to).unwrap();
    close(own).unwrap();
    assert_eq!(events_at_last(from, POLLIN), POLLHUP);
    close(from).unwrap();
    handle_close(outside).unwrap();
}

fn a_socket_and_a_channel_that_hold_each_other_are_collected() {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (from, to) = pipe();
        let (own, outside) = tie(kind, to);
        close(to).unwrap();
        assert_eq!(events_now(from, POLLIN), 0);
        close(own).unwrap();
        assert_eq!(events_at_last(from, POLLIN), POLLHUP);
        // Its other end went with the knot.
        assert_eq!(object_wait_one(outside, POLLIN, FOR_EVER), Ok(POLLIN | POLLHUP));
        handle_close(outside).unwrap();
    }
}

fn a_socket_that_holds_its_own_handles_descriptor_is_collected() {
    for twice in [false, true] {
        let (from, to) = pipe();
        let (one, other) = socketpair(SOCK_DGRAM);
        let handle = handle_from_fd(one, 0).unwrap();
        let again = fd_from_handle(handle, 0).unwrap();
        let fds = [again, to, one];
        send_rights(other, b"x", if twice { &fds } else { &fds[..2] }).unwrap();
        handle_close(handle).unwrap();
        for fd in [one, other, to] {
            close(fd).unwrap();
        }
        assert_eq!(events_now(from, POLLIN), 0);
        close(again).unwrap();
        assert_eq!(events_at_last(from, POLLIN), POLLHUP);
    }
}

fn a_knot_with_a_way_in_is_kept() {
    let (from, to) = pipe();
    let (own, outside) = tie(SOCK_SEQPACKET, to);
    close(to).unwrap();
    (0..20).for_each(|_| have_a_knot_collected());
    assert_eq!(events_now(from, POLLIN), 0, "it can still be reached");
    let held = recvmsg(own, 9, 64, 0).unwrap().rights();
    close(own).unwrap();
    channel_send(outside, b"z", &[], 0).unwrap();
    let inside = handle_from_fd(held[0], 0).unwrap();
    let (bytes, handles) = channel_recv(inside, 0).unwrap();
    assert_eq!((bytes.as_slice(), handles.len()), (&b"y"[..], 1));
    assert_eq!(channel_recv(inside, 0).unwrap().0, b"z");
    assert_eq!(write(held[1], b"w"), Ok(1));
    assert_eq!(read_some(from, 9), Ok(b"w".to_vec()));
}

/// A socket that is again and again in queues alone, while the collector looks.
fn what_moves_is_never_taken_for_lost() {
    let disturber = fork(|| {
        loop {
            have_a_knot_collected();
        }
    });
    let (mut own, other) = socketpair(SOCK_DGRAM);
    write(other, b"token").unwrap();
    let (from, to) = socketpair(SOCK_SEQPACKET);
    let (near, far) = channel();
    let arrived = |flags| recvmsg(from, 9, 64, flags).unwrap().rights()[0];
    for round in 0..rounds(600) {
        if round % 3 == 2 {
            let handle = handle_from_fd(own, 0).unwrap();
            close(own).unwrap();
            channel_send(near, b"", &[handle], 0).unwrap();
            let handle = channel_recv(far, 0).unwrap().1[0];
            own = fd_from_handle(handle, 0).unwrap();
            handle_close(handle).unwrap();
            continue;
        }
        send_rights(to, b"x", &[own]).unwrap();
        close(own).unwrap();
        own = if round % 3 == 0 {
            arrived(0)
        } else {
            let copy = arrived(MSG_PEEK);
            close(arrived(0)).unwrap();
            copy
        };
    }
    assert_eq!(read_some(own, 9), Ok(b"token".to_vec()));
    disturber.finish();
}
