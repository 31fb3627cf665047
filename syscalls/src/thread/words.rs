//! Addresses in user memory that a thread leaves with the kernel for its end, and its small settings.

use base::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Where the kernel writes, and what it reads, when the thread exits or executes a program.
#[derive(Debug, Default)]
pub struct UserWords {
    clear_child_tid: AtomicU64,
    robust_list: AtomicU64,
    locks_released: AtomicBool,
}

/// Bytes of a `struct robust_list_head`, the only length that set_robust_list(2) takes.
pub const ROBUST_LIST_BYTES: u64 = 24;

impl UserWords {
    /// The word that is zeroed, and whose futex is woken, at the thread's end; 0 for none.
    #[must_use]
    pub fn clear_child_tid(&self) -> u64 {
        self.clear_child_tid.load(Ordering::Relaxed)
    }

    /// `CLONE_CHILD_CLEARTID`, set_tid_address(2).
    pub fn set_clear_child_tid(&self, address: u64) {
        self.clear_child_tid.store(address, Ordering::Relaxed);
    }

    /// Head of the robust futex list; 0 for none.
    #[must_use]
    pub fn robust_list(&self) -> u64 {
        self.robust_list.load(Ordering::Relaxed)
    }

    /// set_robust_list(2).
    pub fn set_robust_list(&self, head: u64) {
        self.robust_list.store(head, Ordering::Relaxed);
    }

    /// True when the locks that name the thread have been passed on for the last time: nobody waits for one from
    /// it any more.
    #[must_use]
    pub fn has_released_locks(&self) -> bool {
        self.locks_released.load(Ordering::Relaxed)
    }

    /// The thread ends. Under the lock of the table of such locks.
    pub(crate) fn set_locks_released(&self) {
        self.locks_released.store(true, Ordering::Relaxed);
    }

    /// Takes both, for the one time that they are acted upon.
    pub(crate) fn take(&self) -> (u64, u64) {
        (self.clear_child_tid.swap(0, Ordering::Relaxed), self.robust_list.swap(0, Ordering::Relaxed))
    }
}

/// Settings of prctl(2) and personality(2) that belong to one thread.
#[derive(Debug)]
pub struct Settings {
    /// Signal to send when the parent thread ends, 0 for none: `PR_SET_PDEATHSIG`.
    pub parent_death_signal: AtomicU32,
    /// execve(2) grants nothing: `PR_SET_NO_NEW_PRIVS`. Never cleared.
    pub no_new_privileges: AtomicBool,
    /// How late a timer may fire, nanoseconds: `PR_SET_TIMERSLACK`.
    pub timer_slack: AtomicU64,
    /// What an exec or `PR_SET_TIMERSLACK` 0 sets it back to.
    pub default_timer_slack: AtomicU64,
    /// personality(2).
    pub personality: AtomicU32,
}

/// Timer slack of the first process, nanoseconds.
const TIMER_SLACK: u64 = 50_000;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            parent_death_signal: AtomicU32::new(0),
            no_new_privileges: AtomicBool::new(false),
            timer_slack: AtomicU64::new(TIMER_SLACK),
            default_timer_slack: AtomicU64::new(TIMER_SLACK),
            personality: AtomicU32::new(0),
        }
    }
}

impl Settings {
    /// What a child thread or process starts with.
    #[must_use]
    pub fn inherit(&self) -> Settings {
        let slack = self.timer_slack.load(Ordering::Relaxed);
        Settings {
            parent_death_signal: AtomicU32::new(0),
            no_new_privileges: AtomicBool::new(self.no_new_privileges.load(Ordering::Relaxed)),
            timer_slack: AtomicU64::new(slack),
            default_timer_slack: AtomicU64::new(slack),
            personality: AtomicU32::new(self.personality.load(Ordering::Relaxed)),
        }
    }
}
