//! Process groups, sessions and the permission to signal (setpgid(2), setsid(2), kill(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{SIGCONT, SIGKILL, SIGTERM, SIGUSR1};

pub(crate) const CASES: &[Case] = &[
    case!(setsid_makes_a_leader_of_everything),
    case!(setsid_by_a_group_leader_is_eperm),
    case!(setpgid_rules),
    case!(setpgid_of_a_child_after_exec_is_eacces),
    case!(setpgid_into_another_session_is_eperm),
    case!(setpgid_cannot_move_a_session_leader),
    case!(getpgid_and_getsid_errors),
    case!(groups_are_inherited),
    case!(kill_a_group),
    case!(kill_zero_signals_the_own_group),
    case!(kill_errors),
    case!(kill_permissions).root(),
    case!(kill_group_succeeds_if_one_may_be_signalled).root(),
    case!(sigcont_within_a_session).root(),
    case!(stopped_orphaned_group_gets_hup_and_cont),
    case!(orphaned_group_ignores_terminal_stops),
    case!(tgkill_errors),
    case!(sigkill_ends_a_stopped_process),
    case!(killing_a_blocked_process_frees_its_resources),
    case!(kill_minus_one).vm().root(),
];

fn setsid_makes_a_leader_of_everything() {
    fork(|| {
        let own = getpid();
        assert_eq!(setsid(), Ok(own));
        assert_eq!((getsid(0), getpgid(0)), (Ok(own), Ok(own)));
        assert_eq!(open(c"/dev/tty", libc::O_RDWR), Err(ENXIO), "a new session has no terminal");
        fork(|| assert_eq!((getsid(0), getpgid(0)), (Ok(own), Ok(own)))).succeeds();
    })
    .succeeds();
}

fn setsid_by_a_group_leader_is_eperm() {
    fork(|| {
        setpgid(0, 0).unwrap();
        assert_eq!(setsid(), Err(EPERM));
    })
    .succeeds();
    // A process that is no leader, but whose id names a living group.
    let gate = Gate::new();
    fork(|| {
        let own = getpid();
        setpgid(0, 0).unwrap();
        let member = fork(|| gate.pass());
        assert_eq!(getpgid(member.pid), Ok(own));
        setpgid(0, getpgid(getppid()).unwrap()).unwrap();
        assert_eq!(setsid(), Err(EPERM), "group {own} still has a member");
        gate.open();
        member.succeeds();
        assert_eq!(setsid(), Ok(own));
    })
    .succeeds();
}

fn setpgid_rules() {
    let child = fork(|| wait_for_ever());
    assert_eq!(setpgid(child.pid, 0), Ok(()));
    assert_eq!(getpgid(child.pid), Ok(child.pid));
    let second = fork(|| wait_for_ever());
    assert_eq!(setpgid(second.pid, child.pid), Ok(()), "join a group of the session");
    assert_eq!(setpgid(second.pid, getpgid(0).unwrap()), Ok(()));
    assert_eq!(setpgid(second.pid, 99_999_999), Err(EPERM), "no such group");
    assert_eq!(setpgid(second.pid, -1), Err(EINVAL));
    assert_eq!(setpgid(99_999_999, 0), Err(ESRCH));
    assert_eq!(setpgid(getppid(), 0), Err(ESRCH), "only oneself and children");
    child.finish();
    second.finish();
}

fn setpgid_of_a_child_after_exec_is_eacces() {
    let (from, to) = pipe();
    let child = fork(|| {
        dup2(from, 0).unwrap();
        close(to).unwrap();
        exec_probe("cat", &[], &[]);
    });
    wait_until(|| setpgid(child.pid, child.pid) == Err(EACCES));
    close(to).unwrap();
    child.succeeds();
}

fn setpgid_into_another_session_is_eperm() {
    let ready = Gate::new();
    let child = fork(|| {
        setsid().unwrap();
        ready.open();
        wait_for_ever();
    });
    ready.pass();
    assert_eq!(setpgid(0, child.pid), Err(EPERM));
    assert_eq!(setpgid(child.pid, getpgid(0).unwrap()), Err(EPERM), "the child is in another session");
    child.finish();
}

fn setpgid_cannot_move_a_session_leader() {
    fork(|| {
        setsid().unwrap();
        assert_eq!(setpgid(0, 0), Err(EPERM));
    })
    .succeeds();
}

fn getpgid_and_getsid_errors() {
    assert_eq!(getpgid(99_999_999), Err(ESRCH));
    assert_eq!(getsid(99_999_999), Err(ESRCH));
    assert_eq!(getpgid(-1), Err(ESRCH));
    assert_eq!(syscall!(SYS_getpgrp), Ok(getpgid(0).unwrap() as usize));
}

