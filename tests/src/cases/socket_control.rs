//! Ancillary data: descriptors and credentials that travel with messages (unix(7), cmsg(3)).

use crate::harness::{Case, case, skip};
use crate::sys::*;
use libc::{
    MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, POLLHUP, POLLIN, SCM_CREDENTIALS,
    SCM_RIGHTS, SO_PASSCRED, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM,
};

pub(crate) const CASES: &[Case] = &[
    case!(a_descriptor_arrives),
    case!(descriptors_share_the_open_file),
    case!(many_descriptors),
    case!(descriptors_stay_with_their_bytes),
    case!(waitall_stops_at_descriptors),
    case!(close_on_exec_on_arrival),
    case!(a_descriptor_lives_on_its_way),
    case!(a_read_closes_what_came_along),
    case!(room_for_some_descriptors),
    case!(no_room_for_descriptors),
    case!(too_many_open_files_on_arrival),
    case!(peek_gives_copies),
    case!(bad_descriptors_are_refused),
    case!(control_that_is_badly_formed),
    case!(a_place_opened_as_a_path_can_be_sent),
    case!(descriptors_with_no_bytes),
    case!(closing_the_receiver_closes_what_is_queued),
    case!(a_listener_and_its_connection_can_be_sent),
    case!(too_many_references).root(),
    case!(credentials_come_along),
    case!(credentials_of_each_message),
    case!(credentials_are_checked).root(),
    case!(credentials_nobody_asked_for),
    case!(credentials_and_descriptors_together),
    case!(credentials_without_room),
    case!(streams_of_different_senders_do_not_mix),
    case!(peer_credentials),
    case!(peer_credentials_of_a_connection).root(),
    case!(a_descriptor_of_the_peer),
    case!(descriptors_of_senders),
    case!(asking_for_credentials_makes_a_name),
    case!(accepted_sockets_inherit_passcred),
];

fn a_descriptor_arrives() {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        let (from, to) = pipe();
        assert_eq!(send_rights(one, b"x", &[from]), Ok(1));
        close(from).unwrap();
        let received = recvmsg(other, 9, 64, 0).unwrap();
        assert_eq!((received.bytes.as_slice(), received.flags, received.control_length), (&b"x"[..], 0, 24));
        let [fd] = received.rights()[..] else { panic!("{received:?}") };
        assert_eq!(fcntl(fd, libc::F_GETFD, 0), Ok(0));
        write(to, b"through").unwrap();
        assert_eq!(read_some(fd, 9), Ok(b"through".to_vec()));
    }
}

fn descriptors_share_the_open_file() {
    let (one, other) = socketpair(SOCK_STREAM);
    create(c"file", b"abcdef");
    let file = open(c"file", libc::O_RDONLY).unwrap();
    send_rights(one, b"x", &[file]).unwrap();
    let fd = recvmsg(other, 9, 64, 0).unwrap().rights()[0];
    assert_ne!(fd, file);
    assert_eq!(read_some(file, 2), Ok(b"ab".to_vec()));
    assert_eq!(read_some(fd, 2), Ok(b"cd".to_vec()));
    set_nonblocking(fd);
    assert_ne!(fcntl(file, libc::F_GETFL, 0).unwrap() & libc::O_NONBLOCK as usize, 0);
}

fn many_descriptors() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let many = vec![one; 253];
    assert_eq!(send_rights(one, b"x", &many), Ok(1));
    assert_eq!(sendmsg(one, b"x", &rights_of(&[one; 254]), 0), Err(EINVAL));
    let two = [rights_of(&[one; 200]), rights_of(&[one; 54])].concat();
    assert_eq!(sendmsg(one, b"x", &two, 0), Err(EINVAL), "all of them together");
    let two = [rights_of(&[one; 2]), rights_of(&[other])].concat();
    assert_eq!(sendmsg(one, b"y", &two, 0), Ok(1));
    assert_eq!(recvmsg(other, 9, 2048, 0).unwrap().rights().len(), 253);
    let received = recvmsg(other, 9, 2048, 0).unwrap();
    assert_eq!((received.control.len(), received.rights().len()), (1, 3), "they arrive as one");
}

