//! The asynchronous locks.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use base::machine;
use base::sync::atomic::{AtomicUsize, Ordering};
use futures_util::task::noop_waker;

use crate::lock::{Completion, Mutex, RwLock, Semaphore};
use crate::pollwait::{Reason, Wait};
use crate::{TaskOptions, host, sleep_until, yield_now};

fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    let waker = noop_waker();
    future.as_mut().poll(&mut Context::from_waker(&waker))
}

fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it should be ready"),
    }
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn a_mutex_excludes_on_several_cpus() {
    let mutex = Arc::new(Mutex::new((0_usize, false)));
    let total = Arc::clone(&mutex);
    host::run(3, move |executor| {
        for _ in 0..20 {
            let mutex = Arc::clone(&mutex);
            executor.spawn(TaskOptions::new("adder"), async move {
                for _ in 0..20 {
                    let mut guard = mutex.lock().await;
                    assert!(!core::mem::replace(&mut guard.1, true), "two are inside");
                    yield_now().await;
                    guard.0 += 1;
                    guard.1 = false;
                }
            });
        }
    });
    assert_eq!(total.try_lock().map(|guard| guard.0), Some(400));
}

#[test]
fn a_mutex_is_handed_over_first_come_first_served() {
    base::host::install();
    let mutex = Mutex::new(());
    let guard = mutex.try_lock().expect("it is free");
    let mut first = Box::pin(mutex.lock());
    let mut second = Box::pin(mutex.lock());
    assert!(poll_once(&mut first).is_pending() && poll_once(&mut second).is_pending());
    drop(guard);
    assert!(mutex.try_lock().is_none(), "it belongs to the first waiter");
    assert!(poll_once(&mut second).is_pending());
    // The first is dropped with the lock in its hands.
    drop(first);
    drop(ready(poll_once(&mut second)));
    assert!(mutex.try_lock().is_some());
}

#[test]
fn a_mutex_wait_that_timed_out_leaves_no_trace() {
    host::run(1, |executor| {
        executor.spawn(TaskOptions::new("task"), async {
            let mutex = Mutex::new(5);
            let guard = mutex.lock().await;
            let deadline = machine::now() + Duration::from_millis(1);
            let wait = Wait::interruptible().until(deadline);
            assert_eq!(mutex.lock_with(wait).await.err(), Some(Reason::Timeout));
            drop(guard);
            assert_eq!(*mutex.lock_with(wait).await.expect("it is free"), 5);
            assert_eq!(mutex.into_inner(), 5);
        });
    });
}

#[test]
fn readers_share_and_a_waiting_writer_comes_before_later_readers() {
    base::host::install();
    let lock = RwLock::new(1);
    let reader = lock.try_read().expect("it is free");
    let other = lock.try_read().expect("readers share");
    let mut writer = Box::pin(lock.write());
    assert!(poll_once(&mut writer).is_pending());
    assert!(lock.try_read().is_none());
    let mut late = Box::pin(lock.read());
    let mut later = Box::pin(lock.read());
    assert!(poll_once(&mut late).is_pending() && poll_once(&mut later).is_pending());
    drop(reader);
    assert!(poll_once(&mut writer).is_pending());
    drop(other);
    let mut guard = ready(poll_once(&mut writer));
    *guard += 1;
    assert!(poll_once(&mut late).is_pending());
    drop(guard);
    assert_eq!(*ready(poll_once(&mut late)), 2);
    assert_eq!(*ready(poll_once(&mut later)), 2);
    assert!(lock.try_write().is_some());
}

#[test]
fn readers_behind_a_writer_that_gave_up_get_in() {
    base::host::install();
    let lock = RwLock::new(());
    let reader = lock.try_read().expect("it is free");
    let mut writer = Box::pin(lock.write());
    assert!(poll_once(&mut writer).is_pending());
    let mut late = Box::pin(lock.read());
    assert!(poll_once(&mut late).is_pending());
    drop(writer);
    let late = ready(poll_once(&mut late));
    drop((reader, late));
    // A writer that is dropped with the lock in its hands gives it back.
    let reader = lock.try_read().expect("it is free");
    let mut writer = Box::pin(lock.write());
    assert!(poll_once(&mut writer).is_pending());
    drop(reader);
    assert!(lock.try_read().is_none());
    drop(writer);
    assert!(lock.try_write().is_some());
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn readers_and_writers_on_several_cpus_agree() {
    let lock = Arc::new(RwLock::new((0_usize, 0_usize)));
    let total = Arc::clone(&lock);
    host::run(3, move |executor| {
        for task in 0..16 {
            let lock = Arc::clone(&lock);
            executor.spawn(TaskOptions::new("task"), async move {
                for _ in 0..15 {
                    if task % 4 == 0 {
                        let mut guard = lock.write().await;
                        guard.0 += 1;
                        yield_now().await;
                        guard.1 += 1;
                    } else {
                        let guard = lock.read().await;
                        yield_now().await;
                        assert_eq!(guard.0, guard.1);
                    }
                }
            });
        }
    });
    let guard = total.try_write().expect("nobody holds it");
    assert_eq!(*guard, (60, 60));
}

#[test]
fn a_semaphore_hands_permits_over_and_takes_back_what_was_dropped() {
    base::host::install();
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire().expect("one is free");
    let mut waits: alloc::vec::Vec<_> = (0..20).map(|_| Box::pin(semaphore.acquire())).collect();
    assert!(waits.iter_mut().all(|wait| poll_once(wait).is_pending()));
    semaphore.release(9);
    for wait in waits.drain(..9) {
        drop(wait);
    }
    // The nine dropped ones handed theirs on.
    for wait in waits.iter_mut().take(9) {
        ready(poll_once(wait)).forget();
    }
    assert_eq!(semaphore.available(), 0);
    drop(permit);
    ready(poll_once(&mut waits[9])).forget();
    assert!(poll_once(&mut waits[10]).is_pending());
    drop(waits);
    semaphore.release(2);
    assert_eq!(semaphore.available(), 2);
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn a_semaphore_bounds_how_many_are_inside() {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    host::run(2, move |executor| {
        let semaphore = Arc::new(Semaphore::new(3));
        for _ in 0..12 {
            let (semaphore, inside, most) = (Arc::clone(&semaphore), Arc::clone(&inside), Arc::clone(&most));
            executor.spawn(TaskOptions::new("guest"), async move {
                for _ in 0..10 {
                    let _permit = semaphore.acquire().await;
                    most.fetch_max(inside.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
                    yield_now().await;
                    inside.fetch_sub(1, Ordering::AcqRel);
                }
            });
        }
    });
    assert!((1..=3).contains(&seen.load(Ordering::Relaxed)));
}

#[test]
fn a_completion_releases_those_before_and_after() {
    host::run(2, |executor| {
        let completion = Arc::new(Completion::new());
        for _ in 0..10 {
            let completion = Arc::clone(&completion);
            executor.spawn(TaskOptions::new("waiter"), async move { completion.wait().await });
        }
        executor.spawn(TaskOptions::new("doer"), async move {
            let deadline = machine::now() + Duration::from_millis(1);
            assert_eq!(
                completion.wait_with(Wait::interruptible().until(deadline)).await,
                Err(Reason::Timeout)
            );
            sleep_until(deadline + Duration::from_millis(1)).await;
            completion.complete();
            completion.wait().await;
        });
    });
}
