//! Names of AF_UNIX sockets, connections, and who may make them (unix(7), bind(2), listen(2), accept(2), connect(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    MSG_DONTWAIT, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, SHUT_RD, SIGUSR1, SOCK_CLOEXEC, SOCK_DGRAM,
    SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM,
};

pub(crate) const CASES: &[Case] = &[
    case!(a_client_and_a_server),
    case!(abstract_names),
    case!(abstract_names_of_each_type),
    case!(path_names_make_files),
    case!(names_are_made_up),
    case!(bind_errors),
    case!(a_socket_is_bound_once),
    case!(a_name_outlives_its_file),
    case!(a_file_outlives_its_socket),
    case!(a_socket_file_can_be_renamed_and_linked),
    case!(the_longest_names),
    case!(names_are_cut_to_the_room),
    case!(permissions_of_socket_files).root(),
    case!(the_mode_of_a_socket_file),
    case!(connect_errors),
    case!(connecting_twice),
    case!(connect_of_the_wrong_type),
    case!(a_listener_cannot_send),
    case!(listen_errors),
    case!(accept_errors),
    case!(accept4_flags),
    case!(accept_tells_the_name),
    case!(accept_waits),
    case!(accept_is_interrupted),
    case!(the_backlog_is_a_limit),
    case!(listen_again_changes_the_backlog),
    case!(connect_waits_for_room),
    case!(connect_is_interrupted),
    case!(data_sent_before_accept),
    case!(a_client_that_left_before_accept),
    case!(closing_a_listener_resets_its_clients),
    case!(shutting_a_listener_down),
    case!(poll_of_a_listener),
    case!(seqpacket_connections),
    case!(several_acceptors),
    case!(proc_net_unix_lists_sockets),
];

fn a_client_and_a_server() {
    let address = path_address(c"server");
    let server = listener(SOCK_STREAM, &address, 5);
    let client = fork(|| {
        let fd = connected(SOCK_STREAM, &address);
        write(fd, b"hello").unwrap();
        assert_eq!(read_some(fd, 9), Ok(b"world".to_vec()));
        assert_eq!(read_some(fd, 9), Ok(vec![]));
    });
    let fd = accept(server).unwrap();
    assert_eq!(read_some(fd, 9), Ok(b"hello".to_vec()));
    write(fd, b"world").unwrap();
    close(fd).unwrap();
    client.succeeds();
}

fn abstract_names() {
    let address = abstract_address("a\0b");
    let server = listener(SOCK_STREAM, &address, 5);
    assert_eq!(getsockname(server), Ok(address.clone()));
    let other = socket(SOCK_STREAM);
    assert_eq!(bind(other, &address), Err(EADDRINUSE));
    let mut longer = address.clone();
    longer.push(0);
    assert_eq!(connect(other, &longer), Err(ECONNREFUSED), "each byte counts");
    let client = connected(SOCK_STREAM, &address);
    assert_eq!(getpeername(client), Ok(address.clone()));
    close(server).unwrap();
    assert_eq!(connect(other, &address), Err(ECONNREFUSED));
    assert_eq!(bind(other, &address), Ok(()), "the name is free again");
}

fn abstract_names_of_each_type() {
    let address = abstract_address("shared");
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let fd = socket(kind);
        assert_eq!(bind(fd, &address), Ok(()), "{kind}");
    }
}

fn path_names_make_files() {
    let fd = socket(SOCK_STREAM);
    bind(fd, &path_address(c"name")).unwrap();
    let status = stat(c"name").unwrap();
    assert_eq!(status.st_mode & libc::S_IFMT, libc::S_IFSOCK);
    assert_eq!(getsockname(fd), Ok(unix_address(b"name\0")));
    let unterminated = socket(SOCK_STREAM);
    bind(unterminated, &unix_address(b"short")).unwrap();
    assert_eq!(getsockname(unterminated), Ok(unix_address(b"short\0")), "a NUL is added");
    assert_eq!(open(c"name", libc::O_RDWR), Err(ENXIO));
}

