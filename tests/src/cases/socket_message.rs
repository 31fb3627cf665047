//! Datagram and sequenced-packet sockets (unix(7), send(2), recv(2)), sendmmsg(2), recvmmsg(2).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITFORONE, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, SHUT_RD,
    SHUT_WR, SIGPIPE, SIGUSR1, SOCK_DGRAM, SOCK_SEQPACKET,
};

pub(crate) const CASES: &[Case] = &[
    case!(messages_keep_their_boundaries),
    case!(a_message_that_does_not_fit_is_cut),
    case!(empty_messages),
    case!(peek_leaves_the_message),
    case!(a_message_larger_than_the_buffer_is_refused),
    case!(reads_and_writes_are_messages),
    case!(sendto_and_recvfrom_tell_names),
    case!(datagrams_need_an_address),
    case!(a_receiver_that_has_gone_refuses),
    case!(a_connected_receiver_takes_only_from_its_peer),
    case!(connect_changes_and_ends),
    case!(disconnecting_is_told_to_the_other),
    case!(a_full_receiver_blocks_its_senders),
    case!(a_full_receiver_is_not_writable),
    case!(a_pair_is_not_limited_by_the_count),
    case!(a_sender_to_itself),
    case!(shutdown_of_datagrams),
    case!(datagram_pair_after_a_close),
    case!(seqpacket_end_of_file),
    case!(seqpacket_poll),
    case!(seqpacket_sends_no_sigpipe),
    case!(seqpacket_ignores_addresses),
    case!(waiting_receivers_each_get_one),
    case!(faults_lose_no_message),
    case!(ioctl_counts_the_first_message),
    case!(sendmmsg_sends_many),
    case!(sendmmsg_stops_at_the_first_error),
    case!(recvmmsg_receives_many),
    case!(recvmmsg_waits_for_one),
    case!(recvmmsg_timeout),
    case!(recvmmsg_is_interrupted),
    case!(message_headers_are_checked),
];

fn messages_keep_their_boundaries() {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        for message in [&b"one"[..], b"second", b"3"] {
            assert_eq!(send(one, message, 0), Ok(message.len()));
        }
        for message in [&b"one"[..], b"second", b"3"] {
            assert_eq!(recv(other, 100, 0), Ok(message.to_vec()));
        }
        assert_eq!(recv(other, 100, MSG_DONTWAIT), Err(EAGAIN));
    }
}

fn a_message_that_does_not_fit_is_cut() {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        for _ in 0..3 {
            send(one, b"abcdef", 0).unwrap();
        }
        send(one, b"next", 0).unwrap();
        assert_eq!(recv(other, 2, 0), Ok(b"ab".to_vec()));
        let cut = recvmsg(other, 4, 0, 0).unwrap();
        assert_eq!((cut.bytes.as_slice(), cut.flags), (&b"abcd"[..], MSG_TRUNC));
        let mut small = [0; 3];
        let whole = syscall!(SYS_recvfrom, other, &mut small, 3, MSG_TRUNC, 0, 0);
        assert_eq!((whole, &small), (Ok(6), b"abc"), "MSG_TRUNC tells the whole length");
        let full = recvmsg(other, 4, 0, 0).unwrap();
        assert_eq!((full.bytes.as_slice(), full.flags), (&b"next"[..], 0));
    }
}

fn empty_messages() {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        assert_eq!(send(one, b"", 0), Ok(0));
        assert_eq!(write(one, b""), Ok(0), "a write of nothing sends a message too");
        assert_eq!(syscall!(SYS_writev, one, 0, 0), Ok(0), "a writev of nothing does not");
        assert_eq!(events_now(other, POLLIN), POLLIN);
        assert_eq!(read_some(other, 0), Ok(vec![]), "a read of nothing takes none");
        assert_eq!(recv(other, 9, 0), Ok(vec![]));
        assert_eq!(recv(other, 9, 0), Ok(vec![]));
        assert_eq!(recv(other, 9, MSG_DONTWAIT), Err(EAGAIN));
    }
}

fn peek_leaves_the_message() {
    let (one, other) = socketpair(SOCK_DGRAM);
    send(one, b"abc", 0).unwrap();
    send(one, b"def", 0).unwrap();
    assert_eq!(recv(other, 2, MSG_PEEK), Ok(b"ab".to_vec()));
    let mut none = [0u8; 1];
    assert_eq!(syscall!(SYS_recvfrom, other, &mut none, 0, MSG_PEEK | MSG_TRUNC, 0, 0), Ok(3));
    assert_eq!(recv(other, 9, 0), Ok(b"abc".to_vec()));
    assert_eq!(recv(other, 9, MSG_PEEK), Ok(b"def".to_vec()));
}

