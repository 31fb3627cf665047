//! Waiting, waking, leaving.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Mutex;

use base::host::Clock;
use base::machine;
use base::sync::atomic::{AtomicUsize, Ordering};
use futures_util::task::noop_waker;

use crate::pollwait::{Baton, Events, Reason, Wait, WaitKind, WaitSource, Watch, Watcher, suspend};
use crate::{Config, TaskOptions, current, host, spawn, yield_now};

fn source() -> Arc<WaitSource> {
    Arc::new(WaitSource::new(WaitKind::Other, 1))
}

/// A wait that is polled by hand, without a task.
fn poll_once<F: Future>(future: core::pin::Pin<&mut F>) -> Poll<F::Output> {
    let waker = noop_waker();
    future.poll(&mut Context::from_waker(&waker))
}

#[test]
fn a_wake_between_the_observation_and_the_wait_is_not_lost() {
    base::host::install();
    let source = source();
    let seen = source.observe();
    source.wake_one(Events::IN, Reason::Data);
    let wait = pin!(source.wait(seen, Wait::interruptible()));
    assert_eq!(poll_once(wait), Poll::Ready(Reason::Data));
    assert_eq!(source.waiting(), 0);
}

#[test]
fn waiters_are_woken_in_the_order_they_came() {
    base::host::install();
    let source = source();
    let mut waits: Vec<_> = (0..12)
        .map(|_| alloc::boxed::Box::pin(source.wait(source.observe(), Wait::interruptible())))
        .collect();
    for wait in &mut waits {
        assert_eq!(poll_once(wait.as_mut()), Poll::Pending);
    }
    assert_eq!(source.wake_n(10, Events::IN, Reason::Hup), 10);
    for wait in &mut waits[..10] {
        assert_eq!(poll_once(wait.as_mut()), Poll::Ready(Reason::Hup));
    }
    assert!(waits[10..].iter_mut().all(|wait| poll_once(wait.as_mut()).is_pending()));
    assert_eq!(source.wake_all(Events::IN, Reason::Data), 2);
    assert_eq!(source.wake_all(Events::IN, Reason::Data), 0);
}

#[test]
fn a_wake_one_that_nobody_consumed_goes_to_the_next() {
    base::host::install();
    let source = source();
    let wait = || alloc::boxed::Box::pin(source.wait(source.observe(), Wait::interruptible()));
    let (mut first, mut second) = (wait(), wait());
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    source.wake_one(Events::IN, Reason::Data);
    drop(first);
    assert_eq!(poll_once(second.as_mut()), Poll::Ready(Reason::Data));
    // A wake for all is nobody's to pass on.
    let (mut first, mut second) = (wait(), wait());
    assert!(poll_once(first.as_mut()).is_pending());
    source.wake_all(Events::IN, Reason::Data);
    assert!(poll_once(second.as_mut()).is_ready());
    let mut third = wait();
    assert!(poll_once(third.as_mut()).is_pending());
    drop(first);
    assert!(poll_once(third.as_mut()).is_pending());
}

#[test]
fn a_wake_that_is_passed_on_goes_to_one_whom_it_concerns() {
    base::host::install();
    let source = source();
    let wait =
        |events| alloc::boxed::Box::pin(source.wait(source.observe(), Wait::interruptible().events(events)));
    let (mut reader, mut writer, mut other) = (wait(Events::IN), wait(Events::OUT), wait(Events::IN));
    for waiting in [&mut reader, &mut writer, &mut other] {
        assert!(poll_once(waiting.as_mut()).is_pending());
    }
    assert_eq!(source.wake_one(Events::IN, Reason::Data), 1);
    drop(reader);
    assert!(poll_once(writer.as_mut()).is_pending());
    assert!(poll_once(other.as_mut()).is_ready());
}

/// A wait that ends with a wake for one, with nobody before it.
fn get_baton<'a>(baton: &mut Baton<'a>, source: &'a WaitSource) {
    let mut waiting = pin!(baton.wait(source, source.observe(), Wait::interruptible()));
    assert!(poll_once(waiting.as_mut()).is_pending());
    assert_eq!(source.wake_one(Events::IN, Reason::Data), 1);
    assert_eq!(poll_once(waiting), Poll::Ready(Reason::Data));
}

