//! What threads wait for and who could wake them: `/sys/kernel/waitgraph`, `/proc/<pid>/wait`.

use crate::harness::{Case, case};
use crate::sys::*;
use std::sync::atomic::Ordering::SeqCst;

pub(crate) const CASES: &[Case] = &[
    case!(deadlock_of_two_pipes_is_a_cycle).kairos(),
    case!(somebody_else_with_the_other_end_is_a_way_out).kairos(),
    case!(deadline_is_a_way_out).kairos(),
    case!(who_waits_for_a_cycle_is_stuck).kairos(),
    case!(sockets_and_channels_have_ends).kairos(),
    case!(epoll_and_poll_are_seen_through).kairos(),
    case!(parent_and_child_wait_for_each_other).kairos(),
    case!(whole_file_locks_have_holders).kairos(),
    case!(record_locks_have_holders).kairos(),
    case!(masters_and_slaves_of_terminals_wake_each_other).kairos(),
    case!(message_queues_have_senders_and_receivers).kairos(),
    case!(threads_of_one_memory_wake_its_futexes).kairos(),
    case!(owner_of_a_robust_lock_is_found).kairos(),
    case!(locks_that_name_their_owners_make_a_cycle).kairos(),
    case!(robust_locks_of_two_processes_make_a_cycle).kairos(),
    case!(names_keep_to_their_row).kairos(),
    case!(only_root_may_look).kairos(),
    case!(last_wake_is_told).kairos(),
];

/// The rows of the file, as words.
struct WaitGraph(String);

impl WaitGraph {
    fn read() -> WaitGraph {
        let text = text(c"/sys/kernel/waitgraph").expect("waitgraph");
        assert!(
            text.starts_with("schema=kairos_waitgraph_v1\n# thread tid pid state call on mask "),
            "{text}"
        );
        assert!(text.lines().last().is_some_and(|line| line.starts_with("end ")), "{text}");
        WaitGraph(text)
    }

    fn rows(&self, kind: &str) -> impl Iterator<Item = Vec<&str>> {
        let lines = self.0.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix(' '));
        lines.map(|line| line.splitn(13, ' ').collect())
    }

    fn thread(&self, tid: i32) -> Vec<&str> {
        let own = tid.to_string();
        self.rows("thread").find(|row| row[0] == own).unwrap_or_else(|| panic!("{tid} in {}", self.0))
    }

    /// What the thread waits on.
    fn on(&self, tid: i32) -> &str {
        self.thread(tid)[4]
    }

    fn is_stuck(&self, tid: i32) -> bool {
        self.thread(tid)[10] == "1"
    }

    fn has_edge(&self, from: &str, to: &str) -> bool {
        self.rows("edge").any(|row| row == [from, to])
    }

    /// The threads of the cycle that this one is in.
    fn cycle(&self, tid: i32) -> Option<Vec<i32>> {
        let number = self.thread(tid)[11];
        let row = self.rows("cycle").find(|row| row[0] == number)?;
        Some(row[1..].iter().flat_map(|tids| tids.split(' ')).map(|tid| tid.parse().unwrap()).collect())
    }

    #[track_caller]
    fn assert_cycle(&self, tids: &[i32]) {
        let mut tids = tids.to_vec();
        tids.sort_unstable();
        assert_eq!(self.cycle(tids[0]).as_ref(), Some(&tids), "{}", self.0);
        assert!(tids.iter().all(|tid| self.is_stuck(*tid)), "{}", self.0);
    }

    #[track_caller]
    fn assert_going_on(&self, tids: &[i32]) {
        for tid in tids {
            assert!(!self.is_stuck(*tid) && self.cycle(*tid).is_none(), "{tid} in {}", self.0);
        }
    }
}

/// Two pipes, two children: each reads what only the other could write, in its own way.
fn crossed(read_first: fn(Fd), read_second: fn(Fd)) -> [Child; 2] {
    let ((from_first, to_first), (from_second, to_second)) = (pipe(), pipe());
    let first = fork(|| {
        close(to_first).unwrap();
        close(from_second).unwrap();
        read_first(from_first);
    });
    let second = fork(|| {
        close(to_second).unwrap();
        close(from_first).unwrap();
        read_second(from_second);
    });
    for fd in [from_first, to_first, from_second, to_second] {
        close(fd).unwrap();
    }
    let children = [first, second];
    children.iter().for_each(|child| wait_until_blocked(child.pid));
    children
}

