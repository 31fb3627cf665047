//! futex_waitv(2), futex_wake(2), futex_wait(2), futex_requeue(2).

use crate::harness::{Case, case};
use crate::sys::*;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(waitv_tells_which_was_woken).since(5, 16),
    case!(waitv_checks_values).since(5, 16),
    case!(waitv_checks_arguments_in_order).since(5, 16),
    case!(waitv_times_out_on_both_clocks).since(5, 16),
    case!(waitv_of_one_word_twice).since(5, 16),
    case!(waitv_of_the_most_words).since(5, 16),
    case!(waitv_loses_no_wake).long().since(5, 16),
    case!(wake_counts_exactly).since(6, 7),
    case!(masks_select).since(6, 7),
    case!(arguments_are_checked_in_order).since(6, 7),
    case!(old_and_new_calls_meet).since(6, 7),
    case!(requeue_compares_and_moves).since(6, 7),
    case!(requeue_checks_arguments_in_order).since(6, 7),
    case!(waits_restart_under_sa_restart).since(6, 7),
];

// The C library's crate does not know these numbers.
const SYS_FUTEX_WAKE: i64 = 454;
const SYS_FUTEX_WAIT: i64 = 455;
const SYS_FUTEX_REQUEUE: i64 = 456;

macro_rules! futex2 {
    ($number:ident, $($argument:expr),*) => { call($number, &[$(Argument::register($argument)),*]) };
}

const SHARED: u32 = 2;
const PRIVATE: u32 = 2 | 128;

/// `struct futex_waitv`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Waiter {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

fn on(word: &AtomicU32) -> Waiter {
    Waiter { value: 0, address: std::ptr::from_ref(word) as u64, flags: PRIVATE, reserved: 0 }
}

fn waitv(waiters: &[Waiter]) -> Sys<usize> {
    syscall!(SYS_futex_waitv, waiters.as_ptr(), waiters.len(), 0, 0, 0)
}

/// Gives up at once, on the monotonic clock.
fn try_waitv(waiters: &[Waiter]) -> Sys<usize> {
    syscall!(SYS_futex_waitv, waiters.as_ptr(), waiters.len(), 0, &milliseconds(0), libc::CLOCK_MONOTONIC)
}

fn wake(word: &AtomicU32, mask: u64, count: i32) -> Sys<usize> {
    futex2!(SYS_FUTEX_WAKE, word, mask, count, PRIVATE)
}

/// The first call knows no number of waiters but these.
fn wake_all(word: &AtomicU32) -> usize {
    syscall!(SYS_futex, word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, i32::MAX, 0, 0, 0).unwrap()
}

fn wait(word: &AtomicU32, value: u64, mask: u64) -> Sys<usize> {
    futex2!(SYS_FUTEX_WAIT, word, value, mask, PRIVATE, 0, 0)
}

fn words() -> [&'static AtomicU32; 2] {
    let page = map_anonymous(PAGE);
    [word_at(page), word_at(page + 64)]
}

fn waitv_tells_which_was_woken() {
    let words = words();
    for index in [1, 0] {
        let sleeper = sleeper(move || waitv(&words.map(on)));
        assert_eq!(wake_all(words[index]), 1);
        assert_eq!(sleeper.join().unwrap(), Ok(index));
        assert_eq!(words.map(wake_all), [0, 0], "nothing is left in the queues");
    }
}

fn waitv_checks_values() {
    let words = words();
    words[1].store(1, SeqCst);
    assert_eq!(try_waitv(&words.map(on)), Err(EAGAIN));
    let mut waiters = words.map(on);
    waiters[1].value = 1;
    assert_eq!(try_waitv(&waiters), Err(ETIMEDOUT));
    waiters[1].value = 1 << 32 | 1;
    assert_eq!(try_waitv(&waiters), Err(EINVAL), "more than the word holds");
    // The first word is compared before the second is read.
    waiters[1] = Waiter { address: 8, ..on(words[1]) };
    waiters[0].value = 5;
    assert_eq!(try_waitv(&waiters), Err(EAGAIN));
    waiters[0].value = 0;
    assert_eq!(try_waitv(&waiters), Err(EFAULT));
    // But all are looked up before any is compared.
    waiters[0].value = 5;
    waiters[1].flags = SHARED;
    assert_eq!(try_waitv(&waiters), Err(EFAULT));
    waiters[1].address = words[1].as_ptr() as u64 + 2;
    assert_eq!(try_waitv(&waiters), Err(EINVAL), "not aligned");
}