fn names_are_made_up() {
    let (one, other) = (socket(SOCK_STREAM), socket(SOCK_DGRAM));
    assert_eq!(getsockname(one), Ok(unix_address(b"")));
    for fd in [one, other] {
        bind(fd, &unix_address(b"")).unwrap();
        let name = getsockname(fd).unwrap();
        assert_eq!((name.len(), name[2]), (8, 0));
        assert!(name[3..].iter().all(u8::is_ascii_hexdigit), "{name:?}");
        assert_eq!(bind(fd, &unix_address(b"")), Ok(()), "it keeps its name");
        assert_eq!(getsockname(fd), Ok(name));
    }
    listen(one, 1).unwrap();
    let client = connected(SOCK_STREAM, &getsockname(one).unwrap());
    close(client).unwrap();
}

fn bind_errors() {
    let fd = socket(SOCK_STREAM);
    assert_eq!(bind(fd, &[2, 0, b'x', 0]), Err(EINVAL));
    assert_eq!(bind(fd, &[1]), Err(EINVAL));
    assert_eq!(bind(fd, &[]), Err(EINVAL));
    assert_eq!(bind(fd, &unix_address(&[b'x'; 109])), Err(EINVAL));
    assert_eq!(syscall!(SYS_bind, fd, 8, 10), Err(EFAULT));
    assert_eq!(syscall!(SYS_bind, fd, 8, -1), Err(EINVAL));
    assert_eq!(syscall!(SYS_bind, fd, 8, 129), Err(EINVAL));
    assert_eq!(bind(fd, &path_address(c"missing/name")), Err(ENOENT));
    create(c"file", b"");
    assert_eq!(bind(fd, &path_address(c"file")), Err(EADDRINUSE));
    assert_eq!(bind(fd, &path_address(c"file/name")), Err(ENOTDIR));
    assert_eq!(bind(fd, &path_address(c".")), Err(EADDRINUSE));
    symlink(c"nowhere", c"link").unwrap();
    assert_eq!(bind(fd, &path_address(c"link")), Err(EADDRINUSE));
    assert_eq!(bind(fd, &path_address(c"good")), Ok(()), "none of this gave it a name");
}

fn a_socket_is_bound_once() {
    let fd = socket(SOCK_STREAM);
    bind(fd, &path_address(c"first")).unwrap();
    assert_eq!(bind(fd, &path_address(c"second")), Err(EINVAL));
    assert_eq!(stat(c"second").err(), Some(ENOENT), "nothing is left of the attempt");
    assert_eq!(bind(fd, &abstract_address("third")), Err(EINVAL));
    assert_eq!(getsockname(fd), Ok(path_address(c"first")));
}

fn a_name_outlives_its_file() {
    let address = path_address(c"name");
    let first = listener(SOCK_STREAM, &address, 1);
    unlink(c"name").unwrap();
    assert_eq!(connect(socket(SOCK_STREAM), &address), Err(ENOENT));
    assert_eq!(getsockname(first), Ok(address.clone()));
    let second = listener(SOCK_STREAM, &address, 1);
    let client = connected(SOCK_STREAM, &address);
    write(client, b"x").unwrap();
    assert_eq!(events_now(first, POLLIN), 0);
    assert_eq!(events_now(second, POLLIN), POLLIN);
}

fn a_file_outlives_its_socket() {
    let address = path_address(c"name");
    close(listener(SOCK_STREAM, &address, 1)).unwrap();
    assert!(stat(c"name").is_ok());
    assert_eq!(connect(socket(SOCK_STREAM), &address), Err(ECONNREFUSED));
    assert_eq!(bind(socket(SOCK_STREAM), &address), Err(EADDRINUSE));
    syscall!(SYS_mknodat, libc::AT_FDCWD, c"made", libc::S_IFSOCK | 0o666, 0).unwrap();
    assert_eq!(connect(socket(SOCK_STREAM), &path_address(c"made")), Err(ECONNREFUSED));
}

fn a_socket_file_can_be_renamed_and_linked() {
    let server = listener(SOCK_STREAM, &path_address(c"name"), 5);
    rename(c"name", c"other").unwrap();
    link(c"other", c"third").unwrap();
    symlink(c"third", c"fourth").unwrap();
    for name in [c"other", c"third", c"fourth"] {
        let client = connected(SOCK_STREAM, &path_address(name));
        assert_eq!(getpeername(client), Ok(path_address(c"name")));
        close(accept(server).unwrap()).unwrap();
    }
}