fn a_message_larger_than_the_buffer_is_refused() {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, _other) = socketpair(kind);
        set_option(one, libc::SO_SNDBUF, 10_000).unwrap();
        assert_eq!(option(one, libc::SO_SNDBUF), Ok(20_000));
        assert_eq!(send(one, &[0; 20_000 - 31], 0), Err(EMSGSIZE));
        assert_eq!(send(one, &[0; 20_000 - 32], 0), Ok(20_000 - 32));
    }
}

fn reads_and_writes_are_messages() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let (mut a, mut b) = (*b"abc", *b"defg");
    assert_eq!(syscall!(SYS_writev, one, &[iovec(&mut a), iovec(&mut b)], 2), Ok(7));
    write(one, b"second").unwrap();
    let (mut c, mut d) = ([0; 5], [0; 5]);
    assert_eq!(syscall!(SYS_readv, other, &[iovec(&mut c), iovec(&mut d)], 2), Ok(7));
    assert_eq!((&c, &d[..2]), (b"abcde", &b"fg"[..]));
    assert_eq!(read_some(other, 3), Ok(b"sec".to_vec()));
    assert_eq!(recv(other, 3, MSG_DONTWAIT), Err(EAGAIN), "the rest is lost");
}

/// A bound datagram socket with its address.
fn bound(name: &str) -> (Fd, Vec<u8>) {
    let address = abstract_address(name);
    let fd = socket(SOCK_DGRAM);
    bind(fd, &address).unwrap();
    (fd, address)
}

fn sendto_and_recvfrom_tell_names() {
    let (server, to) = bound("server");
    let (client, from) = bound("client");
    let nameless = socket(SOCK_DGRAM);
    assert_eq!(send_to(client, b"hello", 0, &to), Ok(5));
    assert_eq!(send_to(nameless, b"who", 0, &to), Ok(3));
    assert_eq!(recv_from(server, 9, 0), Ok((b"hello".to_vec(), from.clone())));
    assert_eq!(recv_from(server, 9, 0), Ok((b"who".to_vec(), vec![])), "no name, no bytes");
    assert_eq!(send_to(server, b"answer", 0, &from), Ok(6));
    assert_eq!(recv_from(client, 9, 0), Ok((b"answer".to_vec(), to)));
}

fn datagrams_need_an_address() {
    let fd = socket(SOCK_DGRAM);
    assert_eq!(send(fd, b"x", 0), Err(ENOTCONN));
    assert_eq!(send_to(fd, b"x", 0, &abstract_address("nobody")), Err(ECONNREFUSED));
    assert_eq!(send_to(fd, b"x", 0, &path_address(c"missing")), Err(ENOENT));
    assert_eq!(send_to(fd, b"x", 0, &[2, 0, 1, 2]), Err(EINVAL));
    assert_eq!(send_to(fd, b"x", 0, &[1, 0]), Err(EINVAL));
    assert_eq!(send_to(fd, b"x", 0, &[1]), Err(EINVAL));
}

fn a_receiver_that_has_gone_refuses() {
    let (server, to) = bound("gone");
    let client = socket(SOCK_DGRAM);
    connect(client, &to).unwrap();
    assert_eq!(send(client, b"x", 0), Ok(1));
    close(server).unwrap();
    assert_eq!(events_now(client, POLLOUT | POLLIN), POLLOUT);
    assert_eq!(send(client, b"x", 0), Err(ECONNREFUSED));
    assert_eq!(send(client, b"x", 0), Err(ENOTCONN), "it is connected to nobody now");
    assert_eq!(getpeername(client), Err(ENOTCONN));
}

fn a_connected_receiver_takes_only_from_its_peer() {
    let (server, to) = bound("server");
    let (friend, from) = bound("friend");
    let stranger = socket(SOCK_DGRAM);
    connect(server, &from).unwrap();
    assert_eq!(send_to(stranger, b"x", 0, &to), Err(EPERM));
    assert_eq!(connect(stranger, &to), Err(EPERM));
    assert_eq!(send_to(friend, b"x", 0, &to), Ok(1));
    assert_eq!(recv(server, 9, 0), Ok(b"x".to_vec()));
}

