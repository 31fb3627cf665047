//! Futexes (futex(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    FUTEX_CMP_REQUEUE, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE,
    FUTEX_WAKE_BITSET, FUTEX_WAKE_OP,
};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::JoinHandle;

pub(crate) const CASES: &[Case] = &[
    case!(wait_with_another_value_is_eagain),
    case!(wake_without_waiters_is_zero),
    case!(wake_wakes_so_many),
    case!(waiters_wake_in_order),
    case!(timeout),
    case!(timeouts_that_are_wrong),
    case!(absolute_timeouts_of_both_clocks),
    case!(bitsets_select),
    case!(empty_bitset_is_einval),
    case!(requeue_moves_waiters),
    case!(cmp_requeue_checks_the_value),
    case!(requeued_waiter_can_time_out),
    case!(requeued_waiter_can_be_interrupted),
    case!(wake_op_changes_and_wakes),
    case!(wake_op_comparisons),
    case!(shared_between_processes),
    case!(shared_through_a_file),
    case!(private_futex_is_not_shared_with_a_fork),
    case!(same_address_in_two_processes_is_not_one_futex),
    case!(address_errors),
    case!(unknown_operations_are_enosys),
    case!(waiting_does_not_copy_on_write),
    case!(woken_and_signalled_at_once),
    case!(mutex_between_processes),
];

fn futex(word: &AtomicU32, operation: i32, value: u32) -> Sys<usize> {
    syscall!(SYS_futex, word, operation, value, 0, 0, 0)
}

fn wake(word: &AtomicU32, count: u32) -> usize {
    futex(word, FUTEX_WAKE, count).expect("FUTEX_WAKE")
}

fn words() -> (&'static AtomicU32, &'static AtomicU32) {
    let page = map_anonymous(PAGE);
    (word_at(page), word_at(page + 64))
}

fn waiters(word: &'static AtomicU32, count: usize) -> Vec<JoinHandle<Sys<usize>>> {
    (0..count).map(|_| sleeper(move || futex(word, FUTEX_WAIT, 0))).collect()
}

fn wait_with_another_value_is_eagain() {
    let (word, _) = words();
    word.store(5, SeqCst);
    assert_eq!(futex(word, FUTEX_WAIT, 4), Err(EAGAIN));
    assert_eq!(futex(word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 4), Err(EAGAIN));
}

fn wake_without_waiters_is_zero() {
    let (word, _) = words();
    assert_eq!(futex(word, FUTEX_WAKE, 1), Ok(0));
    assert_eq!(futex(word, FUTEX_WAKE, i32::MAX as u32), Ok(0));
}

fn wake_wakes_so_many() {
    let (word, other) = words();
    let sleepers = waiters(word, 5);
    assert_eq!(wake(other, 10), 0, "another word");
    assert_eq!(wake(word, 2), 2);
    wait_until(|| sleepers.iter().filter(|sleeper| sleeper.is_finished()).count() == 2);
    assert_eq!(wake(word, i32::MAX as u32), 3);
    sleepers.into_iter().for_each(|sleeper| assert_eq!(sleeper.join().unwrap(), Ok(0)));
    assert_eq!(wake(word, 1), 0);
}

fn waiters_wake_in_order() {
    let (word, _) = words();
    let (send, order) = std::sync::mpsc::channel();
    let sleepers: Vec<_> = (0..5)
        .map(|number| {
            let send = send.clone();
            sleeper(move || {
                futex(word, FUTEX_WAIT, 0).unwrap();
                send.send(number).unwrap();
            })
        })
        .collect();
    let woken: Vec<i32> = (0..5)
        .map(|_| {
            assert_eq!(wake(word, 1), 1);
            order.recv().unwrap()
        })
        .collect();
    assert_eq!(woken, [0, 1, 2, 3, 4]);
    sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
}

