//! Advice about memory: what madvise(2) does to pages and regions.

use core::ops::Range;

use base::{Errno, Result};

use super::region::{Backing, Region, RegionFlags};
use super::space::State;
use super::{AddressSpace, PAGE};
use crate::machine::{FaultAccess, PageFlags};

/// A change of a region's flags. Source: `madvise(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagAdvice {
    /// Flags to set.
    pub set: RegionFlags,
    /// Flags to clear.
    pub clear: RegionFlags,
    /// Refused for regions of files and shared memory (`MADV_WIPEONFORK`).
    pub anonymous_only: bool,
    /// Allowed for the kernel's pages too.
    pub kernel_pages: bool,
}

impl AddressSpace {
    /// Drops the pages of a range, so that the next touch finds what lies behind: zeros, or the file's bytes
    /// (`MADV_DONTNEED`). Pages that are not mapped are passed over. A drop leaves the pages dropped.
    ///
    /// # Errors
    ///
    /// `EINVAL` at the first locked region; `ENOMEM` when a part of the range is not mapped, all else done.
    pub async fn discard(&self, range: Range<u64>) -> Result<()> {
        self.discard_unless(range, RegionFlags::LOCKED).await
    }

    /// As [`AddressSpace::discard`], locked regions too (`MADV_DONTNEED_LOCKED`).
    ///
    /// # Errors
    ///
    /// `ENOMEM` as there.
    pub async fn discard_locked(&self, range: Range<u64>) -> Result<()> {
        self.discard_unless(range, RegionFlags::empty()).await
    }

    async fn discard_unless(&self, range: Range<u64>, refused: RegionFlags) -> Result<()> {
        self.discard_where(range, |region| {
            !region.flags.intersects(refused) && !matches!(region.backing, Backing::Kernel(_))
        })
        .await
    }

    /// Drops the pages of the regions in a range, up to the first that is not `suitable`.
    async fn discard_where(&self, range: Range<u64>, suitable: impl Fn(&Region) -> bool) -> Result<()> {
        let mut walk = Walk::new(range);
        loop {
            let piece = {
                let state = self.lock();
                let Some((region, piece)) = walk.next(&state) else { break };
                if !suitable(region) {
                    return Err(Errno::EINVAL);
                }
                piece
            };
            self.clear_pages(piece).await;
        }
        walk.end()
    }

    /// As [`AddressSpace::discard`] for private anonymous memory only (`MADV_FREE`): the program may get its
    /// bytes back or zeros, and here it is always zeros.
    ///
    /// # Errors
    ///
    /// `EINVAL` at the first region that is locked or not anonymous; `ENOMEM` as there.
    pub async fn free(&self, range: Range<u64>) -> Result<()> {
        self.discard_where(range, |region| {
            !region.flags.contains(RegionFlags::LOCKED) && matches!(region.backing, Backing::Anonymous)
        })
        .await
    }

    /// Frees what lies behind a range of shared memory, which reads as zeros in every process (`MADV_REMOVE`).
    /// A drop leaves some of it freed.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a region that is locked or has nothing shared behind it; `EACCES` for one that is not shared
    /// or may not be written; what the file answers to a hole; `ENOMEM` for a part that is not mapped.
    pub async fn remove_backing(&self, range: Range<u64>) -> Result<()> {
        let mut walk = Walk::new(range);
        loop {
            let (backing, indexes, piece) = {
                let state = self.lock();
                let Some((region, piece)) = walk.next(&state) else { break };
                let locked = region.flags.contains(RegionFlags::LOCKED);
                if locked || !matches!(region.backing, Backing::Shared(_) | Backing::File(_)) {
                    return Err(Errno::EINVAL);
                }
                if !region.is_shared() || !region.allowed.contains(PageFlags::WRITE) {
                    return Err(Errno::EACCES);
                }
                let first = region.index_of(piece.start);
                (region.backing.clone(), first..first + (piece.end - piece.start) / PAGE, piece)
            };
            self.clear_pages(piece).await;
            match backing {
                Backing::Shared(object) => object.punch(indexes),
                Backing::File(mapping) => mapping.punch(indexes)?,
                Backing::Anonymous | Backing::Kernel(_) => {}
            }
        }
        walk.end()
    }

