//! Timers as descriptors (timerfd_create(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, POLLIN, TFD_TIMER_ABSTIME};

pub(crate) const CASES: &[Case] = &[
    case!(expires),
    case!(interval_counts),
    case!(errors_and_disarming),
    case!(every_clock),
    case!(alarm_clocks_need_a_capability).root(),
    case!(absolute_time_in_the_past),
    case!(reads_count_what_was_missed),
    case!(gettime_goes_on_counting),
    case!(one_shot_shows_nothing_afterwards),
    case!(setting_anew_forgets_expirations),
    case!(old_setting_is_told),
    case!(far_future_never_comes),
    case!(blocked_reader_is_woken_by_a_setting),
    case!(bad_buffers),
    case!(set_ticks),
    case!(flags_and_description),
    case!(wakes_epoll),
    case!(inherited_over_fork_and_exec),
    case!(clock_set_cancels).vm().root(),
    case!(clock_set_moves_the_deadline).vm().root(),
];

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
    let start = monotonic();
    timer_arm(timer, milliseconds(1), milliseconds(1), 0).unwrap();
    let mut total = 0;
    while total < 20 {
        total += event_take(timer).unwrap();
    }
    assert!(monotonic() - start >= 20_000_000, "20 expirations of 1 ms");
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

fn timer_on(clock: i32, flags: i32) -> Sys<Fd> {
    syscall!(SYS_timerfd_create, clock, flags).map(|fd| fd as Fd)
}

fn time_of(nanoseconds: i64) -> libc::timespec {
    libc::timespec { tv_sec: nanoseconds / NANOS_PER_SECOND, tv_nsec: nanoseconds % NANOS_PER_SECOND }
}

/// (remaining, interval) in nanoseconds.
fn left(timer: Fd) -> (i64, i64) {
    let mut now: libc::itimerspec = zeroed();
    syscall!(SYS_timerfd_gettime, timer, &mut now).expect("timerfd_gettime");
    (nanoseconds(now.it_value), nanoseconds(now.it_interval))
}

const NEVER: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

fn every_clock() {
    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME] {
        let timer = timer_on(clock, 0).unwrap();
        timer_arm(timer, milliseconds(2), NEVER, 0).unwrap();
        assert_eq!(event_take(timer), Ok(1));
        let until = clock_now(clock).unwrap() + 2_000_000;
        timer_arm(timer, time_of(until), NEVER, TFD_TIMER_ABSTIME).unwrap();
        assert_eq!(event_take(timer), Ok(1));
        assert!(clock_now(clock).unwrap() >= until);
    }
    for clock in [2, 3, 4, 5, 6, 10, 11, -1, 99] {
        assert_eq!(timer_on(clock, 0), Err(EINVAL), "clock {clock}");
    }
}

fn alarm_clocks_need_a_capability() {
    for clock in [libc::CLOCK_REALTIME_ALARM, libc::CLOCK_BOOTTIME_ALARM] {
        let timer = timer_on(clock, libc::TFD_NONBLOCK).unwrap();
        timer_arm(timer, milliseconds(1_000_000), NEVER, 0).unwrap();
        fork(|| {
            syscall!(SYS_setresuid, 1000, 1000, 1000).unwrap();
            assert_eq!(timer_on(clock, 0), Err(EPERM));
            assert_eq!(timer_arm(timer, milliseconds(5), NEVER, 0), Err(EPERM));
            assert!(left(timer).0 > 0, "it may be looked at");
        })
        .succeeds();
    }
}

fn absolute_time_in_the_past() {
    let timer = timerfd(libc::TFD_NONBLOCK);
    timer_arm(timer, time_of(1), NEVER, TFD_TIMER_ABSTIME).unwrap();
    assert_eq!(events_now(timer, POLLIN), POLLIN, "at once");
    assert_eq!((event_take(timer), event_take(timer)), (Ok(1), Err(EAGAIN)));
    // With a period, everything since then has been missed.
    let start = monotonic() - 100_000_000;
    timer_arm(timer, time_of(start), milliseconds(10), TFD_TIMER_ABSTIME).unwrap();
    assert!((11..1000).contains(&event_take(timer).unwrap()));
}

fn reads_count_what_was_missed() {
    let timer = timerfd(0);
    timer_arm(timer, milliseconds(1), milliseconds(1), 0).unwrap();
    let start = monotonic();
    wait_until(|| monotonic() - start >= 20_000_000);
    assert!(event_take(timer).unwrap() >= 20);
    assert!(event_take(timer).unwrap() >= 1, "and it goes on");
}

fn gettime_goes_on_counting() {
    let timer = timerfd(libc::TFD_NONBLOCK);
    timer_arm(timer, milliseconds(2), milliseconds(2), 0).unwrap();
    let start = monotonic();
    wait_until(|| {
        let (value, interval) = left(timer);
        assert!((0..=2_000_000).contains(&value) && interval == 2_000_000, "{value}");
        monotonic() - start >= 15_000_000
    });
    assert!(event_take(timer).unwrap() >= 7);
}

