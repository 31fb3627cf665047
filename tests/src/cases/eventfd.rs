//! Event counters (eventfd(2)).

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{POLLIN, POLLOUT};

pub(crate) const CASES: &[Case] = &[
    case!(counts),
    case!(semaphore),
    case!(limits),
    case!(wakes_a_reader),
    case!(semaphore_serves_one_reader_each),
    case!(room_goes_to_the_writer_that_it_is_enough_for),
    case!(poll_follows_the_count),
    case!(flags_and_description),
    case!(bad_buffers),
    case!(vectors_and_positions),
    case!(shared_over_fork_and_dup),
    case!(counts_exactly_under_contention),
];

fn counts() {
    let event = eventfd(3, libc::EFD_NONBLOCK);
    assert_eq!(event_add(event, 4), Ok(8));
    assert_eq!(event_take(event), Ok(7));
    assert_eq!(event_take(event), Err(EAGAIN));
    assert_eq!(events_now(event, POLLIN | POLLOUT), POLLOUT);
    assert_eq!(read(event, &mut [0; 7]), Err(EINVAL));
    assert_eq!(write(event, &[0; 7]), Err(EINVAL));
}

fn semaphore() {
    let event = eventfd(2, libc::EFD_SEMAPHORE | libc::EFD_NONBLOCK);
    assert_eq!((event_take(event), event_take(event), event_take(event)), (Ok(1), Ok(1), Err(EAGAIN)));
}

fn limits() {
    let event = eventfd(0, libc::EFD_NONBLOCK);
    assert_eq!(event_add(event, u64::MAX), Err(EINVAL));
    assert_eq!(event_add(event, u64::MAX - 1), Ok(8));
    assert_eq!(event_add(event, 1), Err(EAGAIN), "full");
    assert_eq!(event_add(event, 0), Ok(8));
    assert_eq!(events_now(event, POLLIN | POLLOUT), POLLIN);
    assert_eq!(event_take(event), Ok(u64::MAX - 1));
    assert_eq!(syscall!(SYS_eventfd2, 0, 1 << 20), Err(EINVAL));
}

fn wakes_a_reader() {
    let event = eventfd(0, 0);
    let reader = fork(|| assert_eq!(event_take(event), Ok(5)));
    wait_until_blocked(reader.pid);
    event_add(event, 5).unwrap();
    reader.succeeds();
    event_add(event, u64::MAX - 1).unwrap();
    let writer = fork(|| assert_eq!(event_add(event, 2), Ok(8)));
    wait_until_blocked(writer.pid);
    assert_eq!(event_take(event), Ok(u64::MAX - 1));
    writer.succeeds();
}

/// The first that waits needs more than there is.
fn room_goes_to_the_writer_that_it_is_enough_for() {
    let event = eventfd(0, libc::EFD_SEMAPHORE);
    event_add(event, u64::MAX - 1).unwrap();
    let large = fork(|| assert_eq!(event_add(event, 2), Ok(8)));
    wait_until_blocked(large.pid);
    let small = fork(|| assert_eq!(event_add(event, 1), Ok(8)));
    wait_until_blocked(small.pid);
    assert_eq!(event_take(event), Ok(1));
    small.succeeds();
    assert_eq!((event_take(event), event_take(event)), (Ok(1), Ok(1)));
    large.succeeds();
}

fn semaphore_serves_one_reader_each() {
    let event = eventfd(0, libc::EFD_SEMAPHORE);
    let readers: Vec<Child> = (0..4).map(|_| fork(|| assert_eq!(event_take(event), Ok(1)))).collect();
    readers.iter().for_each(|reader| wait_until_blocked(reader.pid));
    event_add(event, 3).unwrap();
    event_add(event, 1).unwrap();
    readers.iter().for_each(Child::succeeds);
    assert_eq!(events_now(event, POLLIN), 0);
}

fn poll_follows_the_count() {
    let event = eventfd(0, 0);
    let every = POLLIN | POLLOUT | libc::POLLRDNORM | libc::POLLWRNORM | libc::POLLPRI;
    assert_eq!(events_now(event, every), POLLOUT, "no other names for the same");
    let poller = fork(|| assert_eq!(poll(&mut [pollfd(event, POLLIN)], -1), Ok(1)));
    wait_until_blocked(poller.pid);
    event_add(event, u64::MAX - 1).unwrap();
    poller.succeeds();
    assert_eq!(events_now(event, every), POLLIN);
    let poller = fork(|| assert_eq!(poll(&mut [pollfd(event, POLLOUT)], -1), Ok(1)));
    wait_until_blocked(poller.pid);
    event_take(event).unwrap();
    poller.succeeds();
}

