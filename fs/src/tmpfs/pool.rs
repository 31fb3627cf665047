//! What one tmpfs may hold, and what it holds.

use alloc::sync::Arc;

use base::charge::{Account, Charge};
use base::sync::atomic::{AtomicU64, Ordering};
use base::{Errno, Result};

use crate::vfs::DeviceNumber;

/// Kernel memory that an inode is charged, beside the one that its pages and entries are.
const INODE_BYTES: usize = 640;

/// Pages of all of them.
static ALL_PAGES: AtomicU64 = AtomicU64::new(0);

/// Pages that files in memory hold, over all instances: `Shmem` of `/proc/meminfo`.
#[must_use]
pub fn pages_in_use() -> u64 {
    ALL_PAGES.load(Ordering::Relaxed)
}

/// The limits and counters of one tmpfs, shared by its inodes.
pub(super) struct Pool {
    pub(super) device: DeviceNumber,
    /// Who pays: the file system itself, since files outlive their makers.
    pub(super) account: Arc<Account>,
    /// 0: no limit.
    pages_max: AtomicU64,
    pages: AtomicU64,
    inodes_max: AtomicU64,
    inodes: AtomicU64,
    next_ino: AtomicU64,
}

impl Pool {
    pub(super) fn new(device: DeviceNumber, pages_max: u64, inodes_max: u64) -> Pool {
        Pool {
            device,
            account: Account::new(),
            pages_max: AtomicU64::new(pages_max),
            pages: AtomicU64::new(0),
            inodes_max: AtomicU64::new(inodes_max),
            inodes: AtomicU64::new(0),
            next_ino: AtomicU64::new(1),
        }
    }

    /// Takes `count` pages.
    ///
    /// # Errors
    ///
    /// `ENOSPC`.
    pub(super) fn take_pages(&self, count: u64) -> Result<()> {
        take(&self.pages, &self.pages_max, count)?;
        ALL_PAGES.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn put_pages(&self, count: u64) {
        self.pages.fetch_sub(count, Ordering::Relaxed);
        ALL_PAGES.fetch_sub(count, Ordering::Relaxed);
    }

    /// Takes a place for an inode: its number, and the charge of its memory.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `ENOMEM`.
    pub(super) fn take_inode(&self) -> Result<(u64, Charge)> {
        take(&self.inodes, &self.inodes_max, 1)?;
        match Charge::new(&self.account, INODE_BYTES) {
            Ok(charge) => Ok((self.next_ino.fetch_add(1, Ordering::Relaxed), charge)),
            Err(error) => {
                self.put_inode();
                Err(error)
            }
        }
    }

    pub(super) fn put_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
    }

    /// Pages: limit and use.
    pub(super) fn pages(&self) -> (u64, u64) {
        (self.pages_max.load(Ordering::Relaxed), self.pages.load(Ordering::Relaxed))
    }

    /// Inodes: limit and use.
    pub(super) fn inodes(&self) -> (u64, u64) {
        (self.inodes_max.load(Ordering::Relaxed), self.inodes.load(Ordering::Relaxed))
    }

    /// Changes a limit.
    ///
    /// # Errors
    ///
    /// `EINVAL` when more is in use.
    pub(super) fn set_limits(&self, pages_max: Option<u64>, inodes_max: Option<u64>) -> Result<()> {
        let too_small = |new: Option<u64>, used: u64| new.is_some_and(|new| new != 0 && new < used);
        if too_small(pages_max, self.pages().1) || too_small(inodes_max, self.inodes().1) {
            return Err(Errno::EINVAL);
        }
        if let Some(pages) = pages_max {
            self.pages_max.store(pages, Ordering::Relaxed);
        }
        if let Some(inodes) = inodes_max {
            self.inodes_max.store(inodes, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn take(used: &AtomicU64, max: &AtomicU64, count: u64) -> Result<()> {
    let max = max.load(Ordering::Relaxed);
    let step = |used: u64| used.checked_add(count).filter(|sum| max == 0 || *sum <= max);
    match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) {
        Ok(_) => Ok(()),
        Err(_) => Err(Errno::ENOSPC),
    }
}
