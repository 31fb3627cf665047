//! POSIX message queues (mq_overview(7)).

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{
    O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, POLLIN, POLLOUT, SA_RESTART, SIGEV_NONE,
    SIGEV_SIGNAL, SIGEV_THREAD, SIGUSR1, SIGUSR2,
};

pub(crate) const CASES: &[Case] = &[
    case!(made_opened_and_unlinked),
    case!(open_errors),
    case!(limits_of_a_queue),
    case!(priorities_order_messages),
    case!(send_and_receive_errors_in_order),
    case!(nonblocking),
    case!(waits_for_a_message_and_for_room),
    case!(a_message_goes_to_who_waits),
    case!(deadlines),
    case!(signals_restart_or_interrupt),
    case!(polled),
    case!(attributes),
    case!(descriptor_of_a_queue),
    case!(notification_by_a_signal),
    case!(notification_is_for_one_and_for_once),
    case!(no_notification_while_somebody_waits),
    case!(notification_ends_with_the_descriptor),
    case!(notification_errors),
    case!(permissions).root(),
    case!(memory_is_limited).root(),
    case!(limits_in_proc),
    case!(file_system).root(),
    case!(killed_while_waiting),
    case!(nothing_is_lost_under_contention),
];

fn text(bytes: &[u8], priority: u32) -> Sys<(Vec<u8>, u32)> {
    Ok((bytes.to_vec(), priority))
}

fn made_opened_and_unlinked() {
    let name = path(format!("kairos-life-{}", getpid()));
    assert_eq!(mq_open(&name, O_RDWR, 0, None), Err(ENOENT));
    let queue = mq_open(&name, O_RDWR | O_CREAT, 0o600, None).unwrap();
    assert_eq!(mq_open(&name, O_RDWR | O_CREAT | O_EXCL, 0o600, None), Err(EEXIST));
    let again = mq_open(&name, O_WRONLY, 0, None).unwrap();
    mq_send(again, b"hello", 3).unwrap();
    mq_unlink(&name).unwrap();
    assert_eq!(mq_unlink(&name), Err(ENOENT));
    assert_eq!(mq_open(&name, O_RDWR, 0, None), Err(ENOENT));
    assert_eq!(mq_receive(queue, 8192), text(b"hello", 3), "open descriptors keep it");
}

fn open_errors() {
    let open = |name: &str, flags: i32| mq_open(&path(name), flags, 0o600, None);
    assert_eq!(open("", O_RDWR), Err(ENOENT));
    assert_eq!(open("a/b", O_RDWR | O_CREAT), Err(EACCES));
    assert_eq!(open("/a", O_RDWR), Err(EACCES), "the C library takes the slash off");
    assert_eq!(open(".", O_RDWR), Err(EACCES));
    assert_eq!(open(&"x".repeat(256), O_RDWR), Err(ENAMETOOLONG));
    assert_eq!(syscall!(SYS_mq_open, 8, O_RDWR, 0, 0), Err(EFAULT));
    let queue = NamedQueue::new("errors", 1, 1);
    assert_eq!(mq_open(&queue.name, O_RDWR | O_WRONLY, 0, None), Err(EINVAL));
    assert_eq!(syscall!(SYS_mq_open, queue.name.as_c_str(), O_RDWR, 0, 8), Err(EFAULT));
    assert_eq!(mq_unlink(&path("a/b")), Err(EACCES));
}

fn limits_of_a_queue() {
    let name = path(format!("kairos-limits-{}", getpid()));
    let open = |messages: i64, bytes: i64| {
        mq_open(&name, O_RDWR | O_CREAT, 0o600, Some(&mq_limits(messages, bytes)))
    };
    for (messages, bytes) in [(0, 1), (1, 0), (-1, 1), (1, -1), (65_537, 1), (1, (16 << 20) + 1)] {
        assert_eq!(open(messages, bytes), Err(EINVAL), "{messages} of {bytes}");
    }
    assert_eq!(mq_unlink(&name), Err(ENOENT), "nothing was made");
    let queue = open(2, 5).unwrap();
    mq_unlink(&name).unwrap();
    assert_eq!(mq_send(queue, b"123456", 0), Err(EMSGSIZE));
    mq_send(queue, b"12345", 0).unwrap();
    assert_eq!(mq_receive(queue, 4), Err(EMSGSIZE), "the buffer takes the longest");
    assert_eq!(mq_receive(queue, 5), text(b"12345", 0));
}

