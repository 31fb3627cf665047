//! Page frames: physical memory in units of 4 KiB, owned by reference counts.
//!
//! A [`Frame`] is a counted reference. A page-table entry that maps a frame owns
//! one count, taken with [`Frame::into_number`] and given back with
//! [`Frame::from_number`]; the page cache owns another; the last one frees it.
//!
//! Invariants, cited by the `SAFETY` comments:
//!
//! - **F1** A frame number inside a `Frame` is allocated, and its count is at least the
//!   number of `Frame`s and page-table entries that name it.
//! - **F2** [`Frames::base`] of an allocated frame points to 4096 bytes that stay mapped
//!   while the frame is allocated.
//! - **F3** User programs write mapped frames at any time, so the bytes are only ever
//!   copied as raw memory, never borrowed as a slice.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::{Errno, Result, machine};

/// Bytes in a page frame.
pub const PAGE_SIZE: usize = 4096;

/// The allocator of page frames, implemented by the machine.
///
/// # Safety
///
/// An implementation keeps F2: `base` of an allocated frame is valid for reads and
/// writes of [`PAGE_SIZE`] bytes until `free`, `count` is that frame's own counter,
/// and no frame is given out twice.
pub unsafe trait Frames: Sync {
    /// Takes a free frame with count 1 and unspecified content; `None` when only the
    /// kernel's reserve is left and `reserve` is `Reserve::Keep`.
    fn allocate(&self, reserve: Reserve) -> Option<u64>;

    /// Gives back a frame whose count has reached 0.
    fn free(&self, number: u64);

    /// First byte of the frame in the kernel's own mapping.
    fn base(&self, number: u64) -> *mut u8;

    /// Reference counter of the frame.
    fn count(&self, number: u64) -> &AtomicU32;

    /// Sets `bytes` of memory aside for the kernel heap, so that user pages can't take it.
    /// False when there is not that much left.
    fn set_aside(&self, bytes: usize) -> bool;

    /// Returns memory set aside.
    fn put_back(&self, bytes: usize);

    /// Frames in all. It never changes.
    fn total(&self) -> usize;

    /// Frames free now, and frames in all.
    fn totals(&self) -> FrameTotals;

    /// Gives back what is free but held for speed: every CPU's frames, this CPU's objects of the heap, empty
    /// slabs, dead address spaces. For the census, which compares what is left.
    fn settle(&self) {}
}

/// Whether an allocation may dip into the reserve of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// For user pages: leave what was set aside.
    Keep,
    /// For the kernel itself, under a charge.
    Use,
}

/// A snapshot of the frame allocator.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameTotals {
    /// Frames that nobody owns, caches apart.
    pub free: usize,
    /// Free frames that wait in per-CPU caches.
    pub cached: usize,
    /// Frames that the machine has.
    pub total: usize,
    /// Bytes that the kernel heap has given out, as it rounds them; 0 where the heap is not the machine's.
    pub heap_bytes: usize,
    /// How often something was allocated on the kernel's heap since boot.
    pub heap_calls: usize,
}

/// A counted reference to one page frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame(u64);

impl Frame {
    /// A frame of zeros for user memory or the page cache.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when no frame is free beside the kernel's reserve.
    pub fn zeroed() -> Result<Frame> {
        let number = machine().frames().allocate(Reserve::Keep).ok_or(Errno::ENOMEM)?;
        let frame = Frame(number);
        // SAFETY: F1 and F2; the frame is new, so nobody else touches it.
        unsafe { frame.base().write_bytes(0, PAGE_SIZE) };
        Ok(frame)
    }

    /// A frame with a copy of this one's bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM` as [`Frame::zeroed`].
    pub fn duplicate(&self) -> Result<Frame> {
        let number = machine().frames().allocate(Reserve::Keep).ok_or(Errno::ENOMEM)?;
        let copy = Frame(number);
        // SAFETY: F1 and F2 for both; they differ, because the new one was free. F3 for the source.
        unsafe { copy.base().copy_from_nonoverlapping(self.base(), PAGE_SIZE) };
        Ok(copy)
    }

    /// Copies bytes out of the frame, as many as fit between `offset` and its end.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        let length = into.len().min(PAGE_SIZE.saturating_sub(offset));
        if length > 0 {
            // SAFETY: F1 to F3; `offset + length` is at most PAGE_SIZE, and a `&mut` is no frame.
            unsafe { into.as_mut_ptr().copy_from_nonoverlapping(self.base().add(offset), length) };
        }
        length
    }

    /// Copies bytes into the frame, as many as fit between `offset` and its end.
    pub fn write(&self, offset: usize, from: &[u8]) -> usize {
        let length = from.len().min(PAGE_SIZE.saturating_sub(offset));
        if length > 0 {
            // SAFETY: F1 to F3; `offset + length` is at most PAGE_SIZE.
            unsafe { self.base().add(offset).copy_from_nonoverlapping(from.as_ptr(), length) };
        }
        length
    }

    /// Fills part of the frame with zeros; what lies past its end is ignored.
    pub fn zero(&self, offset: usize, length: usize) {
        let length = length.min(PAGE_SIZE.saturating_sub(offset));
        if length > 0 {
            // SAFETY: F1 to F3; `offset + length` is at most PAGE_SIZE.
            unsafe { self.base().add(offset).write_bytes(0, length) };
        }
    }

    /// The 32-bit word at `offset`, as an atomic that user programs may write at the same time.
    /// `None` unless the offset is aligned and inside the frame.
    #[must_use]
    pub fn word(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(4) || offset >= PAGE_SIZE {
            return None;
        }
        // SAFETY: F2 keeps the word mapped while `self` lives; it is aligned, since a frame is.
        Some(unsafe { AtomicU32::from_ptr(self.base().add(offset).cast()) })
    }

    /// The frame's number: its physical address divided by [`PAGE_SIZE`].
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0
    }

    /// True when this is the only reference, so that a copy-on-write page may be kept.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        machine().frames().count(self.0).load(Ordering::Acquire) == 1
    }

    /// References to the frame now, this one among them. Exact only where nobody can make or drop one
    /// meanwhile: a page that only one space maps, under that space's lock.
    #[must_use]
    pub fn references(&self) -> u32 {
        machine().frames().count(self.0).load(Ordering::Acquire)
    }

    /// Hands the count to a page-table entry.
    #[must_use]
    pub fn into_number(self) -> u64 {
        let number = self.0;
        core::mem::forget(self);
        number
    }

    /// Takes a count back from a page-table entry.
    ///
    /// # Safety
    ///
    /// `number` came from [`Frame::into_number`], and that count has not been taken back before.
    #[must_use]
    pub unsafe fn from_number(number: u64) -> Frame {
        Frame(number)
    }

    fn base(&self) -> *mut u8 {
        machine().frames().base(self.0)
    }
}

impl Clone for Frame {
    fn clone(&self) -> Frame {
        machine().frames().count(self.0).fetch_add(1, Ordering::Relaxed);
        Frame(self.0)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let frames = machine().frames();
        if frames.count(self.0).fetch_sub(1, Ordering::AcqRel) == 1 {
            frames.free(self.0);
        }
    }
}
