//! Making processes and waiting for them (fork(2), vfork(2), wait(2), exit(2)).

use crate::harness::{Case, case, or_skip, rounds};
use crate::sys::*;
use libc::{SIGCHLD, SIGKILL, SIGSTOP, SIGTERM, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, WUNTRACED};

pub(crate) const CASES: &[Case] = &[
    case!(fork_gives_a_child_with_a_new_id),
    case!(memory_is_copied_not_shared),
    case!(descriptors_share_the_offset),
    case!(pending_signals_are_not_inherited),
    case!(fork_keeps_mask_and_handlers),
    case!(many_children_at_once),
    case!(wait_reports_exit_and_signal),
    case!(wait_blocks_until_the_child_ends),
    case!(wait_without_children),
    case!(wait_for_somebody_elses_child),
    case!(wait_nohang),
    case!(wait_for_a_process_group),
    case!(wait_bad_options),
    case!(wait_status_to_a_bad_pointer_still_reaps),
    case!(wait_untraced_and_continued),
    case!(waitid_reports_in_full),
    case!(waitid_nowait_leaves_the_zombie),
    case!(waitid_stop_and_continue),
    case!(waitid_argument_errors),
    case!(waitid_nohang_zeroes_the_info),
    case!(waitid_by_pidfd),
    case!(wait_is_interrupted_and_restarted),
    case!(sigchld_of_the_awaited_child_does_not_interrupt),
    case!(wait_returns_usage),
    case!(ignored_sigchld_reaps_by_itself),
    case!(sa_nocldwait_reaps_by_itself),
    case!(zombie_keeps_its_id_until_reaped),
    case!(zombie_has_closed_its_descriptors),
    case!(orphans_go_to_the_subreaper),
    case!(orphaned_zombies_are_inherited),
    case!(parent_death_signal),
    case!(exit_group_ends_every_thread),
    case!(exit_of_the_first_thread_is_not_the_end),
    case!(another_threads_child_can_be_waited_for),
    case!(wnothread_sees_only_own_children),
];

fn fork_gives_a_child_with_a_new_id() {
    let parent = getpid();
    let child = fork(|| {
        assert_eq!(getppid(), parent);
        assert_ne!(getpid(), parent);
        assert_eq!(gettid(), getpid());
    });
    assert!(child.pid > 0);
    child.succeeds();
}

fn memory_is_copied_not_shared() {
    let memory = map_anonymous(64 * PAGE);
    (0..64).for_each(|page| poke(memory + page * PAGE, 1));
    let (ready, go) = (Gate::new(), Gate::new());
    let child = fork(|| {
        (0..32).for_each(|page| poke(memory + page * PAGE, 2));
        ready.open();
        go.pass();
        assert!((32..64).all(|page| peek(memory + page * PAGE) == 1), "the parent's writes are seen");
        assert!((0..32).all(|page| peek(memory + page * PAGE) == 2));
    });
    ready.pass();
    assert!((0..64).all(|page| peek(memory + page * PAGE) == 1), "the child's writes are seen");
    (0..64).for_each(|page| poke(memory + page * PAGE, 3));
    go.open();
    child.succeeds();
}

fn descriptors_share_the_offset() {
    create(c"file", b"0123456789");
    let file = open(c"file", libc::O_RDONLY).unwrap();
    fork(|| assert_eq!(read_some(file, 4), Ok(b"0123".to_vec()))).succeeds();
    assert_eq!(read_some(file, 2), Ok(b"45".to_vec()));
    fork(|| close(file).unwrap()).succeeds();
    assert_eq!(read_some(file, 2), Ok(b"67".to_vec()), "the child closed only its own number");
}

fn pending_signals_are_not_inherited() {
    block(&[libc::SIGUSR1]);
    raise(libc::SIGUSR1);
    fork(|| assert_eq!(pending(), NO_SIGNALS)).succeeds();
    assert_eq!(pending(), mask_of(&[libc::SIGUSR1]));
}

