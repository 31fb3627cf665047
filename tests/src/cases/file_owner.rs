//! The owner of a file, and what O_ASYNC tells it (fcntl(2), "Managing signals").

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{F_GETFL, F_GETOWN, F_SETFL, F_SETOWN, O_ASYNC, O_NONBLOCK, SIGIO, SIGKILL, siginfo_t};

pub(crate) const CASES: &[Case] = &[
    case!(owner_is_set_and_read),
    case!(owner_errors),
    case!(flag_is_kept_by_files_that_tell),
    case!(pipe_readers_hear_of_data),
    case!(pipe_writers_hear_of_room),
    case!(pipes_hear_of_the_other_end),
    case!(signal_says_what_happened),
    case!(queued_signals_are_counted),
    case!(stream_sockets),
    case!(stream_room_is_told_to_who_found_none),
    case!(datagram_sockets),
    case!(groups_and_threads),
    case!(terminals),
    case!(inotify_queues),
    case!(flag_by_ioctl),
    case!(stops_when_cleared_or_closed),
    case!(strangers_are_not_told).root(),
];

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const FIOASYNC: u64 = 0x5452;
const F_OWNER_TID: i32 = 0;
const F_OWNER_PID: i32 = 1;
const F_OWNER_PGRP: i32 = 2;
/// A real-time signal.
const CHOSEN: i32 = 40;

/// Makes this process the owner of a file that tells with `signal`, and has it tell.
fn tell_me(fd: Fd, signal: i32) {
    fcntl(fd, F_SETOWN, getpid()).unwrap();
    fcntl(fd, F_SETSIG, signal).unwrap();
    fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK).unwrap();
}

/// (si_code, si_band, si_fd) of a pending signal, which is taken; `None` when there is none.
fn told(signal: i32) -> Option<(i32, i64, i32)> {
    let mut info: siginfo_t = zeroed();
    match syscall!(SYS_rt_sigtimedwait, &mask_of(&[signal]), &mut info, &milliseconds(0), 8) {
        Ok(_) => {
            // SAFETY: the layout of a POLL_* siginfo: si_band and si_fd follow the three words and a pad.
            let words: [u64; 4] = unsafe { std::ptr::from_ref(&info).cast::<[u64; 4]>().read() };
            Some((info.si_code, words[2] as i64, words[3] as i32))
        }
        Err(errno) => {
            assert_eq!(errno, EAGAIN);
            None
        }
    }
}

const POLL_IN: (i32, i64) = (1, 0x41);
const POLL_OUT: (i32, i64) = (2, 0x304);
const POLL_HUP: (i32, i64) = (6, 0x18);

/// What `told` says of an event on a descriptor.
fn event((code, band): (i32, i64), fd: Fd) -> Option<(i32, i64, i32)> {
    Some((code, band, fd))
}

/// Signals that came since the last look, at most a few.
fn all_told(signal: i32) -> Vec<(i32, i64, i32)> {
    std::iter::from_fn(|| told(signal)).take(10).collect()
}

fn owner_is_set_and_read() {
    let (from, _to) = pipe();
    assert_eq!(fcntl(from, F_GETOWN, 0), Ok(0));
    fcntl(from, F_SETOWN, getpid()).unwrap();
    assert_eq!(fcntl(from, F_GETOWN, 0), Ok(getpid() as usize));
    let mut owner = [0i32; 2];
    fcntl(from, F_GETOWN_EX, &mut owner).unwrap();
    assert_eq!(owner, [F_OWNER_PID, getpid()]);
    setpgid(0, 0).unwrap();
    fcntl(from, F_SETOWN, -getpid()).unwrap();
    fcntl(from, F_GETOWN_EX, &mut owner).unwrap();
    assert_eq!(owner, [F_OWNER_PGRP, getpid()]);
    fcntl(from, F_SETOWN_EX, &[F_OWNER_TID, gettid()]).unwrap();
    fcntl(from, F_GETOWN_EX, &mut owner).unwrap();
    assert_eq!((owner, fcntl(from, F_GETOWN, 0)), ([F_OWNER_TID, gettid()], Ok(gettid() as usize)));
    fcntl(from, F_SETOWN, 0).unwrap();
    assert_eq!(fcntl(from, F_GETOWN, 0), Ok(0));
    assert_eq!(fcntl(from, F_GETSIG, 0), Ok(0));
    fcntl(from, F_SETSIG, CHOSEN).unwrap();
    assert_eq!(fcntl(from, F_GETSIG, 0), Ok(CHOSEN as usize));
}