fn read_one(fd: Fd) {
    let _ = read(fd, &mut [0]);
}

/// Ends them all; the end of one may be what the next has waited for.
fn finish(children: &[Child]) {
    children.iter().for_each(|child| child.kill(libc::SIGKILL));
    children.iter().for_each(|child| discard(child.wait()));
}

fn deadlock_of_two_pipes_is_a_cycle() {
    let children = crossed(read_one, read_one);
    let [first, second] = [&children[0], &children[1]].map(|child| child.pid);
    let graph = WaitGraph::read();
    graph.assert_cycle(&[first, second]);
    let (one, two) = (graph.on(first), graph.on(second));
    assert!(one.starts_with("pipe_read:") && two.starts_with("pipe_read:") && one != two, "{}", graph.0);
    assert!(graph.has_edge(one, &format!("process:{second}")), "{}", graph.0);
    assert!(graph.has_edge(two, &format!("process:{first}")), "{}", graph.0);
    let row = graph.thread(first);
    assert_eq!((row[1], row[2], row[3]), (&*first.to_string(), "S", "read"), "{}", graph.0);
    assert!(row[6].parse::<i64>().unwrap() <= monotonic() && row[7] == "-", "since and deadline");
    finish(&children);
}

fn somebody_else_with_the_other_end_is_a_way_out() {
    let (from, to) = pipe();
    let child = fork(|| {
        close(to).unwrap();
        read_one(from);
    });
    wait_until_blocked(child.pid);
    let graph = WaitGraph::read();
    assert!(graph.has_edge(graph.on(child.pid), &format!("process:{}", getpid())), "{}", graph.0);
    graph.assert_going_on(&[child.pid]);
    child.finish();
}

fn deadline_is_a_way_out() {
    let children = crossed(read_one, |fd| {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let _ = syscall!(SYS_poll, &mut poll, 1, 100_000);
    });
    let graph = WaitGraph::read();
    graph.assert_going_on(&children.each_ref().map(|child| child.pid));
    assert!(graph.thread(children[1].pid)[7].parse::<i64>().unwrap() > monotonic());
    finish(&children);
}

fn who_waits_for_a_cycle_is_stuck() {
    let (from, to) = pipe();
    let waits = fork(|| {
        close(to).unwrap();
        read_one(from);
    });
    // Whoever is in the cycle holds the pipe's other end as well.
    let children = crossed(read_one, read_one);
    close(to).unwrap();
    wait_until_blocked(waits.pid);
    let graph = WaitGraph::read();
    assert!(graph.is_stuck(waits.pid) && graph.cycle(waits.pid).is_none(), "{}", graph.0);
    graph.assert_cycle(&children.each_ref().map(|child| child.pid));
    finish(&children);
    assert_eq!(waits.wait(), Status::Exited(0), "the pipe has no writer any more");
}

fn sockets_and_channels_have_ends() {
    let (one, two) = socketpair(libc::SOCK_STREAM);
    let (near, far) = channel_create().unwrap();
    let first = fork(|| {
        close(two).unwrap();
        handle_close(far).unwrap();
        read_one(one);
    });
    let second = fork(|| {
        close(one).unwrap();
        handle_close(near).unwrap();
        let _ = channel_recv(far, 0);
    });
    close(one).unwrap();
    close(two).unwrap();
    handle_close(near).unwrap();
    handle_close(far).unwrap();
    let children = [first, second];
    children.iter().for_each(|child| wait_until_blocked(child.pid));
    let graph = WaitGraph::read();
    graph.assert_cycle(&children.each_ref().map(|child| child.pid));
    let (on_socket, on_channel) = (graph.on(children[0].pid), graph.on(children[1].pid));
    assert!(on_socket.starts_with("socket:") && on_channel.starts_with("channel:"), "{}", graph.0);
    finish(&children);
}

