//! Revocation: whatever was derived from a handle, and whoever uses it (docs/abi.md).

use crate::harness::{Case, case, or_skip, rounds};
use crate::sys::*;
use libc::{POLLHUP, POLLIN, POLLOUT};

pub(crate) const CASES: &[Case] = &[
    case!(revocation_shuts_every_road).kairos(),
    case!(revoked_handles_in_flight).kairos(),
    case!(revocation_ends_blocked_calls).kairos(),
    case!(revocation_ends_calls_on_lent_files).kairos(),
    case!(a_replaced_descriptor_does_not_save_its_call).kairos().deadlines(2),
    case!(passed_descriptors_keep_their_origin).kairos(),
];

fn revocation_shuts_every_road() {
    let (root, peer) = channel();
    let (to, from) = channel();
    let child = handle_duplicate(root, 0).unwrap();
    let grandchild = handle_duplicate(child, 0).unwrap();
    let sent = handle_duplicate(grandchild, 0).unwrap();
    let fd = fd_from_handle(child, 0).unwrap();
    let copy = dup(fd).unwrap();
    let back = handle_from_fd(fd, 0).unwrap();
    let worker = fork(move || {
        let received = channel_recv(from, 0).unwrap().1[0];
        channel_send(received, b"in", &[], 0).unwrap();
        let (told, _) = channel_recv(from, 0).unwrap();
        assert_eq!(told, b"revoked");
        assert_eq!(channel_send(received, b"in", &[], 0), Err(EBADF));
        assert_eq!(handle_info(grandchild), Err(EBADF), "nor what was inherited");
    });
    channel_send(to, b"", &[sent], 0).unwrap();
    assert_eq!(channel_recv(peer, 0).unwrap().0, b"in");
    handle_revoke_descendants(root).unwrap();
    channel_send(to, b"revoked", &[], 0).unwrap();
    worker.succeeds();
    for handle in [child, grandchild, back] {
        assert_eq!(handle_info(handle), Err(EBADF));
    }
    for fd in [fd, copy] {
        assert_eq!(write(fd, b"x"), Err(EBADF));
        assert_eq!(events_now(fd, POLLOUT), libc::POLLERR | POLLHUP);
        assert_eq!(handle_from_fd(fd, 0), Err(EACCES));
    }
    channel_send(root, b"root", &[], 0).unwrap();
    handle_close_with(root, REVOKE_DESCENDANTS).unwrap();
    assert_eq!(handle_info(root), Err(EBADF));
}

fn revoked_handles_in_flight() {
    let (to, from) = channel();
    let (root, _peer) = channel();
    let (other, _other_peer) = channel();
    let child = handle_duplicate(root, 0).unwrap();
    channel_send(to, b"both", &[child, other], 0).unwrap();
    handle_revoke_descendants(root).unwrap();
    let (bytes, handles) = channel_recv(from, 0).unwrap();
    assert_eq!((&bytes[..], handles[0]), (&b"both"[..], -1));
    handle_info(handles[1]).expect("the rest is intact");
}

fn revocation_ends_blocked_calls() {
    let (_to, from) = channel();
    let port = port_create().unwrap();
    let lent = handle_duplicate(from, 0).unwrap();
    let lent_port = handle_duplicate(port, 0).unwrap();
    let lent_fd = fd_from_handle(lent, 0).unwrap();
    let (pipe_from, _pipe_to) = pipe();
    let file = handle_from_fd(pipe_from, 0).unwrap();
    let file_fd = fd_from_handle(file, 0).unwrap();
    let bodies: [Box<dyn Fn()>; 4] = [
        Box::new(move || assert_eq!(channel_recv(lent, 0), Err(EBADF))),
        Box::new(move || assert_eq!(port_wait(lent_port, FOR_EVER, 0), Err(EBADF))),
        Box::new(move || assert_eq!(read_some(lent_fd, 10), Err(EBADF))),
        Box::new(move || assert_eq!(read_some(file_fd, 10), Err(EBADF))),
    ];
    let children: Vec<Child> = bodies.into_iter().map(fork).collect();
    children.iter().for_each(|child| wait_until_blocked(child.pid));
    for root in [from, port, file] {
        handle_revoke_descendants(root).unwrap();
    }
    children.into_iter().for_each(|child| child.succeeds());
    assert_eq!(events_now(file_fd, POLLIN), libc::POLLERR | POLLHUP);
    assert_eq!(dup(file_fd), Err(EBADF));
}

