//! Round trips between two processes or threads.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Operation;
use super::meter::{Meter, call, sure};

const fn operation(name: &'static str, measure: fn(&Meter) -> u64) -> Operation {
    Operation { group: "message", name, measure }
}

pub(super) const OPERATIONS: &[Operation] = &[
    operation("pipe_round_trip_1b", |meter| round_trip(meter, [pipe(), pipe()], &[0])),
    operation("pipe_round_trip_4k", |meter| round_trip(meter, [pipe(), pipe()], &[0; 4096])),
    operation("pipe_64k_through", pipe_through),
    operation("futex_round_trip", futex_round_trip),
    operation("sched_yield_two", sched_yield_two),
];

/// A pipe's end to read from and its end to write to.
pub(super) fn pipe() -> [i32; 2] {
    let mut ends = [0i32; 2];
    sure(call!(SYS_pipe2, ends.as_mut_ptr(), 0));
    ends
}

/// Forks a child that runs `body` until it is killed; returns its process id.
pub(super) fn child(body: impl FnOnce()) -> i32 {
    // SAFETY: the program has one thread.
    match unsafe { libc::fork() } {
        0 => {
            body();
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
        pid => pid,
    }
}

pub(super) fn end(pid: i32) {
    // SAFETY: a child of this process; its status is not wanted.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
}

pub(super) fn close(ends: [i32; 2]) {
    for end in ends {
        call!(SYS_close, end);
    }
}

pub(super) fn move_all(number: Direction, fd: i32, buffer: &mut [u8]) -> bool {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        let moved = match number {
            Direction::In => call!(SYS_read, fd, rest.as_mut_ptr(), rest.len()),
            Direction::Out => call!(SYS_write, fd, rest.as_ptr(), rest.len()),
        };
        match usize::try_from(moved) {
            Ok(moved @ 1..) => done += moved,
            _ => return false,
        }
    }
    true
}

pub(super) enum Direction {
    In,
    Out,
}

/// `message` over one way to another process, and back over the other.
pub(super) fn round_trip(meter: &Meter, [there, back]: [[i32; 2]; 2], message: &[u8]) -> u64 {
    let mut buffer = message.to_vec();
    let peer = child(|| {
        let mut buffer = message.to_vec();
        while move_all(Direction::In, there[0], &mut buffer) && move_all(Direction::Out, back[1], &mut buffer)
        {
        }
    });
    let cost = meter.each(500, || {
        let went = move_all(Direction::Out, there[1], &mut buffer);
        assert!(went && move_all(Direction::In, back[0], &mut buffer), "the other side is gone");
    });
    end(peer);
    close(there);
    close(back);
    cost
}

/// 64 KiB written and read by one process, in two pieces that fit the pipe.
fn pipe_through(meter: &Meter) -> u64 {
    let ends = pipe();
    let mut buffer = vec![0u8; 32 * 1024];
    let cost = meter.each(50, || {
        for _ in 0..2 {
            move_all(Direction::Out, ends[1], &mut buffer);
            move_all(Direction::In, ends[0], &mut buffer);
        }
    });
    close(ends);
    cost
}

/// Two threads that hand a word to and fro.
fn futex_round_trip(meter: &Meter) -> u64 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    const STOP: u32 = 2;
    TURN.store(0, Ordering::Release);
    let peer = std::thread::spawn(|| {
        loop {
            match wait_while(&TURN, 0) {
                STOP => return,
                _ => pass(&TURN, 0),
            }
        }
    });
    let cost = meter.each(500, || {
        pass(&TURN, 1);
        wait_while(&TURN, 1);
    });
    pass(&TURN, STOP);
    let _ = peer.join();
    cost
}

fn wait_while(word: &AtomicU32, value: u32) -> u32 {
    loop {
        let now = word.load(Ordering::Acquire);
        if now != value {
            return now;
        }
        call!(SYS_futex, word.as_ptr(), libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, value, 0);
    }
}

fn pass(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Release);
    call!(SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
}

fn sched_yield_two(meter: &Meter) -> u64 {
    let peer = child(|| {
        loop {
            call!(SYS_sched_yield);
        }
    });
    // One turn each per round: the two calls are what a pair of switches costs.
    let cost = meter.each(500, || call!(SYS_sched_yield));
    end(peer);
    cost
}
