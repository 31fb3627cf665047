//! Signals as a descriptor (signalfd(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{POLLIN, SIGCHLD, SIGUSR1, SIGUSR2};

pub(crate) const CASES: &[Case] = &[
    case!(record_of_a_kill),
    case!(record_of_a_queued_signal),
    case!(record_of_a_child),
    case!(record_of_a_timer),
    case!(several_records_at_once),
    case!(blocks_until_a_signal),
    case!(interrupted_by_other_signals),
    case!(thread_takes_its_own),
    case!(mask_is_updated_in_place),
    case!(kill_and_stop_are_left_out),
    case!(polled_and_watched),
    case!(reader_is_whoever_reads),
    case!(argument_errors),
    case!(flags_and_description),
    case!(fault_takes_no_signal),
    case!(leaves_what_is_not_asked_for),
];

fn signalfd(signals: &[i32], flags: i32) -> Fd {
    block(signals);
    signalfd_update(-1, signals, flags).expect("signalfd4")
}

fn signalfd_update(fd: Fd, signals: &[i32], flags: i32) -> Sys<Fd> {
    syscall!(SYS_signalfd4, fd, &mask_of(signals), 8, flags).map(|fd| fd as Fd)
}

fn take(fd: Fd) -> Sys<libc::signalfd_siginfo> {
    let mut record: libc::signalfd_siginfo = zeroed();
    syscall!(SYS_read, fd, &mut record, 128).map(|length| {
        assert_eq!(length, 128);
        record
    })
}

fn record_of_a_kill() {
    let fd = signalfd(&[SIGUSR1], libc::SFD_NONBLOCK);
    assert_eq!(take(fd).map(drop), Err(EAGAIN));
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1).unwrap();
    let first = take(fd).unwrap();
    assert_eq!((first.ssi_signo, first.ssi_errno, first.ssi_pid as i32), (SIGUSR1 as u32, 0, getpid()));
    assert!([libc::SI_USER, libc::SI_TKILL].contains(&first.ssi_code));
    discard(take(fd));
    assert_eq!((take(fd).map(drop), pending()), (Err(EAGAIN), 0));
}

fn record_of_a_queued_signal() {
    let signal = libc::SIGRTMIN() + 3;
    let fd = signalfd(&[signal], libc::SFD_NONBLOCK);
    for value in [7, -8] {
        queue(getpid(), signal, value).unwrap();
    }
    for value in [7, -8] {
        let record = take(fd).unwrap();
        assert_eq!(
            (record.ssi_signo, record.ssi_code, record.ssi_int),
            (signal as u32, libc::SI_QUEUE, value)
        );
        assert_eq!((record.ssi_pid as i32, record.ssi_ptr as i32), (getpid(), value));
    }
    assert_eq!(take(fd).map(drop), Err(EAGAIN));
}

fn record_of_a_child() {
    let fd = signalfd(&[SIGCHLD], 0);
    let child = fork_status(|| 9);
    let record = take(fd).unwrap();
    assert_eq!((record.ssi_signo, record.ssi_code), (SIGCHLD as u32, libc::CLD_EXITED));
    assert_eq!((record.ssi_pid as i32, record.ssi_status), (child.pid, 9));
    child.wait();
}

fn record_of_a_timer() {
    let signal = libc::SIGRTMIN() + 1;
    let fd = signalfd(&[signal], 0);
    let mut event = [0u8; 64];
    event[..8].copy_from_slice(&0x1_0000_0055_u64.to_ne_bytes());
    event[8..12].copy_from_slice(&signal.to_ne_bytes());
    let mut timer = 0i32;
    syscall!(SYS_timer_create, libc::CLOCK_MONOTONIC, &event, &mut timer).unwrap();
    let setting = libc::itimerspec { it_interval: milliseconds(0), it_value: milliseconds(1) };
    syscall!(SYS_timer_settime, timer, 0, &setting, 0).unwrap();
    let record = take(fd).unwrap();
    assert_eq!((record.ssi_signo, record.ssi_code), (signal as u32, libc::SI_TIMER));
    assert_eq!((record.ssi_tid as i32, record.ssi_int, record.ssi_ptr), (timer, 0x55, 0x1_0000_0055));
}

