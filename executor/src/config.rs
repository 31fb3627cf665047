//! How an executor is set up.

use alloc::boxed::Box;
use core::time::Duration;

use crate::executor::Executor;
use crate::order::OrderPolicy;

/// What is called when nothing can run any more and work is left.
pub type OnDeadlock = Box<dyn Fn(&'static Executor) + Send + Sync>;

/// How an executor is set up.
pub struct Config {
    /// How long a task runs before another one that waits for its CPU has its turn.
    pub slice: Duration,
    /// How long one poll may last before [`yield_point`](crate::yield_point) gives the CPU back, so
    /// that interrupts are taken: the bound of the interrupt latency.
    pub poll_budget: Duration,
    /// Decides the order of tasks in place of the default.
    pub order: Option<Box<dyn OrderPolicy>>,
    /// Called, once until a task runs again, by the last CPU that went idle when that is a deadlock.
    pub on_deadlock: Option<OnDeadlock>,
    /// [`Executor::run`] returns when every task that is not a daemon has finished.
    pub stop_when_finished: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            slice: Duration::from_millis(4),
            poll_budget: Duration::from_micros(50),
            order: None,
            on_deadlock: None,
            stop_when_finished: false,
        }
    }
}