fn timeout() {
    let (word, _) = words();
    let before = monotonic();
    assert_eq!(syscall!(SYS_futex, word, FUTEX_WAIT, 0, &milliseconds(5), 0, 0), Err(ETIMEDOUT));
    assert!(monotonic() - before >= 5_000_000);
    assert_eq!(syscall!(SYS_futex, word, FUTEX_WAIT, 0, &milliseconds(0), 0, 0), Err(ETIMEDOUT));
    assert_eq!(syscall!(SYS_futex, word, FUTEX_WAIT, 1, &milliseconds(0), 0, 0), Err(EAGAIN));
    assert_eq!(wake(word, 1), 0, "who timed out is gone from the queue");
}

fn timeouts_that_are_wrong() {
    let (word, _) = words();
    for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (-1, 0)] {
        let time = libc::timespec { tv_sec: seconds, tv_nsec: nanos };
        assert_eq!(syscall!(SYS_futex, word, FUTEX_WAIT, 0, &time, 0, 0), Err(EINVAL));
    }
    assert_eq!(syscall!(SYS_futex, word, FUTEX_WAIT, 0, 8, 0, 0), Err(EFAULT));
}

fn absolute_timeouts_of_both_clocks() {
    let (word, _) = words();
    for (flag, clock) in [(0, libc::CLOCK_MONOTONIC), (libc::FUTEX_CLOCK_REALTIME, libc::CLOCK_REALTIME)] {
        let until = clock_now(clock).unwrap() + 3_000_000;
        let time = libc::timespec { tv_sec: until / NANOS_PER_SECOND, tv_nsec: until % NANOS_PER_SECOND };
        let operation = FUTEX_WAIT_BITSET | flag;
        assert_eq!(syscall!(SYS_futex, word, operation, 0, &time, 0, !0u32), Err(ETIMEDOUT));
        assert!(clock_now(clock).unwrap() >= until);
        let past = milliseconds(1);
        assert_eq!(syscall!(SYS_futex, word, operation, 0, &past, 0, !0u32), Err(ETIMEDOUT));
    }
}

fn bitsets_select() {
    let (word, _) = words();
    let wait_for = |bits: u32| sleeper(move || syscall!(SYS_futex, word, FUTEX_WAIT_BITSET, 0, 0, 0, bits));
    let (one, two, both) = (wait_for(1), wait_for(2), wait_for(3));
    let wake_bits = |bits: u32| syscall!(SYS_futex, word, FUTEX_WAKE_BITSET, 10, 0, 0, bits).unwrap();
    assert_eq!(wake_bits(4), 0);
    assert_eq!(wake_bits(2), 2);
    assert_eq!((two.join().unwrap(), both.join().unwrap()), (Ok(0), Ok(0)));
    assert!(!one.is_finished());
    assert_eq!(wake(word, 10), 1, "a plain wake matches any bits");
    assert_eq!(one.join().unwrap(), Ok(0));
}

fn empty_bitset_is_einval() {
    let (word, _) = words();
    assert_eq!(syscall!(SYS_futex, word, FUTEX_WAIT_BITSET, 0, 0, 0, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_futex, word, FUTEX_WAKE_BITSET, 1, 0, 0, 0), Err(EINVAL));
}

fn requeue_moves_waiters() {
    let (from, to) = words();
    let sleepers = waiters(from, 5);
    // Wake one, move up to two.
    assert_eq!(syscall!(SYS_futex, from, FUTEX_REQUEUE, 1, 2, to, 0), Ok(3));
    assert_eq!(wake(from, 10), 2);
    assert_eq!(wake(to, 10), 2);
    sleepers.into_iter().for_each(|sleeper| assert_eq!(sleeper.join().unwrap(), Ok(0)));
    assert_eq!(syscall!(SYS_futex, from, FUTEX_REQUEUE, -1, 1, to, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_futex, from, FUTEX_REQUEUE, 1, -1, to, 0), Err(EINVAL));
}