fn descriptors_stay_with_their_bytes() {
    let (one, other) = socketpair(SOCK_STREAM);
    let (from, _to) = pipe();
    write(one, b"ab").unwrap();
    send_rights(one, b"cd", &[from]).unwrap();
    send_rights(one, b"ef", &[from, from]).unwrap();
    write(one, b"gh").unwrap();
    let first = recvmsg(other, 1, 64, 0).unwrap();
    assert_eq!((first.bytes.as_slice(), first.rights().len()), (&b"a"[..], 0));
    let second = recvmsg(other, 100, 64, 0).unwrap();
    assert_eq!((second.bytes.as_slice(), second.rights().len()), (&b"bcd"[..], 1));
    let third = recvmsg(other, 1, 64, 0).unwrap();
    assert_eq!((third.bytes.as_slice(), third.rights().len()), (&b"e"[..], 2), "with the first byte");
    let fourth = recvmsg(other, 100, 64, 0).unwrap();
    assert_eq!((fourth.bytes.as_slice(), fourth.rights().len()), (&b"fgh"[..], 0));
}

fn waitall_stops_at_descriptors() {
    let (one, other) = socketpair(SOCK_STREAM);
    send_rights(one, b"ab", &[0]).unwrap();
    write(one, b"cd").unwrap();
    let received = recvmsg(other, 4, 64, MSG_WAITALL).unwrap();
    assert_eq!((received.bytes.as_slice(), received.rights().len()), (&b"ab"[..], 1));
}

fn close_on_exec_on_arrival() {
    let (one, other) = socketpair(SOCK_STREAM);
    send_rights(one, b"x", &[0]).unwrap();
    let received = recvmsg(other, 9, 64, MSG_CMSG_CLOEXEC).unwrap();
    assert_eq!(fcntl(received.rights()[0], libc::F_GETFD, 0), Ok(1));
    assert_eq!(received.flags, MSG_CMSG_CLOEXEC);
}

fn a_descriptor_lives_on_its_way() {
    let (one, other) = socketpair(SOCK_STREAM);
    let (from, to) = pipe();
    send_rights(one, b"x", &[to]).unwrap();
    close(to).unwrap();
    assert_eq!(events_now(from, POLLIN), 0, "the writing end is in the queue");
    let fd = recvmsg(other, 9, 64, 0).unwrap().rights()[0];
    write(fd, b"late").unwrap();
    close(fd).unwrap();
    assert_eq!(read_some(from, 9), Ok(b"late".to_vec()));
    assert_eq!(events_now(from, POLLIN), POLLHUP);
}

fn a_read_closes_what_came_along() {
    let (one, other) = socketpair(SOCK_STREAM);
    let (from, to) = pipe();
    send_rights(one, b"xyz", &[to]).unwrap();
    close(to).unwrap();
    assert_eq!(read_some(other, 9), Ok(b"xyz".to_vec()));
    assert_eq!(events_now(from, POLLIN), POLLHUP);
}

fn room_for_some_descriptors() {
    let (one, other) = socketpair(SOCK_DGRAM);
    for (room, fits, used, flags) in [
        (20, 1, 20, MSG_CTRUNC),
        (22, 1, 22, MSG_CTRUNC),
        (24, 2, 24, MSG_CTRUNC),
        (28, 3, 28, 0),
        (40, 3, 32, 0),
    ] {
        send_rights(one, b"x", &[0, 1, 2]).unwrap();
        let received = recvmsg(other, 9, room, 0).unwrap();
        assert_eq!(
            (received.rights().len(), received.control_length, received.flags),
            (fits, used, flags),
            "room for {room} bytes"
        );
    }
}

fn no_room_for_descriptors() {
    let (one, other) = socketpair(SOCK_STREAM);
    let (from, to) = pipe();
    send_rights(one, b"x", &[to]).unwrap();
    send_rights(one, b"y", &[to]).unwrap();
    close(to).unwrap();
    let free = dup(0).unwrap();
    close(free).unwrap();
    for room in [0, 19] {
        let received = recvmsg(other, 1, room, 0).unwrap();
        assert_eq!((received.flags, received.control_length), (MSG_CTRUNC, 0));
    }
    assert_eq!(events_now(from, POLLIN), POLLHUP, "they are closed");
    assert_eq!(dup(0), Ok(free), "none was installed");
}

