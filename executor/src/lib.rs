//! Tasks, per-CPU run queues, timers, pollwait and async locks.
//!
//! | module | subject |
//! |---|---|
//! | [`Executor`], [`Config`] | CPUs, who runs where, deadlock |
//! | [`TaskRef`], [`TaskOptions`], [`TaskFlags`] | tasks |
//! | [`yield_now`], [`yield_point`], [`slice_over`], [`poll_began`], [`poll_ends`], [`sleep_until`] | time |
//! | [`pollwait`] | waiting and waking |
//! | [`lock`] | mutex, reader-writer lock, semaphore, completion |
//! | [`Timer`] | one-shot timers with a target |
//! | [`order`] | which ready task runs next |
//! | `selftest` | tests that run on the host and in the kernel |
//!
//! The path of a wake: [`WaitSource::wake_one`](pollwait::WaitSource::wake_one) takes a waker out of
//! a wait node and fires it; `async-task` makes a runnable of the first one; `Executor::place` chooses
//! a CPU; the runnable goes to this CPU's `ReadyQueue` or another one's `Inbox`; the CPU's loop
//! (`run_loop`) pops and polls it. Nothing on this path allocates.
#![cfg_attr(not(any(loom, test, feature = "host")), no_std)]
#![cfg_attr(loom, allow(dead_code, unreachable_pub, reason = "the checker builds a part"))]

extern crate alloc;

// The model checker builds the parts that have models: `inbox`, `pollwait` without its futures, and
// `timer` without its one-shot.
mod cpu_set;
mod disturbance;
mod idleness;
mod inbox;
mod list;
pub mod pollwait;
mod timer;

#[cfg(not(loom))]
mod config;
#[cfg(not(loom))]
mod cpu;
#[cfg(not(loom))]
mod deadlock;
#[cfg(not(loom))]
mod executor;
#[cfg(not(loom))]
mod here;
#[cfg(all(not(loom), any(test, feature = "host")))]
pub mod host;
#[cfg(not(loom))]
pub mod lock;
#[cfg(shuttle)]
pub mod modelled;
#[cfg(all(test, loom))]
mod models;
#[cfg(not(loom))]
pub mod order;
#[cfg(not(loom))]
mod queue;
#[cfg(not(loom))]
mod registry;
#[cfg(not(loom))]
mod run_loop;
#[cfg(all(not(loom), any(test, feature = "host", feature = "selftest")))]
pub mod selftest;
#[cfg(not(loom))]
mod task;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(not(loom))]
mod yielding;

#[cfg(not(loom))]
mod surface {
    pub use crate::config::{Config, OnDeadlock};
    pub use crate::cpu_set::CpuSet;
    pub use crate::executor::Executor;
    pub use crate::pollwait::wait::sleep_until;
    pub use crate::task::{
        NAME_LENGTH, TaskFlags, TaskOptions, TaskRef, TaskState, WaitSnapshot, WakeSnapshot, child_key,
    };
    pub use crate::timer::{Timer, TimerTarget};
    pub use crate::yielding::{
        enter_user, leave_user, poll_began, poll_ends, slice_over, timer_expired, yield_now, yield_point,
    };
}

#[cfg(not(loom))]
pub use surface::*;

/// The task that is being polled on this CPU.
#[cfg(not(loom))]
#[must_use]
pub fn current() -> Option<TaskRef> {
    cpu::this()?.current_ref()
}

/// Makes a task on the executor of the CPU that runs this code.
///
/// # Panics
///
/// On a thread that is no CPU: use [`Executor::spawn`] there.
#[cfg(not(loom))]
pub fn spawn<F>(options: TaskOptions<'_>, future: F) -> TaskRef
where
    F: core::future::Future<Output = ()> + Send + 'static,
{
    let cpu = cpu::this().expect("a CPU of an executor runs this");
    cpu.executor.spawn(options, future)
}