fn groups_are_inherited() {
    let (group, session) = (getpgid(0), getsid(0));
    fork(|| assert_eq!((getpgid(0), getsid(0)), (group, session))).succeeds();
}

fn kill_a_group() {
    let first = fork(|| wait_for_ever());
    setpgid(first.pid, first.pid).unwrap();
    let others: Vec<Child> = (0..3)
        .map(|_| {
            let child = fork(|| wait_for_ever());
            setpgid(child.pid, first.pid).unwrap();
            child
        })
        .collect();
    kill(-first.pid, SIGTERM).unwrap();
    for child in others.iter().chain([&first]) {
        assert_eq!(child.wait(), Status::Killed(SIGTERM));
    }
    assert_eq!(kill(-first.pid, 0), Err(ESRCH));
}

fn kill_zero_signals_the_own_group() {
    fork(|| {
        setpgid(0, 0).unwrap();
        catch(SIGUSR1, libc::SA_RESTART);
        let member = fork(|| wait_for_ever());
        wait_until_blocked(member.pid);
        kill(0, SIGUSR1).unwrap();
        assert_eq!(times_delivered(SIGUSR1), 1, "the sender belongs to its group");
        // The member has the handler too: the signal interrupts it and does not end it.
        wait_until_signal_taken(member.pid, SIGUSR1);
        member.finish();
    })
    .succeeds();
}

fn kill_errors() {
    assert_eq!(kill(getpid(), 65), Err(EINVAL));
    assert_eq!(kill(getpid(), -1), Err(EINVAL));
    assert_eq!(kill(99_999_999, 0), Err(ESRCH));
    assert_eq!(kill(-99_999_999, 0), Err(ESRCH));
    assert_eq!(kill(99_999_999, 65), Err(ESRCH), "the process is looked for first");
    assert_eq!(kill(i32::MIN, 0), Err(ESRCH));
}

fn kill_permissions() {
    let ready = Gate::new();
    let other = fork_as(1001, 1001, || {
        ready.open();
        wait_for_ever();
    });
    ready.pass();
    let root = getpid();
    fork_as(1002, 1002, || {
        assert_eq!(kill(other.pid, 0), Err(EPERM));
        assert_eq!(kill(other.pid, SIGTERM), Err(EPERM));
        assert_eq!(kill(root, 0), Err(EPERM));
        assert_eq!(tgkill(other.pid, other.pid, 0), Err(EPERM));
        assert_eq!(queue(other.pid, SIGUSR1, 1), Err(EPERM));
        assert_eq!(kill(getpid(), 0), Ok(()));
    })
    .succeeds();
    fork_as(1001, 1001, || assert_eq!(kill(other.pid, SIGTERM), Ok(()))).succeeds();
    assert_eq!(other.wait(), Status::Killed(SIGTERM));
    // The sender's real or effective id must be the target's real or saved id.
    let target = fork(|| {
        syscall!(SYS_setresuid, 1001, 1003, 1005).unwrap();
        ready.open();
        wait_for_ever();
    });
    ready.pass();
    let try_as = |uid: u32, expected: Sys<()>| {
        fork_as(uid, uid, || assert_eq!(kill(target.pid, 0), expected, "as {uid}")).succeeds();
    };
    try_as(1001, Ok(()));
    try_as(1005, Ok(()));
    try_as(1003, Err(EPERM));
    target.finish();
}

fn kill_group_succeeds_if_one_may_be_signalled() {
    let ready = Gate::new();
    let mut members = Vec::new();
    for uid in [1001, 1002] {
        let member = fork_as(uid, uid, || {
            ready.open();
            wait_for_ever();
        });
        ready.pass();
        let group = members.first().map_or(member.pid, |first: &Child| first.pid);
        setpgid(member.pid, group).unwrap();
        members.push(member);
    }
    let group = members[0].pid;
    fork_as(1003, 1003, || assert_eq!(kill(-group, SIGTERM), Err(EPERM))).succeeds();
    fork_as(1002, 1002, || assert_eq!(kill(-group, SIGTERM), Ok(()))).succeeds();
    assert_eq!(members[1].wait(), Status::Killed(SIGTERM));
    assert_eq!(wait4(members[0].pid, libc::WNOHANG).unwrap().0, 0);
    members[0].finish();
}