fn waitv_checks_arguments_in_order() {
    let words = words();
    let good = words.map(on);
    let call = |at: usize, count: usize, flags: u32, timeout: usize, clock: i32| {
        syscall!(SYS_futex_waitv, at, count, flags, timeout, clock)
    };
    let at = good.as_ptr() as usize;
    assert_eq!(call(0, 1, 0, 0, 0), Err(EINVAL));
    assert_eq!(call(at, 0, 0, 0, 0), Err(EINVAL));
    assert_eq!(call(at, 129, 0, 8, 0), Err(EINVAL));
    assert_eq!(call(at, 1, 1, 8, 0), Err(EINVAL));
    assert_eq!(call(at, 2, 0, 8, 7), Err(EINVAL), "the clock comes before the time");
    assert_eq!(call(8, 2, 0, 8, 1), Err(EFAULT));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: NANOS_PER_SECOND };
    assert_eq!(call(8, 2, 0, &raw const bad as usize, 1), Err(EINVAL), "the time comes before the list");
    assert_eq!(call(8, 2, 0, 0, 7), Err(EFAULT), "without a time the clock does not matter");
    for flags in [0, 1, 3, 16, 32, 64, 128, 129, 131, 256, 1 << 31 | 2] {
        let waiters = [good[0], Waiter { flags, ..good[1] }];
        assert_eq!(try_waitv(&waiters), Err(EINVAL), "flags {flags:#x}");
    }
    let reserved = [good[0], Waiter { reserved: 1, ..good[1] }];
    assert_eq!(try_waitv(&reserved), Err(EINVAL));
}

fn waitv_times_out_on_both_clocks() {
    let waiters = words().map(on);
    for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME] {
        let until = clock_now(clock).unwrap() + 3_000_000;
        let time = libc::timespec { tv_sec: until / NANOS_PER_SECOND, tv_nsec: until % NANOS_PER_SECOND };
        let result = syscall!(SYS_futex_waitv, &waiters, 2, 0, &time, clock);
        assert_eq!(result, Err(ETIMEDOUT));
        assert!(clock_now(clock).unwrap() >= until);
    }
}

fn waitv_of_one_word_twice() {
    let [word, _] = words();
    let twice = move || sleeper(move || waitv(&[on(word), on(word)]));
    let first = twice();
    assert_eq!(wake(word, 1, 1).or_else(|_| Ok(wake_all(word).min(1))), Ok::<_, Errno>(1));
    assert!(first.join().unwrap().is_ok());
    let both = twice();
    assert_eq!(wake_all(word), 2, "each place in the queue counts");
    assert_eq!(both.join().unwrap(), Ok(1), "the last one that was woken");
}

fn waitv_of_the_most_words() {
    let page = map_anonymous(PAGE);
    let words: Vec<&'static AtomicU32> = (0..128).map(|index| word_at(page + 4 * index)).collect();
    let list: Vec<Waiter> = words.iter().map(|word| on(word)).collect();
    let sleeper = sleeper(move || waitv(&list));
    assert_eq!(wake_all(words[127]), 1);
    assert_eq!(sleeper.join().unwrap(), Ok(127));
    assert_eq!(words.iter().map(|word| wake_all(word)).sum::<usize>(), 0);
}