fn owner_errors() {
    let (from, _to) = pipe();
    let ended = fork(|| ());
    ended.succeeds();
    assert_eq!(fcntl(from, F_SETOWN, ended.pid), Err(ESRCH));
    assert_eq!(fcntl(from, F_SETOWN, i32::MIN), Err(EINVAL));
    assert_eq!(fcntl(from, F_SETOWN_EX, &[7, getpid()]), Err(EINVAL));
    assert_eq!(fcntl(from, F_SETOWN_EX, &[F_OWNER_PID, ended.pid]), Err(ESRCH));
    assert_eq!(fcntl(from, F_SETOWN_EX, 8), Err(EFAULT));
    assert_eq!(fcntl(from, F_GETOWN_EX, 8), Err(EFAULT));
    assert_eq!(fcntl(from, F_SETSIG, 65), Err(EINVAL));
    assert_eq!(fcntl(from, F_SETSIG, -1), Err(EINVAL));
}

fn flag_is_kept_by_files_that_tell() {
    let has_flag = |fd: Fd| fcntl(fd, F_GETFL, 0).unwrap() as i32 & O_ASYNC != 0;
    let (from, _to) = pipe();
    let (socket, _other) = socketpair(libc::SOCK_DGRAM);
    for fd in [from, socket] {
        fcntl(fd, F_SETFL, O_ASYNC).unwrap();
        assert!(has_flag(fd));
        fcntl(fd, F_SETFL, 0).unwrap();
        assert!(!has_flag(fd));
    }
    for fd in [eventfd(0, 0), epoll_create(), open(c"file", libc::O_RDWR | libc::O_CREAT).unwrap()] {
        assert_eq!(fcntl(fd, F_SETFL, O_ASYNC), Ok(0), "no error");
        assert!(!has_flag(fd), "and no flag");
    }
}

fn pipe_readers_hear_of_data() {
    let (from, to) = pipe();
    catch(SIGIO, 0);
    fcntl(from, F_SETOWN, getpid()).unwrap();
    write(to, b"before").unwrap();
    fcntl(from, F_SETFL, O_ASYNC).unwrap();
    assert_eq!(times_delivered(SIGIO), 0);
    write(to, b"a").unwrap();
    assert_eq!(times_delivered(SIGIO), 1, "before the write returned");
    write(to, b"b").unwrap();
    assert_eq!(times_delivered(SIGIO), 2, "though there was something already");
    const SI_KERNEL: i32 = 0x80;
    assert_eq!(deliveries()[0].code, SI_KERNEL, "without F_SETSIG it says nothing");
}

fn pipe_writers_hear_of_room() {
    block(&[CHOSEN]);
    let (from, to) = pipe();
    write(to, b"abc").unwrap();
    tell_me(to, CHOSEN);
    read(from, &mut [0]).unwrap();
    assert_eq!(told(CHOSEN), event(POLL_OUT, to));
    read(from, &mut [0; 9]).unwrap();
    assert_eq!(all_told(CHOSEN), [event(POLL_OUT, to).unwrap()]);
}

fn pipes_hear_of_the_other_end() {
    block(&[CHOSEN]);
    let (from, to) = pipe();
    tell_me(from, CHOSEN);
    close(to).unwrap();
    assert_eq!(all_told(CHOSEN), [event(POLL_IN, from).unwrap()]);
    let (from, to) = pipe();
    tell_me(to, CHOSEN);
    close(from).unwrap();
    assert_eq!(all_told(CHOSEN), [event(POLL_OUT, to).unwrap()]);
}

