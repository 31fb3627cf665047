//! Pipes and FIFOs (pipe(7)).

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT};

pub(crate) const CASES: &[Case] = &[
    case!(bytes_come_out_in_order),
    case!(read_takes_what_is_there),
    case!(read_blocks_until_a_write),
    case!(read_sees_the_end_when_the_last_writer_closes),
    case!(end_of_file_waits_for_every_copy_of_the_writer),
    case!(blocked_reader_wakes_when_the_writer_dies),
    case!(write_without_reader_is_epipe_and_sigpipe),
    case!(sigpipe_kills_by_default),
    case!(blocked_writer_wakes_with_epipe),
    case!(nonblocking_read_of_an_empty_pipe),
    case!(nonblocking_write_to_a_full_pipe),
    case!(capacity_is_64_kib),
    case!(set_size_rounds_and_refuses),
    case!(shrinking_below_the_content_is_ebusy),
    case!(growing_wakes_a_blocked_writer),
    case!(small_writes_are_atomic),
    case!(nonblocking_write_of_pipe_buf_is_all_or_nothing),
    case!(nonblocking_large_write_is_partial),
    case!(blocking_large_write_finishes_in_parts),
    case!(interrupted_large_write_is_partial),
    case!(interrupted_read_is_eintr),
    case!(read_restarts_after_sa_restart),
    case!(interrupted_write_is_eintr),
    case!(one_write_wakes_one_reader_and_no_byte_is_lost),
    case!(poll_tells_both_ends_states),
    case!(fionread_counts_bytes),
    case!(pipes_cannot_seek),
    case!(pipe2_flags),
    case!(pipe_to_a_bad_pointer_opens_nothing),
    case!(fault_in_the_middle_of_a_write_keeps_the_first_part),
    case!(fault_on_read_loses_no_byte),
    case!(vectors_gather_and_scatter),
    case!(stat_shows_a_fifo),
    case!(packet_mode_keeps_boundaries),
    case!(fifo_open_blocks_for_the_other_end),
    case!(fifo_sides_meet_however_short_they_stay),
    case!(fifo_nonblocking_opens),
    case!(fifo_opened_for_both_never_blocks),
    case!(fifo_can_be_used_again_after_everybody_left),
    case!(reopening_a_pipe_through_proc),
];

fn bytes_come_out_in_order() {
    let (from, to) = pipe();
    let sent: Vec<u8> = (0..60_000u32).map(|n| (n * 7 % 251) as u8).collect();
    for part in sent.chunks(777) {
        assert_eq!(write(to, part), Ok(part.len()));
    }
    close(to).unwrap();
    assert!(read_to_end(from).unwrap() == sent);
}

fn read_takes_what_is_there() {
    let (from, to) = pipe();
    write(to, b"abc").unwrap();
    write(to, b"defg").unwrap();
    assert_eq!(read_some(from, 2), Ok(b"ab".to_vec()));
    assert_eq!(read_some(from, 100), Ok(b"cdefg".to_vec()));
    assert_eq!(read_some(from, 0), Ok(vec![]), "a read of nothing never blocks");
}

fn read_blocks_until_a_write() {
    let (from, to) = pipe();
    let reader = fork(|| assert_eq!(read_some(from, 9), Ok(b"now".to_vec())));
    wait_until_blocked(reader.pid);
    write(to, b"now").unwrap();
    reader.succeeds();
}

fn read_sees_the_end_when_the_last_writer_closes() {
    let (from, to) = pipe();
    write(to, b"last").unwrap();
    close(to).unwrap();
    assert_eq!(read_some(from, 9), Ok(b"last".to_vec()));
    assert_eq!(read_some(from, 9), Ok(vec![]));
    assert_eq!(read_some(from, 9), Ok(vec![]), "the end stays");
}

