//! Why and how a process ends.
//!
//! ```text
//!           exit_group, a fatal signal           the last thread is gone
//!   alive ------------------------------> ending ------------------------> zombie -> reaped
//!      \                                     ^                               ^
//!       \   exit(2) of every thread          | the first reason stays        |
//!        +-------------------------------------------------------------------+
//! ```

use base::sync::{LockClass, SpinLock};

use crate::signal::Signal;

/// What the parent learns from wait(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It ended itself with this code.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// Which.
        signal: Signal,
        /// A core dump would have been due.
        core: bool,
    },
}

impl ExitStatus {
    /// The status word of wait4(2).
    #[must_use]
    pub fn to_wait_status(self) -> i32 {
        match self {
            ExitStatus::Code(code) => i32::from(code) << 8,
            ExitStatus::Signal { signal, core } => i32::from(signal.number()) | i32::from(core) << 7,
        }
    }

    /// The status that a shell shows: 128 + N for signal N.
    #[must_use]
    pub fn to_shell_status(self) -> u8 {
        match self {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal { signal, .. } => 128 + signal.number(),
        }
    }
}

/// Whether a process is ending. The first reason wins.
#[derive(Debug)]
pub struct Ending(SpinLock<State>);

#[derive(Debug, Default)]
struct State {
    status: Option<ExitStatus>,
    /// What exit(2) of the last thread to leave said.
    last_code: u8,
    executing: bool,
}

impl Default for Ending {
    fn default() -> Self {
        Ending(SpinLock::new(LockClass::ThreadGroup, State::default()))
    }
}

impl Ending {
    /// Decides how the process ends; false when that was decided before.
    ///
    /// No core is ever written, so nobody is told of one, as with Linux's default `RLIMIT_CORE` of 0.
    pub fn begin(&self, mut status: ExitStatus) -> bool {
        if let ExitStatus::Signal { core, .. } = &mut status {
            *core = false;
        }
        let mut state = self.0.lock();
        let first = state.status.is_none();
        state.status.get_or_insert(status);
        first
    }

    /// How it ends, once that is decided.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        self.0.lock().status
    }

    /// A thread left with this code. The last one's is the status, unless somebody decides it for the whole
    /// process; before 5.19 Linux took the first thread's.
    pub(super) fn thread_left(&self, code: u8) {
        self.0.lock().last_code = code;
    }

    /// The last thread is gone: how the process ended.
    pub(super) fn finish(&self) -> ExitStatus {
        let mut state = self.0.lock();
        let by_thread = ExitStatus::Code(state.last_code);
        *state.status.get_or_insert(by_thread)
    }

    /// Lets one thread, and no other, replace the program. False when another one does so already, or
    /// when the process is ending.
    #[must_use]
    pub fn begin_exec(&self) -> bool {
        let mut state = self.0.lock();
        if state.status.is_some() || state.executing {
            return false;
        }
        state.executing = true;
        true
    }

    /// The new program runs, or the attempt is over.
    pub fn end_exec(&self) {
        self.0.lock().executing = false;
    }

    /// True while new threads must not come into being: the process is ending or executing.
    #[must_use]
    pub fn forbids_threads(&self) -> bool {
        let state = self.0.lock();
        state.status.is_some() || state.executing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let ending = Ending::default();
        let killed = ExitStatus::Signal { signal: Signal::SIGSEGV, core: true };
        assert!(ending.begin(killed));
        assert!(!ending.begin(ExitStatus::Code(0)));
        assert_eq!(ending.status(), Some(ExitStatus::Signal { signal: Signal::SIGSEGV, core: false }));
        assert_eq!((killed.to_wait_status(), killed.to_shell_status()), (0x8b, 139));
        assert_eq!(ExitStatus::Code(7).to_wait_status(), 0x700);
    }

    #[test]
    fn one_thread_executes_and_none_in_a_dying_process() {
        let ending = Ending::default();
        assert!(ending.begin_exec());
        assert!(!ending.begin_exec());
        ending.end_exec();
        ending.begin(ExitStatus::Code(1));
        assert!(!ending.begin_exec());
    }
}
