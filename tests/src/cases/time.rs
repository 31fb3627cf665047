//! Clocks, sleeping, timers, accounting (clock_gettime(2), nanosleep(2), timer_create(2), times(2)).
//! Nothing here says how long something may take at most; only that it may not be too early.

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, ITIMER_REAL, SIGALRM,
    SIGPROF, SIGUSR1, SIGVTALRM,
};

pub(crate) const CASES: &[Case] = &[
    case!(monotonic_never_goes_back),
    case!(vdso_and_system_call_agree),
    case!(clock_ids),
    case!(clock_errors),
    case!(realtime_is_today),
    case!(gettimeofday_and_time_agree),
    case!(nanosleep_sleeps_long_enough),
    case!(nanosleep_errors),
    case!(clock_nanosleep_absolute),
    case!(clock_nanosleep_errors),
    case!(many_sleepers_wake_in_order),
    case!(alarm_and_remaining),
    case!(itimer_real_repeats),
    case!(itimer_virtual_counts_computing),
    case!(itimer_errors),
    case!(itimer_is_not_inherited),
    case!(posix_timer_signals_with_its_value),
    case!(posix_timer_overrun),
    case!(posix_timer_to_a_thread),
    case!(posix_timer_without_signal),
    case!(posix_timer_errors_and_deletion),
    case!(posix_timers_go_with_exec_and_fork),
    case!(usage_of_self),
    case!(times_counts_ticks),
    case!(thread_clock_stands_while_asleep),
    case!(process_clock_of_another),
    case!(cpu_time_limit_signals).long(),
    case!(clock_settime_moves_absolute_sleepers).vm().root(),
    case!(a_set_clock_is_everybodys).vm().root(),
    case!(uptime_and_boottime),
];

fn monotonic_never_goes_back() {
    let mut last = monotonic();
    for _ in 0..20_000 {
        let now = monotonic();
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
    // Nor between CPUs: two threads hand the time to each other.
    let shared = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let theirs = std::sync::Arc::clone(&shared);
    let check = |latest: &std::sync::atomic::AtomicI64| {
        for _ in 0..20_000 {
            let seen = latest.load(std::sync::atomic::Ordering::SeqCst);
            let now = monotonic();
            assert!(now >= seen, "{now} here, {seen} on another CPU");
            latest.fetch_max(now, std::sync::atomic::Ordering::SeqCst);
        }
    };
    let other = std::thread::spawn(move || check(&theirs));
    check(&shared);
    other.join().unwrap();
}

/// The C library's clock_gettime, which uses the vDSO where there is one.
fn library_clock(clock: i32) -> i64 {
    let mut now: libc::timespec = zeroed();
    // SAFETY: `now` is a live local.
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut now) }, 0);
    nanoseconds(now)
}

fn vdso_and_system_call_agree() {
    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME] {
        for _ in 0..5000 {
            let first = clock_now(clock).unwrap();
            let second = library_clock(clock);
            let third = clock_now(clock).unwrap();
            assert!(first <= second && second <= third, "clock {clock}: {first} {second} {third}");
        }
    }
}

fn clock_ids() {
    for clock in [
        CLOCK_REALTIME,
        CLOCK_MONOTONIC,
        CLOCK_PROCESS_CPUTIME_ID,
        CLOCK_THREAD_CPUTIME_ID,
        libc::CLOCK_MONOTONIC_RAW,
        libc::CLOCK_REALTIME_COARSE,
        libc::CLOCK_MONOTONIC_COARSE,
        libc::CLOCK_BOOTTIME,
    ] {
        assert!(clock_now(clock).is_ok(), "clock {clock}");
        let mut resolution: libc::timespec = zeroed();
        assert_eq!(syscall!(SYS_clock_getres, clock, &mut resolution), Ok(0));
        assert!((1..=10_000_000).contains(&nanoseconds(resolution)), "clock {clock}");
    }
    let coarse = clock_now(libc::CLOCK_MONOTONIC_COARSE).unwrap();
    assert!(coarse <= clock_now(CLOCK_MONOTONIC).unwrap());
}