fn the_longest_names() {
    let path = [b'p'; 108];
    let fd = listener(SOCK_STREAM, &unix_address(&path), 1);
    let mut expected = unix_address(&path);
    expected.push(0);
    assert_eq!(getsockname(fd), Ok(expected), "the NUL does not count");
    connected(SOCK_STREAM, &unix_address(&path));
    let mut name = [b'q'; 108];
    name[0] = 0;
    let fd = listener(SOCK_STREAM, &unix_address(&name), 1);
    assert_eq!(getsockname(fd), Ok(unix_address(&name)));
    connected(SOCK_STREAM, &unix_address(&name));
}

fn names_are_cut_to_the_room() {
    let fd = socket(SOCK_STREAM);
    bind(fd, &path_address(c"name")).unwrap();
    let (mut raw, mut length) = ([0xeeu8; 16], 4u32);
    syscall!(SYS_getsockname, fd, &mut raw, &mut length).unwrap();
    assert_eq!((&raw[..5], length), (&[1, 0, b'n', b'a', 0xee][..], 7), "the whole length is told");
    length = u32::MAX;
    assert_eq!(syscall!(SYS_getsockname, fd, &mut raw, &mut length), Err(EINVAL));
    assert_eq!(syscall!(SYS_getsockname, fd, &mut raw, 8), Err(EFAULT));
    length = 16;
    assert_eq!(syscall!(SYS_getsockname, fd, 8, &mut length), Err(EFAULT));
}

fn permissions_of_socket_files() {
    let address = path_address(c"name");
    let _server = listener(SOCK_STREAM, &address, 5);
    chmod(c".", 0o777).unwrap();
    for (mode, expected) in [(0o700, Err(EACCES)), (0o755, Err(EACCES)), (0o702, Ok(()))] {
        chmod(c"name", mode).unwrap();
        as_nobody(|| assert_eq!(connect(socket(SOCK_STREAM), &address), expected, "{mode:o}"));
    }
    chmod(c"name", 0o777).unwrap();
    mkdir(c"closed", 0o700).unwrap();
    let inside = path_address(c"closed/name");
    let _hidden = listener(SOCK_STREAM, &inside, 5);
    as_nobody(|| {
        assert_eq!(connect(socket(SOCK_STREAM), &inside), Err(EACCES));
        assert_eq!(bind(socket(SOCK_STREAM), &path_address(c"closed/second")), Err(EACCES));
    });
    let datagrams = socket(SOCK_DGRAM);
    bind(datagrams, &path_address(c"datagrams")).unwrap();
    chmod(c"datagrams", 0o700).unwrap();
    as_nobody(|| {
        assert_eq!(send_to(socket(SOCK_DGRAM), b"x", 0, &path_address(c"datagrams")), Err(EACCES));
    });
}

fn the_mode_of_a_socket_file() {
    syscall!(SYS_umask, 0o027).unwrap();
    bind(socket(SOCK_STREAM), &path_address(c"usual")).unwrap();
    assert_eq!(stat(c"usual").unwrap().st_mode & 0o7777, 0o750);
    let fd = socket(SOCK_STREAM);
    syscall!(SYS_fchmod, fd, 0o604).unwrap();
    bind(fd, &path_address(c"chosen")).unwrap();
    assert_eq!(stat(c"chosen").unwrap().st_mode & 0o7777, 0o600, "the socket's own, less the umask");
}

fn connect_errors() {
    let fd = socket(SOCK_STREAM);
    assert_eq!(connect(fd, &path_address(c"missing")), Err(ENOENT));
    create(c"file", b"");
    assert_eq!(connect(fd, &path_address(c"file")), Err(ECONNREFUSED));
    assert_eq!(connect(fd, &path_address(c".")), Err(ECONNREFUSED));
    assert_eq!(connect(fd, &abstract_address("nobody")), Err(ECONNREFUSED));
    assert_eq!(connect(fd, &[2, 0, 1, 2]), Err(EINVAL));
    assert_eq!(connect(fd, &unix_address(b"")), Err(EINVAL));
    assert_eq!(connect(fd, &[0; 16]), Err(EINVAL), "a stream cannot be disconnected");
    let bound = socket(SOCK_STREAM);
    bind(bound, &path_address(c"bound")).unwrap();
    assert_eq!(connect(fd, &path_address(c"bound")), Err(ECONNREFUSED), "it does not listen");
    assert_eq!(connect(bound, &path_address(c"bound")), Err(ECONNREFUSED));
    assert_eq!(events_now(fd, POLLOUT), POLLOUT | POLLHUP);
    let _server = listener(SOCK_STREAM, &path_address(c"server"), 5);
    assert_eq!(connect(fd, &path_address(c"server")), Ok(()), "it can be tried again");
}

