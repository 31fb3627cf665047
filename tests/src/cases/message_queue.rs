//! System V message queues (msgget(2), msgop(2), msgctl(2)).

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{
    IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_NOWAIT, IPC_PRIVATE, IPC_SET, IPC_STAT, MSG_COPY, MSG_EXCEPT,
    MSG_NOERROR, SA_RESTART, SIGUSR1,
};

pub(crate) const CASES: &[Case] = &[
    case!(made_and_found_by_key),
    case!(messages_keep_their_order),
    case!(messages_are_chosen_by_type),
    case!(the_lowest_type_first),
    case!(any_type_but_one),
    case!(long_messages),
    case!(copies_stay_in_the_queue),
    case!(send_errors_in_order),
    case!(receive_errors_in_order),
    case!(a_full_queue),
    case!(a_full_queue_of_empty_messages),
    case!(a_receiver_waits_for_its_type),
    case!(a_message_goes_to_who_waits),
    case!(a_waiting_receiver_with_a_short_buffer),
    case!(a_sender_waits_for_room),
    case!(removal_wakes_with_an_error),
    case!(a_larger_queue_lets_senders_go_on),
    case!(receivers_look_again_after_a_change).root(),
    case!(signals_interrupt_for_good),
    case!(stop_and_continue_is_invisible),
    case!(status_and_times),
    case!(permissions).root(),
    case!(information),
    case!(listed_in_proc).root(),
    case!(nothing_is_lost_under_contention),
];

/// A key that nobody else uses, most likely.
fn fresh_key() -> i32 {
    0x4d00_0000 | getpid()
}

fn msgget(key: i32, flags: i32) -> Sys<i32> {
    syscall!(SYS_msgget, key, flags).map(|id| id as i32)
}

/// Type and text of a message that is there.
fn next(queue: &Queue, kind: i64, flags: i32) -> Sys<(i64, String)> {
    let (kind, text) = queue.receive(100, kind, flags | IPC_NOWAIT)?;
    Ok((kind, String::from_utf8(text).unwrap()))
}

fn message(kind: i64, text: &str) -> Sys<(i64, String)> {
    Ok((kind, text.into()))
}

/// A queue with one-letter messages of these types.
fn queue_of(kinds: &[(i64, &str)]) -> Queue {
    let queue = Queue::new();
    kinds.iter().for_each(|(kind, text)| queue.send(*kind, text.as_bytes(), 0).unwrap());
    queue
}

fn made_and_found_by_key() {
    let key = fresh_key();
    assert_eq!(msgget(key, 0o600), Err(ENOENT));
    let queue = Queue { id: msgget(key, IPC_CREAT | IPC_EXCL | 0o600).unwrap() };
    assert_eq!(msgget(key, IPC_CREAT | IPC_EXCL | 0o600), Err(EEXIST));
    assert_eq!(msgget(key, 0), Ok(queue.id));
    queue.remove().unwrap();
    assert_eq!(msgget(key, 0), Err(ENOENT));
    let other = Queue { id: msgget(IPC_PRIVATE, 0o600).unwrap() };
    assert_ne!(other.id, queue.id, "the same place, another identifier");
}

fn messages_keep_their_order() {
    let queue = queue_of(&[(1, "a"), (7, "bc"), (1, "")]);
    assert_eq!(next(&queue, 0, 0), message(1, "a"));
    assert_eq!(next(&queue, 0, 0), message(7, "bc"));
    assert_eq!(next(&queue, 0, 0), message(1, ""));
    assert_eq!(next(&queue, 0, 0), Err(ENOMSG));
}

fn messages_are_chosen_by_type() {
    let queue = queue_of(&[(1, "a"), (2, "b"), (3, "c"), (2, "d")]);
    assert_eq!(next(&queue, 2, 0), message(2, "b"));
    assert_eq!(next(&queue, 3, 0), message(3, "c"));
    assert_eq!(next(&queue, 4, 0), Err(ENOMSG));
    assert_eq!(next(&queue, 2, 0), message(2, "d"));
    assert_eq!(next(&queue, i64::MAX, 0), Err(ENOMSG));
}