fn connect_changes_and_ends() {
    let (first, one) = bound("first");
    let (second, two) = bound("second");
    let client = socket(SOCK_DGRAM);
    connect(client, &one).unwrap();
    send(client, b"1", 0).unwrap();
    assert_eq!(getpeername(client), Ok(one));
    connect(client, &two).unwrap();
    send(client, b"2", 0).unwrap();
    assert_eq!(recv(first, 9, 0), Ok(b"1".to_vec()));
    assert_eq!(recv(second, 9, 0), Ok(b"2".to_vec()));
    let nobody = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    connect(client, &nobody).unwrap();
    assert_eq!(send(client, b"3", 0), Err(ENOTCONN));
    assert_eq!(connect(client, &[0]), Err(EINVAL));
    assert_eq!(connect(client, &nobody), Ok(()), "also when it was not connected");
}

fn disconnecting_is_told_to_the_other() {
    let (one, other) = socketpair(SOCK_DGRAM);
    send(other, b"lost", 0).unwrap();
    connect(one, &[0; 16]).unwrap();
    assert_eq!(recv(one, 9, MSG_DONTWAIT), Err(EAGAIN), "what it had been sent is lost");
    assert_eq!(events_now(other, POLLIN), POLLERR);
    assert_eq!(option(other, libc::SO_ERROR), Ok(ECONNRESET.0));
    assert_eq!(events_now(other, POLLIN), 0);
}

fn a_full_receiver_blocks_its_senders() {
    let (server, to) = bound("full");
    let client = socket(SOCK_DGRAM);
    let mut count = 0u8;
    while send_to(client, &[count], MSG_DONTWAIT, &to).is_ok() {
        count += 1;
    }
    assert!(count >= 10, "{count}");
    let senders: Vec<Child> =
        (0..3).map(|_| fork(|| assert_eq!(send_to(client, b"x", 0, &to), Ok(1)))).collect();
    senders.iter().for_each(|sender| wait_until_blocked(sender.pid));
    for expected in 0..count {
        assert_eq!(recv(server, 9, 0), Ok(vec![expected]));
    }
    for _ in 0..3 {
        assert_eq!(recv(server, 9, 0), Ok(b"x".to_vec()));
    }
    senders.iter().for_each(Child::succeeds);
    while send_to(client, b"y", MSG_DONTWAIT, &to).is_ok() {}
    let refused = fork(|| {
        close(server).unwrap();
        assert_eq!(send_to(client, b"x", 0, &to), Err(ECONNREFUSED));
    });
    wait_until_blocked(refused.pid);
    close(server).unwrap();
    refused.succeeds();
}

fn a_full_receiver_is_not_writable() {
    let (server, to) = bound("full");
    let client = socket(SOCK_DGRAM);
    connect(client, &to).unwrap();
    assert_eq!(events_now(client, POLLOUT), POLLOUT);
    while send(client, b"x", MSG_DONTWAIT).is_ok() {}
    assert_eq!(events_now(client, POLLOUT), 0);
    let poller = fork(|| {
        let mut set = [pollfd(client, POLLOUT)];
        assert_eq!(poll(&mut set, -1), Ok(1));
        assert_eq!(set[0].revents, POLLOUT);
        assert_eq!(send(client, b"y", MSG_DONTWAIT), Ok(1));
    });
    wait_until_blocked(poller.pid);
    recv(server, 9, 0).unwrap();
    poller.succeeds();
    assert_eq!(events_now(client, POLLOUT), 0);
    let poller = fork(|| {
        close(server).unwrap();
        assert_eq!(poll(&mut [pollfd(client, POLLOUT)], -1), Ok(1));
    });
    wait_until_blocked(poller.pid);
    close(server).unwrap();
    poller.succeeds();
}

fn a_pair_is_not_limited_by_the_count() {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        let mut count = 0u32;
        while send(one, &count.to_le_bytes(), MSG_DONTWAIT).is_ok() {
            count += 1;
        }
        assert!(count > 100, "{count} messages fit");
        let sender = fork(|| assert_eq!(send(one, &count.to_le_bytes(), 0), Ok(4)));
        wait_until_blocked(sender.pid);
        for expected in 0..=count {
            assert_eq!(recv(other, 9, 0), Ok(expected.to_le_bytes().to_vec()));
        }
        sender.succeeds();
    }
}

