//! What restart_syscall(2) goes on with: calls with a relative timeout, whose second half must not wait the
//! whole time again. Source: `restart_syscall(2)`.

use base::sync::{LockClass, SpinLock};
use base::time::Instant;

use crate::declare::Pointer;
use crate::mm::futex_key::FutexSharing;
use crate::time::clock::Clock;

/// A call that a stop or an ignored signal cut in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartBlock {
    /// A relative nanosleep(2) or clock_nanosleep(2).
    Sleep {
        /// The clock it counts on.
        clock: Clock,
        /// When it ends.
        deadline: Instant,
        /// Where the rest goes if a handler cuts it short.
        remaining: Pointer,
    },
    /// `FUTEX_WAIT` with a timeout.
    Futex {
        /// The word.
        word: Pointer,
        /// How its users name it.
        sharing: FutexSharing,
        /// The value that it must hold.
        expected: u32,
        /// The bits that it waits for.
        bits: u32,
        /// When it ends.
        deadline: Instant,
    },
    /// poll(2) with a timeout.
    Poll {
        /// The descriptors.
        fds: Pointer,
        /// How many.
        count: u32,
        /// When it ends.
        deadline: Instant,
    },
}

/// A thread's restart block: set by a call on its way out, taken by restart_syscall(2).
#[derive(Debug)]
pub struct Restart(SpinLock<Option<RestartBlock>>);

impl Default for Restart {
    fn default() -> Self {
        Restart(SpinLock::new(LockClass::Signals, None))
    }
}

impl Restart {
    /// Remembers the call, and gives the error that leads to restart_syscall(2).
    pub fn later(&self, block: RestartBlock) -> base::Errno {
        *self.0.lock() = Some(block);
        base::Errno::ERESTART_RESTARTBLOCK
    }

    /// Takes what was remembered.
    #[must_use]
    pub fn take(&self) -> Option<RestartBlock> {
        self.0.lock().take()
    }
}