/// Two words, two wakers, one who waits for both: every wake that found him is answered.
fn waitv_loses_no_wake() {
    const ROUNDS: u32 = 2000;
    let [one, two] = words();
    let waker = |word: &'static AtomicU32| {
        thread::spawn(move || {
            for round in 1..=ROUNDS {
                word.store(round, SeqCst);
                wake_all(word);
                while word.load(SeqCst) == round {
                    let _ = syscall!(SYS_sched_yield);
                }
            }
        })
    };
    let wakers = [waker(one), waker(two)];
    let mut taken = 0;
    while taken < 2 * ROUNDS {
        for word in [one, two] {
            // Taken is told by a value that no round has.
            if (1..=ROUNDS).contains(&word.load(SeqCst)) {
                word.store(0, SeqCst);
                taken += 1;
            }
        }
        if taken < 2 * ROUNDS {
            match waitv(&[on(one), on(two)]) {
                Ok(0 | 1) | Err(EAGAIN) => {}
                result => panic!("{result:?}"),
            }
        }
    }
    wakers.into_iter().for_each(|waker| waker.join().unwrap());
}

fn wake_counts_exactly() {
    let [word, _] = words();
    let sleepers: Vec<_> = (0..3).map(|_| sleeper(move || wait(word, 0, 1))).collect();
    assert_eq!(wake(word, 1, 0), Ok(0), "none means none");
    assert_eq!(wake(word, 1, 2), Ok(2));
    assert_eq!(wake(word, 1, -1), Ok(1), "a negative count is one");
    assert_eq!(wake(word, 1, 1), Ok(0));
    sleepers.into_iter().for_each(|sleeper| assert_eq!(sleeper.join().unwrap(), Ok(0)));
}

fn masks_select() {
    let [word, _] = words();
    let (one, two) = (sleeper(move || wait(word, 0, 1)), sleeper(move || wait(word, 0, 2)));
    assert_eq!(wake(word, 4, 9), Ok(0));
    assert_eq!(wake(word, 2, 9), Ok(1));
    assert_eq!(two.join().unwrap(), Ok(0));
    assert_eq!(wake(word, 0xffff_ffff, 9), Ok(1));
    assert_eq!(one.join().unwrap(), Ok(0));
}

fn arguments_are_checked_in_order() {
    let [word, _] = words();
    for mask in [0, 1 << 32, 1 << 32 | 1] {
        assert_eq!(wake(word, mask, 1), Err(EINVAL));
        assert_eq!(wait(word, 0, mask), Err(EINVAL));
    }
    assert_eq!(wait(word, 1 << 32, 1), Err(EINVAL));
    assert_eq!(wait(word, 1, 1), Err(EAGAIN));
    let waits = |at: usize, mask: u32, flags: u32, timeout: usize, clock: i32| {
        futex2!(SYS_FUTEX_WAIT, at, 0, mask, flags, timeout, clock)
    };
    let at = word.as_ptr() as usize;
    let (past, bad) = (milliseconds(0), libc::timespec { tv_sec: 0, tv_nsec: -1 });
    let (past, bad) = (&raw const past as usize, &raw const bad as usize);
    assert_eq!(waits(at, 1, PRIVATE, past, 1), Err(ETIMEDOUT));
    assert_eq!(waits(at, 1, PRIVATE, past, 0), Err(ETIMEDOUT));
    assert_eq!(waits(at, 1, PRIVATE, past, 2), Err(EINVAL));
    assert_eq!(waits(at, 1, PRIVATE, bad, 1), Err(EINVAL));
    assert_eq!(waits(at, 0, PRIVATE, 8, 1), Err(EFAULT), "the time comes before an empty mask");
    assert_eq!(waits(at, 1, 3, 8, 1), Err(EINVAL), "the flags come first");
    assert_eq!(waits(at + 2, 1, PRIVATE, past, 1), Err(EINVAL));
    assert_eq!(waits(8, 1, PRIVATE, past, 1), Err(EFAULT));
    let wakes = |at: usize, flags: u32| futex2!(SYS_FUTEX_WAKE, at, 1, 1, flags);
    assert_eq!(wakes(8, PRIVATE), Ok(0));
    assert_eq!(wakes(8, SHARED), Err(EFAULT));
    assert_eq!(wakes(at + 2, PRIVATE), Err(EINVAL));
    assert_eq!(wakes(at, 0), Err(EINVAL));
}