fn too_many_open_files_on_arrival() {
    let (one, other) = socketpair(SOCK_DGRAM);
    send_rights(one, b"x", &[0, 1, 2]).unwrap();
    let free = dup(0).unwrap();
    close(free).unwrap();
    let mut limits = [0u64; 2];
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, &mut limits).unwrap();
    let few = [free as u64 + 2, limits[1]];
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &few, 0).unwrap();
    let received = recvmsg(other, 9, 64, 0).unwrap();
    assert_eq!((received.rights(), received.flags), (vec![free, free + 1], MSG_CTRUNC));
}

fn peek_gives_copies() {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let (one, other) = socketpair(kind);
        let (from, to) = pipe();
        send_rights(one, b"x", &[to]).unwrap();
        close(to).unwrap();
        let first = recvmsg(other, 9, 64, MSG_PEEK).unwrap().rights()[0];
        let second = recvmsg(other, 9, 64, 0).unwrap().rights()[0];
        assert_ne!(first, second);
        close(first).unwrap();
        write(second, b"y").unwrap();
        assert_eq!(read_some(from, 9), Ok(b"y".to_vec()));
    }
}

fn bad_descriptors_are_refused() {
    let (one, other) = socketpair(SOCK_DGRAM);
    assert_eq!(send_rights(one, b"x", &[700]), Err(EBADF));
    assert_eq!(send_rights(one, b"x", &[0, -1]), Err(EBADF));
    assert_eq!(recv(other, 9, MSG_DONTWAIT), Err(EAGAIN), "no message went");
    assert_eq!(sendmsg(one, b"x", &rights_of(&[]), 0), Ok(1), "none at all is fine");
    assert_eq!(recvmsg(other, 9, 64, 0).unwrap().control, []);
}

fn control_that_is_badly_formed() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let entry = |length: u64, level: i32, kind: i32, bytes: usize| {
        let mut entry = length.to_le_bytes().to_vec();
        entry.extend(level.to_le_bytes());
        entry.extend(kind.to_le_bytes());
        entry.resize(bytes, 0);
        entry
    };
    for (length, level, kind, bytes, expected) in [
        (0, 1, SCM_RIGHTS, 24, Err(EINVAL)),
        (15, 1, SCM_RIGHTS, 24, Err(EINVAL)),
        (16, 1, SCM_RIGHTS, 16, Ok(1)),
        (17, 1, SCM_RIGHTS, 24, Ok(1)),
        (40, 1, SCM_RIGHTS, 24, Err(EINVAL)),
        (u64::MAX, 1, SCM_RIGHTS, 24, Err(EINVAL)),
        (16, 1, 99, 16, Err(EINVAL)),
        (20, 6, SCM_RIGHTS, 24, Ok(1)),
        (20, 1, SCM_CREDENTIALS, 24, Err(EINVAL)),
    ] {
        let result = sendmsg(one, b"x", &entry(length, level, kind, bytes), 0);
        assert_eq!(result, expected, "{length} {level} {kind} {bytes}");
        discard(recv(other, 9, MSG_DONTWAIT));
    }
    assert_eq!(sendmsg(one, b"x", &[0xff; 8], 0), Ok(1), "shorter than a header is none");
    let mut header: libc::msghdr = zeroed();
    header.msg_control = std::ptr::without_provenance_mut(8);
    header.msg_controllen = 24;
    assert_eq!(syscall!(SYS_sendmsg, one, &header, 0), Err(EFAULT));
    header.msg_controllen = 1 << 40;
    assert_eq!(syscall!(SYS_sendmsg, one, &header, 0), Err(ENOBUFS));
}

fn a_place_opened_as_a_path_can_be_sent() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let place = open(c".", libc::O_PATH).unwrap();
    send_rights(one, b"x", &[place]).unwrap();
    let fd = recvmsg(other, 9, 64, 0).unwrap().rights()[0];
    assert_eq!(read_some(fd, 1), Err(EBADF));
    assert!(fstat(fd).is_ok());
}