fn end_of_file_waits_for_every_copy_of_the_writer() {
    let (from, to) = pipe();
    let copy = dup(to).unwrap();
    let gate = Gate::new();
    let holder = fork(|| {
        close(copy).unwrap();
        gate.pass();
    });
    let reader = fork(|| {
        close(to).unwrap();
        close(copy).unwrap();
        assert_eq!(read_some(from, 1), Ok(vec![]));
    });
    close(to).unwrap();
    close(copy).unwrap();
    wait_until_blocked(reader.pid);
    assert_eq!(events_now(from, POLLIN), 0, "the holder still has a writing end");
    gate.open();
    holder.succeeds();
    reader.succeeds();
    assert_eq!(events_now(from, POLLIN), POLLHUP);
}

fn blocked_reader_wakes_when_the_writer_dies() {
    let (from, to) = pipe();
    let writer = fork(|| wait_for_ever());
    close(to).unwrap();
    let reader = fork(|| assert_eq!(read_some(from, 1), Ok(vec![])));
    wait_until_blocked(reader.pid);
    writer.kill(libc::SIGKILL);
    reader.succeeds();
    assert_eq!(writer.wait(), Status::Killed(libc::SIGKILL));
}

fn write_without_reader_is_epipe_and_sigpipe() {
    let (from, to) = pipe();
    close(from).unwrap();
    catch(libc::SIGPIPE, 0);
    assert_eq!(write(to, b"x"), Err(EPIPE));
    assert_eq!(times_delivered(libc::SIGPIPE), 1);
    ignore(libc::SIGPIPE);
    assert_eq!(write(to, b"x"), Err(EPIPE));
    assert_eq!(write(to, b""), Ok(0), "writing nothing is fine");
}

fn sigpipe_kills_by_default() {
    let (from, to) = pipe();
    close(from).unwrap();
    let child = fork(|| {
        let _ = write(to, b"x");
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGPIPE));
}

/// Writes until the pipe takes no more; how much that was.
fn fill(to: Fd) -> usize {
    set_nonblocking(to);
    let mut total = 0;
    for len in [4096, 1] {
        while let Ok(count) = write(to, &vec![b'f'; len]) {
            total += count;
        }
    }
    let flags = fcntl(to, libc::F_GETFL, 0).unwrap();
    fcntl(to, libc::F_SETFL, flags & !(libc::O_NONBLOCK as usize)).unwrap();
    total
}

fn blocked_writer_wakes_with_epipe() {
    let (from, to) = pipe();
    fill(to);
    let writer = fork(|| {
        close(from).unwrap();
        ignore(libc::SIGPIPE);
        assert_eq!(write(to, b"x"), Err(EPIPE));
    });
    wait_until_blocked(writer.pid);
    close(from).unwrap();
    writer.succeeds();
}

fn nonblocking_read_of_an_empty_pipe() {
    let (from, to) = pipe();
    set_nonblocking(from);
    assert_eq!(read(from, &mut [0]), Err(EAGAIN));
    close(to).unwrap();
    assert_eq!(read(from, &mut [0]), Ok(0), "end of file is not EAGAIN");
}

fn nonblocking_write_to_a_full_pipe() {
    let (from, to) = pipe();
    fill(to);
    set_nonblocking(to);
    assert_eq!(write(to, b"x"), Err(EAGAIN));
    assert_eq!(events_now(to, POLLOUT), 0);
    read_some(from, 4096).unwrap();
    assert_eq!(events_now(to, POLLOUT), POLLOUT);
    assert_eq!(write(to, b"x"), Ok(1));
}

fn capacity_is_64_kib() {
    let (_from, to) = pipe();
    assert_eq!(fcntl(to, libc::F_GETPIPE_SZ, 0), Ok(65536));
    assert_eq!(fill(to), 65536);
}

fn set_size_rounds_and_refuses() {
    let (from, to) = pipe();
    assert_eq!(fcntl(to, libc::F_SETPIPE_SZ, 100_000), Ok(131_072));
    assert_eq!(fcntl(from, libc::F_GETPIPE_SZ, 0), Ok(131_072));
    assert_eq!(fill(to), 131_072);
    let (_from, to) = pipe();
    assert_eq!(fcntl(to, libc::F_SETPIPE_SZ, 1), Ok(4096));
    assert_eq!(fcntl(to, libc::F_SETPIPE_SZ, (1usize << 31) + 1), Err(EINVAL));
    let null = open(c"/dev/null", libc::O_RDWR).unwrap();
    assert_eq!(fcntl(null, libc::F_GETPIPE_SZ, 0), Err(EBADF));
    as_nobody(|| {
        assert_eq!(fcntl(to, libc::F_SETPIPE_SZ, 1 << 20), Ok(1 << 20));
        assert_eq!(fcntl(to, libc::F_SETPIPE_SZ, (1 << 20) + 1), Err(EPERM));
    });
}

