//! A gate between processes or threads.

use super::{Fd, close, pipe2, read, write};

/// A counter that one side raises and another waits for; works between threads and, when made
/// before a fork, between processes.
#[derive(Clone, Copy)]
pub(crate) struct Gate {
    from: Fd,
    to: Fd,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        let (from, to) = pipe2(libc::O_CLOEXEC).expect("pipe2");
        Gate { from, to }
    }

    /// Lets one waiter through (now or later).
    pub(crate) fn open(&self) {
        assert_eq!(write(self.to, b"."), Ok(1), "opening a gate");
    }

    /// Waits until somebody opened the gate; a signal does not end the wait.
    pub(crate) fn pass(&self) {
        loop {
            match read(self.from, &mut [0]) {
                Ok(1) => return,
                Err(super::EINTR) => continue,
                other => panic!("waiting at a gate: {other:?}"),
            }
        }
    }

    pub(crate) fn dispose(self) {
        close(self.from).expect("close");
        close(self.to).expect("close");
    }
}
