//! Sending, blocking, queueing and catching signals (signal(7), sigaction(2)).

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{
    SA_NOCLDSTOP, SA_NODEFER, SA_RESETHAND, SA_RESTART, SI_QUEUE, SI_TKILL, SI_USER, SIGCHLD, SIGCONT,
    SIGKILL, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2,
};
use std::sync::atomic::Ordering::SeqCst;

pub(crate) const CASES: &[Case] = &[
    case!(handler_runs_before_kill_returns),
    case!(default_actions),
    case!(kill_and_stop_cannot_be_changed),
    case!(sigaction_reports_the_old_one),
    case!(sigaction_errors),
    case!(arguments_in_pages_never_touched),
    case!(what_cannot_be_told_is_changed_all_the_same),
    case!(blocked_signals_wait),
    case!(procmask_how),
    case!(kill_and_stop_cannot_be_blocked),
    case!(ordinary_signals_do_not_queue),
    case!(real_time_signals_queue_in_order),
    case!(lowest_real_time_signal_first),
    case!(values_and_sender_arrive),
    case!(sigqueue_errors),
    case!(queue_limit_is_eagain),
    case!(handler_blocks_its_own_signal),
    case!(nodefer_lets_it_nest),
    case!(handler_mask_is_added_and_taken_back),
    case!(resethand_fires_once),
    case!(ignoring_discards_pending_signals),
    case!(default_ignored_signals_are_not_kept),
    case!(blocked_ignored_signal_stays_pending),
    case!(sigchld_tells_how_the_child_ended),
    case!(nocldstop),
    case!(stop_discards_cont_and_back),
    case!(cont_wakes_even_when_blocked_or_ignored),
    case!(every_stop_is_told_however_quickly_it_follows),
    case!(stopped_process_runs_handler_after_cont),
    case!(stop_stops_all_threads),
    case!(alternate_stack_is_used),
    case!(alternate_stack_errors),
    case!(alternate_stack_autodisarm),
    case!(nested_handlers_share_the_alternate_stack),
    case!(sigreturn_restores_registers),
    case!(sigreturn_keeps_vector_registers),
    case!(handler_starts_with_a_clean_fpu),
    case!(handler_may_change_the_saved_registers),
    case!(handler_may_leave_by_a_jump),
    case!(segv_codes_and_addresses),
    case!(illegal_instruction_and_division),
    case!(breakpoint_and_trap_codes),
    case!(floating_point_exception_code),
    case!(blocked_fault_kills),
    case!(ignored_fault_kills),
    case!(unwritable_signal_frame_kills),
    case!(kill_prefers_a_thread_that_listens),
    case!(tgkill_reaches_that_thread_only),
    case!(thread_directed_before_process_directed),
    case!(pending_set_of_thread_and_process),
    case!(forged_sigreturn_frame_ends_in_a_fault),
    case!(many_signals_between_two_processes),
];

fn handler_runs_before_kill_returns() {
    catch(SIGUSR1, 0);
    kill(getpid(), SIGUSR1).unwrap();
    assert_eq!(delivered_signals(), [SIGUSR1]);
    raise(SIGUSR1);
    assert_eq!(times_delivered(SIGUSR1), 2);
}

fn default_actions() {
    let ends_with = |signal: i32| fork(|| raise(signal)).wait_with(libc::WUNTRACED).unwrap();
    for signal in 1..=64 {
        if [32, 33].contains(&signal) {
            continue; // Used by the C library itself.
        }
        match signal {
            SIGCHLD | SIGCONT | libc::SIGURG | libc::SIGWINCH => {
                assert_eq!(ends_with(signal), Status::Exited(0), "signal {signal}")
            }
            SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {}
            _ => assert_eq!(ends_with(signal), Status::Killed(signal), "signal {signal}"),
        }
    }
    let child = fork(|| raise(SIGSTOP));
    assert_eq!(child.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGSTOP)));
    child.finish();
}

fn kill_and_stop_cannot_be_changed() {
    let action = [0usize; 4];
    for signal in [SIGKILL, SIGSTOP] {
        assert_eq!(syscall!(SYS_rt_sigaction, signal, &action, 0, 8), Err(EINVAL));
        assert_eq!(syscall!(SYS_rt_sigaction, signal, 0, &mut [0usize; 4], 8), Ok(0), "asking is allowed");
    }
}