fn priorities_order_messages() {
    let queue = NamedQueue::new("order", 10, 8);
    for (message, priority) in [("a", 1), ("b", 5), ("c", 1), ("d", 32_767), ("", 5)] {
        mq_send(queue.fd, message.as_bytes(), priority).unwrap();
    }
    for (message, priority) in [("d", 32_767), ("b", 5), ("", 5), ("a", 1), ("c", 1)] {
        assert_eq!(mq_receive(queue.fd, 8), text(message.as_bytes(), priority));
    }
    assert_eq!(mq_send(queue.fd, b"", 32_768), Err(EINVAL));
}

fn send_and_receive_errors_in_order() {
    let queue = NamedQueue::new("order", 2, 8);
    let bad_time = libc::timespec { tv_sec: 0, tv_nsec: -1 };
    let send = |fd: Fd, text: usize, size: usize, priority: u32, deadline: usize| {
        syscall!(SYS_mq_timedsend, fd, text, size, priority, deadline)
    };
    let bad = std::ptr::from_ref(&bad_time) as usize;
    assert_eq!(send(-1, 8, 99, 99_999, 8), Err(EFAULT), "the deadline first");
    assert_eq!(send(-1, 8, 99, 99_999, bad), Err(EINVAL));
    assert_eq!(send(-1, 8, 99, 99_999, 0), Err(EINVAL), "then the priority");
    assert_eq!(send(-1, 8, 99, 0, 0), Err(EBADF));
    assert_eq!(send(0, 8, 99, 0, 0), Err(EBADF), "no queue");
    let reader = mq_open(&queue.name, O_RDONLY, 0, None).unwrap();
    assert_eq!(send(reader, 8, 99, 0, 0), Err(EBADF));
    assert_eq!(send(queue.fd, 8, 99, 0, 0), Err(EMSGSIZE));
    assert_eq!(send(queue.fd, 8, 8, 0, 0), Err(EFAULT));
    let writer = mq_open(&queue.name, O_WRONLY, 0, None).unwrap();
    assert_eq!(mq_receive(writer, 1), Err(EBADF));
    assert_eq!(mq_receive(queue.fd, 7), Err(EMSGSIZE));
    mq_send(queue.fd, b"x", 0).unwrap();
    assert_eq!(syscall!(SYS_mq_timedreceive, queue.fd, 8, 8, 0, 0), Err(EFAULT));
    assert_eq!(mq_getsetattr(queue.fd, None).unwrap().mq_curmsgs, 0, "Linux loses it");
    assert_eq!(read(eventfd(1, 0), &mut [0; 8]), Ok(8));
    assert_eq!(mq_getsetattr(eventfd(1, 0), None).map(drop), Err(EBADF));
}

fn nonblocking() {
    let queue = NamedQueue::new("nonblock", 1, 8);
    let other = mq_open(&queue.name, O_RDWR | O_NONBLOCK, 0, None).unwrap();
    assert_eq!(mq_receive(other, 8), Err(EAGAIN));
    mq_send(other, b"1", 0).unwrap();
    assert_eq!(mq_send(other, b"2", 9), Err(EAGAIN));
    assert_eq!(mq_receive(other, 8), text(b"1", 0));
}

fn waits_for_a_message_and_for_room() {
    let queue = NamedQueue::new("waits", 1, 8);
    let receiver = fork(|| assert_eq!(mq_receive(queue.fd, 8), text(b"late", 7)));
    wait_until_blocked(receiver.pid);
    mq_send(queue.fd, b"late", 7).unwrap();
    receiver.succeeds();
    mq_send(queue.fd, b"first", 1).unwrap();
    let sender = fork(|| mq_send(queue.fd, b"second", 9).unwrap());
    wait_until_blocked(sender.pid);
    assert_eq!(mq_receive(queue.fd, 8), text(b"first", 1));
    sender.succeeds();
    assert_eq!(mq_receive(queue.fd, 8), text(b"second", 9));
}

