//! Processes: thread groups, their family tree, and what their threads share.

use alloc::sync::Arc;

use base::caller::Limits;
use base::charge::Account;

/// A thread group.
pub struct Process {
    pid: u32,
    limits: Arc<Limits>,
    account: Arc<Account>,
}

impl Process {
    /// A process with this id.
    #[must_use]
    pub fn new(pid: u32, limits: Arc<Limits>) -> Arc<Process> {
        Arc::new(Process { pid, limits, account: Account::new() })
    }

    /// Process id: the thread id of its first thread.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
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
}
