//! Random operations against naive models.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use base::sync::atomic::{AtomicUsize, Ordering};
use futures_util::task::noop_waker;
use proptest::prelude::*;

use crate::cpu_set::CpuSet;
use crate::executor::Executor;
use crate::pollwait::{Events, Reason, Wait, WaitFuture, WaitKind, WaitSource};
use crate::queue::ReadyQueue;
use crate::task::Runnable;
use crate::{Config, TaskOptions};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig::with_cases(if cfg!(miri) { 3 } else { cases })
}

#[derive(Clone, Debug)]
enum QueueStep {
    Push,
    PushNext,
    Pop,
    PushBehind(usize),
    Pull(usize),
}

fn queue_step() -> impl Strategy<Value = QueueStep> {
    prop_oneof![
        3 => Just(QueueStep::Push),
        2 => Just(QueueStep::PushNext),
        2 => Just(QueueStep::Pop),
        1 => (0_usize..6).prop_map(QueueStep::PushBehind),
        1 => (0_usize..2).prop_map(QueueStep::Pull),
    ]
}

/// Runnables of tasks that never run; even keys are pinned to CPU 0.
fn runnable(executor: &'static Executor, key: u64) -> Runnable {
    let affinity = if key.is_multiple_of(2) { CpuSet::only(0) } else { CpuSet::ALL };
    executor.spawn(TaskOptions::new("item").key(key).daemon().affinity(affinity), async {});
    let cpu = executor.cpu(0).expect("there is one");
    cpu.drain_inbox();
    cpu.pop().expect("it was just spawned").runnable
}

fn key(runnable: &Runnable) -> u64 {
    runnable.metadata().0.key()
}

proptest! {
    #![proptest_config(cases(128))]
    #[test]
    fn the_ready_queue_behaves_like_a_deque(steps in proptest::collection::vec(queue_step(), 0..60)) {
        base::host::install();
        let executor = Executor::new(2, Config::default());
        let mut queue = ReadyQueue::default();
        let (mut fifo, mut next, mut handovers) = (VecDeque::new(), None, 0);
        let mut made = 0;
        let mut taken: Vec<Runnable> = Vec::new();
        for step in steps {
            match step {
                QueueStep::Push => {
                    queue.push(runnable(executor, made));
                    fifo.push_back(made);
                    made += 1;
                }
                QueueStep::PushNext => {
                    queue.push_next(runnable(executor, made));
                    if next.is_none() && handovers < 16 {
                        next = Some(made);
                    } else {
                        fifo.push_back(made);
                    }
                    made += 1;
                }
                QueueStep::Pop => {
                    let popped = queue.pop();
                    let expected = match next.take() {
                        Some(key) => {
                            handovers += 1;
                            Some((key, true))
                        }
                        None => {
                            handovers = 0;
                            fifo.pop_front().map(|key| (key, false))
                        }
                    };
                    prop_assert_eq!(popped.as_ref().map(|popped| (key(&popped.runnable), popped.handed_over)), expected);
                    taken.extend(popped.map(|popped| popped.runnable));
                }
                QueueStep::PushBehind(others) => {
                    queue.push_behind(others, runnable(executor, made));
                    fifo.insert(others.min(fifo.len()), made);
                    let place = fifo.iter().position(|key| *key == made);
                    prop_assert_eq!(queue.position(|task| task.key() == made), place);
                    made += 1;
                }
                QueueStep::Pull(cpu) => {
                    let allowed = |key: &u64| cpu == 0 || !key.is_multiple_of(2);
                    let expected = match fifo.iter().take(8).position(allowed) {
                        Some(index) => fifo.remove(index),
                        None => next.take_if(|key| allowed(key)),
                    };
                    let pulled = queue.pull(cpu, 8);
                    prop_assert_eq!(pulled.as_ref().map(key), expected);
                    taken.extend(pulled);
                }
            }
            prop_assert_eq!(queue.len(), fifo.len() + usize::from(next.is_some()));
        }
        // Every task is still there: none was dropped on the way.
        drop(queue);
        drop(taken);
        prop_assert!(executor.task_count() as u64 <= made);
    }
}

#[derive(Clone, Debug)]
enum WaitStep {
    Begin(u32),
    Drop(usize),
    Poll(usize),
    Wake(usize, u32),
    Requeue(usize, usize),
}

fn wait_step() -> impl Strategy<Value = WaitStep> {
    prop_oneof![
        4 => (1_u32..4).prop_map(WaitStep::Begin),
        2 => (0_usize..12).prop_map(WaitStep::Drop),
        2 => (0_usize..12).prop_map(WaitStep::Poll),
        3 => (0_usize..4, 1_u32..4).prop_map(|(count, events)| WaitStep::Wake(count, events)),
        1 => (0_usize..2, 0_usize..3).prop_map(|(wake, requeue)| WaitStep::Requeue(wake, requeue)),
    ]
}