fn a_sender_to_itself() {
    let (own, address) = bound("own");
    connect(own, &address).unwrap();
    let mut count = 0;
    while count < 30 && send(own, b"x", MSG_DONTWAIT).is_ok() {
        count += 1;
    }
    assert_eq!(count, 30, "its own queue is not full for itself");
    assert_eq!(recv_from(own, 9, 0), Ok((b"x".to_vec(), address)));
}

fn shutdown_of_datagrams() {
    let (one, other) = socketpair(SOCK_DGRAM);
    catch(SIGPIPE, 0);
    shutdown(one, SHUT_WR).unwrap();
    assert_eq!(send(one, b"x", 0), Err(EPIPE));
    assert_eq!(send(other, b"y", 0), Ok(1), "the other end does not hear of it");
    shutdown(one, SHUT_RD).unwrap();
    assert_eq!(send(other, b"y", 0), Err(EPIPE));
    assert_eq!(times_delivered(SIGPIPE), 0, "only streams send it");
    assert_eq!(recv(one, 9, 0), Ok(b"y".to_vec()));
    assert_eq!(recv(one, 9, 0), Ok(vec![]));
    assert_eq!(recv(one, 9, MSG_DONTWAIT), Err(EAGAIN));
    assert_eq!(events_now(one, POLLIN | POLLRDHUP), POLLIN | POLLRDHUP | POLLHUP);
}

fn datagram_pair_after_a_close() {
    let (one, other) = socketpair(SOCK_DGRAM);
    send(other, b"last", 0).unwrap();
    close(other).unwrap();
    assert_eq!(events_now(one, POLLIN | POLLOUT), POLLIN | POLLOUT, "nobody hangs up");
    assert_eq!(recv(one, 9, 0), Ok(b"last".to_vec()));
    assert_eq!(recv(one, 9, MSG_DONTWAIT), Err(EAGAIN), "there is no end");
    assert_eq!(send(one, b"x", 0), Err(ECONNREFUSED));
    assert_eq!(send(one, b"x", 0), Err(ENOTCONN));
}

fn seqpacket_end_of_file() {
    let (one, other) = socketpair(SOCK_SEQPACKET);
    send(other, b"last", 0).unwrap();
    close(other).unwrap();
    assert_eq!(recv(one, 9, 0), Ok(b"last".to_vec()));
    assert_eq!(recv(one, 9, 0), Ok(vec![]));
    assert_eq!(recv(one, 9, MSG_DONTWAIT), Ok(vec![]));
    let (one, other) = socketpair(SOCK_SEQPACKET);
    let reader = fork(|| {
        close(other).unwrap();
        assert_eq!(recv(one, 9, 0), Ok(vec![]));
    });
    wait_until_blocked(reader.pid);
    close(other).unwrap();
    reader.succeeds();
}

fn seqpacket_poll() {
    let all = POLLIN | POLLOUT | POLLRDHUP;
    let (one, other) = socketpair(SOCK_SEQPACKET);
    assert_eq!(events_now(one, all), POLLOUT);
    send(other, b"", 0).unwrap();
    assert_eq!(events_now(one, all), POLLIN | POLLOUT);
    recv(one, 1, 0).unwrap();
    shutdown(other, SHUT_WR).unwrap();
    assert_eq!(events_now(one, all), POLLIN | POLLOUT | POLLRDHUP);
    close(other).unwrap();
    assert_eq!(events_now(one, all), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
}

fn seqpacket_sends_no_sigpipe() {
    let (one, other) = socketpair(SOCK_SEQPACKET);
    catch(SIGPIPE, 0);
    close(other).unwrap();
    assert_eq!(send(one, b"x", 0), Err(EPIPE));
    assert_eq!(write(one, b"x"), Err(EPIPE));
    assert_eq!(times_delivered(SIGPIPE), 0);
}

fn seqpacket_ignores_addresses() {
    let (one, other) = socketpair(SOCK_SEQPACKET);
    assert_eq!(send_to(one, b"x", 0, &abstract_address("nobody")), Ok(1));
    assert_eq!(recv(other, 9, 0), Ok(b"x".to_vec()));
}

fn waiting_receivers_each_get_one() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let receivers: Vec<Child> =
        (0..4).map(|_| fork_status(|| i32::from(recv(other, 9, 0).unwrap()[0]))).collect();
    receivers.iter().for_each(|receiver| wait_until_blocked(receiver.pid));
    for number in 1..=4 {
        send(one, &[number], 0).unwrap();
    }
    let mut got: Vec<Status> = receivers.iter().map(Child::wait).collect();
    got.sort_by_key(|status| format!("{status:?}"));
    assert_eq!(got, [1, 2, 3, 4].map(Status::Exited));
}

