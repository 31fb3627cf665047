//! Futexes that name their owner: FUTEX_LOCK_PI and its relatives (futex(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI, FUTEX_REQUEUE,
    FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI, FUTEX_WAIT, FUTEX_WAIT_REQUEUE_PI, FUTEX_WAKE, FUTEX_WAKE_OP,
};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

pub(crate) const CASES: &[Case] = &[
    case!(lock_and_unlock_write_the_owner),
    case!(owner_cannot_lock_again_nor_others_unlock),
    case!(circle_of_locks_is_edeadlk),
    case!(requeue_that_would_close_a_circle_is_edeadlk),
    case!(word_that_names_nobody_is_esrch),
    case!(word_of_a_dead_owner_keeps_the_mark),
    case!(address_errors_come_in_order),
    case!(timeouts_are_points_in_time),
    case!(unlock_hands_over_in_order),
    case!(waiter_that_gives_up_leaves_the_queue),
    case!(interrupted_lock_goes_on),
    case!(plain_operations_refuse_a_lock),
    case!(lock_refuses_plain_waiters),
    case!(spoilt_word_is_einval),
    case!(owner_that_ends_leaves_an_heir),
    case!(owner_that_executes_leaves_an_heir),
    case!(owner_that_is_killed_leaves_an_heir),
    case!(requeue_arguments_come_in_order),
    case!(requeue_to_a_free_lock_takes_it),
    case!(requeue_to_a_held_lock_queues),
    case!(requeued_waiter_gives_up),
    case!(condition_restarts_after_a_signal),
    case!(library_mutex_excludes),
    case!(library_mutex_tells_of_a_dead_owner),
    // Linux's answers vary: an unlock that meets a change is EAGAIN, and a lock is EINVAL as long as the word of a dead
    // owner and the kernel's records disagree.
    case!(killed_waiters_and_owners_between_processes).kairos().long().deadlines(3),
];

const WAITERS: u32 = 0x8000_0000;
const OWNER_DIED: u32 = 0x4000_0000;
const FUTEX_LOCK_PI2: i32 = 13;

fn futex(word: &AtomicU32, operation: i32) -> Sys<usize> {
    syscall!(SYS_futex, word, operation, 0, 0, 0, 0)
}

fn lock(word: &AtomicU32) -> Sys<usize> {
    futex(word, FUTEX_LOCK_PI)
}

fn try_lock(word: &AtomicU32) -> Sys<usize> {
    futex(word, FUTEX_TRYLOCK_PI)
}

fn unlock(word: &AtomicU32) -> Sys<usize> {
    futex(word, FUTEX_UNLOCK_PI)
}

fn own() -> u32 {
    gettid() as u32
}

fn words() -> [&'static AtomicU32; 2] {
    let page = map_shared(PAGE);
    [word_at(page), word_at(page + 64)]
}

/// A thread that ran up to its first sleep, which is in `body`, and its id as it stands in a lock.
fn contender<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> (u32, JoinHandle<T>) {
    let (tid, thread) = sleeper_and_tid(body);
    (tid as u32, thread)
}

fn at(clock: i32, nanoseconds: i64) -> libc::timespec {
    let until = clock_now(clock).unwrap() + nanoseconds;
    libc::timespec { tv_sec: until / NANOS_PER_SECOND, tv_nsec: until % NANOS_PER_SECOND }
}

fn lock_and_unlock_write_the_owner() {
    let [word, _] = words();
    for (operation, flag) in [(FUTEX_LOCK_PI, 0), (FUTEX_TRYLOCK_PI, 128), (FUTEX_LOCK_PI2, 0)] {
        assert_eq!(futex(word, operation | flag), Ok(0));
        assert_eq!(word.load(SeqCst), own());
        assert_eq!(futex(word, FUTEX_UNLOCK_PI | flag), Ok(0));
        assert_eq!(word.load(SeqCst), 0);
    }
}

fn owner_cannot_lock_again_nor_others_unlock() {
    let [word, _] = words();
    lock(word).unwrap();
    assert_eq!(lock(word), Err(EDEADLK));
    assert_eq!(try_lock(word), Err(EDEADLK));
    let other = thread::spawn(move || (try_lock(word), unlock(word)));
    assert_eq!(other.join().unwrap(), (Err(EAGAIN), Err(EPERM)));
    assert_eq!(word.load(SeqCst), own() | WAITERS, "whoever asked left the mark");
    assert_eq!(unlock(word), Ok(0));
    assert_eq!(word.load(SeqCst), 0);
    assert_eq!(unlock(word), Err(EPERM), "nobody has it");
}