/// What the model knows of a waiter.
struct Modelled<'a> {
    future: Pin<Box<WaitFuture<'a>>>,
    interest: u32,
    /// The events that it was woken with.
    woken: Option<u32>,
}

fn poll(future: &mut Pin<Box<WaitFuture<'_>>>) -> Poll<Reason> {
    let waker = noop_waker();
    future.as_mut().poll(&mut Context::from_waker(&waker))
}

/// Wakes up to `count` of the model's waiters in `queue` that `events` concern; the sum of both.
fn model_wake(
    waiters: &mut [Option<Modelled<'_>>],
    queue: &mut VecDeque<usize>,
    count: usize,
    events: u32,
) -> usize {
    let mut woken = 0;
    let mut place = 0;
    while woken < count && place < queue.len() {
        let index = queue[place];
        let waiter = waiters[index].as_mut().expect("it is queued");
        if events == 0 || waiter.interest & events != 0 {
            waiter.woken = Some(events);
            queue.remove(place);
            woken += 1;
        } else {
            place += 1;
        }
    }
    woken
}

proptest! {
    #![proptest_config(cases(512))]
    #[test]
    fn a_source_behaves_like_a_queue(steps in proptest::collection::vec(wait_step(), 0..60)) {
        base::host::install();
        let home = Arc::new(WaitSource::new(WaitKind::Other, 1));
        let away = Arc::new(WaitSource::new(WaitKind::Other, 2));
        let mut waiters: Vec<Option<Modelled<'_>>> = Vec::new();
        let (mut at_home, mut at_away) = (VecDeque::new(), VecDeque::new());
        for step in steps {
            match step {
                WaitStep::Begin(interest) => {
                    let wait = Wait::interruptible().events(Events::from_bits_retain(interest));
                    let mut future = Box::pin(home.wait(home.observe(), wait));
                    prop_assert!(poll(&mut future).is_pending());
                    at_home.push_back(waiters.len());
                    waiters.push(Some(Modelled { future, interest, woken: None }));
                }
                WaitStep::Drop(index) => {
                    let Some(waiter) = waiters.get_mut(index).and_then(Option::take) else { continue };
                    let moved = at_away.contains(&index);
                    at_home.retain(|&queued| queued != index);
                    at_away.retain(|&queued| queued != index);
                    // Which source it was woken from decides who is next; the model asks the queues.
                    let before = (home.waiting(), away.waiting());
                    drop(waiter.future);
                    if let Some(events) = waiter.woken {
                        let (home_lost, away_lost) = (before.0 - home.waiting(), before.1 - away.waiting());
                        prop_assert!(home_lost + away_lost <= 1);
                        model_wake(&mut waiters, &mut at_home, home_lost, events);
                        model_wake(&mut waiters, &mut at_away, away_lost, events);
                    } else {
                        prop_assert!(!moved || away.waiting() + 1 == before.1);
                    }
                }
                WaitStep::Poll(index) => {
                    let Some(Some(waiter)) = waiters.get_mut(index) else { continue };
                    prop_assert_eq!(poll(&mut waiter.future).is_ready(), waiter.woken.is_some());
                    if waiter.woken.is_some() {
                        waiters[index] = None;
                    }
                }
                WaitStep::Wake(count, events) => {
                    let woken = home.wake_n(count, Events::from_bits_retain(events), Reason::Data);
                    prop_assert_eq!(woken, model_wake(&mut waiters, &mut at_home, count, events));
                }
                WaitStep::Requeue(wake, requeue) => {
                    let done = home.requeue(wake, requeue, &away);
                    let woken = model_wake(&mut waiters, &mut at_home, wake, 0);
                    let moved = requeue.min(at_home.len());
                    at_away.extend(at_home.drain(..moved));
                    prop_assert_eq!(done, (woken, moved));
                }
            }
            prop_assert_eq!((home.waiting(), away.waiting()), (at_home.len(), at_away.len()));
        }
        drop(waiters);
        prop_assert_eq!((home.waiting(), away.waiting()), (0, 0));
    }
}

#[test]
fn a_waker_is_fired_once() {
    struct Flag(AtomicUsize);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    base::host::install();
    let flag = Arc::new(Flag(AtomicUsize::new(0)));
    let waker = core::task::Waker::from(Arc::clone(&flag));
    let source = WaitSource::new(WaitKind::Other, 0);
    let mut wait = Box::pin(source.wait(source.observe(), Wait::interruptible()));
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    source.wake_all(Events::IN, Reason::Data);
    source.wake_all(Events::IN, Reason::Data);
    assert_eq!(flag.0.load(Ordering::Relaxed), 1);
}
