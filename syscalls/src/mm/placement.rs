//! Where a mapping goes when the program leaves the choice to the kernel: top-down below the stack.

use alloc::sync::Arc;
use core::ops::Range;

use base::machine;
use base::sync::atomic::{AtomicBool, Ordering};

use super::region_map::{Crowded, RegionMap};
use super::{LOWEST, PAGE, STACK_GUARD_PAGES, page_floor};
use crate::machine::USER_END;
use crate::thread::Thread;

static RANDOMIZED: AtomicBool = AtomicBool::new(true);

/// Turns the randomisation of addresses off: `norandmaps` on the command line.
pub fn disable_randomization() {
    RANDOMIZED.store(false, Ordering::Relaxed);
}

/// True unless [`disable_randomization`] was called.
#[must_use]
pub fn is_randomized() -> bool {
    RANDOMIZED.load(Ordering::Relaxed)
}

/// True when addresses are to be random for the running thread: `ADDR_NO_RANDOMIZE` of personality(2) is one
/// thread's own `norandmaps`.
#[must_use]
pub fn is_randomized_here() -> bool {
    const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;
    let refuses =
        |thread: Arc<Thread>| thread.settings().personality.load(Ordering::Relaxed) & ADDR_NO_RANDOMIZE != 0;
    is_randomized() && !Thread::current().is_some_and(refuses)
}

/// Bits of randomness of mmap and PIE bases: `vm.mmap_rnd_bits`.
const BASE_BITS: u32 = 28;
/// Bits of randomness of the stack's top.
const STACK_BITS: u32 = 22;
/// Where position-independent programs go before randomisation: two thirds of user space.
const PIE_BASE: u64 = page_floor(USER_END / 3 * 2);
/// Least and greatest distance between the top of user space and the mapping area.
const STACK_ROOM: Range<u64> = 128 << 20..USER_END / 6 * 5;

/// A random number of pages, in bytes; 0 when addresses are not randomised.
#[must_use]
pub fn random_pages(bits: u32) -> u64 {
    if is_randomized_here() { (machine().entropy() >> (64 - bits)) * PAGE } else { 0 }
}

/// Load bias of a position-independent program.
#[must_use]
pub fn program_base() -> u64 {
    PIE_BASE + random_pages(BASE_BITS)
}

/// Top of the initial stack.
#[must_use]
pub fn stack_top() -> u64 {
    USER_END - random_pages(STACK_BITS)
}

/// How far behind the program's data the heap starts, at most 32 MiB.
#[must_use]
pub fn heap_gap() -> u64 {
    random_pages(13)
}

/// The area for mappings of one space.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Mappings go below this.
    base: u64,
}

/// Limits on where a mapping may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Anywhere.
    Any,
    /// In the first two gigabytes (`MAP_32BIT`).
    Low,
}

impl Placement {
    /// An area below a stack that may grow to `stack_limit` bytes.
    #[must_use]
    pub fn new(stack_limit: u64) -> Placement {
        let guard = STACK_GUARD_PAGES * PAGE + ((1 << STACK_BITS) - 1) * PAGE;
        let room = stack_limit.saturating_add(guard).clamp(STACK_ROOM.start, STACK_ROOM.end);
        Placement { base: page_floor(USER_END - room - random_pages(BASE_BITS)) }
    }

    /// A free place for `length` bytes, page-aligned; `None` when there is none.
    #[must_use]
    pub fn find(&self, regions: &RegionMap, length: u64, window: Window) -> Option<u64> {
        match window {
            Window::Low => find_top_down(regions, length, 0x4000_0000..0x8000_0000),
            Window::Any => find_top_down(regions, length, LOWEST..self.base)
                .or_else(|| find_top_down(regions, length, self.base..USER_END)),
        }
    }

    /// True when `start` suits a mapping of `length` bytes whose program only hinted at it.
    #[must_use]
    pub fn accepts_hint(regions: &RegionMap, start: u64, length: u64) -> bool {
        let Some(end) = start.checked_add(length) else { return false };
        end <= USER_END
            && regions.find_or_next(start).is_none_or(|next| end <= next.start_with_guard())
            && start >= LOWEST
    }
}