fn sigaction_reports_the_old_one() {
    assert_eq!(disposition(SIGUSR1).0, libc::SIG_DFL);
    catch(SIGUSR1, SA_RESTART | SA_NODEFER);
    let (handler, flags) = disposition(SIGUSR1);
    assert_eq!(handler, recorder());
    assert_eq!(flags & (SA_RESTART | SA_NODEFER | SA_RESETHAND), SA_RESTART | SA_NODEFER);
    let mut old = [0usize; 4];
    let new = [libc::SIG_IGN, 0, 0, !0usize];
    syscall!(SYS_rt_sigaction, SIGUSR1, &new, &mut old, 8).unwrap();
    assert_eq!(old[0], recorder());
    syscall!(SYS_rt_sigaction, SIGUSR1, 0, &mut old, 8).unwrap();
    assert_eq!(old[3], !mask_of(&[SIGKILL, SIGSTOP]) as usize, "KILL and STOP leave every mask");
}

fn sigaction_errors() {
    let action = [0usize; 4];
    for signal in [0, -1, 65] {
        assert_eq!(syscall!(SYS_rt_sigaction, signal, &action, 0, 8), Err(EINVAL));
    }
    assert_eq!(syscall!(SYS_rt_sigaction, SIGUSR1, &action, 0, 4), Err(EINVAL));
    assert_eq!(syscall!(SYS_rt_sigaction, SIGUSR1, 8, 0, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_rt_sigaction, SIGUSR1, 0, 8, 8), Err(EFAULT));
}

fn arguments_in_pages_never_touched() {
    let at = map_anonymous(4 * PAGE);
    catch(SIGUSR1, SA_RESTART);
    // Both lie across the edge of two pages that are not there yet.
    let (new, old) = (at + PAGE - 16, at + 3 * PAGE - 16);
    syscall!(SYS_rt_sigaction, SIGUSR1, new, old, 8).unwrap();
    assert_eq!(disposition(SIGUSR1).0, libc::SIG_DFL, "a page never touched is full of zeros");
    assert_eq!(word_at(old).load(SeqCst) as usize, recorder() & 0xffff_ffff);
    let at = map_anonymous(2 * PAGE);
    block(&[SIGUSR1]);
    syscall!(SYS_rt_sigprocmask, libc::SIG_SETMASK, at, at + PAGE, 8).unwrap();
    assert_eq!(current_mask(), NO_SIGNALS);
    assert_eq!(u64::from(word_at(at + PAGE).load(SeqCst)), mask_of(&[SIGUSR1]));
}

fn what_cannot_be_told_is_changed_all_the_same() {
    let ignore = [libc::SIG_IGN, 0, 0, 0];
    assert_eq!(syscall!(SYS_rt_sigaction, SIGUSR1, &ignore, 8, 8), Err(EFAULT));
    assert_eq!(disposition(SIGUSR1).0, libc::SIG_IGN);
    let read_only = map(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0).unwrap();
    assert_eq!(syscall!(SYS_rt_sigaction, SIGUSR1, &[0usize; 4], read_only, 8), Err(EFAULT));
    assert_eq!(disposition(SIGUSR1).0, libc::SIG_DFL);
    let one = mask_of(&[SIGUSR1]);
    assert_eq!(syscall!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &one, read_only, 8), Err(EFAULT));
    assert_eq!(current_mask(), one);
}

fn blocked_signals_wait() {
    catch(SIGUSR1, 0);
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    assert_eq!(delivered_signals(), []);
    assert_eq!(pending(), mask_of(&[SIGUSR1]));
    unblock(&[SIGUSR1]);
    assert_eq!(delivered_signals(), [SIGUSR1], "delivered before sigprocmask returned");
    assert_eq!(pending(), NO_SIGNALS);
}

