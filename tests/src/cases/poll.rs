//! Waiting for several descriptors: poll, select and their relatives (poll(2), select(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, SIGUSR1};

pub(crate) const CASES: &[Case] = &[
    case!(poll_returns_what_is_ready),
    case!(poll_of_a_bad_descriptor_is_pollnval),
    case!(poll_negative_descriptors_are_skipped),
    case!(poll_blocks_until_ready),
    case!(poll_wakes_on_hang_up),
    case!(poll_timeouts),
    case!(poll_regular_files_are_always_ready),
    case!(poll_same_descriptor_twice),
    case!(poll_errors),
    case!(poll_after_close_by_another_thread),
    case!(poll_many_descriptors),
    case!(poll_several_pollers_all_wake),
    case!(ppoll_swaps_the_mask),
    case!(ppoll_writes_the_remaining_time),
    case!(ppoll_argument_errors),
    case!(select_basics),
    case!(select_reports_and_clears),
    case!(select_errors),
    case!(select_writes_the_remaining_time),
    case!(select_large_sets),
    case!(pselect_swaps_the_mask),
    case!(poll_write_end_wakes_on_room),
    case!(poll_without_events_reports_hang_up),
    case!(poll_loses_no_wake),
];

fn poll_returns_what_is_ready() {
    let ((one_from, one_to), (two_from, _two_to)) = (pipe(), pipe());
    write(one_to, b"x").unwrap();
    let mut set = [pollfd(one_from, POLLIN), pollfd(two_from, POLLIN), pollfd(one_to, POLLOUT | POLLIN)];
    assert_eq!(poll(&mut set, -1), Ok(2));
    assert_eq!(set.map(|entry| entry.revents), [POLLIN, 0, POLLOUT]);
    read_some(one_from, 1).unwrap();
    assert_eq!(poll(&mut set[..2], 0), Ok(0));
    assert_eq!(set[0].revents, 0, "written even when nothing is ready");
}

fn poll_of_a_bad_descriptor_is_pollnval() {
    let mut set = [pollfd(700, POLLIN), pollfd(701, 0)];
    assert_eq!(poll(&mut set, -1), Ok(2), "no error, and it does not block");
    assert_eq!(set.map(|entry| entry.revents), [POLLNVAL, POLLNVAL]);
    assert_eq!(events_now(open(c".", libc::O_PATH).unwrap(), POLLIN), POLLNVAL);
}

fn poll_negative_descriptors_are_skipped() {
    let (from, to) = pipe();
    write(to, b"x").unwrap();
    let mut set = [pollfd(-1, POLLIN), pollfd(from, POLLIN), pollfd(-5, POLLIN)];
    set[0].revents = 77;
    assert_eq!(poll(&mut set, -1), Ok(1));
    assert_eq!(set.map(|entry| entry.revents), [0, POLLIN, 0]);
    assert_eq!(poll(&mut [pollfd(-1, POLLIN)], 1), Ok(0));
}

fn poll_blocks_until_ready() {
    let (from, to) = pipe();
    let poller = fork(|| {
        let mut set = [pollfd(from, POLLIN)];
        assert_eq!(poll(&mut set, -1), Ok(1));
        assert_eq!(set[0].revents, POLLIN);
    });
    wait_until_blocked(poller.pid);
    write(to, b"x").unwrap();
    poller.succeeds();
}

fn poll_wakes_on_hang_up() {
    let (from, to) = pipe();
    let poller = fork(|| {
        close(to).unwrap();
        let mut set = [pollfd(from, 0)];
        assert_eq!(poll(&mut set, -1), Ok(1));
        assert_eq!(set[0].revents, POLLHUP, "hang-up comes unasked");
    });
    wait_until_blocked(poller.pid);
    close(to).unwrap();
    poller.succeeds();
}

fn poll_timeouts() {
    let (from, _to) = pipe();
    let before = monotonic();
    assert_eq!(poll(&mut [pollfd(from, POLLIN)], 10), Ok(0));
    assert!(monotonic() - before >= 10_000_000);
    assert_eq!(poll(&mut [], 1), Ok(0), "nothing to wait for is a sleep");
    assert_eq!(poll(&mut [pollfd(from, POLLIN)], 0), Ok(0));
}

