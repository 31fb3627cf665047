//! The process that is told of a message in an empty queue, once. Source: `mq_notify(3)`.

use alloc::sync::{Arc, Weak};

use base::caller::Caller;

use crate::process::Process;
use crate::signal::info::Detail;
use crate::signal::{SigInfo, Signal, send_to_process};

/// `si_code` of a signal that a message queue sent.
const SI_MESGQ: i32 = -3;

/// How a process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all: it only keeps others from being told.
    Silent,
    /// By a signal with a value. Signal 0 is none.
    Signal {
        /// Which; `None` for number 0.
        signal: Option<Signal>,
        /// What it carries.
        value: u64,
    },
}

/// A process that wants to be told.
pub struct Registration {
    process: Weak<Process>,
    method: Method,
}

impl Registration {
    /// `process` is to be told.
    #[must_use]
    pub fn new(process: &Arc<Process>, method: Method) -> Registration {
        Registration { process: Arc::downgrade(process), method }
    }

    /// True when it is this process that is told.
    #[must_use]
    pub fn is_of(&self, process: &Arc<Process>) -> bool {
        core::ptr::eq(self.process.as_ptr(), Arc::as_ptr(process))
    }

    /// Tells the process of a message from `sender`. No lock is held.
    pub fn tell(self, sender: &Caller) {
        let Method::Signal { signal: Some(signal), value } = self.method else { return };
        let Some(process) = self.process.upgrade() else { return };
        let detail = Detail::Sender { pid: sender.pid, uid: sender.credentials.uid, value };
        // A signal that finds no room is lost, as on Linux.
        let _ = send_to_process(&process, SigInfo { signal, code: SI_MESGQ, errno: 0, detail });
    }

    /// What the text of the queue says: method, signal, process.
    #[must_use]
    pub fn description(&self) -> (i32, i32, u32) {
        /// `SIGEV_SIGNAL` and `SIGEV_NONE`.
        const SIGNAL: i32 = 0;
        const NONE: i32 = 1;
        let pid = self.process.upgrade().map_or(0, |process| process.pid());
        match self.method {
            Method::Silent => (NONE, 0, pid),
            Method::Signal { signal, .. } => (SIGNAL, signal.map_or(0, |signal| signal.number().into()), pid),
        }
    }
}