fn procmask_how() {
    let (one, two) = (mask_of(&[SIGUSR1]), mask_of(&[SIGUSR2]));
    assert_eq!(change_mask(libc::SIG_SETMASK, one), NO_SIGNALS);
    assert_eq!(change_mask(libc::SIG_BLOCK, two), one);
    assert_eq!(change_mask(libc::SIG_UNBLOCK, one), one | two);
    assert_eq!(current_mask(), two);
    assert_eq!(syscall!(SYS_rt_sigprocmask, 7, &one, 0, 8), Err(EINVAL));
    assert_eq!(syscall!(SYS_rt_sigprocmask, 7, 0, 0, 8), Ok(0), "without a set, `how` is not looked at");
    assert_eq!(syscall!(SYS_rt_sigprocmask, 0, &one, 0, 16), Err(EINVAL));
    assert_eq!(syscall!(SYS_rt_sigprocmask, 0, 8, 0, 8), Err(EFAULT));
}

fn kill_and_stop_cannot_be_blocked() {
    change_mask(libc::SIG_SETMASK, !0);
    assert_eq!(current_mask(), !mask_of(&[SIGKILL, SIGSTOP]));
    let child = fork(|| wait_for_ever());
    child.finish();
}

fn ordinary_signals_do_not_queue() {
    catch(SIGUSR1, 0);
    block(&[SIGUSR1]);
    queue(getpid(), SIGUSR1, 1).unwrap();
    queue(getpid(), SIGUSR1, 2).unwrap();
    unblock(&[SIGUSR1]);
    let all = deliveries();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].value, 1, "the first one counts");
}

fn real_time_signals_queue_in_order() {
    let signal = 40;
    catch(signal, 0);
    block(&[signal]);
    for value in 0..50 {
        queue(getpid(), signal, value).unwrap();
    }
    unblock(&[signal]);
    let values: Vec<i32> = deliveries().iter().map(|delivery| delivery.value).collect();
    assert_eq!(values, (0..50).collect::<Vec<_>>());
}

fn lowest_real_time_signal_first() {
    // Handlers that block everything, so that they run one after the other.
    let signals = [45, 34, 64, 40, SIGUSR2, SIGUSR1];
    let all: Vec<i32> = (1..=64).collect();
    signals.iter().for_each(|signal| catch_masked(*signal, 0, &all));
    block(&signals);
    signals.iter().for_each(|signal| queue(getpid(), *signal, 0).unwrap());
    // All frames are set up before the first handler runs: with full masks they run in order.
    unblock(&signals);
    assert_eq!(delivered_signals(), [SIGUSR1, SIGUSR2, 34, 40, 45, 64]);
}

fn values_and_sender_arrive() {
    catch(SIGUSR1, SA_RESTART);
    let parent = getpid();
    queue(parent, SIGUSR1, 0x1234_5678).unwrap();
    kill(parent, SIGUSR1).unwrap();
    raise(SIGUSR1);
    let child = fork(|| kill(parent, SIGUSR1).unwrap());
    child.succeeds();
    let seen: Vec<(i32, i32)> = deliveries().iter().map(|one| (one.code, one.pid)).collect();
    assert_eq!(seen, [(SI_QUEUE, parent), (SI_USER, parent), (SI_TKILL, parent), (SI_USER, child.pid)]);
    assert_eq!(deliveries()[0].value, 0x1234_5678);
}

fn sigqueue_errors() {
    let info = [0i32; 32];
    let child = fork(|| wait_for_ever());
    // si_code SI_USER: only the kernel may say that about another process.
    assert_eq!(syscall!(SYS_rt_sigqueueinfo, child.pid, SIGUSR1, &info), Err(EPERM));
    let mut info = info;
    info[2] = SI_TKILL;
    assert_eq!(syscall!(SYS_rt_sigqueueinfo, child.pid, SIGUSR1, &info), Err(EPERM));
    assert_eq!(queue(child.pid, 65, 0), Err(EINVAL));
    assert_eq!(queue(99_999_999, SIGUSR1, 0), Err(ESRCH));
    assert_eq!(syscall!(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, 8), Err(EFAULT));
    assert_eq!(queue(child.pid, 0, 0), Ok(()));
    child.finish();
}

