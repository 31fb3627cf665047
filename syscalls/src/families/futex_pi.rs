//! The PI operations of futex(2).

use base::memory::UserMemory;
use base::time::Instant;
use base::{Errno, Result};

use crate::declare::Pointer;
use crate::futex::operations::Word;
use crate::futex::pi::{self, requeue};
use crate::futex::robust::FUTEX_TID_MASK;
use crate::mm::futex_key::FutexSharing;
use crate::thread::Thread;
use crate::user::read_u32;

pub(super) const FUTEX_LOCK_PI: i32 = 6;
pub(super) const FUTEX_UNLOCK_PI: i32 = 7;
pub(super) const FUTEX_TRYLOCK_PI: i32 = 8;
pub(super) const FUTEX_WAIT_REQUEUE_PI: i32 = 11;
pub(super) const FUTEX_CMP_REQUEUE_PI: i32 = 12;
pub(super) const FUTEX_LOCK_PI2: i32 = 13;

/// The arguments of futex(2), as the PI operations name them.
pub(super) struct Call {
    pub(super) command: i32,
    pub(super) sharing: FutexSharing,
    pub(super) word: Pointer,
    pub(super) value: u32,
    /// In the place of the timeout.
    pub(super) count: u32,
    pub(super) deadline: Option<Instant>,
    pub(super) second: Pointer,
    pub(super) third: u32,
}

impl Call {
    /// Makes the call.
    ///
    /// # Errors
    ///
    /// As the operations of [`pi`]; `ENOSYS` for another operation.
    pub(super) async fn make(self, thread: &Thread) -> Result<u64> {
        let space = thread.space();
        let word = || Word::new(&space, self.word.0, self.sharing);
        let second = || Word::new(&space, self.second.0, self.sharing);
        match self.command {
            FUTEX_LOCK_PI | FUTEX_LOCK_PI2 => pi::lock(thread, &word()?, self.deadline).await?,
            FUTEX_TRYLOCK_PI => pi::try_lock(thread, &word()?).await?,
            FUTEX_UNLOCK_PI => {
                // Linux looks at the word before it looks at the address.
                check_owner(thread, &*space, self.word).await?;
                pi::unlock(thread, &word()?).await?;
            }
            FUTEX_WAIT_REQUEUE_PI => {
                if self.word == self.second {
                    return Err(Errno::EINVAL);
                }
                let (lock, condition) = (second()?, word()?);
                requeue::wait(thread, &condition, self.value, self.deadline, &lock).await?;
            }
            FUTEX_CMP_REQUEUE_PI => {
                let count = usize::try_from(self.count.cast_signed()).map_err(|_| Errno::EINVAL)?;
                if self.word == self.second || self.value != 1 {
                    return Err(Errno::EINVAL);
                }
                let (condition, lock) = (word()?, second()?);
                let moved = requeue::requeue(&condition, self.third, count, &lock).await?;
                return Ok(moved as u64);
            }
            _ => return Err(Errno::ENOSYS),
        }
        Ok(0)
    }
}

async fn check_owner(thread: &Thread, memory: &dyn UserMemory, word: Pointer) -> Result<()> {
    let owner = read_u32(memory, word.0).await? & FUTEX_TID_MASK;
    if owner == thread.tid() { Ok(()) } else { Err(Errno::EPERM) }
}