fn connecting_twice() {
    let address = path_address(c"server");
    let server = listener(SOCK_STREAM, &address, 5);
    let fd = connected(SOCK_STREAM, &address);
    assert_eq!(connect(fd, &address), Err(EISCONN));
    assert_eq!(connect(fd, &path_address(c"missing")), Err(ENOENT), "the name is looked at first");
    assert_eq!(connect(server, &address), Err(EINVAL));
    let (one, _other) = socketpair(SOCK_STREAM);
    assert_eq!(connect(one, &address), Err(EISCONN));
    assert_eq!(listen(fd, 5), Err(EINVAL));
}

fn connect_of_the_wrong_type() {
    let _server = listener(SOCK_STREAM, &path_address(c"stream"), 5);
    assert_eq!(connect(socket(SOCK_DGRAM), &path_address(c"stream")), Err(EPROTOTYPE));
    assert_eq!(connect(socket(SOCK_SEQPACKET), &path_address(c"stream")), Err(EPROTOTYPE));
    assert_eq!(send_to(socket(SOCK_DGRAM), b"x", 0, &path_address(c"stream")), Err(EPROTOTYPE));
    let address = abstract_address("stream");
    let _other = listener(SOCK_STREAM, &address, 5);
    assert_eq!(connect(socket(SOCK_DGRAM), &address), Err(ECONNREFUSED));
}

fn a_listener_cannot_send() {
    let server = listener(SOCK_STREAM, &abstract_address("server"), 5);
    assert_eq!(send(server, b"x", libc::MSG_NOSIGNAL), Err(ENOTCONN));
    assert_eq!(recv(server, 9, 0), Err(EINVAL));
    assert_eq!(getpeername(server), Err(ENOTCONN));
    assert_eq!(ioctl(server, libc::FIONREAD, &mut 0), Err(EINVAL));
    let client = connected(SOCK_STREAM, &abstract_address("server"));
    assert_eq!(send_to(client, b"x", 0, &abstract_address("server")), Err(EISCONN));
    assert_eq!(send_to(socket(SOCK_STREAM), b"x", 0, &abstract_address("server")), Err(EOPNOTSUPP));
}

fn listen_errors() {
    assert_eq!(listen(socket(SOCK_STREAM), 5), Err(EINVAL), "it has no name");
    assert_eq!(listen(socket(SOCK_DGRAM), 5), Err(EOPNOTSUPP));
    let (one, _other) = socketpair(SOCK_STREAM);
    assert_eq!(listen(one, 5), Err(EINVAL));
    let server = listener(SOCK_STREAM, &abstract_address("server"), 5);
    assert_eq!(listen(server, -1), Ok(()));
    assert_eq!(option(server, libc::SO_ACCEPTCONN), Ok(1));
}

fn accept_errors() {
    assert_eq!(accept(socket(SOCK_STREAM)), Err(EINVAL));
    assert_eq!(accept(socket(SOCK_DGRAM)), Err(EOPNOTSUPP));
    let server = listener(SOCK_STREAM, &abstract_address("server"), 5);
    assert_eq!(accept4(server, 1), Err(EINVAL));
    set_nonblocking(server);
    assert_eq!(accept(server), Err(EAGAIN));
    let _client = connected(SOCK_STREAM, &abstract_address("server"));
    let mut limits = [0u64; 2];
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, &mut limits).unwrap();
    let free = dup(0).unwrap();
    close(free).unwrap();
    let none = [free as u64, limits[1]];
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &none, 0).unwrap();
    assert_eq!(accept(server), Err(EMFILE));
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &limits, 0).unwrap();
    assert_eq!(accept(server), Ok(free), "the connection was not lost");
}

fn accept4_flags() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    let _clients = [connected(SOCK_STREAM, &address), connected(SOCK_STREAM, &address)];
    let plain = accept(server).unwrap();
    assert_eq!(fcntl(plain, libc::F_GETFD, 0), Ok(0));
    assert_eq!(fcntl(plain, libc::F_GETFL, 0), Ok(libc::O_RDWR as usize));
    let marked = accept4(server, SOCK_CLOEXEC | SOCK_NONBLOCK).unwrap();
    assert_eq!(fcntl(marked, libc::F_GETFD, 0), Ok(1));
    assert_eq!(fcntl(marked, libc::F_GETFL, 0), Ok((libc::O_RDWR | libc::O_NONBLOCK) as usize));
}

