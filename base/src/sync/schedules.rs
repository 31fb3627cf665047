//! Schedules under the checker shuttle: threads take turns, and a turn may end before each operation on an atomic and
//! before each lock.
//!
//! Unlike loom it takes one schedule after the other at random, so that whole calls of the host double fit; and all of
//! them are sequentially consistent. The atomics are the machine's, which can stand in a `static`: threads of a model
//! are coroutines of one thread, so nothing else is needed than to let others run in between.

use core::cell::Cell;
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

std::thread_local!(static IN_MODEL: Cell<bool> = const { Cell::new(false) });

/// Threads that may have to be preempted at the right place for a bug to show: the depth of the second kind of schedule.
const PREEMPTIONS: usize = 3;

/// Schedules of one model, for each unit of the environment's `KAIROS_SCALE`.
const SCHEDULES: usize = 500;

/// Runs `model` under many schedules: half of them choose at random at every point, half of them preempt only a few
/// times.
///
/// # Panics
///
/// When the model panics, or all its threads wait; the schedule is printed, to be run again.
pub fn explore(model: impl Fn() + Send + Sync + 'static) {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            IN_MODEL.set(false);
        }
    }
    let scale = std::env::var("KAIROS_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1usize);
    let schedules = SCHEDULES * scale;
    let model = Arc::new(move || {
        IN_MODEL.set(true);
        let _leave = Leave;
        model();
    });
    let first = Arc::clone(&model);
    Runner::new(RandomScheduler::new(schedules.div_ceil(2)), Config::default()).run(move || first());
    Runner::new(PctScheduler::new(PREEMPTIONS, schedules / 2), Config::default()).run(move || model());
}

/// Threads that a model may have, its first one among them.
pub const MODEL_THREADS: usize = 32;

/// Which thread of its model runs here; 0 where no model runs, and for its first thread.
#[must_use]
pub fn model_thread() -> usize {
    if IN_MODEL.get() { usize::from(shuttle::current::me()) } else { 0 }
}

/// Lets another thread of the model run, if there is one.
pub(super) fn point() {
    if IN_MODEL.get() {
        // An operation that the checker sees; the value is nobody's business.
        let seen = shuttle::sync::atomic::AtomicBool::new(false);
        seen.load(core::sync::atomic::Ordering::SeqCst);
    }
}

/// One turn of a loop that waits for another thread.
pub(super) fn wait_a_turn() {
    if IN_MODEL.get() {
        shuttle::thread::yield_now();
    }
}

/// Atomics with a point before each operation.
pub mod atomic {
    use core::ops::Deref;
    use core::sync::atomic as machine;

    pub use machine::{Ordering, compiler_fence, fence};

    macro_rules! atomic {
        ($($name:ident $(<$parameter:ident>)? of $value:ty;)*) => {$(
            /// The machine's, with a point before each operation.
            #[derive(Debug, Default)]
            #[repr(transparent)]
            pub struct $name $(<$parameter>)? (machine::$name $(<$parameter>)?);

            impl $(<$parameter>)? $name $(<$parameter>)? {
                /// With an initial value.
                pub const fn new(value: $value) -> Self {
                    Self(machine::$name::new(value))
                }

                /// The atomic at an address.
                ///
                /// # Safety
                ///
                /// As for the machine's.
                #[allow(dead_code, reason = "few kinds are found by address")]
                pub const unsafe fn from_ptr<'a>(at: *mut $value) -> &'a Self {
                    // SAFETY: the caller's promise; the type is nothing but the machine's.
                    unsafe { &*at.cast() }
                }

                /// Through exclusive access.
                pub fn get_mut(&mut self) -> &mut $value {
                    self.0.get_mut()
                }

                /// The value.
                pub fn into_inner(self) -> $value {
                    self.0.into_inner()
                }
            }

            impl $(<$parameter>)? Deref for $name $(<$parameter>)? {
                type Target = machine::$name $(<$parameter>)?;

                fn deref(&self) -> &Self::Target {
                    super::point();
                    &self.0
                }
            }
        )*};
    }

    atomic! {
        AtomicBool of bool;
        AtomicU8 of u8;
        AtomicU16 of u16;
        AtomicU32 of u32;
        AtomicU64 of u64;
        AtomicUsize of usize;
        AtomicI32 of i32;
        AtomicI64 of i64;
        AtomicPtr<T> of *mut T;
    }
}
