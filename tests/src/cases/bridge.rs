//! Ports, and the bridge between handles and descriptors (docs/abi.md).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{EPOLL_CTL_ADD, EPOLLET, EPOLLHUP, EPOLLIN, FIONBIO, O_NONBLOCK, POLLHUP, POLLIN, POLLOUT};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(packets_tell_what_happened).kairos(),
    case!(waits_end_in_time).kairos(),
    case!(ports_check_their_arguments).kairos(),
    case!(every_packet_goes_to_one_waiter).kairos(),
    case!(no_signal_is_lost_to_a_full_queue).kairos(),
    case!(bindings_end).kairos(),
    case!(descriptor_rights_only_shrink).kairos(),
    case!(kairos_cap_rights_fd_syscalls).kairos(),
    case!(channel_descriptors_keep_messages).kairos(),
    case!(kairos_channelfd_fd_only_longrun).kairos(),
    case!(channel_descriptors_poll).kairos(),
    case!(channel_descriptors_follow_rights).kairos(),
    case!(port_descriptors).kairos(),
    case!(kairos_file_handle_bridge).kairos(),
    case!(round_trips_add_no_right).kairos(),
    case!(both_ways_at_once).kairos(),
    case!(last_descriptor_closes_the_end).kairos(),
    case!(kairos_channelfd_epoll_et_stress).kairos(),
    case!(sockets_pass_descriptors_of_handles).kairos(),
];

fn packets_tell_what_happened() {
    let (to, from) = channel();
    let port = port_create().unwrap();
    port_bind(port, from, 0x55, READABLE | PEER_CLOSED).unwrap();
    assert_eq!(port_wait(port, 0, NONBLOCK), Err(EAGAIN));
    channel_send(to, b"1", &[], 0).unwrap();
    channel_send(to, b"2", &[], 0).unwrap();
    assert_eq!(port_wait(port, FOR_EVER, 0), Ok((0x55, READABLE)));
    assert_eq!(port_wait(port, 0, 0), Err(ETIMEDOUT), "nothing was received since");
    channel_recv(from, 0).unwrap();
    assert_eq!(port_wait(port, 0, 0), Ok((0x55, READABLE)), "one more is there");
    handle_close(to).unwrap();
    assert_eq!(port_wait(port, 500_000_000, 0), Ok((0x55, PEER_CLOSED)));
    assert_eq!(port_wait(port, 0, 0), Err(ETIMEDOUT));
    port_bind(port, from, 0x56, READABLE | PEER_CLOSED).unwrap();
    assert_eq!(port_wait(port, 0, 0), Ok((0x56, READABLE | PEER_CLOSED)), "what is true already");
}

fn waits_end_in_time() {
    let port = port_create().unwrap();
    for timeout in [0, 1, 1_000_000, 3_000_000] {
        let before = monotonic();
        assert_eq!(port_wait(port, timeout, 0), Err(ETIMEDOUT));
        assert!(monotonic() - before >= timeout as i64, "never early");
    }
    assert_eq!(port_wait(port, 0, NONBLOCK), Err(EAGAIN));
    let (to, from) = channel();
    port_bind(port, from, 1, READABLE).unwrap();
    for timeout in [1 << 63, u64::MAX - 1, u64::MAX] {
        let sender = fork(move || channel_send(to, b"x", &[], 0).unwrap());
        assert_eq!(port_wait(port, timeout, 0), Ok((1, READABLE)));
        channel_recv(from, 0).unwrap();
        sender.succeeds();
    }
}

fn ports_check_their_arguments() {
    let (_to, from) = channel();
    let port = port_create().unwrap();
    assert_eq!(call(4605, &[0, 0]), Err(EFAULT));
    assert_eq!(port_bind(port, from, 0, 0), Err(EINVAL));
    assert_eq!(port_bind(port, from, 0, 4), Err(EINVAL));
    assert_eq!(port_bind(77, from, 0, 1), Err(EBADF));
    assert_eq!(port_bind(from, from, 0, 1), Err(EACCES));
    assert_eq!(port_bind(port, port, 0, 1), Err(EOPNOTSUPP));
    assert_eq!(port_wait(port, 0, 2), Err(EINVAL));
    assert_eq!(port_wait(from, 0, 0), Err(EACCES));
    let managing = handle_duplicate(port, RIGHT_MANAGE | RIGHT_DUPLICATE).unwrap();
    assert_eq!(port_wait(managing, 0, 0), Err(EACCES));
    port_bind(managing, from, 1, 1).unwrap();
    let (to, _end) = channel();
    assert_eq!(channel_send(to, b"", &[port], 0), Err(EACCES), "a port cannot be sent");
    // A packet that cannot be written stays.
    channel_send(_to, b"", &[], 0).unwrap();
    assert_eq!(call(4607, &[port as usize, 16, 0, 0]), Err(EFAULT));
    assert_eq!(port_wait(port, 0, 0), Ok((1, READABLE)));
}