fn accept_tells_the_name() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    let named = socket(SOCK_STREAM);
    bind(named, &abstract_address("client")).unwrap();
    connect(named, &address).unwrap();
    let _nameless = connected(SOCK_STREAM, &address);
    let (mut raw, mut length) = ([0u8; 128], 128u32);
    let fd = syscall!(SYS_accept, server, &mut raw, &mut length).unwrap() as Fd;
    assert_eq!(raw[..length as usize], abstract_address("client"));
    assert_eq!(getpeername(fd), Ok(abstract_address("client")));
    assert_eq!(getsockname(fd), Ok(address.clone()), "it has the listener's name");
    assert_eq!(bind(fd, &abstract_address("another")), Err(EINVAL));
    length = 128;
    syscall!(SYS_accept, server, &mut raw, &mut length).unwrap();
    assert_eq!(length, 2, "only the family");
    close(server).unwrap();
    assert_eq!(bind(socket(SOCK_STREAM), &address), Ok(()), "the connections do not keep the name");
}

fn accept_waits() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    let acceptor = fork(|| assert_eq!(read_some(accept(server).unwrap(), 9), Ok(b"x".to_vec())));
    wait_until_blocked(acceptor.pid);
    write(connected(SOCK_STREAM, &address), b"x").unwrap();
    acceptor.succeeds();
}

fn accept_is_interrupted() {
    let server = listener(SOCK_STREAM, &abstract_address("server"), 5);
    let acceptor = fork(|| {
        catch(SIGUSR1, 0);
        assert_eq!(accept(server), Err(EINTR));
    });
    wait_until_blocked(acceptor.pid);
    acceptor.kill(SIGUSR1);
    acceptor.succeeds();
}

fn the_backlog_is_a_limit() {
    for backlog in [0, 1, 3] {
        let address = abstract_address(&format!("server{backlog}"));
        let server = listener(SOCK_STREAM, &address, backlog);
        let mut waiting = Vec::new();
        loop {
            let fd = socket(SOCK_STREAM | SOCK_NONBLOCK);
            match connect(fd, &address) {
                Ok(()) => waiting.push(fd),
                Err(errno) => break assert_eq!(errno, EAGAIN),
            }
        }
        assert_eq!(waiting.len(), backlog as usize + 1);
        close(accept(server).unwrap()).unwrap();
        assert_eq!(connect(socket(SOCK_STREAM | SOCK_NONBLOCK), &address), Ok(()));
    }
}

fn listen_again_changes_the_backlog() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 0);
    let _first = connected(SOCK_STREAM, &address);
    assert_eq!(connect(socket(SOCK_STREAM | SOCK_NONBLOCK), &address), Err(EAGAIN));
    let waiting = fork(|| discard(connected(SOCK_STREAM, &address)));
    wait_until_blocked(waiting.pid);
    listen(server, 2).unwrap();
    waiting.succeeds();
}

fn connect_waits_for_room() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 0);
    let _first = connected(SOCK_STREAM, &address);
    let clients: Vec<Child> = (0..3)
        .map(|_| {
            fork(|| {
                let fd = connected(SOCK_STREAM, &address);
                assert_eq!(read_some(fd, 9), Ok(b"x".to_vec()));
            })
        })
        .collect();
    clients.iter().for_each(|client| wait_until_blocked(client.pid));
    for _ in 0..4 {
        let fd = accept(server).unwrap();
        write(fd, b"x").unwrap();
    }
    clients.iter().for_each(Child::succeeds);
}

fn connect_is_interrupted() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 0);
    let _first = connected(SOCK_STREAM, &address);
    let client = fork(|| {
        catch(SIGUSR1, 0);
        let fd = socket(SOCK_STREAM);
        assert_eq!(connect(fd, &address), Err(EINTR));
        close(accept(server).unwrap()).unwrap();
        assert_eq!(connect(fd, &address), Ok(()), "it was left as it was");
    });
    wait_until_blocked(client.pid);
    client.kill(SIGUSR1);
    client.succeeds();
}