fn the_lowest_type_first() {
    let queue = queue_of(&[(4, "a"), (2, "b"), (3, "c"), (2, "d")]);
    assert_eq!(next(&queue, -1, 0), Err(ENOMSG));
    assert_eq!(next(&queue, -3, 0), message(2, "b"));
    assert_eq!(next(&queue, -2, 0), message(2, "d"));
    assert_eq!(next(&queue, -2, 0), Err(ENOMSG));
    assert_eq!(next(&queue, i64::MIN, 0), message(3, "c"));
    assert_eq!(next(&queue, -4, MSG_EXCEPT), message(4, "a"));
}

fn any_type_but_one() {
    let queue = queue_of(&[(2, "a"), (3, "b")]);
    assert_eq!(next(&queue, 2, MSG_EXCEPT), message(3, "b"));
    assert_eq!(next(&queue, 2, MSG_EXCEPT), Err(ENOMSG));
    assert_eq!(next(&queue, 0, MSG_EXCEPT), message(2, "a"));
}

fn long_messages() {
    let queue = queue_of(&[(1, "abcdef")]);
    assert_eq!(queue.receive(5, 0, IPC_NOWAIT), Err(E2BIG));
    assert_eq!(queue.receive(5, 0, IPC_NOWAIT | MSG_NOERROR), Ok((1, b"abcde".to_vec())));
    assert_eq!(queue.receive(5, 0, IPC_NOWAIT), Err(ENOMSG), "the rest is gone");
    queue.send(9, &[3; 8192], 0).unwrap();
    assert_eq!(queue.receive(8192, 0, 0), Ok((9, vec![3; 8192])));
    queue.send(9, b"x", 0).unwrap();
    assert_eq!(queue.receive(0, 0, MSG_NOERROR), Ok((9, vec![])));
}

fn copies_stay_in_the_queue() {
    let queue = queue_of(&[(1, "a"), (5, "bcd")]);
    let copy = MSG_COPY | IPC_NOWAIT;
    assert_eq!(next(&queue, 1, copy), message(5, "bcd"));
    assert_eq!(next(&queue, 0, copy), message(1, "a"));
    assert_eq!(next(&queue, 2, copy), Err(ENOMSG));
    assert_eq!(next(&queue, -1, copy), Err(ENOMSG));
    assert_eq!(queue.receive(2, 1, copy), Err(E2BIG));
    assert_eq!(queue.receive(2, 1, copy | MSG_NOERROR), Err(EINVAL));
    assert_eq!(queue.receive(2, 1, MSG_COPY), Err(EINVAL), "it never waits");
    assert_eq!(queue.receive(2, 1, copy | MSG_EXCEPT), Err(EINVAL));
    assert_eq!(queue.status().unwrap().msg_qnum, 2);
}

fn send_errors_in_order() {
    let queue = Queue::new();
    let send = |id: i32, message: usize, size: usize| syscall!(SYS_msgsnd, id, message, size, IPC_NOWAIT);
    let good = Message { kind: 1, text: [0; 8192] };
    let bad_type = Message { kind: 0, text: [0; 8192] };
    let at = |message: &Message| std::ptr::from_ref(message) as usize;
    assert_eq!(send(-1, 8, 9000), Err(EFAULT), "the type is read first");
    assert_eq!(send(queue.id, at(&good), 8193), Err(EINVAL));
    assert_eq!(send(queue.id, at(&good), usize::MAX), Err(EINVAL));
    assert_eq!(send(-1, at(&good), 1), Err(EINVAL));
    assert_eq!(send(queue.id, at(&bad_type), 1), Err(EINVAL));
    assert_eq!(queue.send(-1, b"", 0), Err(EINVAL));
    assert_eq!(send(0x7fff_0000, at(&good), 1), Err(EINVAL));
    let edge = map_anonymous(2 * PAGE);
    unmap(edge + PAGE, PAGE).unwrap();
    poke(edge + PAGE - 8, 1);
    assert_eq!(send(queue.id, edge + PAGE - 8, 1), Err(EFAULT));
    assert_eq!(
        send(0x7fff_0000, edge + PAGE - 8, 1),
        Err(EFAULT),
        "the text is read before the queue is found"
    );
    assert_eq!(send(queue.id, edge + PAGE - 8, 0), Ok(0));
}