fn circle_of_locks_is_edeadlk() {
    let page = map_shared(PAGE);
    let [first, second, ours] = [0, 1, 2].map(|index| word_at(page + 64 * index));
    lock(ours).unwrap();
    // Each has one and waits for the next.
    let hold = |has: &'static AtomicU32, wants: &'static AtomicU32| {
        contender(move || {
            lock(has).unwrap();
            (lock(wants), unlock(wants), unlock(has))
        })
    };
    let (middle, waits_for_us) = hold(second, ours);
    let (end, waits_for_middle) = hold(first, second);
    assert_eq!(try_lock(first), Err(EAGAIN), "it does not wait");
    let until = at(libc::CLOCK_REALTIME, 10 * NANOS_PER_SECOND);
    for word in [first, second] {
        assert_eq!(lock(word), Err(EDEADLK));
        assert_eq!(syscall!(SYS_futex, word, FUTEX_LOCK_PI, 0, &until, 0, 0), Err(EDEADLK));
    }
    let found = [first, second, ours].map(|word| word.load(SeqCst));
    assert_eq!(found, [end | WAITERS, middle | WAITERS, own() | WAITERS]);
    unlock(ours).unwrap();
    for waiter in [waits_for_us, waits_for_middle] {
        assert_eq!(waiter.join().unwrap(), (Ok(0), Ok(0), Ok(0)));
    }
    assert_eq!((lock(first), unlock(first)), (Ok(0), Ok(0)), "nothing is left of it");
}

/// A waiter that has the lock which the owner of the other lock waits for.
fn requeue_that_would_close_a_circle_is_edeadlk() {
    let [condition, word] = words();
    let held = word_at(word.as_ptr() as usize + 64);
    let waiter = fork(|| {
        lock(held).unwrap();
        let _ = wait_requeue(condition, word);
    });
    wait_until_blocked(waiter.pid);
    let (owner, owning) = contender(move || {
        lock(word).unwrap();
        (lock(held), held.load(SeqCst) & OWNER_DIED, unlock(held), unlock(word))
    });
    for _ in 0..2 {
        assert_eq!(requeue(condition, 1, 1, word, 0), Err(EDEADLK), "it stays where it is");
    }
    assert_eq!(futex(condition, FUTEX_WAKE), Err(EINVAL));
    assert_eq!(word.load(SeqCst), owner | WAITERS);
    waiter.kill(libc::SIGKILL);
    assert_eq!(owning.join().unwrap(), (Ok(0), OWNER_DIED, Ok(0), Ok(0)));
    discard(waiter.wait());
    assert_eq!(requeue(condition, 1, 1, word, 0), Ok(0), "nobody is left");
}

fn word_that_names_nobody_is_esrch() {
    let [word, _] = words();
    let nobody = 0x3fff_fff0;
    for (operation, value) in [(FUTEX_LOCK_PI, nobody), (FUTEX_TRYLOCK_PI, nobody | WAITERS)] {
        word.store(value, SeqCst);
        assert_eq!(futex(word, operation), Err(ESRCH));
        assert_eq!(word.load(SeqCst), nobody | WAITERS);
    }
}

fn word_of_a_dead_owner_keeps_the_mark() {
    let [word, _] = words();
    for (before, after) in [(OWNER_DIED, OWNER_DIED), (OWNER_DIED | WAITERS, OWNER_DIED), (WAITERS, 0)] {
        word.store(before, SeqCst);
        assert_eq!(lock(word), Ok(0));
        assert_eq!(word.load(SeqCst), own() | after);
        assert_eq!(unlock(word), Ok(0));
        assert_eq!(word.load(SeqCst), 0);
    }
    word.store(own() | OWNER_DIED, SeqCst);
    assert_eq!(lock(word), Err(EDEADLK));
}

