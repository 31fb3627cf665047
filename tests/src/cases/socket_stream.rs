//! Stream sockets without names (unix(7), socketpair(2), send(2), recv(2), shutdown(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    FIONREAD, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_WAITALL, POLLERR, POLLHUP, POLLIN, POLLOUT,
    POLLRDHUP, SHUT_RD, SHUT_RDWR, SHUT_WR, SIGPIPE, SIGUSR1, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK,
    SOCK_SEQPACKET, SOCK_STREAM, TIOCOUTQ,
};

pub(crate) const CASES: &[Case] = &[
    case!(bytes_go_both_ways),
    case!(messages_of_a_stream_merge),
    case!(read_blocks_until_a_write),
    case!(read_of_nothing_returns_at_once),
    case!(recv_of_nothing_waits_for_data),
    case!(socket_arguments),
    case!(socketpair_arguments),
    case!(flags_at_birth),
    case!(not_a_socket),
    case!(unconnected_sockets),
    case!(peer_close_is_end_of_file),
    case!(unread_data_makes_the_peer_see_a_reset),
    case!(write_to_a_closed_peer_is_sigpipe),
    case!(shutdown_for_writing),
    case!(shutdown_for_reading),
    case!(shutdown_of_both),
    case!(shutdown_arguments),
    case!(shutdown_wakes_those_who_wait),
    case!(poll_tells_the_state),
    case!(poll_of_an_unconnected_socket),
    case!(peek_leaves_the_bytes),
    case!(peek_reads_over_messages),
    case!(waitall_waits_for_all),
    case!(waitall_ends_at_the_end),
    case!(waitall_is_cut_short_by_a_signal),
    case!(dontwait_does_not_wait),
    case!(out_of_band_data_is_refused).kairos(),
    case!(a_full_socket_blocks_its_writer),
    case!(a_large_write_is_partial_without_waiting),
    case!(a_blocked_write_is_partial_after_a_signal),
    case!(ioctls_count_bytes),
    case!(vectors_gather_and_scatter),
    case!(faults_in_the_buffer),
    case!(stat_shows_a_socket),
    case!(files_calls_on_sockets),
    case!(recv_restarts_after_sa_restart),
    case!(large_transfers_keep_their_order),
    case!(both_ends_survive_fork),
    case!(sendfile_to_a_socket),
];

fn bytes_go_both_ways() {
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!(write(one, b"ping"), Ok(4));
    assert_eq!(read_some(other, 9), Ok(b"ping".to_vec()));
    assert_eq!(send(other, b"pong", 0), Ok(4));
    assert_eq!(recv(one, 9, 0), Ok(b"pong".to_vec()));
}

fn messages_of_a_stream_merge() {
    let (one, other) = socketpair(SOCK_STREAM);
    for part in [b"ab", b"cd", b"ef"] {
        write(one, part).unwrap();
    }
    assert_eq!(read_some(other, 3), Ok(b"abc".to_vec()));
    assert_eq!(read_some(other, 100), Ok(b"def".to_vec()));
}

fn read_blocks_until_a_write() {
    let (one, other) = socketpair(SOCK_STREAM);
    let reader = fork(|| assert_eq!(read_some(other, 9), Ok(b"now".to_vec())));
    wait_until_blocked(reader.pid);
    write(one, b"now").unwrap();
    reader.succeeds();
}

fn read_of_nothing_returns_at_once() {
    let (one, _other) = socketpair(SOCK_STREAM);
    assert_eq!(read_some(one, 0), Ok(vec![]));
    assert_eq!(write(one, b""), Ok(0));
    assert_eq!(send(one, b"", 0), Ok(0));
}

fn recv_of_nothing_waits_for_data() {
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!(recv(one, 0, MSG_DONTWAIT), Err(EAGAIN));
    write(other, b"x").unwrap();
    assert_eq!(recv(one, 0, MSG_DONTWAIT), Ok(vec![]));
    assert_eq!(recv(one, 9, MSG_DONTWAIT), Ok(b"x".to_vec()));
}