fn one_shot_shows_nothing_afterwards() {
    let timer = timerfd(0);
    timer_arm(timer, milliseconds(1), NEVER, 0).unwrap();
    assert_eq!(poll(&mut [pollfd(timer, POLLIN)], -1), Ok(1));
    assert_eq!(left(timer), (0, 0));
    assert_eq!(event_take(timer), Ok(1), "looking took nothing");
    assert_eq!(events_now(timer, POLLIN | libc::POLLOUT), 0);
}

fn setting_anew_forgets_expirations() {
    let timer = timerfd(libc::TFD_NONBLOCK);
    timer_arm(timer, milliseconds(1), NEVER, 0).unwrap();
    assert_eq!(poll(&mut [pollfd(timer, POLLIN)], -1), Ok(1));
    timer_arm(timer, milliseconds(1_000_000), NEVER, 0).unwrap();
    assert_eq!((event_take(timer), events_now(timer, POLLIN)), (Err(EAGAIN), 0));
    timer_arm(timer, milliseconds(1), NEVER, 0).unwrap();
    assert_eq!(poll(&mut [pollfd(timer, POLLIN)], -1), Ok(1));
    timer_arm(timer, NEVER, milliseconds(7), 0).unwrap();
    assert_eq!((event_take(timer), left(timer)), (Err(EAGAIN), (0, 7_000_000)), "disarmed");
}

fn old_setting_is_told() {
    let timer = timerfd(0);
    timer_arm(timer, milliseconds(1_000_000), milliseconds(3), 0).unwrap();
    let new = libc::itimerspec { it_interval: NEVER, it_value: milliseconds(5) };
    let mut old: libc::itimerspec = zeroed();
    syscall!(SYS_timerfd_settime, timer, 0, &new, &mut old).unwrap();
    assert_eq!(nanoseconds(old.it_interval), 3_000_000);
    assert!((900_000_000_000..=1_000_000_000_000).contains(&nanoseconds(old.it_value)));
    assert_eq!(syscall!(SYS_timerfd_settime, timer, 0, &new, 8), Err(EFAULT));
    assert_eq!(left(timer).1, 0, "set all the same");
    assert_eq!(syscall!(SYS_timerfd_settime, timer, 0, 8, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_timerfd_gettime, timer, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_timerfd_gettime, pipe().0, 8), Err(EINVAL));
    assert_eq!(syscall!(SYS_timerfd_gettime, 700, 8), Err(EBADF));
}

fn far_future_never_comes() {
    let timer = timerfd(libc::TFD_NONBLOCK);
    let far = libc::timespec { tv_sec: i64::MAX, tv_nsec: 999_999_999 };
    for flags in [0, TFD_TIMER_ABSTIME] {
        timer_arm(timer, far, far, flags).unwrap();
        assert_eq!((event_take(timer), events_now(timer, POLLIN)), (Err(EAGAIN), 0));
        assert!(left(timer).0 > 0);
    }
    assert_eq!(timer_arm(timer, libc::timespec { tv_sec: -1, tv_nsec: 0 }, NEVER, 0), Err(EINVAL));
    assert_eq!(timer_arm(timer, NEVER, libc::timespec { tv_sec: 0, tv_nsec: -1 }, 0), Err(EINVAL));
}

fn blocked_reader_is_woken_by_a_setting() {
    let timer = timerfd(0);
    let reader = fork(|| assert_eq!(event_take(timer), Ok(1)));
    wait_until_blocked(reader.pid);
    timer_arm(timer, milliseconds(1), NEVER, 0).unwrap();
    reader.succeeds();
}

fn bad_buffers() {
    let timer = timerfd(libc::TFD_NONBLOCK);
    assert_eq!(read(timer, &mut [0; 7]), Err(EINVAL));
    assert_eq!(write(timer, &[0; 8]), Err(EINVAL));
    timer_arm(timer, time_of(1), NEVER, TFD_TIMER_ABSTIME).unwrap();
    assert_eq!(syscall!(SYS_read, timer, 8, 8), Err(EFAULT));
    let again = timerfd(0);
    timer_arm(again, milliseconds(1), NEVER, 0).unwrap();
    let fresh = map_anonymous(PAGE);
    assert_eq!(syscall!(SYS_read, again, fresh, 16), Ok(8));
    assert_eq!(peek(fresh), 1);
}

const SET_TICKS: u64 = 0x4008_5400;

fn set_ticks() {
    let timer = timerfd(libc::TFD_NONBLOCK);
    match ioctl(timer, SET_TICKS, &5u64) {
        Err(ENOTTY) => crate::harness::skip("a Linux built without checkpoints"),
        result => assert_eq!(result, Ok(0)),
    }
    assert_eq!(
        (events_now(timer, POLLIN), event_take(timer), event_take(timer)),
        (POLLIN, Ok(5), Err(EAGAIN))
    );
    assert_eq!(ioctl(timer, SET_TICKS, &0u64), Err(EINVAL));
    assert_eq!(ioctl(timer, SET_TICKS, 8), Err(EFAULT));
    assert_eq!(ioctl(timer, libc::FIONREAD, &mut 0i32), Err(ENOTTY));
}