fn address_errors_come_in_order() {
    let page = map_anonymous(PAGE);
    let call = |at: usize, operation: i32| syscall!(SYS_futex, at, operation, 0, 0, 0, 0);
    for operation in [FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_LOCK_PI2] {
        assert_eq!(call(page + 2, operation), Err(EINVAL));
        assert_eq!(call(8, operation), Err(EFAULT));
        assert_eq!(call(8, operation | 128), Err(EFAULT));
    }
    assert_eq!(call(page + 2, FUTEX_UNLOCK_PI), Err(EPERM), "the word comes before the address");
    assert_eq!(call(8, FUTEX_UNLOCK_PI), Err(EFAULT));
    mprotect(page, PAGE, libc::PROT_READ).unwrap();
    assert_eq!(call(page, FUTEX_LOCK_PI | 128), Err(EFAULT));
    assert_eq!(call(page, FUTEX_UNLOCK_PI), Err(EPERM));
    let [word, _] = words();
    for operation in [FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_CMP_REQUEUE_PI] {
        assert_eq!(futex(word, operation | FUTEX_CLOCK_REALTIME), Err(ENOSYS));
    }
}

fn timeouts_are_points_in_time() {
    let [word, _] = words();
    let timed =
        move |operation: i32, time: &libc::timespec| syscall!(SYS_futex, word, operation, 0, time, 0, 0);
    let bad = libc::timespec { tv_sec: 0, tv_nsec: NANOS_PER_SECOND };
    assert_eq!(timed(FUTEX_LOCK_PI, &bad), Err(EINVAL));
    assert_eq!(syscall!(SYS_futex, word, FUTEX_LOCK_PI, 0, 8, 0, 0), Err(EFAULT));
    assert_eq!(timed(FUTEX_TRYLOCK_PI, &bad), Ok(0), "it does not wait");
    unlock(word).unwrap();
    assert_eq!(timed(FUTEX_LOCK_PI, &milliseconds(0)), Ok(0), "nor does who finds it free");
    let clocks = [
        (FUTEX_LOCK_PI, libc::CLOCK_REALTIME),
        (FUTEX_LOCK_PI2, libc::CLOCK_MONOTONIC),
        (FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME, libc::CLOCK_REALTIME),
    ];
    for (operation, clock) in clocks {
        let waiter = thread::spawn(move || {
            let until = at(clock, 5_000_000);
            let result = timed(operation, &until);
            let end = until.tv_sec * NANOS_PER_SECOND + until.tv_nsec;
            (result, clock_now(clock).unwrap() >= end)
        });
        assert_eq!(waiter.join().unwrap(), (Err(ETIMEDOUT), true), "operation {operation}");
    }
    assert_eq!(word.load(SeqCst), own() | WAITERS);
    assert_eq!(unlock(word), Ok(0));
    assert_eq!(word.load(SeqCst), 0, "nobody is left in the queue");
}

fn unlock_hands_over_in_order() {
    let [word, _] = words();
    lock(word).unwrap();
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            contender(move || {
                lock(word).unwrap();
                let seen = word.load(SeqCst);
                unlock(word).unwrap();
                seen
            })
        })
        .collect();
    unlock(word).unwrap();
    for (tid, waiter) in waiters {
        assert_eq!(waiter.join().unwrap(), tid | WAITERS, "handed over in the order of arrival");
    }
    lock(word).unwrap();
    let (tid, waiter) = contender(move || lock(word));
    unlock(word).unwrap();
    assert_eq!(word.load(SeqCst), tid | WAITERS, "before the waiter has run");
    assert_eq!(try_lock(word).err().filter(|error| [EAGAIN, ESRCH].contains(error)).map(drop), Some(()));
    assert_eq!(waiter.join().unwrap(), Ok(0));
}

fn waiter_that_gives_up_leaves_the_queue() {
    let [word, _] = words();
    lock(word).unwrap();
    let first = thread::spawn(move || {
        let until = at(libc::CLOCK_REALTIME, 30_000_000);
        syscall!(SYS_futex, word, FUTEX_LOCK_PI, 0, &until, 0, 0)
    });
    // The mark stays when he gives up, so he can't be too quick for us.
    wait_until(|| word.load(SeqCst) & WAITERS != 0);
    let (second, waiter) = contender(move || (lock(word), unlock(word)));
    assert_eq!(first.join().unwrap(), Err(ETIMEDOUT));
    unlock(word).unwrap();
    assert_eq!(waiter.join().unwrap(), (Ok(0), Ok(0)), "{second}");
    assert_eq!(word.load(SeqCst), 0);
}

