//! Options of sockets (socket(7), unix(7)) and timeouts.

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    SIGUSR1, SO_ACCEPTCONN, SO_BROADCAST, SO_DOMAIN, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_PROTOCOL,
    SO_RCVBUF, SO_RCVLOWAT, SO_RCVTIMEO, SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF, SO_SNDTIMEO, SO_TYPE,
    SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM,
};

pub(crate) const CASES: &[Case] = &[
    case!(what_a_socket_is),
    case!(options_that_cannot_be_set),
    case!(lengths_and_levels),
    case!(switches_are_kept),
    case!(buffer_sizes),
    case!(a_larger_buffer_lets_a_writer_go_on),
    case!(timeouts_are_kept),
    case!(a_receive_times_out),
    case!(a_read_times_out),
    case!(a_send_times_out),
    case!(an_accept_and_a_connect_time_out),
    case!(calls_with_a_timeout_do_not_restart),
    case!(low_water_marks),
    case!(linger_is_kept),
    case!(peer_names_and_groups),
];

fn what_a_socket_is() {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let fd = socket(kind);
        assert_eq!(option(fd, SO_TYPE), Ok(kind));
        assert_eq!(option(fd, SO_DOMAIN), Ok(libc::AF_UNIX));
        assert_eq!(option(fd, SO_PROTOCOL), Ok(0));
        assert_eq!(option(fd, SO_ACCEPTCONN), Ok(0));
        assert_eq!(option(fd, SO_ERROR), Ok(0));
    }
}

fn options_that_cannot_be_set() {
    let fd = socket(SOCK_STREAM);
    for number in [SO_TYPE, SO_ERROR, SO_ACCEPTCONN, SO_DOMAIN, SO_PROTOCOL, libc::SO_PEERCRED, 19, 9999] {
        assert_eq!(set_option(fd, number, 1), Err(ENOPROTOOPT), "{number}");
    }
    assert_eq!(option(fd, 9999), Err(ENOPROTOOPT));
    assert_eq!(set_option(fd, SO_REUSEPORT, 1), Err(EOPNOTSUPP));
    assert_eq!(set_option(fd, SO_REUSEPORT, 0), Ok(()));
}

fn lengths_and_levels() {
    let fd = socket(SOCK_STREAM);
    let mut value = 1i32;
    assert_eq!(syscall!(SYS_setsockopt, fd, 1, SO_KEEPALIVE, &value, 3), Err(EINVAL));
    assert_eq!(syscall!(SYS_setsockopt, fd, 1, SO_KEEPALIVE, &value, -1), Err(EINVAL));
    assert_eq!(syscall!(SYS_setsockopt, fd, 1, SO_KEEPALIVE, 8, 4), Err(EFAULT));
    assert_eq!(syscall!(SYS_setsockopt, fd, 6, 1, &value, 4), Err(EOPNOTSUPP));
    let mut length = 4u32;
    assert_eq!(syscall!(SYS_getsockopt, fd, 1, SO_TYPE, &mut value, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_getsockopt, fd, 1, SO_TYPE, 8, &mut length), Err(EFAULT));
    length = u32::MAX;
    assert_eq!(syscall!(SYS_getsockopt, fd, 1, SO_TYPE, &mut value, &mut length), Err(EINVAL));
    let mut short = [0xffu8; 4];
    length = 2;
    syscall!(SYS_getsockopt, fd, 1, SO_TYPE, &mut short, &mut length).unwrap();
    assert_eq!((short, length), ([1, 0, 0xff, 0xff], 2), "cut to the room");
    let mut long = [0u8; 16];
    length = 16;
    syscall!(SYS_getsockopt, fd, 1, SO_TYPE, &mut long, &mut length).unwrap();
    assert_eq!(length, 4);
}

fn switches_are_kept() {
    let fd = socket(SOCK_STREAM);
    for number in [SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST, libc::SO_PASSCRED, libc::SO_OOBINLINE] {
        assert_eq!(option(fd, number), Ok(0), "{number}");
        set_option(fd, number, 5).unwrap();
        assert_eq!(option(fd, number), Ok(1), "{number}");
        set_option(fd, number, 0).unwrap();
        assert_eq!(option(fd, number), Ok(0), "{number}");
    }
}