fn fork_keeps_mask_and_handlers() {
    catch(libc::SIGUSR1, libc::SA_NODEFER);
    block(&[libc::SIGUSR2, libc::SIGHUP]);
    fork(|| {
        assert_eq!(current_mask(), mask_of(&[libc::SIGUSR2, libc::SIGHUP]));
        assert_eq!(disposition(libc::SIGUSR1).0, recorder());
        raise(libc::SIGUSR1);
        assert_eq!(times_delivered(libc::SIGUSR1), 1);
    })
    .succeeds();
    assert_eq!(times_delivered(libc::SIGUSR1), 0);
}

fn many_children_at_once() {
    let gate = Gate::new();
    let children: Vec<Child> = (0..100)
        .map(|code| {
            fork_status(|| {
                gate.pass();
                code
            })
        })
        .collect();
    children.iter().for_each(|_| gate.open());
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..100 {
        let (pid, status) = wait4(-1, 0).unwrap();
        assert!(seen.insert(pid, status).is_none(), "{pid} was reaped twice");
    }
    for (code, child) in children.iter().enumerate() {
        assert_eq!(seen.get(&child.pid), Some(&Status::Exited(code as i32)));
    }
    assert_eq!(wait4(-1, 0), Err(ECHILD));
}

fn wait_reports_exit_and_signal() {
    assert_eq!(fork_status(|| 42).wait(), Status::Exited(42));
    for signal in [SIGKILL, SIGTERM, libc::SIGUSR1, libc::SIGALRM, 34, 64] {
        let child = fork(|| wait_for_ever());
        child.kill(signal);
        assert_eq!(child.wait(), Status::Killed(signal));
    }
}

fn wait_blocks_until_the_child_ends() {
    let gate = Gate::new();
    let middle = fork(|| {
        let child = fork_status(|| {
            gate.pass();
            3
        });
        assert_eq!(child.wait(), Status::Exited(3));
    });
    wait_until_blocked(middle.pid);
    gate.open();
    middle.succeeds();
}

fn wait_without_children() {
    assert_eq!(wait4(-1, 0), Err(ECHILD));
    assert_eq!(wait4(-1, WNOHANG), Err(ECHILD));
    assert_eq!(wait4(getpid(), 0), Err(ECHILD));
    assert_eq!(wait4(i32::MIN, 0), Err(ESRCH));
    assert_eq!(waitid(libc::P_ALL, 0, WEXITED), Err(ECHILD));
}

fn wait_for_somebody_elses_child() {
    let gate = Gate::new();
    let (ids_from, ids_to) = pipe();
    let middle = fork(|| {
        let inner = fork(|| gate.pass());
        write(ids_to, &inner.pid.to_ne_bytes()).unwrap();
        inner.succeeds();
    });
    let inner = i32::from_ne_bytes(read_some(ids_from, 4).unwrap().try_into().unwrap());
    assert_eq!(wait4(inner, WNOHANG), Err(ECHILD), "a grandchild");
    assert_eq!(wait4(getppid(), WNOHANG), Err(ECHILD), "the parent");
    gate.open();
    middle.succeeds();
}

fn wait_nohang() {
    let gate = Gate::new();
    let child = fork(|| gate.pass());
    assert_eq!(wait4(child.pid, WNOHANG).unwrap().0, 0);
    assert_eq!(wait4(-1, WNOHANG).unwrap().0, 0);
    gate.open();
    wait_until_zombie(child.pid);
    assert_eq!(wait4(-1, WNOHANG), Ok((child.pid, Status::Exited(0))));
}

fn wait_for_a_process_group() {
    let gate = Gate::new();
    let other = fork(|| gate.pass());
    setpgid(other.pid, other.pid).unwrap();
    let own = fork_status(|| 4);
    assert_eq!(wait4(0, 0), Ok((own.pid, Status::Exited(4))));
    assert_eq!(wait4(0, 0), Err(ECHILD), "the other child is in another group");
    assert_eq!(wait4(-other.pid, WNOHANG).unwrap().0, 0);
    gate.open();
    assert_eq!(wait4(-other.pid, 0), Ok((other.pid, Status::Exited(0))));
    assert_eq!(wait4(-other.pid, 0), Err(ECHILD));
}

fn wait_bad_options() {
    let child = fork(|| ());
    assert_eq!(wait4(child.pid, 0x10), Err(EINVAL));
    assert_eq!(wait4(child.pid, WEXITED), Err(EINVAL), "WEXITED is waitid's alone");
    child.succeeds();
}