fn descriptors_with_no_bytes() {
    let (one, other) = socketpair(SOCK_DGRAM);
    assert_eq!(send_rights(one, b"", &[0]), Ok(0));
    let received = recvmsg(other, 9, 64, 0).unwrap();
    assert_eq!((received.bytes.len(), received.rights().len()), (0, 1));
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!(send_rights(one, b"", &[0]), Ok(0));
    assert_eq!(recv(other, 9, MSG_DONTWAIT), Err(EAGAIN), "a stream carries nothing without bytes");
}

fn closing_the_receiver_closes_what_is_queued() {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        let (from, to) = pipe();
        send_rights(one, b"x", &[to]).unwrap();
        close(to).unwrap();
        close(other).unwrap();
        wait_until(|| events_now(from, POLLIN) == POLLHUP);
    }
}

fn a_listener_and_its_connection_can_be_sent() {
    let address = abstract_address("server");
    let (one, other) = socketpair(SOCK_STREAM);
    let server = listener(SOCK_STREAM, &address, 5);
    send_rights(one, b"x", &[server]).unwrap();
    close(server).unwrap();
    let client = connected(SOCK_STREAM, &address);
    let server = recvmsg(other, 9, 64, 0).unwrap().rights()[0];
    let connection = accept(server).unwrap();
    send_rights(one, b"x", &[connection]).unwrap();
    close(connection).unwrap();
    write(client, b"hello").unwrap();
    let connection = recvmsg(other, 9, 64, 0).unwrap().rights()[0];
    assert_eq!(read_some(connection, 9), Ok(b"hello".to_vec()));
}

fn too_many_references() {
    let (one, other) = socketpair(SOCK_DGRAM);
    set_option(one, libc::SO_SNDBUF, 1 << 20).unwrap();
    let child = fork_as(12_345, 12_345, || {
        let limits = [64u64, 64];
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &limits, 0).unwrap();
        let mut sent = 0;
        let errno = loop {
            match sendmsg(one, b"x", &rights_of(&[0]), MSG_DONTWAIT) {
                Ok(_) => sent += 1,
                Err(errno) => break errno,
            }
        };
        assert_eq!((errno, sent), (ETOOMANYREFS, 65));
        recvmsg(other, 9, 64, 0).unwrap();
        assert_eq!(sendmsg(one, b"x", &rights_of(&[0]), MSG_DONTWAIT), Ok(1), "one has arrived");
    });
    child.succeeds();
}

/// This process's own.
fn own_credentials() -> (i32, u32, u32) {
    let id = |number: i64| call(number, &[]).unwrap() as u32;
    (getpid(), id(libc::SYS_getuid), id(libc::SYS_getgid))
}

fn credentials_come_along() {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        set_option(other, SO_PASSCRED, 1).unwrap();
        assert_eq!(option(other, SO_PASSCRED), Ok(1));
        write(one, b"x").unwrap();
        let received = recvmsg(other, 9, 64, 0).unwrap();
        assert_eq!(received.credentials(), Some(own_credentials()));
        assert_eq!((received.flags, received.control_length), (0, 32));
    }
}

fn credentials_of_each_message() {
    let (one, other) = socketpair(SOCK_DGRAM);
    set_option(other, SO_PASSCRED, 1).unwrap();
    let child = fork(|| assert_eq!(write(one, b"child"), Ok(5)));
    child.succeeds();
    write(one, b"own").unwrap();
    let first = recvmsg(other, 9, 64, 0).unwrap().credentials().unwrap();
    assert_eq!(first.0, child.pid);
    assert_eq!(recvmsg(other, 9, 64, 0).unwrap().credentials(), Some(own_credentials()));
}

fn credentials_entry((pid, uid, gid): (i32, u32, u32)) -> Vec<u8> {
    control_entry(SCM_CREDENTIALS, &[pid.to_le_bytes(), uid.to_le_bytes(), gid.to_le_bytes()].concat())
}

