//! Giving the CPU back.

use core::future::poll_fn;
use core::task::Poll;

use base::machine;
use base::time::Instant;

use crate::cpu;
use crate::task::TaskState;

/// Lets the others that wait for this CPU run first.
///
/// Dropped midway: nothing is left behind.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        // In a model there is no queue behind whose others this task would go.
        #[cfg(shuttle)]
        base::sync::spin_hint();
        if let Some(cpu) = cpu::this() {
            cpu.with_current(|task| task.set_state(TaskState::Ready));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A place where a long piece of kernel work may be interrupted: yields when the poll has lasted for
/// its budget, so that interrupts are taken; almost free otherwise. Whatever loops for long passes
/// through here.
///
/// Dropped midway: nothing is left behind.
#[inline]
pub async fn yield_point() {
    if cpu::this().is_some_and(cpu::Cpu::budget_over) {
        yield_now().await;
    }
}

/// Looks at what interrupts may have brought (other CPUs' wakes, timers), and says whether the
/// current task should yield: its slice is over and somebody waits, or it may not run here any more.
///
/// A thread's loop calls it after every interrupt from user mode, and before it enters user mode when it has been
/// told of new CPUs. No lock may be held. False outside a task.
#[must_use]
pub fn slice_over() -> bool {
    base::sync::assert_none_held();
    cpu::this().is_some_and(cpu::Cpu::slice_over)
}

/// When the poll of the current task began: the last look at the clock before it. Nothing outside a task.
#[inline]
#[must_use]
pub fn poll_began() -> Option<Instant> {
    cpu::this().filter(|cpu| cpu.is_polling()).map(cpu::Cpu::poll_began)
}

/// Reads the clock for a task that is about to wait: its poll counts up to now, and what it does afterwards is charged to
/// nobody, so it returns. Outside a task it only reads the clock.
#[inline]
#[must_use]
pub fn poll_ends() -> Instant {
    match cpu::this().filter(|cpu| cpu.is_polling()) {
        Some(cpu) => cpu.poll_ends(),
        None => machine::now(),
    }
}

/// The current task goes to user mode. True when it must not, because its slice is over and somebody waits: then
/// it calls [`slice_over`], as after an interrupt.
///
/// Only under an order policy, which measures slices by the time in user mode: the machine calls it right before it
/// enters user mode, and [`leave_user`] right after.
#[must_use]
pub fn enter_user() -> bool {
    cpu::this().is_some_and(cpu::Cpu::enter_user)
}

/// The current task is back from user mode, after [`enter_user`] said false.
pub fn leave_user() {
    if let Some(cpu) = cpu::this() {
        cpu.leave_user();
    }
}

/// Records that this CPU's timer interrupt came. For the interrupt handler; it takes no lock.
pub fn timer_expired() {
    if let Some(cpu) = cpu::this() {
        cpu.timer_expired();
    }
}
