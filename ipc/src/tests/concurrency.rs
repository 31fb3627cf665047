//! Two CPUs at once, on the executor, with the order of ready tasks permuted by a seed.

use alloc::boxed::Box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::Errno;
use base::host::Clock;
use executor::order::{Schedule, SeededOrder};
use executor::{Config, Executor, TaskOptions, yield_now};

use super::support::{Postcard, Process, receive, send};
use crate::AccessOp;
use crate::channel::Options;
use crate::port::Port;
use crate::selftest::races;

/// Runs what `setup` spawns on `cpus` CPUs in the order of `seed`.
fn run(cpus: usize, seed: u64, setup: impl FnOnce(&'static Executor)) {
    let order = SeededOrder::new(seed, Schedule::Random);
    let config = Config { order: Some(Box::new(order)), ..Config::default() };
    if let Some(deadlock) = executor::host::run_with(cpus, Clock::Virtual, config, setup) {
        panic!("seed {seed}: deadlock:\n{deadlock}");
    }
}

fn spawn(executor: &'static Executor, name: &str, future: impl Future<Output = ()> + Send + 'static) {
    executor.spawn(TaskOptions::new(name), future);
}

#[test]
fn nothing_is_lost_doubled_or_overtaken_between_senders_and_receivers() {
    for seed in 0..20 {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        let received = Arc::new(AtomicUsize::new(0));
        let sending = Arc::new(AtomicUsize::new(3));
        run(2, seed, |executor| {
            for sender in 0..3u8 {
                let (process, sending) = (process.clone(), sending.clone());
                spawn(executor, "sender", async move {
                    for round in 0..100u8 {
                        send(&process, to, &[sender, round], &[]).await.unwrap();
                    }
                    if sending.fetch_sub(1, Ordering::AcqRel) == 1 {
                        process.table.close(to).unwrap();
                    }
                });
            }
            for options in [Options::empty(), Options::RENDEZVOUS] {
                let (process, received) = (process.clone(), received.clone());
                spawn(executor, "receiver", async move {
                    let mut last = [None; 3];
                    while let Some(letter) = receive(&process, from, options).await.unwrap() {
                        let [sender, round] = letter.bytes[..] else { panic!("another message") };
                        let last = &mut last[usize::from(sender)];
                        assert!(last.is_none_or(|last| last < round), "in the order of their sender");
                        *last = Some(round);
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(received.load(Ordering::Relaxed), 300, "seed {seed}");
    }
}

#[test]
fn a_close_ends_every_blocked_operation() {
    for seed in 0..50 {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        while process.send(to, b"x", &[]).is_ok() {}
        let (idle, idle_peer) = process.channel();
        let port =
            process.table.insert(&process.caller, Port::create(&process.caller).unwrap(), false).unwrap();
        let (moved, moved_peer) = process.channel();
        run(2, seed, |executor| {
            let other = process.clone();
            spawn(executor, "sender", async move {
                assert_eq!(send(&other, to, b"y", &[moved]).await, Err(Errno::EPIPE));
                assert!(other.table.get_any(moved).is_ok(), "the handle is where it was");
                other.table.close(moved).unwrap();
            });
            for handle in [idle, idle_peer] {
                let other = process.clone();
                spawn(executor, "receiver", async move {
                    // By the time that it asks, the handle may be closed already.
                    match receive(&other, handle, Options::empty()).await {
                        Ok(None) | Err(Errno::EBADF) => {}
                        _ => panic!("there was nothing to receive"),
                    }
                });
            }
            let other = process.clone();
            spawn(executor, "waiter", async move {
                let Ok(access) = other.table.get(port, AccessOp::Wait) else { return };
                let mut card = Postcard::default();
                let port = access.object().port().unwrap();
                assert_eq!(port.take(&access, &mut card, None, false).await, Err(Errno::EBADF));
            });
            let other = process.clone();
            spawn(executor, "closer", async move {
                yield_now().await;
                for handle in [from, idle, port] {
                    other.table.close(handle).unwrap();
                    yield_now().await;
                }
            });
        });
        let _ = moved_peer;
    }
}

#[test]
fn a_revocation_ends_what_waits_in_its_name_and_nothing_else() {
    for seed in 0..50 {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        let lent = process.duplicate(from).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        run(2, seed, |executor| {
            let (other, count) = (process.clone(), done.clone());
            spawn(executor, "borrower", async move {
                match receive(&other, lent, Options::empty()).await {
                    Err(Errno::EBADF) => {}
                    _ => panic!("the message is not for the borrower"),
                }
                count.fetch_add(1, Ordering::Relaxed);
            });
            let (other, count) = (process.clone(), done.clone());
            spawn(executor, "owner", async move {
                let letter = receive(&other, from, Options::empty()).await.unwrap().unwrap();
                assert_eq!(letter.bytes, b"after");
                count.fetch_add(1, Ordering::Relaxed);
            });
            let other = process.clone();
            spawn(executor, "revoker", async move {
                yield_now().await;
                other.table.begin_revocation(from, false).map(drop).unwrap();
                send(&other, to, b"after", &[]).await.unwrap();
            });
        });
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn n3_a_number_never_names_what_it_named_before() {
    let process = Arc::new(Process::new(1));
    let (first, _peer) = process.channel();
    let stop = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (other, stopped) = (process.clone(), stop.clone());
        scope.spawn(move || {
            while stopped.load(Ordering::Acquire) == 0 {
                for handle in 0..64 {
                    let Ok(access) = other.table.get(handle, AccessOp::Read) else { continue };
                    let now = other.table.info(handle);
                    // Either it still is what was looked up, or the number was closed since.
                    if now.is_ok_and(|now| now.capability == access.node().id().as_u64()) {
                        assert!(!access.node().is_revoked());
                    }
                }
            }
        });
        for _ in 0..20_000 {
            let copy = process.duplicate(first).unwrap();
            let id = process.table.info(copy).unwrap().capability;
            process.table.close(copy).unwrap();
            assert!(process.table.info(copy).is_err() || process.table.info(copy).unwrap().capability != id);
        }
        stop.store(1, Ordering::Release);
    });
}

#[test]
fn n14_a_wake_that_its_waiter_cannot_use_goes_on() {
    for seed in 0..100 {
        run(2, seed, |executor| spawn(executor, "n14", races::wakes_go_on(1)));
    }
}