fn credentials_are_checked() {
    let (one, other) = socketpair(SOCK_DGRAM);
    set_option(other, SO_PASSCRED, 1).unwrap();
    let (pid, uid, gid) = own_credentials();
    // Root may say anything of a process that exists.
    assert_eq!(sendmsg(one, b"x", &credentials_entry((1, 5, 6)), 0), Ok(1));
    assert_eq!(recvmsg(other, 9, 64, 0).unwrap().credentials(), Some((1, 5, 6)));
    assert_eq!(sendmsg(one, b"x", &credentials_entry((99_999_999, uid, gid)), 0), Err(ESRCH));
    as_nobody(|| {
        let (own, ids) = (getpid(), NOBODY);
        assert_eq!(sendmsg(one, b"x", &credentials_entry((own, ids, ids)), 0), Ok(1));
        assert_eq!(sendmsg(one, b"x", &credentials_entry((pid, ids, ids)), 0), Err(EPERM));
        assert_eq!(sendmsg(one, b"x", &credentials_entry((own, 0, ids)), 0), Err(EPERM));
        assert_eq!(sendmsg(one, b"x", &credentials_entry((own, ids, 0)), 0), Err(EPERM));
    });
}

fn credentials_nobody_asked_for() {
    let (one, other) = socketpair(SOCK_STREAM);
    write(one, b"x").unwrap();
    set_option(other, SO_PASSCRED, 1).unwrap();
    let late = recvmsg(other, 9, 64, 0).unwrap().credentials();
    assert_eq!(late, Some((0, 65_534, 65_534)), "nobody noted who it was");
    set_option(other, SO_PASSCRED, 0).unwrap();
    sendmsg(one, b"x", &credentials_entry(own_credentials()), 0).unwrap();
    assert_eq!(recvmsg(other, 9, 64, 0).unwrap().control, []);
}

fn credentials_and_descriptors_together() {
    let (one, other) = socketpair(SOCK_DGRAM);
    set_option(other, SO_PASSCRED, 1).unwrap();
    send_rights(one, b"x", &[0]).unwrap();
    let received = recvmsg(other, 9, 200, 0).unwrap();
    let kinds: Vec<i32> = received.control.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [SCM_CREDENTIALS, SCM_RIGHTS]);
    let both = [rights_of(&[0]), credentials_entry(own_credentials())].concat();
    sendmsg(one, b"x", &both, 0).unwrap();
    let received = recvmsg(other, 9, 40, 0).unwrap();
    assert_eq!((received.control.len(), received.flags), (1, MSG_CTRUNC), "room for the first alone");
}

fn credentials_without_room() {
    let (one, other) = socketpair(SOCK_DGRAM);
    set_option(other, SO_PASSCRED, 1).unwrap();
    for (room, used, flags) in [(0, 0, MSG_CTRUNC), (12, 0, MSG_CTRUNC), (20, 20, MSG_CTRUNC), (28, 28, 0)] {
        write(one, b"x").unwrap();
        let (mut byte, mut control) = ([0u8], vec![0u8; room]);
        let mut pieces = [iovec(&mut byte)];
        let mut header = header(&mut pieces, &mut control);
        syscall!(SYS_recvmsg, other, &mut header, 0).unwrap();
        assert_eq!((header.msg_controllen, header.msg_flags), (used, flags), "{room}");
    }
}

fn streams_of_different_senders_do_not_mix() {
    let (one, other) = socketpair(SOCK_STREAM);
    write(one, b"ab").unwrap();
    fork(|| assert_eq!(write(one, b"cd"), Ok(2))).succeeds();
    assert_eq!(read_some(other, 9), Ok(b"abcd".to_vec()), "unless it matters who sent it");
    set_option(other, SO_PASSCRED, 1).unwrap();
    write(one, b"ab").unwrap();
    fork(|| assert_eq!(write(one, b"cd"), Ok(2))).succeeds();
    assert_eq!(read_some(other, 9), Ok(b"ab".to_vec()));
    assert_eq!(read_some(other, 9), Ok(b"cd".to_vec()));
}

/// What `SO_PEERCRED` says.
fn peer_of(fd: Fd) -> (i32, u32, u32) {
    let (mut words, mut length) = ([0u32; 3], 12u32);
    syscall!(SYS_getsockopt, fd, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut words, &mut length).unwrap();
    assert_eq!(length, 12);
    (words[0] as i32, words[1], words[2])
}