fn clock_errors() {
    assert_eq!(clock_now(99), Err(EINVAL));
    assert_eq!(clock_now(-1), Err(EINVAL));
    assert_eq!(syscall!(SYS_clock_gettime, CLOCK_REALTIME, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_clock_getres, 99, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_clock_getres, CLOCK_REALTIME, 0), Ok(0));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: -1 };
    assert_eq!(syscall!(SYS_clock_settime, CLOCK_MONOTONIC, &bad), Err(EINVAL));
}

fn realtime_is_today() {
    let seconds = clock_now(CLOCK_REALTIME).unwrap() / NANOS_PER_SECOND;
    assert!(seconds > 1_700_000_000, "{seconds} is before this was written");
}

fn gettimeofday_and_time_agree() {
    let mut now = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let before = clock_now(CLOCK_REALTIME).unwrap() / 1000;
    syscall!(SYS_gettimeofday, &mut now, 0).unwrap();
    let after = clock_now(CLOCK_REALTIME).unwrap() / 1000;
    let micros = now.tv_sec * 1_000_000 + now.tv_usec;
    assert!((before..=after).contains(&micros));
    let mut stored = 0i64;
    let seconds = syscall!(SYS_time, &mut stored).unwrap() as i64;
    let last = clock_now(CLOCK_REALTIME).unwrap() / NANOS_PER_SECOND;
    assert!(seconds == stored && (before / 1_000_000 - 1..=last).contains(&seconds));
    assert_eq!(syscall!(SYS_gettimeofday, 8, 0), Err(EFAULT));
}

fn nanosleep_sleeps_long_enough() {
    for nanos in [0, 1, 100_000, 3_000_000] {
        let before = monotonic();
        let time = libc::timespec { tv_sec: 0, tv_nsec: nanos };
        assert_eq!(syscall!(SYS_nanosleep, &time, 0), Ok(0));
        assert!(monotonic() - before >= nanos, "slept {} of {nanos}", monotonic() - before);
    }
}

fn nanosleep_errors() {
    for (seconds, nanos) in [(-1, 0), (0, -1), (0, NANOS_PER_SECOND)] {
        let time = libc::timespec { tv_sec: seconds, tv_nsec: nanos };
        assert_eq!(syscall!(SYS_nanosleep, &time, 0), Err(EINVAL));
    }
    assert_eq!(syscall!(SYS_nanosleep, 8, 0), Err(EFAULT));
}

fn at(nanos: i64) -> libc::timespec {
    libc::timespec { tv_sec: nanos / NANOS_PER_SECOND, tv_nsec: nanos % NANOS_PER_SECOND }
}

fn clock_nanosleep_absolute() {
    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME, libc::CLOCK_BOOTTIME] {
        let until = clock_now(clock).unwrap() + 2_000_000;
        assert_eq!(syscall!(SYS_clock_nanosleep, clock, libc::TIMER_ABSTIME, &at(until), 0), Ok(0));
        assert!(clock_now(clock).unwrap() >= until);
        let past = at(1);
        assert_eq!(syscall!(SYS_clock_nanosleep, clock, libc::TIMER_ABSTIME, &past, 0), Ok(0));
    }
}

fn clock_nanosleep_errors() {
    let time = milliseconds(1);
    assert_eq!(syscall!(SYS_clock_nanosleep, 99, 0, &time, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &time, 0), Err(EOPNOTSUPP));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: NANOS_PER_SECOND };
    assert_eq!(syscall!(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &bad, 0), Err(EINVAL));
}

/// Sleepers with absolute deadlines far enough apart report in that order.
fn many_sleepers_wake_in_order() {
    let (from, to) = pipe();
    let start = monotonic() + 20_000_000;
    let children: Vec<(u8, Child)> = (0..10u8)
        .rev()
        .map(|number| {
            let child = fork_status(|| {
                let until = at(start + i64::from(number) * 10_000_000);
                syscall!(SYS_clock_nanosleep, CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &until, 0).unwrap();
                write(to, &[number]).unwrap();
                // A sleeper that was held up by a busy machine, until it had reported, says so and does not count.
                i32::from(monotonic() - nanoseconds(until) > 8_000_000)
            });
            (number, child)
        })
        .collect();
    let mut was_late = [false; 10];
    for (number, child) in children {
        let status = child.wait();
        assert!([Status::Exited(0), Status::Exited(1)].contains(&status), "{status:?}");
        was_late[usize::from(number)] = status == Status::Exited(1);
    }
    let mut punctual = read_some(from, 10).unwrap();
    assert_eq!(punctual.len(), 10);
    punctual.retain(|number| !was_late[usize::from(*number)]);
    assert!(punctual.is_sorted(), "woke in the order {punctual:?}");
}

