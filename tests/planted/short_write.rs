//! A non-blocking write that takes less than it was given: the rest is forgotten. It needs a reader that is so late
//! that the pipe has room, but not enough.

use super::{Twin, fail, yield_now};
use crate::sys::{EAGAIN, Fd, Status, close, fork_status, pipe, poll, pollfd, read, set_nonblocking, write};

const BLOCKS: usize = 12;
const BLOCK: usize = 40 << 10;

pub(super) fn run(twin: Twin) {
    let (from, to) = pipe();
    let reader = fork_status(|| {
        close(to).expect("close");
        let mut buffer = vec![0; BLOCK];
        let mut total = 0;
        loop {
            match read(from, &mut buffer) {
                Ok(0) => break,
                Ok(count) => total += count,
                Err(error) => fail(&format!("read: {error:?}")),
            }
        }
        i32::from(total != BLOCKS * BLOCK)
    });
    set_nonblocking(to);
    let block = vec![7; BLOCK];
    for _ in 0..BLOCKS {
        send(twin, to, &block);
        yield_now();
    }
    close(to).expect("close");
    if reader.wait() != Status::Exited(0) {
        fail("bytes are missing");
    }
}

fn send(twin: Twin, to: Fd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        poll(&mut [pollfd(to, libc::POLLOUT)], -1).expect("poll");
        match write(to, bytes) {
            Ok(_) if twin == Twin::Broken => return,
            Ok(count) => bytes = &bytes[count..],
            Err(EAGAIN) => {}
            Err(error) => fail(&format!("write: {error:?}")),
        }
    }
}
