//! Processes: thread groups, their family tree, and what their threads share.
//!
//! | module | subject |
//! |---|---|
//! | [`numbers`], [`registry`] | ids and the family tree, as plain data |
//! | [`table`] | the one registry of this machine, and its lookups |
//! | [`ending`] | why and how a process ends |
//! | [`usage`] | what it has used: time, faults, switches |

pub mod ending;
pub mod numbers;
pub mod registry;
pub mod table;
pub mod usage;

use alloc::sync::Arc;

use base::caller::Limits;
use base::charge::Account;
use base::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use ending::Ending;
use usage::Usage;

/// A thread group.
///
/// Its place in the family tree is kept by the [`registry`]; the copies here (parent, group, session)
/// are written under the registry's lock and read without it.
pub struct Process {
    pid: u32,
    key: u64,
    parent: AtomicU32,
    group: AtomicU32,
    session: AtomicU32,
    live_threads: AtomicUsize,
    limits: Arc<Limits>,
    account: Arc<Account>,
    ending: Ending,
    /// What its finished threads used.
    usage: Usage,
    /// What its finished and awaited children used.
    children_usage: Usage,
}

impl Process {
    /// A process with this id and stable key. It is nobody until [`table`] has it.
    #[must_use]
    pub fn new(pid: u32, key: u64, limits: Arc<Limits>) -> Arc<Process> {
        Arc::new(Process {
            pid,
            key,
            parent: AtomicU32::new(0),
            group: AtomicU32::new(pid),
            session: AtomicU32::new(pid),
            live_threads: AtomicUsize::new(0),
            limits,
            account: Account::new(),
            ending: Ending::default(),
            usage: Usage::default(),
            children_usage: Usage::default(),
        })
    }

    /// Process id: the thread id of its first thread.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The same in every run of one seed: a hash of the parent's key and which child it is.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Process id of the parent, 0 for the first process.
    #[must_use]
    pub fn parent(&self) -> u32 {
        self.parent.load(Ordering::Relaxed)
    }

    /// Process group id.
    #[must_use]
    pub fn group(&self) -> u32 {
        self.group.load(Ordering::Relaxed)
    }

    /// Session id.
    #[must_use]
    pub fn session(&self) -> u32 {
        self.session.load(Ordering::Relaxed)
    }

    /// True when it leads its session.
    #[must_use]
    pub fn is_session_leader(&self) -> bool {
        self.session() == self.pid
    }

    /// Threads that have not exited.
    #[must_use]
    pub fn live_threads(&self) -> usize {
        self.live_threads.load(Ordering::Relaxed)
    }

    /// Resource limits.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Who pays for its kernel memory.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Whether it is ending, and how.
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// What its finished threads used; add the live ones for the whole.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// What its awaited children, and theirs, used.
    #[must_use]
    pub fn children_usage(&self) -> &Usage {
        &self.children_usage
    }
}
