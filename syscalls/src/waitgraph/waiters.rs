//! Every thread, and what it waits for.

use alloc::sync::Arc;
use alloc::vec::Vec;

use executor::{TaskRef, WaitSnapshot, WakeSnapshot};

use crate::proc::state::State;
use crate::process::{Process, table};
use crate::thread::Thread;
use crate::thread::dispatch::BlockedCall;

/// Threads that are looked at; how many there are beyond is not told.
const THREADS_MAX: usize = 1 << 14;

/// One thread at the moment at which it was looked at.
pub(super) struct Waiter {
    pub(super) thread: Arc<Thread>,
    pub(super) state: State,
    /// What it waits for; nothing when it runs or could.
    pub(super) wait: Option<WaitSnapshot>,
    /// How its last wait that is over ended.
    pub(super) woken: Option<WakeSnapshot>,
    /// The call that it is blocked in.
    pub(super) call: Option<BlockedCall>,
}

impl Waiter {
    fn look(thread: Arc<Thread>) -> Waiter {
        let state = State::of(thread.process(), Some(&thread));
        let wait = thread.current_wait();
        let woken = thread.task().and_then(TaskRef::last_wake);
        let call = thread.published().get();
        Waiter { thread, state, wait, woken, call }
    }

    /// Forgets the wait if it is over: another look at what was looked at first.
    pub(super) fn look_again(&mut self) {
        if self.thread.current_wait() != self.wait {
            self.wait = None;
            self.state = State::Running;
        }
    }
}

/// The processes, by rising number, each taken out of the registry under a lock of its own.
pub(super) fn processes() -> impl Iterator<Item = Arc<Process>> {
    let mut from = 0;
    core::iter::from_fn(move || {
        let table = table::lock();
        let (pid, node) = table.next_process(from)?;
        from = pid + 1;
        Some(node.payload.clone())
    })
}

/// The threads of all processes, and whether those are all.
pub(super) fn waiters() -> (Vec<Waiter>, bool) {
    let mut waiters = Vec::new();
    for process in processes() {
        for thread in table::threads_of(&process) {
            if waiters.len() == THREADS_MAX {
                return (waiters, false);
            }
            waiters.push(Waiter::look(thread));
        }
    }
    (waiters, true)
}