fn sigcont_within_a_session() {
    let ready = Gate::new();
    let other = fork_as(1001, 1001, || {
        ready.open();
        wait_for_ever();
    });
    ready.pass();
    fork_as(1002, 1002, || {
        assert_eq!(kill(other.pid, SIGCONT), Ok(()), "SIGCONT may go anywhere in the session");
        setsid().unwrap();
        assert_eq!(kill(other.pid, SIGCONT), Err(EPERM));
    })
    .succeeds();
    other.finish();
}

fn stopped_orphaned_group_gets_hup_and_cont() {
    syscall!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).unwrap();
    let (ids_from, ids_to) = pipe();
    let (ready, go) = (Gate::new(), Gate::new());
    // A session of its own, so that the group's only tie to the session is its parent.
    let middle = fork(|| {
        setsid().unwrap();
        let member = fork(|| {
            setpgid(0, 0).unwrap();
            catch(libc::SIGHUP, 0);
            catch(SIGCONT, 0);
            ready.open();
            raise(libc::SIGSTOP);
            let mut seen = delivered_signals();
            while seen.len() < 2 {
                sleep_a_tick();
                seen = delivered_signals();
            }
            seen.sort_unstable();
            assert_eq!(seen, [libc::SIGHUP, SIGCONT]);
        });
        ready.pass();
        wait_until_stopped(member.pid);
        write(ids_to, &member.pid.to_ne_bytes()).unwrap();
        go.pass();
    });
    let member = i32::from_ne_bytes(read_some(ids_from, 4).unwrap().try_into().unwrap());
    go.open();
    middle.succeeds();
    assert_eq!(wait4(member, 0), Ok((member, Status::Exited(0))));
}

fn orphaned_group_ignores_terminal_stops() {
    syscall!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).unwrap();
    // The leader of a new session is alone in an orphaned group: ^Z would stop it for ever.
    let child = fork(|| {
        setsid().unwrap();
        for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            raise(signal);
        }
    });
    assert_eq!(child.wait_with(libc::WUNTRACED), Ok(Status::Exited(0)));
    let child = fork(|| {
        setsid().unwrap();
        raise(libc::SIGSTOP);
    });
    assert_eq!(child.wait_with(libc::WUNTRACED), Ok(Status::Stopped(libc::SIGSTOP)));
    child.finish();
}

fn tgkill_errors() {
    let (pid, tid) = (getpid(), gettid());
    assert_eq!(tgkill(pid, 0, 0), Err(EINVAL));
    assert_eq!(tgkill(0, tid, 0), Err(EINVAL));
    assert_eq!(tgkill(pid, -1, 0), Err(EINVAL));
    assert_eq!(tgkill(pid, tid, 65), Err(EINVAL));
    assert_eq!(tgkill(getppid(), tid, 0), Err(ESRCH), "a thread of another process");
    assert_eq!(syscall!(SYS_tkill, tid, 0), Ok(0));
    assert_eq!(syscall!(SYS_tkill, 0, 0), Err(EINVAL));
}

fn sigkill_ends_a_stopped_process() {
    let child = fork(|| wait_for_ever());
    child.kill(libc::SIGSTOP);
    wait_until_stopped(child.pid);
    child.kill(SIGTERM);
    assert_eq!(wait4(child.pid, libc::WNOHANG).unwrap().0, 0, "SIGTERM waits for SIGCONT");
    assert_eq!(pending_of(child.pid), mask_of(&[SIGTERM]));
    child.finish();
}

fn killing_a_blocked_process_frees_its_resources() {
    // Killed in a blocking read of one pipe, the process gives up the end of another.
    let (blocker, _keep) = pipe();
    let (from, to) = pipe();
    let child = fork(|| {
        let _ = read(blocker, &mut [0]);
    });
    close(to).unwrap();
    wait_until_blocked(child.pid);
    child.kill(SIGKILL);
    assert_eq!(read(from, &mut [0]), Ok(0), "end of file");
    assert_eq!(child.wait(), Status::Killed(SIGKILL));
}

/// Runs only where nobody else's processes are. The caller and pid 1 are spared.
fn kill_minus_one() {
    let children: Vec<Child> = (0..3).map(|_| fork_as(1001, 1001, || wait_for_ever())).collect();
    // One that is root's still would be spared.
    children.iter().for_each(|child| wait_until_blocked(child.pid));
    let sender = fork_as(1001, 1001, || {
        wait_until(|| kill(-1, SIGTERM).is_ok());
    });
    sender.succeeds();
    let ended = children.iter().map(Child::wait).collect::<Vec<_>>();
    assert_eq!(ended, [Status::Killed(SIGTERM); 3]);
}
