//! Message blocks beyond those that a channel has of its own: charged to their sender while they are in use,
//! and kept by the CPU that freed them, so that queueing deeply does not go to the heap each time.

use alloc::boxed::Box;

use base::Result;
use base::caller::Caller;
use base::charge::Charge;
use base::sync::{CachePadded, LockClass, MAX_CPUS, PerCpu, SpinLock};

use super::message::Message;
use crate::stats::{Counter, bump};

/// Free blocks that a CPU keeps; more go back to the heap.
const KEPT: usize = 64;

/// A CPU's free blocks, linked through themselves.
struct Free {
    first: Option<Box<Message>>,
    count: usize,
}

static POOL: PerCpu<SpinLock<Free>> = PerCpu::from_padded(
    [const { CachePadded(SpinLock::new(LockClass::KernelBytes, Free { first: None, count: 0 })) }; MAX_CPUS],
);

/// An empty block charged to `caller`.
///
/// `ENOMEM` when the charge is refused.
pub(super) fn take(caller: &Caller) -> Result<Box<Message>> {
    let charge = Charge::new(&caller.account, size_of::<Message>())?;
    let kept = {
        let mut free = POOL.this().lock();
        let kept = free.first.take();
        if let Some(mut block) = kept {
            free.first = block.take_next();
            free.count -= 1;
            Some(block)
        } else {
            None
        }
    };
    let mut block = kept.unwrap_or_else(|| {
        bump(Counter::FreshBlocks);
        Message::empty()
    });
    block.set_charge(Some(charge));
    Ok(block)
}

/// Gives every CPU's free blocks back to the heap. The caller holds no lock.
pub(crate) fn drain() {
    for free in POOL.iter() {
        let mut first = {
            let mut free = free.lock();
            free.count = 0;
            free.first.take()
        };
        // One after the other: a block that is dropped drops those behind it.
        while let Some(mut block) = first {
            first = block.take_next();
        }
    }
}

/// Takes a block back that is no longer in use. The caller holds no lock.
pub(super) fn give(mut block: Box<Message>) {
    drop(block.clear());
    block.set_charge(None);
    let mut free = POOL.this().lock();
    if free.count < KEPT {
        block.set_next(free.first.take());
        free.first = Some(block);
        free.count += 1;
        return;
    }
    drop(free);
    drop(block);
}
