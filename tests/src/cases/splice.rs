//! Bytes that move inside the kernel: splice(2), tee(2), vmsplice(2), and sendfile(2) beyond plain copies.

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{O_APPEND, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, SEEK_CUR, SPLICE_F_NONBLOCK};

pub(crate) const CASES: &[Case] = &[
    case!(splice_between_pipes),
    case!(splice_to_and_from_files),
    case!(splice_refusals),
    case!(splice_waits_and_nonblocking_does_not),
    case!(splice_of_closed_pipes),
    case!(splice_fills_what_there_is_room_for),
    case!(splice_of_devices_and_terminals),
    case!(interrupted_splice),
    case!(tee_leaves_what_it_copies),
    case!(vmsplice_both_ways),
    case!(vmsplice_refusals),
    case!(sendfile_to_pipes_and_refusals),
    case!(many_splicers_lose_nothing),
    case!(packets_stay_packets),
];

fn splice(from: Fd, to: Fd, length: usize, flags: u32) -> Sys<usize> {
    syscall!(SYS_splice, from, 0, to, 0, length, flags)
}

fn tee(from: Fd, to: Fd, length: usize, flags: u32) -> Sys<usize> {
    syscall!(SYS_tee, from, to, length, flags)
}

fn filled_pipe(bytes: &[u8]) -> (Fd, Fd) {
    let (from, to) = pipe();
    write(to, bytes).unwrap();
    (from, to)
}

fn splice_between_pipes() {
    let (from, from_to) = filled_pipe(b"abcdefgh");
    let (out, to) = pipe();
    assert_eq!(splice(from, to, 3, 0), Ok(3));
    assert_eq!((readable_bytes(from), readable_bytes(out)), (5, 3));
    assert_eq!(splice(from, to, 100, 0), Ok(5));
    assert_eq!(read_some(out, 100), Ok(b"abcdefgh".to_vec()));
    assert_eq!(splice(from, from_to, 1, SPLICE_F_NONBLOCK), Err(EINVAL), "into itself");
}

fn splice_to_and_from_files() {
    create(c"source", b"0123456789");
    let source = open(c"source", O_RDONLY).unwrap();
    let target = create_open(c"target");
    let (from, to) = pipe();
    assert_eq!(splice(source, to, 4, 0), Ok(4));
    assert_eq!(lseek(source, 0, SEEK_CUR), Ok(4), "without an offset the file's own moves");
    let mut offset = 8i64;
    assert_eq!(syscall!(SYS_splice, source, &mut offset, to, 0, 9, 0), Ok(2));
    assert_eq!((offset, lseek(source, 0, SEEK_CUR)), (10, Ok(4)));
    assert_eq!(syscall!(SYS_splice, source, &mut offset, to, 0, 9, 0), Ok(0), "the end");
    let mut place = 2i64;
    assert_eq!(syscall!(SYS_splice, from, 0, target, &mut place, 3, 0), Ok(3));
    assert_eq!((place, lseek(target, 0, SEEK_CUR)), (5, Ok(0)));
    assert_eq!(splice(from, target, 100, 0), Ok(3));
    assert_eq!(content(c"target"), Ok(b"38912".to_vec()));
}

fn splice_refusals() {
    create(c"file", b"0123456789");
    let reading = open(c"file", O_RDONLY).unwrap();
    let writing = open(c"other", O_WRONLY | libc::O_CREAT).unwrap();
    let appending = open(c"other", O_WRONLY | O_APPEND).unwrap();
    let folder = open(c".", O_RDONLY).unwrap();
    let (from, to) = filled_pipe(b"abcdef");
    let (_out, into) = pipe();
    assert_eq!(splice(reading, to, 0, 99), Ok(0), "nothing is asked for");
    assert_eq!(splice(700, 701, 1, 16), Err(EINVAL), "flags come first");
    for (one, other) in
        [(700, to), (reading, 700), (writing, to), (from, reading), (to, writing), (reading, from)]
    {
        assert_eq!(splice(one, other, 1, 0), Err(EBADF), "{one} {other}");
    }
    assert_eq!(splice(reading, writing, 1, 0), Err(EINVAL), "no pipe");
    assert_eq!(splice(folder, to, 1, 0), Err(EINVAL));
    assert_eq!(splice(from, appending, 1, 0), Err(EINVAL));
    let with = |one: Fd, at: *mut i64, other: Fd, to_at: *mut i64| {
        syscall!(SYS_splice, one, at, other, to_at, 1, SPLICE_F_NONBLOCK)
    };
    let (mut zero, mut negative, mut last) = (0i64, -1i64, i64::MAX);
    let null = std::ptr::null_mut();
    assert_eq!(with(from, &raw mut zero, writing, null), Err(ESPIPE));
    assert_eq!(with(reading, null, to, &raw mut zero), Err(ESPIPE));
    assert_eq!(with(from, &raw mut zero, into, null), Err(ESPIPE));
    assert_eq!(with(reading, &raw mut negative, to, null), Err(EINVAL));
    assert_eq!(with(reading, &raw mut last, to, null), Err(EINVAL));
    assert_eq!(with(from, null, writing, &raw mut negative), Err(EINVAL));
    assert_eq!(with(reading, std::ptr::without_provenance_mut(8), to, null), Err(EFAULT));
    assert_eq!(splice(reading, to, usize::MAX, 0), Err(EINVAL));
    assert_eq!(readable_bytes(from), 6, "nothing moved");
}

