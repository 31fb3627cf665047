//! The part of the catalogue that goes beyond what the first implementation was tested for: N1 to N18, as far as they
//! are about system calls. `docs/capability-tests.md` says where each of them is.

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{EPOLLHUP, EPOLLIN, O_NONBLOCK, POLLHUP, POLLIN, SIGUSR1, SOCK_STREAM};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(n1_the_last_descriptor_closes_a_channel).kairos(),
    case!(n1_the_last_descriptor_closes_a_port).kairos(),
    case!(n4_revocation_shuts_every_road).kairos(),
    case!(n6_an_end_in_its_own_queue_is_refused).kairos(),
    case!(n7_a_full_table_leaves_no_object).kairos(),
    case!(n9_a_pipe_passed_and_closed_has_ended).kairos(),
    case!(n11_sizes_by_syscall).kairos(),
    case!(n11_sizes_by_descriptor).kairos(),
    case!(n11_handles_of_a_message).kairos(),
    case!(n11_nothing_is_not_the_end).kairos(),
    case!(n12_a_closed_peer_is_told_to_everybody).kairos(),
    case!(n13_a_receiver_that_cannot_take_it_loses_nothing).kairos(),
    case!(n14_a_slot_goes_on_when_its_sender_is_interrupted).kairos().deadlines(2),
    case!(n14_a_packet_goes_on_when_its_waiter_is_interrupted).kairos().deadlines(2),
    case!(n18_fork_beside_a_revocation).kairos(),
];

const END: Sys<(Vec<u8>, Vec<Handle>)> = Ok((Vec::new(), Vec::new()));

/// Objects of handles that there are in the whole machine.
fn objects() -> u64 {
    let census = text(c"/proc/kairos/census").unwrap();
    let line = census.lines().find_map(|line| line.strip_prefix("objects ")).expect("objects");
    line.trim().parse().unwrap()
}

/// Waits until there are so many. Who walks over all of them keeps one for a moment.
fn wait_for_objects(count: u64) {
    wait_until(|| objects() == count);
}

/// A descriptor's copy that came through a socket.
fn passed(fd: Fd) -> Fd {
    let (one, other) = socketpair(SOCK_STREAM);
    send_rights(one, b"x", &[fd]).unwrap();
    let copy = recvmsg(other, 1, 64, 0).unwrap().rights()[0];
    close(one).unwrap();
    close(other).unwrap();
    copy
}

/// Copies of `fd` by dup, by a socket and by fork, and the child that has the last of them.
fn spread(fd: Fd) -> Child {
    let copies = [fd, dup(fd).unwrap(), passed(fd)];
    let child = fork(|| wait_for_ever());
    copies.into_iter().for_each(|copy| close(copy).unwrap());
    child
}

fn n1_the_last_descriptor_closes_a_channel() {
    let port = port_create().unwrap();
    let before = objects();
    let (to, from) = channel();
    port_bind(port, to, 9, PEER_CLOSED).unwrap();
    let fd = fd_from_handle(from, 0).unwrap();
    let other = fd_from_handle(to, 0).unwrap();
    handle_close(from).unwrap();
    let child = spread(fd);
    assert_eq!(object_wait_one(to, POLLIN, 0), Err(ETIMEDOUT), "the child still has three");
    channel_send(to, b"into the queue", &[], 0).unwrap();
    child.finish();
    assert_eq!(channel_recv(to, 0), END);
    assert_eq!(channel_send(to, b"x", &[], 0), Err(EPIPE));
    assert_eq!(events_now(other, 0), POLLHUP);
    assert_eq!(port_wait(port, 0, 0), Ok((9, PEER_CLOSED)));
    close(other).unwrap();
    handle_close(to).unwrap();
    wait_for_objects(before);
}