fn several_records_at_once() {
    let signal = libc::SIGRTMIN() + 2;
    let fd = signalfd(&[SIGUSR1, SIGUSR2, signal], libc::SFD_NONBLOCK);
    for number in 0..3 {
        queue(getpid(), signal, number).unwrap();
    }
    queue(getpid(), SIGUSR2, 0).unwrap();
    queue(getpid(), SIGUSR1, 0).unwrap();
    let records = read_some(fd, 128 * 3 + 100).unwrap();
    let signals: Vec<u8> = records.chunks(128).map(|record| record[0]).collect();
    assert_eq!((records.len(), signals), (384, vec![SIGUSR1 as u8, SIGUSR2 as u8, signal as u8]));
    assert_eq!(read_some(fd, 1280).unwrap().len(), 256, "as many as there are");
    assert_eq!(read(fd, &mut [0; 1280]), Err(EAGAIN));
}

fn blocks_until_a_signal() {
    let reader = fork(|| {
        let fd = signalfd(&[SIGUSR1, SIGUSR2], 0);
        assert_eq!(take(fd).unwrap().ssi_signo, SIGUSR2 as u32);
    });
    wait_until_blocked(reader.pid);
    reader.kill(SIGUSR2);
    reader.succeeds();
}

fn interrupted_by_other_signals() {
    for flags in [0, libc::SA_RESTART] {
        let reader = fork(|| {
            catch(SIGUSR2, flags);
            let fd = signalfd(&[SIGUSR1], 0);
            let result = take(fd).map(|record| record.ssi_signo);
            let expected = if flags == 0 { Err(EINTR) } else { Ok(SIGUSR1 as u32) };
            assert_eq!((result, times_delivered(SIGUSR2)), (expected, 1));
        });
        wait_until_blocked(reader.pid);
        reader.kill(SIGUSR2);
        wait_until_signal_taken(reader.pid, SIGUSR2);
        wait_until(|| state_of(reader.pid).is_ok_and(|state| state == b'S' || state == b'Z'));
        reader.kill(SIGUSR1);
        reader.succeeds();
    }
}

fn thread_takes_its_own() {
    let fd = signalfd(&[SIGUSR1], libc::SFD_NONBLOCK);
    tgkill(getpid(), gettid(), SIGUSR1).unwrap();
    let other = std::thread::spawn(move || (events_now(fd, POLLIN), take(fd).map(drop)));
    assert_eq!(other.join().unwrap(), (0, Err(EAGAIN)), "another thread's signal");
    assert_eq!((events_now(fd, POLLIN), take(fd).unwrap().ssi_code), (POLLIN, libc::SI_TKILL));
}

fn mask_is_updated_in_place() {
    block(&[SIGUSR1, SIGUSR2]);
    let reader = fork(|| {
        let fd = signalfd(&[SIGUSR1], 0);
        raise(SIGUSR2);
        let (send_tid, tid) = std::sync::mpsc::channel();
        let updater = std::thread::spawn(move || {
            wait_until_thread_blocked(tid.recv().unwrap());
            assert_eq!(signalfd_update(fd, &[SIGUSR2], libc::SFD_NONBLOCK), Ok(fd));
        });
        kill(getpid(), SIGUSR2).unwrap();
        send_tid.send(gettid()).unwrap();
        assert_eq!(take(fd).unwrap().ssi_signo, SIGUSR2 as u32);
        updater.join().unwrap();
        assert_eq!(fcntl(fd, libc::F_GETFL, 0), Ok(libc::O_RDWR as usize), "the flags stay");
    });
    reader.succeeds();
}

fn kill_and_stop_are_left_out() {
    let fd = signalfd(&[libc::SIGKILL, libc::SIGSTOP, SIGUSR1], 0);
    let info = text(&path(format!("/proc/self/fdinfo/{fd}"))).unwrap();
    let line = format!("sigmask:\t{:016x}", mask_of(&[SIGUSR1]));
    assert!(info.lines().any(|found| found == line), "{line} in {info}");
}

