//! What threads use: time, page faults, context switches. Source: `getrusage(2)`.

use core::time::Duration;

use base::sync::atomic::{AtomicU64, Ordering};

/// Counters that one thread adds to and anybody reads.
#[derive(Debug, Default)]
pub struct Usage {
    user: AtomicU64,
    system: AtomicU64,
    minor_faults: AtomicU64,
    major_faults: AtomicU64,
    voluntary: AtomicU64,
    involuntary: AtomicU64,
    max_resident: AtomicU64,
}

/// The values of a [`Usage`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Time in ring 3, nanoseconds.
    pub user: u64,
    /// Time in the kernel, nanoseconds.
    pub system: u64,
    /// Page faults that needed no device.
    pub minor_faults: u64,
    /// Page faults that waited for a device.
    pub major_faults: u64,
    /// Times that it waited.
    pub voluntary: u64,
    /// Times that its slice was over.
    pub involuntary: u64,
    /// Most bytes that were resident at once.
    pub max_resident: u64,
}

impl Used {
    /// Time in ring 3 and in the kernel.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.user.saturating_add(self.system))
    }
}

impl Usage {
    /// Adds time in ring 3 and time in the kernel, in nanoseconds.
    pub fn add_time(&self, user: u64, system: u64) {
        self.user.fetch_add(user, Ordering::Relaxed);
        self.system.fetch_add(system, Ordering::Relaxed);
    }

    /// Counts a page fault.
    pub fn count_fault(&self, waited: bool) {
        let counter = if waited { &self.major_faults } else { &self.minor_faults };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a switch away from the thread: `voluntary` when it waited.
    pub fn count_switch(&self, voluntary: bool) {
        let counter = if voluntary { &self.voluntary } else { &self.involuntary };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers the greatest number of resident bytes.
    pub fn note_resident(&self, bytes: u64) {
        self.max_resident.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Adds everything in `used`; the resident maximum is the greater of both.
    pub fn add(&self, used: &Used) {
        self.add_time(used.user, used.system);
        self.minor_faults.fetch_add(used.minor_faults, Ordering::Relaxed);
        self.major_faults.fetch_add(used.major_faults, Ordering::Relaxed);
        self.voluntary.fetch_add(used.voluntary, Ordering::Relaxed);
        self.involuntary.fetch_add(used.involuntary, Ordering::Relaxed);
        self.note_resident(used.max_resident);
    }

    /// The values now.
    #[must_use]
    pub fn get(&self) -> Used {
        Used {
            user: self.user.load(Ordering::Relaxed),
            system: self.system.load(Ordering::Relaxed),
            minor_faults: self.minor_faults.load(Ordering::Relaxed),
            major_faults: self.major_faults.load(Ordering::Relaxed),
            voluntary: self.voluntary.load(Ordering::Relaxed),
            involuntary: self.involuntary.load(Ordering::Relaxed),
            max_resident: self.max_resident.load(Ordering::Relaxed),
        }
    }
}

impl core::ops::Add for Used {
    type Output = Used;
    fn add(self, other: Used) -> Used {
        Used {
            user: self.user + other.user,
            system: self.system + other.system,
            minor_faults: self.minor_faults + other.minor_faults,
            major_faults: self.major_faults + other.major_faults,
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
            max_resident: self.max_resident.max(other.max_resident),
        }
    }
}