fn poll_regular_files_are_always_ready() {
    let file = create_open(c"file");
    assert_eq!(events_now(file, POLLIN | POLLOUT), POLLIN | POLLOUT);
    let null = open(c"/dev/null", libc::O_RDWR).unwrap();
    assert_eq!(events_now(null, POLLIN | POLLOUT), POLLIN | POLLOUT);
    let folder = open(c".", libc::O_RDONLY).unwrap();
    assert_eq!(events_now(folder, POLLIN), POLLIN);
}

fn poll_same_descriptor_twice() {
    let (from, to) = pipe();
    let poller = fork(|| {
        let mut set = [pollfd(from, POLLIN), pollfd(from, POLLIN), pollfd(from, 0)];
        assert_eq!(poll(&mut set, -1), Ok(2));
        assert_eq!(set.map(|entry| entry.revents), [POLLIN, POLLIN, 0]);
    });
    wait_until_blocked(poller.pid);
    write(to, b"x").unwrap();
    poller.succeeds();
}

fn poll_errors() {
    assert_eq!(syscall!(SYS_poll, 8, 1, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_poll, 0, 0, 0), Ok(0));
    let limit = {
        let mut limits = [0u64; 2];
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, &mut limits).unwrap();
        limits[0]
    };
    assert_eq!(syscall!(SYS_poll, 0, limit + 1, 0), Err(EINVAL));
}

fn poll_after_close_by_another_thread() {
    // The open file stays alive for the poll, which wakes; but the number, looked at again, is gone.
    let (from, to) = pipe();
    let poller = sleeper(move || {
        let mut set = [pollfd(from, POLLIN)];
        (poll(&mut set, -1), set[0].revents)
    });
    close(from).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(poller.join().unwrap(), (Ok(1), POLLNVAL));
}

fn poll_many_descriptors() {
    let pipes: Vec<(Fd, Fd)> = (0..400).map(|_| pipe()).collect();
    let mut set: Vec<libc::pollfd> = pipes.iter().map(|(from, _)| pollfd(*from, POLLIN)).collect();
    assert_eq!(poll(&mut set, 0), Ok(0));
    for index in [0, 1, 63, 64, 255, 399] {
        write(pipes[index].1, b"x").unwrap();
    }
    assert_eq!(poll(&mut set, -1), Ok(6));
    let ready: Vec<usize> = (0..400).filter(|index| set[*index].revents != 0).collect();
    assert_eq!(ready, [0, 1, 63, 64, 255, 399]);
    let poller = fork(|| {
        let mut quiet: Vec<libc::pollfd> =
            pipes[100..200].iter().map(|(from, _)| pollfd(*from, POLLIN)).collect();
        assert_eq!(poll(&mut quiet, -1), Ok(1));
        assert_eq!(quiet[50].revents, POLLIN);
    });
    wait_until_blocked(poller.pid);
    write(pipes[150].1, b"x").unwrap();
    poller.succeeds();
}

fn poll_several_pollers_all_wake() {
    let (from, to) = pipe();
    let pollers: Vec<Child> =
        (0..5).map(|_| fork(|| assert_eq!(poll(&mut [pollfd(from, POLLIN)], -1), Ok(1)))).collect();
    pollers.iter().for_each(|poller| wait_until_blocked(poller.pid));
    write(to, b"x").unwrap();
    pollers.iter().for_each(Child::succeeds);
}

fn ppoll_swaps_the_mask() {
    let (from, _to) = pipe();
    let child = fork(|| {
        catch(SIGUSR1, 0);
        block(&[SIGUSR1]);
        let mut set = [pollfd(from, POLLIN)];
        assert_eq!(syscall!(SYS_ppoll, set.as_mut_ptr(), 1, 0, &NO_SIGNALS, 8), Err(EINTR));
        assert_eq!(times_delivered(SIGUSR1), 1);
        assert_eq!(deliveries()[0].mask, mask_of(&[SIGUSR1]), "only the handler's own");
        assert_eq!(current_mask(), mask_of(&[SIGUSR1]));
    });
    wait_until_blocked(child.pid);
    child.kill(SIGUSR1);
    child.succeeds();
    // When something is ready, a pending signal stays pending behind the mask.
    let (from, to) = pipe();
    write(to, b"x").unwrap();
    catch(SIGUSR1, 0);
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    let mut set = [pollfd(from, POLLIN)];
    assert_eq!(syscall!(SYS_ppoll, set.as_mut_ptr(), 1, 0, &NO_SIGNALS, 8), Ok(1));
    assert_eq!(times_delivered(SIGUSR1), 0);
    assert_eq!(pending(), mask_of(&[SIGUSR1]));
}