fn set_itimer(which: i32, value_us: i64, interval_us: i64) -> Sys<libc::itimerval> {
    let time = |micros: i64| libc::timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 };
    let new = libc::itimerval { it_interval: time(interval_us), it_value: time(value_us) };
    let mut old: libc::itimerval = zeroed();
    syscall!(SYS_setitimer, which, &new, &mut old)?;
    Ok(old)
}

fn alarm_and_remaining() {
    let start = monotonic();
    assert_eq!(syscall!(SYS_alarm, 100), Ok(0));
    let left = syscall!(SYS_alarm, 200).unwrap() as i64;
    let [first, second] = [left, set_itimer(ITIMER_REAL, 0, 0).unwrap().it_value.tv_sec];
    // What is left is at most what was set, and less by no more than the time that went by.
    let gone = (monotonic() - start) / NANOS_PER_SECOND + 1;
    assert!((100 - gone..=100).contains(&first), "{first} after {gone} s");
    assert!(
        (200 - gone..=200).contains(&second),
        "alarm and ITIMER_REAL are one timer: {second} after {gone} s"
    );
    assert_eq!(syscall!(SYS_alarm, 0), Ok(0));
    catch(SIGALRM, 0);
    // It rings again, should the first one come before the pause.
    set_itimer(ITIMER_REAL, 2000, 50_000).unwrap();
    assert_eq!(syscall!(SYS_pause), Err(EINTR));
    assert_eq!(deliveries()[0].code, libc::SI_KERNEL);
}

fn itimer_real_repeats() {
    catch(SIGALRM, libc::SA_RESTART);
    let start = monotonic();
    set_itimer(ITIMER_REAL, 1000, 1000).unwrap();
    wait_until(|| times_delivered(SIGALRM) >= 5);
    assert!(monotonic() - start >= 5_000_000);
    let old = set_itimer(ITIMER_REAL, 0, 0).unwrap();
    assert_eq!(old.it_interval.tv_usec, 1000);
    let mut now: libc::itimerval = zeroed();
    syscall!(SYS_getitimer, ITIMER_REAL, &mut now).unwrap();
    assert_eq!((now.it_value.tv_sec, now.it_value.tv_usec), (0, 0));
}

fn itimer_virtual_counts_computing() {
    catch(SIGVTALRM, 0);
    catch(SIGPROF, 0);
    let start = clock_now(CLOCK_PROCESS_CPUTIME_ID).unwrap();
    set_itimer(libc::ITIMER_VIRTUAL, 20_000, 0).unwrap();
    set_itimer(libc::ITIMER_PROF, 20_000, 0).unwrap();
    while times_delivered(SIGVTALRM) == 0 || times_delivered(SIGPROF) == 0 {
        (0..10_000).for_each(|n| discard(std::hint::black_box(n)));
    }
    assert!(clock_now(CLOCK_PROCESS_CPUTIME_ID).unwrap() - start >= 15_000_000);
}

fn itimer_errors() {
    assert_eq!(set_itimer(9, 1, 0).err(), Some(EINVAL));
    assert_eq!(set_itimer(ITIMER_REAL, -1, 0).err(), Some(EINVAL));
    let bad =
        libc::itimerval { it_interval: zeroed(), it_value: libc::timeval { tv_sec: 0, tv_usec: 1_000_000 } };
    assert_eq!(syscall!(SYS_setitimer, ITIMER_REAL, &bad, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_getitimer, 9, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_setitimer, ITIMER_REAL, 8, 0), Err(EFAULT));
}

fn itimer_is_not_inherited() {
    set_itimer(ITIMER_REAL, 1_000_000_000, 0).unwrap();
    fork(|| {
        let mut now: libc::itimerval = zeroed();
        syscall!(SYS_getitimer, ITIMER_REAL, &mut now).unwrap();
        assert_eq!(now.it_value.tv_sec, 0);
    })
    .succeeds();
}