fn receive_errors_in_order() {
    let queue = Queue::new();
    let receive = |id: i32, size: usize| syscall!(SYS_msgrcv, id, 8, size, 0, IPC_NOWAIT);
    assert_eq!(receive(-1, 1), Err(EINVAL));
    assert_eq!(receive(queue.id, usize::MAX), Err(EINVAL));
    assert_eq!(receive(0x7fff_0000, 1), Err(EINVAL));
    assert_eq!(receive(queue.id, 1), Err(ENOMSG));
    queue.send(1, b"abc", 0).unwrap();
    assert_eq!(receive(queue.id, 1), Err(E2BIG));
    assert_eq!(receive(queue.id, 3), Err(EFAULT));
    assert_eq!(receive(queue.id, 3), Err(ENOMSG), "Linux loses it");
}

fn a_full_queue() {
    let queue = Queue::new();
    queue.send(1, &[0; 8192], 0).unwrap();
    queue.send(1, &[0; 8192], 0).unwrap();
    assert_eq!(queue.send(1, b"x", IPC_NOWAIT), Err(EAGAIN));
    assert_eq!(queue.send(1, b"", IPC_NOWAIT), Ok(()), "no bytes are left, and it has none");
    let status = queue.status().unwrap();
    assert_eq!((status.__msg_cbytes, status.msg_qnum, status.msg_qbytes), (16_384, 3, 16_384));
}

fn a_full_queue_of_empty_messages() {
    let queue = Queue::new();
    let mut status = queue.status().unwrap();
    status.msg_qbytes = 10;
    queue.set(&status).unwrap();
    (0..10).for_each(|_| queue.send(1, b"", IPC_NOWAIT).unwrap());
    assert_eq!(queue.send(1, b"", IPC_NOWAIT), Err(EAGAIN), "as many messages as bytes");
}

fn a_receiver_waits_for_its_type() {
    let queue = queue_of(&[(1, "other")]);
    let receiver = fork(|| assert_eq!(queue.receive(10, 5, 0), Ok((5, b"mine".to_vec()))));
    wait_until_blocked(receiver.pid);
    queue.send(4, b"not", 0).unwrap();
    queue.send(5, b"mine", 0).unwrap();
    receiver.succeeds();
    assert_eq!(queue.status().unwrap().msg_qnum, 2);
}

/// Nobody else finds a message for which somebody waited.
fn a_message_goes_to_who_waits() {
    let queue = Queue::new();
    for _ in 0..rounds(50) {
        let receiver = fork(|| assert_eq!(queue.receive(10, 0, 0), Ok((1, b"m".to_vec()))));
        wait_until_blocked(receiver.pid);
        queue.send(1, b"m", 0).unwrap();
        assert_eq!(next(&queue, 0, 0), Err(ENOMSG));
        receiver.succeeds();
    }
    let status = queue.status().unwrap();
    assert_eq!((status.msg_qnum, status.__msg_cbytes), (0, 0));
}

fn a_waiting_receiver_with_a_short_buffer() {
    let queue = Queue::new();
    let receiver = fork(|| assert_eq!(queue.receive(2, 0, 0), Err(E2BIG)));
    wait_until_blocked(receiver.pid);
    queue.send(3, b"long", 0).unwrap();
    receiver.succeeds();
    assert_eq!(next(&queue, 0, 0), message(3, "long"), "it stays");
}

fn a_sender_waits_for_room() {
    let queue = Queue::new();
    queue.send(1, &[0; 8192], 0).unwrap();
    queue.send(2, &[0; 8192], 0).unwrap();
    let senders =
        [fork(|| queue.send(3, &[1; 8192], 0).unwrap()), fork(|| queue.send(4, b"small", 0).unwrap())];
    senders.iter().for_each(|sender| wait_until_blocked(sender.pid));
    queue.receive(8192, 1, 0).unwrap();
    queue.receive(8192, 2, 0).unwrap();
    senders.iter().for_each(Child::succeeds);
    assert_eq!(next(&queue, 4, 0), message(4, "small"));
    assert_eq!(queue.receive(8192, 3, 0), Ok((3, vec![1; 8192])));
}

