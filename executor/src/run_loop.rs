//! The loop of a CPU: interrupts, inbox, timers, one poll, again.

use base::machine;
use base::sync::assert_none_held;

use crate::cpu::{self, Cpu};
use crate::cpu_set::CpuSet;
use crate::executor::Executor;
use crate::queue::Popped;
use crate::task::TaskState;

/// How many queued tasks are looked at for one that may run on an idle CPU.
const PULL_DEPTH: usize = 8;

impl Executor {
    /// Runs tasks on `cpu` until [`stop`](Executor::stop); in the kernel, for ever.
    ///
    /// The machine is installed, and `machine().cpu_id()` is `cpu`. A number that the executor was
    /// not made for returns at once.
    pub fn run(&'static self, cpu: usize) {
        let Some(cpu) = self.cpu(cpu) else { return };
        let _entered = cpu::enter(cpu);
        self.idleness.arrive(cpu.index);
        cpu.look_at_clock();
        while !self.is_stopping() {
            // Between two polls interrupts are taken; no lock is held.
            assert_none_held();
            machine().interrupt_window();
            cpu.drain_inbox();
            cpu.run_timers();
            match cpu.pop() {
                Some(popped) => self.poll(cpu, popped),
                None if self.pull(cpu) => {}
                None => self.go_idle(cpu),
            }
        }
        self.idleness.depart(cpu.index);
    }

    /// Polls one task (edge 2 of its life).
    #[inline]
    fn poll(&'static self, cpu: &'static Cpu, popped: Popped) {
        let Popped { runnable, handed_over } = popped;
        let task = &runnable.metadata().0;
        if !task.affinity().contains(cpu.index) && !self.allowed(task).contains(cpu.index) {
            // Its affinity changed while it waited here.
            self.route(runnable);
            return;
        }
        task.set_cpu(cpu.index);
        task.set_state(TaskState::Running);
        cpu.begin_poll(task, handed_over);
        if cpu.waiting() > 0 && self.idle_cpus_beside(cpu.index) {
            self.share(cpu);
        }
        cpu.rearm();
        runnable.run();
        cpu.clear_current();
    }

    /// Takes a task from the queue of another CPU. True when there was one.
    fn pull(&self, cpu: &'static Cpu) -> bool {
        let count = self.cpus().len();
        for step in 1..count {
            let other = self.cpu((cpu.index + step) % count);
            if let Some(runnable) = other.and_then(|other| other.give(cpu.index, PULL_DEPTH)) {
                cpu.enqueue_last(runnable);
                return true;
            }
        }
        false
    }

    /// Gives a task that waits behind `cpu` to each idle CPU.
    pub(crate) fn share(&self, cpu: &'static Cpu) {
        let idle = self.idleness.idle();
        for target in idle.without(CpuSet::only(cpu.index)).iter() {
            let Some(target) = self.cpu(target) else { continue };
            if target.has_work() {
                continue;
            }
            if let Some(runnable) = cpu.give(target.index, PULL_DEPTH) {
                target.send(runnable);
            }
        }
    }

    /// Halts the CPU until there is something to do.
    fn go_idle(&'static self, cpu: &'static Cpu) {
        if self.idleness.enter(cpu.index) {
            self.check_deadlock();
        }
        cpu.halts();
        cpu.rearm();
        machine().wait_for_interrupt(&|| cpu.has_work() || self.is_stopping());
        self.idleness.leave(cpu.index);
        cpu.woke_up();
    }
}