fn cmp_requeue_checks_the_value() {
    let (from, to) = words();
    let sleepers = waiters(from, 3);
    assert_eq!(syscall!(SYS_futex, from, FUTEX_CMP_REQUEUE, 1, 10, to, 7), Err(EAGAIN));
    assert_eq!(syscall!(SYS_futex, from, FUTEX_CMP_REQUEUE, 1, 10, to, 0), Ok(3));
    assert_eq!(wake(from, 10), 0);
    assert_eq!(wake(to, 10), 2);
    sleepers.into_iter().for_each(|sleeper| assert_eq!(sleeper.join().unwrap(), Ok(0)));
}

fn requeued_waiter_can_time_out() {
    let (from, to) = words();
    let sleeper =
        std::thread::spawn(move || syscall!(SYS_futex, from, FUTEX_WAIT, 0, &milliseconds(200), 0, 0));
    let requeue = || syscall!(SYS_futex, from, FUTEX_REQUEUE, 0, 1, to, 0).unwrap();
    wait_until(|| requeue() == 1 || sleeper.is_finished());
    assert_eq!(sleeper.join().unwrap(), Err(ETIMEDOUT));
    assert_eq!(wake(to, 1), 0);
}

fn requeued_waiter_can_be_interrupted() {
    let memory = map_shared(PAGE);
    let (from, to) = (word_at(memory), word_at(memory + 64));
    let child = fork(|| {
        catch(libc::SIGUSR1, 0);
        assert_eq!(futex(from, FUTEX_WAIT, 0), Err(EINTR));
    });
    wait_until_blocked(child.pid);
    assert_eq!(syscall!(SYS_futex, from, FUTEX_REQUEUE, 0, 1, to, 0), Ok(1));
    child.kill(libc::SIGUSR1);
    child.succeeds();
    assert_eq!(wake(to, 1), 0);
}

/// Encodes the operation word of FUTEX_WAKE_OP.
fn wake_op(operation: u32, argument: u32, comparison: u32, with: u32) -> u32 {
    operation << 28 | comparison << 24 | argument << 12 | with
}

fn wake_op_changes_and_wakes() {
    let (one, two) = words();
    let change = |start: u32, code: u32| {
        two.store(start, SeqCst);
        syscall!(SYS_futex, one, FUTEX_WAKE_OP, 0, 0, two, code).unwrap();
        two.load(SeqCst)
    };
    assert_eq!(change(5, wake_op(0, 9, 0, 0)), 9, "SET");
    assert_eq!(change(5, wake_op(1, 9, 0, 0)), 14, "ADD");
    assert_eq!(change(5, wake_op(2, 9, 0, 0)), 13, "OR");
    assert_eq!(change(5, wake_op(3, 4, 0, 0)), 1, "ANDN");
    assert_eq!(change(5, wake_op(4, 1, 0, 0)), 4, "XOR");
    assert_eq!(change(5, wake_op(8, 4, 0, 0)), 16, "SET with the argument as a shift");
    assert_eq!(change(5, wake_op(1, 0xfff, 0, 0)), 4, "arguments are signed: -1");
    assert_eq!(syscall!(SYS_futex, one, FUTEX_WAKE_OP, 0, 0, two, wake_op(7, 1, 0, 0)), Err(ENOSYS));
    // Wakes on the first word always, on the second if the old value compares.
    two.store(0, SeqCst);
    let (first, second) = (waiters(one, 2), waiters(two, 2));
    let add_one_if_zero = wake_op(1, 1, 0, 0);
    assert_eq!(syscall!(SYS_futex, one, FUTEX_WAKE_OP, 1, 10, two, add_one_if_zero), Ok(3));
    assert_eq!(two.load(SeqCst), 1);
    assert_eq!(wake(two, 10), 0);
    assert_eq!(wake(one, 10), 1);
    first.into_iter().chain(second).for_each(|sleeper| assert_eq!(sleeper.join().unwrap(), Ok(0)));
}

