//! Changing what pages allow: mprotect(2).

use base::{Errno, Result};

use super::map::check_commit;
use super::region::{Region, RegionFlags};
use super::space::State;
use super::{AddressSpace, PAGE, is_page_aligned, page_ceiling};
use crate::machine::{PageFlags, Stale};

/// Whether the range is stretched to the start of a region that grows down (`PROT_GROWSDOWN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// It is meant as it is.
    None,
    /// To the start of the region.
    Down,
    /// To the end of a region that grows up (`PROT_GROWSUP`); this processor has none.
    Up,
}

impl AddressSpace {
    /// Gives the pages of `[start, start + length)` the protection `access`.
    ///
    /// When a page in the middle is not mapped or may not have that protection, those before it have it.
    /// Dropping the future leaves the change made.
    ///
    /// # Errors
    ///
    /// `EINVAL` when `start` is not page-aligned, or a stretch meets a region that does not grow down; `ENOMEM`
    /// when a page is not mapped, when there would be too many regions, or above `RLIMIT_DATA`; `EACCES` when the
    /// mapping may not have the protection. Source: `mprotect(2)`.
    pub async fn protect(&self, start: u64, length: u64, access: PageFlags, stretch: Stretch) -> Result<()> {
        if !is_page_aligned(start) {
            return Err(Errno::EINVAL);
        }
        if length == 0 {
            return Ok(());
        }
        let length = page_ceiling(length).filter(|length| *length > 0).ok_or(Errno::ENOMEM)?;
        let end = start.checked_add(length).ok_or(Errno::ENOMEM)?;
        let layout = self.layout.lock().await;
        let mut stale = Stale::new();
        let result = self.protect_locked(start, end, access, stretch, &mut stale);
        self.flush(stale).await;
        drop(layout);
        result
    }

    fn protect_locked(
        &self,
        start: u64,
        end: u64,
        access: PageFlags,
        stretch: Stretch,
        stale: &mut Stale,
    ) -> Result<()> {
        let mut state = self.lock();
        let first =
            state.regions.find_or_next(start).filter(|region| region.start < end).ok_or(Errno::ENOMEM)?;
        let mut next = start;
        if stretch == Stretch::Down {
            if !first.flags.contains(RegionFlags::GROWS_DOWN) {
                return Err(Errno::EINVAL);
            }
            next = first.start;
        } else if first.start > start {
            return Err(Errno::ENOMEM);
        } else if stretch == Stretch::Up {
            return Err(Errno::EINVAL);
        }
        state.reserve_regions(2, self.account())?;
        while next < end {
            let region = state.regions.find(next).ok_or(Errno::ENOMEM)?;
            let piece = Region { start: next, end: region.end.min(end), ..region.clone() };
            next = piece.end;
            self.protect_piece(&mut state, piece, access, stale)?;
        }
        Ok(())
    }

    /// Changes one run of pages of one region.
    fn protect_piece(
        &self,
        state: &mut State,
        piece: Region,
        access: PageFlags,
        stale: &mut Stale,
    ) -> Result<()> {
        if !piece.allowed.contains(access) {
            return Err(Errno::EACCES);
        }
        if piece.access == access {
            return Ok(());
        }
        let was_data = piece.is_data();
        let changed = Region { access, ..piece };
        if changed.is_data() && !was_data {
            let grown = state.regions.sums().data.saturating_add(changed.pages());
            if grown > self.limits().soft(base::caller::Resource::Data) / PAGE {
                return Err(Errno::ENOMEM);
            }
            check_commit(&changed)?;
        }
        let range = changed.range();
        state.regions.change(range.clone(), |region| region.access = access);
        // Write permission comes back page by page, at the first write: the frame may be somebody else's too (A3).
        let flags = changed.page_flags().difference(PageFlags::WRITE);
        self.page_table().protect(range, flags, false, stale);
        Ok(())
    }
}