/// sigev_value, sigev_signo, sigev_notify, sigev_notify_thread_id, padded to 64 bytes.
#[repr(C)]
struct Notification {
    value: u64,
    signal: i32,
    how: i32,
    thread: i32,
    rest: [i32; 11],
}

fn notification(how: i32, signal: i32, value: u64, thread: i32) -> Notification {
    Notification { value, signal, how, thread, rest: [0; 11] }
}

fn create_timer(clock: i32, event: &Notification) -> Sys<i32> {
    let mut id = -1i32;
    syscall!(SYS_timer_create, clock, event, &mut id)?;
    Ok(id)
}

fn arm(timer: i32, value: i64, interval: i64) {
    let setting = libc::itimerspec { it_interval: at(interval), it_value: at(value) };
    syscall!(SYS_timer_settime, timer, 0, &setting, 0).expect("timer_settime");
}

fn posix_timer_signals_with_its_value() {
    catch(SIGUSR1, 0);
    let timer = create_timer(CLOCK_MONOTONIC, &notification(libc::SIGEV_SIGNAL, SIGUSR1, 4711, 0)).unwrap();
    let start = monotonic();
    arm(timer, 2_000_000, 0);
    wait_until(|| times_delivered(SIGUSR1) == 1);
    assert!(monotonic() - start >= 2_000_000);
    assert_eq!((deliveries()[0].code, deliveries()[0].value), (libc::SI_TIMER, 4711));
    // Without an event structure: SIGALRM with the timer's id.
    catch(SIGALRM, 0);
    let mut id = -1i32;
    syscall!(SYS_timer_create, CLOCK_REALTIME, 0, &mut id).unwrap();
    arm(id, 1, 0);
    wait_until(|| times_delivered(SIGALRM) == 1);
    assert_eq!(deliveries()[1].value, id);
}

fn posix_timer_overrun() {
    block(&[SIGUSR1]);
    let timer = create_timer(CLOCK_MONOTONIC, &notification(libc::SIGEV_SIGNAL, SIGUSR1, 0, 0)).unwrap();
    arm(timer, 1_000_000, 1_000_000);
    let start = monotonic();
    while monotonic() - start < 20_000_000 {
        sleep_a_tick();
    }
    timed_wait(mask_of(&[SIGUSR1]), None).unwrap();
    let overrun = syscall!(SYS_timer_getoverrun, timer).unwrap();
    assert!(overrun >= 15, "one signal stood for {overrun} more");
    let mut now: libc::itimerspec = zeroed();
    syscall!(SYS_timer_gettime, timer, &mut now).unwrap();
    assert_eq!(nanoseconds(now.it_interval), 1_000_000);
    assert!((1..=1_000_000).contains(&nanoseconds(now.it_value)));
}

fn posix_timer_to_a_thread() {
    const SIGEV_THREAD_ID: i32 = 4;
    catch(SIGUSR1, 0);
    let gate = Gate::new();
    let (send_tid, tid) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        send_tid.send(gettid()).unwrap();
        gate.pass();
    });
    let tid = tid.recv().unwrap();
    let timer = create_timer(CLOCK_MONOTONIC, &notification(SIGEV_THREAD_ID, SIGUSR1, 1, tid)).unwrap();
    arm(timer, 1, 0);
    wait_until(|| times_delivered(SIGUSR1) == 1);
    assert_eq!(deliveries()[0].tid, tid);
    gate.open();
    thread.join().unwrap();
    let foreign = notification(SIGEV_THREAD_ID, SIGUSR1, 1, getppid());
    assert_eq!(create_timer(CLOCK_MONOTONIC, &foreign), Err(EINVAL));
}

fn posix_timer_without_signal() {
    let timer = create_timer(CLOCK_MONOTONIC, &notification(libc::SIGEV_NONE, 0, 0, 0)).unwrap();
    arm(timer, 1_000_000, 0);
    let left = || {
        let mut now: libc::itimerspec = zeroed();
        syscall!(SYS_timer_gettime, timer, &mut now).unwrap();
        nanoseconds(now.it_value)
    };
    wait_until(|| left() == 0);
}

