//! Timers as descriptors (timerfd_create(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::POLLIN;

pub(crate) const CASES: &[Case] = &[case!(expires), case!(interval_counts), case!(errors_and_disarming)];

fn expires() {
    let timer = timerfd(0);
    let before = monotonic();
    timer_arm(timer, milliseconds(5), milliseconds(0), 0).unwrap();
    assert_eq!(event_take(timer), Ok(1));
    assert!(monotonic() - before >= 5_000_000);
    set_nonblocking(timer);
    assert_eq!(event_take(timer), Err(EAGAIN));
    let until = monotonic() + 3_000_000;
    let absolute = libc::timespec { tv_sec: until / NANOS_PER_SECOND, tv_nsec: until % NANOS_PER_SECOND };
    timer_arm(timer, absolute, milliseconds(0), libc::TFD_TIMER_ABSTIME).unwrap();
    assert_eq!(poll(&mut [pollfd(timer, POLLIN)], -1), Ok(1));
    assert!(monotonic() >= until);
    assert_eq!(event_take(timer), Ok(1));
}

fn interval_counts() {
    let timer = timerfd(0);
    timer_arm(timer, milliseconds(1), milliseconds(1), 0).unwrap();
    let start = monotonic();
    let mut total = 0;
    while total < 20 {
        total += event_take(timer).unwrap();
    }
    assert!(monotonic() - start >= 18_000_000, "20 expirations of 1 ms");
    let mut now: libc::itimerspec = zeroed();
    syscall!(SYS_timerfd_gettime, timer, &mut now).unwrap();
    assert_eq!(nanoseconds(now.it_interval), 1_000_000);
    assert!(nanoseconds(now.it_value) <= 1_000_000);
}

fn errors_and_disarming() {
    let timer = timerfd(libc::TFD_NONBLOCK);
    timer_arm(timer, milliseconds(1_000_000), milliseconds(0), 0).unwrap();
    let mut old: libc::itimerspec = zeroed();
    let off: libc::itimerspec = zeroed();
    syscall!(SYS_timerfd_settime, timer, 0, &off, &mut old).unwrap();
    assert!(nanoseconds(old.it_value) > 900_000_000_000);
    assert_eq!(event_take(timer), Err(EAGAIN));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: NANOS_PER_SECOND };
    assert_eq!(timer_arm(timer, bad, milliseconds(0), 0), Err(EINVAL));
    assert_eq!(timer_arm(timer, milliseconds(1), milliseconds(0), 64), Err(EINVAL));
    assert_eq!(timer_arm(pipe().0, milliseconds(1), milliseconds(0), 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_timerfd_create, 77, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 64), Err(EINVAL));
}
