//! A thread's time in ring 3 and in the kernel.
//!
//! The clock is not read at every syscall: that would cost as much as the shortest call. It is read when the
//! thread stops running or comes back from ring 3 for another reason than a syscall, and around one syscall in
//! [`SAMPLE`]; that it runs again is told by the executor's look at the clock before its poll. The samples say
//! how long a call takes on average; an interval is split into that time for each call that was made in it, and
//! the rest, which is the program's own.
//!
//! ```text
//!    resume ......................................... pause        (what the intervals cover)
//!      |  user | call | user | call |  user | fault |  |
//!      +---------------- split by samples ----------+--+ system
//! ```
//!
//! Only the thread itself writes; others read [`Clock::now`], which adds the interval that is not yet
//! accounted while the thread runs.

use base::machine;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{CachePadded, MAX_CPUS, PerCpu};
use base::time::Instant;

/// One call in this many is measured. A power of two.
const SAMPLE: u64 = 64;

/// Nanoseconds that a call is taken for before one was measured.
const FIRST_GUESS: u64 = 500;

/// Time in ring 3 that each CPU has accounted.
static USER_TIME: PerCpu<AtomicU64> =
    PerCpu::from_padded([const { CachePadded(AtomicU64::new(0)) }; MAX_CPUS]);

/// Nanoseconds that threads spent in ring 3 on `cpu`, without what is not accounted yet.
#[must_use]
pub fn user_time_of_cpu(cpu: usize) -> u64 {
    USER_TIME.get(cpu).map_or(0, |time| time.load(Ordering::Relaxed))
}

/// Times in nanoseconds, and what it takes to keep them.
#[derive(Debug)]
pub struct Clock {
    user: AtomicU64,
    system: AtomicU64,
    /// When the interval that is not yet accounted began; 0 while the thread does not run.
    since: AtomicU64,
    /// Calls made in that interval.
    calls: AtomicU64,
    /// What a call takes on average.
    average: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            user: AtomicU64::new(0),
            system: AtomicU64::new(0),
            since: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            average: AtomicU64::new(FIRST_GUESS),
        }
    }
}

/// Whose time an interval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The program's, but for the syscalls that were counted in it.
    Mixed,
    /// The program's alone.
    User,
    /// The kernel's alone.
    System,
}

/// A moment, in nanoseconds since boot, and never 0.
fn stamp() -> u64 {
    machine::now().as_nanos().max(1)
}

/// A counter that only one thread writes needs no read-modify-write.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl Clock {
    /// The thread runs from now on, or from when its poll began.
    pub fn resume(&self) {
        let now = executor::poll_began().map_or_else(stamp, |began| began.as_nanos().max(1));
        self.since.store(now, Ordering::Relaxed);
    }

    /// A call has waited. What is left of it is taken for one more call of the interval that began with its poll.
    #[inline]
    pub fn waited(&self) {
        bump(&self.calls, 1);
    }

    /// Accounts the interval up to now, and begins another.
    pub fn account(&self, share: Share) {
        let now = stamp();
        self.close(now, share);
        self.since.store(now, Ordering::Relaxed);
    }

    /// The thread does not run from `now` on.
    #[inline]
    pub fn pause(&self, now: Instant, share: Share) {
        self.close(now.as_nanos().max(1), share);
        self.since.store(0, Ordering::Relaxed);
    }

    /// Counts a call; true when this one is to be measured.
    #[inline]
    pub fn count_call(&self) -> bool {
        let calls = self.calls.load(Ordering::Relaxed) + 1;
        self.calls.store(calls, Ordering::Relaxed);
        calls.is_multiple_of(SAMPLE)
    }

    /// A call is to be measured: what was before it is accounted without it.
    pub fn sample_begins(&self) {
        bump(&self.calls, u64::MAX);
        self.account(Share::Mixed);
    }

    /// The measured call is over.
    pub fn sample_ends(&self) {
        let took = stamp().saturating_sub(self.since.load(Ordering::Relaxed));
        let average = self.average.load(Ordering::Relaxed);
        // A call that waited says nothing about those that don't.
        let took = took.min(average.saturating_mul(16));
        self.average.store((average * 7 + took) / 8, Ordering::Relaxed);
        self.account(Share::System);
    }

    /// True while the thread runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.since.load(Ordering::Relaxed) != 0
    }

    /// Nanoseconds in ring 3 that are not accounted yet.
    #[must_use]
    pub fn unaccounted_user(&self) -> u64 {
        self.now().0.saturating_sub(self.user.load(Ordering::Relaxed))
    }

    /// Nanoseconds in ring 3 and in the kernel so far.
    #[must_use]
    pub fn now(&self) -> (u64, u64) {
        let since = self.since.load(Ordering::Relaxed);
        let running = if since == 0 { 0 } else { stamp().saturating_sub(since) };
        let calls = self.calls.load(Ordering::Relaxed);
        let system = running.min(calls.saturating_mul(self.average.load(Ordering::Relaxed)));
        let user = self.user.load(Ordering::Relaxed) + (running - system);
        (user, self.system.load(Ordering::Relaxed) + system)
    }

    fn close(&self, now: u64, share: Share) {
        let since = self.since.load(Ordering::Relaxed);
        let span = if since == 0 { 0 } else { now.saturating_sub(since) };
        let calls = self.calls.load(Ordering::Relaxed);
        let system = match share {
            Share::User => 0,
            Share::System => span,
            Share::Mixed => span.min(calls.saturating_mul(self.average.load(Ordering::Relaxed))),
        };
        bump(&self.system, system);
        bump(&self.user, span - system);
        // A thread runs on one CPU from a resume to the next pause.
        bump(USER_TIME.this(), span - system);
        self.calls.store(0, Ordering::Relaxed);
    }
}
