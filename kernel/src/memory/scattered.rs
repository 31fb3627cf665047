//! Large pieces of the heap made of single frames, for when there is no row of frames that long.
//!
//! A piece gets addresses of its own, in whole lowest tables, so that it shares no table with another piece.
//! Addresses are never used again. When a piece is freed, its frames and tables wait until every CPU
//! has forgotten its translations: a processor may walk tables for addresses that nobody uses.

use core::ptr::null_mut;

use base::buddy::NONE;
use base::sync::atomic::{AtomicU64, Ordering};

use super::table::{NO_EXECUTE, PAGE, PRESENT, SPAN, WRITABLE, address_bits, frame_of};
use super::{frames, kernel_map, shoot_down};

/// Where the pieces are. The entries of the root that cover them are made at boot.
pub(super) const BASE: u64 = 0xffff_d000_0000_0000;
/// One past the last address: 8 TiB of allocations, counted in 2 MiB, over the life of the machine.
pub(super) const END: u64 = BASE + (8 << 40);

static NEXT: AtomicU64 = AtomicU64::new(BASE);

/// Frames on the way back to the allocator, linked through their entries. Dropping the chain frees them.
#[derive(Debug)]
pub(super) struct FrameChain(u32);

impl FrameChain {
    const fn new() -> Self {
        FrameChain(NONE)
    }

    /// Adds a frame, which must be the caller's to give up.
    fn push(&mut self, number: u64) {
        frames::entry(number).next.store(self.0, Ordering::Relaxed);
        // Frame numbers fit 32 bits: the table of frames is indexed by them.
        self.0 = number as u32;
    }
}

impl Drop for FrameChain {
    fn drop(&mut self) {
        while self.0 != NONE {
            let number = u64::from(self.0);
            self.0 = frames::entry(number).next.load(Ordering::Relaxed);
            frames::free_run(number, 1);
        }
    }
}

/// True for an address that [`allocate`] gave.
pub(super) fn contains(address: *mut u8) -> bool {
    (BASE..END).contains(&(address as u64))
}

/// Maps `pages` single frames in a row of addresses. Null when memory, or addresses, are out.
pub(super) fn allocate(pages: usize) -> *mut u8 {
    let bytes = (pages as u64 * PAGE).next_multiple_of(SPAN);
    // The span behind a piece stays free, so that running over its end is a fault.
    let start = NEXT.fetch_add(bytes + SPAN, Ordering::Relaxed);
    if bytes > END - BASE || start > END - bytes - SPAN {
        return null_mut();
    }
    let end = start + pages as u64 * PAGE;
    for address in (start..end).step_by(PAGE as usize) {
        let mapped = frames::allocate_run(1).is_some_and(|number| {
            let bits = address_bits(number) | PRESENT | WRITABLE | NO_EXECUTE;
            let mapped = kernel_map::map_scattered(address, bits);
            if !mapped {
                frames::free_run(number, 1);
            }
            mapped
        });
        if !mapped {
            free(start as *mut u8, pages);
            return null_mut();
        }
    }
    start as *mut u8
}

/// Unmaps a piece. Its frames are free when every CPU has forgotten it.
pub(super) fn free(piece: *mut u8, pages: usize) {
    let start = piece as u64;
    let mut chain = FrameChain::new();
    for span in (start..start + pages as u64 * PAGE).step_by(SPAN as usize) {
        let Some(table) = kernel_map::take_scattered_table(span) else { continue };
        for entry in table.entries() {
            let bits = entry.swap(0, Ordering::Relaxed);
            if bits & PRESENT != 0 {
                chain.push(frame_of(bits));
            }
        }
        chain.push(table.number());
    }
    shoot_down::forget_everywhere(chain);
}