fn flags_and_description() {
    let timer = timer_on(CLOCK_BOOTTIME, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK).unwrap();
    assert_eq!(fcntl(timer, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    assert_eq!(fcntl(timer, libc::F_GETFL, 0), Ok((libc::O_RDWR | libc::O_NONBLOCK) as usize));
    timer_arm(timer, time_of(i64::MAX / 2), milliseconds(3500), TFD_TIMER_ABSTIME).unwrap();
    let info = text(&path(format!("/proc/self/fdinfo/{timer}"))).unwrap();
    for line in ["clockid: 7", "ticks: 0", "settime flags: 01", "it_interval: (3, 500000000)"] {
        assert!(info.lines().any(|found| found == line), "{line} in {info}");
    }
    let link = std::fs::read_link(format!("/proc/self/fd/{timer}")).unwrap();
    assert_eq!(link.to_str(), Some("anon_inode:[timerfd]"));
}

fn wakes_epoll() {
    let (epoll, timer) = (epoll_create(), timerfd(0));
    epoll_control(epoll, libc::EPOLL_CTL_ADD, timer, libc::EPOLLIN | libc::EPOLLET, 1).unwrap();
    for _ in 0..5 {
        timer_arm(timer, milliseconds(1), NEVER, 0).unwrap();
        assert_eq!(epoll_wait(epoll, 1, -1), [(libc::EPOLLIN, 1)]);
        assert_eq!(event_take(timer), Ok(1));
        assert_eq!(epoll_wait(epoll, 1, 0), []);
    }
}

fn inherited_over_fork_and_exec() {
    let timer = timerfd(0);
    timer_arm(timer, milliseconds(1), NEVER, 0).unwrap();
    fork(|| assert_eq!(event_take(timer), Ok(1))).succeeds();
    set_nonblocking(timer);
    assert_eq!(event_take(timer), Err(EAGAIN), "one timer, one count");
}

fn set_clock(nanoseconds: i64) {
    syscall!(SYS_clock_settime, CLOCK_REALTIME, &time_of(nanoseconds)).expect("clock_settime");
}

fn clock_set_cancels() {
    const CANCEL: i32 = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    let timer = timer_on(CLOCK_REALTIME, 0).unwrap();
    let now = clock_now(CLOCK_REALTIME).unwrap();
    timer_arm(timer, time_of(now + 1_000 * NANOS_PER_SECOND), NEVER, CANCEL).unwrap();
    let reader = fork(|| assert_eq!(event_take(timer), Err(ECANCELED)));
    wait_until_blocked(reader.pid);
    set_clock(now + 5 * NANOS_PER_SECOND);
    reader.succeeds();
    set_nonblocking(timer);
    assert_eq!(event_take(timer), Err(EAGAIN), "told once");
    assert!(left(timer).0 > 0, "still armed");
    set_clock(now);
    assert_eq!(events_now(timer, POLLIN), POLLIN);
    let later = time_of(now + 1_000 * NANOS_PER_SECOND);
    assert_eq!(timer_arm(timer, later, NEVER, CANCEL), Err(ECANCELED), "and by a setting");
    assert_eq!(timer_arm(timer, later, NEVER, CANCEL), Ok(0));
    // Without the flag, or on another clock, nothing is told.
    let plain = timer_on(CLOCK_REALTIME, libc::TFD_NONBLOCK).unwrap();
    timer_arm(plain, later, NEVER, TFD_TIMER_ABSTIME).unwrap();
    let other = timer_on(CLOCK_MONOTONIC, libc::TFD_NONBLOCK).unwrap();
    timer_arm(other, later, NEVER, CANCEL).unwrap();
    set_clock(now + NANOS_PER_SECOND);
    assert_eq!((event_take(plain), event_take(other)), (Err(EAGAIN), Err(EAGAIN)));
    set_clock(now);
}

fn clock_set_moves_the_deadline() {
    let now = clock_now(CLOCK_REALTIME).unwrap();
    let absolute = timer_on(CLOCK_REALTIME, 0).unwrap();
    timer_arm(absolute, time_of(now + 1_000 * NANOS_PER_SECOND), NEVER, TFD_TIMER_ABSTIME).unwrap();
    let relative = timer_on(CLOCK_REALTIME, libc::TFD_NONBLOCK).unwrap();
    timer_arm(relative, milliseconds(1_000_000), NEVER, 0).unwrap();
    let reader = fork(|| assert_eq!(event_take(absolute), Ok(1)));
    wait_until_blocked(reader.pid);
    set_clock(now + 2_000 * NANOS_PER_SECOND);
    reader.succeeds();
    assert_eq!(event_take(relative), Err(EAGAIN), "a span is a span");
    let shown = clock_now(CLOCK_REALTIME).unwrap();
    assert!(shown >= now + 2_000 * NANOS_PER_SECOND, "every way to read the clock shows it");
    let library = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(library.as_nanos() as i64 >= shown, "the one without a system call too");
    set_clock(now);
}