fn interrupted_lock_goes_on() {
    let [word, _] = words();
    lock(word).unwrap();
    let child = fork(|| {
        catch(libc::SIGUSR1, 0);
        assert_eq!(lock(word), Ok(0), "it starts again whatever the handler says");
        assert_eq!(unlock(word), Ok(0));
    });
    wait_until_blocked(child.pid);
    child.kill(libc::SIGUSR1);
    wait_until_signal_taken(child.pid, libc::SIGUSR1);
    wait_until_blocked(child.pid);
    unlock(word).unwrap();
    child.succeeds();
}

fn plain_operations_refuse_a_lock() {
    let [word, other] = words();
    lock(word).unwrap();
    let (_, waiter) = contender(move || (lock(word), unlock(word)));
    let value = word.load(SeqCst);
    let call =
        |operation: i32, count: u32, third: u32| syscall!(SYS_futex, word, operation, count, 1, other, third);
    assert_eq!(call(FUTEX_WAKE, 10, 0), Err(EINVAL));
    assert_eq!(call(FUTEX_REQUEUE, 1, 0), Err(EINVAL));
    assert_eq!(call(FUTEX_CMP_REQUEUE, 1, value), Err(EINVAL));
    assert_eq!(call(FUTEX_WAKE_OP, 1, 0), Err(EINVAL));
    unlock(word).unwrap();
    assert_eq!(waiter.join().unwrap(), (Ok(0), Ok(0)));
    assert_eq!(call(FUTEX_WAKE, 10, 0), Ok(0));
}

fn lock_refuses_plain_waiters() {
    let [word, _] = words();
    word.store(5, SeqCst);
    let (_, waiter) = contender(move || syscall!(SYS_futex, word, FUTEX_WAIT, 5, 0, 0, 0));
    for value in [0, 1, WAITERS | 1] {
        word.store(value, SeqCst);
        assert_eq!((lock(word), try_lock(word)), (Err(EINVAL), Err(EINVAL)), "word {value:#x}");
    }
    word.store(own(), SeqCst);
    assert_eq!(unlock(word), Err(EINVAL));
    assert_eq!(futex(word, FUTEX_WAKE), Ok(1));
    assert_eq!(waiter.join().unwrap(), Ok(0));
    assert_eq!(unlock(word), Ok(0));
}

fn spoilt_word_is_einval() {
    let [word, _] = words();
    lock(word).unwrap();
    let (tid, waiter) = contender(move || (lock(word), unlock(word)));
    for value in [0, 1, OWNER_DIED | 1] {
        word.store(value, SeqCst);
        assert_eq!(try_lock(word), Err(EINVAL), "word {value:#x}");
    }
    word.store(own(), SeqCst);
    assert_eq!(unlock(word), Ok(0));
    assert_eq!(waiter.join().unwrap(), (Ok(0), Ok(0)), "{tid}");
}

/// An owner in a process of its own, and one who waits for the lock: what the heir finds.
fn inherit(end_owner: impl FnOnce(&Child), owner: impl FnOnce(&AtomicU32)) {
    let [word, _] = words();
    let taken = Gate::new();
    let owning = fork(|| {
        lock(word).unwrap();
        taken.open();
        owner(word);
    });
    taken.pass();
    let (heir, waiter) = contender(move || (lock(word), word.load(SeqCst), unlock(word), word.load(SeqCst)));
    end_owner(&owning);
    let found = waiter.join().unwrap();
    assert_eq!(found, (Ok(0), heir | WAITERS | OWNER_DIED, Ok(0), 0));
    discard(owning.wait());
}

fn owner_that_ends_leaves_an_heir() {
    let end = Gate::new();
    inherit(|_| end.open(), |_| end.pass());
}

fn owner_that_executes_leaves_an_heir() {
    let end = Gate::new();
    inherit(
        |_| end.open(),
        |_| {
            end.pass();
            exec_probe("exit", &["0"], &[]);
        },
    );
}

fn owner_that_is_killed_leaves_an_heir() {
    inherit(|owner| owner.kill(libc::SIGKILL), |_| wait_for_ever());
}

fn requeue(condition: &AtomicU32, wake: i32, count: i32, lock: &AtomicU32, value: u32) -> Sys<usize> {
    syscall!(SYS_futex, condition, FUTEX_CMP_REQUEUE_PI, wake, count, lock, value)
}

/// Waits on the condition to be moved to the lock.
fn wait_requeue(condition: &AtomicU32, lock: &AtomicU32) -> Sys<usize> {
    syscall!(SYS_futex, condition, FUTEX_WAIT_REQUEUE_PI, 0, 0, lock, 0)
}

