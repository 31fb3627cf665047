//! One waiter, and nobody else.

use alloc::sync::Arc;

use base::trace::wait_core::{self, Counter};

use crate::lock::Completion;
use crate::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};
use crate::{CpuSet, TaskOptions};

crate::selftests![poll_wait_head_single_waiter_fastpath];

/// A wake that finds one waiter and no watcher is counted, and the waiter runs next, on what is left of its waker's
/// slice, which is counted too.
async fn poll_wait_head_single_waiter_fastpath() {
    let counts = || [Counter::PollHeadWakeCalls, Counter::PollHeadDirectSwitch].map(wait_core::read);
    let here = crate::current().expect("a test runs in a task");
    let before_affinity = here.affinity();
    here.set_affinity(CpuSet::only(here.cpu()));
    let source = Arc::new(WaitSource::new(WaitKind::Other, 0));
    let (waiting, done) = (source.clone(), Arc::new(Completion::new()));
    let woken = done.clone();
    crate::spawn(TaskOptions::new("waiter").affinity(CpuSet::only(here.cpu())), async move {
        let reason = waiting.wait(waiting.observe(), Wait::interruptible()).await;
        assert_eq!(reason, Reason::Data);
        woken.complete();
    });
    while source.waiting() == 0 {
        crate::yield_now().await;
    }
    let before = counts();
    assert_eq!(source.wake_one(Events::IN, Reason::Data), 1);
    assert!(!done.is_done(), "the waker goes on until it waits");
    crate::yield_now().await;
    let after = counts();
    assert!(after[0] > before[0]);
    // An order that a test gives the host's CPUs knows no hand-overs.
    if crate::here::this().is_some_and(|cpu| cpu.executor.is_fair) {
        assert!(after[1] > before[1]);
        assert!(done.is_done(), "before anybody else");
    }
    done.wait().await;
    here.set_affinity(before_affinity);
}
