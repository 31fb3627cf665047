//! A signal during each blocking call: which errno, and whether SA_RESTART restarts it (signal(7));
//! and the calls that wait for signals themselves.

use crate::harness::{Case, case, or_skip};
use crate::sys::*;
use libc::{SA_RESTART, SIGALRM, SIGCHLD, SIGCONT, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2};

pub(crate) const CASES: &[Case] = &[
    case!(never_restarted_calls),
    case!(calls_restarted_by_sa_restart),
    case!(restarted_only_without_a_handler),
    case!(ignored_signals_do_not_interrupt),
    case!(stop_and_continue_is_invisible_to_restartable_calls).long(),
    case!(stop_and_continue_ends_some_calls),
    case!(nanosleep_tells_what_remains),
    case!(poll_after_stop_keeps_its_deadline),
    case!(pause_returns_after_the_handler),
    case!(sigsuspend_swaps_the_mask),
    case!(sigsuspend_takes_what_was_pending),
    case!(sigtimedwait_takes_pending_signals),
    case!(sigtimedwait_waits_and_times_out),
    case!(sigtimedwait_is_interrupted_by_others),
    case!(sigtimedwait_errors),
    case!(sigwait_beats_the_handler),
    case!(signal_arriving_before_the_call_is_not_lost).long(),
    case!(ppoll_takes_a_pending_signal),
    case!(killed_in_every_blocking_call),
    case!(signalfd_reads_pending_signals),
    case!(restarted_call_sees_the_handlers_work),
];

/// A call that blocks until a signal comes: name and body. The body returns the call's result.
type Blocking = (&'static str, fn() -> Sys<usize>);

fn mutex_word() -> &'static std::sync::atomic::AtomicU32 {
    word_at(map_anonymous(PAGE))
}

fn blocked_on_lock(command: i32) -> Sys<usize> {
    let file = open(c"locked", libc::O_RDWR | libc::O_CREAT)?;
    let holder_ready = Gate::new();
    fork(|| {
        let file = open(c"locked", libc::O_RDWR).unwrap();
        match command {
            0 => syscall!(SYS_flock, file, libc::LOCK_EX).map(drop).unwrap(),
            _ => discard(fcntl(file, libc::F_SETLKW, &whole_file_lock()).unwrap()),
        }
        holder_ready.open();
        wait_for_ever();
    });
    holder_ready.pass();
    READY.get().expect("the gate").open();
    match command {
        0 => syscall!(SYS_flock, file, libc::LOCK_EX),
        _ => fcntl(file, libc::F_SETLKW, &whole_file_lock()),
    }
}

fn whole_file_lock() -> libc::flock {
    libc::flock { l_type: libc::F_WRLCK as i16, ..zeroed() }
}

/// Opened by a body just before its blocking call.
static READY: std::sync::OnceLock<Gate> = std::sync::OnceLock::new();

fn ready() {
    READY.get().expect("the gate").open();
}

/// Calls that end with EINTR after a handler, whatever its flags.
const NEVER_RESTARTED: &[Blocking] = &[
    ("pause", || {
        ready();
        syscall!(SYS_pause)
    }),
    ("nanosleep", || {
        ready();
        syscall!(SYS_nanosleep, &milliseconds(1_000_000), 0)
    }),
    ("clock_nanosleep", || {
        ready();
        syscall!(SYS_clock_nanosleep, libc::CLOCK_REALTIME, 0, &milliseconds(1_000_000), 0)
    }),
    ("poll", || {
        let mut set = [pollfd(pipe().0, libc::POLLIN)];
        ready();
        poll(&mut set, -1)
    }),
    ("ppoll", || {
        let mut set = [pollfd(pipe().0, libc::POLLIN)];
        ready();
        syscall!(SYS_ppoll, set.as_mut_ptr(), 1, 0, 0, 8)
    }),
    ("select", || {
        ready();
        syscall!(SYS_select, 0, 0, 0, 0, 0)
    }),
    ("pselect6", || {
        ready();
        syscall!(SYS_pselect6, 0, 0, 0, 0, 0, 0)
    }),
    ("rt_sigsuspend", || {
        ready();
        syscall!(SYS_rt_sigsuspend, &NO_SIGNALS, 8)
    }),
    ("rt_sigtimedwait", || {
        ready();
        syscall!(SYS_rt_sigtimedwait, &mask_of(&[SIGUSR2]), 0, 0, 8)
    }),
    ("epoll_wait", || {
        let epoll = syscall!(SYS_epoll_create1, 0)?;
        let mut events = [0u64; 4];
        ready();
        syscall!(SYS_epoll_wait, epoll, &mut events, 1, -1)
    }),
    ("futex with a timeout", || {
        let word = mutex_word();
        ready();
        syscall!(SYS_futex, word, libc::FUTEX_WAIT, 0, &milliseconds(1_000_000), 0, 0)
    }),
];