/// Nobody else finds a message or room for which somebody waited.
fn a_message_goes_to_who_waits() {
    let queue = NamedQueue::new("direct", 1, 8);
    let other = mq_open(&queue.name, O_RDWR | O_NONBLOCK, 0, None).unwrap();
    for _ in 0..rounds(30) {
        let receiver = fork(|| assert_eq!(mq_receive(queue.fd, 8), text(b"m", 0)));
        wait_until_blocked(receiver.pid);
        mq_send(other, b"m", 0).unwrap();
        assert_eq!(mq_receive(other, 8), Err(EAGAIN));
        receiver.succeeds();
    }
    mq_send(other, b"a", 0).unwrap();
    let sender = fork(|| mq_send(queue.fd, b"b", 0).unwrap());
    wait_until_blocked(sender.pid);
    assert_eq!(mq_receive(other, 8), text(b"a", 0));
    assert_eq!(mq_send(other, b"c", 0), Err(EAGAIN));
    sender.succeeds();
    assert_eq!(mq_receive(other, 8), text(b"b", 0));
}

fn deadlines() {
    let queue = NamedQueue::new("deadline", 1, 8);
    let past = milliseconds(1000);
    assert_eq!(mq_receive_until(queue.fd, 8, Some(&past)), Err(ETIMEDOUT));
    mq_send_until(queue.fd, b"x", 0, Some(&past)).expect("it need not wait");
    assert_eq!(mq_send_until(queue.fd, b"y", 0, Some(&past)), Err(ETIMEDOUT));
    let before = monotonic();
    let soon = clock_now(libc::CLOCK_REALTIME).unwrap() + 20_000_000;
    let soon = libc::timespec { tv_sec: soon / NANOS_PER_SECOND, tv_nsec: soon % NANOS_PER_SECOND };
    assert_eq!(mq_send_until(queue.fd, b"y", 0, Some(&soon)), Err(ETIMEDOUT));
    assert!(monotonic() - before >= 15_000_000);
}

fn signals_restart_or_interrupt() {
    let queue = NamedQueue::new("signal", 1, 8);
    for flags in [0, SA_RESTART] {
        let gate = Gate::new();
        let waiter = fork(|| {
            catch(SIGUSR1, flags);
            gate.open();
            let expected = if flags == 0 { Err(EINTR) } else { text(b"x", 0) };
            assert_eq!(mq_receive(queue.fd, 8), expected);
        });
        gate.pass();
        gate.dispose();
        wait_until_blocked(waiter.pid);
        waiter.kill(SIGUSR1);
        wait_until_signal_taken(waiter.pid, SIGUSR1);
        if flags != 0 {
            wait_until_blocked(waiter.pid);
            mq_send(queue.fd, b"x", 0).unwrap();
        }
        waiter.succeeds();
    }
}

fn polled() {
    let queue = NamedQueue::new("poll", 1, 8);
    let both = POLLIN | POLLOUT;
    assert_eq!(events_now(queue.fd, both), POLLOUT);
    mq_send(queue.fd, b"x", 0).unwrap();
    assert_eq!(events_now(queue.fd, both), POLLIN);
    let poller = fork(|| assert_eq!(poll(&mut [pollfd(queue.fd, POLLOUT)], -1), Ok(1)));
    wait_until_blocked(poller.pid);
    mq_receive(queue.fd, 8).unwrap();
    poller.succeeds();
    let epoll = epoll_create();
    epoll_add(epoll, queue.fd, libc::EPOLLIN | libc::EPOLLET, 5);
    assert_eq!(epoll_wait(epoll, 4, 0), []);
    mq_send(queue.fd, b"x", 0).unwrap();
    assert_eq!(epoll_wait(epoll, 4, 0), [(libc::EPOLLIN, 5)]);
    assert_eq!(epoll_wait(epoll, 4, 0), []);
}

fn attributes() {
    let queue = NamedQueue::new("attributes", 3, 100);
    mq_send(queue.fd, b"x", 0).unwrap();
    let values = |attributes: libc::mq_attr| {
        (attributes.mq_flags, attributes.mq_maxmsg, attributes.mq_msgsize, attributes.mq_curmsgs)
    };
    assert_eq!(mq_getsetattr(queue.fd, None).map(values), Ok((0, 3, 100, 1)));
    let nonblock = i64::from(O_NONBLOCK);
    assert_eq!(mq_getsetattr(queue.fd, Some(nonblock)).map(values), Ok((0, 3, 100, 1)));
    assert_eq!(mq_getsetattr(queue.fd, Some(0)).map(values), Ok((nonblock, 3, 100, 1)));
    assert_eq!(mq_getsetattr(queue.fd, Some(1)).map(drop), Err(EINVAL));
    assert_eq!(syscall!(SYS_mq_getsetattr, queue.fd, 0, 0), Ok(0));
    assert_eq!(syscall!(SYS_mq_getsetattr, queue.fd, 8, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_mq_getsetattr, queue.fd, 0, 8), Err(EFAULT));
}

