//! Message blocks beyond those that a channel has of its own: charged to their sender while they are in use,
//! and kept by the CPU that freed them, so that queueing deeply does not go to the heap each time.

use alloc::boxed::Box;

use base::Result;
use base::caller::Caller;
use base::charge::Charge;
use base::sync::{CachePadded, LockClass, MAX_CPUS, PerCpu, SpinLock};

use super::message::{Blocks, Message};
use crate::stats::{Counter, bump};

/// Free blocks that a CPU keeps; more go back to the heap.
const KEPT: usize = 64;

/// A CPU's free blocks.
struct Free {
    blocks: Blocks,
    count: usize,
}

static POOL: PerCpu<SpinLock<Free>> = PerCpu::from_padded(
    [const { CachePadded(SpinLock::new(LockClass::KernelBytes, Free { blocks: Blocks::new(), count: 0 })) };
        MAX_CPUS],
);

/// An empty block charged to `caller`.
///
/// `ENOMEM` when the charge is refused.
pub(super) fn take(caller: &Caller) -> Result<Box<Message>> {
    let charge = Charge::new(&caller.account, size_of::<Message>())?;
    let kept = {
        let mut free = POOL.this().lock();
        free.blocks.pop().inspect(|_| free.count -= 1)
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
        let mut blocks = {
            let mut free = free.lock();
            free.count = 0;
            core::mem::replace(&mut free.blocks, Blocks::new())
        };
        // One after the other: a block that is dropped drops those behind it.
        while blocks.pop().is_some() {}
    }
}

/// Takes a block back that is no longer in use. The caller holds no lock.
pub(super) fn give(mut block: Box<Message>) {
    drop(block.clear());
    block.set_charge(None);
    let mut free = POOL.this().lock();
    if free.count < KEPT {
        free.blocks.push(block);
        free.count += 1;
        return;
    }
    drop(free);
    drop(block);
}