fn buffer_sizes() {
    let fd = socket(SOCK_STREAM);
    assert_eq!(option(fd, SO_SNDBUF), Ok(212_992));
    assert_eq!(option(fd, SO_RCVBUF), Ok(212_992));
    for (number, least) in [(SO_SNDBUF, 4608), (SO_RCVBUF, 2304)] {
        set_option(fd, number, 20_000).unwrap();
        assert_eq!(option(fd, number), Ok(40_000), "doubled");
        set_option(fd, number, 1).unwrap();
        assert_eq!(option(fd, number), Ok(least));
        set_option(fd, number, i32::MAX).unwrap();
        let most = option(fd, number).unwrap();
        assert!(most >= 2 * 212_992, "{most}");
        set_option(fd, number, -1).unwrap();
        assert_eq!(option(fd, number), Ok(most), "a negative number is a large one");
    }
}

fn a_larger_buffer_lets_a_writer_go_on() {
    let (one, other) = socketpair(SOCK_STREAM);
    set_option(one, SO_SNDBUF, 1).unwrap();
    let mut sent = 0;
    while let Ok(count) = send(one, &[1; 500], libc::MSG_DONTWAIT) {
        sent += count;
    }
    assert!(sent < 20_000, "{sent}");
    assert_eq!(send(one, b"x", libc::MSG_DONTWAIT), Err(EAGAIN));
    set_option(one, SO_SNDBUF, 100_000).unwrap();
    assert_eq!(send(one, b"x", libc::MSG_DONTWAIT), Ok(1));
    assert_eq!(readable_bytes(other), sent + 1);
}

fn timeouts_are_kept() {
    let fd = socket(SOCK_STREAM);
    for number in [SO_RCVTIMEO, SO_SNDTIMEO] {
        let read = || {
            let (mut value, mut length) = ([9i64; 2], 16u32);
            syscall!(SYS_getsockopt, fd, 1, number, &mut value, &mut length).unwrap();
            assert_eq!(length, 16);
            value
        };
        let set = |value: [i64; 2], length| syscall!(SYS_setsockopt, fd, 1, number, &value, length);
        assert_eq!(read(), [0, 0], "for ever");
        set([3, 500_000], 16).unwrap();
        assert_eq!(read(), [3, 500_000]);
        assert_eq!(set([0, 1_000_000], 16), Err(EDOM));
        assert_eq!(set([0, -1], 16), Err(EDOM));
        assert_eq!(set([0, 0], 8), Err(EINVAL));
        assert_eq!(read(), [3, 500_000]);
        set([0, 0], 16).unwrap();
        assert_eq!(read(), [0, 0]);
    }
}

/// Runs `call`, which is to take 20 milliseconds at least.
#[track_caller]
fn takes_a_while<T>(call: impl FnOnce() -> T) -> T {
    let before = monotonic();
    let result = call();
    assert!(monotonic() - before >= 20_000_000, "it came back too early");
    result
}

fn a_receive_times_out() {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        set_timeout(one, SO_RCVTIMEO, 24);
        assert_eq!(takes_a_while(|| recv(one, 9, 0)), Err(EAGAIN));
        write(other, b"x").unwrap();
        assert_eq!(recv(one, 9, 0), Ok(b"x".to_vec()));
    }
    let (one, other) = socketpair(SOCK_STREAM);
    set_timeout(one, SO_RCVTIMEO, 24);
    write(other, b"ab").unwrap();
    let got = takes_a_while(|| recv(one, 9, libc::MSG_WAITALL));
    assert_eq!(got, Ok(b"ab".to_vec()), "what has come by then");
}

fn a_read_times_out() {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let (one, _other) = socketpair(kind);
        set_timeout(one, SO_RCVTIMEO, 24);
        assert_eq!(takes_a_while(|| read_some(one, 9)), Err(EAGAIN));
    }
}

fn a_send_times_out() {
    let (one, _other) = socketpair(SOCK_STREAM);
    set_timeout(one, SO_SNDTIMEO, 24);
    while send(one, &[0; 4096], libc::MSG_DONTWAIT).is_ok() {}
    assert_eq!(takes_a_while(|| send(one, b"x", 0)), Err(EAGAIN));
    assert_eq!(takes_a_while(|| write(one, b"x")), Err(EAGAIN));
    let (one, _other) = socketpair(SOCK_STREAM);
    set_timeout(one, SO_SNDTIMEO, 24);
    let sent = takes_a_while(|| write(one, &vec![0; 1 << 20])).unwrap();
    assert!(sent > 0 && sent < 1 << 20, "what went by then");
    let server = socket(SOCK_DGRAM);
    bind(server, &abstract_address("full")).unwrap();
    let client = socket(SOCK_DGRAM);
    connect(client, &abstract_address("full")).unwrap();
    set_timeout(client, SO_SNDTIMEO, 24);
    while send(client, b"x", libc::MSG_DONTWAIT).is_ok() {}
    assert_eq!(takes_a_while(|| send(client, b"x", 0)), Err(EAGAIN));
}