/// Calls that go on after a handler with SA_RESTART, and end with EINTR otherwise.
const RESTARTED: &[Blocking] = &[
    ("read of a pipe", || {
        let (from, _to) = pipe();
        ready();
        read(from, &mut [0])
    }),
    ("readv of a pipe", || {
        let (from, _to) = pipe();
        let mut byte = [0];
        let parts = [iovec(&mut byte)];
        ready();
        syscall!(SYS_readv, from, &parts, 1)
    }),
    ("write to a full pipe", || {
        let (_from, to) = pipe();
        write(to, &[0; 65536])?;
        ready();
        write(to, b"x")
    }),
    ("open of a FIFO", || {
        let _ = syscall!(SYS_mknodat, libc::AT_FDCWD, c"fifo", libc::S_IFIFO | 0o644, 0);
        ready();
        open(c"fifo", libc::O_RDONLY).map(|fd| fd as usize)
    }),
    ("wait4", || {
        fork(|| wait_for_ever());
        ready();
        wait4(-1, 0).map(|(pid, _)| pid as usize)
    }),
    ("waitid", || {
        fork(|| wait_for_ever());
        ready();
        waitid(libc::P_ALL, 0, libc::WEXITED).map(|_| 0)
    }),
    ("futex wait", || {
        let word = mutex_word();
        ready();
        syscall!(SYS_futex, word, libc::FUTEX_WAIT, 0, 0, 0, 0)
    }),
    ("flock", || blocked_on_lock(0)),
    ("fcntl F_SETLKW", || blocked_on_lock(1)),
    ("read of an eventfd", || {
        let event = syscall!(SYS_eventfd2, 0, 0)? as Fd;
        ready();
        read(event, &mut [0; 8])
    }),
    ("getrandom and terminal", || {
        let master = open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY)?;
        ready();
        read(master, &mut [0])
    }),
];

/// How a blocked call took a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// It ended with this error.
    Ended(Errno),
    /// It was still blocked after the signal was taken.
    BlockedOn,
    /// This kernel was built without the call.
    Absent,
}

/// Runs the call in a child with the handler installed and sends a signal once it blocks.
fn after_signal((name, body): &Blocking, flags: i32) -> Answer {
    let gate = Gate::new();
    let (from, to) = pipe();
    let child = fork(|| {
        setpgid(0, 0).unwrap();
        let _ = READY.set(gate);
        catch(SIGUSR1, flags);
        let result = body();
        let code = result.err().map_or(-1, |errno| errno.0);
        write(to, &code.to_ne_bytes()).unwrap();
        ready(); // For a call that could not even be prepared.
    });
    close(to).unwrap();
    gate.pass();
    gate.dispose();
    if events_now(from, libc::POLLIN) == libc::POLLIN {
        let code = read_some(from, 4).unwrap();
        assert_eq!(code, libc::ENOSYS.to_ne_bytes(), "{name} could not be prepared");
        child.succeeds();
        return Answer::Absent;
    }
    wait_until_blocked(child.pid);
    child.kill(SIGUSR1);
    wait_until_signal_taken(child.pid, SIGUSR1);
    // The handler runs; then the call either ends the child or blocks again.
    wait_until(|| state_of(child.pid).is_ok_and(|state| state == b'S' || state == b'Z'));
    let mut answer = Answer::BlockedOn;
    wait_until(|| match state_of(child.pid).expect("stat") {
        b'Z' => {
            let code = read_some(from, 4).unwrap();
            answer = Answer::Ended(Errno(i32::from_ne_bytes(code.try_into().expect("the child's answer"))));
            true
        }
        b'S' => blocked_for_good(child.pid),
        _ => false,
    });
    let _ = kill(-child.pid, SIGKILL);
    child.wait();
    close(from).unwrap();
    assert_ne!(answer, Answer::Ended(Errno(-1)), "{name} succeeded");
    answer
}