fn removal_wakes_with_an_error() {
    let queue = Queue::new();
    queue.send(1, &[0; 8192], 0).unwrap();
    queue.send(1, &[0; 8192], 0).unwrap();
    let waiters = [
        fork(|| assert_eq!(queue.send(1, b"x", 0), Err(EIDRM))),
        fork(|| assert_eq!(queue.receive(1, 9, 0), Err(EIDRM))),
    ];
    waiters.iter().for_each(|waiter| wait_until_blocked(waiter.pid));
    queue.remove().unwrap();
    waiters.iter().for_each(Child::succeeds);
    assert_eq!(next(&queue, 0, 0), Err(EINVAL));
    assert_eq!(queue.remove(), Err(EINVAL));
}

fn a_larger_queue_lets_senders_go_on() {
    let queue = Queue::new();
    let mut status = queue.status().unwrap();
    status.msg_qbytes = 4;
    queue.set(&status).unwrap();
    let sender = fork(|| queue.send(1, b"12345", 0).unwrap());
    wait_until_blocked(sender.pid);
    status.msg_qbytes = 5;
    queue.set(&status).unwrap();
    sender.succeeds();
}

fn receivers_look_again_after_a_change() {
    let queue = Queue::new();
    let mut status = queue.status().unwrap();
    status.msg_perm.mode = 0o666;
    queue.set(&status).unwrap();
    let receiver = fork_as(NOBODY, NOBODY, || assert_eq!(queue.receive(1, 0, 0), Err(EACCES)));
    wait_until_blocked(receiver.pid);
    status.msg_perm.mode = 0o600;
    queue.set(&status).unwrap();
    receiver.succeeds();
}

fn signals_interrupt_for_good() {
    let queue = Queue::new();
    queue.send(1, &[0; 8192], 0).unwrap();
    queue.send(1, &[0; 8192], 0).unwrap();
    for flags in [0, SA_RESTART] {
        for sends in [false, true] {
            let gate = Gate::new();
            let waiter = fork(|| {
                catch(SIGUSR1, flags);
                gate.open();
                match sends {
                    true => assert_eq!(queue.send(1, b"x", 0), Err(EINTR)),
                    false => assert_eq!(queue.receive(1, 9, 0), Err(EINTR)),
                }
            });
            gate.pass();
            gate.dispose();
            wait_until_blocked(waiter.pid);
            waiter.kill(SIGUSR1);
            waiter.succeeds();
        }
    }
    queue.send(9, b"", 0).unwrap();
    assert_eq!(next(&queue, 9, 0), message(9, ""), "nobody waits any more");
}

fn stop_and_continue_is_invisible() {
    let queue = Queue::new();
    let receiver = fork(|| assert_eq!(queue.receive(10, 0, 0), Ok((1, b"late".to_vec()))));
    wait_until_blocked(receiver.pid);
    receiver.kill(libc::SIGSTOP);
    wait_until_stopped(receiver.pid);
    receiver.kill(libc::SIGCONT);
    wait_until_blocked(receiver.pid);
    queue.send(1, b"late", 0).unwrap();
    receiver.succeeds();
}

fn status_and_times() {
    let queue = Queue::new();
    let status = queue.status().unwrap();
    assert_eq!((status.msg_stime, status.msg_rtime, status.msg_lspid, status.msg_lrpid), (0, 0, 0, 0));
    assert_ne!(status.msg_ctime, 0);
    assert_eq!((status.msg_qbytes, status.msg_perm.mode), (16_384, 0o600));
    let sender = fork(|| queue.send(1, b"abc", 0).unwrap());
    sender.succeeds();
    let status = queue.status().unwrap();
    assert_eq!((status.msg_lspid, status.msg_qnum, status.__msg_cbytes), (sender.pid, 1, 3));
    assert_ne!(status.msg_stime, 0);
    next(&queue, 0, 0).unwrap();
    let status = queue.status().unwrap();
    assert_eq!((status.msg_lrpid, status.msg_qnum, status.__msg_cbytes), (getpid(), 0, 0));
    assert_ne!(status.msg_rtime, 0);
    assert_eq!(msgctl(queue.id, IPC_STAT, 8), Err(EFAULT));
    assert_eq!(msgctl(queue.id, IPC_SET, 8), Err(EFAULT));
    assert_eq!(msgctl(queue.id, 99, 8), Err(EINVAL));
    assert_eq!(msgctl(-1, IPC_STAT, 8), Err(EINVAL));
}

