//! An edge-triggered reader that takes one message for each event. Two messages that come between two waits are one
//! edge, and the last one is never read.

use super::{Twin, fail, yield_now};
use crate::sys::{
    EAGAIN, Fd, epoll_control, epoll_create, epoll_wait, fork, pipe, read, set_nonblocking, write,
};

const MESSAGES: usize = 30;
const SIZE: usize = 32;

pub(super) fn run(twin: Twin) {
    let (from, to) = pipe();
    let reader = fork(|| {
        set_nonblocking(from);
        let epoll = epoll_create();
        epoll_control(epoll, libc::EPOLL_CTL_ADD, from, libc::EPOLLIN | libc::EPOLLET, 0).expect("epoll_ctl");
        let mut seen = 0;
        while seen < MESSAGES {
            epoll_wait(epoll, 1, -1);
            seen += match twin {
                Twin::Broken => usize::from(read_one(from)),
                Twin::Fixed => std::iter::from_fn(|| read_one(from).then_some(())).count(),
            };
        }
    });
    // The reader is at its wait before the first message.
    (0..4).for_each(|_| yield_now());
    for _ in 0..MESSAGES {
        write(to, &[1; SIZE]).expect("write");
        yield_now();
    }
    reader.succeeds();
}

/// Reads a message; false when there is none.
fn read_one(from: Fd) -> bool {
    match read(from, &mut [0; SIZE]) {
        Ok(SIZE) => true,
        Err(EAGAIN) => false,
        other => fail(&format!("read: {other:?}")),
    }
}
