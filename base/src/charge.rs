//! Memory charged before it is allocated.
//!
//! A `Box` or an `Arc` cannot fail softly on stable Rust, so whatever makes the kernel grow on
//! behalf of a program takes a [`Charge`] first. The charge is backed by memory that the machine
//! sets aside, so the allocation under it cannot fail; refusing the charge is the one place that
//! `ENOMEM` comes from.

use alloc::sync::Arc;

use crate::fault::{self, Point};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::{Errno, Result, machine};

static LIVE_CHARGES: AtomicU64 = AtomicU64::new(0);

/// Charges that are live now, over all accounts: for the census.
#[must_use]
pub fn live_charges() -> u64 {
    LIVE_CHARGES.load(Ordering::Relaxed)
}

/// Who pays for kernel memory: one account per process.
#[derive(Debug, Default)]
pub struct Account {
    bytes: AtomicUsize,
}

impl Account {
    /// An account that owes nothing.
    #[must_use]
    pub fn new() -> Arc<Account> {
        Arc::new(Account::default())
    }

    /// Bytes that live charges hold.
    #[must_use]
    pub fn charged(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A number of bytes that an account pays for until the value is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// Charges `bytes` of kernel memory to `account`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when the machine cannot set that much aside.
    pub fn new(account: &Arc<Account>, bytes: usize) -> Result<Charge> {
        fault::check(Point::Kmalloc)?;
        if !machine().frames().set_aside(bytes) {
            return Err(Errno::ENOMEM);
        }
        account.bytes.fetch_add(bytes, Ordering::Relaxed);
        LIVE_CHARGES.fetch_add(1, Ordering::Relaxed);
        Ok(Charge { account: account.clone(), bytes })
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        machine().frames().put_back(self.bytes);
        LIVE_CHARGES.fetch_sub(1, Ordering::Relaxed);
    }
}