fn socket_arguments() {
    for (family, kind, protocol, errno) in [
        (-1, SOCK_STREAM, 0, EAFNOSUPPORT),
        (200, SOCK_STREAM, 0, EAFNOSUPPORT),
        (200, 11, 0, EAFNOSUPPORT),
        (45, SOCK_STREAM, 0, EAFNOSUPPORT),
        (1, 0, 0, ESOCKTNOSUPPORT),
        (1, 4, 0, ESOCKTNOSUPPORT),
        (1, 10, 0, ESOCKTNOSUPPORT),
        (1, 11, 0, EINVAL),
        (1, SOCK_STREAM, 2, EPROTONOSUPPORT),
        (1, SOCK_STREAM, -1, EPROTONOSUPPORT),
        (1, 4, 2, EPROTONOSUPPORT),
        (1, SOCK_STREAM | 0x100, 0, EINVAL),
        (200, SOCK_STREAM | 0x100, 0, EINVAL),
    ] {
        assert_eq!(socket_of(family, kind, protocol), Err(errno), "{family} {kind} {protocol}");
    }
    assert!(socket_of(1, SOCK_STREAM, 1).is_ok(), "the protocol may be named");
    let raw = socket_of(1, libc::SOCK_RAW, 0).unwrap();
    assert_eq!(option(raw, libc::SO_TYPE), Ok(SOCK_DGRAM));
}

fn socketpair_arguments() {
    let mut ends = [0; 2];
    assert_eq!(syscall!(SYS_socketpair, 1, SOCK_STREAM, 2, &mut ends), Err(EPROTONOSUPPORT));
    assert_eq!(syscall!(SYS_socketpair, 1, SOCK_STREAM | 0x100, 0, &mut ends), Err(EINVAL));
    assert_eq!(syscall!(SYS_socketpair, 200, SOCK_STREAM, 0, &mut ends), Err(EAFNOSUPPORT));
    assert_eq!(syscall!(SYS_socketpair, 1, SOCK_STREAM, 0, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_socketpair, 200, SOCK_STREAM, 0, 8), Err(EFAULT), "the numbers go first");
    let free = dup(0).unwrap();
    close(free).unwrap();
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!(one.min(other), free, "a call that failed leaves nothing open");
}

