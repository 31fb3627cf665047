//! What epoll reports, to whom, and when (epoll(7), epoll_wait(2)).

use crate::harness::{Case, case, or_skip};
use crate::sys::*;
use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP, EPOLLIN,
    EPOLLONESHOT, EPOLLOUT, POLLIN, POLLOUT, SIGUSR1,
};

pub(crate) const CASES: &[Case] = &[
    case!(level_triggered),
    case!(edge_triggered),
    case!(oneshot),
    case!(blocks_and_times_out),
    case!(round_robin),
    case!(hang_up_and_error_come_unasked),
    case!(edge_of_what_is_ready_already),
    case!(edge_for_room_to_write),
    case!(edges_go_to_one_waiter),
    case!(oneshot_is_deaf_until_modified),
    case!(exclusive_wakes_one_after_the_other),
    case!(polled_and_selected),
    case!(two_waiters_two_items),
    case!(order_of_argument_errors),
    case!(records_are_packed),
    case!(fault_loses_nothing),
    case!(fault_after_the_first_record),
    case!(pwait_swaps_the_mask),
    case!(pwait2_takes_nanoseconds),
    case!(instance_as_a_descriptor),
    case!(stale_readiness_is_not_reported),
];

fn level_triggered() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 7).unwrap();
    epoll_control(epoll, EPOLL_CTL_ADD, to, EPOLLIN, 8).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), []);
    write(to, b"xy").unwrap();
    for _ in 0..3 {
        assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 7)], "as long as there is something to read");
    }
    read_some(from, 2).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), []);
    close(to).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLHUP, 7)]);
}

fn edge_triggered() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLET, 1).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)]);
    assert_eq!(epoll_wait(epoll, 10, 0), [], "told once");
    write(to, b"y").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)], "news, although it never was empty");
    epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN | EPOLLET, 2).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 2)], "MOD looks again");
}

fn oneshot() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLONESHOT, 1).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)]);
    write(to, b"y").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [], "disarmed");
    epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN | EPOLLONESHOT, 1).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)]);
}

fn blocks_and_times_out() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 1).unwrap();
    let before = monotonic();
    assert_eq!(epoll_wait(epoll, 1, 5), []);
    assert!(monotonic() - before >= 5_000_000);
    let waiter = fork(|| assert_eq!(epoll_wait(epoll, 1, -1), [(EPOLLIN, 1)]));
    wait_until_blocked(waiter.pid);
    write(to, b"x").unwrap();
    waiter.succeeds();
}

fn round_robin() {
    let epoll = epoll_create();
    for number in 0..5 {
        let (from, to) = pipe();
        epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, number).unwrap();
        write(to, b"x").unwrap();
    }
    let order: Vec<u64> = (0..10).map(|_| epoll_wait(epoll, 1, 0)[0].1).collect();
    let mut first: Vec<u64> = order[..5].to_vec();
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2, 3, 4], "nobody starves: {order:?}");
    assert_eq!(order[..5], order[5..]);
}

fn hang_up_and_error_come_unasked() {
    let (epoll, (from, to), (other_from, other_to)) = (epoll_create(), pipe(), pipe());
    epoll_add(epoll, from, 0, 1);
    epoll_add(epoll, other_to, EPOLLET, 2);
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [], "data was not asked for");
    close(to).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLHUP, 1)]);
    close(other_from).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLHUP, 1), (EPOLLERR, 2)]);
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLHUP, 1)]);
}

fn edge_of_what_is_ready_already() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    write(to, b"x").unwrap();
    epoll_add(epoll, from, EPOLLIN | EPOLLET, 1);
    assert_eq!((epoll_wait(epoll, 10, 0), epoll_wait(epoll, 10, 0)), (vec![(EPOLLIN, 1)], vec![]));
    read_some(from, 1).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), []);
    write(to, b"y").unwrap();
    read_some(from, 1).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [], "an edge that is over before anybody looked");
}

fn edge_for_room_to_write() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_add(epoll, to, EPOLLOUT | EPOLLET, 1);
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLOUT, 1)]);
    write(to, &[0; 65536]).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), []);
    read_some(from, 65536).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLOUT, 1)]);
}