fn posix_timer_errors_and_deletion() {
    let plain = notification(libc::SIGEV_SIGNAL, SIGUSR1, 0, 0);
    assert_eq!(create_timer(99, &plain), Err(EINVAL));
    assert_eq!(create_timer(CLOCK_MONOTONIC, &notification(libc::SIGEV_SIGNAL, 65, 0, 0)), Err(EINVAL));
    assert_eq!(create_timer(CLOCK_MONOTONIC, &notification(77, SIGUSR1, 0, 0)), Err(EINVAL));
    let timer = create_timer(CLOCK_MONOTONIC, &plain).unwrap();
    let bad = libc::itimerspec { it_interval: zeroed(), it_value: libc::timespec { tv_sec: 0, tv_nsec: -1 } };
    assert_eq!(syscall!(SYS_timer_settime, timer, 0, &bad, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_timer_settime, timer, 0, 0, 0), Err(EINVAL));
    arm(timer, 1_000_000_000_000, 0);
    assert_eq!(syscall!(SYS_timer_delete, timer), Ok(0));
    assert_eq!(syscall!(SYS_timer_delete, timer), Err(EINVAL));
    assert_eq!(syscall!(SYS_timer_gettime, timer, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_timer_getoverrun, 12345), Err(EINVAL));
    // A pending signal of a deleted timer may be there, but no second one comes.
    catch(SIGUSR1, 0);
    let timer = create_timer(CLOCK_MONOTONIC, &plain).unwrap();
    arm(timer, 1_000_000, 1_000_000);
    wait_until(|| times_delivered(SIGUSR1) >= 1);
    syscall!(SYS_timer_delete, timer).unwrap();
    let count = times_delivered(SIGUSR1);
    (0..10).for_each(|_| sleep_a_tick());
    assert!(times_delivered(SIGUSR1) <= count + 1);
}

fn posix_timers_go_with_exec_and_fork() {
    let plain = notification(libc::SIGEV_SIGNAL, SIGUSR1, 0, 0);
    catch(SIGUSR1, libc::SA_RESTART); // In this process; the program gets the default again.
    let timer = create_timer(CLOCK_MONOTONIC, &plain).unwrap();
    arm(timer, 3_000_000, 0);
    fork(|| assert_eq!(syscall!(SYS_timer_gettime, timer, &mut [0u64; 4]), Err(EINVAL))).succeeds();
    let (output, status) = output_of(|| {
        let timer = create_timer(CLOCK_MONOTONIC, &plain).unwrap();
        arm(timer, 5_000_000, 0);
        exec_probe("outlive", &["20"], &[]);
    });
    assert_eq!((output.as_str(), status), ("alive\n", Status::Exited(0)), "exec deletes timers");
    let (output, _) = output_of(|| {
        block(&[SIGUSR1]);
        let timer = create_timer(CLOCK_MONOTONIC, &plain).unwrap();
        arm(timer, 1, 0);
        wait_until(|| pending() != 0);
        exec_probe("signals", &[], &[]);
    });
    assert!(output.contains("\npending \n"), "what they have sent as well: {output}");
}

fn usage(who: i32) -> libc::rusage {
    let mut usage: libc::rusage = zeroed();
    syscall!(SYS_getrusage, who, &mut usage).expect("getrusage");
    usage
}

fn micros(time: libc::timeval) -> i64 {
    time.tv_sec * 1_000_000 + time.tv_usec
}

fn burn(nanos: i64) {
    let start = clock_now(CLOCK_THREAD_CPUTIME_ID).unwrap();
    while clock_now(CLOCK_THREAD_CPUTIME_ID).unwrap() < start + nanos {}
}

fn usage_of_self() {
    let before = usage(libc::RUSAGE_SELF);
    burn(30_000_000);
    let memory = map_anonymous(200 * PAGE);
    (0..200).for_each(|page| poke(memory + page * PAGE, 1));
    let after = usage(libc::RUSAGE_SELF);
    let spent = |usage: &libc::rusage| micros(usage.ru_utime) + micros(usage.ru_stime);
    assert!(spent(&after) - spent(&before) >= 25_000);
    assert!(after.ru_minflt - before.ru_minflt >= 200, "every first touch is a minor fault");
    assert!(after.ru_maxrss * 1024 >= (200 * PAGE) as i64);
    let thread = std::thread::spawn(|| usage(1 /* RUSAGE_THREAD */)).join().unwrap();
    assert!(spent(&thread) < spent(&usage(libc::RUSAGE_SELF)));
    assert_eq!(syscall!(SYS_getrusage, 5, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_getrusage, libc::RUSAGE_SELF, 8), Err(EFAULT));
}