fn flags_at_birth() {
    let (one, other) = socketpair(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
    for fd in [one, other] {
        assert_eq!(fcntl(fd, libc::F_GETFD, 0), Ok(1));
        assert_eq!(fcntl(fd, libc::F_GETFL, 0), Ok((libc::O_RDWR | libc::O_NONBLOCK) as usize));
    }
    assert_eq!(read_some(one, 1), Err(EAGAIN));
    let plain = socket(SOCK_STREAM);
    assert_eq!(fcntl(plain, libc::F_GETFL, 0), Ok(libc::O_RDWR as usize));
}

fn not_a_socket() {
    let (from, _to) = pipe();
    assert_eq!(recv(from, 1, 0), Err(ENOTSOCK));
    assert_eq!(send(from, b"x", 0), Err(ENOTSOCK));
    assert_eq!(listen(from, 1), Err(ENOTSOCK));
    assert_eq!(accept(from), Err(ENOTSOCK));
    assert_eq!(shutdown(from, 0), Err(ENOTSOCK));
    assert_eq!(getsockname(from), Err(ENOTSOCK));
    assert_eq!(option(from, libc::SO_TYPE), Err(ENOTSOCK));
    assert_eq!(recv(700, 1, 0), Err(EBADF));
    assert_eq!(connect(700, &unix_address(b"x")), Err(EBADF));
    let place = open(c".", libc::O_PATH).unwrap();
    assert_eq!(recv(place, 1, 0), Err(EBADF));
}

fn unconnected_sockets() {
    let stream = socket(SOCK_STREAM);
    assert_eq!(recv(stream, 1, 0), Err(EINVAL));
    assert_eq!(send(stream, b"x", MSG_NOSIGNAL), Err(ENOTCONN));
    assert_eq!(getpeername(stream), Err(ENOTCONN));
    let packets = socket(SOCK_SEQPACKET);
    assert_eq!(recv(packets, 1, 0), Err(ENOTCONN));
    assert_eq!(send(packets, b"x", 0), Err(ENOTCONN));
    let datagrams = socket(SOCK_DGRAM);
    assert_eq!(recv(datagrams, 1, MSG_DONTWAIT), Err(EAGAIN));
    assert_eq!(send(datagrams, b"x", 0), Err(ENOTCONN));
}

fn peer_close_is_end_of_file() {
    let (one, other) = socketpair(SOCK_STREAM);
    write(other, b"last").unwrap();
    close(other).unwrap();
    assert_eq!(read_some(one, 9), Ok(b"last".to_vec()));
    assert_eq!(read_some(one, 9), Ok(vec![]));
    assert_eq!(read_some(one, 9), Ok(vec![]), "the end stays");
}

fn unread_data_makes_the_peer_see_a_reset() {
    for kind in [SOCK_STREAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        write(one, b"never read").unwrap();
        write(other, b"last").unwrap();
        close(other).unwrap();
        assert_ne!(events_now(one, 0) & POLLERR, 0);
        if kind == SOCK_STREAM {
            assert_eq!(read_some(one, 9), Ok(b"last".to_vec()));
            assert_eq!(read_some(one, 9), Err(ECONNRESET));
        } else {
            assert_eq!(read_some(one, 9), Err(ECONNRESET), "packets: the error comes first");
            assert_eq!(read_some(one, 9), Ok(b"last".to_vec()));
        }
        assert_eq!(read_some(one, 9), Ok(vec![]), "it is told once");
        let (one, other) = socketpair(kind);
        write(one, b"never read").unwrap();
        close(other).unwrap();
        assert_eq!(option(one, libc::SO_ERROR), Ok(ECONNRESET.0));
        assert_eq!(option(one, libc::SO_ERROR), Ok(0));
    }
}

fn write_to_a_closed_peer_is_sigpipe() {
    let (one, other) = socketpair(SOCK_STREAM);
    close(other).unwrap();
    catch(SIGPIPE, 0);
    assert_eq!(send(one, b"x", MSG_NOSIGNAL), Err(EPIPE));
    assert_eq!(times_delivered(SIGPIPE), 0);
    assert_eq!(write(one, b"x"), Err(EPIPE));
    assert_eq!(times_delivered(SIGPIPE), 1);
    assert_eq!(send(one, b"x", 0), Err(EPIPE));
    assert_eq!(times_delivered(SIGPIPE), 2);
    let child = fork(|| {
        reset(SIGPIPE);
        discard(write(one, b"x"));
    });
    assert_eq!(child.wait(), Status::Killed(SIGPIPE));
}

fn shutdown_for_writing() {
    let (one, other) = socketpair(SOCK_STREAM);
    write(one, b"last").unwrap();
    shutdown(one, SHUT_WR).unwrap();
    assert_eq!(send(one, b"x", MSG_NOSIGNAL), Err(EPIPE));
    assert_eq!(read_some(other, 9), Ok(b"last".to_vec()));
    assert_eq!(read_some(other, 9), Ok(vec![]));
    assert_eq!(write(other, b"still"), Ok(5), "the other way stays open");
    assert_eq!(read_some(one, 9), Ok(b"still".to_vec()));
}

fn shutdown_for_reading() {
    let (one, other) = socketpair(SOCK_STREAM);
    write(other, b"there").unwrap();
    shutdown(one, SHUT_RD).unwrap();
    assert_eq!(read_some(one, 3), Ok(b"the".to_vec()), "what is there can be read");
    assert_eq!(send(other, b"x", MSG_NOSIGNAL), Err(EPIPE));
    assert_eq!(read_some(one, 9), Ok(b"re".to_vec()));
    assert_eq!(read_some(one, 9), Ok(vec![]));
    assert_eq!(write(one, b"y"), Ok(1));
    assert_eq!(read_some(other, 9), Ok(b"y".to_vec()));
}

fn shutdown_of_both() {
    let (one, other) = socketpair(SOCK_STREAM);
    shutdown(one, SHUT_RDWR).unwrap();
    for fd in [one, other] {
        assert_eq!(read_some(fd, 9), Ok(vec![]));
        assert_eq!(send(fd, b"x", MSG_NOSIGNAL), Err(EPIPE));
    }
    shutdown(one, SHUT_RDWR).unwrap();
}

fn shutdown_arguments() {
    let (one, _other) = socketpair(SOCK_STREAM);
    assert_eq!(shutdown(one, 3), Err(EINVAL));
    assert_eq!(shutdown(one, -1), Err(EINVAL));
    let alone = socket(SOCK_STREAM);
    assert_eq!(shutdown(alone, SHUT_RD), Ok(()), "no connection is needed");
}

fn shutdown_wakes_those_who_wait() {
    let (one, other) = socketpair(SOCK_STREAM);
    let readers: Vec<Child> = (0..3).map(|_| fork(|| assert_eq!(read_some(other, 1), Ok(vec![])))).collect();
    readers.iter().for_each(|reader| wait_until_blocked(reader.pid));
    shutdown(one, SHUT_WR).unwrap();
    readers.iter().for_each(Child::succeeds);
    let (one, other) = socketpair(SOCK_STREAM);
    let writer = fork(|| {
        ignore(SIGPIPE);
        while write(one, &[0; 65536]).is_ok() {}
        assert_eq!(write(one, b"x"), Err(EPIPE));
    });
    wait_until_blocked(writer.pid);
    shutdown(other, SHUT_RD).unwrap();
    writer.succeeds();
}

const ALL: i16 = POLLIN | POLLOUT | POLLRDHUP;

fn poll_tells_the_state() {
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!(events_now(one, ALL), POLLOUT);
    write(other, b"x").unwrap();
    assert_eq!(events_now(one, ALL), POLLIN | POLLOUT);
    read_some(one, 1).unwrap();
    shutdown(other, SHUT_WR).unwrap();
    assert_eq!(events_now(one, ALL), POLLIN | POLLOUT | POLLRDHUP);
    assert_eq!(events_now(other, ALL), POLLOUT);
    shutdown(other, SHUT_RD).unwrap();
    assert_eq!(events_now(one, ALL), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    assert_eq!(events_now(other, ALL), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    let (one, other) = socketpair(SOCK_STREAM);
    close(other).unwrap();
    assert_eq!(events_now(one, ALL), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    assert_eq!(events_now(one, 0), POLLHUP);
}

fn poll_of_an_unconnected_socket() {
    assert_eq!(events_now(socket(SOCK_STREAM), ALL), POLLOUT | POLLHUP);
    assert_eq!(events_now(socket(SOCK_SEQPACKET), ALL), POLLOUT | POLLHUP);
    assert_eq!(events_now(socket(SOCK_DGRAM), ALL), POLLOUT);
    let datagrams = socket(SOCK_DGRAM);
    shutdown(datagrams, SHUT_RD).unwrap();
    assert_eq!(events_now(datagrams, ALL), POLLIN | POLLOUT | POLLRDHUP);
}

fn peek_leaves_the_bytes() {
    let (one, other) = socketpair(SOCK_STREAM);
    write(one, b"abc").unwrap();
    assert_eq!(recv(other, 2, MSG_PEEK), Ok(b"ab".to_vec()));
    assert_eq!(recv(other, 9, MSG_PEEK), Ok(b"abc".to_vec()));
    assert_eq!(recv(other, 1, 0), Ok(b"a".to_vec()));
    assert_eq!(recv(other, 9, MSG_PEEK), Ok(b"bc".to_vec()));
    assert_eq!(recv(other, 9, 0), Ok(b"bc".to_vec()));
    assert_eq!(recv(other, 9, MSG_PEEK | MSG_DONTWAIT), Err(EAGAIN));
}

fn peek_reads_over_messages() {
    let (one, other) = socketpair(SOCK_STREAM);
    for part in [b"ab", b"cd", b"ef"] {
        write(one, part).unwrap();
    }
    assert_eq!(recv(other, 5, MSG_PEEK), Ok(b"abcde".to_vec()));
    assert_eq!(recv(other, 50, MSG_PEEK | MSG_WAITALL), Ok(b"abcdef".to_vec()), "it does not wait");
    // Several who only look are all woken by one message.
    let peekers: Vec<Child> =
        (0..3).map(|_| fork(|| assert_eq!(recv(one, 9, MSG_PEEK), Ok(b"x".to_vec())))).collect();
    peekers.iter().for_each(|peeker| wait_until_blocked(peeker.pid));
    write(other, b"x").unwrap();
    peekers.iter().for_each(Child::succeeds);
    assert_eq!(recv(one, 9, 0), Ok(b"x".to_vec()));
}

fn waitall_waits_for_all() {
    let (one, other) = socketpair(SOCK_STREAM);
    write(one, b"ab").unwrap();
    let reader = fork(|| assert_eq!(recv(other, 6, MSG_WAITALL), Ok(b"abcdef".to_vec())));
    wait_until_blocked(reader.pid);
    write(one, b"cd").unwrap();
    wait_until_blocked(reader.pid);
    write(one, b"efgh").unwrap();
    reader.succeeds();
    assert_eq!(read_some(other, 9), Ok(b"gh".to_vec()));
}

fn waitall_ends_at_the_end() {
    let (one, other) = socketpair(SOCK_STREAM);
    write(one, b"ab").unwrap();
    assert_eq!(recv(other, 6, MSG_WAITALL | MSG_DONTWAIT), Ok(b"ab".to_vec()));
    let reader = fork(|| assert_eq!(recv(other, 6, MSG_WAITALL), Ok(b"cd".to_vec())));
    write(one, b"cd").unwrap();
    shutdown(one, SHUT_WR).unwrap();
    reader.succeeds();
}

fn waitall_is_cut_short_by_a_signal() {
    let (one, other) = socketpair(SOCK_STREAM);
    let reader = fork(|| {
        catch(SIGUSR1, 0);
        assert_eq!(recv(other, 6, MSG_WAITALL), Ok(b"ab".to_vec()));
        assert_eq!(recv(other, 6, MSG_WAITALL), Err(EINTR));
    });
    write(one, b"ab").unwrap();
    wait_until(|| readable_bytes(other) == 0);
    wait_until_blocked(reader.pid);
    reader.kill(SIGUSR1);
    wait_until_signal_taken(reader.pid, SIGUSR1);
    wait_until_blocked(reader.pid);
    reader.kill(SIGUSR1);
    reader.succeeds();
}

fn dontwait_does_not_wait() {
    let (one, _other) = socketpair(SOCK_STREAM);
    assert_eq!(recv(one, 1, MSG_DONTWAIT), Err(EAGAIN));
    while send(one, &[0; 4096], MSG_DONTWAIT).is_ok() {}
    assert_eq!(send(one, b"x", MSG_DONTWAIT), Err(EAGAIN));
    set_nonblocking(one);
    assert_eq!(write(one, b"x"), Err(EAGAIN));
    assert_eq!(read_some(one, 1), Err(EAGAIN));
}

fn out_of_band_data_is_refused() {
    // A Linux built without AF_UNIX_OOB answers so.
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!(send(one, b"x", MSG_OOB), Err(EOPNOTSUPP));
    assert_eq!(recv(other, 1, MSG_OOB), Err(EOPNOTSUPP));
}

fn a_full_socket_blocks_its_writer() {
    let (one, other) = socketpair(SOCK_STREAM);
    let mut sent = 0;
    while let Ok(count) = send(one, &[7; 1000], MSG_DONTWAIT) {
        sent += count;
    }
    assert!(sent >= 50_000, "{sent} bytes fit");
    assert_eq!(events_now(one, POLLOUT), 0);
    let writer = fork(|| assert_eq!(write(one, b"more"), Ok(4)));
    wait_until_blocked(writer.pid);
    let mut got = 0;
    while got < sent {
        got += read_some(other, 60_000).unwrap().len();
    }
    writer.succeeds();
    assert_eq!(events_now(one, POLLOUT), POLLOUT);
}

fn a_large_write_is_partial_without_waiting() {
    let (one, other) = socketpair(SOCK_STREAM);
    set_nonblocking(one);
    let sent = write(one, &vec![1; 4 << 20]).unwrap();
    assert!(sent > 65_536 && sent < 4 << 20, "{sent}");
    assert_eq!(write(one, b"x"), Err(EAGAIN));
    let mut got = 0;
    while got < sent {
        got += read_some(other, 100_000).unwrap().len();
    }
    assert_eq!(got, sent);
    assert_eq!(recv(other, 1, MSG_DONTWAIT), Err(EAGAIN));
}

fn a_blocked_write_is_partial_after_a_signal() {
    let (one, other) = socketpair(SOCK_STREAM);
    let writer = fork(|| {
        catch(SIGUSR1, libc::SA_RESTART);
        let sent = write(one, &vec![1; 4 << 20]).unwrap();
        assert!(sent > 0 && sent < 4 << 20);
        assert_eq!(readable_bytes(other), sent);
    });
    wait_until_blocked(writer.pid);
    writer.kill(SIGUSR1);
    writer.succeeds();
}

fn ioctls_count_bytes() {
    let (one, other) = socketpair(SOCK_STREAM);
    let outgoing = || {
        let mut count = 0;
        ioctl(one, TIOCOUTQ, &mut count).unwrap();
        count
    };
    assert_eq!((readable_bytes(other), outgoing()), (0, 0));
    write(one, b"abc").unwrap();
    write(one, b"de").unwrap();
    assert_eq!(readable_bytes(other), 5);
    assert!(outgoing() >= 5);
    read_some(other, 4).unwrap();
    assert_eq!(readable_bytes(other), 1);
    read_some(other, 1).unwrap();
    assert_eq!((readable_bytes(other), outgoing()), (0, 0));
    assert_eq!(ioctl(one, FIONREAD, 8), Err(EFAULT));
    assert_eq!(ioctl(one, 0x5401, &mut [0u8; 64]), Err(ENOTTY));
    let mut on = 1;
    ioctl(one, libc::FIONBIO, &mut on).unwrap();
    assert_eq!(read_some(one, 1), Err(EAGAIN));
}

fn vectors_gather_and_scatter() {
    let (one, other) = socketpair(SOCK_STREAM);
    let (mut a, mut b) = (*b"abc", *b"defg");
    let pieces = [iovec(&mut a), iovec(&mut b)];
    assert_eq!(syscall!(SYS_writev, one, &pieces, 2), Ok(7));
    let (mut c, mut d) = ([0; 5], [0; 5]);
    let pieces = [iovec(&mut c), iovec(&mut d)];
    assert_eq!(syscall!(SYS_readv, other, &pieces, 2), Ok(7));
    assert_eq!((&c, &d[..2]), (b"abcde", &b"fg"[..]));
    assert_eq!(syscall!(SYS_writev, one, &pieces, 0), Ok(0));
}

fn faults_in_the_buffer() {
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!(syscall!(SYS_sendto, one, 8, 4, 0, 0, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_write, one, 8, 4), Err(EFAULT));
    assert_eq!(recv(other, 1, MSG_DONTWAIT), Err(EAGAIN), "nothing was sent");
    write(one, b"abc").unwrap();
    assert_eq!(syscall!(SYS_recvfrom, other, 8, 4, 0, 0, 0), Err(EFAULT));
    assert_eq!(recv(other, 9, 0), Ok(b"abc".to_vec()), "nothing was lost");
    // Memory that has never been touched.
    let fresh = map_anonymous(32 * PAGE);
    assert_eq!(syscall!(SYS_write, one, fresh, 32 * PAGE - 7), Ok(32 * PAGE - 7));
    let into = map_anonymous(32 * PAGE);
    let mut got = 0;
    while got < 32 * PAGE - 7 {
        got += syscall!(SYS_read, other, into + got, 32 * PAGE - got).unwrap();
    }
}

fn stat_shows_a_socket() {
    let (one, other) = socketpair(SOCK_STREAM);
    let (first, second) = (fstat(one).unwrap(), fstat(other).unwrap());
    assert_eq!(first.st_mode, libc::S_IFSOCK | 0o777);
    assert_eq!((first.st_nlink, first.st_size), (1, 0));
    assert_ne!(first.st_ino, second.st_ino);
    let link = readlink(&path(format!("/proc/self/fd/{one}"))).unwrap();
    assert_eq!(link, format!("socket:[{}]", first.st_ino).into_bytes());
    assert_eq!(open(&path(format!("/proc/self/fd/{one}")), libc::O_RDWR), Err(ENXIO));
}

fn files_calls_on_sockets() {
    let (one, other) = socketpair(SOCK_STREAM);
    write(other, b"x").unwrap();
    assert_eq!(lseek(one, 0, libc::SEEK_SET), Err(ESPIPE));
    assert_eq!(pread_some(one, 1, 0), Err(ESPIPE));
    assert_eq!(pwrite(one, b"x", 0), Err(ESPIPE));
    assert_eq!(syscall!(SYS_ftruncate, one, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_fsync, one), Err(EINVAL));
    assert_eq!(syscall!(SYS_mmap, 0, PAGE, 1, libc::MAP_SHARED, one, 0), Err(ENODEV));
    assert_eq!(syscall!(SYS_getdents64, one, 0, 0), Err(ENOTDIR));
}

fn recv_restarts_after_sa_restart() {
    let (one, other) = socketpair(SOCK_STREAM);
    let reader = fork(|| {
        catch(SIGUSR1, libc::SA_RESTART);
        assert_eq!(recv(other, 9, 0), Ok(b"x".to_vec()));
        assert_eq!(times_delivered(SIGUSR1), 1);
        catch(SIGUSR1, 0);
        assert_eq!(recv(other, 9, 0), Err(EINTR));
    });
    wait_until_blocked(reader.pid);
    reader.kill(SIGUSR1);
    wait_until_signal_taken(reader.pid, SIGUSR1);
    wait_until_blocked(reader.pid);
    write(one, b"x").unwrap();
    wait_until(|| readable_bytes(other) == 0);
    wait_until_blocked(reader.pid);
    reader.kill(SIGUSR1);
    reader.succeeds();
}

fn large_transfers_keep_their_order() {
    let (one, other) = socketpair(SOCK_STREAM);
    let pattern = |at: usize| (at * 31 % 251) as u8;
    const TOTAL: usize = 3 << 20;
    let writer = fork(|| {
        let bytes: Vec<u8> = (0..TOTAL).map(pattern).collect();
        for part in bytes.chunks(77_777) {
            assert_eq!(write(one, part), Ok(part.len()));
        }
    });
    close(one).unwrap();
    let mut at = 0;
    loop {
        let part = read_some(other, 50_001).unwrap();
        if part.is_empty() {
            break;
        }
        assert!(part.iter().enumerate().all(|(index, byte)| *byte == pattern(at + index)), "after {at}");
        at += part.len();
    }
    assert_eq!(at, TOTAL);
    writer.succeeds();
}

fn both_ends_survive_fork() {
    let (one, other) = socketpair(SOCK_STREAM);
    let child = fork(|| {
        close(one).unwrap();
        assert_eq!(read_some(other, 9), Ok(b"ask".to_vec()));
        write(other, b"answer").unwrap();
    });
    close(other).unwrap();
    write(one, b"ask").unwrap();
    assert_eq!(read_some(one, 9), Ok(b"answer".to_vec()));
    child.succeeds();
    assert_eq!(read_some(one, 9), Ok(vec![]), "the last copy is gone");
}

fn sendfile_to_a_socket() {
    create(c"file", b"content of a file");
    let file = open(c"file", libc::O_RDONLY).unwrap();
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!(syscall!(SYS_sendfile, one, file, 0, 100), Ok(17));
    assert_eq!(read_some(other, 100), Ok(b"content of a file".to_vec()));
}