/// Whether the process sleeps at twenty looks in a row (nothing in the bodies sleeps but the call).
fn blocked_for_good(pid: i32) -> bool {
    (0..20).all(|_| {
        sleep_a_tick();
        state_of(pid) == Ok(b'S')
    })
}

fn never_restarted_calls() {
    for call in NEVER_RESTARTED {
        for flags in [0, SA_RESTART] {
            let answer = after_signal(call, flags);
            assert!(
                [Answer::Ended(EINTR), Answer::Absent].contains(&answer),
                "{}, {flags:#x}: {answer:?}",
                call.0
            );
        }
    }
}

fn calls_restarted_by_sa_restart() {
    for call in RESTARTED {
        let (plain, restarting) = (after_signal(call, 0), after_signal(call, SA_RESTART));
        if plain != Answer::Absent {
            assert_eq!(plain, Answer::Ended(EINTR), "{} without SA_RESTART", call.0);
            assert_eq!(restarting, Answer::BlockedOn, "{} with SA_RESTART", call.0);
        }
    }
}

fn restarted_only_without_a_handler() {
    // A signal that is ignored by default wakes nobody for good, even if it was just unblocked.
    for call in [&NEVER_RESTARTED[1], &RESTARTED[0]] {
        let gate = Gate::new();
        let child = fork(|| {
            setpgid(0, 0).unwrap();
            let _ = READY.set(gate);
            let _ = call.1();
        });
        gate.pass();
        wait_until_blocked(child.pid);
        child.kill(libc::SIGWINCH);
        child.kill(SIGCHLD);
        assert!(blocked_for_good(child.pid), "{}", call.0);
        child.finish();
    }
}

fn ignored_signals_do_not_interrupt() {
    for call in [&NEVER_RESTARTED[0], &NEVER_RESTARTED[3], &RESTARTED[0], &RESTARTED[6]] {
        let gate = Gate::new();
        let child = fork(|| {
            let _ = READY.set(gate);
            ignore(SIGUSR1);
            let _ = call.1();
        });
        gate.pass();
        wait_until_blocked(child.pid);
        child.kill(SIGUSR1);
        assert!(blocked_for_good(child.pid), "{} was interrupted by an ignored signal", call.0);
        child.finish();
    }
}

/// Whether this kernel has the call (its preparation and the call itself are tried in a child).
fn is_present(call: &Blocking) -> bool {
    after_signal(call, 0) != Answer::Absent
}

/// Stops and continues the child blocked in the call; whether it then blocks on.
fn survives_stop((_, body): &Blocking) -> bool {
    let gate = Gate::new();
    let child = fork(|| {
        setpgid(0, 0).unwrap();
        let _ = READY.set(gate);
        let _ = body();
    });
    gate.pass();
    wait_until_blocked(child.pid);
    child.kill(libc::SIGSTOP);
    assert_eq!(child.wait_with(libc::WUNTRACED), Ok(Status::Stopped(libc::SIGSTOP)));
    child.kill(SIGCONT);
    let mut blocked = false;
    wait_until(|| match state_of(child.pid) {
        Ok(b'Z') | Err(_) => true,
        Ok(b'S') => {
            blocked = blocked_for_good(child.pid);
            blocked
        }
        _ => false,
    });
    let _ = kill(-child.pid, SIGKILL);
    child.wait();
    blocked
}

