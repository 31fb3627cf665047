//! Taking mappings away: munmap(2), and making room for what replaces them.

use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use base::{Errno, Result};
use executor::yield_point;

use super::region::Region;
use super::space::{State, user_range};
use super::{AddressSpace, MAX_REGIONS, is_page_aligned, page_ceiling};
use crate::machine::Stale;

/// Bytes of addresses whose pages are taken out under the lock at a time, and flushed together.
const BYTES_AT_ONCE: u64 = 2 << 20;

/// Regions that are taken out at a time.
const REGIONS_AT_ONCE: usize = 64;

impl AddressSpace {
    /// Unmaps every page of `[start, start + length)`; pages that are not mapped are no error.
    ///
    /// Dropping the future never frees a frame early; the regions are gone all the same.
    ///
    /// # Errors
    ///
    /// `EINVAL` when `start` is not page-aligned, the length is 0, or the range leaves user space; `ENOMEM` when
    /// cutting a region in two would make too many of them. Source: `munmap(2)`.
    pub async fn unmap(&self, start: u64, length: u64) -> Result<()> {
        if !is_page_aligned(start) {
            return Err(Errno::EINVAL);
        }
        let length = page_ceiling(length).filter(|length| *length > 0).ok_or(Errno::EINVAL)?;
        let range = user_range(start, length)?;
        let _layout = self.layout.lock().await;
        {
            let mut state = self.lock();
            let cuts_in_two = |r: &Region| r.start < range.start && range.end < r.end;
            if state.regions.find(range.start).is_some_and(cuts_in_two) && state.regions.len() >= MAX_REGIONS
            {
                return Err(Errno::ENOMEM);
            }
            state.reserve_regions(1, self.account())?;
        }
        self.vacate(range).await;
        Ok(())
    }

    /// Takes the regions of a range out, and then its pages, in bounded steps. The caller holds `layout`.
    ///
    /// Dropping the future leaves pages mapped that no region holds; only a dying program's is dropped.
    pub(super) async fn vacate(&self, range: Range<u64>) {
        loop {
            let removed = self.lock().regions.remove(range.clone(), REGIONS_AT_ONCE);
            for region in &removed {
                self.clear_pages(region.range()).await;
            }
            // The last reference to a file may go with them, so no lock is held.
            if removed.len() < REGIONS_AT_ONCE {
                return;
            }
        }
    }

    /// As [`vacate`](Self::vacate), for what is mapped anew at once: until the answer is dropped, a thread that touches the range waits
    /// for `layout`, since for the program the old mapping becomes the new one without anything between.
    ///
    /// Dropping the future leaves what that of `vacate` leaves.
    pub(super) async fn vacate_for_another(&self, range: Range<u64>) -> Replacement<'_> {
        self.lock().replaced = range.clone();
        let replacement = Replacement(self);
        self.vacate(range).await;
        replacement
    }

    /// Takes the pages of a range out, in bounded steps. The caller holds `layout` or has good reason not to.
    ///
    /// Dropping the future leaves the rest of them mapped.
    pub(super) async fn clear_pages(&self, range: Range<u64>) {
        let mut next = Some(range.start);
        while let Some(start) = next {
            let mut stale = Stale::new();
            next = self.clear_some(start..range.end, &mut stale);
            self.flush(stale).await;
            yield_point().await;
        }
    }

    /// One step: where to go on, if there is more.
    fn clear_some(&self, range: Range<u64>, stale: &mut Stale) -> Option<u64> {
        let _state = self.lock();
        let mut start = range.start;
        if range.end - range.start > BYTES_AT_ONCE {
            // Terabytes may be mapped with hardly a page in them.
            let mut first = None;
            self.page_table().for_each(range.clone(), &mut |page, _| {
                first = Some(page);
                ControlFlow::Break(())
            });
            start = first?;
        }
        let end = start.saturating_add(BYTES_AT_ONCE).min(range.end);
        self.page_table().unmap(start..end, stale);
        (end < range.end).then_some(end)
    }

    /// Takes regions and pages out of a range with few of them, in one section. What is returned is dropped without the state's
    /// lock, because the last reference to a file may go with it.
    #[must_use]
    pub(super) fn detach(&self, state: &mut State, range: Range<u64>, stale: &mut Stale) -> Vec<Region> {
        let removed = state.regions.remove(range, usize::MAX);
        for region in &removed {
            self.page_table().unmap(region.range(), stale);
        }
        removed
    }
}

/// While it lives, a range of the space is being replaced.
#[must_use]
pub(super) struct Replacement<'a>(&'a AddressSpace);

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        self.0.lock().replaced = 0..0;
    }
}
