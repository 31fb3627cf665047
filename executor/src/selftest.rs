//! Tests with one body and two drivers: the host's test runner, on CPUs that are threads, and the kernel itself,
//! where each is a task (`selftest=MASK` on its command line).
//!
//! A test that fails panics. Of those that inject faults only one may run at a time, so the host's driver takes them
//! in turn, and gives their task a key that no other task has.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;

use base::fault::{Counts, Point, Setting};

mod waiting;

/// Those of this crate.
pub const TESTS: &[&[SelfTest]] = &[waiting::TESTS];

/// A test.
#[derive(Clone, Copy)]
pub struct SelfTest {
    /// Its name.
    pub name: &'static str,
    /// Starts it.
    pub start: fn() -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The table of the `async` functions that are named, and on the host a `#[test]` for each of them.
#[macro_export]
macro_rules! selftests {
    ($($name:ident),* $(,)?) => {
        /// The tests of this module.
        pub const TESTS: &[$crate::selftest::SelfTest] = &[$(
            $crate::selftest::SelfTest {
                name: stringify!($name),
                start: || ::alloc::boxed::Box::pin($name()),
            },
        )*];

        #[cfg(test)]
        mod on_the_host {
            $(#[test]
            fn $name() {
                $crate::host::selftest(|| ::alloc::boxed::Box::pin(super::$name()));
            })*
        }
    };
}

/// The key of the task that runs a test on the host.
pub const KEY: u64 = 0x5e1f_7e57;

/// While it lives, a fault point strikes the current task, and no other.
pub struct Injection {
    point: Point,
    before: Counts,
}

impl Injection {
    /// Makes `point` fire at the next `times` hits.
    ///
    /// # Panics
    ///
    /// Outside of a task.
    #[must_use]
    pub fn new(point: Point, times: u64) -> Injection {
        let task = crate::current().expect("a test runs in a task");
        let before = point.counts();
        point.set(Some(Setting { times, task: Some(task.key()), ..Setting::ALWAYS }));
        Injection { point, before }
    }

    /// How often it has fired.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.point.counts().fails - self.before.fails
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        self.point.set(None);
    }
}