fn epoll_and_poll_are_seen_through() {
    let children = crossed(
        |fd| {
            let (outer, inner) = (epoll(), epoll());
            watch(inner, fd);
            watch(outer, inner);
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            let _ = syscall!(SYS_epoll_wait, outer, &mut event, 1, -1);
        },
        |fd| {
            let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            let _ = syscall!(SYS_poll, &mut poll, 1, -1);
        },
    );
    let graph = WaitGraph::read();
    graph.assert_cycle(&children.each_ref().map(|child| child.pid));
    let on = graph.on(children[1].pid);
    assert!(on.starts_with("poll:@"), "{}", graph.0);
    assert!(graph.rows("edge").any(|row| row[0] == on && row[1].starts_with("pipe_read:")), "{}", graph.0);
    finish(&children);
}

fn epoll() -> Fd {
    syscall!(SYS_epoll_create1, 0).unwrap() as Fd
}

fn watch(epoll: Fd, fd: Fd) {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    syscall!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, fd, &mut event).unwrap();
}

fn parent_and_child_wait_for_each_other() {
    let (from, to) = pipe();
    let parent = fork(|| {
        // Sleeps, and is not waited for.
        let _other = fork(|| {
            close(from).unwrap();
            close(to).unwrap();
            wait_for_ever()
        });
        let child = fork(|| {
            close(to).unwrap();
            read_one(from);
        });
        close(from).unwrap();
        child.wait();
    });
    close(from).unwrap();
    close(to).unwrap();
    let child_of = |graph: &WaitGraph| {
        let from = format!("thread:{}", parent.pid);
        let to = graph.rows("edge").find(|row| row[0] == from)?[1].strip_prefix("process:")?.parse().ok();
        to.filter(|child| graph.on(*child).starts_with("pipe_read:"))
    };
    // The sleeper has the pipe, too, until it closes it.
    wait_until(|| WaitGraph::read().cycle(parent.pid).is_some());
    let graph = WaitGraph::read();
    assert_eq!(graph.thread(parent.pid)[3], "wait4");
    graph.assert_cycle(&[parent.pid, child_of(&graph).unwrap()]);
    parent.finish();
}

fn whole_file_locks_have_holders() {
    create(c"one", b"");
    create(c"two", b"");
    let (first_has, second_has) = (Gate::new(), Gate::new());
    let lock = |path: &std::ffi::CStr| {
        let fd = open(path, libc::O_RDWR).unwrap();
        move || syscall!(SYS_flock, fd, libc::LOCK_EX).map(drop)
    };
    let first = fork(|| {
        lock(c"one")().unwrap();
        first_has.open();
        second_has.pass();
        let _ = lock(c"two")();
    });
    let second = fork(|| {
        lock(c"two")().unwrap();
        second_has.open();
        first_has.pass();
        let _ = lock(c"one")();
    });
    let tids = [first.pid, second.pid];
    let waits_for_lock = |tid: &i32| WaitGraph::read().on(*tid).starts_with("file_lock:");
    wait_until(|| tids.iter().all(waits_for_lock));
    WaitGraph::read().assert_cycle(&tids);
    finish(&[first, second]);
}

fn record_locks_have_holders() {
    create(c"file", b"");
    let lock = |start: i64, command: i32| {
        let mut range: libc::flock = zeroed();
        (range.l_type, range.l_start, range.l_len) = (libc::F_WRLCK as i16, start, 1);
        let fd = open(c"file", libc::O_RDWR).unwrap();
        fcntl(fd, command, &range).unwrap();
    };
    let ((from, to), (has, bystander_has)) = (pipe(), (Gate::new(), Gate::new()));
    let holder = fork(|| {
        close(to).unwrap();
        lock(0, libc::F_SETLK);
        has.open();
        read_one(from);
    });
    let bystander = fork(|| {
        close(to).unwrap();
        lock(7, libc::F_SETLK);
        bystander_has.open();
        wait_for_ever();
    });
    has.pass();
    bystander_has.pass();
    let waiter = fork(|| lock(0, libc::F_SETLKW));
    close(to).unwrap();
    [&holder, &waiter].into_iter().for_each(|child| wait_until_blocked(child.pid));
    let graph = WaitGraph::read();
    graph.assert_cycle(&[holder.pid, waiter.pid]);
    assert!(graph.has_edge(graph.on(waiter.pid), &format!("process:{}", holder.pid)), "{}", graph.0);
    finish(&[holder, waiter, bystander]);
}

