//! Taking mappings away: munmap(2), and what replaces or ends a space.

use alloc::vec::Vec;
use core::ops::Range;

use base::{Errno, Result};

use super::region::Region;
use super::space::{State, user_range};
use super::{AddressSpace, MAX_REGIONS, is_page_aligned, page_ceiling};
use crate::machine::Stale;

impl AddressSpace {
    /// Unmaps every page of `[start, start + length)`; pages that are not mapped are no error.
    ///
    /// Dropping the future never frees a frame early; the pages are gone all the same.
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
        let layout = self.layout.lock().await;
        let mut stale = Stale::new();
        let removed = {
            let mut state = self.lock();
            let cuts_in_two =
                state.regions.find(range.start).is_some_and(|r| r.start < range.start && range.end < r.end);
            if cuts_in_two && state.regions.len() >= MAX_REGIONS {
                return Err(Errno::ENOMEM);
            }
            state.reserve_regions(1, self.account())?;
            self.detach(&mut state, range, &mut stale)
        };
        drop(removed);
        self.flush(stale).await;
        drop(layout);
        Ok(())
    }

    /// Takes regions and pages out of a range. What is returned is dropped without the state's lock, because
    /// the last reference to a file may go with it.
    #[must_use]
    pub(super) fn detach(&self, state: &mut State, range: Range<u64>, stale: &mut Stale) -> Vec<Region> {
        let removed = state.regions.remove(range);
        for region in &removed {
            self.page_table().unmap(region.range(), stale);
        }
        removed
    }
}