fn data_sent_before_accept() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    let client = connected(SOCK_STREAM, &address);
    assert_eq!(events_now(client, POLLIN | POLLOUT), POLLOUT);
    write(client, b"early").unwrap();
    let fd = accept(server).unwrap();
    assert_eq!(read_some(fd, 9), Ok(b"early".to_vec()));
}

fn a_client_that_left_before_accept() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    let client = connected(SOCK_STREAM, &address);
    write(client, b"early").unwrap();
    close(client).unwrap();
    let fd = accept(server).unwrap();
    assert_eq!(read_some(fd, 9), Ok(b"early".to_vec()));
    assert_eq!(read_some(fd, 9), Ok(vec![]));
}

fn closing_a_listener_resets_its_clients() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    let client = connected(SOCK_STREAM, &address);
    let reader = fork(|| {
        close(server).unwrap();
        assert_eq!(read_some(client, 9), Err(ECONNRESET));
        assert_eq!(read_some(client, 9), Ok(vec![]));
    });
    wait_until_blocked(reader.pid);
    close(server).unwrap();
    reader.succeeds();
    // A connect that waits for room is refused.
    let server = listener(SOCK_STREAM, &address, 0);
    let _first = connected(SOCK_STREAM, &address);
    let waiting = fork(|| {
        close(server).unwrap();
        assert_eq!(connect(socket(SOCK_STREAM), &address), Err(ECONNREFUSED));
    });
    wait_until_blocked(waiting.pid);
    close(server).unwrap();
    waiting.succeeds();
}

fn shutting_a_listener_down() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    let acceptor = fork(|| assert_eq!(accept(server), Err(EINVAL)));
    wait_until_blocked(acceptor.pid);
    shutdown(server, SHUT_RD).unwrap();
    acceptor.succeeds();
    assert_eq!(connect(socket(SOCK_STREAM), &address), Err(ECONNREFUSED));
    assert_eq!(events_now(server, POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
}

fn poll_of_a_listener() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 5);
    assert_eq!(events_now(server, POLLIN | POLLOUT), 0);
    let poller = fork(|| {
        let mut set = [pollfd(server, POLLIN)];
        assert_eq!(poll(&mut set, -1), Ok(1));
        assert_eq!(set[0].revents, POLLIN);
    });
    wait_until_blocked(poller.pid);
    let _client = connected(SOCK_STREAM, &address);
    poller.succeeds();
    accept(server).unwrap();
    assert_eq!(events_now(server, POLLIN), 0);
}

fn seqpacket_connections() {
    let address = path_address(c"packets");
    let server = listener(SOCK_SEQPACKET, &address, 5);
    let client = connected(SOCK_SEQPACKET, &address);
    let fd = accept(server).unwrap();
    send(client, b"one", 0).unwrap();
    send(client, b"two", 0).unwrap();
    assert_eq!(recv(fd, 9, 0), Ok(b"one".to_vec()));
    assert_eq!(recv(fd, 9, 0), Ok(b"two".to_vec()));
    assert_eq!(recv(fd, 9, MSG_DONTWAIT), Err(EAGAIN));
}

fn several_acceptors() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 20);
    let acceptors: Vec<Child> = (0..4)
        .map(|_| {
            fork(|| {
                for _ in 0..5 {
                    let fd = accept(server).unwrap();
                    assert_eq!(read_some(fd, 1), Ok(b"x".to_vec()));
                    write(fd, b"y").unwrap();
                    close(fd).unwrap();
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let fd = connected(SOCK_STREAM, &address);
        write(fd, b"x").unwrap();
        assert_eq!(read_some(fd, 1), Ok(b"y".to_vec()));
        close(fd).unwrap();
    }
    acceptors.iter().for_each(Child::succeeds);
}

fn proc_net_unix_lists_sockets() {
    let address = path_address(c"listed");
    let server = listener(SOCK_STREAM, &address, 5);
    let table = text(c"/proc/net/unix").unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("Num       RefCount Protocol Flags    Type St Inode Path"));
    let inode = fstat(server).unwrap().st_ino.to_string();
    let line =
        lines.find(|line| line.split_whitespace().nth(6) == Some(&inode)).expect("the listener's line");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[2..6], ["00000000", "00010000", "0001", "01"]);
    assert_eq!(fields.get(7), Some(&"listed"));
}
