//! A thread's scheduling attributes. Source: `sched(7)`.
//!
//! They are kept, inherited and answered as Linux does. The executor has one fair order for all threads, so
//! of them only the affinity, which is kept by the task, has an effect.

use base::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// A scheduling policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Policy {
    /// `SCHED_OTHER`: the default.
    Other = 0,
    /// `SCHED_FIFO`: real time, without slices.
    Fifo = 1,
    /// `SCHED_RR`: real time, in turn.
    RoundRobin = 2,
    /// `SCHED_BATCH`: no hurry.
    Batch = 3,
    /// `SCHED_IDLE`: when nobody else wants to.
    Idle = 5,
}

impl Policy {
    /// The policy with Linux's number; `None` for `SCHED_DEADLINE` too, which is not there.
    #[must_use]
    pub fn from_raw(raw: u32) -> Option<Policy> {
        [Policy::Other, Policy::Fifo, Policy::RoundRobin, Policy::Batch, Policy::Idle]
            .into_iter()
            .find(|&policy| policy as u32 == raw)
    }

    /// True for those with a static priority of 1 to 99.
    #[must_use]
    pub fn is_realtime(self) -> bool {
        matches!(self, Policy::Fifo | Policy::RoundRobin)
    }
}

/// Highest static priority of the real-time policies.
pub const HIGHEST_PRIORITY: u32 = 99;

/// The attributes.
#[derive(Debug)]
pub struct Scheduling {
    policy: AtomicU32,
    priority: AtomicU32,
    nice: AtomicI32,
    reset_on_fork: AtomicBool,
}

impl Default for Scheduling {
    fn default() -> Self {
        Scheduling::new(Policy::Other, 0, 0)
    }
}

impl Scheduling {
    fn new(policy: Policy, priority: u32, nice: i32) -> Scheduling {
        Scheduling {
            policy: AtomicU32::new(policy as u32),
            priority: AtomicU32::new(priority),
            nice: AtomicI32::new(nice),
            reset_on_fork: AtomicBool::new(false),
        }
    }

    /// What a child starts with.
    #[must_use]
    pub fn inherit(&self) -> Scheduling {
        if !self.resets_on_fork() {
            return Scheduling::new(self.policy(), self.priority(), self.nice());
        }
        if self.policy().is_realtime() {
            return Scheduling::default();
        }
        Scheduling::new(self.policy(), 0, self.nice().max(0))
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::from_raw(self.policy.load(Ordering::Relaxed)).unwrap_or(Policy::Other)
    }

    /// The static priority, 0 for policies without one.
    #[must_use]
    pub fn priority(&self) -> u32 {
        self.priority.load(Ordering::Relaxed)
    }

    /// The nice value, -20 to 19.
    #[must_use]
    pub fn nice(&self) -> i32 {
        self.nice.load(Ordering::Relaxed)
    }

    /// `SCHED_RESET_ON_FORK`.
    #[must_use]
    pub fn resets_on_fork(&self) -> bool {
        self.reset_on_fork.load(Ordering::Relaxed)
    }

    /// Sets policy, priority and `SCHED_RESET_ON_FORK`; the caller has checked them.
    pub fn set(&self, policy: Policy, priority: u32, reset_on_fork: bool) {
        self.policy.store(policy as u32, Ordering::Relaxed);
        self.priority.store(priority, Ordering::Relaxed);
        self.reset_on_fork.store(reset_on_fork, Ordering::Relaxed);
    }

    /// Sets the nice value; the caller has checked it.
    pub fn set_nice(&self, nice: i32) {
        self.nice.store(nice, Ordering::Relaxed);
    }
}
