//! clone(2) and clone3(2) with flags that the C library does not use for fork.

use crate::harness::{Case, case, or_skip, rounds};
use crate::sys::*;
use libc::{SIGCHLD, WEXITED};

pub(crate) const CASES: &[Case] = &[
    case!(vfork_runs_the_child_first),
    case!(clone_with_an_exit_signal),
    case!(adoption_takes_the_exit_signal_back),
    case!(clone_parent_makes_a_sibling),
    case!(clone3_fills_tids_and_checks_its_structure),
    case!(clone3_gives_a_pidfd),
    case!(clone_flag_rules),
    case!(fork_under_a_process_limit).root(),
    case!(ids_grow_and_are_not_reused_at_once),
];

fn vfork_runs_the_child_first() {
    // CLONE_VFORK without CLONE_VM: the parent sleeps until the child ends, memory is apart.
    let (from, to) = pipe();
    let flags = libc::CLONE_VFORK | SIGCHLD;
    let pid = syscall!(SYS_clone, flags, 0, 0, 0, 0).unwrap() as i32;
    if pid == 0 {
        let _ = syscall!(SYS_nanosleep, &milliseconds(20), 0);
        let _ = write(to, b"done");
        exit_group(5);
    }
    assert_eq!(readable_bytes(from), 4, "the parent went on before the child ended");
    // The parent goes on when the memory is let go, a moment before the child is a zombie.
    assert_eq!(wait4(pid, 0), Ok((pid, Status::Exited(5))));
    // An exec lets the parent go on as well.
    let gate = Gate::new();
    let pid = syscall!(SYS_clone, flags, 0, 0, 0, 0).unwrap() as i32;
    if pid == 0 {
        dup2(from, 0).unwrap();
        close(to).unwrap();
        exec_probe("cat", &[], &[]);
        exit_group(9);
    }
    gate.open();
    close(to).unwrap();
    assert_eq!(wait4(pid, 0), Ok((pid, Status::Exited(0))));
}

fn clone_with_an_exit_signal() {
    catch(libc::SIGUSR1, libc::SA_RESTART);
    let pid = syscall!(SYS_clone, libc::SIGUSR1, 0, 0, 0, 0).unwrap() as i32;
    if pid == 0 {
        exit_group(2);
    }
    const WCLONE: i32 = 0x8000_0000u32 as i32;
    const WALL: i32 = 0x4000_0000;
    assert_eq!(wait4(pid, 0), Err(ECHILD), "a child that does not send SIGCHLD needs WCLONE or WALL");
    assert_eq!(wait4(pid, WCLONE), Ok((pid, Status::Exited(2))));
    assert_eq!(times_delivered(libc::SIGUSR1), 1);
    let pid = syscall!(SYS_clone, 0, 0, 0, 0, 0).unwrap() as i32;
    if pid == 0 {
        exit_group(3);
    }
    assert_eq!(wait4(pid, WALL), Ok((pid, Status::Exited(3))));
    assert_eq!(times_delivered(libc::SIGUSR1), 1, "signal 0 means none");
}

/// A process ends the moment it is adopted: its new parent hears of it by SIGCHLD, never by the signal that its maker
/// had chosen for itself.
fn adoption_takes_the_exit_signal_back() {
    const WALL: i32 = 0x4000_0000;
    syscall!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).unwrap();
    block(&[libc::SIGUSR1]);
    for _ in 0..rounds(50) {
        let _ = fork(|| {
            let maker = getpid();
            for _ in 0..4 {
                if syscall!(SYS_clone, libc::SIGUSR1, 0, 0, 0, 0).unwrap() == 0 {
                    while getppid() == maker {}
                    exit_group(0);
                }
            }
        });
        let mut ended = 0;
        while let Ok((_, status)) = wait4(-1, WALL) {
            assert_eq!(status, Status::Exited(0));
            ended += 1;
        }
        assert_eq!(ended, 5);
        assert_eq!(pending() & mask_of(&[libc::SIGUSR1]), 0, "the adopter got its signal");
    }
}

