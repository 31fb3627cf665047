//! Sets of semaphores. Source: `semget(2)`, `semop(2)`, `semctl(2)`.
//!
//! | module | subject |
//! |---|---|
//! | [`values`] | the semaphores of a set, and operations on them as a whole |
//! | [`queue`] | operations that cannot be done yet |
//! | [`set`] | a set: operations, those who wait, its end |
//! | [`control`] | what semctl(2) reads and sets |
//! | [`undo`] | what the end of a process takes back |

pub mod control;
mod queue;
pub mod set;
pub mod undo;
mod values;

use alloc::sync::Arc;

use base::caller::Caller;
use base::sync::atomic::AtomicU64;
use base::{Errno, Result};

use super::Share;
use super::ids::Ids;
use super::permission::Permissions;
use super::settings::{SEMAPHORES, SEMAPHORES_PER_SET, SETS};
use set::SemaphoreSet;

pub use values::Operation;

/// All sets.
pub static SETS_BY_ID: Ids<SemaphoreSet> = Ids::new();

/// Semaphores in all sets.
static IN_ALL_SETS: AtomicU64 = AtomicU64::new(0);

/// semget(2): the set of `key`, or a new one of `count` semaphores, all 0.
///
/// # Errors
///
/// `EINVAL` for a number of semaphores that is impossible or larger than that of the set; `EACCES`; `ENOENT`,
/// `EEXIST`, `ENOSPC` as [`Ids::get`]; `ENOMEM`.
pub fn get(caller: &Caller, key: i32, count: i32, flags: i32) -> Result<i32> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    if count as u64 > SEMAPHORES_PER_SET.get() {
        return Err(Errno::EINVAL);
    }
    let check = |set: &SemaphoreSet| set.check_get(caller, count, flags);
    SETS_BY_ID.get(key, flags, SETS.get(), check, |id| {
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        let share = Share::take(&IN_ALL_SETS, count as u64, SEMAPHORES.get())?;
        SemaphoreSet::new(Permissions::new(id, key, flags, &caller.credentials), count, share, caller)
    })
}

/// The set with this identifier.
///
/// # Errors
///
/// `EINVAL` when there is none.
pub fn find(id: i32) -> Result<Arc<SemaphoreSet>> {
    SETS_BY_ID.find(id)
}
