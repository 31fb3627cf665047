//! What the VFS keeps with every inode, whatever its file system.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};

use base::sync::atomic::{AtomicI32, Ordering};
use base::sync::{LockClass, Once, SpinLock};
use base::{Errno, Result};
use executor::lock::Mutex;

use super::tracked::Track;
use crate::inotify::marks::Marks;
use crate::lock::FileLocks;
use crate::pipe::Pipe;

/// VFS state of one inode. Empty, it costs a few words; the rest comes with its first use.
pub struct InodeState {
    /// Above 0: open for writing so many times. Below: so many programs run from it.
    writers: AtomicI32,
    order: Mutex<()>,
    locks: Once<Box<FileLocks>>,
    /// Who watches it.
    marks: Once<Box<Marks>>,
    /// The pipe of a FIFO while somebody has it open.
    fifo: SpinLock<Weak<Pipe>>,
    /// Its object while it is listed: the name by which it was found owns that.
    track: SpinLock<Weak<Track>>,
}

impl InodeState {
    /// The state of an inode that nobody has touched.
    #[must_use]
    pub const fn new() -> InodeState {
        InodeState {
            writers: AtomicI32::new(0),
            order: Mutex::new(()),
            locks: Once::new(),
            marks: Once::new(),
            fifo: SpinLock::new(LockClass::Inode, Weak::new()),
            track: SpinLock::new(LockClass::Inode, Weak::new()),
        }
    }

    /// Serialises writers of a regular file, so that each write is one piece.
    #[must_use]
    pub fn write_order(&self) -> &Mutex<()> {
        &self.order
    }

    /// Counts an open for writing.
    ///
    /// # Errors
    ///
    /// `ETXTBSY` while a program runs from the file.
    pub fn get_writer(&self) -> Result<()> {
        let step = |count: i32| if count < 0 { None } else { count.checked_add(1) };
        self.writers.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).map_err(|_| Errno::ETXTBSY)?;
        Ok(())
    }

    /// Takes back a [`get_writer`](InodeState::get_writer).
    pub fn put_writer(&self) {
        self.writers.fetch_sub(1, Ordering::AcqRel);
    }

    /// As [`get_writer`](InodeState::get_writer), taken back when the value is dropped.
    ///
    /// # Errors
    ///
    /// As `get_writer`.
    pub(crate) fn writing(&self) -> Result<Writing<'_>> {
        self.get_writer()?;
        Ok(Writing(self))
    }

    /// True while somebody has it open for writing.
    #[must_use]
    pub fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) > 0
    }

    /// Keeps writers away: execve(2) for the file it runs. Undone by
    /// [`allow_writers`](InodeState::allow_writers).
    ///
    /// # Errors
    ///
    /// `ETXTBSY` while somebody has it open for writing.
    pub fn deny_writers(&self) -> Result<()> {
        let step = |count: i32| if count > 0 { None } else { count.checked_sub(1) };
        self.writers.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).map_err(|_| Errno::ETXTBSY)?;
        Ok(())
    }

    /// Lets writers in again.
    pub fn allow_writers(&self) {
        self.writers.fetch_add(1, Ordering::AcqRel);
    }

    /// The file's locks, made at first use.
    pub fn locks(&self) -> &FileLocks {
        self.locks.call_once(|| Box::new(FileLocks::new()))
    }

    /// The file's locks, when there ever were some.
    #[must_use]
    pub fn existing_locks(&self) -> Option<&FileLocks> {
        self.locks.get().map(|locks| &**locks)
    }

    /// The inotify watches, made at first use.
    pub(crate) fn marks(&self) -> &Marks {
        self.marks.call_once(|| Box::new(Marks::new()))
    }

    /// The inotify watches, when there ever were some.
    pub(crate) fn existing_marks(&self) -> Option<&Marks> {
        self.marks.get().map(|marks| &**marks)
    }

    /// What tracks it: what does already, else what `make` gives.
    pub(super) fn tracked(&self, make: impl FnOnce() -> Option<Arc<Track>>) -> Option<Arc<Track>> {
        let current = || self.track.lock().upgrade();
        if let Some(track) = current() {
            return Some(track);
        }
        let fresh = make()?;
        let mut place = self.track.lock();
        let winner = place.upgrade();
        if winner.is_none() {
            *place = Arc::downgrade(&fresh);
        }
        drop(place);
        // One that came too late goes after the lock.
        Some(winner.unwrap_or(fresh))
    }

    /// `track` ends: the inode keeps nothing of it.
    pub(super) fn forget(&self, track: &Track) {
        let mut place = self.track.lock();
        if core::ptr::eq(place.as_ptr(), track) {
            *place = Weak::new();
        }
    }

    /// An open file is gone: its flock(2) and OFD locks go.
    pub(crate) fn release_locks_of_file(&self, file: u64) {
        if let Some(locks) = self.existing_locks() {
            locks.release_file(file);
        }
    }

    /// A descriptor of the table is closed: the table's POSIX locks go.
    pub(crate) fn release_posix_locks(&self, table: u64) {
        if let Some(locks) = self.existing_locks() {
            locks.release_table(table);
        }
    }

    /// The pipe of this FIFO: the one that is open, or a new one made by `make`.
    ///
    /// # Errors
    ///
    /// As `make`.
    pub(crate) fn fifo(&self, make: impl FnOnce() -> Result<Arc<Pipe>>) -> Result<Arc<Pipe>> {
        if let Some(pipe) = self.fifo.lock().upgrade() {
            return Ok(pipe);
        }
        let fresh = make()?;
        let mut place = self.fifo.lock();
        if let Some(pipe) = place.upgrade() {
            return Ok(pipe);
        }
        *place = Arc::downgrade(&fresh);
        Ok(fresh)
    }
}

/// Counts as a writer while it lives.
pub(crate) struct Writing<'a>(&'a InodeState);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.put_writer();
    }
}

impl Default for InodeState {
    fn default() -> InodeState {
        InodeState::new()
    }
}