fn edges_go_to_one_waiter() {
    let (epoll, event, done) = (epoll_create(), eventfd(0, 0), eventfd(0, 0));
    epoll_add(epoll, event, EPOLLIN | EPOLLET, 1);
    let waiters: Vec<Child> = (0..3)
        .map(|_| {
            fork(|| {
                assert_eq!(epoll_wait(epoll, 4, -1), [(EPOLLIN, 1)]);
                event_add(done, 1).unwrap();
            })
        })
        .collect();
    waiters.iter().for_each(|waiter| wait_until_blocked(waiter.pid));
    for round in 1..=3 {
        event_add(event, 1).unwrap();
        assert_eq!(event_take(done), Ok(1));
        let left = waiters.iter().filter(|waiter| state_of(waiter.pid) != Ok(b'Z')).count();
        assert!(left >= 3 - round, "one edge woke several");
    }
    waiters.iter().for_each(Child::succeeds);
}

fn oneshot_is_deaf_until_modified() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_add(epoll, from, EPOLLIN | EPOLLONESHOT, 1);
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)]);
    close(to).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [], "not even a hang-up");
    epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLONESHOT, 2).unwrap();
    assert_eq!((epoll_wait(epoll, 10, 0), epoll_wait(epoll, 10, 0)), (vec![(EPOLLHUP, 2)], vec![]));
}

fn exclusive_wakes_one_after_the_other() {
    let (event, done) = (eventfd(0, 0), eventfd(0, 0));
    let waiters: Vec<Child> = (0..4)
        .map(|_| {
            fork(|| {
                let epoll = epoll_create();
                epoll_add(epoll, event, EPOLLIN | EPOLLEXCLUSIVE, 1);
                assert_eq!(epoll_wait(epoll, 1, -1), [(EPOLLIN, 1)]);
                event_add(done, 1).unwrap();
            })
        })
        .collect();
    waiters.iter().for_each(|waiter| wait_until_blocked(waiter.pid));
    for _ in 0..4 {
        event_add(event, 1).unwrap();
        event_take(done).unwrap();
    }
    waiters.iter().for_each(Child::succeeds);
}

fn polled_and_selected() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_add(epoll, from, EPOLLIN, 1);
    let every = POLLIN | POLLOUT | libc::POLLRDNORM;
    assert_eq!(events_now(epoll, every), 0);
    let poller = fork(|| {
        let mut set = [pollfd(epoll, POLLIN)];
        assert_eq!((poll(&mut set, -1), set[0].revents), (Ok(1), POLLIN));
    });
    wait_until_blocked(poller.pid);
    write(to, b"x").unwrap();
    poller.succeeds();
    assert_eq!(events_now(epoll, every), POLLIN | libc::POLLRDNORM);
    let mut set = [0u64; 16];
    set[epoll as usize / 64] = 1 << (epoll % 64);
    assert_eq!(syscall!(SYS_select, epoll + 1, &mut set, 0, 0, 0), Ok(1));
    read_some(from, 1).unwrap();
    assert_eq!(events_now(epoll, every), 0);
}

fn two_waiters_two_items() {
    let (epoll, one, two) = (epoll_create(), eventfd(0, 0), eventfd(0, 0));
    epoll_add(epoll, one, EPOLLIN | EPOLLET, 1);
    epoll_add(epoll, two, EPOLLIN | EPOLLET, 2);
    let waiters = [epoll_waiter(epoll, 1), epoll_waiter(epoll, 1)];
    event_add(one, 1).unwrap();
    event_add(two, 1).unwrap();
    let mut found: Vec<(i32, u64)> = waiters.into_iter().flat_map(|waiter| waiter.join().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, [(EPOLLIN, 1), (EPOLLIN, 2)]);
}