fn masters_and_slaves_of_terminals_wake_each_other() {
    let (master, slave) = super::terminal::pair();
    let programs = fork(|| {
        close(master).unwrap();
        read_one(slave);
    });
    let terminal = fork(|| {
        close(slave).unwrap();
        read_one(master);
    });
    close(master).unwrap();
    close(slave).unwrap();
    let children = [programs, terminal];
    children.iter().for_each(|child| wait_until_blocked(child.pid));
    WaitGraph::read().assert_cycle(&children.each_ref().map(|child| child.pid));
    finish(&children);
}

fn message_queues_have_senders_and_receivers() {
    let queues = ["one", "two"].map(|tag| NamedQueue::new(tag, 1, 8));
    let names = queues.each_ref().map(|queue| queue.name.clone());
    queues.iter().for_each(|queue| close(queue.fd).unwrap());
    let (first_opened, second_opened) = (Gate::new(), Gate::new());
    let child = |own: usize, opened: Gate, other_opened: Gate| {
        fork(|| {
            let from = mq_open(&names[own], libc::O_RDONLY, 0, None).unwrap();
            let _to = mq_open(&names[1 - own], libc::O_WRONLY, 0, None).unwrap();
            opened.open();
            other_opened.pass();
            let _ = mq_receive(from, 8);
        })
    };
    let children = [child(0, first_opened, second_opened), child(1, second_opened, first_opened)];
    let tids = children.each_ref().map(|child| child.pid);
    wait_until(|| {
        let graph = WaitGraph::read();
        tids.iter().all(|tid| graph.on(*tid).starts_with("mqueue:"))
    });
    WaitGraph::read().assert_cycle(&tids);
    finish(&children);
}

fn threads_of_one_memory_wake_its_futexes() {
    let words = map_shared(PAGE);
    let child = fork(|| {
        let futexes = [word_at(map_anonymous(PAGE)), word_at(map_anonymous(PAGE))];
        let wait =
            |word: &std::sync::atomic::AtomicU32| syscall!(SYS_futex, word, libc::FUTEX_WAIT, 0, 0, 0, 0);
        std::thread::spawn(move || {
            word_at(words).store(gettid() as u32, SeqCst);
            wait(futexes[0])
        });
        let _ = wait(futexes[1]);
    });
    wait_until(|| word_at(words).load(SeqCst) != 0);
    let tids = [child.pid, word_at(words).load(SeqCst) as i32];
    wait_until(|| tids.iter().all(|tid| WaitGraph::read().on(*tid).starts_with("futex:")));
    WaitGraph::read().assert_cycle(&tids);
    child.finish();
}

fn owner_of_a_robust_lock_is_found() {
    let word = word_at(map_anonymous(PAGE));
    let (send, owner) = std::sync::mpsc::channel();
    let (gate, waits) = (Gate::new(), Gate::new());
    let owning = std::thread::spawn(move || {
        word.store(gettid() as u32 | 0x8000_0000, SeqCst);
        send.send(gettid()).unwrap();
        gate.pass();
        word.store(0, SeqCst);
        while syscall!(SYS_futex, word, libc::FUTEX_WAKE, 1, 0, 0, 0) != Ok(1) {}
    });
    let owner = owner.recv().unwrap();
    let (send, waiter) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        send.send(gettid()).unwrap();
        waits.open();
        syscall!(SYS_futex, word, libc::FUTEX_WAIT, owner as u32 | 0x8000_0000, 0, 0, 0)
    });
    let waiter = waiter.recv().unwrap();
    wait_until_thread_blocked(waiter);
    let graph = WaitGraph::read();
    assert!(graph.has_edge(graph.on(waiter), &format!("thread:{owner}")), "{}", graph.0);
    gate.open();
    owning.join().unwrap();
    assert_eq!(waiting.join().unwrap(), Ok(0));
}