fn an_accept_and_a_connect_time_out() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 0);
    set_timeout(server, SO_RCVTIMEO, 24);
    assert_eq!(takes_a_while(|| accept(server)), Err(EAGAIN));
    let _first = connected(SOCK_STREAM, &address);
    let client = socket(SOCK_STREAM);
    set_timeout(client, SO_SNDTIMEO, 24);
    assert_eq!(takes_a_while(|| connect(client, &address)), Err(EAGAIN));
}

fn calls_with_a_timeout_do_not_restart() {
    let (one, _other) = socketpair(SOCK_STREAM);
    set_timeout(one, SO_RCVTIMEO, 60_000);
    let receiver = fork(|| {
        catch(SIGUSR1, libc::SA_RESTART);
        assert_eq!(recv(one, 9, 0), Err(EINTR));
        assert_eq!(read_some(one, 9), Err(EINTR));
    });
    for _ in 0..2 {
        wait_until_blocked(receiver.pid);
        receiver.kill(SIGUSR1);
        wait_until(|| pending_of(receiver.pid) == 0);
    }
    receiver.succeeds();
}

fn low_water_marks() {
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!(option(one, SO_RCVLOWAT), Ok(1));
    set_option(one, SO_RCVLOWAT, 4).unwrap();
    let receiver = fork(|| assert_eq!(recv(one, 9, 0), Ok(b"abcde".to_vec())));
    write(other, b"ab").unwrap();
    wait_until(|| readable_bytes(one) == 0);
    wait_until_blocked(receiver.pid);
    write(other, b"cde").unwrap();
    receiver.succeeds();
    write(other, b"x").unwrap();
    assert_eq!(recv(one, 1, 0), Ok(b"x".to_vec()), "no more than there is room for");
    set_option(one, SO_RCVLOWAT, 0).unwrap();
    assert_eq!(option(one, SO_RCVLOWAT), Ok(1));
    set_option(one, SO_RCVLOWAT, -1).unwrap();
    assert_eq!(option(one, SO_RCVLOWAT), Ok(i32::MAX));
}

fn linger_is_kept() {
    let fd = socket(SOCK_STREAM);
    let (mut value, mut length) = ([9i32; 2], 8u32);
    syscall!(SYS_getsockopt, fd, 1, SO_LINGER, &mut value, &mut length).unwrap();
    assert_eq!((value, length), ([0, 0], 8));
    assert_eq!(syscall!(SYS_setsockopt, fd, 1, SO_LINGER, &[1i32, 7], 4), Err(EINVAL));
    syscall!(SYS_setsockopt, fd, 1, SO_LINGER, &[1i32, 7], 8).unwrap();
    syscall!(SYS_getsockopt, fd, 1, SO_LINGER, &mut value, &mut length).unwrap();
    assert_eq!(value, [1, 7]);
}

fn peer_names_and_groups() {
    const SO_PEERNAME: i32 = 28;
    const SO_PEERGROUPS: i32 = 59;
    let fd = socket(SOCK_STREAM);
    let (mut raw, mut length) = ([0u8; 64], 64u32);
    assert_eq!(syscall!(SYS_getsockopt, fd, 1, SO_PEERNAME, &mut raw, &mut length), Err(ENOTCONN));
    assert_eq!(syscall!(SYS_getsockopt, fd, 1, SO_PEERGROUPS, &mut raw, &mut length), Err(ENODATA));
    let server = listener(SOCK_STREAM, &abstract_address("server"), 5);
    connect(fd, &abstract_address("server")).unwrap();
    length = 2;
    assert_eq!(syscall!(SYS_getsockopt, fd, 1, SO_PEERNAME, &mut raw, &mut length), Ok(0));
    assert_eq!((raw[0], length), (1, 2));
    close(server).unwrap();
}
