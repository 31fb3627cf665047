//! Processes that take from one pipe, socket, counter, timer or signal queue while they are killed, execute others,
//! are interrupted, and close what they wait with: nothing is lost, nothing comes twice, nobody is left asleep.
//!
//! A taker has the kernel write what it takes into a log that all share. So whatever a taker was doing when it died,
//! the log says exactly whether it had taken something.

use crate::harness::{Case, case, rounds, seed};
use crate::sys::*;
use libc::{EPOLL_CTL_ADD, EPOLLET, EPOLLIN, POLLIN, POLLOUT, SIGKILL, SIGUSR1, SOCK_SEQPACKET};
use std::sync::atomic::Ordering::SeqCst;

pub(crate) const CASES: &[Case] = &[
    case!(pipe_records).deadlines(3),
    case!(socket_messages).deadlines(3),
    case!(counter_tokens).deadlines(3),
    case!(counter_edges).deadlines(3),
    case!(timer_expirations).deadlines(3),
    case!(queued_signals).deadlines(3),
];

const TAKERS: usize = 4;

/// Bytes of a `struct signalfd_siginfo`, and where its value is.
const SIGNAL_RECORD: usize = 128;
const SIGNAL_VALUE: usize = 44;

/// What was taken: entries of one size, each written by one successful call or never.
#[derive(Clone, Copy)]
struct Log {
    at: usize,
    entries: u32,
    size: usize,
}

impl Log {
    const HEADER: usize = 64;

    /// Room for `tokens` and for as many takers that die with an entry in hand.
    fn new(tokens: u32, size: usize) -> Log {
        let entries = 2 * tokens + 1000;
        Log { at: map_shared(Log::HEADER + entries as usize * size), entries, size }
    }

    /// The address of a new entry, with its page in place.
    fn entry(&self) -> usize {
        let index = word_at(self.at).fetch_add(1, SeqCst);
        assert!(index < self.entries, "the log is too small");
        let entry = self.at + Log::HEADER + index as usize * self.size;
        word_at(entry).store(0, SeqCst);
        entry
    }

    /// Entries that somebody has asked for.
    fn used(&self) -> usize {
        word_at(self.at).load(SeqCst).min(self.entries) as usize
    }

    /// The words at `offset` of those that were written, from entry `first` on.
    fn taken(&self, first: usize, offset: usize) -> Vec<u32> {
        let word = |index: usize| word_at(self.at + Log::HEADER + index * self.size + offset).load(SeqCst);
        (first..self.used()).map(word).filter(|word| *word != 0).collect()
    }
}