fn permissions() {
    let key = fresh_key();
    let queue = Queue { id: msgget(key, IPC_CREAT | 0o642).unwrap() };
    queue.send(1, b"a", 0).unwrap();
    let mut status = queue.status().unwrap();
    as_nobody(|| {
        assert_eq!(msgget(key, 0o400), Err(EACCES));
        assert_eq!(msgget(key, 0o200), Ok(queue.id));
        assert_eq!(next(&queue, 0, 0), Err(EACCES));
        assert_eq!(queue.send(1, b"", IPC_NOWAIT), Ok(()));
        assert_eq!(queue.status().map(drop), Err(EACCES));
        assert_eq!(queue.remove(), Err(EPERM));
        assert_eq!(queue.set(&status), Err(EPERM));
    });
    status.msg_perm.uid = NOBODY;
    queue.set(&status).unwrap();
    as_nobody(|| {
        status.msg_qbytes = 16_385;
        assert_eq!(queue.set(&status), Err(EPERM), "only the privileged may raise it above the limit");
        status.msg_qbytes = 16_000;
        queue.set(&status).unwrap();
        assert_eq!(queue.status().unwrap().msg_qbytes, 16_000);
        queue.remove().unwrap();
    });
}

fn information() {
    const MSG_STAT: i32 = 11;
    const MSG_INFO: i32 = 12;
    const MSG_STAT_ANY: i32 = 13;
    let queue = queue_of(&[(1, "abc")]);
    let mut limits = [0i32; 8];
    assert!(msgctl(0, IPC_INFO, &mut limits).unwrap() >= (queue.id & 0x7fff) as usize);
    assert_eq!(limits, [512_000, 16_384, 8192, 16_384, 32_000, 16, 16_384, 0xffff]);
    msgctl(0, MSG_INFO, &mut limits).unwrap();
    assert!(limits[0] >= 1 && limits[1] >= 1 && limits[6] >= 3, "{limits:?}");
    let mut status: libc::msqid_ds = zeroed();
    for command in [MSG_STAT, MSG_STAT_ANY] {
        assert_eq!(msgctl(queue.id & 0x7fff, command, &mut status), Ok(queue.id as usize));
        assert_eq!(status.msg_qnum, 1);
    }
    let limit = |name: &str| text(&path(format!("/proc/sys/kernel/{name}"))).unwrap();
    assert_eq!([limit("msgmax"), limit("msgmnb"), limit("msgmni")], ["8192\n", "16384\n", "32000\n"]);
}

fn listed_in_proc() {
    let queue = queue_of(&[(1, "abc"), (2, "d")]);
    let table = text(c"/proc/sysvipc/msg").unwrap();
    let own = |line: &&str| line.split_ascii_whitespace().nth(1) == Some(&queue.id.to_string());
    let line = table.lines().find(own).expect("the queue's line");
    let status = queue.status().unwrap();
    let (pid, sent, changed) = (getpid(), status.msg_stime, status.msg_ctime);
    let expected = format!(
        "{:10} {:10}   600           4          2 {pid:5}     0     0     0     0     0 {sent:10} {:10} {changed:10}",
        0, queue.id, 0
    );
    assert_eq!(line, expected);
}

/// Senders and receivers of three types, with room for few messages: each arrives once.
fn nothing_is_lost_under_contention() {
    let queue = Queue::new();
    let mut status = queue.status().unwrap();
    status.msg_qbytes = 64;
    queue.set(&status).unwrap();
    let rounds = rounds(200) as u32;
    let senders: Vec<Child> = (1..=3)
        .map(|kind| {
            let queue = &queue;
            fork(move || (0..rounds).for_each(|round| queue.send(kind, &round.to_le_bytes(), 0).unwrap()))
        })
        .collect();
    let receivers: Vec<Child> = (1..=3)
        .map(|kind| {
            let queue = &queue;
            fork(move || {
                for round in 0..rounds {
                    assert_eq!(queue.receive(4, kind, 0), Ok((kind, round.to_le_bytes().to_vec())));
                }
            })
        })
        .collect();
    senders.iter().chain(&receivers).for_each(Child::succeeds);
    assert_eq!(queue.status().unwrap().msg_qnum, 0);
}