#[test]
fn a_baton_is_passed_on_unless_it_was_used() {
    base::host::install();
    let source = source();
    let next = || alloc::boxed::Box::pin(source.wait(source.observe(), Wait::interruptible()));
    for is_used in [true, false] {
        let mut baton = Baton::new();
        get_baton(&mut baton, &source);
        let (mut second, mut third) = (next(), next());
        assert!(poll_once(second.as_mut()).is_pending() && poll_once(third.as_mut()).is_pending());
        if is_used {
            baton.used();
        }
        drop(baton);
        assert_eq!(poll_once(second.as_mut()).is_ready(), !is_used);
        assert!(poll_once(third.as_mut()).is_pending(), "one wake, one waiter");
    }
}

#[test]
fn a_baton_takes_the_wake_of_a_wait_that_was_polled_by_hand() {
    base::host::install();
    let source = source();
    let mut wait = pin!(source.wait(source.observe(), Wait::interruptible()));
    let mut other = pin!(source.wait(source.observe(), Wait::interruptible()));
    assert!(poll_once(wait.as_mut()).is_pending() && poll_once(other.as_mut()).is_pending());
    assert_eq!(source.wake_one(Events::IN, Reason::Data), 1);
    assert_eq!(poll_once(wait.as_mut()), Poll::Ready(Reason::Data));
    let mut baton = Baton::new();
    baton.take_from(&wait);
    assert!(poll_once(other.as_mut()).is_pending());
    drop(baton);
    assert_eq!(poll_once(other), Poll::Ready(Reason::Data), "it was not used");
    // A wait that starts again has nothing to hand on.
    wait.set(source.wait(source.observe(), Wait::interruptible()));
    assert!(poll_once(wait.as_mut()).is_pending());
    let mut third = pin!(source.wait(source.observe(), Wait::interruptible()));
    assert!(poll_once(third.as_mut()).is_pending());
    let mut baton = Baton::new();
    assert_eq!(source.wake_all(Events::IN, Reason::Data), 2);
    assert!(poll_once(wait.as_mut()).is_ready() && poll_once(third).is_ready());
    baton.take_from(&wait);
    let mut last = pin!(source.wait(source.observe(), Wait::interruptible()));
    assert!(poll_once(last.as_mut()).is_pending());
    drop(baton);
    assert!(poll_once(last).is_pending(), "a wake for all is nobody's to hand on");
}

#[test]
fn a_wake_for_all_of_one_waiter_is_nobodys_to_pass_on() {
    base::host::install();
    let source = source();
    let wait = || alloc::boxed::Box::pin(source.wait(source.observe(), Wait::interruptible()));
    let mut only = wait();
    assert!(poll_once(only.as_mut()).is_pending());
    assert_eq!(source.wake_all(Events::IN, Reason::Data), 1);
    let mut next = wait();
    assert!(poll_once(next.as_mut()).is_pending());
    drop(only);
    assert!(poll_once(next.as_mut()).is_pending());
    // A counted one is.
    assert_eq!(source.wake_n(2, Events::IN, Reason::Data), 1);
    let mut second = wait();
    assert!(poll_once(second.as_mut()).is_pending());
    drop(next);
    assert!(poll_once(second.as_mut()).is_ready());
}

#[test]
fn a_baton_is_void_when_its_owner_waits_again() {
    base::host::install();
    let source = source();
    let mut baton = Baton::new();
    get_baton(&mut baton, &source);
    let mut other = pin!(source.wait(source.observe(), Wait::interruptible()));
    assert!(poll_once(other.as_mut()).is_pending());
    {
        let mut again = pin!(baton.wait(&source, source.observe(), Wait::interruptible()));
        assert!(poll_once(again.as_mut()).is_pending());
    }
    drop(baton);
    assert!(poll_once(other).is_pending());
}