fn ppoll_writes_the_remaining_time() {
    let mut time = milliseconds(5);
    assert_eq!(syscall!(SYS_ppoll, 0, 0, &mut time, 0, 8), Ok(0));
    assert_eq!(nanoseconds(time), 0);
    let (from, to) = pipe();
    write(to, b"x").unwrap();
    let mut time = milliseconds(100_000);
    let mut set = [pollfd(from, POLLIN)];
    assert_eq!(syscall!(SYS_ppoll, set.as_mut_ptr(), 1, &mut time, 0, 8), Ok(1));
    assert!((1..=100_000_000_000).contains(&nanoseconds(time)));
}

fn ppoll_argument_errors() {
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    assert_eq!(syscall!(SYS_ppoll, 0, 0, &bad, 0, 8), Err(EINVAL));
    let negative = libc::timespec { tv_sec: -1, tv_nsec: 0 };
    assert_eq!(syscall!(SYS_ppoll, 0, 0, &negative, 0, 8), Err(EINVAL));
    assert_eq!(syscall!(SYS_ppoll, 0, 0, 0, &NO_SIGNALS, 4), Err(EINVAL));
    assert_eq!(syscall!(SYS_ppoll, 0, 0, 8, 0, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_ppoll, 0, 0, 0, 8, 8), Err(EFAULT));
}

/// A descriptor set as the kernel has it.
type Set = [u64; 16];

fn set_of(fds: &[Fd]) -> Set {
    let mut set = [0; 16];
    fds.iter().for_each(|fd| set[*fd as usize / 64] |= 1 << (fd % 64));
    set
}

fn select(count: i32, sets: [Option<&mut Set>; 3], time: Option<&mut libc::timeval>) -> Sys<usize> {
    let [read, write, except] = sets.map(|set| set.map_or(0, |set| set.as_mut_ptr() as usize));
    let time = time.map_or(0, |time| std::ptr::from_mut(time) as usize);
    syscall!(SYS_select, count, read, write, except, time)
}

fn zero_time() -> libc::timeval {
    libc::timeval { tv_sec: 0, tv_usec: 0 }
}

fn select_basics() {
    let (from, to) = pipe();
    let (mut readers, mut writers) = (set_of(&[from]), set_of(&[to]));
    assert_eq!(select(to + 1, [Some(&mut readers), Some(&mut writers), None], Some(&mut zero_time())), Ok(1));
    assert_eq!((readers, writers), (set_of(&[]), set_of(&[to])));
    let selecter = fork(|| {
        let mut readers = set_of(&[from]);
        assert_eq!(select(from + 1, [Some(&mut readers), None, None], None), Ok(1));
        assert_eq!(readers, set_of(&[from]));
    });
    wait_until_blocked(selecter.pid);
    write(to, b"x").unwrap();
    selecter.succeeds();
}

fn select_reports_and_clears() {
    let ((one, one_to), (two, _)) = (pipe(), pipe());
    write(one_to, b"x").unwrap();
    let mut readers = set_of(&[one, two]);
    assert_eq!(select(two + 1, [Some(&mut readers), None, None], None), Ok(1));
    assert_eq!(readers, set_of(&[one]));
    // Descriptors at or above the count are not looked at (nor changed beyond its words).
    let mut readers = set_of(&[one]);
    assert_eq!(select(one, [Some(&mut readers), None, None], Some(&mut zero_time())), Ok(0));
    // A closed other end counts as readable and, on the writing side, writable.
    close(one_to).unwrap();
    read_some(one, 1).unwrap();
    let mut readers = set_of(&[one]);
    assert_eq!(select(one + 1, [Some(&mut readers), None, None], Some(&mut zero_time())), Ok(1));
}

