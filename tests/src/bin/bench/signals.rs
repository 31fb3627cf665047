//! Signals: actions, and a handler that runs and returns.

use super::Operation;
use super::meter::{Meter, call};

const fn operation(name: &'static str, measure: fn(&Meter) -> u64) -> Operation {
    Operation { group: "signal", name, measure }
}

pub(super) const OPERATIONS: &[Operation] = &[
    operation("sigaction", sigaction),
    operation("kill_self_with_handler", kill_self),
    operation("nanosleep_1us", nap),
];

extern "C" fn handler(_: i32) {}

fn install() {
    let function = handler as extern "C" fn(i32);
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGUSR1, function as libc::sighandler_t) };
}

fn sigaction(meter: &Meter) -> u64 {
    install();
    let mut old = [0usize; 4];
    meter.each(1000, || call!(SYS_rt_sigaction, libc::SIGUSR1, 0, old.as_mut_ptr(), 8))
}

fn kill_self(meter: &Meter) -> u64 {
    install();
    let own = call!(SYS_getpid);
    meter.each(500, || call!(SYS_kill, own, libc::SIGUSR1))
}

fn nap(meter: &Meter) -> u64 {
    call!(SYS_prctl, libc::PR_SET_TIMERSLACK, 1);
    let time = [0u64, 1000];
    meter.each(200, || call!(SYS_nanosleep, time.as_ptr(), 0))
}
