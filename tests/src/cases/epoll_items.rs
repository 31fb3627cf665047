//! What epoll watches: items and their files, their changes, nests (epoll_ctl(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP, EPOLLIN,
    EPOLLONESHOT, EPOLLOUT, EPOLLRDHUP, EPOLLWAKEUP, POLLIN,
};

pub(crate) const CASES: &[Case] = &[
    case!(control_errors),
    case!(forgets_closed_files),
    case!(nests),
    case!(add_while_waiting),
    case!(oneshot_modified_by_another_thread),
    case!(exclusive_matrix),
    case!(wakeup_is_accepted),
    case!(depth_of_nests),
    case!(no_cycles),
    case!(nested_edges),
    case!(files_that_cannot_wait),
    case!(items_are_keyed_by_file_and_number),
    case!(items_live_as_long_as_the_file),
    case!(item_of_a_closed_number_cannot_be_named),
    case!(modify_wakes_a_waiter),
    case!(delete_while_waiting),
    case!(instance_closed_while_waiting),
    case!(many_items_one_ready),
    case!(description_lists_the_items),
    case!(shared_after_fork),
    case!(items_of_a_user_are_limited).vm(),
    case!(a_large_instance_is_closed),
    case!(paths_to_a_file_are_limited),
    case!(file_in_an_instance_with_many_paths),
    case!(half_closed_socket),
];

fn control_errors() {
    let (epoll, (from, _to)) = (epoll_create(), pipe());
    assert_eq!(epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN, 0), Err(ENOENT));
    assert_eq!(epoll_control(epoll, EPOLL_CTL_DEL, from, 0, 0), Err(ENOENT));
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 0).unwrap();
    assert_eq!(epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 0), Err(EEXIST));
    assert!(epoll_control(epoll, EPOLL_CTL_ADD, dup(from).unwrap(), EPOLLIN, 0).is_ok(), "another number");
    assert_eq!(epoll_control(epoll, EPOLL_CTL_ADD, 700, EPOLLIN, 0), Err(EBADF));
    assert_eq!(epoll_control(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN, 0), Err(EINVAL));
    assert_eq!(epoll_control(from, EPOLL_CTL_ADD, from, EPOLLIN, 0), Err(EINVAL));
    assert_eq!(epoll_control(epoll, 9, from, EPOLLIN, 0), Err(EINVAL));
    let file = create_open(c"file");
    assert_eq!(epoll_control(epoll, EPOLL_CTL_ADD, file, EPOLLIN, 0), Err(EPERM), "always ready: refused");
    assert_eq!(syscall!(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, pipe().0, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_epoll_wait, epoll, 0, 0, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_create1, 1), Err(EINVAL));
    assert_eq!(syscall!(SYS_epoll_create, 0), Err(EINVAL));
}

fn forgets_closed_files() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN, 1).unwrap();
    let copy = dup(from).unwrap();
    write(to, b"x").unwrap();
    close(from).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)], "the open file is still open");
    close(copy).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), []);
}

fn nests() {
    let (inner, outer, (from, to)) = (epoll_create(), epoll_create(), pipe());
    epoll_control(inner, EPOLL_CTL_ADD, from, EPOLLIN, 1).unwrap();
    epoll_control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 2).unwrap();
    assert_eq!(epoll_control(inner, EPOLL_CTL_ADD, outer, EPOLLIN, 3), Err(ELOOP));
    assert_eq!(epoll_wait(outer, 10, 0), []);
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(outer, 10, -1), [(EPOLLIN, 2)]);
    assert_eq!(events_now(inner, POLLIN), POLLIN);
    read_some(from, 1).unwrap();
    assert_eq!(epoll_wait(outer, 10, 0), []);
}

fn add_while_waiting() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    let waiter = epoll_waiter(epoll, 1);
    write(to, b"x").unwrap();
    epoll_control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLOUT, 9).unwrap();
    assert_eq!(waiter.join().unwrap(), [(EPOLLIN, 9)]);
}

fn oneshot_modified_by_another_thread() {
    let (epoll, event) = (epoll_create(), eventfd(1, 0));
    epoll_add(epoll, event, EPOLLIN | EPOLLONESHOT, 0);
    for round in 0..200 {
        assert_eq!(epoll_wait(epoll, 10, -1), [(EPOLLIN, round)]);
        std::thread::spawn(move || {
            epoll_control(epoll, EPOLL_CTL_MOD, event, EPOLLIN | EPOLLONESHOT, round + 1).unwrap();
        });
    }
}