fn old_and_new_calls_meet() {
    let [word, _] = words();
    let new = sleeper(move || wait(word, 0, 0xffff_ffff));
    assert_eq!(wake_all(word), 1);
    assert_eq!(new.join().unwrap(), Ok(0));
    let old =
        sleeper(move || syscall!(SYS_futex, word, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 0, 0, 0, 0));
    assert_eq!(wake(word, 1, 1), Ok(1));
    assert_eq!(old.join().unwrap(), Ok(0));
}

fn requeue(from: Waiter, to: Waiter, wake: i32, requeue: i32) -> Sys<usize> {
    futex2!(SYS_FUTEX_REQUEUE, &[from, to], 0, wake, requeue)
}

fn requeue_compares_and_moves() {
    let [from, to] = words();
    let sleepers: Vec<_> = (0..4).map(|_| sleeper(move || wait(from, 0, 1))).collect();
    let other_value = Waiter { value: 1, ..on(from) };
    assert_eq!(requeue(other_value, on(to), 1, 1), Err(EAGAIN));
    assert_eq!(
        requeue(on(from), Waiter { value: 9, ..on(to) }, 0, 1),
        Ok(1),
        "the second value is not compared"
    );
    assert_eq!(requeue(on(from), on(to), 1, 1), Ok(2));
    assert_eq!(wake(from, 1, 9), Ok(1));
    assert_eq!(wake(to, 1, 9), Ok(2));
    sleepers.into_iter().for_each(|sleeper| assert_eq!(sleeper.join().unwrap(), Ok(0)));
    assert_eq!(requeue(on(from), on(from), 0, 0), Ok(0));
}

fn requeue_checks_arguments_in_order() {
    let [from, to] = words();
    let good = [on(from), on(to)];
    let call = |at: usize, flags: u32, wake: i32| futex2!(SYS_FUTEX_REQUEUE, at, flags, wake, 1);
    let at = good.as_ptr() as usize;
    assert_eq!(call(at, 1, 1), Err(EINVAL));
    assert_eq!(call(0, 0, 1), Err(EINVAL));
    assert_eq!(call(8, 0, 1), Err(EFAULT));
    assert_eq!(call(at, 0, -1), Err(EINVAL));
    assert_eq!(requeue(good[0], good[1], 1, -1), Err(EINVAL));
    for bad in [
        Waiter { flags: SHARED, ..good[1] },
        Waiter { flags: 129, ..good[1] },
        Waiter { reserved: 1, ..good[1] },
        Waiter { value: 1 << 32, ..good[1] },
        Waiter { address: 2, ..good[1] },
    ] {
        assert_eq!(requeue(good[0], bad, 1, 1), Err(EINVAL));
    }
    assert_eq!(requeue(good[0], Waiter { address: 8, ..good[1] }, 1, 1), Ok(0), "private: not looked at");
    assert_eq!(requeue(Waiter { address: 8, ..good[0] }, good[1], 1, 1), Err(EFAULT));
}

fn waits_restart_under_sa_restart() {
    let page = map_shared(PAGE);
    let [word, other] = [word_at(page), word_at(page + 64)];
    let call = |which: usize| {
        let waiters = [word, other].map(|word| Waiter { flags: SHARED, ..on(word) });
        match which {
            0 => syscall!(SYS_futex_waitv, &waiters, 2, 0, 0, 0),
            _ => futex2!(SYS_FUTEX_WAIT, word, 0, 1, SHARED, 0, 0),
        }
    };
    for which in [0, 1] {
        for (flags, expected) in [(0, Err(EINTR)), (libc::SA_RESTART, Ok(0))] {
            let child = fork(|| {
                catch(libc::SIGUSR1, flags);
                assert_eq!(call(which), expected);
            });
            wait_until_blocked(child.pid);
            child.kill(libc::SIGUSR1);
            wait_until_signal_taken(child.pid, libc::SIGUSR1);
            if expected.is_ok() {
                wait_until_blocked(child.pid);
                assert_eq!(futex2!(SYS_FUTEX_WAKE, word, 1, 1, SHARED), Ok(1));
            }
            child.succeeds();
        }
    }
}
