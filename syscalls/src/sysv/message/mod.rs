//! Message queues. Source: `msgget(2)`, `msgop(2)`, `msgctl(2)`.
//!
//! | module | subject |
//! |---|---|
//! | [`selection`] | which message a receiver wants |
//! | [`queue`] | a queue: sending, receiving, its end |
//! | [`control`] | what msgctl(2) reads and sets |

pub mod control;
pub mod queue;
pub mod selection;

use alloc::sync::Arc;

use base::Result;
use base::caller::Caller;

use super::ids::Ids;
use super::permission::Permissions;
use super::settings::QUEUES;
use queue::MessageQueue;

/// All queues.
pub static QUEUES_BY_ID: Ids<MessageQueue> = Ids::new();

/// msgget(2): the queue of `key`, or a new one.
///
/// # Errors
///
/// `EACCES`; `ENOENT`, `EEXIST`, `ENOSPC` as [`Ids::get`]; `ENOMEM`.
pub fn get(caller: &Caller, key: i32, flags: i32) -> Result<i32> {
    let check = |queue: &MessageQueue| queue.check(caller, flags);
    QUEUES_BY_ID.get(key, flags, QUEUES.get(), check, |id| {
        MessageQueue::new(Permissions::new(id, key, flags, &caller.credentials), caller)
    })
}

/// The queue with this identifier.
///
/// # Errors
///
/// `EINVAL` when there is none.
pub fn find(id: i32) -> Result<Arc<MessageQueue>> {
    QUEUES_BY_ID.find(id)
}
