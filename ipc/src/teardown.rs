//! What is dropped from queues, without recursion.
//!
//! A message may carry the last handle of a channel whose queue holds a message that carries the last handle
//! of a channel, and so on for as long as somebody had patience. Each close puts the messages it found on a
//! list of its CPU; whoever finds nobody at work on that list drops what is on it, one message after the
//! other, together with whatever that adds to it.

use alloc::boxed::Box;

use base::sync::{LockClass, SpinLock};

use crate::channel::message::{Message, Queue};

/// Messages that nobody will receive, linked through themselves.
struct Debris {
    first: Option<Box<Message>>,
    /// Somebody further up this CPU's stack drops what is here.
    busy: bool,
}

impl Debris {
    const fn new() -> SpinLock<Debris> {
        SpinLock::new(LockClass::KernelBytes, Debris { first: None, busy: false })
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
    loop {
        let message = with_list(|list| {
            let mut list = list.lock();
            let mut message = list.first.take();
            match &mut message {
                Some(message) => list.first = message.take_next(),
                None => list.busy = false,
            }
            message
        });
        let Some(message) = message else { return };
        drop(message);
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