fn wake_op_comparisons() {
    let (one, two) = words();
    // (comparison, old value, compared with, holds)
    let table = [
        (0, 5, 5, true),
        (0, 5, 6, false),
        (1, 5, 6, true),
        (1, 5, 5, false),
        (2, 4, 5, true),
        (2, 5, 5, false),
        (3, 5, 5, true),
        (3, 6, 5, false),
        (4, 6, 5, true),
        (4, 5, 5, false),
        (5, 5, 5, true),
        (5, 4, 5, false),
        (2, u32::MAX, 0, true), // Compared as signed numbers.
    ];
    for (comparison, old, with, holds) in table {
        two.store(0, SeqCst);
        let sleeper = waiters(two, 1);
        two.store(old, SeqCst);
        let code = wake_op(0, 1, comparison, with);
        let woken = syscall!(SYS_futex, one, FUTEX_WAKE_OP, 1, 1, two, code).unwrap();
        assert_eq!(woken, usize::from(holds), "comparison {comparison} of {old} with {with}");
        wake(two, 1);
        sleeper.into_iter().for_each(|sleeper| assert_eq!(sleeper.join().unwrap(), Ok(0)));
    }
}

fn shared_between_processes() {
    let word = word_at(map_shared(PAGE));
    let children: Vec<Child> =
        (0..3).map(|_| fork(|| assert_eq!(futex(word, FUTEX_WAIT, 0), Ok(0)))).collect();
    children.iter().for_each(|child| wait_until_blocked(child.pid));
    assert_eq!(wake(word, 10), 3);
    children.iter().for_each(Child::succeeds);
}

fn shared_through_a_file() {
    let file = create_open(c"file");
    syscall!(SYS_ftruncate, file, 2 * PAGE).unwrap();
    let child = fork(|| {
        // Another mapping, at another place and offset in the mapping, of the same word.
        let at = map(0, 2 * PAGE, READ_WRITE, libc::MAP_SHARED, file, 0).unwrap();
        assert_eq!(futex(word_at(at + PAGE + 8), FUTEX_WAIT, 0), Ok(0));
    });
    wait_until_blocked(child.pid);
    let at = map(0, PAGE, READ_WRITE, libc::MAP_SHARED, file, PAGE).unwrap();
    assert_eq!(wake(word_at(at), 10), 0, "another offset");
    assert_eq!(wake(word_at(at + 8), 10), 1);
    child.succeeds();
}

fn private_futex_is_not_shared_with_a_fork() {
    let word = word_at(map_shared(PAGE));
    let child = fork(|| {
        assert_eq!(futex(word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0), Ok(0));
    });
    wait_until_blocked(child.pid);
    assert_eq!(futex(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 10), Ok(0), "another address space");
    child.finish();
}

fn same_address_in_two_processes_is_not_one_futex() {
    let word = word_at(map_anonymous(PAGE));
    word.store(0, SeqCst);
    let child = fork(|| {
        let _ = futex(word, FUTEX_WAIT, 0);
    });
    wait_until_blocked(child.pid);
    assert_eq!(wake(word, 10), 0, "private memory, each its own copy");
    child.finish();
}

fn address_errors() {
    let memory = map_anonymous(PAGE);
    let call = |at: usize, operation: i32| syscall!(SYS_futex, at, operation, 0, 0, 0, 0);
    for operation in [FUTEX_WAIT, FUTEX_WAKE] {
        assert_eq!(call(memory + 2, operation), Err(EINVAL), "not aligned");
        assert_eq!(call(usize::MAX - 3, operation), Err(EFAULT));
    }
    assert_eq!(call(8, FUTEX_WAIT), Err(EFAULT));
    assert_eq!(call(8, FUTEX_WAKE), Err(EFAULT), "a shared wake has to look the page up");
    assert_eq!(call(8, FUTEX_WAKE | FUTEX_PRIVATE_FLAG), Ok(0), "a private one need not");
    mprotect(memory, PAGE, libc::PROT_NONE).unwrap();
    assert_eq!(call(memory, FUTEX_WAIT | FUTEX_PRIVATE_FLAG), Err(EFAULT));
    mprotect(memory, PAGE, libc::PROT_READ).unwrap();
    let time = milliseconds(0);
    let result = syscall!(SYS_futex, memory, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &time, 0, 0);
    assert_eq!(result, Err(ETIMEDOUT), "reading is enough to wait");
}