fn n1_the_last_descriptor_closes_a_port() {
    let (to, from) = channel();
    let before = objects();
    let port = port_create().unwrap();
    port_bind(port, from, 9, READABLE).unwrap();
    let fd = fd_from_handle(port, 0).unwrap();
    handle_close(port).unwrap();
    let child = spread(fd);
    let next = port_create().unwrap();
    assert_eq!(port_bind(next, from, 1, READABLE), Err(EBUSY), "the child still has the other");
    child.finish();
    port_bind(next, from, 1, READABLE).expect("nobody has the other port any more");
    channel_send(to, b"x", &[], 0).unwrap();
    assert_eq!(port_wait(next, 0, 0), Ok((1, READABLE)));
    handle_close(next).unwrap();
    wait_for_objects(before);
}

fn n4_revocation_shuts_every_road() {
    let (root, peer) = channel();
    let port = port_create().unwrap();
    let (lent, lent_port) = (handle_duplicate(root, 0).unwrap(), handle_duplicate(port, 0).unwrap());
    let fd = fd_from_handle(lent, 0).unwrap();
    let fds = [fd, dup(fd).unwrap(), passed(fd)];
    let from_fd = handle_from_fd(fds[2], 0).unwrap();
    while channel_send(root, b"full", &[], NONBLOCK).is_ok() {}
    let blocked: [Box<dyn Fn() -> Sys<()>>; 6] = [
        Box::new(move || channel_recv(lent, 0).map(drop)),
        Box::new(move || channel_send(lent, b"late", &[], 0)),
        Box::new(move || port_wait(lent_port, FOR_EVER, 0).map(drop)),
        Box::new(move || read_some(fds[1], 9).map(drop)),
        Box::new(move || write(fds[2], b"late").map(drop)),
        Box::new(move || channel_recv(from_fd, 0).map(drop)),
    ];
    let children: Vec<Child> =
        blocked.into_iter().map(|call| fork(move || assert_eq!(call(), Err(EBADF)))).collect();
    children.iter().for_each(|child| wait_until_blocked(child.pid));
    handle_revoke_descendants(root).unwrap();
    handle_revoke_descendants(port).unwrap();
    children.iter().for_each(Child::succeeds);
    for handle in [lent, lent_port, from_fd] {
        assert_eq!(handle_info(handle), Err(EBADF));
        assert_eq!(channel_send(root, b"", &[handle], 0), Err(EBADF));
    }
    for fd in fds {
        assert_eq!((read_some(fd, 9), write(fd, b"x")), (Err(EBADF), Err(EBADF)));
        assert_eq!(events_now(fd, POLLIN), libc::POLLERR | POLLHUP);
        assert_eq!(handle_from_fd(fd, 0), Err(EACCES));
    }
    assert_eq!(channel_recv(peer, 0).unwrap().0, b"full", "the root is as good as before");
}

fn n6_an_end_in_its_own_queue_is_refused() {
    let before = objects();
    let (to, from) = channel();
    let copy = handle_duplicate(from, 0).unwrap();
    for end in [from, copy] {
        assert_eq!(channel_send(to, b"", &[end], 0), Err(EINVAL));
    }
    for handle in [to, from, copy] {
        handle_close(handle).unwrap();
    }
    // Two in each other's queues can only be found, when nobody can reach them any more.
    let ((a, b), (c, d)) = (channel(), channel());
    channel_send(c, b"", &[b], 0).unwrap();
    channel_send(a, b"", &[d], 0).unwrap();
    handle_close(a).unwrap();
    handle_close(c).unwrap();
    wait_for_objects(before);
}

fn n7_a_full_table_leaves_no_object() {
    let (first, second) = channel();
    let mut copies: Vec<Handle> = (0..254).map(|_| handle_duplicate(first, 0).unwrap()).collect();
    assert_eq!(handle_duplicate(second, 0), Err(EMFILE));
    let before = objects();
    for used in [256, 255] {
        assert_eq!(channel_create(), Err(EMFILE), "with {used} numbers used");
        wait_for_objects(before);
        handle_close(copies.pop().unwrap()).unwrap();
    }
    assert_eq!(port_create().map(|port| handle_close(port).unwrap()), Ok(()));
    channel_create().expect("two numbers are free");
    wait_for_objects(before + 2);
}