fn select_errors() {
    let mut set = set_of(&[700]);
    assert_eq!(select(701, [Some(&mut set), None, None], Some(&mut zero_time())), Err(EBADF));
    assert_eq!(set, set_of(&[700]), "untouched on an error");
    assert_eq!(select(-1, [None, None, None], Some(&mut zero_time())), Err(EINVAL));
    assert_eq!(syscall!(SYS_select, 1, 8, 0, 0, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_select, 0, 0, 0, 0, 8), Err(EFAULT));
    let mut negative = libc::timeval { tv_sec: -1, tv_usec: 0 };
    assert_eq!(select(0, [None, None, None], Some(&mut negative)), Err(EINVAL));
    let mut carry = libc::timeval { tv_sec: 0, tv_usec: 1_000_000 };
    assert_eq!(select(0, [None, None, None], Some(&mut carry)), Ok(0), "a second in microseconds is fine");
}

fn select_writes_the_remaining_time() {
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 3000 };
    assert_eq!(select(0, [None, None, None], Some(&mut time)), Ok(0));
    assert_eq!((time.tv_sec, time.tv_usec), (0, 0));
    let (from, to) = pipe();
    write(to, b"x").unwrap();
    let mut time = libc::timeval { tv_sec: 100, tv_usec: 0 };
    select(from + 1, [Some(&mut set_of(&[from])), None, None], Some(&mut time)).unwrap();
    assert!((1..=100).contains(&(time.tv_sec + i64::from(time.tv_usec > 0))));
}

fn select_large_sets() {
    let (from, to) = pipe();
    let high = fcntl(from, libc::F_DUPFD, 800).unwrap() as Fd;
    write(to, b"x").unwrap();
    let mut readers = set_of(&[high]);
    assert_eq!(select(1024, [Some(&mut readers), None, None], Some(&mut zero_time())), Ok(1));
    assert_eq!(readers, set_of(&[high]));
}

fn pselect_swaps_the_mask() {
    let child = fork(|| {
        catch(SIGUSR1, libc::SA_RESTART);
        block(&[SIGUSR1]);
        let mask = NO_SIGNALS;
        let argument = [&raw const mask as usize, 8];
        assert_eq!(syscall!(SYS_pselect6, 0, 0, 0, 0, 0, &argument), Err(EINTR));
        assert_eq!(times_delivered(SIGUSR1), 1);
        assert_eq!(current_mask(), mask_of(&[SIGUSR1]));
        let wrong_size = [&raw const mask as usize, 4];
        assert_eq!(syscall!(SYS_pselect6, 0, 0, 0, 0, 0, &wrong_size), Err(EINVAL));
    });
    wait_until_blocked(child.pid);
    child.kill(SIGUSR1);
    child.succeeds();
}

fn poll_write_end_wakes_on_room() {
    let (from, to) = pipe();
    write(to, &[0; 65536]).unwrap();
    let poller = fork(|| {
        let mut set = [pollfd(to, POLLOUT)];
        assert_eq!(poll(&mut set, -1), Ok(1));
        assert_eq!(set[0].revents, POLLOUT);
    });
    wait_until_blocked(poller.pid);
    read_some(from, PAGE).unwrap();
    poller.succeeds();
}

fn poll_without_events_reports_hang_up() {
    let (from, to) = pipe();
    close(from).unwrap();
    assert_eq!(events_now(to, 0), POLLERR);
    let (from, to) = pipe();
    close(to).unwrap();
    assert_eq!(events_now(from, 0), POLLHUP);
}

/// A producer that wakes the poller at any moment; not one of a thousand tokens may get stuck.
fn poll_loses_no_wake() {
    let ((ping_from, ping_to), (pong_from, pong_to)) = (pipe(), pipe());
    let echo = fork(|| {
        for _ in 0..1000 {
            poll(&mut [pollfd(ping_from, POLLIN)], -1).unwrap();
            assert_eq!(read(ping_from, &mut [0]), Ok(1));
            write(pong_to, b"o").unwrap();
        }
    });
    for round in 0..1000 {
        write(ping_to, b"i").unwrap();
        let timeout = if round % 2 == 0 { -1 } else { 60_000 };
        assert_eq!(poll(&mut [pollfd(pong_from, POLLIN), pollfd(ping_from, 0)], timeout), Ok(1));
        assert_eq!(read(pong_from, &mut [0]), Ok(1));
    }
    echo.succeeds();
}
