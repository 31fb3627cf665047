//! A read that is interrupted by a signal is taken for a failure. The signal that follows each message arrives while
//! the message waits; now and then it arrives when the reader is at its next read already.

use super::{Twin, fail};
use crate::sys::{EINTR, Fd, Handler, Status, close, exit_group, fork, kill, on_signal, pipe, read, write};

const MESSAGES: usize = 30;

extern "C" fn noticed(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

pub(super) fn run(twin: Twin) {
    let (from, to) = pipe();
    let (answers, answer) = pipe();
    let handler: Handler = noticed;
    on_signal(libc::SIGUSR1, handler, 0);
    let reader = fork(|| {
        for _ in 0..MESSAGES {
            receive(twin, from);
            write(answer, b".").expect("write");
        }
        // The last signal is still to come.
        receive(twin, from);
    });
    close(answer).expect("close");
    for _ in 0..MESSAGES {
        write(to, b"x").expect("write");
        kill(reader.pid, libc::SIGUSR1).expect("kill");
        if read(answers, &mut [0]) != Ok(1) {
            fail("the reader gave up");
        }
    }
    write(to, b"x").expect("write");
    if reader.wait() != Status::Exited(0) {
        fail("the reader gave up at the end");
    }
}

fn receive(twin: Twin, from: Fd) {
    loop {
        match read(from, &mut [0]) {
            Ok(1) => return,
            Err(EINTR) if twin == Twin::Fixed => {}
            _ => exit_group(1),
        }
    }
}