fn polled_and_watched() {
    let waiter = fork(|| {
        let (fd, epoll) = (signalfd(&[SIGUSR1], 0), epoll_create());
        epoll_control(epoll, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN | libc::EPOLLET, 1).unwrap();
        for _ in 0..2 {
            assert_eq!(epoll_wait(epoll, 1, -1), [(libc::EPOLLIN, 1)]);
            assert_eq!(epoll_wait(epoll, 1, 0), []);
            take(fd).unwrap();
        }
        let mut set = [pollfd(fd, POLLIN)];
        assert_eq!((poll(&mut set, -1), set[0].revents), (Ok(1), POLLIN));
    });
    for _ in 0..3 {
        wait_until_blocked(waiter.pid);
        waiter.kill(SIGUSR1);
        wait_until(|| pending_of(waiter.pid) == 0 || state_of(waiter.pid) == Ok(b'Z'));
    }
    waiter.succeeds();
}

fn reader_is_whoever_reads() {
    let fd = signalfd(&[SIGUSR1], 0);
    raise(SIGUSR1);
    let child = fork(|| {
        assert_eq!(events_now(fd, POLLIN), 0, "the parent's signal is not the child's");
        assert_eq!(take(fd).unwrap().ssi_pid as i32, getppid());
    });
    wait_until_blocked(child.pid);
    child.kill(SIGUSR1);
    child.succeeds();
    assert_eq!(take(fd).unwrap().ssi_pid as i32, getpid());
}

fn argument_errors() {
    let mask = mask_of(&[SIGUSR1]);
    assert_eq!(syscall!(SYS_signalfd4, -1, &mask, 4, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_signalfd4, -1, 8, 8, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_signalfd4, -1, &mask, 8, 1), Err(EINVAL));
    assert_eq!(signalfd_update(700, &[SIGUSR1], 0), Err(EBADF));
    assert_eq!(signalfd_update(-2, &[SIGUSR1], 0), Err(EBADF));
    assert_eq!(signalfd_update(pipe().0, &[SIGUSR1], 0), Err(EINVAL));
    let fd = syscall!(SYS_signalfd, -1, &mask, 8).unwrap() as Fd;
    assert_eq!(read(fd, &mut [0; 127]), Err(EINVAL));
    assert_eq!(write(fd, &[0; 128]), Err(EINVAL));
}

fn flags_and_description() {
    let fd = signalfd(&[SIGUSR1], libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
    assert_eq!(fcntl(fd, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    assert_eq!(fcntl(fd, libc::F_GETFL, 0), Ok((libc::O_RDWR | libc::O_NONBLOCK) as usize));
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    assert_eq!(link.to_str(), Some("anon_inode:[signalfd]"));
}

fn fault_takes_no_signal() {
    let fd = signalfd(&[SIGUSR1], libc::SFD_NONBLOCK);
    assert_eq!(syscall!(SYS_read, fd, 8, 128), Err(EAGAIN), "there is nothing to write yet");
    // Memory that was never touched is no fault.
    raise(SIGUSR1);
    let fresh = map_anonymous(PAGE);
    assert_eq!(syscall!(SYS_read, fd, fresh, 128), Ok(128));
    assert_eq!(peek(fresh), SIGUSR1 as u8);
    raise(SIGUSR1);
    assert_eq!(syscall!(SYS_read, fd, 8, 128), Err(EFAULT));
}

fn leaves_what_is_not_asked_for() {
    let fd = signalfd(&[SIGUSR1], libc::SFD_NONBLOCK);
    block(&[SIGUSR2]);
    catch(SIGUSR2, 0);
    raise(SIGUSR2);
    raise(SIGUSR1);
    assert_eq!(take(fd).unwrap().ssi_signo, SIGUSR1 as u32);
    assert_eq!((pending(), times_delivered(SIGUSR2)), (mask_of(&[SIGUSR2]), 0));
    unblock(&[SIGUSR2]);
    assert_eq!(times_delivered(SIGUSR2), 1);
    close(fd).unwrap();
}