fn times_counts_ticks() {
    let mut start: libc::tms = zeroed();
    let first = syscall!(SYS_times, &mut start).unwrap();
    fork(|| burn(60_000_000)).succeeds();
    burn(60_000_000);
    let mut end: libc::tms = zeroed();
    let last = syscall!(SYS_times, &mut end).unwrap();
    assert!(last >= first + 5, "at 100 ticks a second");
    assert!(end.tms_utime + end.tms_stime - start.tms_utime - start.tms_stime >= 4);
    assert!(end.tms_cutime + end.tms_cstime >= 4);
}

fn thread_clock_stands_while_asleep() {
    let thread = || clock_now(CLOCK_THREAD_CPUTIME_ID).unwrap();
    let (wall, start) = (monotonic(), thread());
    let _ = syscall!(SYS_nanosleep, &milliseconds(100), 0);
    let (slept, used) = (monotonic() - wall, thread() - start);
    assert!(used < slept / 2, "{used} ns of computing in {slept} ns asleep");
    burn(5_000_000);
    assert!(thread() - start >= 5_000_000);
}

fn process_clock_of_another() {
    let ready = Gate::new();
    let child = fork(|| {
        burn(20_000_000);
        ready.open();
        wait_for_ever();
    });
    ready.pass();
    let clock = !child.pid << 3 | 2; // The clock id of a process: see clock_getcpuclockid(3).
    assert!(clock_now(clock).unwrap() >= 20_000_000);
    child.finish();
    assert_eq!(clock_now(clock), Err(EINVAL));
}

fn cpu_time_limit_signals() {
    let child = fork(|| {
        let limit = libc::rlimit { rlim_cur: 1, rlim_max: 3 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_CPU, &limit, 0).unwrap();
        loop {
            std::hint::spin_loop();
        }
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGXCPU));
}

fn clock_settime_moves_absolute_sleepers() {
    let now = clock_now(CLOCK_REALTIME).unwrap();
    let until = now + 3600 * NANOS_PER_SECOND;
    let sleeper = fork(|| {
        syscall!(SYS_clock_nanosleep, CLOCK_REALTIME, libc::TIMER_ABSTIME, &at(until), 0).unwrap();
    });
    wait_until_blocked(sleeper.pid);
    let monotonic_before = monotonic();
    syscall!(SYS_clock_settime, CLOCK_REALTIME, &at(until + NANOS_PER_SECOND)).unwrap();
    sleeper.succeeds();
    assert!(monotonic() - monotonic_before < 1800 * NANOS_PER_SECOND, "the monotonic clock did not jump");
    syscall!(SYS_clock_settime, CLOCK_REALTIME, &at(now + monotonic() - monotonic_before)).unwrap();
}

fn a_set_clock_is_everybodys() {
    let now = clock_now(CLOCK_REALTIME).unwrap();
    let start = monotonic();
    syscall!(SYS_clock_settime, CLOCK_REALTIME, &at(now + 7200 * NANOS_PER_SECOND)).unwrap();
    let ahead = |seconds: i64| (7200..7300).contains(&(seconds - now / NANOS_PER_SECOND));
    create(c"new", b"");
    let made = stat(c"new").unwrap().st_mtime;
    // The C library asks no kernel, but the page beside its program.
    let mut shared: libc::timespec = zeroed();
    // SAFETY: the structure is ours.
    unsafe { libc::clock_gettime(CLOCK_REALTIME, &raw mut shared) };
    let asked = clock_now(CLOCK_REALTIME).unwrap() / NANOS_PER_SECOND;
    syscall!(SYS_clock_settime, CLOCK_REALTIME, &at(now + monotonic() - start)).unwrap();
    assert!(ahead(asked) && ahead(made) && ahead(shared.tv_sec), "{asked} {made} {}", shared.tv_sec);
}

fn uptime_and_boottime() {
    let boot = clock_now(libc::CLOCK_BOOTTIME).unwrap();
    let line = text(c"/proc/uptime").unwrap();
    let uptime: f64 = line.split(' ').next().unwrap().parse().unwrap();
    assert!((uptime - boot as f64 / 1e9).abs() < 30.0, "{uptime} s by /proc, {boot} ns by the clock");
}