fn queue_limit_is_eagain() {
    let limit = libc::rlimit { rlim_cur: 20, rlim_max: libc::RLIM_INFINITY };
    // As a user of its own: the count is one per user.
    as_nobody_like(54_322, || {
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_SIGPENDING, &libc::rlimit { rlim_max: 20, ..limit }, 0)
            .unwrap();
        block(&[40, SIGUSR1]);
        let accepted = (0..100).take_while(|_| queue(getpid(), 40, 1).is_ok()).count();
        assert_eq!(accepted, 20);
        assert_eq!(queue(getpid(), 40, 1), Err(EAGAIN));
        assert_eq!(kill(getpid(), SIGUSR1), Ok(()), "kill never fails for want of room");
        assert_eq!(pending(), mask_of(&[40, SIGUSR1]));
    });
}

fn as_nobody_like(uid: u32, body: impl FnOnce()) {
    if syscall!(SYS_geteuid) == Ok(0) {
        fork_as(uid, uid, body).succeeds();
    } else {
        fork(body).succeeds();
    }
}

extern "C" fn raise_again(signal: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    static DEPTH: AtomicUsize = AtomicUsize::new(0);
    static DEEPEST: AtomicUsize = AtomicUsize::new(0);
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    let depth = DEPTH.fetch_add(1, Relaxed) + 1;
    DEEPEST.fetch_max(depth, Relaxed);
    if ROUNDS.fetch_add(1, Relaxed) < 3 {
        raise(signal);
    }
    if DEPTH.fetch_sub(1, Relaxed) == 1 && ROUNDS.load(Relaxed) == 4 {
        let _ = write(NESTING_REPORT.load(Relaxed), &[DEEPEST.load(Relaxed) as u8]);
    }
}

static NESTING_REPORT: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

/// How deep the handler above nested when it raised its own signal three times.
fn nesting_with(flags: i32) -> u8 {
    let (from, to) = pipe();
    fork(|| {
        NESTING_REPORT.store(to, std::sync::atomic::Ordering::Relaxed);
        on_signal(SIGUSR1, raise_again, flags);
        raise(SIGUSR1);
    })
    .succeeds();
    read_some(from, 1).unwrap()[0]
}

fn handler_blocks_its_own_signal() {
    assert_eq!(nesting_with(0), 1);
}

fn nodefer_lets_it_nest() {
    assert_eq!(nesting_with(SA_NODEFER), 4);
}

fn handler_mask_is_added_and_taken_back() {
    block(&[libc::SIGHUP]);
    catch_masked(SIGUSR1, 0, &[SIGUSR2, SIGKILL]);
    raise(SIGUSR1);
    assert_eq!(deliveries()[0].mask, mask_of(&[libc::SIGHUP, SIGUSR1, SIGUSR2]));
    assert_eq!(current_mask(), mask_of(&[libc::SIGHUP]));
    catch_masked(SIGUSR1, SA_NODEFER, &[SIGUSR2]);
    raise(SIGUSR1);
    assert_eq!(deliveries()[1].mask, mask_of(&[libc::SIGHUP, SIGUSR2]));
}

fn resethand_fires_once() {
    catch(SIGUSR1, SA_RESETHAND);
    raise(SIGUSR1);
    assert_eq!(disposition(SIGUSR1).0, libc::SIG_DFL);
    assert_eq!(deliveries()[0].mask, mask_of(&[SIGUSR1]), "RESETHAND does not imply NODEFER");
    assert_eq!(fork(|| raise(SIGUSR1)).wait(), Status::Killed(SIGUSR1));
}

fn ignoring_discards_pending_signals() {
    block(&[SIGUSR1, 40]);
    raise(SIGUSR1);
    queue(getpid(), 40, 1).unwrap();
    ignore(SIGUSR1);
    ignore(40);
    assert_eq!(pending(), NO_SIGNALS);
    catch(SIGUSR1, 0);
    unblock(&[SIGUSR1, 40]);
    assert_eq!(delivered_signals(), []);
    // The same for SIG_DFL where the default is to ignore.
    block(&[SIGCHLD]);
    catch(SIGCHLD, 0);
    raise(SIGCHLD);
    assert_eq!(pending(), mask_of(&[SIGCHLD]));
    reset(SIGCHLD);
    assert_eq!(pending(), NO_SIGNALS);
}

fn default_ignored_signals_are_not_kept() {
    raise(libc::SIGURG);
    raise(libc::SIGWINCH);
    assert_eq!(pending(), NO_SIGNALS);
}