fn descriptor_of_a_queue() {
    let queue = NamedQueue::new("fd", 3, 100);
    mq_send(queue.fd, b"abc", 0).unwrap();
    assert_eq!(fcntl(queue.fd, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize), "always");
    let mut line = [0; 100];
    let length = read(queue.fd, &mut line).unwrap();
    let expected = "QSIZE:3          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n";
    assert_eq!(std::str::from_utf8(&line[..length]), Ok(expected));
    assert_eq!(read(queue.fd, &mut line), Ok(0), "to the end");
    assert_eq!(write(queue.fd, b"x"), Err(EINVAL));
    let mut status: libc::stat = zeroed();
    syscall!(SYS_fstat, queue.fd, &mut status).unwrap();
    assert_eq!((status.st_mode, status.st_size), (libc::S_IFREG | 0o600, 80));
}

fn notification_by_a_signal() {
    block(&[SIGUSR1]);
    let queue = NamedQueue::new("notify", 5, 8);
    mq_notify(queue.fd, Some((SIGEV_SIGNAL, SIGUSR1, 77))).unwrap();
    assert_eq!(mq_notify(queue.fd, Some((SIGEV_NONE, 0, 0))), Err(EBUSY));
    let sender = fork(|| mq_send(queue.fd, b"x", 0).unwrap());
    sender.succeeds();
    let mut info: libc::siginfo_t = zeroed();
    let signal = syscall!(SYS_rt_sigtimedwait, &mask_of(&[SIGUSR1]), &mut info, &milliseconds(0), 8);
    assert_eq!((signal, info.si_code), (Ok(SIGUSR1 as usize), libc::SI_MESGQ));
    // SAFETY: the layout of a queued signal.
    let (pid, value) = unsafe { (info.si_pid(), info.si_value().sival_ptr as usize) };
    assert_eq!((pid, value), (sender.pid, 77));
}

fn notification_is_for_one_and_for_once() {
    block(&[SIGUSR1]);
    let queue = NamedQueue::new("once", 5, 8);
    let nothing = |what: &str| {
        assert_eq!(timed_wait(mask_of(&[SIGUSR1]), Some(milliseconds(0))), Err(EAGAIN), "{what}");
    };
    let notify = || mq_notify(queue.fd, Some((SIGEV_SIGNAL, SIGUSR1, 1)));
    mq_send(queue.fd, b"1", 0).unwrap();
    notify().unwrap();
    mq_send(queue.fd, b"2", 0).unwrap();
    nothing("the queue was not empty");
    (0..2).for_each(|_| discard(mq_receive(queue.fd, 8).unwrap()));
    fork(|| assert_eq!(notify(), Err(EBUSY))).succeeds();
    mq_send(queue.fd, b"3", 0).unwrap();
    assert!(timed_wait(mask_of(&[SIGUSR1]), Some(milliseconds(0))).is_ok());
    mq_receive(queue.fd, 8).unwrap();
    mq_send(queue.fd, b"4", 0).unwrap();
    nothing("it was for once");
    mq_receive(queue.fd, 8).unwrap();
    notify().unwrap();
    fork(|| mq_notify(queue.fd, None).unwrap()).succeeds();
    mq_send(queue.fd, b"5", 0).unwrap();
    assert!(timed_wait(mask_of(&[SIGUSR1]), Some(milliseconds(0))).is_ok(), "a stranger takes nothing back");
    mq_receive(queue.fd, 8).unwrap();
    notify().unwrap();
    mq_notify(queue.fd, None).unwrap();
    mq_send(queue.fd, b"6", 0).unwrap();
    nothing("it was taken back");
}

