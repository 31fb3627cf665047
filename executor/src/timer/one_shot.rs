//! A timer that calls somebody once.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::pin::Pin;

use base::sync::{LockClass, SpinLock};
use base::time::Instant;

use super::node::{Target, TimerNode, TimerTarget};
use crate::cpu;
use crate::disturbance::delayed;

/// A one-shot timer with a target: for timerfd, itimers, POSIX timers.
///
/// It may be armed and cancelled from any CPU and any number of times; only making it allocates.
/// Dropping it cancels it.
pub struct Timer {
    /// The node, and who is changing it now.
    node: SpinLock<Pin<Box<TimerNode>>>,
    daemon: bool,
}

impl Timer {
    /// A timer that is not armed.
    #[must_use]
    pub fn new() -> Timer {
        Timer { node: SpinLock::new(LockClass::TimerOwner, Box::pin(TimerNode::new())), daemon: false }
    }

    /// A timer that is not armed, and that does not keep an otherwise idle machine from being
    /// deadlocked: for housekeeping.
    #[must_use]
    pub fn daemon() -> Timer {
        Timer { daemon: true, ..Timer::new() }
    }

    /// Arms the timer for `deadline`, in place of the deadline it had. A deadline that has passed
    /// fires at the next look, still outside the caller.
    ///
    /// A call for the old deadline that is on its way on another CPU still arrives.
    pub fn arm(&self, deadline: Instant, target: Arc<dyn TimerTarget>) {
        let node = self.node.lock();
        node.cancel();
        let cpu = cpu::this_or_first();
        // SAFETY: T1: the node is boxed, idle now, and cancelled by its `Drop`; the lock makes this
        // call its only owner.
        unsafe { node.arm(cpu.wheel(), delayed(deadline), Target::Call(target), !self.daemon) };
        drop(node);
        cpu.deadline_added();
    }

    /// Cancels the timer. True when it was armed and has not fired.
    pub fn cancel(&self) -> bool {
        self.node.lock().cancel()
    }

    /// True while the timer is armed and has not fired.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.node.lock().is_armed()
    }
}

impl Default for Timer {
    fn default() -> Self {
        Timer::new()
    }
}