fn n9_a_pipe_passed_and_closed_has_ended() {
    let ((from, to), (one, other)) = (pipe(), socketpair(SOCK_STREAM));
    for _ in 0..3 {
        send_rights(one, b"x", &[to, to]).unwrap();
    }
    close(to).unwrap();
    let received = recvmsg(other, 1, 64, 0).unwrap().rights();
    received.into_iter().for_each(|fd| close(fd).unwrap());
    assert_eq!(read_some(other, 1), Ok(b"x".to_vec()), "which drops what came along");
    assert_eq!(events_now(from, POLLIN), 0, "a third one is on its way");
    close(other).unwrap();
    assert_eq!(read_some(from, 1), Ok(vec![]));
}

const SIZES: [usize; 8] = [0, 1, 128, 129, 512, 513, 1023, 1024];

/// Receives with this much room: the answer and the sizes that were written.
fn receive_into(from: Handle, bytes: u32, handles: u32) -> (Sys<()>, u32, u32) {
    let (mut room, mut numbers) = (vec![0u8; 2000], [-1; 20]);
    let mut msg = ChannelMsg {
        bytes: room.as_mut_ptr() as usize,
        handles: numbers.as_mut_ptr() as usize,
        num_bytes: bytes,
        num_handles: handles,
    };
    let answer = channel_recv_raw(from, &mut msg, NONBLOCK);
    (answer, msg.num_bytes, msg.num_handles)
}

fn n11_sizes_by_syscall() {
    let (to, from) = channel();
    assert_eq!(channel_send(to, &[7; 1025], &[], 0), Err(EMSGSIZE));
    for size in SIZES {
        let exact = size as u32;
        channel_send(to, &vec![size as u8; size], &[], 0).unwrap();
        if size > 0 {
            assert_eq!(receive_into(from, exact - 1, 0), (Err(EMSGSIZE), exact, 0), "one byte less");
        }
        assert_eq!(receive_into(from, exact, 0), (Ok(()), exact, 0));
        channel_send(to, &vec![size as u8; size], &[], 0).unwrap();
        assert_eq!(receive_into(from, 1025, 9), (Ok(()), exact, 0), "more than any message needs");
        assert_eq!(receive_into(from, 1024, 8).0, Err(EAGAIN));
    }
}

fn n11_sizes_by_descriptor() {
    let (to, from) = channel();
    let (fd_to, fd_from) = (fd_from_handle(to, 0).unwrap(), fd_from_handle(from, O_NONBLOCK).unwrap());
    assert_eq!(write(fd_to, &[7; 1025]), Err(EMSGSIZE));
    assert_eq!(write(fd_to, b""), Ok(0));
    assert_eq!(read_some(fd_from, 9), Err(EAGAIN), "nothing was sent");
    for size in &SIZES[1..] {
        assert_eq!(write(fd_to, &vec![*size as u8; *size]), Ok(*size), "one message");
        if *size > 1 {
            assert_eq!(read_some(fd_from, size - 1), Err(EMSGSIZE));
        }
        assert_eq!(read_some(fd_from, *size), Ok(vec![*size as u8; *size]));
        assert_eq!(write(fd_to, &vec![*size as u8; *size]), Ok(*size));
        assert_eq!(read_some(fd_from, 4000), Ok(vec![*size as u8; *size]));
        assert_eq!(read_some(fd_from, 4000), Err(EAGAIN));
    }
}