fn exclusive_matrix() {
    let (epoll, (from, to), inner) = (epoll_create(), pipe(), epoll_create());
    let attempt = |operation, fd, events| epoll_control(epoll, operation, fd, events | EPOLLEXCLUSIVE, 0);
    assert_eq!(attempt(EPOLL_CTL_ADD, from, EPOLLIN | EPOLLONESHOT), Err(EINVAL));
    assert_eq!(attempt(EPOLL_CTL_ADD, from, EPOLLIN | EPOLLRDHUP), Err(EINVAL));
    assert_eq!(attempt(EPOLL_CTL_ADD, from, EPOLLIN | libc::EPOLLPRI), Err(EINVAL));
    assert_eq!(attempt(EPOLL_CTL_ADD, inner, EPOLLIN), Err(EINVAL));
    assert_eq!(attempt(EPOLL_CTL_MOD, from, EPOLLIN), Err(EINVAL), "even of no item");
    assert!(attempt(EPOLL_CTL_ADD, from, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLET).is_ok());
    assert_eq!(attempt(EPOLL_CTL_ADD, from, EPOLLIN), Err(EEXIST));
    assert_eq!(epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN, 0), Err(EINVAL), "it stays as it is");
    assert_eq!(epoll_control(epoll, EPOLL_CTL_MOD, to, EPOLLIN, 0), Err(ENOENT));
    assert_eq!(attempt(EPOLL_CTL_DEL, from, 0), Ok(0));
    assert_eq!(attempt(77, from, EPOLLIN), Err(EINVAL));
}

fn wakeup_is_accepted() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_add(epoll, from, EPOLLIN | EPOLLWAKEUP, 1);
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)]);
}

fn depth_of_nests() {
    let event = eventfd(0, 0);
    let chain: Vec<Fd> = (0..6).map(|_| epoll_create()).collect();
    epoll_add(chain[0], event, EPOLLIN, 0);
    for pair in chain[..5].windows(2) {
        epoll_add(pair[1], pair[0], EPOLLIN, 1);
    }
    assert_eq!(epoll_control(chain[5], EPOLL_CTL_ADD, chain[4], EPOLLIN, 0), Err(ELOOP), "a sixth one");
    event_add(event, 1).unwrap();
    assert_eq!(epoll_wait(chain[4], 10, -1), [(EPOLLIN, 1)], "through all five");
    // Taken apart in the middle, there is room again.
    epoll_control(chain[3], EPOLL_CTL_DEL, chain[2], 0, 0).unwrap();
    epoll_add(chain[5], chain[4], EPOLLIN, 1);
    assert_eq!(epoll_wait(chain[5], 10, 0), []);
}

fn no_cycles() {
    let chain: Vec<Fd> = (0..3).map(|_| epoll_create()).collect();
    assert_eq!(epoll_control(chain[0], EPOLL_CTL_ADD, chain[0], EPOLLIN, 0), Err(EINVAL));
    let copy = dup(chain[0]).unwrap();
    assert_eq!(epoll_control(chain[0], EPOLL_CTL_ADD, copy, EPOLLIN, 0), Err(EINVAL), "the same open file");
    epoll_add(chain[0], chain[1], EPOLLIN, 0);
    epoll_add(chain[1], chain[2], EPOLLIN, 0);
    assert_eq!(epoll_control(chain[2], EPOLL_CTL_ADD, chain[0], EPOLLIN, 0), Err(ELOOP));
    close(chain[1]).unwrap();
    epoll_add(chain[2], chain[0], EPOLLIN, 0);
}

fn nested_edges() {
    let (inner, outer, event) = (epoll_create(), epoll_create(), eventfd(0, 0));
    epoll_add(inner, event, EPOLLIN, 1);
    epoll_add(outer, inner, EPOLLIN | EPOLLET, 2);
    event_add(event, 1).unwrap();
    assert_eq!((epoll_wait(outer, 10, 0), epoll_wait(outer, 10, 0)), (vec![(EPOLLIN, 2)], vec![]));
    assert_eq!(epoll_wait(inner, 10, 0), [(EPOLLIN, 1)]);
    event_take(event).unwrap();
    // The inner one is not asked again before the next event.
    event_add(event, 1).unwrap();
    assert_eq!(epoll_wait(outer, 10, 0), [(EPOLLIN, 2)]);
    let waiting = epoll_waiter(outer, 10);
    event_add(event, 1).unwrap();
    assert_eq!(waiting.join().unwrap(), [(EPOLLIN, 2)]);
}

