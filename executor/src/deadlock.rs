//! Deadlock: work is left, and nothing can make any of it run.

use base::sync::atomic::Ordering;

use crate::executor::Executor;

impl Executor {
    /// Says that something outside the machine may bring work: console input, a host channel, a
    /// request that is under way. As long as one is attached, idle is not deadlocked.
    pub fn outside_source_attach(&self) {
        self.idleness.attach();
    }

    /// Takes an [`outside_source_attach`](Self::outside_source_attach) back; after what it brought has been
    /// given to a task.
    pub fn outside_source_detach(&self) {
        self.idleness.detach();
    }

    /// Called by a CPU whose going idle made all idle.
    ///
    /// A CPU that is counted as idle can only be woken by an interrupt: of a device or of a request under way (an
    /// outside source), of its timer (a deadline, counted in its wheel until it has left idle) or of another CPU
    /// (which is idle too, and left its message in the inbox first). So when all are idle and the queues,
    /// inboxes and wheels are empty, they stay so; [`Idleness`](crate::idleness::Idleness) sees to it that all
    /// of this held at one moment.
    pub(crate) fn check_deadlock(&'static self) {
        if self.live.load(Ordering::Acquire) == 0 || self.is_stopping() {
            return;
        }
        let busy = |cpu: &crate::cpu::Cpu| cpu.has_work() || cpu.wheel().armed().1 > 0;
        if !self.idleness.is_final(|| self.cpus().iter().any(|cpu| busy(cpu))) {
            return;
        }
        if self.deadlock_told.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(tell) = &self.config().on_deadlock {
            tell(self);
        }
    }
}