#[test]
fn a_wake_for_all_is_no_baton() {
    base::host::install();
    let source = source();
    let mut baton = Baton::new();
    {
        let mut waiting = pin!(baton.wait(&source, source.observe(), Wait::interruptible()));
        assert!(poll_once(waiting.as_mut()).is_pending());
        assert_eq!(source.wake_all(Events::IN, Reason::Data), 1);
        assert!(poll_once(waiting).is_ready());
    }
    let mut other = pin!(source.wait(source.observe(), Wait::interruptible()));
    assert!(poll_once(other.as_mut()).is_pending());
    drop(baton);
    assert!(poll_once(other).is_pending());
}

#[test]
fn events_choose_the_waiter_and_errors_reach_everybody() {
    base::host::install();
    let source = source();
    let wait =
        |events| alloc::boxed::Box::pin(source.wait(source.observe(), Wait::interruptible().events(events)));
    let (mut reader, mut writer) = (wait(Events::IN), wait(Events::OUT));
    assert!(poll_once(reader.as_mut()).is_pending() && poll_once(writer.as_mut()).is_pending());
    assert_eq!(source.wake_one(Events::OUT, Reason::Data), 1);
    assert!(poll_once(reader.as_mut()).is_pending());
    assert_eq!(poll_once(writer.as_mut()), Poll::Ready(Reason::Data));
    assert_eq!(source.wake_one(Events::ERR, Reason::Data), 1);
    assert_eq!(poll_once(reader.as_mut()), Poll::Ready(Reason::Data));
}

#[test]
fn a_closed_source_ends_every_wait() {
    base::host::install();
    let source = source();
    let mut wait = pin!(source.wait(source.observe(), Wait::uninterruptible()));
    assert!(poll_once(wait.as_mut()).is_pending());
    source.wake_one(Events::IN, Reason::Data);
    source.close();
    assert_eq!(poll_once(wait), Poll::Ready(Reason::Close), "close replaces data");
    let later = pin!(source.wait(source.observe(), Wait::uninterruptible()));
    assert_eq!(poll_once(later), Poll::Ready(Reason::Close));
}

#[test]
fn requeued_waiters_wait_on_the_other_source() {
    base::host::install();
    let (one, two) = (source(), source());
    let wait = || alloc::boxed::Box::pin(one.wait(one.observe(), Wait::interruptible()));
    let mut waits: Vec<_> = (0..5).map(|_| wait()).collect();
    for wait in &mut waits {
        assert!(poll_once(wait.as_mut()).is_pending());
    }
    assert_eq!(one.requeue(1, 3, &two), (1, 3));
    assert_eq!((one.waiting(), two.waiting()), (1, 3));
    assert!(poll_once(waits[0].as_mut()).is_ready());
    // One leaves from its new place, one is woken there and dropped, so that the last gets it.
    drop(waits.remove(1));
    assert_eq!(two.waiting(), 2);
    two.wake_one(Events::IN, Reason::Data);
    drop(waits.remove(1));
    assert_eq!(two.waiting(), 0);
    assert_eq!(poll_once(waits[1].as_mut()), Poll::Ready(Reason::Data));
    assert!(poll_once(waits[2].as_mut()).is_pending());
    assert_eq!(one.requeue(0, 9, &one), (0, 0));
    // Back and forth: the source that is left may be freed meanwhile.
    one.requeue(0, 9, &two);
    let three = source();
    two.requeue(0, 9, &three);
    drop(two);
    assert_eq!(three.waiting(), 1);
    drop(waits);
    assert_eq!(three.waiting(), 0);
}

#[test]
fn a_deadline_ends_a_wait_and_a_wake_beats_it() {
    host::run(2, |executor| {
        let source = source();
        let quiet = Arc::clone(&source);
        executor.spawn(TaskOptions::new("late"), async move {
            let deadline = machine::now() + Duration::from_millis(5);
            let wait = Wait::interruptible().until(deadline);
            assert_eq!(quiet.wait(quiet.observe(), wait).await, Reason::Timeout);
            assert!(machine::now() >= deadline);
            assert_eq!(quiet.waiting(), 0);
            let past = Wait::interruptible().until(deadline);
            let seen = quiet.observe();
            quiet.wake_all(Events::IN, Reason::Data);
            assert_eq!(quiet.wait(seen, past).await, Reason::Data);
            assert_eq!(quiet.wait(quiet.observe(), past).await, Reason::Timeout);
        });
    });
}