/// A search that looked at more regions than this is worth remembering.
const LONG_SEARCH: usize = 16;

/// The highest gap of `length` bytes inside `window`.
fn find_top_down(regions: &RegionMap, length: u64, window: Range<u64>) -> Option<u64> {
    let crowded = regions.crowded_below(window.end, length);
    // The gap under consideration ends here.
    let mut end = crowded.start.max(window.start);
    if let Some(above) = regions.find_or_next(end) {
        end = end.min(above.start_with_guard());
    }
    let mut looked_at = 0;
    let found = loop {
        let below = regions.starting_below(end);
        let start = below.map_or(window.start, |region| region.end).max(window.start);
        if end >= start && end - start >= length {
            break Some(end - length);
        }
        looked_at += 1;
        match below {
            Some(region) if region.start > window.start => end = end.min(region.start_with_guard()),
            _ => break None,
        }
    };
    // What is known of larger gaps is given up only for what took long to find out.
    if !crowded.is_empty() || looked_at > LONG_SEARCH {
        regions.note_crowded(Crowded { start: end, end: window.end, gap: length });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::PageFlags;
    use crate::mm::region::{Backing, Region, RegionFlags};

    fn region(start: u64, end: u64, flags: RegionFlags) -> Region {
        let access = PageFlags::READ;
        Region { start, end, access, allowed: access, flags, backing: Backing::Anonymous, offset: 0 }
    }

    #[test]
    fn the_highest_gap_that_is_large_enough_is_taken() {
        let mut regions = RegionMap::default();
        regions.insert(region(0x90000, 0xa0000, RegionFlags::empty()));
        regions.insert(region(0x60000, 0x8f000, RegionFlags::empty()));
        let window = 0x10000..0xa0000;
        assert_eq!(find_top_down(&regions, 0x1000, window.clone()), Some(0x8f000));
        assert_eq!(find_top_down(&regions, 0x2000, window.clone()), Some(0x5e000));
        assert_eq!(find_top_down(&regions, 0x50000, window.clone()), Some(0x10000));
        assert_eq!(find_top_down(&regions, 0x51000, window), None);
    }

    #[test]
    fn what_is_remembered_of_a_search_never_changes_its_result() {
        let mut state = 1u64;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let window = 0x1_0000..0x40_0000;
        let mut regions = RegionMap::default();
        for step in 0..3_000 {
            let length = (1 + next(3)) * PAGE;
            let mut fresh = RegionMap::default();
            regions.iter().for_each(|region| fresh.insert(region.clone()));
            let found = find_top_down(&regions, length, window.clone());
            assert_eq!(found, find_top_down(&fresh, length, window.clone()), "step {step}");
            match found {
                Some(start) if next(5) < 3 => {
                    // Neighbours differ, so that they are not joined.
                    let access =
                        if (start / PAGE).is_multiple_of(2) { PageFlags::READ } else { PageFlags::empty() };
                    regions.insert(Region { access, ..region(start, start + length, RegionFlags::empty()) });
                }
                _ => {
                    let start = window.start + next((window.end - window.start) / PAGE) * PAGE;
                    let _ = regions.remove(start..start + (1 + next(8)) * PAGE, usize::MAX);
                }
            }
        }
        assert!(regions.len() > 50);
    }

    #[test]
    fn a_region_that_grows_down_keeps_its_guard_gap() {
        let mut regions = RegionMap::default();
        let gap = STACK_GUARD_PAGES * PAGE;
        regions.insert(region(0x90_0000, 0x91_0000, RegionFlags::GROWS_DOWN));
        let found = find_top_down(&regions, PAGE, LOWEST..0x91_0000);
        assert_eq!(found, Some(0x90_0000 - gap - PAGE));
        assert!(!Placement::accepts_hint(&regions, 0x90_0000 - gap, PAGE));
        assert!(Placement::accepts_hint(&regions, 0x90_0000 - gap - PAGE, PAGE));
    }
}