fn every_packet_goes_to_one_waiter() {
    let port = port_create().unwrap();
    let ends: Vec<(Handle, Handle)> = (0..8).map(|_| channel()).collect();
    for (key, (_, from)) in ends.iter().enumerate() {
        port_bind(port, *from, key as u64, READABLE).unwrap();
    }
    let waiters: Vec<_> =
        (0..8).map(|_| thread::spawn(move || port_wait(port, FOR_EVER, 0).unwrap().0)).collect();
    for (to, _) in &ends {
        channel_send(*to, b"x", &[], 0).unwrap();
    }
    let mut keys: Vec<u64> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..8).collect::<Vec<u64>>());
}

fn no_signal_is_lost_to_a_full_queue() {
    let port = port_create().unwrap();
    // More ends than the queue has places; the table has room for one end of each.
    let ends: Vec<Handle> = (1..=129)
        .map(|key| {
            let (to, from) = channel();
            port_bind(port, from, key, READABLE | PEER_CLOSED).unwrap();
            handle_close(to).unwrap();
            from
        })
        .collect();
    for key in 1..=129 {
        assert_eq!(port_wait(port, 0, 0), Ok((key, PEER_CLOSED)));
    }
    assert_eq!(port_wait(port, 0, 0), Err(ETIMEDOUT));
    assert_eq!(ends.len(), 129);
}

fn bindings_end() {
    let (to, from) = channel();
    let (port, other) = (port_create().unwrap(), port_create().unwrap());
    port_bind(port, from, 1, READABLE).unwrap();
    port_bind(port, from, 2, READABLE).unwrap();
    assert_eq!(port_bind(other, from, 3, READABLE), Err(EBUSY));
    assert_eq!(port_unbind(other, from), Err(ENOENT));
    channel_send(to, b"x", &[], 0).unwrap();
    port_unbind(port, from).unwrap();
    assert_eq!(port_wait(port, 0, 0), Err(ETIMEDOUT), "its packet is gone with it");
    port_bind(other, from, 3, READABLE).unwrap();
    assert_eq!(port_wait(other, 0, 0), Ok((3, READABLE)));
    handle_close(other).unwrap();
    port_bind(port, from, 4, READABLE).expect("nobody has the other port any more");
}

fn descriptor_rights_only_shrink() {
    let (from, to) = pipe();
    assert_eq!(cap_rights_get(from), Ok(FD_RIGHT_READ | FD_RIGHT_IOCTL | FD_RIGHT_DUP));
    assert_eq!(cap_rights_get(to), Ok(FD_RIGHT_WRITE | FD_RIGHT_IOCTL | FD_RIGHT_DUP));
    assert_eq!(cap_rights_limit(to, 1 << 20), Err(EINVAL));
    assert_eq!(cap_rights_limit(to, 1 << 40), Err(EINVAL));
    cap_rights_limit(to, FD_RIGHT_IOCTL).unwrap();
    cap_rights_limit(to, 0xf).unwrap();
    assert_eq!(cap_rights_get(to), Ok(FD_RIGHT_IOCTL));
    assert_eq!(cap_rights_get(99), Err(EBADF));
    assert_eq!(call(4608, &[from as usize, 0]), Err(EFAULT));
}

fn kairos_cap_rights_fd_syscalls() {
    let (from, to) = pipe();
    let copy = dup(from).unwrap();
    cap_rights_limit(to, FD_RIGHT_IOCTL).unwrap();
    assert_eq!(write(to, b""), Err(EBADF), "even of nothing");
    ioctl(to, FIONBIO, &1i32).unwrap();
    fcntl(to, libc::F_SETFL, 0).unwrap();
    assert_eq!(dup(to), Err(EPERM));
    cap_rights_limit(from, FD_RIGHT_IOCTL).unwrap();
    assert_eq!(read(from, &mut []), Err(EBADF));
    assert_eq!(cap_rights_get(copy), Ok(FD_RIGHT_READ | FD_RIGHT_IOCTL | FD_RIGHT_DUP), "this entry alone");
    cap_rights_limit(copy, FD_RIGHT_READ).unwrap();
    assert_eq!(fcntl(copy, libc::F_SETFL, O_NONBLOCK), Err(EBADF));
    cap_rights_limit(copy, 0).unwrap();
    assert_eq!(events_now(copy, POLLIN), 0, "poll and stat need no right");
    fstat(copy).unwrap();
    close(copy).unwrap();
}