fn wait_status_to_a_bad_pointer_still_reaps() {
    let child = fork(|| ());
    assert_eq!(syscall!(SYS_wait4, child.pid, 8, 0, 0), Err(EFAULT));
    assert_eq!(wait4(child.pid, 0), Err(ECHILD));
    let child = fork(|| ());
    assert_eq!(syscall!(SYS_wait4, child.pid, 0, 0, 0), Ok(child.pid as usize), "no status wanted");
}

fn wait_untraced_and_continued() {
    let child = fork(|| wait_for_ever());
    child.kill(SIGSTOP);
    assert_eq!(child.wait_with(WUNTRACED), Ok(Status::Stopped(SIGSTOP)));
    assert_eq!(wait4(child.pid, WUNTRACED | WNOHANG).unwrap().0, 0, "one stop is reported once");
    child.kill(libc::SIGCONT);
    assert_eq!(child.wait_with(WCONTINUED), Ok(Status::Continued));
    assert_eq!(wait4(child.pid, WCONTINUED | WNOHANG).unwrap().0, 0);
    child.kill(SIGSTOP);
    wait_until_stopped(child.pid);
    assert_eq!(wait4(child.pid, WNOHANG).unwrap().0, 0, "stops are not reported unasked");
    child.finish();
}

fn own_uid() -> u32 {
    syscall!(SYS_getuid).unwrap() as u32
}

fn waitid_reports_in_full() {
    let info = |pid, code, status| ChildInfo { pid, code, status, uid: own_uid(), signal: SIGCHLD };
    let child = fork_status(|| 0x1ff);
    let report = waitid(libc::P_PID, child.pid, WEXITED);
    assert_eq!(report, Ok(info(child.pid, libc::CLD_EXITED, 0xff)));
    let child = fork(|| wait_for_ever());
    child.kill(SIGTERM);
    let report = waitid(libc::P_ALL, 0, WEXITED);
    assert_eq!(report, Ok(info(child.pid, libc::CLD_KILLED, SIGTERM)));
    let child = fork(|| wait_for_ever());
    setpgid(child.pid, child.pid).unwrap();
    child.kill(SIGKILL);
    let report = waitid(libc::P_PGID, child.pid, WEXITED);
    assert_eq!(report, Ok(info(child.pid, libc::CLD_KILLED, SIGKILL)));
}

fn waitid_nowait_leaves_the_zombie() {
    let child = fork_status(|| 6);
    for _ in 0..3 {
        let report = waitid(libc::P_PID, child.pid, WEXITED | WNOWAIT).unwrap();
        assert_eq!((report.pid, report.status), (child.pid, 6));
    }
    assert_eq!(child.wait(), Status::Exited(6));
}

fn waitid_stop_and_continue() {
    let child = fork(|| wait_for_ever());
    let look = |options| waitid(libc::P_PID, child.pid, options).map(|report| (report.code, report.status));
    child.kill(SIGSTOP);
    assert_eq!(look(WSTOPPED | WNOWAIT), Ok((libc::CLD_STOPPED, SIGSTOP)));
    assert_eq!(look(WSTOPPED), Ok((libc::CLD_STOPPED, SIGSTOP)));
    child.kill(libc::SIGCONT);
    assert_eq!(look(WCONTINUED), Ok((libc::CLD_CONTINUED, libc::SIGCONT)));
    child.finish();
}

fn waitid_argument_errors() {
    let child = fork(|| ());
    assert_eq!(waitid(libc::P_PID, child.pid, 0), Err(EINVAL), "nothing to wait for");
    assert_eq!(waitid(libc::P_PID, child.pid, WNOHANG), Err(EINVAL));
    assert_eq!(waitid(17, child.pid, WEXITED), Err(EINVAL));
    assert_eq!(waitid(libc::P_PID, 0, WEXITED), Err(EINVAL));
    assert_eq!(waitid(libc::P_PID, -3, WEXITED), Err(EINVAL));
    assert_eq!(waitid(libc::P_PID, child.pid, WEXITED | 0x100), Err(EINVAL));
    child.succeeds();
}

