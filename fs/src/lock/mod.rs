//! File locks: flock(2), POSIX record locks and open-file-description locks of fcntl(2).
//!
//! | module | subject |
//! |---|---|
//! | `records` | locked ranges of one file, without any waiting |
//! | `blocked` | who waits for whom: deadlocks |
//!
//! The locks of a file hang on its inode. Whoever has to wait waits on one source per file and kind of lock,
//! which every release wakes. An owner is an open file (flock, OFD) or a descriptor table (POSIX); its locks go
//! when it goes, or with POSIX when any descriptor of the file in the table is closed.

mod blocked;
mod records;

use alloc::sync::Arc;

use base::caller::Caller;
use base::charge::Charge;
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};

use crate::file::OpenFile;
use crate::vfs::Inode;
use blocked::Blocked;
use records::Records;
pub use records::{Owner, Range, Record, Strength};

/// The locks of one inode.
pub struct FileLocks {
    records: SpinLock<Records>,
    /// flock(2) is a world of its own: whole files, owned by open files.
    whole: SpinLock<Records>,
    /// Woken when record locks are released.
    released: WaitSource,
    /// Woken when whole files are.
    unlocked: WaitSource,
}

impl Default for FileLocks {
    fn default() -> Self {
        FileLocks::new()
    }
}

impl FileLocks {
    /// No locks.
    #[must_use]
    pub fn new() -> FileLocks {
        FileLocks {
            records: SpinLock::new(LockClass::FileLock, Records::default()),
            whole: SpinLock::new(LockClass::FileLock, Records::default()),
            released: WaitSource::new(WaitKind::FileLock, 0),
            unlocked: WaitSource::new(WaitKind::FileLock, 0),
        }
    }

    fn wake_records(&self) {
        self.released.wake_all(Events::empty(), Reason::Data);
    }

    fn wake_whole(&self) {
        self.unlocked.wake_all(Events::empty(), Reason::Data);
    }

    /// An open file is gone: its flock(2) and OFD locks go.
    pub(crate) fn release_file(&self, file: u64) {
        let owner = Owner::File(file);
        let flock = self.whole.lock().remove_owner(owner);
        let ofd = self.records.lock().remove_owner(owner);
        if !flock.is_empty() {
            self.wake_whole();
        }
        if !ofd.is_empty() {
            self.wake_records();
        }
    }

    /// A descriptor of the table is closed: the table's POSIX locks go.
    pub(crate) fn release_table(&self, table: u64) {
        let gone = self.records.lock().remove_owner(Owner::Table(table));
        if !gone.is_empty() {
            self.wake_records();
        }
    }

    /// True when a record lock of `owner` is in the way of the request.
    fn stops(&self, owner: Owner, request: Request) -> bool {
        let Some(strength) = request.strength.filter(|_| request.owner != owner) else { return false };
        let records = self.records.lock();
        records.conflicts(request.owner, request.range, strength).any(|record| record.owner == owner)
    }

    /// A lock of somebody else that keeps `owner` from locking `range` so.
    fn conflict(&self, owner: Owner, range: Range, strength: Strength) -> Option<Record> {
        self.records.lock().conflict(owner, range, strength)
    }
}

/// A request for a record lock.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Who asks.
    pub owner: Owner,
    /// Which bytes.
    pub range: Range,
    /// How; `None` unlocks.
    pub strength: Option<Strength>,
}

/// `F_SETLK` and `F_SETLKW` (with `wait`), and their OFD forms. A drop while it waits leaves nothing behind.
///
/// # Errors
///
/// `EAGAIN` when somebody else holds a part and `wait` is off; `EDEADLK` when POSIX owners would wait in a circle;
/// `EINTR`; `ENOLCK` when there is no memory for the lock.
pub async fn set_record_lock(caller: &Caller, file: &OpenFile, request: Request, wait: bool) -> Result<()> {
    let inode = file.inode();
    let locks = inode.state().locks();
    let mut interrupted = false;
    loop {
        let seen = locks.released.observe();
        let charges = charges(caller)?;
        let outcome = locks.records.lock().set(request, caller.pid, charges);
        match outcome {
            Ok(released) => {
                if !released.is_empty() {
                    locks.wake_records();
                }
                return Ok(());
            }
            Err(Errno::EAGAIN) if wait && !interrupted => {}
            Err(Errno::EAGAIN) if wait => return Err(Errno::EINTR),
            Err(error) => return Err(error),
        }
        let _blocked = Blocked::enter(inode, request)?;
        interrupted = locks.released.wait(seen, Wait::interruptible()).await == Reason::Signal;
    }
}

/// Takes memory for the two records that a change can add at most.
fn charges(caller: &Caller) -> Result<[Charge; 2]> {
    let one = || Charge::new(&caller.account, size_of::<Record>() * 2).map_err(|_| Errno::ENOLCK);
    Ok([one()?, one()?])
}

/// `F_GETLK`: the first lock that would be in the way.
#[must_use]
pub fn conflicting_lock(file: &OpenFile, owner: Owner, range: Range, strength: Strength) -> Option<Record> {
    file.inode().state().existing_locks()?.conflict(owner, range, strength)
}

/// `flock(2)`; `None` unlocks. A change of strength gives the old lock up first, as on Linux. A drop while it waits
/// leaves the file unlocked.
///
/// # Errors
///
/// `EAGAIN` when somebody else holds it and `wait` is off; `EINTR`; `ENOLCK`.
pub async fn flock(caller: &Caller, file: &OpenFile, strength: Option<Strength>, wait: bool) -> Result<()> {
    let locks = file.inode().state().locks();
    let owner = Owner::File(file.id());
    let same = locks.whole.lock().strength_of(owner);
    if same == strength {
        return Ok(());
    }
    let released = locks.whole.lock().remove_owner(owner);
    if !released.is_empty() {
        locks.wake_whole();
    }
    let mut interrupted = false;
    while let Some(strength) = strength {
        let seen = locks.unlocked.observe();
        let request = Request { owner, range: Range::WHOLE, strength: Some(strength) };
        let charges = charges(caller)?;
        let outcome = locks.whole.lock().set(request, caller.pid, charges);
        match outcome {
            Ok(_) => break,
            Err(Errno::EAGAIN) if wait && !interrupted => {}
            Err(Errno::EAGAIN) if wait => return Err(Errno::EINTR),
            Err(error) => return Err(error),
        }
        interrupted = locks.unlocked.wait(seen, Wait::interruptible()).await == Reason::Signal;
    }
    Ok(())
}

/// Calls `tell` with where those wait who want what `owner` has locked: for the wait graph.
pub fn wakes(inode: &Arc<dyn Inode>, owner: Owner, tell: &mut dyn FnMut(&WaitSource)) {
    let Some(locks) = inode.state().existing_locks() else { return };
    let has_whole = locks.whole.lock().strength_of(owner).is_some();
    if has_whole {
        tell(&locks.unlocked);
    }
    if blocked::is_awaited(inode, owner) {
        tell(&locks.released);
    }
}

/// Calls `each` for every lock of the file, flock(2)'s with `true`: for `/proc/<pid>/fdinfo`.
pub fn for_each_lock(inode: &Arc<dyn Inode>, mut each: impl FnMut(&Record, bool)) {
    let Some(locks) = inode.state().existing_locks() else { return };
    let records = locks.records.lock().copies();
    let whole = locks.whole.lock().copies();
    records.iter().for_each(|record| each(record, false));
    whole.iter().for_each(|record| each(record, true));
}

#[cfg(test)]
mod tests;