fn stop_and_continue_is_invisible_to_restartable_calls() {
    for call in RESTARTED.iter().filter(|call| is_present(call)) {
        assert!(survives_stop(call), "{} ended after SIGCONT", call.0);
    }
    for index in [0, 1, 2, 3, 4, 5, 6, 7, 10] {
        let call = &NEVER_RESTARTED[index];
        assert!(!is_present(call) || survives_stop(call), "{} ended after SIGCONT", call.0);
    }
}

fn stop_and_continue_ends_some_calls() {
    // Linux's peculiarity (signal(7)): these return EINTR after SIGCONT without any handler.
    for index in [8, 9] {
        let call = &NEVER_RESTARTED[index];
        assert!(!is_present(call) || !survives_stop(call), "{} went on after SIGCONT", call.0);
    }
}

fn nanosleep_tells_what_remains() {
    let child = fork(|| {
        catch(SIGUSR1, SA_RESTART);
        let mut left: libc::timespec = zeroed();
        assert_eq!(syscall!(SYS_nanosleep, &milliseconds(1_000_000), &mut left), Err(EINTR));
        // A timer may fire a little late, so a little more than all of it may remain.
        assert!((1..=1_001_000_000_000).contains(&nanoseconds(left)), "{}", nanoseconds(left));
        // An absolute sleep leaves the second structure alone.
        let until = nanoseconds(milliseconds(1_000_000)) + monotonic();
        let until = libc::timespec { tv_sec: until / NANOS_PER_SECOND, tv_nsec: until % NANOS_PER_SECOND };
        let mut left = milliseconds(77);
        let clock = libc::CLOCK_MONOTONIC;
        let result = syscall!(SYS_clock_nanosleep, clock, libc::TIMER_ABSTIME, &until, &mut left);
        assert_eq!((result, nanoseconds(left)), (Err(EINTR), 77_000_000));
    });
    for _ in 0..2 {
        wait_until_blocked(child.pid);
        child.kill(SIGUSR1);
        wait_until_signal_taken(child.pid, SIGUSR1);
        // Until it sleeps again or is done: the first state seen may be the old sleep's end.
        wait_until(|| matches!(state_of(child.pid), Ok(b'S' | b'Z')));
    }
    child.succeeds();
}

fn poll_after_stop_keeps_its_deadline() {
    // A poll with a deadline in the past when it is continued returns 0 at once, not later.
    let child = fork(|| assert_eq!(poll(&mut [], 30), Ok(0)));
    child.kill(libc::SIGSTOP);
    // It may have been over before the signal was sent.
    wait_until(|| matches!(state_of(child.pid), Ok(b'T' | b'Z')));
    child.kill(SIGCONT);
    child.succeeds();
}

fn pause_returns_after_the_handler() {
    let child = fork(|| {
        catch(SIGUSR1, SA_RESTART);
        assert_eq!(syscall!(SYS_pause), Err(EINTR));
        assert_eq!(times_delivered(SIGUSR1), 1);
    });
    wait_until_blocked(child.pid);
    child.kill(SIGUSR1);
    child.succeeds();
}

fn sigsuspend_swaps_the_mask() {
    let child = fork(|| {
        catch(SIGUSR1, 0);
        catch(SIGUSR2, 0);
        block(&[SIGUSR1]);
        let mask = mask_of(&[SIGUSR2]);
        assert_eq!(syscall!(SYS_rt_sigsuspend, &mask, 8), Err(EINTR));
        assert_eq!(current_mask(), mask_of(&[SIGUSR1]), "the old mask is back");
        // SIGUSR1 ran inside, with the temporary mask; SIGUSR2 only afterwards.
        assert_eq!(delivered_signals(), [SIGUSR1, SIGUSR2]);
        assert_eq!(deliveries()[0].mask, mask_of(&[SIGUSR1, SIGUSR2]));
    });
    wait_until_blocked(child.pid);
    child.kill(SIGUSR2);
    assert!(blocked_for_good(child.pid), "SIGUSR2 is in the temporary mask");
    child.kill(SIGUSR1);
    child.succeeds();
}