fn signal_says_what_happened() {
    block(&[CHOSEN, SIGIO]);
    let (from, to) = pipe();
    tell_me(from, CHOSEN);
    write(to, b"x").unwrap();
    assert_eq!((told(CHOSEN), told(SIGIO)), (event(POLL_IN, from), None));
    // The descriptor is the one by which the flag was set, whatever became of it.
    let copy = dup(from).unwrap();
    close(from).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(told(CHOSEN), event(POLL_IN, from));
    fcntl(copy, F_SETSIG, 0).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(told(CHOSEN), None);
    assert!(told(SIGIO).is_some());
}

fn queued_signals_are_counted() {
    block(&[CHOSEN, SIGIO]);
    let (from, to) = pipe();
    tell_me(from, CHOSEN);
    (0..5).for_each(|_| discard(write(to, b"x").unwrap()));
    assert_eq!(all_told(CHOSEN).len(), 5);
    // One that finds no room in the queue becomes SIGIO.
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_SIGPENDING, &none, 0).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(told(CHOSEN), None);
    assert!(told(SIGIO).is_some());
}

fn stream_sockets() {
    block(&[CHOSEN]);
    let (own, peer) = socketpair(libc::SOCK_STREAM);
    tell_me(own, CHOSEN);
    write(peer, b"x").unwrap();
    assert_eq!(all_told(CHOSEN), [event(POLL_IN, own).unwrap()]);
    write(own, b"yy").unwrap();
    read(peer, &mut [0; 2]).unwrap();
    assert_eq!(told(CHOSEN), None, "nobody had missed room");
    syscall!(SYS_shutdown, peer, libc::SHUT_WR).unwrap();
    assert_eq!(all_told(CHOSEN), [event(POLL_IN, own).unwrap()]);
    close(peer).unwrap();
    assert_eq!(all_told(CHOSEN), [event(POLL_HUP, own).unwrap()]);
}

fn stream_room_is_told_to_who_found_none() {
    block(&[CHOSEN]);
    let (own, peer) = socketpair(libc::SOCK_STREAM);
    tell_me(own, CHOSEN);
    let mut sent = 0;
    while let Ok(count) = write(own, &[0; 4096]) {
        sent += count;
    }
    assert_eq!(told(CHOSEN), None);
    while sent > 0 {
        sent -= read(peer, &mut [0; 65536]).unwrap();
    }
    assert!(all_told(CHOSEN).contains(&event(POLL_OUT, own).unwrap()));
}

fn datagram_sockets() {
    block(&[CHOSEN]);
    let (own, peer) = socketpair(libc::SOCK_DGRAM);
    tell_me(own, CHOSEN);
    write(peer, b"x").unwrap();
    write(peer, b"").unwrap();
    assert_eq!(all_told(CHOSEN), [event(POLL_IN, own).unwrap(); 2]);
}

fn groups_and_threads() {
    let (from, to) = pipe();
    let gate = Gate::new();
    let (ready, heard) = pipe();
    let listeners: Vec<Child> = (0..2)
        .map(|_| {
            fork(|| {
                block(&[CHOSEN]);
                gate.pass();
                write(heard, b"r").unwrap();
                assert_eq!(timed_wait(mask_of(&[CHOSEN]), None).map(|(signal, ..)| signal), Ok(CHOSEN));
            })
        })
        .collect();
    let group = listeners[0].pid;
    listeners.iter().for_each(|child| setpgid(child.pid, group).unwrap());
    listeners.iter().for_each(|_| gate.open());
    let mut count = 0;
    while count < listeners.len() {
        count += read(ready, &mut [0; 8]).unwrap();
    }
    fcntl(from, F_SETSIG, CHOSEN).unwrap();
    fcntl(from, F_SETOWN, -group).unwrap();
    fcntl(from, F_SETFL, O_ASYNC).unwrap();
    write(to, b"x").unwrap();
    listeners.iter().for_each(Child::succeeds);
    // To one thread, and to no other.
    block(&[CHOSEN]);
    let (send_tid, tid) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        send_tid.send(gettid()).unwrap();
        timed_wait(mask_of(&[CHOSEN]), None).map(|(signal, ..)| signal)
    });
    fcntl(from, F_SETOWN_EX, &[F_OWNER_TID, tid.recv().unwrap()]).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(thread.join().unwrap(), Ok(CHOSEN));
    assert_eq!(told(CHOSEN), None);
}

