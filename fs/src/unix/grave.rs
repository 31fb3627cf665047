//! Closing what was on its way and will not be received.
//!
//! A descriptor in a queue may be a socket with descriptors in its queue, and so on. Closing one inside the
//! other would use as much stack as the chain is long: here the inner ones wait until the outer is done.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use base::sync::{CachePadded, LockClass, MAX_CPUS, PerCpu, SpinLock};
use executor::TaskOptions;

use super::collector;
use crate::file::FdEntry;

/// Bundles that are closed in one go by whoever came here; the rest is a task's.
const AT_ONCE: usize = 64;

struct Grave {
    waiting: VecDeque<Vec<FdEntry>>,
    /// Somebody on this CPU is at it.
    at_work: bool,
}

static GRAVES: PerCpu<SpinLock<Grave>> = PerCpu::from_padded(
    [const { CachePadded(SpinLock::new(LockClass::FdTable, Grave { waiting: VecDeque::new(), at_work: false })) };
        MAX_CPUS],
);

/// Closes descriptors that nobody will receive, now or when those are closed that are being closed already.
/// Called without locks.
pub(super) fn bury(files: Vec<FdEntry>) {
    if files.is_empty() {
        return;
    }
    let grave = GRAVES.this();
    {
        let mut grave = grave.lock();
        grave.waiting.push_back(files);
        if core::mem::replace(&mut grave.at_work, true) {
            return;
        }
    }
    for _ in 0..AT_ONCE {
        if !close_next(grave) {
            return;
        }
    }
    if executor::current().is_some() {
        executor::spawn(TaskOptions::new("socket-grave").daemon(), async move {
            while close_next(grave) {
                executor::yield_point().await;
            }
        });
    } else {
        while close_next(grave) {}
    }
}

/// Closes one bundle; false when there is none, and the work is over.
fn close_next(grave: &SpinLock<Grave>) -> bool {
    let next = {
        let mut grave = grave.lock();
        let next = grave.waiting.pop_front();
        grave.at_work = next.is_some();
        next
    };
    let found = next.is_some();
    drop(next);
    if !found {
        // Perhaps something among them was the last way to others from outside of queues.
        collector::request();
    }
    found
}