fn faults_lose_no_message() {
    let (one, other) = socketpair(SOCK_DGRAM);
    assert_eq!(syscall!(SYS_sendto, one, 8, 4, 0, 0, 0), Err(EFAULT));
    assert_eq!(recv(other, 9, MSG_DONTWAIT), Err(EAGAIN));
    let fresh = map_anonymous(16 * PAGE);
    assert_eq!(syscall!(SYS_sendto, one, fresh, 16 * PAGE, 0, 0, 0), Ok(16 * PAGE));
    let into = map_anonymous(16 * PAGE);
    assert_eq!(syscall!(SYS_recvfrom, other, into, 16 * PAGE, 0, 0, 0), Ok(16 * PAGE));
}

fn ioctl_counts_the_first_message() {
    let (one, other) = socketpair(SOCK_DGRAM);
    send(one, b"abc", 0).unwrap();
    send(one, b"defgh", 0).unwrap();
    assert_eq!(readable_bytes(other), 3);
    let (one, other) = socketpair(SOCK_SEQPACKET);
    send(one, b"abc", 0).unwrap();
    send(one, b"defgh", 0).unwrap();
    assert_eq!(readable_bytes(other), 8);
}

/// Headers over one buffer each.
fn headers(pieces: &mut [libc::iovec]) -> Vec<libc::mmsghdr> {
    let one = |piece: &mut libc::iovec| {
        let mut entry: libc::mmsghdr = zeroed();
        entry.msg_hdr.msg_iov = piece;
        entry.msg_hdr.msg_iovlen = 1;
        entry
    };
    pieces.iter_mut().map(one).collect()
}

fn sendmmsg_sends_many() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let mut buffers = [b"one".to_vec(), b"two2".to_vec(), b"three".to_vec()];
    let mut pieces: Vec<_> = buffers.iter_mut().map(|buffer| iovec(buffer)).collect();
    let mut entries = headers(&mut pieces);
    assert_eq!(syscall!(SYS_sendmmsg, one, entries.as_mut_ptr(), 3, 0), Ok(3));
    assert_eq!(entries.iter().map(|entry| entry.msg_len).collect::<Vec<_>>(), [3, 4, 5]);
    for expected in &buffers {
        assert_eq!(recv(other, 9, 0).as_ref(), Ok(expected));
    }
    assert_eq!(syscall!(SYS_sendmmsg, one, entries.as_mut_ptr(), 0, 0), Ok(0));
    assert_eq!(syscall!(SYS_sendmmsg, 700, entries.as_mut_ptr(), 1, 0), Err(EBADF));
}

fn sendmmsg_stops_at_the_first_error() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let mut buffers = [b"one".to_vec(), b"two".to_vec()];
    let mut pieces: Vec<_> = buffers.iter_mut().map(|buffer| iovec(buffer)).collect();
    pieces[1].iov_base = std::ptr::without_provenance_mut(8);
    let mut entries = headers(&mut pieces);
    assert_eq!(syscall!(SYS_sendmmsg, one, entries.as_mut_ptr(), 2, 0), Ok(1));
    assert_eq!(syscall!(SYS_sendmmsg, one, &mut entries[1], 1, 0), Err(EFAULT));
    assert_eq!(recv(other, 9, 0), Ok(b"one".to_vec()));
}

fn recvmmsg_receives_many() {
    let (one, other) = socketpair(SOCK_DGRAM);
    for message in [&b"one"[..], b"second", b"3"] {
        send(one, message, 0).unwrap();
    }
    let mut buffers = vec![vec![0u8; 4]; 5];
    let mut pieces: Vec<_> = buffers.iter_mut().map(|buffer| iovec(buffer)).collect();
    let mut entries = headers(&mut pieces);
    assert_eq!(syscall!(SYS_recvmmsg, other, entries.as_mut_ptr(), 5, MSG_DONTWAIT, 0), Ok(3));
    let got: Vec<_> = entries[..3].iter().map(|entry| (entry.msg_len, entry.msg_hdr.msg_flags)).collect();
    assert_eq!(got, [(3, 0), (4, MSG_TRUNC), (1, 0)]);
    assert_eq!(&buffers[1], b"seco");
    assert_eq!(syscall!(SYS_recvmmsg, other, entries.as_mut_ptr(), 5, MSG_DONTWAIT, 0), Err(EAGAIN));
}