fn n11_handles_of_a_message() {
    let (to, from) = channel();
    let all: Vec<Handle> = (0..9).map(|_| handle_duplicate(to, 0).unwrap()).collect();
    assert_eq!(channel_send(to, b"x", &all, 0), Err(EMSGSIZE));
    all.iter().for_each(|handle| discard(handle_info(*handle).expect("it is where it was")));
    for (count, handles) in [(0, &all[..0]), (1, &all[..1]), (8, &all[1..])] {
        channel_send(to, b"", handles, 0).unwrap();
        if count > 0 {
            assert_eq!(receive_into(from, 0, count - 1), (Err(EMSGSIZE), 0, count));
        }
        assert_eq!(receive_into(from, 0, count), (Ok(()), 0, count));
    }
    // By a descriptor they do not fit through.
    let fd = fd_from_handle(from, 0).unwrap();
    let (moved, peer) = channel();
    channel_send(to, b"with one", &[moved], 0).unwrap();
    assert_eq!(read_some(fd, 9), Ok(b"with one".to_vec()));
    assert_eq!(channel_recv(peer, 0), END);
}

/// A message of nothing and the end give the same counts: what is ready tells them apart.
fn n11_nothing_is_not_the_end() {
    let (to, from) = channel();
    let fd = fd_from_handle(from, 0).unwrap();
    channel_send(to, b"", &[], 0).unwrap();
    assert_eq!(events_now(fd, POLLIN), POLLIN, "a message, and the peer is there");
    assert_eq!(channel_recv(from, NONBLOCK), END);
    assert_eq!(channel_recv(from, NONBLOCK), Err(EAGAIN));
    handle_close(to).unwrap();
    assert_eq!(events_now(fd, POLLIN), POLLIN | POLLHUP);
    assert_eq!(object_wait_one(from, POLLIN, 0), Ok(POLLIN | POLLHUP));
    assert_eq!(channel_recv(from, NONBLOCK), END);
    handle_info(from).expect("the handle is good for asking");
}

fn n12_a_closed_peer_is_told_to_everybody() {
    let (to, from) = channel();
    let fd = fd_from_handle(from, O_NONBLOCK).unwrap();
    let epoll = epoll_create();
    epoll_add(epoll, fd, EPOLLIN, 7);
    let pollers = [POLLIN, 0].map(|events| {
        sleeper(move || {
            let mut set = [pollfd(fd, events)];
            (poll(&mut set, -1), set[0].revents)
        })
    });
    let waiter = epoll_waiter(epoll, 4);
    handle_close(to).unwrap();
    let [readable, nothing] = pollers.map(|poller| poller.join().unwrap());
    assert_eq!((readable, nothing), ((Ok(1), POLLIN | POLLHUP), (Ok(1), POLLHUP)));
    assert_eq!(waiter.join().unwrap(), [(EPOLLIN | EPOLLHUP, 7)]);
    assert_eq!((events_now(fd, POLLIN), events_now(fd, 0)), (POLLIN | POLLHUP, POLLHUP));
    assert_eq!(read_some(fd, 9), Ok(vec![]), "and not EAGAIN for ever");
    // What was queued comes first.
    let (to, from) = channel();
    let fd = fd_from_handle(from, O_NONBLOCK).unwrap();
    channel_send(to, b"queued", &[], 0).unwrap();
    handle_close(to).unwrap();
    assert_eq!(read_some(fd, 9), Ok(b"queued".to_vec()));
    assert_eq!((read_some(fd, 9), read_some(fd, 9)), (Ok(vec![]), Ok(vec![])));
}

fn n13_a_receiver_that_cannot_take_it_loses_nothing() {
    let ((to, from), (root, _peer)) = (channel(), channel());
    let handles: Vec<Handle> = (0..8).map(|_| handle_duplicate(root, 0).unwrap()).collect();
    let revoked = handle_duplicate(handles[3], 0).unwrap();
    let mut sent = handles.clone();
    sent[3] = revoked;
    channel_send(to, b"eight", &sent, 0).unwrap();
    // A revoked handle arrives as none, and the rest with it.
    handle_revoke_descendants(handles[3]).unwrap();
    let mut filler: Vec<Handle> = std::iter::from_fn(|| handle_duplicate(root, 0).ok()).collect();
    for free in 0..8 {
        assert_eq!(channel_recv(from, NONBLOCK), Err(EMFILE), "with {free} numbers free");
        handle_close(filler.pop().unwrap()).unwrap();
    }
    let hole = map_anonymous(2 * 4096);
    unmap(hole + 4096, 4096).unwrap();
    for (bytes, numbers) in [(hole + 4094, hole), (hole, hole + 4094)] {
        let mut msg = ChannelMsg { bytes, handles: numbers, num_bytes: 9, num_handles: 8 };
        assert_eq!(channel_recv_raw(from, &mut msg, 0), Err(EFAULT));
    }
    assert_eq!(call(4604, &[from as usize, hole + 4090, 0]), Err(EFAULT));
    let (bytes, arrived) = channel_recv(from, NONBLOCK).unwrap();
    assert_eq!((&bytes[..], arrived.len(), arrived[3]), (&b"eight"[..], 8, -1));
    for (index, handle) in arrived.into_iter().enumerate().filter(|(index, _)| *index != 3) {
        assert_eq!(handle_info(handle).map(|_| ()), Ok(()), "handle {index}");
    }
}

