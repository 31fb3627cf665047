//! A wake that meets a signal.

use alloc::sync::Arc;
use core::future::Future;

use base::Errno;
use base::sync::atomic::{AtomicUsize, Ordering};
use executor::lock::Completion;

use super::support::{Crew, Postcard, Process, receive, send};
use crate::AccessOp;
use crate::channel::Options;
use crate::port::{Port, Signals};

executor::selftests![n14_a_wake_that_its_waiter_cannot_use_goes_on];

/// Who wait in one place.
const WAITERS: usize = 3;

/// One wake for several, one of whom is interrupted at that moment: somebody gets what there is, and one alone.
async fn n14_a_wake_that_its_waiter_cannot_use_goes_on() {
    wakes_go_on(20).await;
}

/// So often, for receivers, senders and those who wait at a port.
pub(crate) async fn wakes_go_on(rounds: usize) {
    for round in 0..rounds {
        receivers(round).await;
        senders(round).await;
        port_waiters(round).await;
    }
}

/// Who got something.
struct Winners(AtomicUsize, Completion);

impl Winners {
    fn note(&self, answer: Result<bool, Errno>, at_the_end: Errno) {
        match answer {
            Ok(true) => {
                self.0.fetch_add(1, Ordering::AcqRel);
                self.1.complete();
            }
            Ok(false) | Err(Errno::EINTR) => {}
            Err(error) => assert_eq!(error, at_the_end),
        }
    }
}

/// Lets several `wait`, wakes one with `wake` while the one whose turn it is is interrupted, waits until somebody got
/// it, and lets the others go with `end`.
async fn contest<F: Future<Output = Result<bool, Errno>> + Send + 'static>(
    round: usize,
    wait: impl Fn() -> F,
    wake: impl FnOnce(),
    end: impl FnOnce(),
    at_the_end: Errno,
) {
    let (crew, winners) = (Crew::of(WAITERS), Arc::new(Winners(AtomicUsize::new(0), Completion::new())));
    let tasks: [_; WAITERS] = core::array::from_fn(|_| {
        let (waiting, winners) = (wait(), winners.clone());
        crew.spawn(async move { winners.note(waiting.await, at_the_end) })
    });
    // So that in most rounds all of them wait by now.
    for _ in 0..round % 8 {
        executor::yield_now().await;
    }
    wake();
    tasks[round % WAITERS].interrupt();
    winners.1.wait().await;
    end();
    crew.finished().await;
    assert_eq!(winners.0.load(Ordering::Acquire), 1);
}

async fn receivers(round: usize) {
    let process = Arc::new(Process::new(1));
    let (to, from) = process.channel();
    let wait = || {
        let process = process.clone();
        async move {
            let letter = receive(&process, from, Options::empty()).await?;
            Ok(letter.is_some_and(|letter| letter.bytes == b"one"))
        }
    };
    let wake = || process.send(to, b"one", &[]).expect("room");
    contest(round, wait, wake, || process.table.close(to).expect("a handle"), Errno::EBADF).await;
    process.table.close(from).expect("a handle");
}

async fn senders(round: usize) {
    let process = Arc::new(Process::new(1));
    let (to, from) = process.channel();
    while process.send(to, b"full", &[]).is_ok() {}
    let wait = || {
        let process = process.clone();
        async move { send(&process, to, b"late", &[]).await.map(|()| true) }
    };
    let wake = || assert!(process.receive(from).expect("a message").is_some());
    contest(round, wait, wake, || process.table.close(from).expect("a handle"), Errno::EPIPE).await;
    process.table.close(to).expect("a handle");
}

async fn port_waiters(round: usize) {
    let process = Arc::new(Process::new(1));
    let (to, from) = process.channel();
    let port = Port::create(&process.caller).expect("a port");
    let port = process.table.insert(&process.caller, port, false).expect("a number");
    let access = process.get(port, AccessOp::Manage);
    let object = access.object().port().expect("a port");
    object.bind(&process.caller, &process.end(from), 9, Signals::READABLE).expect("a binding");
    drop(access);
    let wait = || {
        let process = process.clone();
        async move {
            let access = process.table.get(port, AccessOp::Wait)?;
            let mut card = Postcard::default();
            let object = access.object().port().expect("a port");
            object.take(&access, &mut card, None, false).await.map(|()| card.packet.is_some())
        }
    };
    let wake = || process.send(to, b"x", &[]).expect("room");
    contest(round, wait, wake, || process.table.close(port).expect("a handle"), Errno::EBADF).await;
    for handle in [to, from] {
        process.table.close(handle).expect("a handle");
    }
}
