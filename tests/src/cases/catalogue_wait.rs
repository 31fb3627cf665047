//! The part of the catalogue that is about waiting and about processes as descriptors, under its names. All of it is
//! what Linux does, but for the rights of descriptors.

use crate::harness::{Case, case, or_skip, rounds};
use crate::sys::*;
use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, P_PIDFD,
    POLLIN, SIGKILL, SIGUSR1, WEXITED, WNOHANG,
};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(abi_smoke),
    case!(epoll_pipe_semantics),
    case!(epoll_edge_oneshot_semantics),
    case!(epoll_ctl_del_race_semantics).deadlines(2),
    case!(epoll_pwait2_syscall_semantics),
    case!(ppoll_pselect6_syscall_semantics),
    case!(pidfd_syscall_semantics),
    case!(pidfd_syscall_functional),
    case!(waitid_pidfd_functional),
    case!(pidfd_getfd_syscall_functional).kairos(),
];

/// The errors that have nothing to do with handles: a baseline.
fn abi_smoke() {
    assert_eq!(open(c"missing", libc::O_RDONLY), Err(ENOENT));
    assert_eq!(syscall!(SYS_openat, -1, c"missing", libc::O_RDONLY), Err(EBADF));
    assert_eq!(read(-1, &mut [0; 1]), Err(EBADF));
    assert_eq!(write(-1, b"x"), Err(EBADF));
    assert_eq!(close(-1), Err(EBADF));
    assert_eq!(pipe2(0x4000_0000), Err(EINVAL));
    assert_eq!(dup2(-1, 42), Err(EBADF));
    assert_eq!(connect(socket(libc::SOCK_STREAM), &path_address(c"missing")), Err(ENOENT));
    let (mut value, mut length) = (0i32, 4u32);
    let option =
        syscall!(SYS_getsockopt, -1, libc::SOL_SOCKET, libc::SO_TYPE, &mut value, &mut length).map(drop);
    assert_eq!(option, Err(EBADF));
    assert_eq!(wait4(-1, 0).map(drop), Err(ECHILD));
    // Linux has no more than 4194304 processes, and a guest starts with few.
    assert_eq!(kill(99_999_999, 0), Err(ESRCH));
    assert_eq!(clock_now(-1), Err(EINVAL));
    let wrong = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    assert_eq!(syscall!(SYS_nanosleep, &wrong, 0), Err(EINVAL));
    // Who is no superuser hears that first.
    assert!(matches!(syscall!(SYS_umount2, c"/", 0x4000_0000), Err(EINVAL | EPERM)));
}

fn epoll_pipe_semantics() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_add(epoll, from, EPOLLIN | EPOLLHUP, 1);
    epoll_add(epoll, to, EPOLLOUT, 2);
    assert_eq!(epoll_wait(epoll, 8, 0), [(EPOLLOUT, 2)]);
    write(to, b"x").unwrap();
    let mut ready = epoll_wait(epoll, 8, 50);
    ready.sort_unstable();
    assert_eq!(ready, [(EPOLLIN, 1), (EPOLLOUT, 2)]);
    set_nonblocking(to);
    while write(to, &[0; 4096]).is_ok() {}
    assert_eq!(epoll_wait(epoll, 8, 0), [(EPOLLIN, 1)], "there is no room");
    assert_eq!(epoll_wait(epoll, 8, 50), [(EPOLLIN, 1)], "and level-triggered it is told again");
    set_nonblocking(from);
    while read(from, &mut [0; 4096]).is_ok() {}
    assert_eq!(epoll_wait(epoll, 8, 50), [(EPOLLOUT, 2)]);
    close(to).unwrap();
    assert_eq!(epoll_wait(epoll, 8, 50), [(EPOLLHUP, 1)]);
}

fn epoll_edge_oneshot_semantics() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_add(epoll, from, EPOLLIN | EPOLLET, 1);
    for _ in 0..4 {
        write(to, b"x").unwrap();
        assert_eq!(epoll_wait(epoll, 8, 50), [(EPOLLIN, 1)], "one report of each write");
        assert_eq!(epoll_wait(epoll, 8, 0), []);
    }
    read_some(from, 8).unwrap();
    epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN | EPOLLONESHOT, 2).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 8, 50), [(EPOLLIN, 2)]);
    write(to, b"y").unwrap();
    assert_eq!(epoll_wait(epoll, 8, 0), [], "silent, although there is more");
    epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN | EPOLLONESHOT, 3).unwrap();
    assert_eq!(epoll_wait(epoll, 8, 50), [(EPOLLIN, 3)], "what is pending is told at once");
}

