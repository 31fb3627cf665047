//! Page frames from one arena of the host's memory.

use std::cell::UnsafeCell;
use std::sync::Mutex;

use crate::frame::{FrameTotals, Frames, PAGE_SIZE, Reserve};
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// A fixed number of frames. Tests set limits with [`HostFrames::set_limit`] and look for leaks in
/// [`Frames::totals`].
///
/// Frame numbers start at 1, so that a number that was forgotten to be set shows.
pub struct HostFrames {
    arena: Box<[Cell]>,
    counts: Box<[AtomicU32]>,
    free: Mutex<Vec<u64>>,
    /// Frames that may be in use at once; lowered to see what happens when memory runs out.
    limit: AtomicUsize,
    set_aside: AtomicUsize,
}

/// The bytes of one frame.
#[repr(align(4096))]
struct Cell(UnsafeCell<[u8; PAGE_SIZE]>);

// SAFETY: the bytes are reached only through raw pointers (F3 of `frame`), never borrowed.
unsafe impl Sync for Cell {}

impl HostFrames {
    /// An arena of `frames` frames, which the host backs as they are touched.
    #[must_use]
    pub fn new(frames: usize) -> HostFrames {
        // SAFETY: an `UnsafeCell` of bytes may be all zeros, and `new_zeroed_slice` is of that type.
        let arena = unsafe { Box::<[Cell]>::new_zeroed_slice(frames).assume_init() };
        HostFrames {
            arena,
            counts: (0..frames).map(|_| AtomicU32::new(0)).collect(),
            free: Mutex::new((1..=frames as u64).rev().collect()),
            limit: AtomicUsize::new(frames),
            set_aside: AtomicUsize::new(0),
        }
    }

    /// Frames in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.arena.len() - self.lock().len()
    }

    /// From now on at most `frames` frames may be in use.
    pub fn set_limit(&self, frames: usize) {
        self.limit.store(frames, Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn index(&self, number: u64) -> usize {
        let index = (number - 1) as usize;
        assert!(index < self.arena.len(), "frame {number} is not of this arena");
        index
    }
}

// SAFETY: the arena lives as long as `self` and its cells are disjoint, so `base` of a frame is valid for
// its page; each frame has its own counter; a number leaves the free list when it is given out.
unsafe impl Frames for HostFrames {
    fn allocate(&self, _reserve: Reserve) -> Option<u64> {
        // No atomic is touched under the host's lock: in a model that lets others run, who would wait for it for ever.
        let limit = self.limit.load(Ordering::Relaxed);
        let number = {
            let mut free = self.lock();
            if self.arena.len() - free.len() >= limit {
                return None;
            }
            free.pop()?
        };
        self.counts[self.index(number)].store(1, Ordering::Relaxed);
        Some(number)
    }

    fn free(&self, number: u64) {
        let index = self.index(number);
        assert_eq!(self.counts[index].load(Ordering::Relaxed), 0, "frame {number} is freed while in use");
        self.lock().push(number);
    }

    fn base(&self, number: u64) -> *mut u8 {
        self.arena[self.index(number)].0.get().cast()
    }

    fn count(&self, number: u64) -> &AtomicU32 {
        &self.counts[self.index(number)]
    }

    fn set_aside(&self, bytes: usize) -> bool {
        let limit = self.arena.len() * PAGE_SIZE;
        let take = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= limit);
        self.set_aside.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn put_back(&self, bytes: usize) {
        self.set_aside.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn total(&self) -> usize {
        self.arena.len()
    }

    fn totals(&self) -> FrameTotals {
        FrameTotals { free: self.lock().len(), total: self.arena.len(), ..FrameTotals::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_refuses_and_a_freed_frame_comes_back() {
        let frames = HostFrames::new(4);
        frames.set_limit(1);
        let first = frames.allocate(Reserve::Keep).expect("one is allowed");
        assert_eq!(frames.allocate(Reserve::Keep), None);
        assert_eq!(frames.in_use(), 1);
        frames.count(first).store(0, Ordering::Relaxed);
        frames.free(first);
        assert_eq!(frames.in_use(), 0);
        assert!(frames.allocate(Reserve::Keep).is_some());
    }
}
