//! Models for the checker shuttle: whole futex calls on words in the memory of the host double.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p syscalls --lib --target-dir target/shuttle models -- --test-threads 1`

use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use base::caller::Limits;
use base::charge::Account;
use base::memory::{Access, UserMemory};
use base::time::Instant;
use base::{Errno, Result, machine};
use executor::modelled::{self, ModelTask};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use super::any::wait_any;
use super::operations::{Exchange, MATCH_ANY, Word, requeue, wait, wake};
use crate::host;
use crate::machine::PageFlags;
use crate::mm::futex_key::FutexSharing;
use crate::mm::{AddressSpace, MapRequest, PAGE};

const BASE: u64 = 0x20_0000_0000;

/// Where words lie, each on its own cache line.
const WORDS: [u64; 2] = [BASE, BASE + 64];

const TICK: Duration = Duration::from_micros(1);

pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    host::install();
    modelled::prepare();
    base::sync::explore(model);
}

/// An address space with words that are zero.
fn space() -> Arc<AddressSpace> {
    let space = AddressSpace::new(Arc::new(Limits::initial(100)), Account::new()).unwrap();
    let request = MapRequest::anonymous(PAGE, PageFlags::READ | PageFlags::WRITE).fixed(BASE);
    block_on(space.map(request)).unwrap();
    block_on(space.fault_in(BASE, 4, Access::Write)).unwrap();
    space
}

fn word(space: &Arc<AddressSpace>, at: u64) -> Word<'_> {
    Word::new(space, at, FutexSharing::Private).unwrap()
}

/// Adds to the word's value; false when it would fall below zero.
fn add(word: &Word<'_>, change: i32) -> bool {
    loop {
        let seen = word.peek().unwrap();
        let Some(new) = seen.checked_add_signed(change) else { return false };
        if matches!(word.exchange(seen, new), Exchange::Done) {
            return true;
        }
    }
}

/// A token more, and a wake for one who waits for it.
fn give(space: &Arc<AddressSpace>, at: u64) {
    let word = word(space, at);
    add(&word, 1);
    wake(&word, 1, MATCH_ANY).unwrap();
}

/// Takes a token, waiting until there is one.
async fn take(space: &Arc<AddressSpace>, at: u64, deadline: Option<Instant>) -> Result<()> {
    let word = word(space, at);
    while !add(&word, -1) {
        match wait(&word, 0, MATCH_ANY, deadline).await {
            Ok(()) | Err(Errno::EAGAIN) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn taker(space: &Arc<AddressSpace>, at: u64) -> JoinHandle<()> {
    let space = space.clone();
    thread::spawn(move || assert_eq!(block_on(take(&space, at, None)), Ok(())))
}

/// Polls once and drops, as a thread does that is killed in the call; what came of it, if that was at once.
fn begin_and_leave<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let polled = block_on(poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    }));
    thread::yield_now();
    polled
}

/// Two who give, two who take, one who begins to take and is killed.
#[test]
fn tokens_reach_those_who_stay() {
    explore(|| {
        let space = space();
        let takers = [0, 1].map(|_| taker(&space, BASE));
        let leaver = {
            let space = space.clone();
            thread::spawn(move || {
                if begin_and_leave(take(&space, BASE, None)) == Some(Ok(())) {
                    give(&space, BASE);
                }
            })
        };
        let giver = {
            let space = space.clone();
            thread::spawn(move || give(&space, BASE))
        };
        give(&space, BASE);
        takers.into_iter().chain([leaver, giver]).for_each(|thread| thread.join().unwrap());
        assert_eq!(word(&space, BASE).peek(), Some(0));
    });
}

/// One token for two, of whom one gives up: because its time is over, or a signal came.
fn one_gives_up(end: fn(&ModelTask), deadline: Option<Duration>, expected: Errno) {
    let (space, task) = (space(), Arc::new(ModelTask::new(0)));
    let deadline = deadline.map(|time| machine::now() + time);
    let impatient = {
        let (space, task) = (space.clone(), task.clone());
        thread::spawn(move || block_on(task.run(take(&space, BASE, deadline))))
    };
    let patient = taker(&space, BASE);
    let ending = thread::spawn(move || end(&task));
    give(&space, BASE);
    ending.join().unwrap();
    match impatient.join().unwrap() {
        Ok(()) => give(&space, BASE),
        Err(error) => assert_eq!(error, expected),
    }
    patient.join().unwrap();
    assert_eq!(word(&space, BASE).peek(), Some(0));
}