    /// Sets and clears flags of the regions in a range. A drop leaves them set or not.
    ///
    /// # Errors
    ///
    /// `EINVAL` at the first region that cannot have them; `ENOMEM` for a hole, or too many regions.
    pub async fn advise_flags(&self, range: Range<u64>, advice: FlagAdvice) -> Result<()> {
        let _layout = self.layout.lock().await;
        let mut guard = self.lock();
        let state = &mut *guard;
        state.reserve_regions(2, self.account())?;
        let mut walk = Walk::new(range);
        while let Some((region, piece)) = walk.next(state) {
            let kernels = matches!(region.backing, Backing::Kernel(_));
            let private = matches!(region.backing, Backing::Anonymous);
            if (kernels && !advice.kernel_pages) || (advice.anonymous_only && !private) {
                return Err(Errno::EINVAL);
            }
            state.regions.change(piece, |region| {
                region.flags.remove(advice.clear);
                region.flags.insert(advice.set);
            });
        }
        walk.end()
    }

    /// Makes the pages of a range resident for an access (`MADV_POPULATE_READ`, `MADV_POPULATE_WRITE`).
    /// A drop leaves those that are.
    ///
    /// # Errors
    ///
    /// `ENOMEM` for a hole; `EINVAL` when a region does not allow the access; `EFAULT` past the end of a file.
    pub async fn prefault(&self, range: Range<u64>, access: FaultAccess) -> Result<()> {
        let mut page = range.start;
        while page < range.end {
            {
                let state = self.lock();
                let region = state.regions.find(page).ok_or(Errno::ENOMEM)?;
                let allowed = match access {
                    FaultAccess::Write => region.access.contains(PageFlags::WRITE),
                    _ => region.access.intersects(PageFlags::READ | PageFlags::EXECUTE),
                };
                if !allowed || matches!(region.backing, Backing::Kernel(_)) {
                    return Err(Errno::EINVAL);
                }
            }
            self.make_resident(page, access).await?;
            page += PAGE;
        }
        Ok(())
    }

    /// Checks that a range is mapped: advice that Kairos has no use for is still checked.
    ///
    /// # Errors
    ///
    /// `ENOMEM` for a hole.
    pub fn check_mapped(&self, range: Range<u64>) -> Result<()> {
        for_each_piece(&self.lock(), range, |_, _| Ok(()))
    }

    /// Checks that a range is mapped and not locked (`MADV_COLD`, `MADV_PAGEOUT`: there is no swap to go to).
    ///
    /// # Errors
    ///
    /// `EINVAL` at the first locked region; `ENOMEM` for a hole.
    pub fn check_not_locked(&self, range: Range<u64>) -> Result<()> {
        for_each_piece(&self.lock(), range, |region, _| {
            if region.flags.contains(RegionFlags::LOCKED) { Err(Errno::EINVAL) } else { Ok(()) }
        })
    }
}

/// A walk over the regions of a range that may let go of the lock, and change regions, between two steps.
pub(super) struct Walk {
    rest: Range<u64>,
    hole: bool,
}

impl Walk {
    /// A walk over `range`.
    pub(super) fn new(range: Range<u64>) -> Walk {
        Walk { rest: range, hole: false }
    }

    /// The next region and its part of the range.
    pub(super) fn next<'a>(&mut self, state: &'a State) -> Option<(&'a Region, Range<u64>)> {
        let (region, piece) = state.regions.first_piece(self.rest.clone())?;
        self.hole |= piece.start > self.rest.start;
        self.rest.start = piece.end;
        Some((region, piece))
    }

    /// True when the walk has passed an address that no region holds.
    pub(super) fn met_hole(&self) -> bool {
        self.hole
    }

    /// `ENOMEM` if there was a hole in the range, or at its end.
    pub(super) fn end(self) -> Result<()> {
        if self.hole || !self.rest.is_empty() { Err(Errno::ENOMEM) } else { Ok(()) }
    }
}

/// Calls `each` with every region's part of the range; `ENOMEM` at the end if there was a hole.
pub(super) fn for_each_piece(
    state: &State,
    range: Range<u64>,
    mut each: impl FnMut(&Region, Range<u64>) -> Result<()>,
) -> Result<()> {
    let mut next = range.start;
    let mut hole = false;
    for region in state.regions.overlapping(range.clone()) {
        hole |= region.start > next;
        next = region.end.min(range.end);
        each(region, region.start.max(range.start)..next)?;
    }
    if hole || next < range.end { Err(Errno::ENOMEM) } else { Ok(()) }
}