fn flags_and_description() {
    let event = eventfd(0x1f, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK | libc::EFD_SEMAPHORE);
    assert_eq!(fcntl(event, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    assert_eq!(fcntl(event, libc::F_GETFL, 0), Ok((libc::O_RDWR | libc::O_NONBLOCK) as usize));
    let old = syscall!(SYS_eventfd, 1).unwrap() as Fd;
    assert_eq!(
        (fcntl(old, libc::F_GETFD, 0), fcntl(old, libc::F_GETFL, 0)),
        (Ok(0), Ok(libc::O_RDWR as usize))
    );
    let info = text(&path(format!("/proc/self/fdinfo/{event}"))).unwrap();
    let line = info.lines().find(|line| line.starts_with("eventfd-count:")).expect("the count");
    assert_eq!(line, "eventfd-count:               1f");
    let link = std::fs::read_link(format!("/proc/self/fd/{event}")).unwrap();
    assert_eq!(link.to_str(), Some("anon_inode:[eventfd]"));
}

fn bad_buffers() {
    let event = eventfd(5, libc::EFD_NONBLOCK);
    assert_eq!(syscall!(SYS_write, event, 8, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_write, event, 8, 7), Err(EINVAL), "the length is looked at first");
    assert_eq!(syscall!(SYS_read, event, 8, 7), Err(EINVAL));
    assert_eq!(syscall!(SYS_read, event, 8, 8), Err(EFAULT));
    // A page that is there only in the program's mind is brought in.
    let fresh = map_anonymous(PAGE);
    let again = eventfd(9, 0);
    assert_eq!(syscall!(SYS_read, again, fresh, 8), Ok(8));
    assert_eq!(peek(fresh), 9);
}

fn vectors_and_positions() {
    let event = eventfd(0x0102_0304, 0);
    let (mut low, mut high) = ([0; 4], [0; 12]);
    let parts = [iovec(&mut low), iovec(&mut high)];
    assert_eq!(syscall!(SYS_readv, event, &parts, 2), Ok(8));
    assert_eq!((low, high[0]), ([4, 3, 2, 1], 0));
    assert_eq!(pread(event, &mut [0; 8], 0), Err(ESPIPE));
    assert_eq!(lseek(event, 99, libc::SEEK_SET), Ok(0), "allowed, and without effect");
    assert_eq!(syscall!(SYS_ftruncate, event, 0), Err(EINVAL));
    let mut count = 0;
    assert_eq!(ioctl(event, libc::FIONREAD, &mut count), Err(ENOTTY));
}

fn shared_over_fork_and_dup() {
    let event = eventfd(0, 0);
    let copy = dup(event).unwrap();
    fork(|| {
        event_add(event, 2).unwrap();
        close(event).unwrap();
        event_add(copy, 3).unwrap();
    })
    .succeeds();
    assert_eq!(event_take(copy), Ok(5));
}

/// Four writers and four readers; what is taken is what was added.
fn counts_exactly_under_contention() {
    let event = eventfd(0, 0);
    let rounds = rounds(500);
    let writers: Vec<Child> = (0..4)
        .map(|_| fork(|| (0..rounds).for_each(|round| assert_eq!(event_add(event, round % 3 + 1), Ok(8)))))
        .collect();
    let total: u64 = 4 * (0..rounds).map(|round| round % 3 + 1).sum::<u64>();
    let taken = map_shared(PAGE);
    let readers: Vec<Child> = (0..4)
        .map(|_| {
            fork(|| {
                loop {
                    let value = event_take(event).unwrap();
                    if value > total {
                        break;
                    }
                    let value = u32::try_from(value).unwrap();
                    word_at(taken).fetch_add(value, std::sync::atomic::Ordering::SeqCst);
                }
            })
        })
        .collect();
    writers.iter().for_each(Child::succeeds);
    wait_until(|| u64::from(word_at(taken).load(std::sync::atomic::Ordering::SeqCst)) == total);
    for reader in &readers {
        assert_eq!(events_now(event, POLLIN), 0, "nothing is left, nothing was taken twice");
        event_add(event, u64::MAX - 2).unwrap();
        let _ = reader;
        wait_until(|| events_now(event, POLLIN) == 0);
    }
    readers.iter().for_each(Child::succeeds);
}