fn files_that_cannot_wait() {
    let epoll = epoll_create();
    let attempt = |fd| epoll_control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 0);
    assert_eq!(attempt(create_open(c"file")), Err(EPERM));
    assert_eq!(attempt(open(c".", libc::O_RDONLY).unwrap()), Err(EPERM));
    assert_eq!(attempt(open(c"/dev/null", libc::O_RDWR).unwrap()), Err(EPERM));
    assert_eq!(attempt(open(c".", libc::O_PATH).unwrap()), Err(EBADF));
    assert_eq!(epoll_control(epoll, EPOLL_CTL_DEL, open(c".", libc::O_RDONLY).unwrap(), 0, 0), Err(EPERM));
    let terminal = open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY).unwrap();
    assert!(attempt(terminal).is_ok());
}

fn items_are_keyed_by_file_and_number() {
    let (epoll, (from, to), (other_from, other_to)) = (epoll_create(), pipe(), pipe());
    epoll_add(epoll, from, EPOLLIN, 1);
    let copy = dup(from).unwrap();
    epoll_add(epoll, copy, EPOLLIN, 2);
    write(to, b"x").unwrap();
    let found = || {
        let mut found: Vec<u64> = epoll_wait(epoll, 10, 0).iter().map(|event| event.1).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(found(), [1, 2]);
    // The number names another file now; the old item lives on under the copy's file.
    dup2(other_from, from).unwrap();
    epoll_add(epoll, from, EPOLLIN, 3);
    write(other_to, b"y").unwrap();
    assert_eq!(found(), [1, 2, 3]);
    epoll_control(epoll, EPOLL_CTL_DEL, from, 0, 0).unwrap();
    assert_eq!(epoll_control(epoll, EPOLL_CTL_DEL, from, 0, 0), Err(ENOENT));
    assert_eq!(epoll_wait(epoll, 10, 0).len(), 2);
    close(copy).unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [], "both items go with the file");
}

fn items_live_as_long_as_the_file() {
    let (epoll, (from, to), gate) = (epoll_create(), pipe(), eventfd(0, 0));
    epoll_add(epoll, from, EPOLLIN, 1);
    let holder = fork(|| assert_eq!(event_take(gate), Ok(1)));
    close(from).unwrap();
    write(to, b"x").unwrap();
    assert_eq!(epoll_wait(epoll, 10, 0), [(EPOLLIN, 1)], "the child has the file");
    event_add(gate, 1).unwrap();
    holder.succeeds();
    assert_eq!(epoll_wait(epoll, 10, 0), []);
    ignore(libc::SIGPIPE);
    assert_eq!(write(to, b"x"), Err(EPIPE), "the item did not keep it open");
}

fn item_of_a_closed_number_cannot_be_named() {
    let (epoll, (from, _to)) = (epoll_create(), pipe());
    let copy = dup(from).unwrap();
    epoll_add(epoll, from, EPOLLIN, 1);
    close(from).unwrap();
    assert_eq!(epoll_control(epoll, EPOLL_CTL_DEL, from, 0, 0), Err(EBADF));
    assert_eq!(epoll_control(epoll, EPOLL_CTL_DEL, copy, 0, 0), Err(ENOENT));
    dup2(copy, from).unwrap();
    assert_eq!(epoll_control(epoll, EPOLL_CTL_DEL, from, 0, 0), Ok(0), "the same file at the same number");
}

fn modify_wakes_a_waiter() {
    let (epoll, (from, to)) = (epoll_create(), pipe());
    epoll_add(epoll, from, EPOLLOUT, 1);
    write(to, b"x").unwrap();
    let waiting = epoll_waiter(epoll, 10);
    epoll_control(epoll, EPOLL_CTL_MOD, from, EPOLLIN, 2).unwrap();
    assert_eq!(waiting.join().unwrap(), [(EPOLLIN, 2)]);
}

fn delete_while_waiting() {
    let (epoll, (from, to), event) = (epoll_create(), pipe(), eventfd(0, 0));
    epoll_add(epoll, from, EPOLLIN, 1);
    epoll_add(epoll, event, EPOLLIN, 2);
    let waiting = epoll_waiter(epoll, 10);
    epoll_control(epoll, EPOLL_CTL_DEL, from, 0, 0).unwrap();
    write(to, b"x").unwrap();
    close(from).unwrap();
    event_add(event, 1).unwrap();
    assert_eq!(waiting.join().unwrap(), [(EPOLLIN, 2)]);
}