/// A descriptor is added, waited for and removed while another thread writes to it.
fn epoll_ctl_del_race_semantics() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    set_nonblocking(from);
    let rounds = rounds(512);
    let writer = thread::spawn(move || (0..rounds).for_each(|_| assert_eq!(write(to, b"x"), Ok(1))));
    let remover = thread::spawn(move || {
        for _ in 0..rounds {
            match epoll_control(epoll, EPOLL_CTL_DEL, from, 0, 0) {
                Ok(_) | Err(ENOENT) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    let mut taken = 0;
    while taken < rounds {
        match epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 7) {
            Ok(_) | Err(EEXIST) => {}
            Err(error) => panic!("{error:?}"),
        }
        // It may have been removed again.
        let ready = epoll_wait(epoll, 8, 0);
        assert!(ready.is_empty() || ready == [(EPOLLIN, 7)], "{ready:?}");
        taken += read_some(from, 64).map_or(0, |bytes| bytes.len() as u64);
    }
    writer.join().unwrap();
    remover.join().unwrap();
    discard(epoll_control(epoll, EPOLL_CTL_DEL, from, 0, 0));
    assert_eq!(epoll_wait(epoll, 8, 0), []);
}

fn epoll_pwait2_syscall_semantics() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_add(epoll, from, EPOLLIN, 7);
    let mut events = [0u8; 24];
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let second = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    let wrong = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    assert_eq!(or_skip(syscall!(SYS_epoll_pwait2, epoll, &mut events, 2, &now, 0, 8)), 0);
    assert_eq!(syscall!(SYS_epoll_pwait2, epoll, &mut events, 0, &now, 0, 8), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_pwait2, epoll, &mut events, 2, &wrong, 0, 8), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_pwait2, epoll, &mut events, 2, &now, &0u64, 7), Err(EINVAL));
    write(to, b"x").unwrap();
    assert_eq!(syscall!(SYS_epoll_pwait2, epoll, 0, 2, &now, 0, 8), Err(EFAULT), "where it has to write");
    assert_eq!(syscall!(SYS_epoll_pwait2, epoll, &mut events, 2, &second, &0u64, 8), Ok(1));
    assert_eq!((events[0], events[4]), (EPOLLIN as u8, 7));
}

fn ppoll_pselect6_syscall_semantics() {
    let (from, to) = pipe();
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let second = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    let nothing_blocked = 0u64;
    let mut set = [pollfd(from, POLLIN)];
    let mut readers = [0u64; 16];
    let mut ppoll = |time: &libc::timespec, size: usize| {
        let mut time = *time;
        syscall!(SYS_ppoll, set.as_mut_ptr(), 1, &mut time, &nothing_blocked, size)
    };
    let mut pselect = |time: &libc::timespec, size: usize| {
        readers[0] = 1 << from;
        let (mut time, mask) = (*time, [std::ptr::from_ref(&nothing_blocked) as usize, size]);
        syscall!(SYS_pselect6, from + 1, readers.as_mut_ptr(), 0, 0, &mut time, &mask)
    };
    assert!(from < 64);
    assert_eq!((ppoll(&zero, 7), pselect(&zero, 7)), (Err(EINVAL), Err(EINVAL)));
    assert_eq!((ppoll(&zero, 8), pselect(&zero, 8)), (Ok(0), Ok(0)));
    write(to, b"x").unwrap();
    assert_eq!((ppoll(&second, 8), pselect(&second, 8)), (Ok(1), Ok(1)));
    read_some(from, 1).unwrap();
    // What is pending and not blocked during the call interrupts it, and the mask is what it was.
    catch(SIGUSR1, 0);
    let blocked = mask_of(&[SIGUSR1]);
    block(&[SIGUSR1]);
    for times in 1..=2 {
        raise(SIGUSR1);
        assert_eq!(pending(), blocked);
        assert_eq!(if times == 1 { ppoll(&second, 8) } else { pselect(&second, 8) }, Err(EINTR));
        assert_eq!((times_delivered(SIGUSR1), current_mask()), (times, blocked));
    }
    let mut time = zero;
    assert_eq!(syscall!(SYS_pselect6, 0, 0, 0, 0, &mut time, 0), Ok(0), "no descriptors at all");
    assert_eq!(syscall!(SYS_ppoll, 0, 0, &mut time, 0, 8), Ok(0));
}

fn pidfd_open(pid: i32, flags: i32) -> Sys<Fd> {
    syscall!(SYS_pidfd_open, pid, flags).map(|fd| fd as Fd)
}