fn shrinking_below_the_content_is_ebusy() {
    let (from, to) = pipe();
    for _ in 0..3 {
        write(to, &[1; 4096]).unwrap();
    }
    assert_eq!(fcntl(to, libc::F_SETPIPE_SZ, 4096), Err(EBUSY));
    assert_eq!(readable_bytes(from), 3 * 4096);
    assert_eq!(fcntl(to, libc::F_SETPIPE_SZ, 4 * 4096), Ok(4 * 4096));
    assert_eq!(readable_bytes(from), 3 * 4096);
}

fn growing_wakes_a_blocked_writer() {
    let (from, to) = pipe();
    fcntl(to, libc::F_SETPIPE_SZ, 4096).unwrap();
    fill(to);
    let writer = fork(|| assert_eq!(write(to, b"more"), Ok(4)));
    wait_until_blocked(writer.pid);
    fcntl(from, libc::F_SETPIPE_SZ, 8192).unwrap();
    writer.succeeds();
    assert_eq!(readable_bytes(from), 4100);
}

/// Writers with blocks of PIPE_BUF bytes each and a reader of odd sizes: blocks never mix.
fn small_writes_are_atomic() {
    const WRITERS: u8 = 4;
    const BLOCK: usize = 4096;
    let rounds = 100;
    let (from, to) = pipe();
    let writers: Vec<Child> = (0..WRITERS)
        .map(|id| {
            fork(|| {
                let block = [b'a' + id; BLOCK];
                for _ in 0..rounds {
                    assert_eq!(write(to, &block), Ok(BLOCK));
                }
            })
        })
        .collect();
    close(to).unwrap();
    let mut all = Vec::new();
    loop {
        let part = read_some(from, 3001).unwrap();
        if part.is_empty() {
            break;
        }
        all.extend(part);
    }
    writers.iter().for_each(Child::succeeds);
    assert_eq!(all.len(), usize::from(WRITERS) * rounds * BLOCK);
    for (number, block) in all.chunks(BLOCK).enumerate() {
        assert!(block.iter().all(|byte| *byte == block[0]), "block {number} is mixed");
    }
}

fn nonblocking_write_of_pipe_buf_is_all_or_nothing() {
    let (from, to) = pipe();
    fill(to);
    set_nonblocking(to);
    read_some(from, 4095).unwrap();
    assert_eq!(write(to, &[1; 4096]), Err(EAGAIN), "4095 bytes are free at most");
    assert_eq!(readable_bytes(from), 65536 - 4095);
    read_some(from, 4097).unwrap();
    assert_eq!(write(to, &[1; 4096]), Ok(4096));
}

fn nonblocking_large_write_is_partial() {
    let (from, to) = pipe();
    set_nonblocking(to);
    assert_eq!(write(to, &[7; 100_000]), Ok(65536));
    assert_eq!(write(to, &[7; 100_000]), Err(EAGAIN));
    assert_eq!(readable_bytes(from), 65536);
}

fn blocking_large_write_finishes_in_parts() {
    let (from, to) = pipe();
    let writer = fork(|| {
        let data: Vec<u8> = (0..300_000).map(|n| (n % 253) as u8).collect();
        assert_eq!(write(to, &data), Ok(300_000));
    });
    close(to).unwrap();
    wait_until_blocked(writer.pid);
    assert_eq!(readable_bytes(from), 65536);
    let all = read_to_end(from).unwrap();
    writer.succeeds();
    assert_eq!(all.len(), 300_000);
    assert!(all.iter().enumerate().all(|(n, byte)| *byte == (n % 253) as u8));
}

