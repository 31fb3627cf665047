//! The collector beside those who receive.

use alloc::sync::Arc;

use base::sync::atomic::{AtomicBool, Ordering};
use shuttle::future::block_on;
use shuttle::thread;

use super::explore;
use crate::collector::collect;
use crate::selftest::support::Process;

/// An end that lies in a queue, in which lies another one, is taken out while the collector looks; each queue is closed
/// as soon as it is empty. Neither end is taken for lost, and what is tied to itself beside them is found.
#[test]
fn what_is_received_is_never_collected() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let [(outer_to, outer), (middle_to, middle), (inner_to, inner)] =
            core::array::from_fn(|_| process.channel());
        process.send(inner_to, b"token", &[]).unwrap();
        process.send(middle_to, b"", &[inner]).unwrap();
        process.send(outer_to, b"", &[middle]).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let looks = {
            let done = done.clone();
            thread::spawn(move || {
                while !done.load(Ordering::Acquire) {
                    block_on(collect());
                    thread::yield_now();
                }
            })
        };
        let take_out = |from: i32| {
            let (_, handles) = process.receive(from).unwrap().expect("it was closed");
            process.table.close(from).unwrap();
            handles[0]
        };
        let inner = take_out(take_out(outer));
        assert_eq!(process.receive(inner).unwrap().expect("it was closed").0, b"token");
        // Through another queue and back.
        let (to, from) = process.channel();
        process.send(to, b"", &[inner]).unwrap();
        let inner = take_out(from);
        process.send(inner_to, b"again", &[]).unwrap();
        assert_eq!(process.receive(inner).unwrap().expect("it was closed").0, b"again");
        done.store(true, Ordering::Release);
        looks.join().unwrap();
        Arc::into_inner(process).unwrap().exit();
    });
}