fn n14_a_slot_goes_on_when_its_sender_is_interrupted() {
    catch(SIGUSR1, 0);
    for _ in 0..rounds(50) {
        let (to, from) = channel();
        while channel_send(to, b"full", &[], NONBLOCK).is_ok() {}
        let (tid, first) = sleeper_and_tid(move || channel_send(to, b"late", &[], 0));
        let (_, second) = sleeper_and_tid(move || channel_send(to, b"late", &[], 0));
        let receiver = thread::spawn(move || channel_recv(from, 0).map(drop));
        assert!(matches!(tgkill(getpid(), tid, SIGUSR1), Ok(()) | Err(ESRCH)));
        receiver.join().unwrap().unwrap();
        match first.join().unwrap() {
            Ok(()) => {
                channel_recv(from, 0).unwrap();
                assert_eq!(second.join().unwrap(), Ok(()));
            }
            Err(errno) => {
                assert_eq!(errno, EINTR);
                assert_eq!(second.join().unwrap(), Ok(()), "the slot is passed on");
            }
        }
        handle_close(to).unwrap();
        handle_close(from).unwrap();
    }
}

fn n14_a_packet_goes_on_when_its_waiter_is_interrupted() {
    catch(SIGUSR1, 0);
    let ((to, from), port) = (channel(), port_create().unwrap());
    port_bind(port, from, 9, READABLE).unwrap();
    for _ in 0..rounds(50) {
        let (tid, first) = sleeper_and_tid(move || port_wait(port, FOR_EVER, 0));
        let (_, second) = sleeper_and_tid(move || port_wait(port, FOR_EVER, 0));
        let sender = thread::spawn(move || channel_send(to, b"x", &[], 0));
        assert!(matches!(tgkill(getpid(), tid, SIGUSR1), Ok(()) | Err(ESRCH)));
        sender.join().unwrap().unwrap();
        match first.join().unwrap() {
            Ok(packet) => {
                assert_eq!(packet, (9, READABLE));
                channel_recv(from, 0).unwrap();
                channel_send(to, b"x", &[], 0).unwrap();
            }
            Err(errno) => assert_eq!(errno, EINTR),
        }
        assert_eq!(second.join().unwrap(), Ok((9, READABLE)));
        channel_recv(from, 0).unwrap();
    }
}

/// A fork while an ancestor is revoked succeeds, and the child lacks what was revoked.
fn n18_fork_beside_a_revocation() {
    let (root, _peer) = channel();
    for _ in 0..rounds(50) {
        let lent: Vec<Handle> = (0..8).map(|_| handle_duplicate(root, 0).unwrap()).collect();
        let revoker = thread::spawn(move || handle_revoke_descendants(root));
        let (from, to) = pipe();
        let child = fork(|| {
            read_some(from, 1).unwrap();
            assert!(lent.iter().all(|handle| handle_info(*handle) == Err(EBADF)));
        });
        revoker.join().unwrap().unwrap();
        write(to, b"x").unwrap();
        child.succeeds();
        close(from).unwrap();
        close(to).unwrap();
    }
}
