//! Futexes: waiting in the kernel for a word of user memory to change. Source: `futex(2)`.
//!
//! | module | subject |
//! |---|---|
//! | [`table`] | from a word's key to its queue |
//! | [`operations`] | wait, wake, requeue, wake-op |
//! | [`any`] | waiting for one of several words |
//! | [`robust`] | words whose owner died |
//! | [`pi`] | locks that name their owner |

pub mod any;
#[cfg(all(test, shuttle))]
pub(crate) mod models;
pub mod operations;
pub mod pi;
pub mod robust;
pub mod table;

use alloc::sync::Arc;

use crate::mm::AddressSpace;
use crate::mm::futex_key::FutexSharing;

/// Wakes one waiter of a word that the kernel has changed: `CLONE_CHILD_CLEARTID`.
pub async fn wake_at(space: &Arc<AddressSpace>, address: u64) {
    if let Ok(word) = operations::Word::new(space, address, FutexSharing::Shared) {
        operations::wake_either(&word, 1);
    }
}