fn waitid_nohang_zeroes_the_info() {
    let child = fork(|| wait_for_ever());
    let mut info = [-1i32; 32];
    let result = syscall!(SYS_waitid, libc::P_PID, child.pid, &mut info, WEXITED | WNOHANG, 0);
    assert_eq!(result, Ok(0));
    assert_eq!((info[0], info[4]), (0, 0), "si_signo and si_pid");
    child.finish();
}

fn waitid_by_pidfd() {
    let gate = Gate::new();
    let child = fork_status(|| {
        gate.pass();
        8
    });
    let pidfd = or_skip(syscall!(SYS_pidfd_open, child.pid, 0)) as Fd;
    assert_eq!(events_now(pidfd, libc::POLLIN), 0);
    gate.open();
    let mut set = [pollfd(pidfd, libc::POLLIN)];
    assert_eq!(poll(&mut set, -1), Ok(1), "a pidfd is readable when the process has ended");
    let report = waitid(libc::P_PIDFD, pidfd, WEXITED).unwrap();
    assert_eq!((report.pid, report.status), (child.pid, 8));
    assert_eq!(syscall!(SYS_pidfd_send_signal, pidfd, 0, 0, 0), Err(ESRCH));
    assert_eq!(waitid(libc::P_PIDFD, pidfd, WEXITED), Err(ECHILD));
}

fn wait_is_interrupted_and_restarted() {
    for (flags, expected) in [(0, Err(EINTR)), (libc::SA_RESTART, Ok(Status::Exited(1)))] {
        let gate = Gate::new();
        let middle = fork(|| {
            catch(libc::SIGUSR1, flags);
            let child = fork_status(|| {
                gate.pass();
                1
            });
            assert_eq!(child.wait_with(0), expected);
            assert_eq!(times_delivered(libc::SIGUSR1), 1);
        });
        wait_until_blocked(middle.pid);
        middle.kill(libc::SIGUSR1);
        wait_until_signal_taken(middle.pid, libc::SIGUSR1);
        gate.open();
        middle.succeeds();
    }
}

/// The signal of the very child that is waited for comes with the child: the call finds it, though the handler lets
/// nothing restart.
fn sigchld_of_the_awaited_child_does_not_interrupt() {
    catch(SIGCHLD, libc::SA_NOCLDSTOP);
    for _ in 0..rounds(500) {
        let gate = Gate::new();
        let child = fork(|| gate.pass());
        gate.open();
        assert_eq!(child.wait_with(0), Ok(Status::Exited(0)));
    }
}