fn locks_that_name_their_owners_make_a_cycle() {
    let page = map_shared(PAGE);
    let words = [word_at(page), word_at(page + 64)];
    let gates = [Gate::new(), Gate::new()];
    let lock = || syscall!(SYS_futex, words[0], libc::FUTEX_LOCK_PI, 0, 0, 0, 0);
    // With two of them the second would be told; the other one is a robust lock.
    let waits_for_robust = fork(|| {
        lock().unwrap();
        gates[0].open();
        gates[1].pass();
        let seen = words[1].load(SeqCst);
        let _ = syscall!(SYS_futex, words[1], libc::FUTEX_WAIT, seen, 0, 0, 0);
    });
    let waits_for_lock = fork(|| {
        words[1].store(getpid() as u32 | 0x8000_0000, SeqCst);
        gates[1].open();
        gates[0].pass();
        let _ = lock();
    });
    let children = [waits_for_lock, waits_for_robust];
    let tids = children.each_ref().map(|child| child.pid);
    wait_until(|| tids.iter().all(|tid| WaitGraph::read().on(*tid).starts_with("futex:")));
    let graph = WaitGraph::read();
    graph.assert_cycle(&tids);
    assert!(graph.has_edge(graph.on(tids[0]), &format!("thread:{}", tids[1])), "{}", graph.0);
    finish(&children);
}

fn robust_locks_of_two_processes_make_a_cycle() {
    let page = map_shared(PAGE);
    let words = [word_at(page), word_at(page + 64)];
    let gates = [Gate::new(), Gate::new()];
    let children = [0, 1].map(|own| {
        fork(|| {
            words[own].store(getpid() as u32 | 0x8000_0000, SeqCst);
            gates[own].open();
            gates[1 - own].pass();
            let seen = words[1 - own].load(SeqCst);
            let _ = syscall!(SYS_futex, words[1 - own], libc::FUTEX_WAIT, seen, 0, 0, 0);
        })
    });
    let tids = children.each_ref().map(|child| child.pid);
    wait_until(|| tids.iter().all(|tid| WaitGraph::read().on(*tid).starts_with("futex:")));
    let graph = WaitGraph::read();
    graph.assert_cycle(&tids);
    assert!(graph.has_edge(graph.on(tids[0]), &format!("thread:{}", tids[1])), "{}", graph.0);
    // Without a name anybody may wake.
    words[0].store(0x8000_0000, SeqCst);
    WaitGraph::read().assert_going_on(&tids);
    finish(&children);
}

fn names_keep_to_their_row() {
    let child = fork(|| {
        syscall!(SYS_prctl, libc::PR_SET_NAME, c"a \"b\"\n\xff\\end 9 9").unwrap();
        wait_for_ever()
    });
    wait_until(|| WaitGraph::read().thread(child.pid)[12].starts_with("\"a "));
    let graph = WaitGraph::read();
    assert_eq!(graph.thread(child.pid)[12], r#""a \"b\"\n\xff\\end 9 9""#, "{}", graph.0);
    child.finish();
}

fn only_root_may_look() {
    as_nobody(|| assert_eq!(open(c"/sys/kernel/waitgraph", libc::O_RDONLY), Err(EACCES)));
}

fn last_wake_is_told() {
    let (from, to) = pipe();
    let child = fork(|| {
        read_one(from);
        wait_for_ever()
    });
    let file = path(format!("/proc/{}/wait", child.pid));
    let line = |name: &str| {
        let text = text(&file).expect("wait");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(str::to_owned)
    };
    wait_until(|| line("kind").as_deref() == Some("pipe_read"));
    let pipe = line("object").unwrap();
    write(to, b"x").unwrap();
    wait_until(|| line("kind").as_deref() == Some("signal"));
    assert_eq!(line("syscall").as_deref(), Some("pause"));
    assert_eq!(line("deadline").as_deref(), Some("none"));
    let woken = ["woken_by", "woken_kind", "woken_object"].map(|name| line(name).unwrap());
    assert_eq!(woken, ["data", "pipe_read", &pipe]);
    let graph = WaitGraph::read();
    let row = graph.thread(child.pid);
    assert_eq!((row[8], row[9]), ("data", &*format!("pipe_read:{pipe}")), "{}", graph.0);
    child.finish();
}
