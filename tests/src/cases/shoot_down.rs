//! Translations that other CPUs still hold when a mapping changes (munmap(2), mprotect(2), madvise(2)): what is
//! taken away is gone for every thread when the call returns, and the call does return.

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{MAP_FIXED, PROT_READ, SIGSEGV};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(a_storm_beside_a_thread_that_sleeps),
    case!(storms_of_several_threads),
    case!(a_write_right_is_gone_for_other_threads),
    case!(replaced_memory_is_seen_by_other_threads),
    case!(a_thread_is_killed_amid_a_storm),
];

/// Maps, fills, protects, empties and unmaps memory; `mark` is what this thread writes.
fn storm(rounds: usize, mark: u8) {
    for round in 0..rounds {
        let pages = 1 + (round + usize::from(mark)) % 40;
        let memory = map_anonymous(pages * PAGE);
        let each = || (memory..memory + pages * PAGE).step_by(PAGE);
        for page in each() {
            assert_eq!(peek(page), 0, "fresh memory in round {round}");
            poke(page, mark);
        }
        if round % 3 == 0 {
            mprotect(memory, pages * PAGE, PROT_READ).unwrap();
            each().for_each(|page| assert_eq!(peek(page), mark));
        }
        if round % 5 == 0 {
            syscall!(SYS_madvise, memory, pages * PAGE, libc::MADV_DONTNEED).unwrap();
            each().for_each(|page| assert_eq!(peek(page), 0));
        }
        unmap(memory, pages * PAGE).unwrap();
    }
}

fn a_storm_beside_a_thread_that_sleeps() {
    // The first thread has the space loaded on its CPU and sleeps in join.
    thread::spawn(|| storm(rounds(800) as usize, 1)).join().unwrap();
}

fn storms_of_several_threads() {
    let threads: Vec<_> =
        (1..=3).map(|mark| thread::spawn(move || storm(rounds(400) as usize, mark))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

static WRITER: AtomicU32 = AtomicU32::new(0);
static STOPPED: AtomicU32 = AtomicU32::new(0);

extern "C" fn stop_here(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    STOPPED.store(1, SeqCst);
    exit_thread(0);
}

fn a_write_right_is_gone_for_other_threads() {
    let page = map_anonymous(PAGE);
    let counter = word_at(page);
    on_signal(SIGSEGV, stop_here, 0);
    for _ in 0..20 {
        mprotect(page, PAGE, libc::PROT_READ | libc::PROT_WRITE).unwrap();
        STOPPED.store(0, SeqCst);
        let start = counter.load(SeqCst);
        let writer = thread::spawn(move || {
            WRITER.store(gettid() as u32, SeqCst);
            loop {
                counter.fetch_add(1, SeqCst);
            }
        });
        wait_until(|| counter.load(SeqCst) > start + 1000);
        mprotect(page, PAGE, PROT_READ).unwrap();
        let last = counter.load(SeqCst);
        wait_until(|| STOPPED.load(SeqCst) == 1);
        assert_eq!(counter.load(SeqCst), last, "written after the right was taken away");
        // It ended without its runtime's knowledge, so nobody joins it.
        drop(writer);
        wait_until(|| syscall!(SYS_tgkill, getpid(), WRITER.load(SeqCst), 0).is_err());
    }
}

fn replaced_memory_is_seen_by_other_threads() {
    let memory = map_anonymous(PAGE);
    let (current, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let before = current.load(SeqCst);
                if before == usize::MAX {
                    return;
                }
                let value = usize::from(peek(memory));
                let after = current.load(SeqCst);
                // Zero is fresh memory that the other thread has not written yet.
                assert!(
                    value == 0 || before <= value && value <= after.saturating_add(1),
                    "{value} after {before}"
                );
                seen.fetch_add(1, SeqCst);
            }
        });
        for round in 1..=200 {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | MAP_FIXED;
            map(memory, PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).unwrap();
            poke(memory, round as u8);
            current.store(round, SeqCst);
            if round % 20 == 0 {
                let looks = seen.load(SeqCst);
                wait_until(|| seen.load(SeqCst) > looks);
            }
        }
        current.store(usize::MAX, SeqCst);
    });
}

fn a_thread_is_killed_amid_a_storm() {
    for _ in 0..20 {
        let child = fork(|| {
            let threads: Vec<_> =
                (1..=3).map(|mark| thread::spawn(move || storm(usize::MAX, mark))).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        sleep_a_tick();
        child.kill(libc::SIGKILL);
        assert_eq!(child.wait(), Status::Killed(libc::SIGKILL));
    }
}