fn terminals() {
    block(&[CHOSEN]);
    let master = open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY).unwrap();
    let mut unlocked = 0;
    ioctl(master, libc::TIOCSPTLCK, &mut unlocked).unwrap();
    let mut number = 0u32;
    ioctl(master, libc::TIOCGPTN, &mut number).unwrap();
    let slave = open(&path(format!("/dev/pts/{number}")), libc::O_RDWR | libc::O_NOCTTY).unwrap();
    tell_me(slave, CHOSEN);
    write(master, b"line\n").unwrap();
    wait_until(|| told(CHOSEN) == event(POLL_IN, slave));
}

fn inotify_queues() {
    block(&[CHOSEN]);
    let watch = syscall!(SYS_inotify_init1, 0).unwrap() as Fd;
    syscall!(SYS_inotify_add_watch, watch, c".", libc::IN_CREATE).unwrap();
    tell_me(watch, CHOSEN);
    close(open(c"new", libc::O_RDWR | libc::O_CREAT).unwrap()).unwrap();
    assert_eq!(told(CHOSEN), event(POLL_IN, watch));
}

fn flag_by_ioctl() {
    block(&[CHOSEN]);
    let (from, to) = pipe();
    fcntl(from, F_SETOWN, getpid()).unwrap();
    fcntl(from, F_SETSIG, CHOSEN).unwrap();
    let (on, off) = (1i32, 0i32);
    let set = |fd: Fd, value: &i32| syscall!(SYS_ioctl, fd, FIOASYNC, value);
    assert_eq!(set(from, &on), Ok(0));
    write(to, b"x").unwrap();
    assert_eq!(told(CHOSEN), event(POLL_IN, from));
    assert_eq!(set(from, &off), Ok(0));
    write(to, b"x").unwrap();
    assert_eq!(told(CHOSEN), None);
    assert_eq!(set(eventfd(0, 0), &on), Err(ENOTTY));
    assert_eq!(set(eventfd(0, 0), &off), Ok(0));
    assert_eq!(syscall!(SYS_ioctl, from, FIOASYNC, 8), Err(EFAULT));
}

fn stops_when_cleared_or_closed() {
    block(&[CHOSEN]);
    let (from, to) = pipe();
    tell_me(from, CHOSEN);
    fcntl(from, F_SETFL, 0).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(told(CHOSEN), None);
    tell_me(from, CHOSEN);
    let extra = dup(to).unwrap();
    close(from).unwrap();
    ignore(libc::SIGPIPE);
    assert_eq!(write(extra, b"x"), Err(EPIPE));
    assert_eq!(told(CHOSEN), None);
}

/// Whoever made a process the owner must be allowed to signal it.
fn strangers_are_not_told() {
    let target = fork(|| wait_for_ever());
    let (from, to) = pipe();
    as_nobody(|| {
        fcntl(from, F_SETSIG, SIGKILL).unwrap();
        fcntl(from, F_SETOWN, target.pid).unwrap();
        fcntl(from, F_SETFL, O_ASYNC).unwrap();
        write(to, b"x").unwrap();
    });
    assert_ne!(state_of(target.pid), Ok(b'Z'));
    write(to, b"x").unwrap();
    assert_ne!(state_of(target.pid), Ok(b'Z'), "the owner's maker counts, not the writer");
    fcntl(from, F_SETOWN, target.pid).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(target.wait(), Status::Killed(SIGKILL));
}
