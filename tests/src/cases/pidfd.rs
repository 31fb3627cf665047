//! Processes as descriptors (pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), waitid(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    P_PIDFD, POLLIN, SIGCONT, SIGSTOP, SIGUSR1, SIGUSR2, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED,
};

pub(crate) const CASES: &[Case] = &[
    case!(open_flags),
    case!(open_errors),
    case!(poll_and_epoll_tell_the_end),
    case!(poll_waits_for_the_last_thread),
    case!(waitid_stops_and_continues),
    case!(waitid_nonblocking),
    case!(waitid_errors),
    case!(signals_reach_the_process),
    case!(signal_information_is_checked),
    case!(signal_to_a_zombie_and_beyond),
    case!(signal_needs_permission).root(),
    case!(clone_pidfd),
    case!(getfd_shares_the_file),
    case!(getfd_errors),
    case!(description_names_the_process),
    case!(stale_descriptor_reaches_nobody),
];

fn pidfd_open(pid: i32, flags: i32) -> Sys<Fd> {
    syscall!(SYS_pidfd_open, pid, flags).map(|fd| fd as Fd)
}

fn send(pidfd: Fd, signal: i32) -> Sys<usize> {
    syscall!(SYS_pidfd_send_signal, pidfd, signal, 0, 0)
}

/// A child that waits to be killed, and its descriptor.
fn sleeper(flags: i32) -> (Child, Fd) {
    let child = fork(|| wait_for_ever());
    let pidfd = pidfd_open(child.pid, flags).expect("pidfd_open");
    (child, pidfd)
}

