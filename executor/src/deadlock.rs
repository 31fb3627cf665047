//! Deadlock: work is left, and nothing can make any of it run.

use base::sync::atomic::Ordering;

use crate::executor::Executor;

impl Executor {
    /// Says that something outside the machine may bring work: console input, a host channel, a
    /// request to a device that is under way. As long as one is attached, idle is not deadlocked.
    pub fn outside_source_attach(&self) {
        self.outside.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes an [`outside_source_attach`](Self::outside_source_attach) back.
    pub fn outside_source_detach(&self) {
        self.outside.fetch_sub(1, Ordering::AcqRel);
    }

    /// Called by the CPU whose going idle made all idle, which is one CPU at a time.
    ///
    /// A CPU that is counted as idle can only be woken by an interrupt: of a device (an outside
    /// source), of its timer (a deadline, counted in its wheel until it has left idle) or of another
    /// CPU (which is idle too, and left its message in the inbox first). So when all are idle and the
    /// queues, inboxes and wheels are empty, they stay so.
    pub(crate) fn check_deadlock(&'static self) {
        if self.outside.load(Ordering::Acquire) > 0 || self.live.load(Ordering::Acquire) == 0 {
            return;
        }
        let busy = |cpu: &crate::cpu::Cpu| cpu.has_work() || cpu.wheel().armed().1 > 0;
        if self.is_stopping() || self.cpus().iter().any(|cpu| busy(cpu)) {
            return;
        }
        if self.idle.load(Ordering::Acquire) != self.online.load(Ordering::Acquire) {
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