fn blocked_ignored_signal_stays_pending() {
    ignore(SIGUSR1);
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    assert_eq!(pending(), mask_of(&[SIGUSR1]), "blocked signals are kept even if ignored");
    unblock(&[SIGUSR1]);
    assert_eq!(pending(), NO_SIGNALS);
}

fn sigchld_tells_how_the_child_ended() {
    catch(SIGCHLD, SA_RESTART);
    let exited = fork_status(|| 3);
    exited.wait();
    let killed = fork(|| wait_for_ever());
    killed.finish();
    let stopped = fork(|| wait_for_ever());
    stopped.kill(SIGSTOP);
    wait_until(|| times_delivered(SIGCHLD) == 3);
    stopped.kill(SIGCONT);
    wait_until(|| times_delivered(SIGCHLD) == 4);
    stopped.finish();
    let seen: Vec<(i32, i32, i32)> = deliveries().iter().map(|one| (one.code, one.pid, one.value)).collect();
    assert_eq!(
        seen,
        [
            (libc::CLD_EXITED, exited.pid, 3),
            (libc::CLD_KILLED, killed.pid, SIGKILL),
            (libc::CLD_STOPPED, stopped.pid, SIGSTOP),
            (libc::CLD_CONTINUED, stopped.pid, SIGCONT),
            (libc::CLD_KILLED, stopped.pid, SIGKILL),
        ]
    );
}

fn nocldstop() {
    catch(SIGCHLD, SA_NOCLDSTOP | SA_RESTART);
    let child = fork(|| wait_for_ever());
    child.kill(SIGSTOP);
    assert_eq!(child.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGSTOP)), "wait still sees it");
    child.kill(SIGCONT);
    assert_eq!(child.wait_with(libc::WCONTINUED), Ok(Status::Continued));
    assert_eq!(delivered_signals(), []);
    child.finish();
    assert_eq!(delivered_signals(), [SIGCHLD]);
}

fn stop_discards_cont_and_back() {
    block(&[SIGCONT, libc::SIGTSTP]);
    catch(SIGCONT, 0);
    raise(SIGCONT);
    assert_eq!(pending(), mask_of(&[SIGCONT]));
    raise(libc::SIGTSTP);
    assert_eq!(pending(), mask_of(&[libc::SIGTSTP]), "a stop signal removes SIGCONT");
    raise(SIGCONT);
    assert_eq!(pending(), mask_of(&[SIGCONT]), "SIGCONT removes stop signals");
}

fn cont_wakes_even_when_blocked_or_ignored() {
    let child = fork(|| {
        block(&[SIGCONT]);
        raise(SIGSTOP);
        unblock(&[SIGCONT]);
        ignore(SIGCONT);
        raise(SIGSTOP);
    });
    for _ in 0..2 {
        assert_eq!(child.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGSTOP)));
        child.kill(SIGCONT);
    }
    child.succeeds();
}

/// A child that stops again as soon as it goes on: no report of a stop is lost to that of the continuation before it.
fn every_stop_is_told_however_quickly_it_follows() {
    for threads in [1, 3] {
        let child = fork(|| {
            let stop = || {
                loop {
                    raise(SIGSTOP);
                }
            };
            (1..threads).for_each(|_| drop(std::thread::spawn(stop)));
            stop();
        });
        for _ in 0..rounds(300) {
            assert_eq!(child.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGSTOP)));
            child.kill(SIGCONT);
        }
        child.finish();
    }
}

fn stopped_process_runs_handler_after_cont() {
    let (from, to) = pipe();
    let ready = Gate::new();
    let child = fork(|| {
        catch(SIGUSR1, 0);
        ready.open();
        wait_until(|| times_delivered(SIGUSR1) == 1);
        write(to, b"!").unwrap();
    });
    ready.pass();
    child.kill(SIGSTOP);
    wait_until_stopped(child.pid);
    child.kill(SIGUSR1);
    assert_eq!(pending_of(child.pid), mask_of(&[SIGUSR1]));
    assert_eq!(readable_bytes(from), 0);
    child.kill(SIGCONT);
    child.succeeds();
    assert_eq!(readable_bytes(from), 1);
}