fn interrupted_large_write_is_partial() {
    let (from, to) = pipe();
    let writer = fork(|| {
        catch(libc::SIGUSR1, libc::SA_RESTART);
        assert_eq!(write(to, &[1; 100_000]), Ok(65536), "what was written counts, not the signal");
        assert_eq!(times_delivered(libc::SIGUSR1), 1);
    });
    wait_until_blocked(writer.pid);
    assert_eq!(readable_bytes(from), 65536);
    writer.kill(libc::SIGUSR1);
    writer.succeeds();
}

fn interrupted_read_is_eintr() {
    let (from, _to) = pipe();
    let reader = fork(|| {
        catch(libc::SIGUSR1, 0);
        assert_eq!(read(from, &mut [0]), Err(EINTR));
        assert_eq!(times_delivered(libc::SIGUSR1), 1, "the handler ran before read returned");
    });
    wait_until_blocked(reader.pid);
    reader.kill(libc::SIGUSR1);
    reader.succeeds();
}

fn read_restarts_after_sa_restart() {
    let (from, to) = pipe();
    let reader = fork(|| {
        catch(libc::SIGUSR1, libc::SA_RESTART);
        assert_eq!(read_some(from, 9), Ok(b"after".to_vec()));
        assert_eq!(times_delivered(libc::SIGUSR1), 2);
    });
    for _ in 0..2 {
        wait_until_blocked(reader.pid);
        reader.kill(libc::SIGUSR1);
        wait_until_signal_taken(reader.pid, libc::SIGUSR1);
    }
    wait_until_blocked(reader.pid);
    write(to, b"after").unwrap();
    reader.succeeds();
}

fn interrupted_write_is_eintr() {
    let (_from, to) = pipe();
    fill(to);
    let writer = fork(|| {
        catch(libc::SIGUSR1, 0);
        assert_eq!(write(to, b"x"), Err(EINTR));
    });
    wait_until_blocked(writer.pid);
    writer.kill(libc::SIGUSR1);
    writer.succeeds();
}

/// Several readers, one byte at a time: every byte reaches exactly one of them.
fn one_write_wakes_one_reader_and_no_byte_is_lost() {
    const READERS: usize = 5;
    const BYTES: usize = 500;
    let (from, to) = pipe();
    let (sums_from, sums_to) = pipe();
    let readers: Vec<Child> = (0..READERS)
        .map(|_| {
            fork(|| {
                close(to).unwrap();
                let mut count = 0u32;
                while read(from, &mut [0]).unwrap() == 1 {
                    count += 1;
                }
                write(sums_to, &count.to_ne_bytes()).unwrap();
            })
        })
        .collect();
    readers.iter().for_each(|reader| wait_until_blocked(reader.pid));
    for _ in 0..BYTES {
        write(to, b"x").unwrap();
    }
    close(to).unwrap();
    readers.iter().for_each(Child::succeeds);
    let counts = read_some(sums_from, 4 * READERS).unwrap();
    let total: u32 = counts.chunks(4).map(|four| u32::from_ne_bytes(four.try_into().unwrap())).sum();
    assert_eq!(total as usize, BYTES);
}

fn poll_tells_both_ends_states() {
    let (from, to) = pipe();
    assert_eq!(events_now(from, POLLIN | POLLOUT), 0);
    assert_eq!(events_now(to, POLLIN | POLLOUT), POLLOUT);
    write(to, b"x").unwrap();
    assert_eq!(events_now(from, POLLIN), POLLIN);
    close(to).unwrap();
    assert_eq!(events_now(from, POLLIN), POLLIN | POLLHUP);
    let (from, to) = pipe();
    close(from).unwrap();
    assert_eq!(events_now(to, POLLOUT), POLLOUT | POLLERR);
}

fn fionread_counts_bytes() {
    let (from, to) = pipe();
    assert_eq!(readable_bytes(from), 0);
    write(to, b"12345").unwrap();
    assert_eq!(readable_bytes(from), 5);
    assert_eq!(readable_bytes(to), 5);
}