#[test]
fn an_interruption_ends_only_interruptible_waits() {
    host::run(2, |executor| {
        let source = source();
        let stubborn = Arc::new(AtomicUsize::new(0));
        let waiter = {
            let (source, phase) = (Arc::clone(&source), Arc::clone(&stubborn));
            executor.spawn(TaskOptions::new("waiter"), async move {
                assert_eq!(source.wait(source.observe(), Wait::interruptible()).await, Reason::Signal);
                let this = current().expect("a task runs");
                assert!(this.is_interrupted());
                let again = source.wait(source.observe(), Wait::interruptible()).await;
                assert_eq!(again, Reason::Signal, "until it is answered");
                phase.store(1, Ordering::Release);
                let stubborn = source.wait(source.observe(), Wait::uninterruptible()).await;
                assert_eq!(stubborn, Reason::Data);
                this.clear_interrupt();
                let reason = suspend(
                    WaitKind::Sleep,
                    Wait::interruptible().until(machine::now() + Duration::from_millis(1)),
                );
                assert_eq!(reason.await, Reason::Timeout);
            })
        };
        executor.spawn(TaskOptions::new("killer"), async move {
            while waiter.last_wait().is_none() {
                yield_now().await;
            }
            waiter.interrupt();
            while stubborn.load(Ordering::Acquire) == 0 || source.waiting() == 0 {
                yield_now().await;
            }
            waiter.interrupt();
            for _ in 0..10 {
                yield_now().await;
            }
            assert_eq!(waiter.last_wait().and_then(|wait| wait.ended), None);
            source.wake_one(Events::IN, Reason::Data);
        });
    });
}

#[derive(Default)]
struct Recorder(Mutex<Vec<(Events, Reason)>>);

impl Watcher for Recorder {
    fn notify(&self, events: Events, reason: Reason) {
        self.0.lock().expect("no panic").push((events, reason));
    }
}