fn unknown_operations_are_enosys() {
    let (word, _) = words();
    let realtime = libc::FUTEX_CLOCK_REALTIME;
    for operation in [2, 14, 99, FUTEX_WAKE | realtime, FUTEX_WAIT | realtime] {
        assert_eq!(futex(word, operation, 1), Err(ENOSYS), "operation {operation}");
    }
}

fn waiting_does_not_copy_on_write() {
    // After a fork, a wait reads the word; another thread's write must still be seen as one word.
    let word = word_at(map_anonymous(PAGE));
    word.store(0, SeqCst);
    let other = fork(|| wait_for_ever());
    let sleeper = sleeper(move || futex(word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0));
    word.store(1, SeqCst); // Copies the page while the waiter sleeps on it.
    assert_eq!(futex(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1), Ok(1));
    assert_eq!(sleeper.join().unwrap(), Ok(0));
    other.finish();
}

/// A wake and a signal race: a waiter that reports EINTR must not have eaten a wake.
fn woken_and_signalled_at_once() {
    let memory = map_shared(PAGE);
    let (word, successes) = (word_at(memory), word_at(memory + 64));
    for _ in 0..60 {
        successes.store(0, SeqCst);
        let children: Vec<Child> = (0..2)
            .map(|_| {
                fork(|| {
                    catch(libc::SIGUSR1, 0);
                    match futex(word, FUTEX_WAIT, 0) {
                        Ok(0) => discard(successes.fetch_add(1, SeqCst)),
                        result => assert_eq!(result, Err(EINTR)),
                    }
                })
            })
            .collect();
        children.iter().for_each(|child| wait_until_blocked(child.pid));
        let shooter = fork(|| discard(kill(children[0].pid, libc::SIGUSR1)));
        let woken = wake(word, 1) as u32;
        shooter.succeeds();
        children[0].succeeds();
        let rest = wake(word, 10) as u32;
        children[1].succeeds();
        assert_eq!(successes.load(SeqCst), woken + rest, "a wake was lost or doubled");
    }
}

/// The three-state mutex: 0 free, 1 taken, 2 taken with waiters.
fn lock(word: &AtomicU32) {
    let mut state = word.compare_exchange(0, 1, SeqCst, SeqCst).unwrap_or_else(|old| old);
    while state != 0 {
        if state == 2 || word.compare_exchange(1, 2, SeqCst, SeqCst).is_ok() {
            let _ = futex(word, FUTEX_WAIT, 2);
        }
        state = word.compare_exchange(0, 2, SeqCst, SeqCst).unwrap_or_else(|old| old);
    }
}

fn unlock(word: &AtomicU32) {
    if word.fetch_sub(1, SeqCst) != 1 {
        word.store(0, SeqCst);
        wake(word, 1);
    }
}

fn mutex_between_processes() {
    let memory = map_shared(PAGE);
    let (mutex, counter) = (word_at(memory), word_at(memory + 64));
    let children: Vec<Child> = (0..4)
        .map(|_| {
            fork(|| {
                for round in 0..2000 {
                    lock(mutex);
                    let old = counter.load(SeqCst);
                    if round % 50 == 0 {
                        let _ = syscall!(SYS_sched_yield);
                    }
                    counter.store(old + 1, SeqCst);
                    unlock(mutex);
                }
            })
        })
        .collect();
    children.iter().for_each(Child::succeeds);
    assert_eq!(counter.load(SeqCst), 8000);
}