fn channel_descriptors_keep_messages() {
    let (to, from) = channel();
    let (fd_to, fd_from) = (fd_from_handle(to, 0).unwrap(), fd_from_handle(from, 0).unwrap());
    for size in [1, 128, 129, 512, 513, 1023, 1024] {
        assert_eq!(write(fd_to, &vec![7; size]), Ok(size));
    }
    assert_eq!(write(fd_to, &[0; 1025]), Err(EMSGSIZE));
    assert_eq!(write(fd_to, b""), Ok(0), "no message");
    for size in [1, 128, 129, 512, 513, 1023, 1024] {
        assert_eq!(read(fd_from, &mut vec![0; size - 1]), if size == 1 { Ok(0) } else { Err(EMSGSIZE) });
        assert_eq!(read_some(fd_from, 2000), Ok(vec![7; size]));
    }
    // A vector is one message.
    let (mut one, mut two) = (*b"ab", *b"cd");
    let pieces = [iovec(&mut one), iovec(&mut two)];
    assert_eq!(syscall!(SYS_writev, fd_to, pieces.as_ptr(), 2), Ok(4));
    assert_eq!(channel_recv(from, 0).unwrap().0, b"abcd");
    // Handles don't fit through a descriptor.
    let (moved, peer) = channel();
    channel_send(to, b"with a handle", &[moved], 0).unwrap();
    assert_eq!(read_some(fd_from, 100).unwrap(), b"with a handle");
    assert_eq!(channel_recv(peer, 0), Ok((vec![], vec![])), "it was dropped");
    assert_eq!(lseek(fd_to, 0, libc::SEEK_SET), Err(ESPIPE));
    assert_eq!(pread(fd_to, &mut [0; 8], 0), Err(ESPIPE));
}

fn kairos_channelfd_fd_only_longrun() {
    let (to, from) = channel();
    let (fd_to, fd_from) = (fd_from_handle(to, 0).unwrap(), fd_from_handle(from, O_NONBLOCK).unwrap());
    handle_close(to).unwrap();
    handle_close(from).unwrap();
    for round in 0..96u8 {
        assert_eq!(write(fd_to, &[round, 1]), Ok(2));
        assert_eq!(read_some(fd_from, 10).unwrap(), [round, 1]);
        assert_eq!(write(fd_from, &[round, 2]), Ok(2));
        assert_eq!(read_some(fd_to, 10).unwrap(), [round, 2]);
    }
    assert_eq!(read_some(fd_from, 10), Err(EAGAIN));
    fcntl(fd_from, libc::F_SETFL, 0).unwrap();
    write(fd_to, b"last").unwrap();
    close(fd_to).unwrap();
    assert_eq!(read_some(fd_from, 10).unwrap(), b"last");
    assert_eq!(read_some(fd_from, 10).unwrap(), b"");
    assert_eq!(write(fd_from, b"x"), Err(EPIPE), "without a signal");
}

fn channel_descriptors_poll() {
    let (to, from) = channel();
    let fd = fd_from_handle(from, 0).unwrap();
    assert_eq!(events_now(fd, POLLIN), 0);
    assert_eq!(events_now(fd, POLLIN | POLLOUT), POLLOUT);
    let child = fork(move || channel_send(to, b"hi", &[], 0).unwrap());
    assert_eq!(poll(&mut [pollfd(fd, POLLIN)], -1), Ok(1));
    child.succeeds();
    assert_eq!(read_some(fd, 2).unwrap(), b"hi");
    handle_close(to).unwrap();
    assert_eq!(events_now(fd, 0), POLLHUP, "told without being asked for");
    assert_eq!(events_now(fd, POLLIN), POLLIN | POLLHUP, "reading does not wait any more");
}

fn channel_descriptors_follow_rights() {
    let (to, from) = channel();
    let reader = fd_from_handle(handle_duplicate(to, RIGHT_READ | RIGHT_DUPLICATE).unwrap(), 0).unwrap();
    assert_eq!(events_now(reader, POLLOUT), 0);
    assert_eq!(write(reader, b"x"), Err(EBADF));
    let writer = fd_from_handle(handle_duplicate(from, RIGHT_WRITE | RIGHT_DUPLICATE).unwrap(), 0).unwrap();
    channel_send(to, b"m", &[], 0).unwrap();
    assert_eq!(events_now(writer, POLLIN), 0);
    assert_eq!(read_some(writer, 10), Err(EBADF));
    assert_eq!(channel_recv(from, 0).unwrap().0, b"m");
    let neither = handle_duplicate(to, RIGHT_DUPLICATE).unwrap();
    assert_eq!(fd_from_handle(neither, 0), Err(EACCES));
    assert_eq!(fd_from_handle(handle_duplicate(to, RIGHT_READ).unwrap(), 0), Err(EACCES));
    assert_eq!(fd_from_handle(to, libc::O_APPEND), Err(EINVAL));
}