fn sigsuspend_takes_what_was_pending() {
    catch(SIGUSR1, 0);
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    assert_eq!(syscall!(SYS_rt_sigsuspend, &NO_SIGNALS, 8), Err(EINTR));
    assert_eq!(times_delivered(SIGUSR1), 1);
    assert_eq!(syscall!(SYS_rt_sigsuspend, &NO_SIGNALS, 4), Err(EINVAL));
    assert_eq!(syscall!(SYS_rt_sigsuspend, 8, 8), Err(EFAULT));
}

fn sigtimedwait_takes_pending_signals() {
    block(&[SIGUSR1, 40, 41]);
    queue(getpid(), 41, 1).unwrap();
    queue(getpid(), 40, 2).unwrap();
    queue(getpid(), 40, 3).unwrap();
    raise(SIGUSR1);
    let all = mask_of(&[SIGUSR1, 40, 41]);
    assert_eq!(timed_wait(mask_of(&[41]), None), Ok((41, libc::SI_QUEUE, 1)));
    assert_eq!(timed_wait(all, None).unwrap().0, SIGUSR1);
    assert_eq!(timed_wait(all, None), Ok((40, libc::SI_QUEUE, 2)));
    assert_eq!(timed_wait(all, None), Ok((40, libc::SI_QUEUE, 3)));
    assert_eq!(timed_wait(all, Some(milliseconds(0))), Err(EAGAIN));
}

fn sigtimedwait_waits_and_times_out() {
    let gate = Gate::new();
    let child = fork(|| {
        block(&[SIGUSR1]);
        let before = monotonic();
        assert_eq!(timed_wait(mask_of(&[SIGUSR1]), Some(milliseconds(5))), Err(EAGAIN));
        assert!(monotonic() - before >= 5_000_000, "it came back too early");
        gate.open();
        assert_eq!(timed_wait(mask_of(&[SIGUSR1]), None).unwrap().0, SIGUSR1);
    });
    // The signal would end the first wait too, however long that lasts.
    gate.pass();
    wait_until_blocked(child.pid);
    child.kill(SIGUSR1);
    child.succeeds();
}

fn sigtimedwait_is_interrupted_by_others() {
    let child = fork(|| {
        block(&[SIGUSR1]);
        catch(SIGUSR2, SA_RESTART);
        assert_eq!(timed_wait(mask_of(&[SIGUSR1]), None), Err(EINTR));
        assert_eq!(delivered_signals(), [SIGUSR2]);
    });
    wait_until_blocked(child.pid);
    child.kill(SIGUSR2);
    child.succeeds();
}

fn sigtimedwait_errors() {
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    assert_eq!(timed_wait(mask_of(&[SIGUSR1]), Some(bad)), Err(EINVAL));
    let bad = libc::timespec { tv_sec: -1, tv_nsec: 0 };
    assert_eq!(timed_wait(mask_of(&[SIGUSR1]), Some(bad)), Err(EINVAL));
    assert_eq!(syscall!(SYS_rt_sigtimedwait, 8, 0, 0, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_rt_sigtimedwait, &NO_SIGNALS, 0, 0, 4), Err(EINVAL));
    // KILL and STOP can't be waited for; with nothing else, it is an empty set.
    let zero = Some(milliseconds(0));
    assert_eq!(timed_wait(mask_of(&[SIGKILL]), zero), Err(EAGAIN));
}

