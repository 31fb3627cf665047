//! A descriptor that two owners close. The number is given to another thread's file between the two, and the second
//! close takes that away.

use super::{Twin, fail, yield_now};
use crate::sys::{close, event_add, eventfd};

const ROUNDS: usize = 60;

pub(super) fn run(twin: Twin) {
    std::thread::scope(|scope| {
        scope.spawn(|| (0..ROUNDS).for_each(|_| close_twice(twin)));
        for _ in 0..ROUNDS {
            let event = eventfd(0, 0);
            yield_now();
            if event_add(event, 1).is_err() || close(event).is_err() {
                fail("somebody closed this descriptor");
            }
            yield_now();
        }
    });
}

fn close_twice(twin: Twin) {
    let event = eventfd(0, 0);
    let _ = close(event);
    if twin == Twin::Broken {
        // The owner's clean-up, which does not know that the callee has closed it.
        let _ = close(event);
    }
    yield_now();
}
