//! What is dropped from queues, without recursion.
//!
//! A message may carry the last handle of a channel whose queue holds a message that carries the last handle
//! of a channel, and so on for as long as somebody had patience. Each close puts the messages it found on a
//! list of its CPU; whoever finds nobody at work on that list drops what is on it, one message after the
//! other, together with whatever that adds to it. After a few it leaves the rest to a task, so that no drop
//! takes long.

use alloc::boxed::Box;

use base::sync::atomic::{AtomicBool, Ordering};
use base::sync::{LockClass, SpinLock};
use executor::TaskOptions;
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};

use crate::channel::message::{Message, Queue};

/// Messages that nobody will receive, linked through themselves.
struct Debris {
    first: Option<Box<Message>>,
    /// Somebody further up this CPU's stack drops what is here.
    busy: bool,
}

/// Messages that are dropped at once before the rest is left to the task.
const BUDGET: usize = 64;

/// What was left to the task.
static REST: SpinLock<Debris> = Debris::new();
static WORK: WaitSource = WaitSource::new(WaitKind::Work, 0);
/// There is a task.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts the task. Called once, on a CPU of the executor.
pub(crate) fn start() {
    executor::spawn(TaskOptions::new("ipc-teardown").daemon(), async {
        STARTED.store(true, Ordering::Release);
        loop {
            let seen = WORK.observe();
            loop {
                let Some(message) = REST.lock().pop() else { break };
                drop(message);
                executor::yield_point().await;
            }
            WORK.wait(seen, Wait::uninterruptible()).await;
        }
    });
}

/// Drops what was left to the task. Tests start several, and most of them have an executor that has ended.
#[cfg(test)]
pub(crate) fn drop_rest() {
    loop {
        let message = REST.lock().pop();
        if message.is_none() {
            return;
        }
    }
}

impl Debris {
    const fn new() -> SpinLock<Debris> {
        SpinLock::new(LockClass::KernelBytes, Debris { first: None, busy: false })
    }

    fn pop(&mut self) -> Option<Box<Message>> {
        let mut message = self.first.take()?;
        self.first = message.take_next();
        Some(message)
    }
}

/// Runs `step` on the list of this CPU; kernel code is not moved to another CPU between two awaits.
#[cfg(not(test))]
fn with_list<R>(step: impl FnOnce(&SpinLock<Debris>) -> R) -> R {
    use base::sync::{CachePadded, MAX_CPUS, PerCpu};
    static LISTS: PerCpu<SpinLock<Debris>> =
        PerCpu::from_padded([const { CachePadded(Debris::new()) }; MAX_CPUS]);
    step(LISTS.this())
}

/// Runs `step` on the list of this thread: tests run side by side.
#[cfg(test)]
fn with_list<R>(step: impl FnOnce(&SpinLock<Debris>) -> R) -> R {
    std::thread_local!(static LIST: SpinLock<Debris> = const { Debris::new() });
    LIST.with(step)
}

/// Drops the messages of a queue, in their order, and what they lead to. The caller holds no lock.
pub(crate) fn bury(mut queue: Queue) {
    if queue.is_empty() {
        return;
    }
    let mut chain = None;
    while let Some(mut message) = queue.pop_back() {
        message.set_next(chain);
        chain = Some(message);
    }
    let begins = with_list(|list| {
        let mut list = list.lock();
        // Depth first: what a message led to goes before its successors.
        let rest = list.first.take();
        list.first = append(chain, rest);
        !core::mem::replace(&mut list.busy, true)
    });
    if !begins {
        return;
    }
    let mut dropped = 0;
    loop {
        // With nobody to leave it to, all of it is dropped here.
        let leaves = dropped >= BUDGET && STARTED.load(Ordering::Acquire);
        let (message, rest) = with_list(|list| {
            let mut list = list.lock();
            let rest = if leaves { list.first.take() } else { None };
            let message = list.pop();
            list.busy = message.is_some();
            (message, rest)
        });
        if let Some(rest) = rest {
            let mut all = REST.lock();
            let before = all.first.take();
            all.first = append(Some(rest), before);
            drop(all);
            WORK.wake_one(Events::IN, Reason::Data);
        }
        let Some(message) = message else { return };
        drop(message);
        dropped += 1;
    }
}

/// `chain`, then `rest`.
fn append(chain: Option<Box<Message>>, rest: Option<Box<Message>>) -> Option<Box<Message>> {
    let Some(rest) = rest else { return chain };
    // Bounded: a chain is what one queue held.
    let mut turned = None;
    let mut left = chain;
    while let Some(mut message) = left {
        left = message.take_next();
        message.set_next(turned);
        turned = Some(message);
    }
    let mut all = Some(rest);
    while let Some(mut message) = turned {
        turned = message.take_next();
        message.set_next(all);
        all = Some(message);
    }
    all
}
