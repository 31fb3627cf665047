//! Making and ending processes and threads.

use std::ptr;

use super::meter::Meter;
use super::{EXIT_AT_ONCE, Operation};

const fn operation(group: &'static str, name: &'static str, measure: fn(&Meter) -> u64) -> Operation {
    Operation { group, name, measure }
}

pub(super) const OPERATIONS: &[Operation] = &[
    operation("process", "fork_exit_wait", fork_exit_wait),
    operation("process", "vfork_exit_wait", vfork_exit_wait),
    operation("process", "fork_exec_wait", fork_exec_wait),
    operation("thread", "create_join", create_join),
];

fn fork_exit_wait(meter: &Meter) -> u64 {
    meter.each(30, || {
        // SAFETY: the program has one thread; the child only exits.
        unsafe {
            match libc::fork() {
                0 => libc::_exit(0),
                pid => libc::waitpid(pid, ptr::null_mut(), 0),
            }
        };
    })
}

fn vfork_exit_wait(meter: &Meter) -> u64 {
    meter.each(30, || {
        // SAFETY: like vfork, but the child runs on a copy of this frame: it shares the memory until it exits and
        // touches nothing; the parent sleeps meanwhile.
        unsafe {
            let flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) as usize;
            let mut stack = [0u64; 512];
            let top = stack.as_mut_ptr().add(stack.len() - 2);
            let pid = libc::clone(exit_child, top.cast(), flags as i32, ptr::null_mut());
            libc::waitpid(pid, ptr::null_mut(), 0);
        };
    })
}

extern "C" fn exit_child(_: *mut libc::c_void) -> i32 {
    // SAFETY: ends only the child.
    unsafe { libc::_exit(0) }
}

fn fork_exec_wait(meter: &Meter) -> u64 {
    let argument = std::ffi::CString::new(EXIT_AT_ONCE).unwrap_or_default();
    let path = c"/proc/self/exe";
    let arguments = [path.as_ptr(), argument.as_ptr(), ptr::null()];
    meter.each(10, || {
        // SAFETY: the arrays are NULL-terminated and live across the call; the child execs or exits.
        unsafe {
            match libc::fork() {
                0 => {
                    libc::execve(path.as_ptr(), arguments.as_ptr(), [ptr::null()].as_ptr());
                    libc::_exit(127)
                }
                pid => {
                    let mut status = 0;
                    libc::waitpid(pid, &mut status, 0);
                    assert_eq!(status, 0, "the program could not be started again");
                }
            }
        };
    })
}

extern "C" fn return_at_once(argument: *mut libc::c_void) -> *mut libc::c_void {
    argument
}

fn create_join(meter: &Meter) -> u64 {
    meter.each(50, || {
        // SAFETY: the thread function touches nothing; the identifier is initialised by the call.
        unsafe {
            let mut thread = 0;
            let error = libc::pthread_create(&mut thread, ptr::null(), return_at_once, ptr::null_mut());
            assert_eq!(error, 0, "pthread_create");
            libc::pthread_join(thread, ptr::null_mut());
        };
    })
}
