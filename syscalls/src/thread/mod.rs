//! Threads: the part that others may look at. What only the thread itself touches (registers,
//! floating-point state, the syscall in flight) lives in its future, in [`run`].

pub mod attention;
pub mod dispatch;
pub mod run;

use alloc::sync::Arc;

use attention::Attention;

use crate::process::Process;

/// A thread, as everybody else sees it.
pub struct Thread {
    tid: u32,
    process: Arc<Process>,
    attention: Attention,
    published: dispatch::Published,
}

impl Thread {
    /// A thread of `process`.
    #[must_use]
    pub fn new(tid: u32, process: Arc<Process>) -> Arc<Thread> {
        Arc::new(Thread {
            tid,
            process,
            attention: Attention::default(),
            published: dispatch::Published::default(),
        })
    }

    /// Thread id.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// The process it belongs to.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// What the thread has to look at before it goes back to ring 3.
    #[must_use]
    pub fn attention(&self) -> &Attention {
        &self.attention
    }

    /// What the thread is blocked in, for those who watch it.
    #[must_use]
    pub fn published(&self) -> &dispatch::Published {
        &self.published
    }
}
