//! Robust futexes: words whose owner died are marked, and one waiter is told.
//! Source: `get_robust_list(2)` and the kernel's description of robust futexes.

use alloc::sync::Arc;

use base::Result;
use base::memory::{Access, UserMemory};

use crate::futex::operations::{self, Word};
use crate::mm::AddressSpace;
use crate::mm::futex_key::FutexSharing;
use crate::user::read_words;

/// The owner of the word has died.
pub const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
/// Somebody waits.
pub const FUTEX_WAITERS: u32 = 0x8000_0000;
/// The owner's thread id.
pub const FUTEX_TID_MASK: u32 = 0x3fff_ffff;
/// Longest list that is walked: a program may have made a ring.
const LIST_LIMIT: usize = 2048;

/// Walks the dying thread's list at `head` and releases the words it still owns. What is not readable
/// ends the walk: the list is the program's own.
///
/// A drop leaves the rest of the list unvisited.
pub async fn release(space: &Arc<AddressSpace>, head: u64, tid: u32) {
    let Ok([first, offset, pending]) = read_words::<3>(&**space, head).await else { return };
    let mut entry = first;
    for _ in 0..LIST_LIMIT {
        if untagged(entry) == head {
            break;
        }
        let Ok([next]) = read_words::<1>(&**space, untagged(entry)).await else { break };
        if untagged(entry) != untagged(pending)
            && mark(space, tid, untagged(entry).wrapping_add(offset)).await.is_err()
        {
            return;
        }
        entry = next;
    }
    if untagged(pending) != 0 {
        let _ = mark(space, tid, untagged(pending).wrapping_add(offset)).await;
    }
}

/// The lowest bit of an entry says that the lock inherits priorities.
fn untagged(entry: u64) -> u64 {
    entry & !1
}

/// Marks one word if the thread owns it, and wakes one waiter.
async fn mark(space: &Arc<AddressSpace>, tid: u32, address: u64) -> Result<()> {
    let word = Word::new(space, address, FutexSharing::Shared)?;
    let mut old = crate::user::read_u32(&**space, address).await?;
    loop {
        if old & FUTEX_TID_MASK != tid {
            return Ok(());
        }
        let new = old & FUTEX_WAITERS | FUTEX_OWNER_DIED;
        match space.compare_exchange_nofault(address, old, new) {
            Some(found) if found == old => break,
            Some(found) => old = found,
            None => space.fault_in(address, 4, Access::Write).await?,
        }
    }
    if old & FUTEX_WAITERS != 0 {
        operations::wake_either(&word, 1);
    }
    Ok(())
}