fn sigwait_beats_the_handler() {
    let child = fork(|| {
        catch(SIGUSR1, 0);
        block(&[SIGUSR1]);
        assert_eq!(timed_wait(mask_of(&[SIGUSR1]), None).unwrap().0, SIGUSR1);
        unblock(&[SIGUSR1]);
        assert_eq!(delivered_signals(), []);
    });
    wait_until_blocked(child.pid);
    child.kill(SIGUSR1);
    child.succeeds();
}

fn signal_arriving_before_the_call_is_not_lost() {
    // The classic race: block, test, then wait atomically. A thousand rounds of a child that
    // signals at any moment must never leave the parent asleep.
    catch(SIGUSR1, 0);
    block(&[SIGUSR1]);
    let parent = getpid();
    let child = fork(|| {
        reset(SIGUSR1);
        for _ in 0..1000 {
            kill(parent, SIGUSR1).unwrap();
            // Wait for the answer, so that signals do not merge.
            timed_wait(mask_of(&[SIGUSR1]), None).unwrap();
        }
    });
    for round in 1..=1000 {
        while times_delivered(SIGUSR1) < round {
            assert_eq!(syscall!(SYS_rt_sigsuspend, &NO_SIGNALS, 8), Err(EINTR));
        }
        child.kill(SIGUSR1);
    }
    child.succeeds();
}

fn ppoll_takes_a_pending_signal() {
    catch(SIGUSR1, SA_RESTART);
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    assert_eq!(syscall!(SYS_ppoll, 0, 0, 0, &NO_SIGNALS, 8), Err(EINTR));
    assert_eq!(times_delivered(SIGUSR1), 1);
    assert_eq!(current_mask(), mask_of(&[SIGUSR1]));
}

fn killed_in_every_blocking_call() {
    let present = NEVER_RESTARTED.iter().chain(RESTARTED).filter(|call| is_present(call));
    for (name, body) in present {
        for signal in [SIGKILL, SIGTERM] {
            let gate = Gate::new();
            let child = fork(|| {
                setpgid(0, 0).unwrap();
                let _ = READY.set(gate);
                let _ = body();
            });
            gate.pass();
            wait_until_blocked(child.pid);
            child.kill(signal);
            assert_eq!(child.wait(), Status::Killed(signal), "in {name}");
            let _ = kill(-child.pid, SIGKILL);
        }
    }
}

fn signalfd_reads_pending_signals() {
    block(&[SIGUSR1, SIGUSR2]);
    let mask = mask_of(&[SIGUSR1]);
    let fd = or_skip(syscall!(SYS_signalfd4, -1, &mask, 8, libc::SFD_NONBLOCK)) as Fd;
    assert_eq!(read(fd, &mut [0; 128]), Err(EAGAIN));
    raise(SIGUSR2);
    assert_eq!(events_now(fd, libc::POLLIN), 0);
    queue(getpid(), SIGUSR1, 99).unwrap();
    assert_eq!(events_now(fd, libc::POLLIN), libc::POLLIN);
    assert_eq!(read(fd, &mut [0; 100]), Err(EINVAL), "too small for one record");
    let record = read_some(fd, 1000).unwrap();
    assert_eq!(record.len(), 128);
    assert_eq!(u32::from_ne_bytes(record[..4].try_into().unwrap()), SIGUSR1 as u32);
    assert_eq!(i32::from_ne_bytes(record[44..48].try_into().unwrap()), 99, "ssi_int");
    assert_eq!(pending(), mask_of(&[SIGUSR2]));
}

static WAKE_UP: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

extern "C" fn write_to_pipe(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let _ = write(WAKE_UP.load(std::sync::atomic::Ordering::Relaxed), b"h");
}

fn restarted_call_sees_the_handlers_work() {
    let child = fork(|| {
        let (from, to) = pipe();
        WAKE_UP.store(to, std::sync::atomic::Ordering::Relaxed);
        on_signal(SIGALRM, write_to_pipe, SA_RESTART);
        assert_eq!(read_some(from, 5), Ok(b"h".to_vec()));
    });
    wait_until_blocked(child.pid);
    child.kill(SIGALRM);
    child.succeeds();
}