fn stop_stops_all_threads() {
    let counter = map_shared(PAGE);
    let child = fork(|| {
        for thread in 0..3 {
            std::thread::spawn(move || {
                loop {
                    word_at(counter + 4 * thread).fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    sleep_a_tick();
                }
            });
        }
        wait_for_ever();
    });
    let counts = || [0, 4, 8].map(|at| word_at(counter + at).load(std::sync::atomic::Ordering::Relaxed));
    wait_until(|| counts().iter().all(|count| *count > 0));
    child.kill(SIGSTOP);
    assert_eq!(child.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGSTOP)));
    let stopped_at = counts();
    for _ in 0..20 {
        sleep_a_tick();
    }
    assert_eq!(counts(), stopped_at, "a thread ran on while the process was stopped");
    child.kill(SIGCONT);
    wait_until(|| counts().iter().zip(stopped_at).all(|(now, then)| *now > then));
    child.finish();
}

use super::signal_frame::*;

fn kill_prefers_a_thread_that_listens() {
    catch(SIGUSR1, 0);
    let gate = Gate::new();
    let listener = std::thread::spawn(move || {
        let tid = gettid();
        unblock(&[SIGUSR1]);
        gate.open();
        wait_until(|| times_delivered(SIGUSR1) == 10);
        tid
    });
    block(&[SIGUSR1]);
    // The new thread may have inherited an open mask; it listens in any case.
    gate.pass();
    for round in 1..=10 {
        kill(getpid(), SIGUSR1).unwrap();
        wait_until(|| times_delivered(SIGUSR1) == round);
    }
    let tid = listener.join().unwrap();
    assert!(deliveries().iter().all(|delivery| delivery.tid == tid));
}

fn tgkill_reaches_that_thread_only() {
    catch(SIGUSR1, 0);
    let (ids_from, ids_to) = pipe();
    let gate = Gate::new();
    let threads: Vec<_> = (0..5)
        .map(|_| {
            std::thread::spawn(move || {
                write(ids_to, &gettid().to_ne_bytes()).unwrap();
                gate.pass();
            })
        })
        .collect();
    let ids: Vec<i32> =
        (0..5).map(|_| i32::from_ne_bytes(read_some(ids_from, 4).unwrap().try_into().unwrap())).collect();
    for (round, tid) in ids.iter().enumerate() {
        tgkill(getpid(), *tid, SIGUSR1).unwrap();
        wait_until(|| times_delivered(SIGUSR1) == round + 1);
    }
    let receivers: Vec<i32> = deliveries().iter().map(|delivery| delivery.tid).collect();
    assert_eq!(receivers, ids);
    threads.iter().for_each(|_| gate.open());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn thread_directed_before_process_directed() {
    let all: Vec<i32> = (1..=64).collect();
    catch_masked(SIGUSR1, 0, &all);
    catch_masked(SIGTERM, 0, &all);
    block(&[SIGUSR1, SIGTERM]);
    kill(getpid(), SIGUSR1).unwrap();
    raise(SIGTERM);
    unblock(&[SIGUSR1, SIGTERM]);
    assert_eq!(delivered_signals(), [SIGTERM, SIGUSR1], "the thread's own queue comes first");
}

fn pending_set_of_thread_and_process() {
    block(&[SIGUSR1, SIGUSR2]);
    kill(getpid(), SIGUSR1).unwrap();
    raise(SIGUSR2);
    assert_eq!(pending(), mask_of(&[SIGUSR1, SIGUSR2]));
    let others = std::thread::spawn(pending).join().unwrap();
    assert_eq!(others, mask_of(&[SIGUSR1]), "only what is meant for the whole process");
}

/// Two processes shoot at each other; real-time signals are neither lost nor doubled.
fn many_signals_between_two_processes() {
    const ROUNDS: i32 = 500;
    let signal = 50;
    block(&[signal]);
    let parent = getpid();
    let child = fork(|| {
        for round in 0..ROUNDS {
            assert_eq!(timed_wait(mask_of(&[signal]), None), Ok((signal, SI_QUEUE, round)));
            queue(parent, signal, round * 2).unwrap();
        }
    });
    for round in 0..ROUNDS {
        queue(child.pid, signal, round).unwrap();
        assert_eq!(timed_wait(mask_of(&[signal]), None), Ok((signal, SI_QUEUE, round * 2)));
    }
    child.succeeds();
}