fn no_notification_while_somebody_waits() {
    block(&[SIGUSR2]);
    let queue = NamedQueue::new("waiting", 5, 8);
    mq_notify(queue.fd, Some((SIGEV_SIGNAL, SIGUSR2, 1))).unwrap();
    let receiver = fork(|| discard(mq_receive(queue.fd, 8).unwrap()));
    wait_until_blocked(receiver.pid);
    mq_send(queue.fd, b"x", 0).unwrap();
    receiver.succeeds();
    assert_eq!(timed_wait(mask_of(&[SIGUSR2]), Some(milliseconds(0))), Err(EAGAIN));
    mq_send(queue.fd, b"x", 0).unwrap();
    assert!(timed_wait(mask_of(&[SIGUSR2]), Some(milliseconds(0))).is_ok(), "it still stands");
}

fn notification_ends_with_the_descriptor() {
    let queue = NamedQueue::new("close", 5, 8);
    let none = Some((SIGEV_NONE, 0, 0));
    mq_notify(queue.fd, none).unwrap();
    let copy = dup(queue.fd).unwrap();
    fork(|| close(copy).unwrap()).succeeds();
    assert_eq!(mq_notify(queue.fd, none), Err(EBUSY), "a stranger's descriptor");
    close(copy).unwrap();
    mq_notify(queue.fd, none).expect("any descriptor of the process");
    mq_notify(queue.fd, None).unwrap();
    fork(|| mq_notify(queue.fd, none).unwrap()).succeeds();
    mq_notify(queue.fd, none).expect("the process has ended");
}

fn notification_errors() {
    let queue = NamedQueue::new("bad", 5, 8);
    assert_eq!(mq_notify(queue.fd, Some((99, 0, 0))), Err(EINVAL));
    assert_eq!(mq_notify(queue.fd, Some((SIGEV_SIGNAL, 65, 0))), Err(EINVAL));
    assert_eq!(mq_notify(queue.fd, Some((SIGEV_SIGNAL, -1, 0))), Err(EINVAL));
    assert_eq!(mq_notify(-1, Some((99, 0, 0))), Err(EINVAL), "the event is looked at first");
    assert_eq!(mq_notify(-1, None), Err(EBADF));
    assert_eq!(mq_notify(0, None), Err(EBADF));
    assert_eq!(syscall!(SYS_mq_notify, queue.fd, 8), Err(EFAULT));
    assert_eq!(mq_notify(queue.fd, Some((SIGEV_THREAD, -1, 0))), Err(EFAULT), "no cookie");
    let cookie = [0u8; 32];
    let at = std::ptr::from_ref(&cookie) as usize;
    assert_eq!(mq_notify(queue.fd, Some((SIGEV_THREAD, -1, at))), Err(EBADF));
    assert_eq!(mq_notify(queue.fd, Some((SIGEV_THREAD, queue.fd, at))), Err(ENOTSOCK));
    let (socket, _other) = socketpair(libc::SOCK_STREAM);
    assert_eq!(mq_notify(queue.fd, Some((SIGEV_THREAD, socket, at))), Err(EINVAL));
}

fn permissions() {
    let name = path(format!("kairos-rights-{}", getpid()));
    let before = syscall!(SYS_umask, 0o022).unwrap();
    let queue = NamedQueue { fd: mq_open(&name, O_RDWR | O_CREAT, 0o666, None).unwrap(), name: name.clone() };
    syscall!(SYS_umask, before).unwrap();
    as_nobody(|| {
        assert!(mq_open(&queue.name, O_RDONLY, 0, None).is_ok());
        assert_eq!(mq_open(&queue.name, O_WRONLY, 0, None), Err(EACCES));
        assert_eq!(mq_open(&queue.name, O_RDWR | O_CREAT, 0o666, None), Err(EACCES));
        assert_eq!(mq_unlink(&queue.name), Err(EPERM), "the directory is sticky");
        let own = NamedQueue::new("own", 1, 1);
        mq_unlink(&own.name).unwrap();
    });
}