fn peer_credentials() {
    let (one, other) = socketpair(SOCK_STREAM);
    assert_eq!((peer_of(one), peer_of(other)), (own_credentials(), own_credentials()));
    fork(|| assert_eq!(peer_of(one).0, getppid())).succeeds();
    assert_eq!(peer_of(socket(SOCK_STREAM)), (0, u32::MAX, u32::MAX));
}

fn peer_credentials_of_a_connection() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    assert_eq!(peer_of(server), own_credentials());
    let parent = own_credentials();
    let client = fork_as(12_345, 54_321, || {
        let fd = connected(SOCK_STREAM, &address);
        assert_eq!(peer_of(fd), parent, "who listened");
        read_some(fd, 1).unwrap();
    });
    let fd = accept(server).unwrap();
    assert_eq!(peer_of(fd), (client.pid, 12_345, 54_321), "who connected");
    close(fd).unwrap();
    client.succeeds();
}

const SO_PASSPIDFD: i32 = 76;
const SO_PEERPIDFD: i32 = 77;
const SCM_PIDFD: i32 = 4;

fn a_descriptor_of_the_peer() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    assert_eq!(
        option(socket(SOCK_STREAM), SO_PEERPIDFD).map_err(|errno| if errno == ENOPROTOOPT {
            skip("Linux before 6.5")
        } else {
            errno
        }),
        Err(ENODATA)
    );
    let gate = Gate::new();
    let client = fork(|| {
        let _fd = connected(SOCK_STREAM, &address);
        gate.pass();
    });
    let fd = accept(server).unwrap();
    let pidfd = option(fd, SO_PEERPIDFD).unwrap();
    assert_eq!(fcntl(pidfd, libc::F_GETFD, 0), Ok(1), "closed on exec");
    assert_eq!(syscall!(SYS_pidfd_send_signal, pidfd, 0, 0, 0), Ok(0));
    assert_eq!(events_now(pidfd, POLLIN), 0);
    gate.open();
    wait_until_zombie(client.pid);
    assert_eq!(events_now(pidfd, POLLIN), POLLIN);
    client.succeeds();
    assert_eq!(syscall!(SYS_pidfd_send_signal, pidfd, 0, 0, 0), Err(ESRCH));
}

fn descriptors_of_senders() {
    let (one, other) = socketpair(SOCK_DGRAM);
    if set_option(other, SO_PASSPIDFD, 1) == Err(ENOPROTOOPT) {
        skip("Linux before 6.5");
    }
    write(one, b"x").unwrap();
    let received = recvmsg(other, 9, 64, 0).unwrap();
    let [(SCM_PIDFD, data)] = &received.control[..] else { panic!("{received:?}") };
    let pidfd = Fd::from_le_bytes(data[..].try_into().unwrap());
    assert_eq!(syscall!(SYS_pidfd_send_signal, pidfd, 0, 0, 0), Ok(0));
    write(one, b"x").unwrap();
    let received = recvmsg(other, 9, 19, 0).unwrap();
    assert_eq!((received.control.len(), received.flags), (0, MSG_CTRUNC));
}

fn asking_for_credentials_makes_a_name() {
    let server = listener(SOCK_STREAM, &abstract_address("server"), 5);
    let client = socket(SOCK_STREAM);
    set_option(client, SO_PASSCRED, 1).unwrap();
    connect(client, &abstract_address("server")).unwrap();
    assert_eq!(getsockname(client).unwrap().len(), 8);
    close(accept(server).unwrap()).unwrap();
}

fn accepted_sockets_inherit_passcred() {
    let server = listener(SOCK_STREAM, &abstract_address("server"), 5);
    set_option(server, SO_PASSCRED, 1).unwrap();
    let client = connected(SOCK_STREAM, &abstract_address("server"));
    write(client, b"x").unwrap();
    let fd = accept(server).unwrap();
    assert_eq!(option(fd, SO_PASSCRED), Ok(1));
    assert_eq!(recvmsg(fd, 9, 64, 0).unwrap().credentials(), Some(own_credentials()));
}