fn recvmmsg_waits_for_one() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let receiver = fork(|| {
        let mut buffers = vec![vec![0u8; 9]; 5];
        let mut pieces: Vec<_> = buffers.iter_mut().map(|buffer| iovec(buffer)).collect();
        let mut entries = headers(&mut pieces);
        let got = syscall!(SYS_recvmmsg, other, entries.as_mut_ptr(), 5, MSG_WAITFORONE, 0).unwrap();
        assert!((1..=2).contains(&got), "{got}");
    });
    wait_until_blocked(receiver.pid);
    send(one, b"a", 0).unwrap();
    send(one, b"b", 0).unwrap();
    receiver.succeeds();
}

fn recvmmsg_timeout() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let mut buffers = vec![vec![0u8; 9]; 2];
    let mut pieces: Vec<_> = buffers.iter_mut().map(|buffer| iovec(buffer)).collect();
    let mut entries = headers(&mut pieces);
    let mut bad = libc::timespec { tv_sec: 0, tv_nsec: NANOS_PER_SECOND };
    assert_eq!(syscall!(SYS_recvmmsg, other, entries.as_mut_ptr(), 2, 0, &mut bad), Err(EINVAL));
    assert_eq!(syscall!(SYS_recvmmsg, other, entries.as_mut_ptr(), 2, 0, 8), Err(EFAULT));
    send(one, b"a", 0).unwrap();
    let mut none = milliseconds(0);
    assert_eq!(
        syscall!(SYS_recvmmsg, other, entries.as_mut_ptr(), 2, 0, &mut none),
        Ok(1),
        "the time is looked at behind a message"
    );
    send(one, b"a", 0).unwrap();
    send(one, b"b", 0).unwrap();
    let mut long = milliseconds(60_000);
    assert_eq!(syscall!(SYS_recvmmsg, other, entries.as_mut_ptr(), 2, 0, &mut long), Ok(2));
    assert!(nanoseconds(long) < 60 * NANOS_PER_SECOND, "what is left of it is told");
}

fn recvmmsg_is_interrupted() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let receiver = fork(|| {
        catch(SIGUSR1, 0);
        let mut buffers = vec![vec![0u8; 9]; 5];
        let mut pieces: Vec<_> = buffers.iter_mut().map(|buffer| iovec(buffer)).collect();
        let mut entries = headers(&mut pieces);
        assert_eq!(syscall!(SYS_recvmmsg, other, entries.as_mut_ptr(), 5, 0, 0), Ok(1));
        let next = syscall!(SYS_recvmmsg, other, entries.as_mut_ptr(), 5, MSG_DONTWAIT, 0);
        assert!(next.is_err(), "the error is told by the next call");
    });
    send(one, b"a", 0).unwrap();
    wait_until(|| readable_bytes(other) == 0);
    wait_until_blocked(receiver.pid);
    receiver.kill(SIGUSR1);
    receiver.succeeds();
}

fn message_headers_are_checked() {
    let (one, other) = socketpair(SOCK_DGRAM);
    assert_eq!(syscall!(SYS_sendmsg, one, 8, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_recvmsg, other, 8, 0), Err(EFAULT));
    let mut header: libc::msghdr = zeroed();
    header.msg_iovlen = 1025;
    assert_eq!(syscall!(SYS_sendmsg, one, &header, 0), Err(EMSGSIZE));
    header.msg_iovlen = 1;
    assert_eq!(syscall!(SYS_sendmsg, one, &header, 0), Err(EFAULT));
    header.msg_iovlen = 0;
    header.msg_name = (&raw mut header).cast();
    header.msg_namelen = u32::MAX;
    assert_eq!(syscall!(SYS_sendmsg, one, &header, 0), Err(EINVAL));
    header.msg_namelen = 0;
    assert_eq!(syscall!(SYS_sendmsg, one, &header, 0), Ok(0), "an empty message");
    assert_eq!(recv(other, 9, MSG_DONTWAIT), Ok(vec![]));
}
