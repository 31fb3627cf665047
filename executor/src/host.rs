//! Running an executor on the host.
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! static RUNS: AtomicU32 = AtomicU32::new(0);
//! executor::host::run(2, |executor| {
//!     executor.spawn(executor::TaskOptions::new("hello"), async {
//!         executor::yield_now().await;
//!         RUNS.fetch_add(1, Ordering::Relaxed);
//!     });
//! });
//! assert_eq!(RUNS.load(Ordering::Relaxed), 1);
//! ```

use std::boxed::Box;
use std::future::Future;
use std::pin::Pin;
use std::string::String;
use std::sync::{Arc, Mutex, PoisonError};

use base::host::{Clock, Simulation};

use crate::config::Config;
use crate::executor::Executor;
use crate::order::{OrderPolicy, Schedule, SeededOrder};
use crate::selftest;
use crate::task::TaskOptions;

/// Runs what `setup` spawns on `cpus` threads with virtual time, until every task that is not a daemon
/// has finished.
///
/// # Panics
///
/// When the run ends in a deadlock, or a task panics.
pub fn run(cpus: usize, setup: impl FnOnce(&'static Executor)) {
    if let Some(deadlock) = run_with(cpus, Clock::Virtual, Config::default(), setup) {
        panic!("deadlock:\n{deadlock}");
    }
}

/// Like [`run`], with a clock and a configuration. Returns the unfinished tasks, one a line, when the
/// run ended in a deadlock.
///
/// # Panics
///
/// When a task panics.
pub fn run_with(
    cpus: usize,
    clock: Clock,
    config: Config,
    setup: impl FnOnce(&'static Executor),
) -> Option<String> {
    base::host::install();
    let simulation = Simulation::new(cpus, clock);
    let found = Arc::new(Mutex::new(None));
    let report = Arc::clone(&found);
    let on_deadlock = move |executor: &'static Executor| {
        let mut text = String::new();
        executor.for_each_task(|task| text.push_str(&std::format!("{task:?}\n")));
        report.lock().unwrap_or_else(PoisonError::into_inner).replace(text);
        executor.stop();
    };
    let config =
        Config { stop_when_finished: true, on_deadlock: Some(std::boxed::Box::new(on_deadlock)), ..config };
    let executor = Executor::new(cpus, config);
    {
        let _outside = simulation.attach();
        setup(executor);
    }
    std::thread::scope(|scope| {
        let cpu = |index| {
            let simulation = &simulation;
            move || {
                let _member = simulation.join(index);
                let _stop = StopOnPanic(executor);
                executor.run(index);
            }
        };
        for index in 1..cpus {
            scope.spawn(cpu(index));
        }
        cpu(0)();
    });
    found.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Runs a test of [`selftest`](crate::selftest) on two CPUs, alone among its kind: in the default order of ready
/// tasks and in two others.
///
/// # Panics
///
/// When it fails.
pub fn selftest(start: fn() -> Pin<Box<dyn Future<Output = ()> + Send>>) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for seed in [None, Some(1), Some(2)] {
        let order =
            seed.map(|seed| Box::new(SeededOrder::new(seed, Schedule::Random)) as Box<dyn OrderPolicy>);
        let deadlock = run_with(2, Clock::Virtual, Config { order, ..Config::default() }, |executor| {
            executor.spawn(TaskOptions::new("selftest").key(selftest::KEY), start());
        });
        assert_eq!(deadlock, None, "a deadlock with seed {seed:?}");
    }
}

/// Ends the run when a CPU's thread unwinds, so that the test fails and does not hang.
struct StopOnPanic(&'static Executor);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