/// Whatever call waits in the name of a descriptor that was made from a handle.
fn revocation_ends_calls_on_lent_files() {
    /// A descriptor made from a handle for `fd`, and the handle.
    fn lend(fd: Fd) -> (Handle, Fd) {
        let root = handle_from_fd(fd, 0).unwrap();
        (root, fd_from_handle(root, 0).unwrap())
    }
    let (socket, _other) = socketpair(libc::SOCK_STREAM);
    let (pipe_from, _pipe_to) = pipe();
    let (_sink_from, sink) = pipe();
    let (events, empty) = (eventfd(0, 0), epoll_create());
    let lent = [socket, pipe_from, events, empty].map(lend);
    let [(_, socket), (_, pipe_from), (_, events), (_, empty)] = lent;
    let epoll = epoll_create();
    epoll_control(epoll, libc::EPOLL_CTL_ADD, events, libc::EPOLLIN, 7).unwrap();
    let bodies: [Box<dyn Fn()>; 6] = [
        Box::new(move || assert_eq!(recv(socket, 10, 0), Err(EBADF))),
        Box::new(move || assert_eq!(recvmsg(socket, 10, 64, 0).map(drop), Err(EBADF))),
        Box::new(move || assert_eq!(syscall!(SYS_splice, pipe_from, 0, sink, 0, 10, 0), Err(EBADF))),
        Box::new(move || {
            let mut room = [libc::epoll_event { events: 0, u64: 0 }; 1];
            assert_eq!(syscall!(SYS_epoll_wait, empty, room.as_mut_ptr(), 1, -1), Err(EBADF));
        }),
        Box::new(move || assert_eq!(epoll_wait(epoll, 4, -1), [(libc::EPOLLERR | libc::EPOLLHUP, 7)])),
        Box::new(move || {
            let mut set = [pollfd(events, POLLIN)];
            assert_eq!(poll(&mut set, -1), Ok(1));
            assert_eq!(set[0].revents, libc::POLLERR | POLLHUP);
        }),
    ];
    let children: Vec<Child> = bodies.into_iter().map(fork).collect();
    children.iter().for_each(|child| wait_until_blocked(child.pid));
    for (root, _) in lent {
        handle_revoke_descendants(root).unwrap();
    }
    children.into_iter().for_each(|child| child.succeeds());
    assert_eq!(recv(socket, 10, libc::MSG_DONTWAIT), Err(EBADF));
    assert_eq!(epoll_wait(epoll, 4, 0), [(libc::EPOLLERR | libc::EPOLLHUP, 7)], "and says so again");
}

/// A thread reads a lent file while another makes its descriptor name something else, and the lender revokes: whichever
/// of the two files it reads, it comes back.
fn a_replaced_descriptor_does_not_save_its_call() {
    let ((lent_from, _lent_to), (other_from, other_to)) = (pipe(), pipe());
    let root = handle_from_fd(lent_from, 0).unwrap();
    for round in 0..rounds(300) {
        let fd = fd_from_handle(root, 0).unwrap();
        let reader = std::thread::spawn(move || read_some(fd, 1));
        (0..round % 5).for_each(|_| discard(syscall!(SYS_sched_yield)));
        dup2(other_from, fd).unwrap();
        handle_revoke_descendants(root).unwrap();
        write(other_to, b"x").unwrap();
        match reader.join().unwrap() {
            Ok(bytes) => assert_eq!(bytes, b"x"),
            Err(errno) => {
                assert_eq!(errno, EBADF);
                assert_eq!(read_some(other_from, 1), Ok(b"x".to_vec()));
            }
        }
        close(fd).unwrap();
    }
}

fn passed_descriptors_keep_their_origin() {
    let (pipe_from, pipe_to) = pipe();
    let root = handle_from_fd(pipe_to, 0).unwrap();
    let narrow = handle_duplicate(root, RIGHT_WRITE | RIGHT_DUPLICATE).unwrap();
    let fd = fd_from_handle(narrow, 0).unwrap();
    // Another process takes it by pidfd_getfd: the same rights, and the same origin.
    let owner = fork(move || wait_for_ever());
    let pidfd = or_skip(syscall!(SYS_pidfd_open, owner.pid, 0)) as Fd;
    close(fd).unwrap();
    let fetched = or_skip(syscall!(SYS_pidfd_getfd, pidfd, fd, 0)) as Fd;
    assert_eq!(cap_rights_get(fetched), Ok(FD_RIGHT_WRITE | FD_RIGHT_DUP));
    assert_eq!(write(fetched, b"x"), Ok(1));
    assert_eq!(read_some(pipe_from, 1).unwrap(), b"x");
    let back = handle_from_fd(fetched, 0).unwrap();
    assert_eq!(u64::from(handle_info(back).unwrap().rights), RIGHT_WRITE | RIGHT_DUPLICATE);
    handle_revoke_descendants(root).unwrap();
    assert_eq!(write(fetched, b"x"), Err(EBADF));
    assert_eq!(handle_info(back), Err(EBADF));
    owner.kill(libc::SIGKILL);
    owner.wait();
}
