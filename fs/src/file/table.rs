//! The descriptor table of a process, shared by tasks that `CLONE_FILES` made.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::{Caller, Resource};
use base::charge::Charge;
use base::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::open_file::OpenFile;
use super::rights::FdRights;
pub use super::slots::FdEntry;
use super::slots::Slots;
use crate::handle::Origin;

/// More descriptors than any limit allows: `fs.nr_open`.
pub const NR_OPEN: u64 = 1 << 20;

/// Capacity of a new table; a multiple of 64, as every capacity is.
const FIRST_CAPACITY: usize = 64;

/// Descriptors that are closed between two chances for other tasks.
const CLOSE_BATCH: usize = 64;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The descriptors of one or more tasks.
///
/// Whoever uses the table as its own holds one count of `users`; the last one to leave closes everything,
/// even while `/proc` still looks at the table.
pub struct FdTable {
    /// Identity for POSIX locks, which belong to the table that took them.
    id: u64,
    users: AtomicUsize,
    inner: SpinLock<Inner>,
}

#[derive(Default)]
struct Inner {
    slots: Slots,
    charge: Option<Charge>,
}

impl Inner {
    /// Takes the lowest free slot from `from` on.
    fn take(&mut self, caller: &Caller, from: usize) -> Result<usize> {
        let limit = usize::try_from(caller.limits.soft(Resource::OpenFiles).min(NR_OPEN)).unwrap_or(0);
        let index = self.slots.first_free(from);
        if index >= limit {
            return Err(Errno::EMFILE);
        }
        self.make_room(caller, index)?;
        self.slots.take(index);
        Ok(index)
    }

    fn make_room(&mut self, caller: &Caller, index: usize) -> Result<()> {
        if index < self.slots.capacity() {
            return Ok(());
        }
        let capacity = (index + 1).next_power_of_two().max(FIRST_CAPACITY);
        let charge = Charge::new(&caller.account, Slots::bytes(capacity))?;
        self.slots.grow(capacity);
        self.charge = Some(charge);
        Ok(())
    }
}

/// A file, and what else its descriptor said at that moment.
pub struct Pinned {
    /// The file.
    pub file: Arc<OpenFile>,
    /// The handle that the descriptor was made from.
    pub origin: Option<Arc<Origin>>,
}

/// A descriptor that is taken but not open yet. Dropped, it is free again.
pub struct Reserved<'a> {
    table: &'a FdTable,
    fd: usize,
}

impl Reserved<'_> {
    /// The number it will have.
    #[must_use]
    pub fn number(&self) -> i32 {
        i32::try_from(self.fd).unwrap_or(i32::MAX)
    }

    /// Opens it: from now on the program can use it.
    pub fn install(self, entry: FdEntry) -> i32 {
        let number = self.number();
        let old = self.table.inner.lock().slots.fill(self.fd, entry);
        debug_assert!(old.is_none(), "a reserved slot is empty");
        core::mem::forget(self);
        number
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.table.inner.lock().slots.free(self.fd);
    }
}

impl FdEntry {
    /// An entry with the rights that a new descriptor gets.
    #[must_use]
    pub fn new(file: Arc<OpenFile>, cloexec: bool) -> FdEntry {
        let rights = FdRights::of(file.access());
        FdEntry { file, rights, cloexec, origin: None }
    }
}

fn index(fd: i32) -> Result<usize> {
    usize::try_from(fd).map_err(|_| Errno::EBADF)
}

impl FdTable {
    /// An empty table with one user.
    #[must_use]
    pub fn new() -> Arc<FdTable> {
        Self::with(Inner::default())
    }

    fn with(inner: Inner) -> Arc<FdTable> {
        Arc::new(FdTable {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            users: AtomicUsize::new(1),
            inner: SpinLock::new(LockClass::FdTable, inner),
        })
    }

    /// The table's identity as an owner of POSIX locks.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// One more task uses the table: `CLONE_FILES`.
    #[must_use]
    pub fn share(self: &Arc<FdTable>) -> Arc<FdTable> {
        self.users.fetch_add(1, Ordering::Relaxed);
        self.clone()
    }

