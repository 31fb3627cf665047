//! Waits at their edges: a wake that meets a signal or a timeout, an edge that was told, an end that comes.

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{EPOLL_CTL_ADD, EPOLLET, EPOLLHUP, EPOLLIN, SIGUSR1};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(an_edge_that_was_told_ends_no_second_wait),
    case!(a_hang_up_ends_a_wait_that_did_not_ask_for_it),
    case!(the_last_writer_ends_a_blocked_read),
    case!(a_message_goes_on_when_its_receiver_is_interrupted).kairos().deadlines(2),
    case!(a_message_and_a_timeout_at_once_lose_nothing).kairos().deadlines(2),
    case!(port_waits_last_as_long_as_they_say).kairos(),
];

/// What is still ready and was told is no news, also for a wait that blocks.
fn an_edge_that_was_told_ends_no_second_wait() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLET, 1).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 4, -1), [(EPOLLIN, 1)]);
    assert_eq!(epoll_wait(epoll, 4, 10), [], "blocked until its time was over");
    let waiter = epoll_waiter(epoll, 4);
    assert!(!waiter.is_finished());
    write(to, b"y").unwrap();
    assert_eq!(waiter.join().unwrap(), [(EPOLLIN, 1)]);
}

fn a_hang_up_ends_a_wait_that_did_not_ask_for_it() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, 0, 3).unwrap();
    let waiter = epoll_waiter(epoll, 4);
    close(to).unwrap();
    assert_eq!(waiter.join().unwrap(), [(EPOLLHUP, 3)]);
}

fn the_last_writer_ends_a_blocked_read() {
    let (from, to) = pipe();
    let reader = fork(move || {
        close(to).unwrap();
        assert_eq!(read_some(from, 9), Ok(vec![]));
    });
    wait_until_blocked(reader.pid);
    close(to).unwrap();
    reader.succeeds();
}

/// A thread that receives once; its number, when it is blocked.
fn receiver(from: Handle) -> (i32, thread::JoinHandle<Sys<Vec<u8>>>) {
    sleeper_and_tid(move || channel_recv(from, 0).map(|(bytes, _)| bytes))
}

/// A message and a signal for the one whom the message woke: he has it, or the other one has.
fn a_message_goes_on_when_its_receiver_is_interrupted() {
    catch(SIGUSR1, 0);
    let (to, from) = channel_create().unwrap();
    for _ in 0..rounds(100) {
        let (tid, first) = receiver(from);
        let (_, second) = receiver(from);
        let sender = thread::spawn(move || channel_send(to, b"one", &[], 0));
        // He may have got the message and ended by now.
        assert!(matches!(tgkill(getpid(), tid, SIGUSR1), Ok(()) | Err(ESRCH)));
        sender.join().unwrap().unwrap();
        match first.join().unwrap() {
            Ok(bytes) => {
                assert_eq!(bytes, b"one");
                channel_send(to, b"two", &[], 0).unwrap();
                assert_eq!(second.join().unwrap(), Ok(b"two".to_vec()));
            }
            Err(errno) => {
                assert_eq!(errno, EINTR);
                assert_eq!(second.join().unwrap(), Ok(b"one".to_vec()), "it is passed on");
            }
        }
        assert_eq!(channel_recv(from, NONBLOCK), Err(EAGAIN));
    }
}

/// A packet that comes when the wait for it ends is what the wait answers, or waits for the next one.
fn a_message_and_a_timeout_at_once_lose_nothing() {
    let (to, from) = channel_create().unwrap();
    let port = port_create().unwrap();
    port_bind(port, from, 9, READABLE).unwrap();
    for round in 0..rounds(200) {
        let sender = thread::spawn(move || channel_send(to, b"now", &[], 0).unwrap());
        let found = match port_wait(port, 20_000 + round * 500, 0) {
            Ok(packet) => Ok(packet),
            Err(errno) => {
                assert_eq!(errno, ETIMEDOUT);
                sender.join().unwrap();
                port_wait(port, 0, NONBLOCK)
            }
        };
        assert_eq!(found, Ok((9, READABLE)));
        assert_eq!(channel_recv(from, 0).unwrap().0, b"now");
    }
}

fn port_waits_last_as_long_as_they_say() {
    let port = port_create().unwrap();
    for timeout_ns in [0u64, 1, 1_000_000, 25_000_000] {
        let before = monotonic();
        assert_eq!(port_wait(port, timeout_ns, 0), Err(ETIMEDOUT));
        assert!(monotonic() - before >= timeout_ns as i64, "never early");
    }
}