fn instance_closed_while_waiting() {
    let (epoll, event) = (epoll_create(), eventfd(0, 0));
    epoll_add(epoll, event, EPOLLIN, 1);
    let waiting = epoll_waiter(epoll, 10);
    close(epoll).unwrap();
    event_add(event, 1).unwrap();
    assert_eq!(waiting.join().unwrap(), [(EPOLLIN, 1)]);
    assert_eq!(syscall!(SYS_epoll_wait, epoll, 0x1000, 1, 0), Err(EBADF));
}

fn many_items_one_ready() {
    let epoll = epoll_create();
    let events: Vec<Fd> = (0..900).map(|_| eventfd(0, 0)).collect();
    for (number, event) in events.iter().enumerate() {
        epoll_add(epoll, *event, EPOLLIN, number as u64);
    }
    assert_eq!(epoll_wait(epoll, 10, 0), []);
    for number in [0, 450, 899] {
        event_add(events[number], 1).unwrap();
        assert_eq!(epoll_wait(epoll, 1000, 0), [(EPOLLIN, number as u64)]);
        event_take(events[number]).unwrap();
    }
    events.iter().for_each(|event| discard(event_add(*event, 1)));
    let mut found: Vec<u64> = (0..9).flat_map(|_| epoll_wait(epoll, 100, 0)).map(|event| event.1).collect();
    found.sort_unstable();
    assert!(found.iter().copied().eq(0..900), "each in its turn");
}

fn description_lists_the_items() {
    let (epoll, event, (from, _to)) = (epoll_create(), eventfd(0, 0), pipe());
    epoll_add(epoll, event, EPOLLIN | EPOLLET, 0xabc);
    epoll_add(epoll, from, 0, 7);
    let info = text(&path(format!("/proc/self/fdinfo/{epoll}"))).unwrap();
    let lines: Vec<Vec<&str>> = info
        .lines()
        .filter(|line| line.starts_with("tfd:"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 2);
    let of = |fd: Fd| lines.iter().find(|line| line[1] == fd.to_string()).expect("a line for the item");
    assert_eq!(of(event)[2..7], ["events:", "80000019", "data:", "abc", "pos:0"]);
    let ino = format!("ino:{:x}", fstat(from).unwrap().st_ino);
    assert_eq!((of(from)[3], of(from)[5], of(from)[7]), ("18", "7", ino.as_str()));
}

fn shared_after_fork() {
    let (epoll, event) = (epoll_create(), eventfd(0, 0));
    fork(|| epoll_add(epoll, event, EPOLLIN, 5)).succeeds();
    event_add(event, 1).unwrap();
    assert_eq!(epoll_wait(epoll, 1, 0), [(EPOLLIN, 5)], "one set of items");
    assert_eq!(epoll_control(epoll, EPOLL_CTL_ADD, event, EPOLLIN, 0), Err(EEXIST));
}

/// Whoever made the instance pays, and gets it back.
fn items_of_a_user_are_limited() {
    let limit = c"/proc/sys/fs/epoll/max_user_watches";
    let before = text(limit).unwrap();
    let set = |value: &str| write(open(limit, libc::O_WRONLY).unwrap(), value.as_bytes()).map(drop);
    set("3").unwrap();
    let child = fork_as(4711, 4711, || {
        let epoll = epoll_create();
        let event = eventfd(0, 0);
        (0..2).for_each(|data| epoll_add(epoll, eventfd(0, 0), EPOLLIN, data));
        epoll_add(epoll, event, EPOLLIN, 2);
        let add = |fd: Fd| epoll_control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 3);
        assert_eq!((add(eventfd(0, 0)), add(event)), (Err(ENOSPC), Err(EEXIST)));
        close(event).unwrap();
        assert_eq!(add(eventfd(0, 0)), Ok(0));
    });
    let status = child.wait();
    set(before.trim()).unwrap();
    assert_eq!(status, Status::Exited(0));
    assert_eq!(set("-1"), Err(EINVAL));
}

