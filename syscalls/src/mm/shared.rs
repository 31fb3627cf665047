//! Anonymous memory that a process shares with its children (`MAP_SHARED | MAP_ANONYMOUS`).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use base::Result;
use base::frame::{Frame, PAGE_SIZE};
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A run of pages that live as long as anybody maps them.
pub struct SharedMemory {
    id: u64,
    pages: u64,
    frames: SpinLock<BTreeMap<u64, Frame>>,
}

impl SharedMemory {
    /// An object of `pages` pages, all zeros.
    #[must_use]
    pub fn new(pages: u64) -> Arc<SharedMemory> {
        Arc::new(SharedMemory {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            pages,
            frames: SpinLock::new(LockClass::PageCache, BTreeMap::new()),
        })
    }

    /// Number that no other object of this boot has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its size in pages; a mapping may be longer, and touching what is past it is SIGBUS.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The page at `index`, which is less than [`SharedMemory::pages`]; zeros if nobody touched it before.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when no frame is free.
    pub fn page(&self, index: u64) -> Result<Frame> {
        let mut frames = self.frames.lock();
        if let Some(frame) = frames.get(&index) {
            return Ok(frame.clone());
        }
        let frame = Frame::zeroed()?;
        frames.insert(index, frame.clone());
        Ok(frame)
    }

    /// True when somebody touched the page at `index`.
    #[must_use]
    pub fn is_resident(&self, index: u64) -> bool {
        self.frames.lock().contains_key(&index)
    }

    /// Empties the pages of a range (`MADV_REMOVE`): those that nobody maps are freed, the others zeroed, so that
    /// all who map them go on seeing the same.
    pub fn punch(&self, indexes: core::ops::Range<u64>) {
        let mut frames = self.frames.lock();
        let touched: alloc::vec::Vec<u64> = frames.range(indexes).map(|(index, _)| *index).collect();
        for index in touched {
            match frames.get(&index) {
                Some(frame) if frame.references() > 1 => frame.zero(0, PAGE_SIZE),
                _ => drop(frames.remove(&index)),
            }
        }
    }
}
