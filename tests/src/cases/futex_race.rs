//! A futex under producers, waiters, signals, timeouts, mappings that come and go, kills and execs at once: nothing is
//! lost, nothing comes twice, nobody is left asleep.

use crate::harness::{Case, case, rounds, seed};
use crate::sys::*;
use libc::{FUTEX_WAIT, FUTEX_WAKE, SIGUSR1};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

pub(crate) const CASES: &[Case] = &[
    case!(tokens_between_processes_that_die).deadlines(3),
    case!(tokens_through_several_words).since(5, 16).deadlines(3),
];

/// Low bits of a word: tokens that are there. The rest: tokens that were taken, so that both change at once and a
/// taker that is killed has taken a token and counted it, or done neither.
const THERE: u32 = 0xfff;
const TAKEN: u32 = THERE + 1;

const TAKERS: usize = 4;

extern "C" fn nothing(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {}

/// Takes tokens for ever; with one of a hundred it becomes another program.
fn taker(word: &AtomicU32, mut sleep: impl FnMut(u32, &mut Random), number: u64) {
    on_signal(SIGUSR1, nothing, 0);
    let mut random = Random::new(seed() ^ number);
    loop {
        let seen = word.load(SeqCst);
        if seen & THERE == 0 {
            sleep(seen, &mut random);
        } else if word.compare_exchange(seen, seen - 1 + TAKEN, SeqCst, SeqCst).is_ok() && random.one_in(100)
        {
            exec_probe("exit", &["0"], &[]);
        }
    }
}

/// Hands out a token in each round, in one of a hundred kills a taker, and in nine interrupts one; `give` wakes one of
/// them. Those who ended are replaced.
fn hand_out(word: &AtomicU32, give: impl Fn(), new: impl Fn(u64) -> Child) {
    let mut random = Random::new(seed());
    let mut takers: Vec<Child> = (0..TAKERS as u64).map(&new).collect();
    let rounds = rounds(1000) as u32;
    for round in 1..=rounds {
        while word.load(SeqCst) & THERE > THERE / 2 {
            sleep_a_tick();
        }
        word.fetch_add(1, SeqCst);
        give();
        let victim = &takers[random.below(TAKERS as u64) as usize];
        match random.below(100) {
            0 => victim.kill(libc::SIGKILL),
            1..10 => victim.kill(SIGUSR1),
            _ => {}
        }
        replace_the_dead(&mut takers, &new, u64::from(round));
    }
    let all = rounds.wrapping_mul(TAKEN);
    let mut turn = u64::from(rounds);
    wait_until(|| {
        turn += 1;
        replace_the_dead(&mut takers, &new, turn);
        word.load(SeqCst) == all
    });
    for taker in &takers {
        taker.kill(libc::SIGKILL);
        discard(taker.wait());
    }
    assert_eq!(word.load(SeqCst), all, "something was lost or came twice");
}

fn replace_the_dead(takers: &mut [Child], new: impl Fn(u64) -> Child, turn: u64) {
    for (index, taker) in takers.iter_mut().enumerate() {
        let (pid, status) = wait4(taker.pid, libc::WNOHANG).expect("wait4");
        if pid != 0 {
            // A signal that is there before its handler kills.
            let expected = [Status::Exited(0), Status::Killed(libc::SIGKILL), Status::Killed(SIGUSR1)];
            assert!(expected.contains(&status), "{status:?}");
            *taker = new(turn << 8 | index as u64);
        }
    }
}

fn tokens_between_processes_that_die() {
    let file = syscall!(SYS_memfd_create, c"word".as_ptr(), 0).unwrap() as Fd;
    syscall!(SYS_ftruncate, file, PAGE).unwrap();
    let map_word = || map(0, PAGE, READ_WRITE, libc::MAP_SHARED, file, 0).expect("mmap");
    let word = word_at(map_word());
    let sleep = |seen: u32, random: &mut Random| {
        // Linux gives a wake to a waiter that is killed, and nobody else: so all come and look again.
        let time = milliseconds(1 + random.below(4) as i64);
        // Where it waits may be gone before the next one comes.
        let own = random.one_in(4).then(map_word);
        let _ = syscall!(SYS_futex, own.map_or(word, word_at), FUTEX_WAIT, seen, &time, 0, 0);
        own.iter().for_each(|at| unmap(*at, PAGE).unwrap());
    };
    let give = || discard(syscall!(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0).unwrap());
    hand_out(word, give, |number| fork(|| taker(word, sleep, number)));
}

/// The same with takers that wait for another word as well, on which they are woken just as often.
fn tokens_through_several_words() {
    #[repr(C)]
    struct Waiter(u64, u64, u32, u32);
    let page = map_shared(PAGE);
    let (word, bell) = (word_at(page), word_at(page + 64));
    let sleep = |seen: u32, random: &mut Random| {
        let rung = bell.load(SeqCst);
        let on = |word: &AtomicU32, value: u32| Waiter(value.into(), word.as_ptr() as u64, 2, 0);
        let now = monotonic() + 1_000_000 * (1 + random.below(4) as i64);
        let time = libc::timespec { tv_sec: now / NANOS_PER_SECOND, tv_nsec: now % NANOS_PER_SECOND };
        let waiters = [on(word, seen), on(bell, rung)];
        let _ = syscall!(SYS_futex_waitv, &waiters, 2, 0, &time, libc::CLOCK_MONOTONIC);
    };
    let give = || {
        let rung = bell.fetch_add(1, SeqCst);
        let wake = if rung % 2 == 0 { bell } else { word };
        discard(syscall!(SYS_futex, wake, FUTEX_WAKE, 1, 0, 0, 0).unwrap());
    };
    hand_out(word, give, |number| fork(|| taker(word, sleep, number)));
}