fn requeue_arguments_come_in_order() {
    let [condition, word] = words();
    assert_eq!(requeue(condition, 1, 1, word, 0), Ok(0));
    assert_eq!(requeue(condition, 0, 1, word, 0), Err(EINVAL));
    assert_eq!(requeue(condition, 2, 1, word, 1), Err(EINVAL));
    assert_eq!(requeue(condition, 1, -1, word, 0), Err(EINVAL));
    assert_eq!(requeue(condition, 1, 1, condition, 0), Err(EINVAL));
    assert_eq!(requeue(condition, 1, 1, word, 1), Err(EAGAIN));
    let waits = |value: u32, time: usize, lock: usize| {
        syscall!(SYS_futex, condition, FUTEX_WAIT_REQUEUE_PI, value, time, lock, 0)
    };
    let (past, lock_at) = (milliseconds(0), word.as_ptr() as usize);
    assert_eq!(waits(1, 0, lock_at), Err(EAGAIN));
    assert_eq!(waits(1, 0, condition.as_ptr() as usize), Err(EINVAL));
    assert_eq!(waits(0, &raw const past as usize, lock_at), Err(ETIMEDOUT));
    assert_eq!(waits(0, 8, lock_at), Err(EFAULT));
    assert_eq!(waits(0, 0, lock_at + 2), Err(EINVAL));
    assert_eq!(waits(0, 0, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_futex, condition, FUTEX_CMP_REQUEUE_PI, 1, 1, 8, 0), Err(EFAULT));
    let plain = contender(move || syscall!(SYS_futex, condition, FUTEX_WAIT, 0, 0, 0, 0)).1;
    assert_eq!(requeue(condition, 1, 0, word, 0), Err(EINVAL), "one that does not wait for a lock");
    assert_eq!(futex(condition, FUTEX_WAKE), Ok(1));
    assert_eq!(plain.join().unwrap(), Ok(0));
}

fn requeue_to_a_free_lock_takes_it() {
    let [condition, word] = words();
    let waiting = move || contender(move || (wait_requeue(condition, word), word.load(SeqCst), unlock(word)));
    let (tid, waiter) = waiting();
    assert_eq!(futex(condition, FUTEX_WAKE), Err(EINVAL), "it wants the lock, not a wake");
    assert_eq!(syscall!(SYS_futex, condition, FUTEX_REQUEUE, 1, 1, word, 0), Err(EINVAL));
    let elsewhere = word_at(word.as_ptr() as usize + 64);
    assert_eq!(requeue(condition, 1, 0, elsewhere, 0), Err(EINVAL), "another lock than it named");
    assert_eq!(requeue(condition, 1, 0, word, 0), Ok(1));
    assert_eq!(waiter.join().unwrap(), (Ok(0), tid, Ok(0)));
    // With more to come the word is marked, whether they come or not.
    let (tid, waiter) = waiting();
    assert_eq!(requeue(condition, 1, 5, word, 0), Ok(1));
    assert_eq!(waiter.join().unwrap(), (Ok(0), tid | WAITERS, Ok(0)));
    assert_eq!(word.load(SeqCst), 0);
}

fn requeue_to_a_held_lock_queues() {
    let [condition, word] = words();
    let waiters: Vec<_> = (0..4)
        .map(|_| contender(move || (wait_requeue(condition, word), word.load(SeqCst), unlock(word))))
        .collect();
    lock(word).unwrap();
    assert_eq!(requeue(condition, 1, 0, word, 0), Ok(1));
    assert_eq!(requeue(condition, 1, 1, word, 0), Ok(2));
    assert_eq!(word.load(SeqCst), own() | WAITERS);
    unlock(word).unwrap();
    let mut waiters = waiters.into_iter();
    for (tid, waiter) in waiters.by_ref().take(3) {
        assert_eq!(waiter.join().unwrap(), (Ok(0), tid | WAITERS, Ok(0)));
    }
    assert_eq!(requeue(condition, 1, 9, word, 0), Ok(1));
    assert!(waiters.all(|(_, waiter)| waiter.join().unwrap().0 == Ok(0)));
}