extern "C" fn nothing(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {}

/// Waits for `fd` in one of the ways there are, with or without a timeout. What is waited with is closed afterwards.
fn wait_somehow(fd: Fd, random: &mut Random) {
    let timeout = random.pick(&[-1, -1, 1, 3]);
    match random.below(3) {
        0 => {}
        1 => discard(poll(&mut [pollfd(fd, POLLIN)], timeout)),
        _ => {
            let (epoll, copy) = (epoll_create(), dup(fd).unwrap());
            epoll_add(epoll, copy, EPOLLIN | random.pick(&[0, EPOLLET]), 0);
            discard(syscall!(SYS_epoll_wait, epoll, &mut [0u8; 12], 1, timeout));
            let order = random.pick(&[[epoll, copy], [copy, epoll]]);
            order.into_iter().for_each(|fd| close(fd).unwrap());
        }
    }
}

/// Takes for ever; in one of a hundred rounds it becomes another program.
fn take_one_by_one(fd: Fd, log: Log, number: u64) {
    on_signal(SIGUSR1, nothing, 0);
    let mut random = Random::new(seed() ^ number << 16);
    loop {
        let entry = log.entry();
        loop {
            wait_somehow(fd, &mut random);
            match syscall!(SYS_read, fd, entry, log.size) {
                Ok(_) => break,
                Err(errno) => assert_eq!(errno, EINTR),
            }
        }
        become_another(&mut random);
    }
}

fn become_another(random: &mut Random) {
    if random.one_in(100) {
        panic!("{:?}", exec_probe("exit", &["0"], &[]));
    }
}

/// The takers, replaced when they have ended.
struct Takers<F> {
    children: Vec<Child>,
    body: F,
    random: Random,
    made: u64,
}

impl<F: Fn(u64)> Takers<F> {
    fn new(count: usize, body: F) -> Takers<F> {
        let mut takers = Takers { children: Vec::new(), body, random: Random::new(seed()), made: 0 };
        takers.children = (0..count).map(|_| takers.child()).collect();
        takers
    }

    fn child(&mut self) -> Child {
        self.made += 1;
        fork(|| (self.body)(self.made))
    }

    /// One of a hundred times kills one, often interrupts one; replaces those that have ended.
    fn disturb(&mut self) {
        let victim = self.random.below(self.children.len() as u64) as usize;
        match self.random.below(100) {
            0 => self.children[victim].kill(SIGKILL),
            1..10 => self.children[victim].kill(SIGUSR1),
            _ => {}
        }
        self.replace_the_dead();
    }

    fn replace_the_dead(&mut self) {
        for index in 0..self.children.len() {
            let (pid, status) = wait4(self.children[index].pid, libc::WNOHANG).expect("wait4");
            if pid != 0 {
                // A signal that is there before its handler kills.
                let expected = [Status::Exited(0), Status::Killed(SIGKILL), Status::Killed(SIGUSR1)];
                assert!(expected.contains(&status), "{status:?}");
                self.children[index] = self.child();
            }
        }
    }

    fn end(self) {
        for child in &self.children {
            child.kill(SIGKILL);
            discard(child.wait());
        }
    }
}

/// Two producers `give` the numbers from 1 to `count`, or are refused with EAGAIN, while takers of `fd` log them.
fn race(fd: Fd, log: Log, count: u32, give: impl Fn(u32) -> Sys<usize>, taker: impl Fn(u64)) {
    let mut takers = Takers::new(TAKERS, taker);
    let half = count / 2;
    let other = fork(|| {
        for number in 1..=half {
            while give(number) == Err(EAGAIN) {
                sleep_a_tick();
            }
        }
    });
    for number in half + 1..=count {
        while give(number) == Err(EAGAIN) {
            takers.replace_the_dead();
            sleep_a_tick();
        }
        takers.disturb();
    }
    wait_until(|| {
        takers.replace_the_dead();
        events_now(fd, POLLIN) == 0 && log.taken(0, 0).len() >= count as usize
    });
    other.succeeds();
    takers.end();
}

fn each_number_once(log: &Log, count: u32) {
    let mut taken = log.taken(0, 0);
    taken.sort_unstable();
    assert!(taken.into_iter().eq(1..=count), "something was lost or came twice");
}

fn pipe_records() {
    let (from, to) = pipe();
    set_nonblocking(to);
    let count = rounds(1000) as u32;
    let log = Log::new(count, 8);
    let give = |number: u32| write(to, &u64::from(number).to_ne_bytes());
    race(from, log, count, give, |number| take_one_by_one(from, log, number));
    each_number_once(&log, count);
}

fn socket_messages() {
    let (one, other) = socketpair(SOCK_SEQPACKET);
    set_nonblocking(one);
    let count = rounds(1000) as u32;
    let log = Log::new(count, 8);
    let give = |number: u32| {
        discard(poll(&mut [pollfd(one, POLLOUT)], 0));
        send(one, &u64::from(number).to_ne_bytes(), 0)
    };
    race(other, log, count, give, |number| take_one_by_one(other, log, number));
    each_number_once(&log, count);
}

fn counter_tokens() {
    let counter = eventfd(0, libc::EFD_SEMAPHORE);
    let count = rounds(1000) as u32;
    let log = Log::new(count, 8);
    race(counter, log, count, |_| event_add(counter, 1), |number| take_one_by_one(counter, log, number));
    assert_eq!(log.taken(0, 0), vec![1; count as usize]);
}

/// One instance for all takers. Whoever is told of an edge and dies takes the edge along, on Linux as well: so all
/// come and look from time to time.
fn counter_edges() {
    let (epoll, counter) = (epoll_create(), eventfd(0, libc::EFD_SEMAPHORE | libc::EFD_NONBLOCK));
    epoll_control(epoll, EPOLL_CTL_ADD, counter, EPOLLIN | EPOLLET, 0).unwrap();
    let count = rounds(1000) as u32;
    let log = Log::new(count, 8);
    let taker = |number| take_on_edges(epoll, counter, log, number);
    race(counter, log, count, |_| event_add(counter, 1), taker);
    assert_eq!(log.taken(0, 0), vec![1; count as usize]);
}

fn take_on_edges(epoll: Fd, counter: Fd, log: Log, number: u64) {
    on_signal(SIGUSR1, nothing, 0);
    let mut random = Random::new(seed() ^ number << 16);
    let mut entry = log.entry();
    loop {
        let timeout = 1 + random.below(4) as i32;
        discard(syscall!(SYS_epoll_wait, epoll, &mut [0u8; 12], 1, timeout));
        while syscall!(SYS_read, counter, entry, 8).is_ok() {
            entry = log.entry();
            become_another(&mut random);
        }
    }
}

fn timer_expirations() {
    let timer = timerfd(0);
    let count = rounds(1000) as u32;
    let log = Log::new(count, 8);
    let mut takers = Takers::new(TAKERS, |number| take_one_by_one(timer, log, number));
    let mut random = Random::new(seed());
    for _ in 0..count {
        let after = libc::timespec { tv_sec: 0, tv_nsec: 1 + random.below(300_000) as i64 };
        timer_arm(timer, after, milliseconds(0), 0).unwrap();
        takers.disturb();
        let mut left = [0u64; 4];
        wait_until(|| {
            takers.replace_the_dead();
            syscall!(SYS_timerfd_gettime, timer, &mut left).unwrap();
            left[2..] == [0, 0] && events_now(timer, POLLIN) == 0
        });
    }
    wait_until(|| log.taken(0, 0).len() >= count as usize);
    takers.end();
    assert_eq!(log.taken(0, 0), vec![1; count as usize]);
}

/// The queue goes with its process: what was still in it is not looked for.
fn queued_signals() {
    let signal = libc::SIGRTMIN() + 5;
    block(&[signal]);
    let count = rounds(1000) as u32;
    let log = Log::new(count, SIGNAL_RECORD);
    let mut takers = Takers::new(1, |number| take_signals(signal, log, number));
    let (mut unsure, mut lost, mut first) = (Vec::new(), Vec::new(), 0);
    let mut random = Random::new(seed());
    for number in 1..=count {
        let (made, pid) = (takers.made, takers.children[0].pid);
        while queue(pid, signal, number as i32) == Err(EAGAIN) {
            sleep_a_tick();
        }
        unsure.push(number);
        if random.one_in(4) && has_taken_all(&log, first, &unsure, pid) {
            unsure.clear();
        }
        // What the next process takes it puts behind these.
        let used = log.used();
        takers.disturb();
        if takers.made != made {
            first = used;
            lost.append(&mut unsure);
        }
    }
    if !has_taken_all(&log, first, &unsure, takers.children[0].pid) {
        lost.append(&mut unsure);
    }
    takers.end();
    let mut seen = vec![0u32; count as usize + 1];
    for number in log.taken(0, SIGNAL_VALUE) {
        seen[number as usize] += 1;
    }
    assert!(seen.iter().all(|times| *times <= 1), "something came twice");
    lost.iter().for_each(|number| seen[*number as usize] = 1);
    assert!(seen[1..].iter().all(|times| *times == 1), "something was lost");
}

/// Waits until the log has all these signals, from entry `first` on; false when the process has ended before.
fn has_taken_all(log: &Log, first: usize, numbers: &[u32], pid: i32) -> bool {
    let is_complete = || {
        let taken = log.taken(first, SIGNAL_VALUE);
        numbers.iter().all(|number| taken.contains(number))
    };
    let has_ended = || {
        let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        waitid(libc::P_PID, pid, look).is_ok_and(|child| child.pid == pid)
    };
    wait_until(|| is_complete() || has_ended());
    is_complete()
}

/// Three threads at one queue.
fn take_signals(signal: i32, log: Log, number: u64) {
    let fd = syscall!(SYS_signalfd4, -1, &mask_of(&[signal]), 8, 0).unwrap() as Fd;
    let take = move |thread: u64| take_one_by_one(fd, log, number << 4 | thread);
    let others = [1, 2].map(|thread| std::thread::spawn(move || take(thread)));
    take(0);
    drop(others);
}