    /// True when more than one task uses the table.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.users.load(Ordering::Acquire) > 1
    }

    /// A copy for a new process, charged to `caller`; reserved slots are free in it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn duplicate(&self, caller: &Caller) -> Result<Arc<FdTable>> {
        loop {
            let capacity = self.inner.lock().slots.end().next_multiple_of(FIRST_CAPACITY);
            let charge = Charge::new(&caller.account, Slots::bytes(capacity))?;
            let mut copy = Inner { slots: Slots::default(), charge: Some(charge) };
            copy.slots.grow(capacity);
            let inner = self.inner.lock();
            if inner.slots.end() > capacity {
                continue;
            }
            let mut next = inner.slots.next_filled(0);
            while let Some(at) = next {
                if let Some(entry) = inner.slots.get(at) {
                    copy.slots.fill(at, entry.clone());
                }
                next = inner.slots.next_filled(at + 1);
            }
            return Ok(Self::with(copy));
        }
    }

    /// One task stops using the table; the last one closes everything in it, with chances for others between.
    /// A drop midway leaves the rest open until the table itself goes.
    pub async fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let mut from = 0;
        loop {
            let mut batch: Vec<Arc<OpenFile>> = Vec::with_capacity(CLOSE_BATCH);
            {
                let mut inner = self.inner.lock();
                while batch.len() < CLOSE_BATCH {
                    let Some(at) = inner.slots.next_filled(from) else { break };
                    batch.extend(inner.slots.free(at).map(|entry| entry.file));
                    from = at + 1;
                }
            }
            if batch.is_empty() {
                return;
            }
            for file in batch {
                self.part_with(file);
            }
            executor::yield_point().await;
        }
    }

    /// What every close of a descriptor does, without locks: the table's POSIX locks on the file end, and the file too
    /// if nothing else holds it.
    fn part_with(&self, file: Arc<OpenFile>) {
        file.inode().state().release_posix_locks(self.id);
        file.ops().flushed();
        crate::unix::let_go(file);
    }

    /// The entry of `fd`, places opened with `O_PATH` included.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open.
    pub fn entry(&self, fd: i32) -> Result<FdEntry> {
        let index = index(fd)?;
        let entry = self.inner.lock().slots.get(index).cloned().ok_or(Errno::EBADF)?;
        entry.check()?;
        Ok(entry)
    }

    /// The entry of `fd` for an operation that needs `rights`: the one way to pin a file together with what its
    /// descriptor allows.
    ///
    /// # Errors
    ///
    /// As [`FdTable::get_required`].
    pub fn entry_required(&self, fd: i32, rights: FdRights) -> Result<FdEntry> {
        let entry = self.entry(fd)?;
        entry.rights.require(rights)?;
        if entry.file.is_path_only() { Err(Errno::EBADF) } else { Ok(entry) }
    }

    /// True when `fd` is open, but was made from a handle that was revoked.
    #[must_use]
    pub fn is_revoked(&self, fd: i32) -> bool {
        let origin = index(fd).ok().and_then(|index| self.inner.lock().slots.get(index)?.origin.clone());
        origin.is_some_and(|origin| origin.is_revoked())
    }

    /// The file behind `fd`, places opened with `O_PATH` included: for fstat, fchdir, the *at calls, fcntl.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open.
    pub fn get_any(&self, fd: i32) -> Result<Arc<OpenFile>> {
        let index = index(fd)?;
        let inner = self.inner.lock();
        let entry = inner.slots.get(index).ok_or(Errno::EBADF)?;
        entry.check()?;
        Ok(entry.file.clone())
    }

    /// The file behind `fd`, for operations that need no right.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open or only a place.
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>> {
        self.get_required(fd, FdRights::empty())
    }

    /// Pins the file behind `fd` and checks the descriptor's rights in one pass.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open, only a place, or lacks a right; `EPERM` when it lacks only DUP.
    pub fn get_required(&self, fd: i32, rights: FdRights) -> Result<Arc<OpenFile>> {
        self.pin_required(fd, rights).map(|pinned| pinned.file)
    }

    /// As [`FdTable::get_required`], with the handle that the descriptor was made from, in the same pass.
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn pin_required(&self, fd: i32, rights: FdRights) -> Result<Pinned> {
        let index = index(fd)?;
        let pinned = {
            let inner = self.inner.lock();
            let entry = inner.slots.get(index).ok_or(Errno::EBADF)?;
            entry.check()?;
            entry.rights.require(rights)?;
            Pinned { file: entry.file.clone(), origin: entry.origin.clone() }
        };
        if pinned.file.is_path_only() { Err(Errno::EBADF) } else { Ok(pinned) }
    }

    /// Narrows the rights of `fd` to those in `mask`.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open.
    pub fn limit_rights(&self, fd: i32, mask: FdRights) -> Result<FdRights> {
        let index = index(fd)?;
        let mut inner = self.inner.lock();
        let entry = inner.slots.get_mut(index).ok_or(Errno::EBADF)?;
        entry.rights &= mask;
        Ok(entry.rights)
    }

    /// Takes the lowest free descriptor from `from` on, within `RLIMIT_NOFILE`.
    ///
    /// # Errors
    ///
    /// `EMFILE` at the limit; `ENOMEM`.
    pub fn reserve(&self, caller: &Caller, from: usize) -> Result<Reserved<'_>> {
        let fd = self.inner.lock().take(caller, from)?;
        Ok(Reserved { table: self, fd })
    }

    /// Puts `file` on the lowest free descriptor.
    ///
    /// # Errors
    ///
    /// As [`FdTable::reserve`]; the file is dropped then.
    pub fn insert(&self, caller: &Caller, file: Arc<OpenFile>, cloexec: bool) -> Result<i32> {
        Ok(self.reserve(caller, 0)?.install(FdEntry::new(file, cloexec)))
    }

    /// `dup(2)` and `F_DUPFD`: another descriptor, from `from` on, for the file of `fd`.
    ///
    /// # Errors
    ///
    /// `EBADF`; `EPERM` without the right DUP; `EMFILE`, `ENOMEM`.
    pub fn duplicate_fd(&self, caller: &Caller, fd: i32, from: usize, cloexec: bool) -> Result<i32> {
        let source = self.entry(fd)?;
        source.rights.require(FdRights::DUP)?;
        Ok(self.reserve(caller, from)?.install(FdEntry { cloexec, ..source }))
    }

    /// `dup2(2)` and `dup3(2)` for two different numbers: makes `new` what `old` is, closing what it was.
    ///
    /// # Errors
    ///
    /// `EBADF` when `old` is not open or `new` is out of range; `EPERM` without the right DUP; `EBUSY` when
    /// `new` is being opened just now; `ENOMEM`.
    pub fn duplicate_to(&self, caller: &Caller, old: i32, new: i32, cloexec: bool) -> Result<i32> {
        let target = index(new)?;
        if target as u64 >= caller.limits.soft(Resource::OpenFiles).min(NR_OPEN) {
            return Err(Errno::EBADF);
        }
        let replaced = {
            let source = index(old)?;
            let mut inner = self.inner.lock();
            let entry = inner.slots.get(source).cloned().ok_or(Errno::EBADF)?;
            entry.check()?;
            entry.rights.require(FdRights::DUP)?;
            if inner.slots.is_used(target) && inner.slots.get(target).is_none() {
                return Err(Errno::EBUSY);
            }
            inner.make_room(caller, target)?;
            inner.slots.fill(target, FdEntry { cloexec, ..entry })
        };
        if let Some(replaced) = replaced {
            self.part_with(replaced.file);
        }
        Ok(new)
    }

    /// Frees `fd`, and ends the file if nothing else holds it.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open.
    pub fn close(&self, fd: i32) -> Result<()> {
        let index = index(fd)?;
        let entry = {
            let mut inner = self.inner.lock();
            inner.slots.get(index).ok_or(Errno::EBADF)?;
            inner.slots.free(index).ok_or(Errno::EBADF)?
        };
        self.part_with(entry.file);
        Ok(())
    }

    /// `FD_CLOEXEC` of `fd`.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open.
    pub fn cloexec(&self, fd: i32) -> Result<bool> {
        let index = index(fd)?;
        self.inner.lock().slots.get(index).map(|entry| entry.cloexec).ok_or(Errno::EBADF)
    }

    /// Sets or clears `FD_CLOEXEC` of `fd`.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is not open.
    pub fn set_cloexec(&self, fd: i32, on: bool) -> Result<()> {
        let index = index(fd)?;
        let mut inner = self.inner.lock();
        inner.slots.get_mut(index).ok_or(Errno::EBADF)?.cloexec = on;
        Ok(())
    }

    /// Closes the descriptors `first..=last`: `close_range(2)`. Whatever is opened there meanwhile may stay.
    pub async fn close_range(&self, first: u32, last: u32) {
        self.close_where(first as usize, last as usize, |_| true).await;
    }

    /// Sets `FD_CLOEXEC` on the descriptors `first..=last`: `CLOSE_RANGE_CLOEXEC`.
    pub fn cloexec_range(&self, first: u32, last: u32) {
        let mut inner = self.inner.lock();
        let mut next = inner.slots.next_filled(first as usize);
        while let Some(at) = next.filter(|at| *at <= last as usize) {
            if let Some(entry) = inner.slots.get_mut(at) {
                entry.cloexec = true;
            }
            next = inner.slots.next_filled(at + 1);
        }
    }

    /// Closes what is marked `FD_CLOEXEC`: execve(2), which has made sure that the table has one user.
    pub async fn close_on_exec(&self) {
        self.close_where(0, usize::MAX, |entry| entry.cloexec).await;
    }

    async fn close_where(&self, first: usize, last: usize, wanted: impl Fn(&FdEntry) -> bool) {
        let mut from = first;
        let mut closed = 0;
        loop {
            let file = {
                let mut inner = self.inner.lock();
                let Some(at) = inner.slots.next_filled(from).filter(|at| *at <= last) else { return };
                from = at + 1;
                let wanted = inner.slots.get(at).is_some_and(&wanted);
                if wanted { inner.slots.free(at) } else { None }
            };
            if let Some(entry) = file {
                self.part_with(entry.file);
                closed += 1;
                if closed % CLOSE_BATCH == 0 {
                    executor::yield_point().await;
                }
            }
        }
    }

    /// The first open descriptor from `from` on: for `/proc/<pid>/fd`.
    #[must_use]
    pub fn next_open(&self, from: u32) -> Option<(u32, FdEntry)> {
        let inner = self.inner.lock();
        let at = inner.slots.next_filled(from as usize)?;
        Some((u32::try_from(at).ok()?, inner.slots.get(at)?.clone()))
    }

    /// Slots there is room for: `FDSize` of `/proc/<pid>/status`.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.inner.lock().slots.capacity()
    }
}