fn clone_parent_makes_a_sibling() {
    let own = getpid();
    let middle = fork(|| {
        let pid = syscall!(SYS_clone, libc::CLONE_PARENT | SIGCHLD, 0, 0, 0, 0).unwrap();
        if pid == 0 {
            assert_eq!(getppid(), own);
            exit_group(11);
        }
        assert_eq!(wait4(-1, 0), Err(ECHILD));
    });
    middle.succeeds();
    assert_eq!(wait4(-1, 0).unwrap().1, Status::Exited(11));
}

fn clone3(arguments: &mut libc::clone_args) -> Sys<usize> {
    syscall!(SYS_clone3, arguments, size_of::<libc::clone_args>())
}

fn clone3_fills_tids_and_checks_its_structure() {
    let mut parent_tid = 0i32;
    let mut arguments: libc::clone_args = zeroed();
    arguments.flags = libc::CLONE_PARENT_SETTID as u64;
    arguments.parent_tid = &raw mut parent_tid as u64;
    arguments.exit_signal = SIGCHLD as u64;
    let pid = clone3(&mut arguments).unwrap() as i32;
    if pid == 0 {
        exit_group(12);
    }
    assert_eq!(parent_tid, pid);
    assert_eq!(wait4(pid, 0), Ok((pid, Status::Exited(12))));
    arguments.exit_signal = 65;
    assert_eq!(clone3(&mut arguments), Err(EINVAL));
    assert_eq!(syscall!(SYS_clone3, &mut arguments, 8), Err(EINVAL), "shorter than the first version");
    arguments.exit_signal = SIGCHLD as u64;
    arguments.flags = 1 << 63;
    assert_eq!(clone3(&mut arguments), Err(EINVAL));
}

fn clone3_gives_a_pidfd() {
    or_skip(match syscall!(SYS_pidfd_open, 0, 0) {
        Err(EINVAL) => Ok(0), // No such process: the kernel has pidfds.
        result => result,
    });
    let mut pidfd = -1i32;
    let mut arguments: libc::clone_args = zeroed();
    arguments.flags = libc::CLONE_PIDFD as u64;
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.exit_signal = SIGCHLD as u64;
    if clone3(&mut arguments).unwrap() == 0 {
        exit_group(12);
    }
    assert_eq!(fcntl(pidfd, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    assert_eq!(waitid(libc::P_PIDFD, pidfd, WEXITED).unwrap().status, 12);
}

fn clone_flag_rules() {
    for flags in [
        libc::CLONE_THREAD,
        libc::CLONE_THREAD | libc::CLONE_SIGHAND,
        libc::CLONE_SIGHAND,
        libc::CLONE_FS | libc::CLONE_NEWNS,
    ] {
        assert_eq!(syscall!(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0), Err(EINVAL), "flags {flags:#x}");
    }
    // CLONE_FILES and CLONE_FS really share.
    let pid = syscall!(SYS_clone, libc::CLONE_FILES | libc::CLONE_FS | SIGCHLD, 0, 0, 0, 0).unwrap() as i32;
    if pid == 0 {
        mkdir(c"deeper", 0o755).unwrap();
        syscall!(SYS_chdir, c"deeper").unwrap();
        syscall!(SYS_umask, 0o077).unwrap();
        dup2(1, 60).unwrap();
        exit_group(0);
    }
    assert_eq!(wait4(pid, 0), Ok((pid, Status::Exited(0))));
    assert!(is_open(60), "a descriptor made by the child");
    assert_eq!(syscall!(SYS_umask, 0o022), Ok(0o077));
    assert!(stat(c"../deeper").is_ok(), "the working folder moved with the child");
}

fn fork_under_a_process_limit() {
    // A user id that nobody else has, so that only our processes count.
    fork_as(54_321, 54_321, || {
        let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_NPROC, &limit, 0).unwrap();
        let children: Vec<Child> = (0..2).map(|_| fork(|| wait_for_ever())).collect();
        assert_eq!(syscall!(SYS_clone, SIGCHLD, 0, 0, 0, 0), Err(EAGAIN));
        children[0].finish();
        let another = fork(|| wait_for_ever());
        another.finish();
        children[1].finish();
    })
    .succeeds();
}

fn ids_grow_and_are_not_reused_at_once() {
    let ids: Vec<i32> = (0..20)
        .map(|_| {
            let child = fork(|| ());
            child.succeeds();
            child.pid
        })
        .collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 20, "an id came back at once: {ids:?}");
}