fn open_flags() {
    let (child, pidfd) = sleeper(0);
    assert_eq!(fcntl(pidfd, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    assert_eq!(fcntl(pidfd, libc::F_GETFL, 0), Ok(libc::O_RDWR as usize));
    let nonblocking = pidfd_open(child.pid, libc::PIDFD_NONBLOCK as i32).unwrap();
    assert_eq!(fcntl(nonblocking, libc::F_GETFL, 0), Ok((libc::O_RDWR | libc::O_NONBLOCK) as usize));
    assert_eq!(read(pidfd, &mut [0; 8]), Err(EINVAL));
    assert_eq!(write(pidfd, &[0; 8]), Err(EINVAL));
    child.finish();
}

fn open_errors() {
    assert_eq!(pidfd_open(0, 0), Err(EINVAL));
    assert_eq!(pidfd_open(-1, 0), Err(EINVAL));
    assert_eq!(pidfd_open(getpid(), 1), Err(EINVAL));
    assert_eq!(pidfd_open(99_999_999, 0), Err(ESRCH));
    let own = pidfd_open(getpid(), 0).unwrap();
    assert_eq!(send(own, 0), Ok(0));
    let child = fork(|| ());
    wait_until_zombie(child.pid);
    assert!(pidfd_open(child.pid, 0).is_ok(), "a zombie still has its number");
    child.wait();
    assert_eq!(pidfd_open(child.pid, 0), Err(ESRCH));
}

fn poll_and_epoll_tell_the_end() {
    let ((child, pidfd), epoll) = (sleeper(0), epoll_create());
    epoll_control(epoll, libc::EPOLL_CTL_ADD, pidfd, libc::EPOLLIN | libc::EPOLLET, 1).unwrap();
    assert_eq!((events_now(pidfd, POLLIN), epoll_wait(epoll, 1, 0)), (0, vec![]));
    let poller = fork(|| assert_eq!(poll(&mut [pollfd(pidfd, POLLIN)], -1), Ok(1)));
    wait_until_blocked(poller.pid);
    child.kill(libc::SIGKILL);
    poller.succeeds();
    assert_eq!(epoll_wait(epoll, 1, -1)[0].0 & libc::EPOLLIN, libc::EPOLLIN);
    assert_eq!(events_now(pidfd, POLLIN), POLLIN, "before anybody waits for it");
    child.wait();
    assert_eq!(events_now(pidfd, POLLIN) & POLLIN, POLLIN, "and after");
}

fn poll_waits_for_the_last_thread() {
    let gate = eventfd(0, 0);
    let child = fork(|| {
        std::thread::spawn(move || {
            event_take(gate).unwrap();
            exit_group(3);
        });
        exit_thread(0);
    });
    let pidfd = pidfd_open(child.pid, 0).unwrap();
    wait_until(|| state_of(child.pid) == Ok(b'Z'));
    assert_eq!(events_now(pidfd, POLLIN), 0, "a thread is left");
    event_add(gate, 1).unwrap();
    assert_eq!(poll(&mut [pollfd(pidfd, POLLIN)], -1), Ok(1));
    assert_eq!(waitid(P_PIDFD, pidfd, WEXITED).unwrap().status, 3);
}

fn waitid_stops_and_continues() {
    let (child, pidfd) = sleeper(0);
    send(pidfd, SIGSTOP).unwrap();
    let stopped = waitid(P_PIDFD, pidfd, WSTOPPED | WNOWAIT).unwrap();
    assert_eq!((stopped.pid, stopped.code, stopped.status), (child.pid, libc::CLD_STOPPED, SIGSTOP));
    assert_eq!(waitid(P_PIDFD, pidfd, WSTOPPED).unwrap().code, libc::CLD_STOPPED, "it was left");
    assert_eq!(waitid(P_PIDFD, pidfd, WSTOPPED | WNOHANG).unwrap().pid, 0, "and now it is taken");
    send(pidfd, SIGCONT).unwrap();
    let went_on = waitid(P_PIDFD, pidfd, WCONTINUED | WEXITED).unwrap();
    assert_eq!((went_on.code, went_on.status), (libc::CLD_CONTINUED, SIGCONT));
    send(pidfd, libc::SIGKILL).unwrap();
    for options in [WEXITED | WNOWAIT, WEXITED | WSTOPPED | WCONTINUED] {
        let ended = waitid(P_PIDFD, pidfd, options).unwrap();
        assert_eq!((ended.pid, ended.code, ended.status), (child.pid, libc::CLD_KILLED, libc::SIGKILL));
    }
    assert_eq!(waitid(P_PIDFD, pidfd, WEXITED), Err(ECHILD));
}

fn waitid_nonblocking() {
    let (child, pidfd) = sleeper(libc::PIDFD_NONBLOCK as i32);
    assert_eq!(waitid(P_PIDFD, pidfd, WEXITED), Err(EAGAIN));
    assert_eq!(waitid(P_PIDFD, pidfd, WSTOPPED | WCONTINUED), Err(EAGAIN));
    assert_eq!(waitid(P_PIDFD, pidfd, WEXITED | WNOHANG).unwrap().pid, 0);
    child.kill(libc::SIGKILL);
    assert_eq!(poll(&mut [pollfd(pidfd, POLLIN)], -1), Ok(1));
    assert_eq!(waitid(P_PIDFD, pidfd, WEXITED).unwrap().pid, child.pid);
}

fn waitid_errors() {
    let own = pidfd_open(getpid(), 0).unwrap();
    assert_eq!(waitid(P_PIDFD, own, WEXITED), Err(ECHILD), "not a child");
    assert_eq!(waitid(P_PIDFD, -1, WEXITED), Err(EINVAL));
    assert_eq!(waitid(P_PIDFD, 700, WEXITED), Err(EBADF));
    assert_eq!(waitid(P_PIDFD, pipe().0, WEXITED), Err(EBADF));
    assert_eq!(waitid(P_PIDFD, own, WNOHANG), Err(EINVAL));
}

fn signals_reach_the_process() {
    let child = fork(|| {
        block(&[SIGUSR1]);
        wait_for_ever();
    });
    let pidfd = pidfd_open(child.pid, 0).unwrap();
    wait_until_blocked(child.pid);
    assert_eq!(send(pidfd, 0), Ok(0));
    send(pidfd, SIGUSR1).unwrap();
    assert_eq!(pending_of(child.pid), mask_of(&[SIGUSR1]));
    send(pidfd, SIGUSR2).unwrap();
    assert_eq!(waitid(P_PIDFD, pidfd, WEXITED).unwrap().status, SIGUSR2);
    for bad in [-1, 65, 99] {
        let own = pidfd_open(getpid(), 0).unwrap();
        assert_eq!(send(own, bad), Err(EINVAL));
    }
    assert_eq!((send(0, 0), send(700, 0), send(pipe().0, 0)), (Err(EBADF), Err(EBADF), Err(EBADF)));
}

fn signal_information_is_checked() {
    let (child, pidfd) = sleeper(0);
    let own = pidfd_open(getpid(), 0).unwrap();
    let send = |pidfd: Fd, signal: i32, told: i32, code: i32| {
        let mut info = [0i32; 32];
        (info[0], info[2], info[6]) = (told, code, 77);
        syscall!(SYS_pidfd_send_signal, pidfd, signal, &info, 0)
    };
    assert_eq!(send(pidfd, SIGUSR1, SIGUSR2, libc::SI_QUEUE), Err(EINVAL));
    for code in [libc::SI_USER, libc::SI_TKILL, libc::SI_KERNEL, 5] {
        assert_eq!(send(pidfd, SIGUSR1, SIGUSR1, code), Err(EPERM), "code {code}");
    }
    assert_eq!(send(pidfd, 0, 0, libc::SI_QUEUE), Ok(0));
    assert_eq!(send(pidfd, 0, 0, libc::SI_USER), Err(EPERM));
    assert_eq!(syscall!(SYS_pidfd_send_signal, pidfd, 0, 8, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_pidfd_send_signal, pidfd, 0, 0, 1 << 20), Err(EINVAL));
    catch(SIGUSR1, 0);
    assert_eq!(send(own, SIGUSR1, SIGUSR1, libc::SI_QUEUE), Ok(0));
    assert_eq!((deliveries()[0].code, deliveries()[0].value), (libc::SI_QUEUE, 77));
    assert_eq!(send(own, SIGUSR1, SIGUSR1, libc::SI_TKILL), Ok(0), "to itself it may say anything");
    assert_eq!(deliveries()[1].code, libc::SI_TKILL);
    child.finish();
}

fn signal_to_a_zombie_and_beyond() {
    let (child, pidfd) = sleeper(0);
    child.kill(libc::SIGKILL);
    wait_until_zombie(child.pid);
    assert_eq!((send(pidfd, 0), send(pidfd, SIGUSR1)), (Ok(0), Ok(0)), "as kill does");
    child.wait();
    assert_eq!((send(pidfd, 0), send(pidfd, SIGUSR1)), (Err(ESRCH), Err(ESRCH)));
}

fn signal_needs_permission() {
    let (child, pidfd) = sleeper(0);
    fork(|| {
        syscall!(SYS_setresuid, 1000, 1000, 1000).unwrap();
        assert_eq!((send(pidfd, 0), send(pidfd, SIGUSR1)), (Err(EPERM), Err(EPERM)));
        assert_eq!(syscall!(SYS_pidfd_getfd, pidfd, 0, 0), Err(EPERM));
    })
    .succeeds();
    child.finish();
}

fn clone_pidfd() {
    let mut pidfd = -1i32;
    let flags = libc::CLONE_PIDFD | libc::SIGCHLD;
    let pid = syscall!(SYS_clone, flags, 0, &mut pidfd, 0, 0).expect("clone") as i32;
    if pid == 0 {
        exit_group(7);
    }
    assert_eq!(fcntl(pidfd, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    let report = waitid(P_PIDFD, pidfd, WEXITED).unwrap();
    assert_eq!((report.pid, report.status), (pid, 7));
    let both = libc::CLONE_PIDFD | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
    assert_eq!(syscall!(SYS_clone, both, 0, &mut pidfd, 0, 0).map(drop), Err(EINVAL), "one word for two");
}

fn getfd_shares_the_file() {
    let (from, to) = pipe();
    let child = fork(|| {
        dup2(from, 90).unwrap();
        wait_for_ever();
    });
    let pidfd = pidfd_open(child.pid, 0).unwrap();
    wait_until_blocked(child.pid);
    close(from).unwrap();
    let copy = syscall!(SYS_pidfd_getfd, pidfd, 90, 0).unwrap() as Fd;
    assert_eq!(fcntl(copy, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    write(to, b"x").unwrap();
    assert_eq!(read_some(copy, 8).unwrap(), b"x");
    assert_eq!(write(copy, b"x"), Err(EBADF), "no more than the other may");
    set_nonblocking(copy);
    let again = syscall!(SYS_pidfd_getfd, pidfd, 90, 0).unwrap() as Fd;
    assert_ne!(fcntl(again, libc::F_GETFL, 0).unwrap() & libc::O_NONBLOCK as usize, 0, "one open file");
    child.finish();
}

fn getfd_errors() {
    let (child, pidfd) = sleeper(0);
    let getfd = |fd: Fd, flags: i32| syscall!(SYS_pidfd_getfd, pidfd, fd, flags);
    assert_eq!((getfd(0, 1), getfd(700, 0), getfd(-1, 0)), (Err(EINVAL), Err(EBADF), Err(EBADF)));
    assert_eq!(syscall!(SYS_pidfd_getfd, pipe().0, 0, 0), Err(EBADF));
    child.kill(libc::SIGKILL);
    wait_until_zombie(child.pid);
    assert_eq!(getfd(0, 0), Err(ESRCH));
    child.wait();
    assert_eq!(getfd(0, 0), Err(ESRCH));
}

fn description_names_the_process() {
    let (child, pidfd) = sleeper(0);
    let line = || {
        let info = text(&path(format!("/proc/self/fdinfo/{pidfd}"))).unwrap();
        info.lines().find_map(|line| line.strip_prefix("Pid:\t").map(str::to_owned))
    };
    assert_eq!(line(), Some(child.pid.to_string()));
    child.finish();
    assert_eq!(line().as_deref(), Some("-1"));
}

/// However many processes come and go, none of them gets what an old descriptor sends.
fn stale_descriptor_reaches_nobody() {
    let (child, pidfd) = sleeper(0);
    child.finish();
    for _ in 0..50 {
        let other = fork(|| wait_for_ever());
        assert_eq!(send(pidfd, libc::SIGKILL), Err(ESRCH));
        assert_eq!(waitid(P_PIDFD, pidfd, WEXITED | WNOHANG), Err(ECHILD));
        assert_eq!(state_of(other.pid).map(|state| state == b'Z'), Ok(false));
        other.finish();
    }
}
