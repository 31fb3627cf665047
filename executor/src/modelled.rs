//! Tasks of a model under the checker shuttle: each is polled by a thread of the model, as a CPU would poll it.
//!
//! The executor's own loop is left out: its steps would be most of what the checker tries. What stands on a task is
//! there all the same: waits that are interrupted, timers, `current`.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::time::Duration;
use std::sync::OnceLock;

use base::host::model_clock;
use base::sync::atomic::{AtomicBool, Ordering};

use crate::config::Config;
use crate::cpu::{self, Cpu};
use crate::executor::Executor;
use crate::task::{Task, TaskOptions, TaskRef};
use crate::timer::node::fire_due;

/// Threads of one model that may be tasks.
const CPUS: usize = 8;

/// The executor of all models. Nobody runs its CPUs; each is for one thread of a model.
fn executor() -> &'static Executor {
    static EXECUTOR: OnceLock<&'static Executor> = OnceLock::new();
    EXECUTOR.get_or_init(|| Executor::new(CPUS, Config::default()))
}

/// Makes what would otherwise be made at its first use. To be called before a model begins.
pub fn prepare() {
    executor();
}

/// Time passes: what is due by then expires, as in the loop of the CPUs.
pub fn pass(time: Duration) {
    let now = model_clock::advance(time);
    executor().cpus().iter().for_each(|cpu| fire_due(cpu.wheel(), now));
}

/// A task of a model.
pub struct ModelTask {
    task: TaskRef,
    cpu: &'static Cpu,
    is_over: AtomicBool,
}

impl ModelTask {
    /// A task on CPU `cpu`, which no other task of the model has.
    ///
    /// # Panics
    ///
    /// When there are not so many CPUs.
    #[must_use]
    pub fn new(cpu: usize) -> ModelTask {
        let executor = executor();
        let task = Task::new(executor, cpu as u64 + 1, None, &TaskOptions::new("model"));
        task.set_cpu(cpu);
        ModelTask {
            task: TaskRef(task.into()),
            cpu: executor.cpu(cpu).expect("a CPU of the models' executor"),
            is_over: AtomicBool::new(false),
        }
    }

    /// The task itself.
    #[must_use]
    pub fn task(&self) -> &TaskRef {
        &self.task
    }

    /// True once a future has been [run](Self::run) to its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// `future`, polled as the task's.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            self.task.0.keep_waker(context.waker().clone());
            let entered = cpu::enter(self.cpu);
            self.cpu.begin_poll(&self.task.0, false);
            let polled = future.as_mut().poll(context);
            self.cpu.clear_current();
            drop(entered);
            self.is_over.fetch_or(polled.is_ready(), Ordering::AcqRel);
            polled
        })
        .await
    }
}

impl Drop for ModelTask {
    fn drop(&mut self) {
        // It belongs to the checker, who forgets it with the run.
        drop(self.task.0.take_waker());
    }
}
