//! Two peers that each write ahead when nothing has come yet. When both look before either has written, both fill
//! their pipes and neither reads.

use super::{Twin, fail};
use crate::sys::{Fd, events_now, fork, pipe, read, write};

const ROUNDS: usize = 15;
/// One fits into a pipe, two do not.
const MESSAGE: usize = 40 << 10;

pub(super) fn run(twin: Twin) {
    let (left_in, right_out) = pipe();
    let (right_in, left_out) = pipe();
    let peer = fork(|| talk(twin, right_in, right_out));
    talk(twin, left_in, left_out);
    peer.succeeds();
}

/// Sends two messages and receives two, again and again.
fn talk(twin: Twin, from: Fd, to: Fd) {
    for _ in 0..ROUNDS {
        let ahead = twin == Twin::Broken && events_now(from, libc::POLLIN) == 0;
        send(to);
        if ahead {
            send(to);
            receive(from);
        } else {
            receive(from);
            send(to);
        }
        receive(from);
    }
}

fn send(to: Fd) {
    if write(to, &vec![1; MESSAGE]) != Ok(MESSAGE) {
        fail("a blocking write takes everything");
    }
}

fn receive(from: Fd) {
    let mut buffer = vec![0; MESSAGE];
    let mut have = 0;
    while have < MESSAGE {
        match read(from, &mut buffer[have..]) {
            Ok(0) | Err(_) => fail("the peer is gone"),
            Ok(count) => have += count,
        }
    }
}