fn port_descriptors() {
    let (to, from) = channel();
    let port = port_create().unwrap();
    let fd = fd_from_handle(port, O_NONBLOCK).unwrap();
    assert_eq!((read_some(fd, 16), read_some(fd, 15)), (Err(EAGAIN), Err(EINVAL)));
    assert_eq!(events_now(fd, POLLIN), 0);
    port_bind(port, from, 0x55, READABLE | PEER_CLOSED).unwrap();
    channel_send(to, b"x", &[], 0).unwrap();
    assert_eq!(events_now(fd, POLLIN | POLLOUT), POLLIN);
    let packet = read_some(fd, 100).unwrap();
    assert_eq!((packet.len(), packet[0], packet[8]), (16, 0x55, 1));
    assert_eq!(write(fd, &[0; 16]), Err(EBADF));
    let managing =
        fd_from_handle(handle_duplicate(port, RIGHT_MANAGE | RIGHT_DUPLICATE).unwrap(), 0).unwrap();
    assert_eq!(read_some(managing, 16), Err(EBADF));
    assert_eq!(events_now(managing, POLLIN), 0);
    let back = handle_from_fd(managing, 0).unwrap();
    assert_eq!(port_wait(back, 0, NONBLOCK), Err(EACCES));
    port_bind(back, from, 0x56, READABLE).unwrap();
    assert_eq!(handle_from_fd(fd, RIGHT_READ), Err(EACCES), "no right of a port");
    // Its last owner is a descriptor.
    handle_close(port).unwrap();
    handle_close(back).unwrap();
    channel_recv(from, 0).unwrap();
    channel_send(to, b"y", &[], 0).unwrap();
    assert_eq!(read_some(fd, 16).unwrap()[0], 0x56);
}

fn kairos_file_handle_bridge() {
    let (pipe_from, pipe_to) = pipe();
    let (to, from) = channel();
    let handle = handle_from_fd(pipe_to, 0).unwrap();
    assert_eq!(fd_from_handle(handle, O_NONBLOCK), Err(EINVAL), "the open file decides that");
    close(pipe_to).unwrap();
    let child = fork(move || {
        let (bytes, handles) = channel_recv(from, 0).unwrap();
        assert_eq!((bytes.len(), handles.len()), (0, 1));
        let fd = fd_from_handle(handles[0], libc::O_CLOEXEC).unwrap();
        assert_eq!(fcntl(fd, libc::F_GETFD, 0), Ok(1));
        assert_eq!(write(fd, b"w"), Ok(1));
    });
    channel_send(to, b"", &[handle], 0).unwrap();
    assert_eq!(handle_info(handle), Err(EBADF));
    assert_eq!(read_some(pipe_from, 10).unwrap(), b"w");
    child.succeeds();
    handle_close(from).unwrap();
    assert_eq!(read_some(pipe_from, 10).unwrap(), b"", "no copy of the write end is left");
}

fn round_trips_add_no_right() {
    let (pipe_from, _pipe_to) = pipe();
    let (end, _peer) = channel();
    let port = port_create().unwrap();
    let file = handle_from_fd(pipe_from, 0).unwrap();
    for root in [file, end, port] {
        for mask in 1..64 {
            let Ok(narrow) = handle_duplicate(root, mask) else { continue };
            let before = u64::from(handle_info(narrow).unwrap().rights);
            if let Ok(fd) = fd_from_handle(narrow, 0) {
                if let Ok(back) = handle_from_fd(fd, 0) {
                    let after = u64::from(handle_info(back).unwrap().rights);
                    assert_eq!(after & !before, 0, "{before:#x} became {after:#x}");
                    handle_close(back).unwrap();
                }
                close(fd).unwrap();
            }
            handle_close(narrow).unwrap();
        }
    }
    let fixed = handle_duplicate(file, RIGHT_READ | RIGHT_DUPLICATE).unwrap();
    let back = handle_from_fd(fd_from_handle(fixed, 0).unwrap(), 0).unwrap();
    assert_eq!(channel_send(end, b"", &[back], 0), Err(EACCES), "what could not be sent still can't");
}