fn wait_returns_usage() {
    let child = fork(|| {
        let start = clock_now(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap();
        while clock_now(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap() < start + 30_000_000 {}
    });
    let mut usage: libc::rusage = zeroed();
    assert_eq!(syscall!(SYS_wait4, child.pid, 0, 0, &mut usage), Ok(child.pid as usize));
    let spent = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    assert!(spent(usage.ru_utime) + spent(usage.ru_stime) >= 20_000, "30 ms were burnt");
    let mut children: libc::rusage = zeroed();
    syscall!(SYS_getrusage, libc::RUSAGE_CHILDREN, &mut children).unwrap();
    assert!(spent(children.ru_utime) + spent(children.ru_stime) >= 20_000);
}

fn ignored_sigchld_reaps_by_itself() {
    ignore(SIGCHLD);
    let children: Vec<Child> = (0..5).map(fork_code).collect();
    assert_eq!(wait4(-1, 0), Err(ECHILD), "wait lasts until all are gone");
    assert!(children.iter().all(|child| !exists(child.pid)));
}

fn fork_code(code: i32) -> Child {
    fork_status(|| code)
}

fn sa_nocldwait_reaps_by_itself() {
    catch(SIGCHLD, libc::SA_NOCLDWAIT | libc::SA_RESTART);
    let child = fork_code(3);
    assert_eq!(wait4(child.pid, 0), Err(ECHILD));
    assert_eq!(times_delivered(SIGCHLD), 1, "the signal is still sent");
}

fn zombie_keeps_its_id_until_reaped() {
    let child = fork(|| ());
    wait_until_zombie(child.pid);
    assert_eq!(kill(child.pid, 0), Ok(()));
    assert_eq!(kill(child.pid, SIGTERM), Ok(()), "signals to a zombie vanish");
    assert_eq!(getpgid(child.pid), getpgid(0));
    child.succeeds();
    assert_eq!(kill(child.pid, 0), Err(ESRCH));
}

fn zombie_has_closed_its_descriptors() {
    let (from, to) = pipe();
    let child = fork(|| ());
    close(to).unwrap();
    wait_until_zombie(child.pid);
    assert_eq!(events_now(from, libc::POLLIN), libc::POLLHUP);
    child.succeeds();
    assert_eq!(read(from, &mut [0]), Ok(0));
}

fn become_subreaper() {
    syscall!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).unwrap();
}

fn orphans_go_to_the_subreaper() {
    become_subreaper();
    let own = getpid();
    let gate = Gate::new();
    let (ids_from, ids_to) = pipe();
    let middle = fork(|| {
        fork(|| {
            write(ids_to, &getpid().to_ne_bytes()).unwrap();
            gate.pass();
            assert_eq!(getppid(), own);
        });
    });
    middle.succeeds();
    let orphan = i32::from_ne_bytes(read_some(ids_from, 4).unwrap().try_into().unwrap());
    gate.open();
    assert_eq!(wait4(-1, 0), Ok((orphan, Status::Exited(0))));
}

fn orphaned_zombies_are_inherited() {
    become_subreaper();
    let middle = fork(|| {
        let zombie = fork_code(9);
        wait_until_zombie(zombie.pid);
    });
    middle.succeeds();
    let (_, status) = wait4(-1, 0).unwrap();
    assert_eq!(status, Status::Exited(9));
}

fn parent_death_signal() {
    become_subreaper();
    let (ready, go) = (Gate::new(), Gate::new());
    let middle = fork(|| {
        fork(|| {
            syscall!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGUSR2, 0, 0, 0).unwrap();
            ready.open();
            wait_for_ever();
        });
        go.pass();
    });
    ready.pass();
    go.open();
    middle.succeeds();
    assert_eq!(wait4(-1, 0).unwrap().1, Status::Killed(libc::SIGUSR2));
}

fn exit_group_ends_every_thread() {
    let child = fork(|| {
        let gate = Gate::new();
        for _ in 0..10 {
            std::thread::spawn(|| wait_for_ever());
        }
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop()
            }
        });
        std::thread::spawn(move || {
            gate.pass();
            exit_group(33);
        });
        gate.open();
        wait_for_ever();
    });
    assert_eq!(child.wait(), Status::Exited(33));
}

fn exit_of_the_first_thread_is_not_the_end() {
    let gate = Gate::new();
    let child = fork(|| {
        std::thread::spawn(move || {
            gate.pass();
            exit_group(21);
        });
        exit_thread(5);
    });
    wait_until_zombie(child.pid);
    assert_eq!(wait4(child.pid, WNOHANG).unwrap().0, 0, "a thread of it is still running");
    gate.open();
    assert_eq!(child.wait(), Status::Exited(21));
    // If all threads leave one by one, the last one's code counts (since Linux 5.19).
    let child = fork(|| {
        let first = gettid();
        std::thread::spawn(move || {
            wait_until(|| thread_state(first).is_ok_and(|state| state == b'Z'));
            exit_thread(6);
        });
        exit_thread(5);
    });
    assert_eq!(child.wait(), Status::Exited(6));
}

fn another_threads_child_can_be_waited_for() {
    let child = std::thread::spawn(|| fork_code(7)).join().unwrap();
    assert_eq!(child.wait(), Status::Exited(7));
    let gate = Gate::new();
    let child = fork_status(|| {
        gate.pass();
        8
    });
    let waiter = std::thread::spawn(move || child.wait());
    gate.open();
    assert_eq!(waiter.join().unwrap(), Status::Exited(8));
}

fn wnothread_sees_only_own_children() {
    const WNOTHREAD: i32 = 0x2000_0000;
    let gate = Gate::new();
    let maker = std::thread::spawn(move || {
        let child = fork_code(7);
        gate.pass();
        assert_eq!(child.wait_with(WNOTHREAD), Ok(Status::Exited(7)));
    });
    assert_eq!(wait4(-1, WNOTHREAD), Err(ECHILD));
    gate.open();
    maker.join().unwrap();
}