/// What is left of an instance with many items is nothing, though its close does not wait for that.
fn a_large_instance_is_closed() {
    let epoll = epoll_create();
    let events: Vec<Fd> = (0..900).map(|_| eventfd(0, 0)).collect();
    events.iter().for_each(|event| epoll_add(epoll, *event, EPOLLIN, 1));
    close(epoll).unwrap();
    let again = epoll_create();
    epoll_add(again, events[0], EPOLLIN, 7);
    event_add(events[0], 1).unwrap();
    assert_eq!(epoll_wait(again, 4, -1), [(EPOLLIN, 7)]);
}

/// However many instances have a file: those that reach it through others are counted.
fn paths_to_a_file_are_limited() {
    let event = eventfd(0, 0);
    let direct: Vec<Fd> = (0..600).map(|_| epoll_create()).collect();
    direct.iter().for_each(|epoll| epoll_add(*epoll, event, EPOLLIN, 0));
    direct.into_iter().for_each(|epoll| close(epoll).unwrap());
    for (length, most) in [(2, 500), (3, 100), (4, 50), (5, 10)] {
        let event = eventfd(0, 0);
        let chain: Vec<Fd> = (1..length).map(|_| epoll_create()).collect();
        epoll_add(chain[0], event, EPOLLIN, 0);
        chain.windows(2).for_each(|pair| epoll_add(pair[1], pair[0], EPOLLIN, 0));
        let top = *chain.last().unwrap();
        let outer: Vec<Fd> = (0..=most).map(|_| epoll_create()).collect();
        outer[1..].iter().for_each(|outer| epoll_add(*outer, top, EPOLLIN, 0));
        assert_eq!(epoll_control(outer[0], EPOLL_CTL_ADD, top, EPOLLIN, 0), Err(EINVAL), "{length}");
        assert_eq!(epoll_control(outer[0], EPOLL_CTL_DEL, top, 0, 0), Err(ENOENT), "nothing is left of it");
        close(outer[1]).unwrap();
        epoll_add(outer[0], top, EPOLLIN, 3);
        event_add(event, 1).unwrap();
        assert_eq!(epoll_wait(outer[0], 2, -1), [(EPOLLIN, 3)]);
        let rest = chain.iter().chain(&outer[2..]).chain([&outer[0], &event]);
        rest.for_each(|fd| close(*fd).unwrap());
    }
}

fn file_in_an_instance_with_many_paths() {
    let (inner, event) = (epoll_create(), eventfd(1, 0));
    let outer: Vec<Fd> = (0..300).map(|_| epoll_create()).collect();
    for outer in &outer {
        epoll_add(*outer, inner, EPOLLIN, 0);
    }
    let number = dup(inner).unwrap();
    outer[..200].iter().for_each(|outer| epoll_add(*outer, number, EPOLLIN, 0));
    epoll_add(inner, event, EPOLLIN, 1);
    let copy = dup(event).unwrap();
    assert_eq!(epoll_control(inner, EPOLL_CTL_ADD, copy, EPOLLIN, 0), Err(EINVAL), "each item is a path");
    assert_eq!(epoll_wait(inner, 3, 0), [(EPOLLIN, 1)]);
    let other = eventfd(0, 0);
    epoll_add(inner, other, EPOLLIN, 2);
    // Without a file in it, an instance may be in any number of others.
    let empty = epoll_create();
    outer.iter().for_each(|outer| epoll_add(*outer, empty, EPOLLIN, 0));
    assert_eq!(epoll_control(outer[200], EPOLL_CTL_ADD, number, EPOLLIN, 0), Err(EINVAL));
}

fn half_closed_socket() {
    let (epoll, (one, other)) = (epoll_create(), socketpair(libc::SOCK_STREAM));
    epoll_add(epoll, one, EPOLLRDHUP | EPOLLET, 1);
    let second = epoll_create();
    epoll_add(second, one, EPOLLOUT, 2);
    assert_eq!(epoll_wait(epoll, 4, 0), []);
    let waiting = epoll_waiter(epoll, 4);
    shutdown(other, libc::SHUT_WR).unwrap();
    assert_eq!(waiting.join().unwrap(), [(EPOLLRDHUP, 1)]);
    assert_eq!(epoll_wait(epoll, 4, 0), []);
    assert_eq!(epoll_wait(second, 4, 0), [(EPOLLOUT, 2)], "it comes to those who ask");
    close(other).unwrap();
    assert_eq!(epoll_wait(epoll, 4, 0), [(EPOLLRDHUP | EPOLLHUP, 1)]);
    assert_eq!(epoll_wait(second, 4, 0), [(EPOLLOUT | EPOLLHUP, 2)]);
}