fn splice_waits_and_nonblocking_does_not() {
    let (from, to) = pipe();
    let (out, into) = pipe();
    let target = create_open(c"target");
    assert_eq!(splice(from, into, 1, SPLICE_F_NONBLOCK), Err(EAGAIN));
    assert_eq!(splice(from, target, 1, SPLICE_F_NONBLOCK), Err(EAGAIN));
    assert_eq!(tee(from, into, 1, SPLICE_F_NONBLOCK), Err(EAGAIN));
    for keep in [false, true] {
        let waiting = fork(|| {
            let moved = if keep { tee(from, into, 10, 0) } else { splice(from, into, 10, 0) };
            assert_eq!(moved, Ok(4));
        });
        wait_until_blocked(waiting.pid);
        write(to, b"data").unwrap();
        waiting.succeeds();
        assert_eq!(read_some(out, 10), Ok(b"data".to_vec()));
    }
    assert_eq!(read_some(from, 10), Ok(b"data".to_vec()), "tee has left it");
    // The status flags of the pipes count as well.
    set_nonblocking(from);
    assert_eq!(splice(from, into, 1, 0), Err(EAGAIN));
    assert_eq!(splice(from, target, 1, 0), Err(EAGAIN));
}

fn splice_of_closed_pipes() {
    ignore(libc::SIGPIPE);
    create(c"file", b"0123456789");
    let file = open(c"file", O_RDWR).unwrap();
    let (from, to) = pipe();
    let (out, into) = pipe();
    close(to).unwrap();
    for result in [splice(from, file, 1, 0), splice(from, into, 1, 0), tee(from, into, 1, 0)] {
        assert_eq!(result, Ok(0), "nobody writes any more");
    }
    close(out).unwrap();
    let (full, _keep) = filled_pipe(b"x");
    for result in [splice(file, into, 1, 0), splice(full, into, 1, 0), tee(full, into, 1, 0)] {
        assert_eq!(result, Err(EPIPE));
    }
    reset(libc::SIGPIPE);
    let killed = fork(|| discard(splice(file, into, 1, 0)));
    assert_eq!(killed.wait(), Status::Killed(libc::SIGPIPE));
}

fn splice_fills_what_there_is_room_for() {
    let file = create_open(c"file");
    syscall!(SYS_ftruncate, file, 1 << 20).unwrap();
    let (from, to) = pipe();
    let null = open(c"/dev/null", O_RDWR).unwrap();
    assert_eq!(splice(file, to, 1 << 20, 0), Ok(65_536), "a full pipe ends it, also one that waits");
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(65_536));
    assert_eq!(splice(file, to, 1 << 20, SPLICE_F_NONBLOCK), Err(EAGAIN));
    let waiting = fork(|| {
        let moved = splice(file, to, 8192, 0).unwrap();
        assert!((1..=8192).contains(&moved), "{moved}");
    });
    wait_until_blocked(waiting.pid);
    // The writer that waits may come in before the pipe is empty.
    let drained = splice(from, null, 1 << 20, 0).unwrap();
    assert!((65_536..=65_536 + 8192).contains(&drained), "{drained}");
    waiting.succeeds();
}

