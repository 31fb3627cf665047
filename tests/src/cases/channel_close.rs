//! Closing against blocked calls, from every side, a thousand times over: the answer is always the specified one.

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{POLLHUP, POLLIN, POLLNVAL};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(close_against_receivers).kairos().deadlines(3),
    case!(close_against_senders).kairos().deadlines(3),
    case!(close_against_port_waiters).kairos().deadlines(3),
    case!(close_against_pollers).kairos().deadlines(3),
];

const END: Sys<(Vec<u8>, Vec<Handle>)> = Ok((Vec::new(), Vec::new()));

/// Runs `round` for both sides that may close. In some rounds the closer gives way first, so that both orders come up
/// on one CPU too.
fn on_both_sides(round: impl Fn(Side)) {
    for number in 0..rounds(500) {
        for side in [Side::Own, Side::Peer] {
            (0..number % 3).for_each(|_| discard(syscall!(SYS_sched_yield)));
            round(side);
        }
    }
}

/// Whose last handle goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Own,
    Peer,
}

fn close_against_receivers() {
    on_both_sides(|side| {
        let (own, peer) = channel_create().unwrap();
        let receiver = thread::spawn(move || channel_recv(own, 0));
        let (first, second) = if side == Side::Own { (own, peer) } else { (peer, own) };
        handle_close(first).unwrap();
        let answer = receiver.join().unwrap();
        // Closed before it asked, its handle names nothing.
        assert!(answer == END || side == Side::Own && answer == Err(EBADF), "{side:?}: {answer:?}");
        handle_close(second).unwrap();
    });
}

fn close_against_senders() {
    let (moved, _peer) = channel_create().unwrap();
    on_both_sides(|side| {
        let (own, peer) = channel_create().unwrap();
        while channel_send(own, b"full", &[], NONBLOCK).is_ok() {}
        let copy = handle_duplicate(moved, 0).unwrap();
        let sender = thread::spawn(move || channel_send(own, b"late", &[copy], 0));
        let (first, second) = if side == Side::Own { (own, peer) } else { (peer, own) };
        handle_close(first).unwrap();
        let answer = sender.join().unwrap();
        assert!(answer == Err(EPIPE) || side == Side::Own && answer == Err(EBADF), "{side:?}: {answer:?}");
        assert_eq!(handle_close(copy), Ok(()), "what was not sent is where it was");
        handle_close(second).unwrap();
    });
}

fn close_against_port_waiters() {
    on_both_sides(|side| {
        let (own, peer) = channel_create().unwrap();
        let port = port_create().unwrap();
        port_bind(port, own, 9, PEER_CLOSED).unwrap();
        let waiter = thread::spawn(move || port_wait(port, FOR_EVER, 0));
        handle_close(if side == Side::Own { port } else { peer }).unwrap();
        let answer = waiter.join().unwrap();
        assert_eq!(answer, if side == Side::Own { Err(EBADF) } else { Ok((9, PEER_CLOSED)) }, "{side:?}");
        handle_close(if side == Side::Own { peer } else { port }).unwrap();
        handle_close(own).unwrap();
    });
}

fn close_against_pollers() {
    on_both_sides(|side| {
        let (own, peer) = channel_create().unwrap();
        let fd = fd_from_handle(own, 0).unwrap();
        handle_close(own).unwrap();
        let poller = thread::spawn(move || {
            let mut set = [pollfd(fd, POLLIN)];
            (poll(&mut set, -1), set[0].revents)
        });
        let answer = match side {
            // The descriptor is the end's last owner.
            Side::Own => {
                close(fd).unwrap();
                handle_close(peer).unwrap();
                poller.join().unwrap()
            }
            Side::Peer => {
                handle_close(peer).unwrap();
                let answer = poller.join().unwrap();
                close(fd).unwrap();
                answer
            }
        };
        let gone = side == Side::Own && answer == (Ok(1), POLLNVAL);
        assert!(gone || answer == (Ok(1), POLLIN | POLLHUP), "{side:?}: {answer:?}");
    });
}
