//! What a thread is doing, in the letters of ps(1).

use executor::TaskState;
use executor::pollwait::WaitKind;

use crate::process::Process;
use crate::thread::Thread;

/// The state of a thread. Source: `proc(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Runs or waits for a CPU.
    Running,
    /// Waits until something happens or a signal comes.
    Sleeping,
    /// Waits, and no signal ends the wait.
    DiskSleep,
    /// Stopped by a signal.
    Stopped,
    /// Has exited; nobody has waited for it.
    Zombie,
}

impl State {
    /// The state of `thread`, or of a first thread that has exited.
    #[must_use]
    pub fn of(process: &Process, thread: Option<&Thread>) -> State {
        let Some(thread) = thread else { return State::Zombie };
        let Some(task) = thread.task() else { return State::Running };
        match task.state() {
            TaskState::Finished => State::Zombie,
            TaskState::Ready | TaskState::Running => State::Running,
            TaskState::Blocked if process.signals().is_stopped() => State::Stopped,
            TaskState::Blocked => match task.last_wait().map(|wait| wait.kind) {
                Some(kind) if no_signal_ends(kind) => State::DiskSleep,
                _ => State::Sleeping,
            },
        }
    }

    /// The letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            State::Running => 'R',
            State::Sleeping => 'S',
            State::DiskSleep => 'D',
            State::Stopped => 'T',
            State::Zombie => 'Z',
        }
    }

    /// Letter and word, as in `status`.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            State::Running => "R (running)",
            State::Sleeping => "S (sleeping)",
            State::DiskSleep => "D (disk sleep)",
            State::Stopped => "T (stopped)",
            State::Zombie => "Z (zombie)",
        }
    }
}

/// Waits that go on whatever signal comes: for other parts of the kernel, and for a vforked child.
fn no_signal_ends(kind: WaitKind) -> bool {
    matches!(
        kind,
        WaitKind::Mutex
            | WaitKind::RwLock
            | WaitKind::Semaphore
            | WaitKind::Completion
            | WaitKind::Vfork
            | WaitKind::Exit
            | WaitKind::Page
            | WaitKind::Device
            | WaitKind::ShootDown
    )
}