fn splice_of_devices_and_terminals() {
    let (from, to) = pipe();
    let zero = open(c"/dev/zero", O_RDWR).unwrap();
    let null = open(c"/dev/null", O_RDWR).unwrap();
    let version = open(c"/proc/version", O_RDONLY).unwrap();
    assert_eq!(splice(zero, to, 5, 0), Ok(5));
    assert_eq!(splice(null, to, 5, 0), Err(EINVAL));
    assert_eq!(splice(version, to, 5, 0), Ok(5));
    assert_eq!(read_some(from, 100), Ok(b"\0\0\0\0\0Linux".to_vec()));
    let (master, slave) = super::terminal::pair();
    write(to, b"shown").unwrap();
    assert_eq!(splice(from, slave, 100, 0), Ok(5));
    assert_eq!(read_some(master, 100), Ok(b"shown".to_vec()));
    super::terminal::without_echo(slave);
    write(master, b"typed\n").unwrap();
    assert_eq!(splice(slave, to, 100, 0), Ok(6));
    assert_eq!(read_some(from, 100), Ok(b"typed\n".to_vec()));
}

fn interrupted_splice() {
    let (from, to) = pipe();
    let (_out, into) = pipe();
    let target = create_open(c"target");
    for sink in [into, target] {
        let waiting = fork(|| {
            catch(libc::SIGUSR1, 0);
            assert_eq!(splice(from, sink, 1, 0), Err(EINTR));
        });
        wait_until_blocked(waiting.pid);
        waiting.kill(libc::SIGUSR1);
        waiting.succeeds();
    }
    let killed = fork(|| discard(splice(from, target, 1, 0)));
    wait_until_blocked(killed.pid);
    killed.kill(libc::SIGKILL);
    assert_eq!(killed.wait(), Status::Killed(libc::SIGKILL));
    write(to, b"x").unwrap();
    assert_eq!(read_some(from, 9), Ok(b"x".to_vec()), "a killed splice leaves the pipe usable");
}

fn tee_leaves_what_it_copies() {
    let (from, from_to) = filled_pipe(b"abcdef");
    let (out, to) = pipe();
    assert_eq!(tee(from, to, 4, 0), Ok(4));
    assert_eq!(tee(from, to, 100, 0), Ok(6), "from the front again");
    assert_eq!(read_some(out, 100), Ok(b"abcdabcdef".to_vec()));
    assert_eq!(read_some(from, 100), Ok(b"abcdef".to_vec()));
    let file = create_open(c"file");
    assert_eq!(tee(from, to, 0, 0), Ok(0));
    assert_eq!(tee(from, to, 1, 16), Err(EINVAL));
    assert_eq!(tee(from, from_to, 1, 0), Err(EINVAL), "one pipe");
    assert_eq!(tee(from, file, 1, 0), Err(EINVAL));
    assert_eq!(tee(file, to, 1, 0), Err(EINVAL));
    assert_eq!(tee(to, to, 1, 0), Err(EBADF));
    assert_eq!(tee(700, to, 1, 0), Err(EBADF));
}

fn vmsplice_both_ways() {
    let (from, to) = pipe();
    let (mut one, mut two) = (*b"abc", *b"defg");
    let parts = [iovec(&mut one), iovec(&mut two)];
    assert_eq!(syscall!(SYS_vmsplice, to, &parts, 2, 0), Ok(7));
    let (mut first, mut second) = ([0u8; 5], [0u8; 5]);
    let into = [iovec(&mut first), iovec(&mut second)];
    assert_eq!(syscall!(SYS_vmsplice, from, &into, 2, 0), Ok(7));
    assert_eq!((&first, &second), (b"abcde", b"fg\0\0\0"));
    assert_eq!(syscall!(SYS_vmsplice, from, &into, 2, SPLICE_F_NONBLOCK), Err(EAGAIN));
    // What fits is taken; there is no waiting for the rest.
    let mut large = vec![7u8; 100_000];
    let part = iovec(&mut large);
    let taken = syscall!(SYS_vmsplice, to, &part, 1, 0).unwrap();
    assert!((61_440..=65_536).contains(&taken), "{taken}: Linux counts pages, begun ones too");
    assert_eq!(syscall!(SYS_vmsplice, to, &part, 1, SPLICE_F_NONBLOCK), Err(EAGAIN));
    let reader = fork(|| {
        catch(libc::SIGUSR1, 0);
        set_nonblocking(to);
        assert_eq!(syscall!(SYS_vmsplice, to, &part, 1, 0), Err(EINTR), "only the call's own flag counts");
    });
    wait_until_blocked(reader.pid);
    reader.kill(libc::SIGUSR1);
    reader.succeeds();
}

