//! Spin locks with classes, atomics, once cells, per-CPU slots: the only place that names `spin`
//! or `core::sync::atomic`.
//!
//! | module | subject |
//! |---|---|
//! | [`atomic`] | the atomics; such as a model checker sees under `cfg(loom)` and `cfg(shuttle)` |
//! | `schedules` | models of whole calls, under `cfg(shuttle)` |
//! | [`cell`] | an `UnsafeCell` whose accesses the model checker can see |
//! | [`LockClass`] | the order in which locks nest, checked in debug builds |
//! | [`SpinLock`], [`RwSpinLock`] | the locks; their guards are not `Send` |
//! | [`PerCpu`], [`CachePadded`] | one slot for each CPU, each on its own cache line |
//!
//! Kernel code runs with interrupts off, so no lock here saves flags: a handler never finds a lock
//! held by the code under it.

pub mod atomic;
pub mod cell;
mod class;
mod nesting;
mod order;
mod per_cpu;
mod rw_lock;
#[cfg(shuttle)]
mod schedules;
mod spin_lock;

pub use class::{LockClass, contention};
pub use nesting::{nested, underflows};
pub use order::{assert_none_held, assert_not_held};
pub use per_cpu::{CachePadded, MAX_CPUS, PerCpu};
pub use rw_lock::{ReadGuard, RwSpinLock, WriteGuard};
#[cfg(shuttle)]
pub use schedules::{MODEL_THREADS, explore, model_thread};
pub use spin::{LazyLock as Lazy, Once};
pub use spin_lock::{SpinGuard, SpinLock};

/// One turn of a loop that waits for another CPU.
///
/// On the host a CPU is a thread that may have lost its core to the one it waits for, so the turn
/// is given away there.
#[inline]
pub fn spin_hint() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(shuttle)]
    schedules::wait_a_turn();
    #[cfg(all(not(any(loom, shuttle)), any(test, feature = "host")))]
    std::thread::yield_now();
    #[cfg(not(any(loom, shuttle, test, feature = "host")))]
    core::hint::spin_loop();
}