fn pipes_cannot_seek() {
    let (from, to) = pipe();
    write(to, b"x").unwrap();
    assert_eq!(lseek(from, 0, libc::SEEK_CUR), Err(ESPIPE));
    assert_eq!(pread(from, &mut [0], 0), Err(ESPIPE));
    assert_eq!(pwrite(to, b"x", 0), Err(ESPIPE));
    assert_eq!(syscall!(SYS_ftruncate, to, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_fsync, to), Err(EINVAL));
    assert_eq!(map(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, from, 0), Err(ENODEV));
}

fn pipe2_flags() {
    let (from, to) = pipe2(libc::O_CLOEXEC | libc::O_NONBLOCK).unwrap();
    for end in [from, to] {
        assert_eq!(fcntl(end, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
        assert_ne!(fcntl(end, libc::F_GETFL, 0).unwrap() & libc::O_NONBLOCK as usize, 0);
    }
    assert_eq!(fcntl(from, libc::F_GETFL, 0).unwrap() & 3, libc::O_RDONLY as usize);
    assert_eq!(fcntl(to, libc::F_GETFL, 0).unwrap() & 3, libc::O_WRONLY as usize);
    assert_eq!(pipe2(libc::O_APPEND), Err(EINVAL));
    assert_eq!(pipe2(1 << 30), Err(EINVAL));
}

fn pipe_to_a_bad_pointer_opens_nothing() {
    let next = dup(1).unwrap();
    close(next).unwrap();
    assert_eq!(syscall!(SYS_pipe2, 8, 0), Err(EFAULT));
    assert_eq!(dup(1), Ok(next), "no descriptor was left behind");
}

fn fault_in_the_middle_of_a_write_keeps_the_first_part() {
    let memory = map_anonymous(2 * PAGE);
    unmap(memory + PAGE, PAGE).unwrap();
    poke(memory + PAGE - 1, b'z');
    let (from, to) = pipe();
    // Linux copies page by page: the page that faults contributes nothing, or its first part.
    let result = syscall!(SYS_write, to, memory + PAGE - 10, 20);
    let arrived = readable_bytes(from);
    match result {
        Ok(count) => assert!(count == 10 && arrived == 10, "{count} reported, {arrived} arrived"),
        Err(errno) => assert!(errno == EFAULT && arrived == 0, "{errno:?}, {arrived} arrived"),
    }
}

fn fault_on_read_loses_no_byte() {
    let (from, to) = pipe();
    write(to, b"precious").unwrap();
    assert_eq!(syscall!(SYS_read, from, 0, 8), Err(EFAULT));
    assert_eq!(read_some(from, 100), Ok(b"precious".to_vec()));
}

fn vectors_gather_and_scatter() {
    let (from, to) = pipe();
    let (mut one, mut two, mut none) = (*b"abc", *b"defgh", []);
    let parts = [iovec(&mut one), iovec(&mut none), iovec(&mut two)];
    assert_eq!(syscall!(SYS_writev, to, parts.as_ptr(), 3), Ok(8));
    let (mut first, mut second) = ([0; 2], [0; 10]);
    let parts = [iovec(&mut first), iovec(&mut second)];
    assert_eq!(syscall!(SYS_readv, from, parts.as_ptr(), 2), Ok(8));
    assert_eq!((&first, &second[..6]), (b"ab", &b"cdefgh"[..]));
}

fn stat_shows_a_fifo() {
    let (from, to) = pipe();
    let (one, other) = (fstat(from).unwrap(), fstat(to).unwrap());
    assert_eq!(one.st_mode & libc::S_IFMT, libc::S_IFIFO);
    assert_eq!(one.st_mode & 0o777, 0o600);
    assert_eq!((one.st_ino, one.st_dev), (other.st_ino, other.st_dev));
    assert_ne!(fstat(pipe().0).unwrap().st_ino, one.st_ino);
}

fn packet_mode_keeps_boundaries() {
    let (from, to) = pipe2(libc::O_DIRECT).unwrap();
    write(to, b"first").unwrap();
    write(to, b"second packet").unwrap();
    assert_eq!(read_some(from, 100), Ok(b"first".to_vec()));
    assert_eq!(read_some(from, 6), Ok(b"second".to_vec()));
    set_nonblocking(from);
    assert_eq!(read(from, &mut [0]), Err(EAGAIN), "the rest of a packet is dropped");
}

fn mkfifo(name: &std::ffi::CStr) {
    syscall!(SYS_mknodat, libc::AT_FDCWD, name, libc::S_IFIFO | 0o644, 0).expect("mknodat");
}

fn fifo_open_blocks_for_the_other_end() {
    mkfifo(c"fifo");
    let reader = fork(|| {
        let from = open(c"fifo", libc::O_RDONLY).unwrap();
        assert_eq!(read_to_end(from), Ok(b"through".to_vec()));
    });
    wait_until_blocked(reader.pid);
    let to = open(c"fifo", libc::O_WRONLY).unwrap();
    assert_eq!(write(to, b"through"), Ok(7));
    close(to).unwrap();
    reader.succeeds();
    let writer = fork(|| discard(open(c"fifo", libc::O_WRONLY).unwrap()));
    wait_until_blocked(writer.pid);
    open(c"fifo", libc::O_RDONLY).unwrap();
    writer.succeeds();
}

/// One side may have come and gone before the other, which waited for it, runs again.
fn fifo_sides_meet_however_short_they_stay() {
    mkfifo(c"fifo");
    let count = rounds(300);
    let (done_from, done_to) = pipe();
    let writer = fork(move || {
        for _ in 0..count {
            let to = open(c"fifo", libc::O_WRONLY).unwrap();
            write(to, b"x").unwrap();
            close(to).unwrap();
            // The next one is not to join this one's reader.
            assert_eq!(read_some(done_from, 1), Ok(b"d".to_vec()));
        }
    });
    for _ in 0..count {
        let from = open(c"fifo", libc::O_RDONLY).unwrap();
        assert_eq!(read_some(from, 9), Ok(b"x".to_vec()));
        close(from).unwrap();
        write(done_to, b"d").unwrap();
    }
    writer.succeeds();
}

fn fifo_nonblocking_opens() {
    mkfifo(c"fifo");
    assert_eq!(open(c"fifo", libc::O_WRONLY | libc::O_NONBLOCK), Err(ENXIO));
    let from = open(c"fifo", libc::O_RDONLY | libc::O_NONBLOCK).unwrap();
    assert_eq!(read(from, &mut [0]), Ok(0), "no writer: end of file, not EAGAIN");
    let to = open(c"fifo", libc::O_WRONLY | libc::O_NONBLOCK).unwrap();
    assert_eq!(read(from, &mut [0]), Err(EAGAIN));
    write(to, b"x").unwrap();
    assert_eq!(read(from, &mut [0]), Ok(1));
}

fn fifo_opened_for_both_never_blocks() {
    mkfifo(c"fifo");
    let both = open(c"fifo", libc::O_RDWR).unwrap();
    write(both, b"self").unwrap();
    assert_eq!(read_some(both, 9), Ok(b"self".to_vec()));
    assert_eq!(events_now(both, POLLIN | POLLOUT), POLLOUT);
}

fn fifo_can_be_used_again_after_everybody_left() {
    mkfifo(c"fifo");
    let both = open(c"fifo", libc::O_RDWR).unwrap();
    write(both, b"forgotten").unwrap();
    close(both).unwrap();
    let from = open(c"fifo", libc::O_RDONLY | libc::O_NONBLOCK).unwrap();
    assert_eq!(read(from, &mut [0]), Ok(0), "data does not outlive the last opener");
    let to = open(c"fifo", libc::O_WRONLY).unwrap();
    unlink(c"fifo").unwrap();
    write(to, b"still").unwrap();
    assert_eq!(read_some(from, 9), Ok(b"still".to_vec()));
}

fn reopening_a_pipe_through_proc() {
    let (from, to) = pipe();
    let again = open(&path(format!("/proc/self/fd/{to}")), libc::O_WRONLY).unwrap();
    close(to).unwrap();
    write(again, b"x").unwrap();
    assert_eq!(read_some(from, 2), Ok(b"x".to_vec()));
    assert_eq!(events_now(from, POLLIN), 0, "the reopened end is a writer");
    close(again).unwrap();
    assert_eq!(events_now(from, POLLIN), POLLHUP);
}
