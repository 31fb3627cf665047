//! The user memory that a call which answers at once found missing.
//!
//! Such a call has no future that could wait for a page. It notes here what it needs and answers
//! [`Errno::ENOPAGE`]; the thread's loop faults the range in and makes the call again, from its start. So it must
//! not have done anything yet that would show twice.

use base::memory::{Access, UserMemory};
use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use base::{Errno, Result};

use crate::declare::Pointer;
use crate::machine::check_user_range;
use crate::thread::Thread;

/// A range of user memory that is to be read, or written. Its thread alone uses it.
#[derive(Debug, Default)]
pub struct Missing {
    address: AtomicU64,
    length: AtomicU64,
    write: AtomicBool,
}

impl Missing {
    #[cold]
    fn note(&self, address: u64, length: usize, access: Access) -> Errno {
        self.address.store(address, Ordering::Relaxed);
        self.length.store(length as u64, Ordering::Relaxed);
        self.write.store(access == Access::Write, Ordering::Relaxed);
        Errno::ENOPAGE
    }
}

impl Thread {
    /// Reads bytes from `from`, for a call that answers at once and has done nothing yet.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the range is outside of user space; `ENOPAGE` when not all of it is resident.
    pub fn get(&self, from: Pointer, into: &mut [u8]) -> Result<()> {
        check_user_range(from.0, into.len() as u64, Access::Read)?;
        if self.space().copy_in_nofault(from.0, into) == into.len() {
            return Ok(());
        }
        Err(self.missing.note(from.0, into.len(), Access::Read))
    }

    /// Reads 64-bit words. As [`Thread::get`].
    ///
    /// # Errors
    ///
    /// As [`Thread::get`].
    pub fn get_words<const N: usize>(&self, from: Pointer) -> Result<[u64; N]> {
        let mut words = [[0; 8]; N];
        self.get(from, words.as_flattened_mut())?;
        Ok(words.map(u64::from_ne_bytes))
    }

    /// Writes `bytes` at `to`, for a call that answers at once and has done nothing yet.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the range is outside of user space; `ENOPAGE` when not all of it is resident.
    pub fn put(&self, to: Pointer, bytes: &[u8]) -> Result<()> {
        check_user_range(to.0, bytes.len() as u64, Access::Write)?;
        if self.space().copy_out_nofault(to.0, bytes) == bytes.len() {
            return Ok(());
        }
        Err(self.missing.note(to.0, bytes.len(), Access::Write))
    }

    /// Writes 64-bit words. As [`Thread::put`].
    ///
    /// # Errors
    ///
    /// As [`Thread::put`].
    pub fn put_words<const N: usize>(&self, to: Pointer, words: [u64; N]) -> Result<()> {
        self.put(to, words.map(u64::to_ne_bytes).as_flattened())
    }

    /// Makes what a call found missing resident.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the program has no business there; `ENOMEM`.
    pub(crate) async fn fault_missing_in(&self) -> Result<()> {
        let (mut at, space) = (self.missing.address.load(Ordering::Relaxed), self.space());
        let end = at.saturating_add(self.missing.length.load(Ordering::Relaxed));
        let access = if self.missing.write.load(Ordering::Relaxed) { Access::Write } else { Access::Read };
        while at < end {
            // One page is promised by each step; the page behind it may have no region.
            space.fault_in(at, 1, access).await?;
            at = (at / PAGE + 1) * PAGE;
        }
        // A page may be taken away again and again: a kill gets in here.
        executor::yield_point().await;
        Ok(())
    }
}

/// Bytes in a page.
const PAGE: u64 = 4096;