fn pidfd_send(pidfd: Fd, signal: i32) -> Sys<()> {
    syscall!(SYS_pidfd_send_signal, pidfd, signal, 0, 0).map(drop)
}

fn pidfd_syscall_semantics() {
    let own = or_skip(syscall!(SYS_pidfd_open, getpid(), 0)) as Fd;
    assert_eq!(fcntl(own, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    assert_eq!(pidfd_open(getpid(), 1 << 31), Err(EINVAL));
    assert_eq!(pidfd_open(getpid(), libc::O_CLOEXEC), Err(EINVAL), "it is set without being asked for");
    assert_eq!((pidfd_open(0, 0), pidfd_open(-1, 0)), (Err(EINVAL), Err(EINVAL)));
    assert_eq!(pidfd_open(99_999_999, 0), Err(ESRCH));
    assert_eq!(pidfd_send(own, 0), Ok(()));
    // NSIG + 1.
    assert_eq!(pidfd_send(own, 66), Err(EINVAL));
    assert_eq!(pidfd_send(-1, 0), Err(EBADF));
    assert_eq!(pidfd_send(pipe().0, 0), Err(EBADF), "a descriptor of something else");
    assert_eq!(syscall!(SYS_pidfd_send_signal, own, 0, 1, 0), Err(EFAULT), "an information at 1");
    assert_eq!(syscall!(SYS_pidfd_send_signal, own, 0, 0, 1 << 30), Err(EINVAL));
}

fn pidfd_syscall_functional() {
    let child = fork(|| wait_for_ever());
    let pidfd = or_skip(syscall!(SYS_pidfd_open, child.pid, 0)) as Fd;
    assert_eq!(events_now(pidfd, POLLIN), 0);
    pidfd_send(pidfd, SIGKILL).unwrap();
    assert_eq!(poll(&mut [pollfd(pidfd, POLLIN)], -1), Ok(1));
    assert_eq!(events_now(pidfd, POLLIN), POLLIN);
    child.wait();
    assert_eq!(pidfd_send(pidfd, 0), Err(ESRCH));
    assert_eq!(pidfd_open(child.pid, 0), Err(ESRCH));
}

fn waitid_pidfd_functional() {
    let child = fork_status(|| 42);
    let pidfd = or_skip(syscall!(SYS_pidfd_open, child.pid, 0)) as Fd;
    let ended = waitid(P_PIDFD, pidfd, WEXITED).unwrap();
    assert_eq!((ended.pid, ended.code, ended.status), (child.pid, libc::CLD_EXITED, 42));
    assert_eq!(waitid(P_PIDFD, pidfd, WEXITED), Err(ECHILD), "it was reaped");
    assert_eq!(waitid(P_PIDFD, pidfd, WEXITED | WNOHANG), Err(ECHILD));
    assert_eq!(waitid(P_PIDFD, pipe().0, WEXITED), Err(EBADF));
}

fn pidfd_getfd_syscall_functional() {
    let (from, to) = pipe();
    let narrow = dup(from).unwrap();
    cap_rights_limit(narrow, FD_RIGHT_READ | FD_RIGHT_DUP).unwrap();
    let fixed = dup(from).unwrap();
    cap_rights_limit(fixed, FD_RIGHT_READ).unwrap();
    let owner = fork(|| wait_for_ever());
    let pidfd = pidfd_open(owner.pid, 0).unwrap();
    let getfd =
        |fd: Fd, flags: usize| syscall!(SYS_pidfd_getfd, pidfd, fd, flags).map(|fetched| fetched as Fd);
    assert_eq!(getfd(narrow, 1), Err(EINVAL));
    assert_eq!((getfd(-1, 0), getfd(60, 0)), (Err(EBADF), Err(EBADF)));
    assert_eq!(syscall!(SYS_pidfd_getfd, -1, narrow, 0), Err(EBADF));
    assert_eq!(syscall!(SYS_pidfd_getfd, to, narrow, 0), Err(EBADF), "no process");
    let fetched = getfd(narrow, 0).unwrap();
    assert_eq!(cap_rights_get(fetched), Ok(FD_RIGHT_READ | FD_RIGHT_DUP));
    assert_eq!(fcntl(fetched, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    assert_eq!(getfd(fixed, 0), Err(EBADF), "it may not be duplicated");
    write(to, b"through").unwrap();
    assert_eq!(read_some(fetched, 16), Ok(b"through".to_vec()));
    owner.finish();
    assert_eq!(getfd(narrow, 0), Err(ESRCH));
}