/// Ends a wait with a deadline. One that has just read the clock arms its timer for a time that is over, which the next
/// tick finds: so there are as many as it takes.
fn time_passes(task: &ModelTask) {
    while !task.is_over() {
        modelled::pass(TICK);
        thread::yield_now();
    }
}

#[test]
fn a_wake_meets_a_deadline() {
    explore(|| one_gives_up(time_passes, Some(TICK), Errno::ETIMEDOUT));
}

#[test]
fn a_wake_meets_a_signal() {
    explore(|| one_gives_up(|task| task.task().interrupt(), None, Errno::EINTR));
}

/// Waiters of one word are moved to another while one of them leaves; whoever goes on wakes the next.
#[test]
fn those_who_are_moved_are_woken_in_turn() {
    explore(|| {
        let [condition, lock] = WORDS;
        let space = space();
        let waiter = |leaves: bool| {
            let space = space.clone();
            thread::spawn(move || {
                let at = word(&space, condition);
                let waiting = wait(&at, 0, MATCH_ANY, None);
                let ended = if leaves { begin_and_leave(waiting) } else { Some(block_on(waiting)) };
                assert!(matches!(ended, None | Some(Ok(()) | Err(Errno::EAGAIN))));
                wake(&word(&space, lock), 1, MATCH_ANY).unwrap();
            })
        };
        let waiters = [waiter(false), waiter(true), waiter(false)];
        let (from, to) = (word(&space, condition), word(&space, lock));
        add(&from, 1);
        block_on(requeue(&from, 1, usize::MAX, &to, Some(1))).unwrap();
        wake(&to, 1, MATCH_ANY).unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

/// One waits for either word while its wait is ended otherwise, and each word is woken once. A wake that has counted the
/// waiter is what it answers.
fn either_is_woken(end: fn(&ModelTask), deadline: Option<Duration>, otherwise: Errno) {
    let (space, task) = (space(), Arc::new(ModelTask::new(0)));
    let deadline = deadline.map(|time| machine::now() + time);
    let waiter = {
        let (space, task) = (space.clone(), task.clone());
        thread::spawn(move || {
            let words = WORDS.map(|at| (word(&space, at), 0));
            block_on(task.run(wait_any(&words, deadline)))
        })
    };
    let wakers = WORDS.map(|at| {
        let space = space.clone();
        thread::spawn(move || wake(&word(&space, at), 1, MATCH_ANY).unwrap())
    });
    end(&task);
    let woken = wakers.map(|waker| waker.join().unwrap());
    let answer = waiter.join().unwrap();
    if let Err(error) = answer {
        assert_eq!((error, woken), (otherwise, [0, 0]));
    }
}

#[test]
fn a_wake_of_either_word_meets_a_deadline() {
    explore(|| either_is_woken(time_passes, Some(TICK), Errno::ETIMEDOUT));
}

#[test]
fn a_wake_of_either_word_meets_a_signal() {
    explore(|| either_is_woken(|task| task.task().interrupt(), None, Errno::EINTR));
}

/// A waiter whose words never change is woken and moved from two sides while its time passes. Success is a wake that
/// has counted it, and nothing else is.
fn only_a_wake_that_counts(of_several: bool) {
    let [one, target] = WORDS;
    let (space, task) = (space(), Arc::new(ModelTask::new(0)));
    let deadline = Some(machine::now() + TICK);
    let waiter = {
        let (space, task) = (space.clone(), task.clone());
        thread::spawn(move || {
            let words = [(word(&space, one), 0), (word(&space, BASE + 128), 0)];
            block_on(task.run(async {
                match of_several {
                    true => wait_any(&words, deadline).await.map(|index| assert_eq!(index, 0)),
                    false => wait(&words[0].0, 0, MATCH_ANY, deadline).await,
                }
            }))
        })
    };
    let waker = {
        let space = space.clone();
        thread::spawn(move || wake(&word(&space, one), 1, MATCH_ANY).unwrap())
    };
    block_on(requeue(&word(&space, one), 0, 1, &word(&space, target), None)).unwrap();
    time_passes(&task);
    let woken = waker.join().unwrap();
    assert_eq!(waiter.join().unwrap(), if woken == 1 { Ok(()) } else { Err(Errno::ETIMEDOUT) });
}

#[test]
fn who_is_not_counted_waits_on() {
    explore(|| only_a_wake_that_counts(false));
}

#[test]
fn who_is_not_counted_at_any_word_waits_on() {
    explore(|| only_a_wake_that_counts(true));
}
