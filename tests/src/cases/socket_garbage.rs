//! Sockets that nobody but their own queues holds, and how long chains of them are closed (unix(7), SCM_RIGHTS).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{POLLHUP, POLLIN, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};

pub(crate) const CASES: &[Case] = &[
    case!(sockets_that_hold_each_other_are_collected),
    case!(a_socket_sent_through_itself_is_collected),
    case!(sockets_that_hold_each_other_go_with_the_last_descriptor),
    case!(a_connection_nobody_accepted_is_collected),
    case!(a_socket_in_a_live_queue_is_kept),
    case!(a_long_chain_closes),
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