fn order_of_argument_errors() {
    let (epoll, (from, _to)) = (epoll_create(), pipe());
    let file = create_open(c"file");
    assert_eq!(syscall!(SYS_epoll_ctl, 700, EPOLL_CTL_ADD, 701, 8), Err(EFAULT), "the event first");
    assert_eq!(epoll_control(700, EPOLL_CTL_ADD, from, 0, 0), Err(EBADF));
    assert_eq!(syscall!(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, 701, 8), Err(EBADF), "DEL has no event");
    assert_eq!(epoll_control(from, 77, file, 0, 0), Err(EPERM), "then whether the file can wait");
    assert_eq!(epoll_control(from, 77, epoll, 0, 0), Err(EINVAL));
    let mut events = [0u8; 24];
    assert_eq!(syscall!(SYS_epoll_wait, from, &mut events, 1, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_wait, epoll, &mut events, 0, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_wait, epoll, &mut events, -1, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_wait, epoll, &mut events, i32::MAX / 12 + 1, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_wait, epoll, -1i64, 1, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_epoll_wait, epoll, 8, 1, 0), Ok(0), "nobody writes there");
}

fn records_are_packed() {
    let (epoll, one, two) = (epoll_create(), eventfd(1, 0), eventfd(1, 0));
    epoll_add(epoll, one, EPOLLIN, 0x0102_0304_0506_0708);
    epoll_add(epoll, two, EPOLLIN | EPOLLOUT, u64::MAX);
    let mut bytes = [0xaa_u8; 36];
    assert_eq!(syscall!(SYS_epoll_wait, epoll, &mut bytes, 3, 0), Ok(2));
    assert_eq!(bytes[..12], [1, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(bytes[12..24], [5, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    assert_eq!(bytes[24..], [0xaa; 12]);
}

fn fault_loses_nothing() {
    let (epoll, event, other) = (epoll_create(), eventfd(1, 0), eventfd(1, 0));
    epoll_add(epoll, event, EPOLLIN | EPOLLET, 1);
    epoll_add(epoll, other, EPOLLIN | EPOLLONESHOT, 2);
    assert_eq!(syscall!(SYS_epoll_wait, epoll, 8, 4, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_epoll_wait, epoll, 8, 4, -1), Err(EFAULT));
    let mut found = epoll_wait(epoll, 4, 0);
    found.sort_unstable();
    assert_eq!(found, [(EPOLLIN, 1), (EPOLLIN, 2)]);
    assert_eq!(epoll_wait(epoll, 4, 0), []);
}

fn fault_after_the_first_record() {
    let (epoll, event, other) = (epoll_create(), eventfd(1, 0), eventfd(1, 0));
    epoll_add(epoll, event, EPOLLIN | EPOLLET, 1);
    epoll_add(epoll, other, EPOLLIN | EPOLLET, 2);
    let at = map_anonymous(2 * PAGE);
    unmap(at + PAGE, PAGE).unwrap();
    assert_eq!(syscall!(SYS_epoll_wait, epoll, at + PAGE - 18, 2, 0), Ok(1), "as many as could be told");
    assert_eq!(epoll_wait(epoll, 4, 0).len(), 1);
    assert_eq!(epoll_wait(epoll, 4, 0), []);
    // Memory that was never touched is no fault.
    event_add(event, 1).unwrap();
    let fresh = map_anonymous(PAGE);
    assert_eq!(syscall!(SYS_epoll_wait, epoll, fresh, 1, 0), Ok(1));
    assert_eq!(peek(fresh + 4), 1);
}

fn pwait_swaps_the_mask() {
    let (epoll, event) = (epoll_create(), eventfd(0, 0));
    epoll_add(epoll, event, EPOLLIN, 1);
    let mut events = [0u8; 12];
    let child = fork(|| {
        catch(SIGUSR1, libc::SA_RESTART);
        block(&[SIGUSR1]);
        let mut events = [0u8; 12];
        let result = syscall!(SYS_epoll_pwait, epoll, &mut events, 1, -1, &NO_SIGNALS, 8);
        assert_eq!((result, times_delivered(SIGUSR1)), (Err(EINTR), 1));
        assert_eq!(current_mask(), mask_of(&[SIGUSR1]));
    });
    wait_until_blocked(child.pid);
    child.kill(SIGUSR1);
    child.succeeds();
    // When something is ready, the signal stays behind the mask.
    catch(SIGUSR1, 0);
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    event_add(event, 1).unwrap();
    assert_eq!(syscall!(SYS_epoll_pwait, epoll, &mut events, 1, -1, &NO_SIGNALS, 8), Ok(1));
    assert_eq!((times_delivered(SIGUSR1), pending()), (0, mask_of(&[SIGUSR1])));
    event_take(event).unwrap();
    assert_eq!(syscall!(SYS_epoll_pwait, epoll, &mut events, 1, -1, &NO_SIGNALS, 8), Err(EINTR));
    assert_eq!(times_delivered(SIGUSR1), 1);
    assert_eq!(syscall!(SYS_epoll_pwait, epoll, &mut events, 1, 0, &NO_SIGNALS, 4), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_pwait, epoll, &mut events, 1, 0, 8, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_epoll_pwait, epoll, &mut events, 1, 0, 0, 4), Ok(0), "without a mask, no size");
}

fn pwait2_takes_nanoseconds() {
    let (epoll, event) = (epoll_create(), eventfd(0, 0));
    epoll_add(epoll, event, EPOLLIN, 1);
    let mut events = [0u8; 12];
    let mut wait = |time: &libc::timespec| syscall!(SYS_epoll_pwait2, epoll, &mut events, 1, time, 0, 8);
    let before = monotonic();
    assert_eq!(or_skip(wait(&milliseconds(3))), 0);
    assert!(monotonic() - before >= 3_000_000);
    assert_eq!(wait(&milliseconds(0)), Ok(0));
    assert_eq!(wait(&libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 }), Err(EINVAL));
    assert_eq!(wait(&libc::timespec { tv_sec: -1, tv_nsec: 0 }), Err(EINVAL));
    event_add(event, 1).unwrap();
    assert_eq!(wait(&libc::timespec { tv_sec: i64::MAX, tv_nsec: 999_999_999 }), Ok(1));
    assert_eq!(syscall!(SYS_epoll_pwait2, epoll, &mut events, 1, 0, 0, 8), Ok(1));
    assert_eq!(syscall!(SYS_epoll_pwait2, epoll, &mut events, 1, 8, 0, 8), Err(EFAULT));
}

fn instance_as_a_descriptor() {
    let epoll = syscall!(SYS_epoll_create1, libc::EPOLL_CLOEXEC).unwrap() as Fd;
    assert_eq!(fcntl(epoll, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    assert_eq!(fcntl(epoll, libc::F_GETFL, 0), Ok(libc::O_RDWR as usize));
    assert_eq!(fcntl(epoll_create(), libc::F_GETFD, 0), Ok(0));
    assert!(syscall!(SYS_epoll_create, 1).is_ok());
    assert_eq!(syscall!(SYS_epoll_create, -1), Err(EINVAL));
    assert_eq!(read(epoll, &mut [0; 12]), Err(EINVAL));
    assert_eq!(write(epoll, &[0; 12]), Err(EINVAL));
    let link = std::fs::read_link(format!("/proc/self/fd/{epoll}")).unwrap();
    assert_eq!(link.to_str(), Some("anon_inode:[eventpoll]"));
}

fn stale_readiness_is_not_reported() {
    let epoll = epoll_create();
    let events: Vec<Fd> = (0..5).map(|_| eventfd(0, 0)).collect();
    for (number, event) in events.iter().enumerate() {
        epoll_add(epoll, *event, EPOLLIN, number as u64);
        event_add(*event, 1).unwrap();
    }
    assert_eq!(epoll_wait(epoll, 10, 0).len(), 5);
    for number in [0, 2, 4] {
        event_take(events[number]).unwrap();
    }
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1), (EPOLLIN, 3)]);
    assert_eq!(epoll_wait(epoll, 1, 0), [(EPOLLIN, 1)]);
    assert_eq!(epoll_wait(epoll, 1, 0), [(EPOLLIN, 3)]);
}
