//! One ready descriptor among many that are registered: the cost of a wait must not depend on how many.

use super::Operation;
use super::meter::{Meter, call, sure};

const fn operation(name: &'static str, measure: fn(&Meter) -> u64) -> Operation {
    Operation { group: "epoll", name, measure }
}

pub(super) const OPERATIONS: &[Operation] = &[
    operation("wait_1_ready_of_1", |meter| wait_one_ready(meter, 1)),
    operation("wait_1_ready_of_100", |meter| wait_one_ready(meter, 100)),
    operation("wait_1_ready_of_10000", |meter| wait_one_ready(meter, 10_000)),
    operation("wait_1_ready_of_100000", |meter| wait_one_ready(meter, 100_000)),
    operation("wake_wait_edge_of_1", |meter| wake_and_wait(meter, 1)),
    operation("wake_wait_edge_of_100000", |meter| wake_and_wait(meter, 100_000)),
];

/// An instance with as many event counters, all level-triggered but the one in the middle.
struct Registered {
    epoll: usize,
    counters: Vec<usize>,
}

impl Registered {
    fn new(count: usize, events: i32) -> Registered {
        let most = [count as u64 + 100; 2];
        sure(call!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, most.as_ptr(), 0));
        let epoll = sure(call!(SYS_epoll_create1, 0));
        let counters: Vec<usize> = (0..count).map(|_| sure(call!(SYS_eventfd2, 0, 0))).collect();
        let registered = Registered { epoll, counters };
        for counter in &registered.counters {
            let events = if *counter == registered.middle() { events } else { libc::EPOLLIN };
            let event = libc::epoll_event { events: events as u32, u64: *counter as u64 };
            sure(call!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, *counter, &raw const event));
        }
        registered
    }

    fn middle(&self) -> usize {
        self.counters[self.counters.len() / 2]
    }

    fn signal(&self) {
        let value = 1u64;
        sure(call!(SYS_write, self.middle(), &raw const value, 8));
    }

    /// One `epoll_wait` without a timeout, which finds the one that is ready.
    fn wait(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
        assert_eq!(sure(call!(SYS_epoll_wait, self.epoll, events.as_mut_ptr(), 8, 0)), 1);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        for fd in self.counters.iter().chain([&self.epoll]) {
            call!(SYS_close, *fd);
        }
    }
}

fn wait_one_ready(meter: &Meter, count: usize) -> u64 {
    let registered = Registered::new(count, libc::EPOLLIN);
    registered.signal();
    meter.each(1000, || registered.wait())
}

fn wake_and_wait(meter: &Meter, count: usize) -> u64 {
    let registered = Registered::new(count, libc::EPOLLIN | libc::EPOLLET);
    meter.each(1000, || {
        registered.signal();
        registered.wait();
    })
}
