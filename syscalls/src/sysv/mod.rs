//! System V semaphores, shared memory and message queues. Source: `sysvipc(7)`.
//!
//! | module | subject |
//! |---|---|
//! | [`ids`] | identifiers and keys: which object is meant |
//! | [`permission`] | who may do what to an object |
//! | [`settings`] | the limits of `/proc/sys/kernel` |
//! | [`sleeper`] | a thread that waits to be answered by whoever changes the object |
//! | [`record`] | the C structures that the control calls read and write |
//! | [`semaphore`], [`memory`], [`message`] | the three kinds of objects |
//! | [`publish`] | `/proc/sysvipc` |
//!
//! An object lives until somebody removes it, not until its maker ends: what it costs stays charged to the
//! maker's account, and the limits here bound how many there are.

pub mod ids;
pub mod memory;
pub mod message;
pub mod permission;
pub mod publish;
pub mod record;
pub mod semaphore;
pub mod settings;
pub mod sleeper;

use base::sync::atomic::{AtomicU64, Ordering};
use base::{Errno, Result};

use crate::time::clock::realtime;

/// Commands of the control calls that all three kinds have. Source: `semctl(2)`.
pub mod command {
    /// Removes the object.
    pub const IPC_RMID: i32 = 0;
    /// Changes who owns it.
    pub const IPC_SET: i32 = 1;
    /// Reads it.
    pub const IPC_STAT: i32 = 2;
    /// Reads the limits.
    pub const IPC_INFO: i32 = 3;
}

/// Seconds since the epoch, for the times that objects keep.
fn now() -> u64 {
    realtime().as_secs()
}

/// A part of what all objects of a kind may take together; given back by its drop.
#[derive(Debug)]
struct Share {
    total: &'static AtomicU64,
    amount: u64,
}

impl Share {
    /// Takes `amount` of `total`, which may reach `limit`.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when that would be passed.
    fn take(total: &'static AtomicU64, amount: u64, limit: u64) -> Result<Share> {
        let add = |used: u64| used.checked_add(amount).filter(|sum| *sum <= limit);
        match total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(Share { total, amount }),
            Err(_) => Err(Errno::ENOSPC),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back() {
        static TOTAL: AtomicU64 = AtomicU64::new(0);
        let first = Share::take(&TOTAL, 6, 10).unwrap();
        assert_eq!(Share::take(&TOTAL, 5, 10).err(), Some(Errno::ENOSPC));
        assert_eq!(Share::take(&TOTAL, u64::MAX, 10).err(), Some(Errno::ENOSPC));
        drop(first);
        assert!(Share::take(&TOTAL, 10, 10).is_ok());
    }
}