fn memory_is_limited() {
    as_nobody(|| {
        let open = |tag: &str, messages: i64, bytes: i64| {
            let name = path(format!("kairos-{tag}-{}", getpid()));
            mq_open(&name, O_RDWR | O_CREAT, 0o600, Some(&mq_limits(messages, bytes)))
                .inspect(|_| mq_unlink(&name).unwrap())
        };
        assert_eq!(open("many", 11, 1), Err(EINVAL), "only the privileged may have more than msg_max");
        assert_eq!(open("long", 1, 8193), Err(EINVAL));
        let first = open("first", 10, 8192).unwrap();
        let bytes = 10 * 8192 + 10 * 48 + 10 * 48;
        let limit = libc::rlimit { rlim_cur: 2 * bytes - 1, rlim_max: 2 * bytes - 1 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_MSGQUEUE, &limit, 0).unwrap();
        assert_eq!(open("second", 10, 8192), Err(EMFILE));
        assert!(open("small", 10, 8191).is_ok());
        close(first).unwrap();
        assert!(open("second", 10, 8192).is_ok(), "what was closed counts no more");
    });
}

fn limits_in_proc() {
    let read = |name: &str| crate::sys::text(&path(format!("/proc/sys/fs/mqueue/{name}"))).unwrap();
    assert_eq!([read("msg_max"), read("msg_default")], ["10\n", "10\n"]);
    assert_eq!([read("msgsize_max"), read("msgsize_default")], ["8192\n", "8192\n"]);
    assert_eq!(read("queues_max"), "256\n");
}

fn file_system() {
    let queue = NamedQueue::new("shown", 2, 8);
    let name = queue.name.to_str().unwrap().to_owned();
    let _ = syscall!(SYS_unshare, libc::CLONE_NEWNS);
    syscall!(SYS_mkdirat, libc::AT_FDCWD, c"mq", 0o755).unwrap();
    syscall!(SYS_mount, c"none", c"mq", c"mqueue", 0, 0).unwrap();
    mq_send(queue.fd, b"abcd", 0).unwrap();
    let shown: Vec<String> = std::fs::read_dir("mq")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(shown.contains(&name), "{shown:?}");
    let line = std::fs::read_to_string(format!("mq/{name}")).unwrap();
    assert!(line.starts_with("QSIZE:4 "), "{line}");
    std::fs::remove_file(format!("mq/{name}")).unwrap();
    assert_eq!(mq_unlink(&queue.name), Err(ENOENT));
    close(open(c"mq/made-by-open", O_RDWR | O_CREAT).unwrap()).unwrap();
    assert!(mq_open(&path("made-by-open"), O_RDWR, 0, None).is_ok());
    mq_unlink(&path("made-by-open")).unwrap();
    assert_eq!(syscall!(SYS_mkdirat, libc::AT_FDCWD, c"mq/folder", 0o755), Err(EPERM));
    syscall!(SYS_umount2, c"mq", 0).unwrap();
}

fn killed_while_waiting() {
    let queue = NamedQueue::new("killed", 1, 8);
    let receiver = fork(|| discard(mq_receive(queue.fd, 8)));
    wait_until_blocked(receiver.pid);
    receiver.finish();
    mq_send(queue.fd, b"1", 0).unwrap();
    let sender = fork(|| discard(mq_send(queue.fd, b"2", 5)));
    wait_until_blocked(sender.pid);
    sender.finish();
    assert_eq!(mq_receive(queue.fd, 8), text(b"1", 0));
    assert_eq!(mq_getsetattr(queue.fd, None).unwrap().mq_curmsgs, 0, "its message went with it");
}

fn nothing_is_lost_under_contention() {
    let queue = NamedQueue::new("many", 3, 8);
    let rounds = rounds(200);
    let sums = map_shared(PAGE);
    let senders: Vec<Child> = (0..3)
        .map(|_| {
            let fd = queue.fd;
            fork(move || (1..=rounds).for_each(|value| mq_send(fd, &value.to_le_bytes(), 0).unwrap()))
        })
        .collect();
    let receivers: Vec<Child> = (0..3)
        .map(|_| {
            let fd = queue.fd;
            fork(move || {
                for _ in 0..rounds {
                    let (value, _) = mq_receive(fd, 8).unwrap();
                    let value = u64::from_le_bytes(value.try_into().unwrap()) as u32;
                    word_at(sums).fetch_add(value, std::sync::atomic::Ordering::SeqCst);
                }
            })
        })
        .collect();
    senders.iter().chain(&receivers).for_each(Child::succeeds);
    let total = 3 * rounds * (rounds + 1) / 2;
    assert_eq!(u64::from(word_at(sums).load(std::sync::atomic::Ordering::SeqCst)), total);
}