impl Recorder {
    fn count(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

#[test]
fn watchers_are_told_of_what_concerns_them_until_they_leave() {
    let source = source();
    let recorders: Vec<Arc<Recorder>> = (0..20).map(|_| Arc::default()).collect();
    let mut watches: Vec<_> = recorders
        .iter()
        .map(|recorder| Watch::new(&source, Arc::clone(recorder) as Arc<dyn Watcher>, Events::IN))
        .collect();
    source.wake_one(Events::IN, Reason::Data);
    source.wake_all(Events::OUT, Reason::Data);
    source.wake_all(Events::HUP, Reason::Hup);
    for recorder in &recorders {
        let seen = recorder.0.lock().expect("no panic").clone();
        assert_eq!(seen, [(Events::IN, Reason::Data), (Events::HUP, Reason::Hup)]);
    }
    watches[3].set_interest(Events::OUT);
    watches.truncate(10);
    source.wake_one(Events::OUT, Reason::Data);
    assert_eq!((recorders[3].count(), recorders[2].count(), recorders[15].count()), (3, 2, 2));
    drop(watches);
    assert!(!source.has_waiters());
}

#[test]
fn of_the_exclusive_watchers_one_is_told() {
    let source = source();
    let recorders: Vec<Arc<Recorder>> = (0..3).map(|_| Arc::default()).collect();
    let _watches: Vec<_> = recorders
        .iter()
        .map(|recorder| Watch::exclusive(&source, Arc::clone(recorder) as Arc<dyn Watcher>, Events::IN))
        .collect();
    source.wake_one(Events::IN, Reason::Data);
    assert_eq!(recorders.iter().map(|recorder| recorder.count()).sum::<usize>(), 1);
    for _ in 0..5 {
        source.wake_one(Events::IN, Reason::Data);
    }
    assert!(recorders.iter().all(|recorder| recorder.count() == 2), "they are served in turn");
}

/// An exclusive watcher that nobody waits behind.
#[derive(Default)]
struct Idle(Recorder);

impl Watcher for Idle {
    fn notify(&self, events: Events, reason: Reason) {
        self.0.notify(events, reason);
    }

    fn notify_exclusive(&self, events: Events, reason: Reason) -> bool {
        self.notify(events, reason);
        false
    }
}

#[test]
fn an_exclusive_watcher_with_nobody_to_wake_leaves_it_to_the_next() {
    let source = source();
    let idle: Vec<Arc<Idle>> = (0..10).map(|_| Arc::default()).collect();
    let (busy, shared): (Arc<Recorder>, Arc<Recorder>) = (Arc::default(), Arc::default());
    let exclusive = |watcher: Arc<dyn Watcher>| Watch::exclusive(&source, watcher, Events::IN);
    let _first: Vec<_> = idle[..9].iter().map(|idle| exclusive(idle.clone())).collect();
    let _busy = exclusive(busy.clone());
    let _last = exclusive(idle[9].clone());
    let _shared = Watch::new(&source, shared.clone(), Events::IN);
    source.wake_one(Events::IN, Reason::Data);
    assert!(idle[..9].iter().all(|idle| idle.0.count() == 1));
    assert_eq!((busy.count(), idle[9].0.count(), shared.count()), (1, 0, 1));
}

/// A counter that consumers take from, as a pipe or a channel would do it.
struct Items {
    left: AtomicUsize,
    source: WaitSource,
}

impl Items {
    fn try_take(&self) -> bool {
        self.left.try_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
    }

    async fn take(&self, wait: Wait) -> Option<()> {
        loop {
            let seen = self.source.observe();
            if self.try_take() {
                return Some(());
            }
            match self.source.wait(seen, wait).await {
                Reason::Signal | Reason::Timeout => return self.try_take().then_some(()),
                _ => {}
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn many_producers_and_consumers_lose_nothing_though_consumers_give_up() {
    const ITEMS: usize = 400;
    let taken = Arc::new(AtomicUsize::new(0));
    let total = Arc::clone(&taken);
    let deadlock = host::run_with(3, Clock::Real, Config::default(), move |executor| {
        let items =
            Arc::new(Items { left: AtomicUsize::new(0), source: WaitSource::new(WaitKind::Other, 0) });
        for consumer in 0..6_u64 {
            let (items, taken) = (Arc::clone(&items), Arc::clone(&taken));
            executor.spawn(TaskOptions::new("consumer"), async move {
                let mut round = consumer;
                while taken.load(Ordering::Acquire) < ITEMS {
                    round += 1;
                    // Some waits end by a deadline that comes about when the items do.
                    let deadline = machine::now() + Duration::from_micros(1 + round % 7 * 20);
                    if items.take(Wait::interruptible().until(deadline)).await.is_some() {
                        taken.fetch_add(1, Ordering::AcqRel);
                    }
                }
            });
        }
        for _ in 0..4 {
            let items = Arc::clone(&items);
            executor.spawn(TaskOptions::new("producer"), async move {
                for _ in 0..ITEMS / 4 {
                    items.left.fetch_add(1, Ordering::AcqRel);
                    items.source.wake_one(Events::IN, Reason::Data);
                    yield_now().await;
                }
            });
        }
    });
    assert_eq!(deadlock, None);
    assert_eq!(total.load(Ordering::Relaxed), ITEMS);
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn many_takers_without_deadlines_sleep_and_are_all_woken() {
    host::run(2, |executor| {
        let items =
            Arc::new(Items { left: AtomicUsize::new(0), source: WaitSource::new(WaitKind::Other, 0) });
        executor.spawn(TaskOptions::new("parent"), async move {
            for _ in 0..200 {
                let items = Arc::clone(&items);
                spawn(TaskOptions::new("taker"), async move {
                    items.take(Wait::uninterruptible()).await;
                });
            }
            for _ in 0..200 {
                items.left.fetch_add(1, Ordering::AcqRel);
                items.source.wake_one(Events::IN, Reason::Data);
                yield_now().await;
            }
        });
    });
}
