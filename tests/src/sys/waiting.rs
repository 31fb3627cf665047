//! Waiting for a condition. Nothing here, and nothing in a case, waits for a time to pass: the
//! harness's deadline is the only clock, and missing it is a hang.

use super::{Sys, gettid, path, sleep_a_tick, text};
use std::thread::{self, JoinHandle};

/// Looks at the condition again and again until it holds.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        sleep_a_tick();
    }
}

/// The state letter of a process or thread from a `stat` file of /proc.
fn state_in(file: String) -> Sys<u8> {
    let line = text(&path(file))?;
    let after_name = line.rfind(')').expect("a ) in the stat line");
    Ok(line.as_bytes()[after_name + 2])
}

/// R, S, D, T, t, Z or X of a process's first thread.
pub(crate) fn state_of(pid: i32) -> Sys<u8> {
    state_in(format!("/proc/{pid}/stat"))
}

/// The same of one thread of this process.
pub(crate) fn thread_state(tid: i32) -> Sys<u8> {
    state_in(format!("/proc/self/task/{tid}/stat"))
}

/// Waits until the process sleeps in an interruptible wait and has left its CPU, as
/// [`wait_until_thread_blocked`]. To be sure of *which* wait, let it open a gate just before the call in
/// question: opening never sleeps.
#[track_caller]
pub(crate) fn wait_until_blocked(pid: i32) {
    wait_until(|| match state_of(pid).expect("stat of a process that should block") {
        b'Z' => panic!("the process ended and should have blocked"),
        state => state == b'S' && has_left_its_cpu(format!("/proc/{pid}/syscall")),
    });
}

/// Waits until the thread of this process sleeps and has left its CPU. The state alone is too early:
/// Linux sets it before the thread enters the queues (one after the other in `futex_waitv`), and the
/// thread may be preempted between two of them.
pub(crate) fn wait_until_thread_blocked(tid: i32) {
    wait_until(|| {
        thread_state(tid).expect("stat of a thread that should block") == b'S'
            && has_left_its_cpu(format!("/proc/self/task/{tid}/syscall"))
    });
}

/// `syscall` says "running" until the thread is off the run queue: proc_pid_syscall(5). Of one about which this process
/// may not know it, the state has to do.
fn has_left_its_cpu(file: String) -> bool {
    !text(&path(file)).is_ok_and(|call| call.trim_end() == "running")
}

/// A thread that ran up to its first sleep, which is in `body`.
pub(crate) fn sleeper<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    sleeper_and_tid(body).1
}

/// The same, with the thread's id.
pub(crate) fn sleeper_and_tid<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> (i32, JoinHandle<T>) {
    let (send_tid, tid) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        send_tid.send(gettid()).unwrap();
        body()
    });
    let tid = tid.recv().unwrap();
    wait_until_thread_blocked(tid);
    (tid, thread)
}

/// Waits until the process is stopped.
pub(crate) fn wait_until_stopped(pid: i32) {
    wait_until(|| state_of(pid).expect("stat") == b'T');
}

/// Waits until the process is a zombie.
pub(crate) fn wait_until_zombie(pid: i32) {
    wait_until(|| state_of(pid).expect("stat") == b'Z');
}

/// Waits until a signal sent to the process is no longer pending, that is, was delivered.
pub(crate) fn wait_until_signal_taken(pid: i32, signal: i32) {
    wait_until(|| pending_of(pid) >> (signal - 1) & 1 == 0);
}

/// SigPnd and ShdPnd of a process's `status` file together.
pub(crate) fn pending_of(pid: i32) -> u64 {
    status_masks(pid, &["SigPnd:", "ShdPnd:"])
}

/// The union of these mask lines of a process's `status` file.
pub(crate) fn status_masks(pid: i32, names: &[&str]) -> u64 {
    let status = text(&path(format!("/proc/{pid}/status"))).expect("status file");
    let lines = status.lines().filter_map(|line| {
        let value = names.iter().find_map(|name| line.strip_prefix(name))?;
        u64::from_str_radix(value.trim(), 16).ok()
    });
    lines.fold(0, |all, mask| all | mask)
}

/// Sleeps until killed; for children whose only job is to be there.
pub(crate) fn wait_for_ever() -> ! {
    loop {
        let _ = syscall!(SYS_pause);
    }
}