fn requeued_waiter_gives_up() {
    let [condition, word] = words();
    lock(word).unwrap();
    let waiter = thread::spawn(move || {
        let until = at(libc::CLOCK_MONOTONIC, 50_000_000);
        syscall!(SYS_futex, condition, FUTEX_WAIT_REQUEUE_PI, 0, &until, word, 0)
    });
    wait_until(|| requeue(condition, 1, 0, word, 0).unwrap() == 1 || waiter.is_finished());
    assert_eq!(waiter.join().unwrap(), Err(ETIMEDOUT));
    let child = fork(|| {
        catch(libc::SIGUSR1, 0);
        assert_eq!(wait_requeue(condition, word), Err(EAGAIN), "it cannot start again");
    });
    wait_until_blocked(child.pid);
    assert_eq!(requeue(condition, 1, 0, word, 0), Ok(1));
    child.kill(libc::SIGUSR1);
    child.succeeds();
    unlock(word).unwrap();
    assert_eq!(word.load(SeqCst), 0);
}

fn condition_restarts_after_a_signal() {
    let [condition, word] = words();
    let child = fork(|| {
        catch(libc::SIGUSR1, 0);
        assert_eq!(wait_requeue(condition, word), Ok(0));
        assert_eq!(unlock(word), Ok(0));
    });
    wait_until_blocked(child.pid);
    child.kill(libc::SIGUSR1);
    wait_until_signal_taken(child.pid, libc::SIGUSR1);
    wait_until_blocked(child.pid);
    assert_eq!(requeue(condition, 1, 0, word, 0), Ok(1));
    child.succeeds();
}

fn library_mutex_excludes() {
    const ROUNDS: u32 = 3000;
    let mutex = PiMutex::new(false);
    let counter: &'static AtomicU32 = Box::leak(Box::default());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    assert_eq!(if round % 7 == 0 { take_by_trying(mutex) } else { mutex.lock() }, 0);
                    let old = counter.load(SeqCst);
                    if round % 50 == 0 {
                        let _ = syscall!(SYS_sched_yield);
                    }
                    counter.store(old + 1, SeqCst);
                    assert_eq!(mutex.unlock(), 0);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(counter.load(SeqCst), 4 * ROUNDS);
}

fn take_by_trying(mutex: &PiMutex) -> i32 {
    match mutex.try_lock() {
        libc::EBUSY => mutex.lock(),
        result => result,
    }
}

fn library_mutex_tells_of_a_dead_owner() {
    let mutex = PiMutex::new(true);
    for waits in [false, true] {
        let (taken, end) = (Gate::new(), Gate::new());
        let owner = thread::spawn(move || {
            assert_eq!(mutex.lock(), 0);
            taken.open();
            end.pass();
        });
        taken.pass();
        let waiter = |_| {
            assert_eq!(mutex.lock(), libc::EOWNERDEAD);
            assert_eq!(mutex.make_consistent(), 0);
            assert_eq!(mutex.unlock(), 0);
        };
        if waits {
            let (_, heir) = contender(move || waiter(()));
            end.open();
            heir.join().unwrap();
        } else {
            end.open();
            owner.join().unwrap();
            waiter(());
        }
        assert_eq!((mutex.lock(), mutex.unlock()), (0, 0));
    }
}

/// Children that lock and unlock a shared word, and are killed wherever they are: the lock never stays with the dead.
fn killed_waiters_and_owners_between_processes() {
    let [word, counter] = words();
    for _ in 0..40 {
        let children: Vec<Child> = (0..4)
            .map(|_| {
                fork(|| {
                    loop {
                        match lock(word) {
                            Ok(0) => discard(counter.fetch_add(1, SeqCst)),
                            Err(ESRCH) => exit_group(0),
                            result => panic!("{result:?}"),
                        }
                        assert_eq!(unlock(word), Ok(0));
                    }
                })
            })
            .collect();
        let before = counter.load(SeqCst);
        wait_until(|| counter.load(SeqCst) > before + 20);
        children[..2].iter().for_each(|child| child.kill(libc::SIGKILL));
        let survivors = &children[2..];
        // A word that died with its owner while nobody waited stays as it is, and whoever asks is told.
        let before = counter.load(SeqCst);
        let told = || survivors.iter().any(|child| state_of(child.pid) == Ok(b'Z'));
        wait_until(|| told() || counter.load(SeqCst) > before + 20);
        survivors.iter().for_each(|child| discard(kill(child.pid, libc::SIGKILL)));
        for child in &children {
            assert!(matches!(child.wait(), Status::Killed(libc::SIGKILL) | Status::Exited(0)));
        }
        word.store(0, SeqCst);
    }
}
