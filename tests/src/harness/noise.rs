//! Processes that do nothing but take CPUs and give them back, so that moments fall differently each time.

use crate::sys::{Random, exit_group, map_shared, wait4, word_at};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};

/// Some such processes. They end with the suite.
pub(super) struct Noise {
    /// How many of them are at work; [`OVER`] ends them.
    at_work: &'static AtomicU32,
    count: u32,
}

const OVER: u32 = u32::MAX;

impl Noise {
    /// Starts `count` processes that wait for work. To be called before the harness takes orphans: their parent is
    /// process 1, and what is cleaned up behind a case passes them by.
    pub(super) fn start(count: u64) -> Noise {
        let noise = Noise { at_work: word_at(map_shared(4096)), count: count.min(16) as u32 };
        // SAFETY: the harness has one thread.
        let starter = unsafe { libc::fork() };
        if starter == 0 {
            for number in 0..noise.count {
                // SAFETY: as above.
                if unsafe { libc::fork() } == 0 {
                    noise.disturb(number);
                }
            }
            exit_group(0);
        }
        let _ = wait4(starter, 0);
        noise
    }

    /// Lets some of them work, one at least.
    pub(super) fn begin(&self, random: &mut Random) {
        if self.count > 0 {
            self.set(1 + random.below(u64::from(self.count)) as u32);
        }
    }

    pub(super) fn pause(&self) {
        self.set(0);
    }

    fn set(&self, at_work: u32) {
        self.at_work.store(at_work, Ordering::Relaxed);
        let _ = syscall!(SYS_futex, self.at_work.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
    }

    /// What process `number` does.
    fn disturb(&self, number: u32) -> ! {
        const MOST_YIELDS: u64 = 16;
        const LONGEST_SPIN: u64 = 20_000;
        let mut random = Random::new(u64::from(number));
        loop {
            match self.at_work.load(Ordering::Relaxed) {
                OVER => exit_group(0),
                at_work if number < at_work => {
                    for _ in 0..random.below(MOST_YIELDS) {
                        let _ = syscall!(SYS_sched_yield);
                    }
                    (0..random.below(LONGEST_SPIN)).for_each(|_| spin_loop());
                }
                at_work => {
                    let _ = syscall!(SYS_futex, self.at_work.as_ptr(), libc::FUTEX_WAIT, at_work, 0);
                }
            }
        }
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.set(OVER);
    }
}
