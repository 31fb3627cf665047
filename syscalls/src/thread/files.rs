//! A thread's descriptors as its calls use them: the pass that pins a file and reads the descriptor's rights also tells
//! the call which handle the descriptor was made from.

use alloc::sync::Arc;
use core::ops::Deref;

use base::Result;
use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use fs::file::{FdEntry, FdRights, FdTable, OpenFile};
use fs::handle::Origin;

use crate::thread::Thread;

/// The descriptors of the thread whose call runs. What only looks at the table goes to the table itself.
pub struct Files<'a> {
    thread: &'a Thread,
    table: Arc<FdTable>,
}

impl Deref for Files<'_> {
    type Target = Arc<FdTable>;

    #[inline]
    fn deref(&self) -> &Arc<FdTable> {
        &self.table
    }
}

impl Files<'_> {
    /// As [`FdTable::get`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>> {
        self.get_required(fd, FdRights::empty())
    }

    /// As [`FdTable::get_required`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn get_required(&self, fd: i32, rights: FdRights) -> Result<Arc<OpenFile>> {
        let pinned = self.table.pin_required(fd, rights)?;
        if let Some(origin) = pinned.origin {
            self.thread.pins.note(fd, origin);
        }
        Ok(pinned.file)
    }

    /// As [`FdTable::entry`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn entry(&self, fd: i32) -> Result<FdEntry> {
        self.noted(fd, self.table.entry(fd)?)
    }

    /// As [`FdTable::entry_required`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn entry_required(&self, fd: i32, rights: FdRights) -> Result<FdEntry> {
        self.noted(fd, self.table.entry_required(fd, rights)?)
    }

    fn noted(&self, fd: i32, entry: FdEntry) -> Result<FdEntry> {
        if let Some(origin) = &entry.origin {
            self.thread.pins.note(fd, origin.clone());
        }
        Ok(entry)
    }
}

impl Thread {
    /// Its descriptors. Panics as [`Thread::caller`].
    #[inline]
    #[must_use]
    pub fn files(&self) -> Files<'_> {
        Files { thread: self, table: self.own(|resources| resources.files.clone()) }
    }
}

/// No descriptor, twice.
const NONE: u64 = u64::MAX;

/// Descriptors in whose names a call may wait.
pub(super) const WATCHED: usize = 2;

/// The handles behind the files that the current call has pinned by the descriptors in whose names it may wait. Its
/// thread alone uses it.
pub(super) struct Pins {
    /// Those descriptors, one in each half.
    watched: AtomicU64,
    /// A handle was noted since the last look.
    news: AtomicBool,
    origins: SpinLock<[Option<Arc<Origin>>; WATCHED]>,
}

impl Default for Pins {
    fn default() -> Self {
        Pins {
            watched: AtomicU64::new(NONE),
            news: AtomicBool::new(false),
            origins: SpinLock::new(LockClass::Process, [const { None }; WATCHED]),
        }
    }
}

impl Pins {
    /// A call begins that may wait in the names of these descriptors; -1 is none.
    #[inline]
    pub(super) fn watch(&self, descriptors: [i32; WATCHED]) {
        let [low, high] = descriptors.map(|fd| u64::from(fd.cast_unsigned()));
        self.watched.store(high << 32 | low, Ordering::Relaxed);
    }

    #[cold]
    fn note(&self, fd: i32, origin: Arc<Origin>) {
        let watched = self.watched.load(Ordering::Relaxed);
        let place = [watched as u32, (watched >> 32) as u32].iter().position(|own| own.cast_signed() == fd);
        let Some(place) = place else { return };
        // Looked up twice, the later file is the one that it goes on with. The other's end is outside the lock.
        let _earlier = self.origins.lock().get_mut(place).and_then(|slot| slot.replace(origin));
        self.news.store(true, Ordering::Relaxed);
    }

    /// The handles that were noted for this call, when there is one that was not told yet.
    #[inline]
    pub(super) fn news(&self) -> Option<[Option<Arc<Origin>>; WATCHED]> {
        self.news.load(Ordering::Relaxed).then(|| self.tell())
    }

    #[cold]
    fn tell(&self) -> [Option<Arc<Origin>>; WATCHED] {
        self.news.store(false, Ordering::Relaxed);
        self.origins.lock().clone()
    }

    /// The call is over; `told` when it was told of handles.
    #[inline]
    pub(super) fn leave(&self, told: bool) {
        self.watched.store(NONE, Ordering::Relaxed);
        if told || self.news.load(Ordering::Relaxed) {
            self.forget();
        }
    }

    #[cold]
    fn forget(&self) {
        self.news.store(false, Ordering::Relaxed);
        let _origins = core::mem::take(&mut *self.origins.lock());
    }
}