fn vmsplice_refusals() {
    let (_from, to) = pipe();
    let file = create_open(c"file");
    let mut byte = [0u8];
    let part = iovec(&mut byte);
    assert_eq!(syscall!(SYS_vmsplice, file, &part, 1, 0), Err(EBADF));
    assert_eq!(syscall!(SYS_vmsplice, 700, &part, 1, 0), Err(EBADF));
    assert_eq!(syscall!(SYS_vmsplice, to, &part, 1, 16), Err(EINVAL));
    assert_eq!(syscall!(SYS_vmsplice, to, &part, 1025, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_vmsplice, to, 8, 1, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_vmsplice, to, 0, 0, 0), Ok(0));
    let mut bad = part;
    bad.iov_base = std::ptr::without_provenance_mut(8);
    assert_eq!(syscall!(SYS_vmsplice, to, &bad, 1, 0), Err(EFAULT));
}

fn sendfile_to_pipes_and_refusals() {
    create(c"source", b"0123456789");
    let source = open(c"source", O_RDONLY).unwrap();
    let target = create_open(c"target");
    let (from, to) = pipe();
    assert_eq!(syscall!(SYS_sendfile, to, source, 0, 4), Ok(4));
    assert_eq!(read_some(from, 10), Ok(b"0123".to_vec()));
    assert_eq!(syscall!(SYS_sendfile, target, from, 0, 1), Err(EINVAL), "a source has to have places");
    let mut offset = 0i64;
    assert_eq!(syscall!(SYS_sendfile, target, from, &mut offset, 1), Err(ESPIPE));
    assert_eq!(syscall!(SYS_sendfile, target, open(c".", O_RDONLY).unwrap(), 0, 1), Err(EINVAL));
    assert_eq!(syscall!(SYS_sendfile, target, source, 8, 1), Err(EFAULT));
    for mut bad in [-1i64, i64::MAX] {
        assert_eq!(syscall!(SYS_sendfile, target, source, &mut bad, 1), Err(EINVAL));
    }
    assert_eq!(syscall!(SYS_sendfile, from, source, 0, 1), Err(EBADF));
    assert_eq!(syscall!(SYS_sendfile, target, 700, 0, 1), Err(EBADF));
    let version = open(c"/proc/version", O_RDONLY).unwrap();
    assert_eq!(syscall!(SYS_sendfile, target, version, 0, 5), Ok(5));
    assert_eq!(content(c"target"), Ok(b"Linux".to_vec()));
    let pair = pipe2(O_NONBLOCK).unwrap();
    while write(pair.1, &[0; 4096]).is_ok() {}
    assert_eq!(syscall!(SYS_sendfile, pair.1, source, 0, 1), Err(EAGAIN));
}

/// Splices of several processes through a middle pipe: every byte comes out once.
fn many_splicers_lose_nothing() {
    const EACH: usize = 40_000;
    let (first_from, first_to) = pipe();
    let (second_from, second_to) = pipe();
    let writers: Vec<Child> = (0..3u8)
        .map(|number| {
            fork(|| {
                let mut sent = 0;
                while sent < EACH {
                    sent += write(first_to, &vec![number; 1000.min(EACH - sent)]).unwrap();
                }
            })
        })
        .collect();
    let splicers: Vec<Child> = (0..2)
        .map(|_| {
            fork(|| {
                close(first_to).unwrap();
                while splice(first_from, second_to, 3000, 0).unwrap() > 0 {}
            })
        })
        .collect();
    close(first_to).unwrap();
    close(second_to).unwrap();
    let mut counts = [0usize; 3];
    loop {
        let part = read_some(second_from, 4096).unwrap();
        if part.is_empty() {
            break;
        }
        part.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    }
    assert_eq!(counts, [EACH; 3]);
    writers.iter().chain(&splicers).for_each(Child::succeeds);
}

fn packets_stay_packets() {
    let (from, to) = pipe2(libc::O_DIRECT).unwrap();
    let (out, into) = pipe();
    write(to, b"one").unwrap();
    write(to, b"two").unwrap();
    assert_eq!(tee(from, into, 100, 0), Ok(6));
    assert_eq!(read_some(out, 100), Ok(b"one".to_vec()));
    assert_eq!(read_some(out, 100), Ok(b"two".to_vec()));
    assert_eq!(splice(from, into, 2, 0), Ok(2), "a part of a packet");
    assert_eq!(read_some(from, 100), Ok(b"e".to_vec()), "leaves the rest");
    assert_eq!(read_some(out, 100), Ok(b"on".to_vec()));
}