fn both_ways_at_once() {
    let (near, far) = channel();
    let fd = fd_from_handle(near, 0).unwrap();
    let reader = thread::spawn(move || read_some(fd, 10).unwrap());
    // Its reader sleeps; writing the same descriptor does not wait for that.
    assert_eq!(write(fd, b"out"), Ok(3));
    assert_eq!(channel_recv(far, 0).unwrap().0, b"out");
    channel_send(far, b"in", &[], 0).unwrap();
    assert_eq!(reader.join().unwrap(), b"in");
}

fn last_descriptor_closes_the_end() {
    let (to, from) = channel();
    let port = port_create().unwrap();
    port_bind(port, to, 9, PEER_CLOSED).unwrap();
    let fd = fd_from_handle(from, 0).unwrap();
    let copy = dup(fd).unwrap();
    handle_close(from).unwrap();
    let child = fork(move || wait_for_ever());
    close(fd).unwrap();
    close(copy).unwrap();
    assert_eq!(object_wait_one(to, POLLIN, 0), Err(ETIMEDOUT), "the child still has one");
    child.kill(libc::SIGKILL);
    child.wait();
    assert_eq!(object_wait_one(to, POLLIN, 0), Ok(POLLIN | POLLHUP));
    assert_eq!(channel_send(to, b"x", &[], 0), Err(EPIPE));
    assert_eq!(port_wait(port, 0, 0), Ok((9, PEER_CLOSED)));
}

fn kairos_channelfd_epoll_et_stress() {
    let (to, from) = channel();
    let fd = fd_from_handle(from, 0).unwrap();
    let port = port_create().unwrap();
    let port_fd = fd_from_handle(port, 0).unwrap();
    port_bind(port, from, 3, READABLE).unwrap();
    handle_close(from).unwrap();
    let (epoll, ports) = (epoll_create(), epoll_create());
    let cookie = 0x1234_5678_9abc_def0;
    epoll_control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, cookie).unwrap();
    epoll_control(ports, EPOLL_CTL_ADD, port_fd, EPOLLIN | EPOLLET, 1).unwrap();
    for round in 0..96u8 {
        channel_send(to, &[round], &[], 0).unwrap();
        assert_eq!(epoll_wait(epoll, 8, 50), [(EPOLLIN, cookie)]);
        assert_eq!(epoll_wait(epoll, 8, 0), [], "told once");
        assert_eq!(epoll_wait(ports, 8, 50), [(EPOLLIN, 1)], "also for what joins a packet that waits");
        assert_eq!(read_some(fd, 8).unwrap(), [round]);
        assert_eq!(epoll_wait(epoll, 8, 0), []);
    }
    handle_close(to).unwrap();
    assert_eq!(epoll_wait(epoll, 8, 50), [(EPOLLIN | EPOLLHUP, cookie)]);
}

fn sockets_pass_descriptors_of_handles() {
    let (one, two) = socketpair(libc::SOCK_STREAM);
    let pass = |fd: Fd| {
        send_rights(one, b"x", &[fd]).unwrap();
        close(fd).unwrap();
        recvmsg(two, 10, 100, 0).unwrap().rights()[0]
    };
    let (to, from) = channel();
    let arrived = pass(fd_from_handle(from, 0).unwrap());
    handle_close(from).unwrap();
    channel_send(to, b"hi", &[], 0).unwrap();
    assert_eq!(read_some(arrived, 10).unwrap(), b"hi", "it is the channel itself");
    close(arrived).unwrap();
    assert_eq!(channel_send(to, b"hi", &[], 0), Err(EPIPE), "nobody has it any more");
    // A descriptor made from a handle keeps its rights, and is revoked with the handle.
    let (pipe_from, pipe_to) = pipe();
    let root = handle_from_fd(pipe_to, 0).unwrap();
    let narrow = handle_duplicate(root, RIGHT_WRITE | RIGHT_DUPLICATE).unwrap();
    let arrived = pass(fd_from_handle(narrow, 0).unwrap());
    assert_eq!(cap_rights_get(arrived), Ok(FD_RIGHT_WRITE | FD_RIGHT_DUP));
    assert_eq!(write(arrived, b"w"), Ok(1));
    handle_revoke_descendants(root).unwrap();
    assert_eq!(write(arrived, b"w"), Err(EBADF));
    assert_eq!(read_some(pipe_from, 10).unwrap(), b"w");
    cap_rights_limit(pipe_from, FD_RIGHT_READ).unwrap();
    assert_eq!(
        send_rights(one, b"x", &[pipe_from]),
        Err(EBADF),
        "what may not be duplicated is not passed on"
    );
}
