//! A copy of a space for a child: fork(2).
//!
//! Private pages are shared between parent and child and write-protected in both; whoever writes first gets a
//! copy (see [`super::fault`]). Shared mappings, and private ones without a copy yet, are not touched: the child
//! finds their pages at its first access.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use base::Result;
use base::caller::Limits;
use base::charge::Account;

use super::AddressSpace;
use super::region::{Region, RegionFlags};
use crate::machine::{PageFlags, Stale};

impl AddressSpace {
    /// A copy-on-write copy of the space, for a process with `limits` whose memory `account` pays for.
    ///
    /// Dropping the future leaves this space as it was, apart from write protection that its next faults undo.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when there is no memory for the child's tables or map.
    pub async fn fork(&self, limits: Arc<Limits>, account: Arc<Account>) -> Result<Arc<AddressSpace>> {
        let child = AddressSpace::new(limits, account)?;
        let mut stale = Stale::new();
        let result = self.copy_into(&child, &mut stale);
        // The child must not run before the parent's other CPUs have stopped writing to the shared frames.
        self.flush(stale).await;
        result.map(|()| child)
    }

    fn copy_into(&self, child: &AddressSpace, stale: &mut Stale) -> Result<()> {
        let state = self.lock();
        let inherited: Vec<Region> = state.regions.iter().filter_map(for_child).collect();
        {
            // The child is not published yet, and its lock has the parent's class: it is filled under no lock
            // of its own that anybody could wait for.
            let mut copy = child.lock_nested();
            copy.placement = state.placement.clone();
            copy.heap = state.heap.clone();
            copy.image = state.image.clone();
            copy.reserve_regions(inherited.len(), child.account())?;
            for region in &inherited {
                copy.regions.insert(region.clone());
            }
        }
        for region in &inherited {
            let has_copies = region.flags.contains(RegionFlags::HAS_COPIES);
            if has_copies && !region.is_shared() {
                self.share_pages(child, region, stale)?;
            }
        }
        Ok(())
    }

    /// Maps the pages of a private region in the child too, and takes write permission from both.
    fn share_pages(&self, child: &AddressSpace, region: &Region, stale: &mut Stale) -> Result<()> {
        let mut outcome = Ok(());
        let mut fresh = Stale::new();
        self.page_table().for_each(region.range(), &mut |page, mapped| {
            let flags = mapped.flags.difference(PageFlags::WRITE);
            outcome = child.page_table().map(page, mapped.frame, flags, &mut fresh);
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let unwritable = PageFlags::READ | PageFlags::EXECUTE;
        self.page_table().protect(region.range(), unwritable, true, stale);
        outcome
    }
}

/// The region as a child gets it. Locks are not inherited. Source: `madvise(2)`, `mlock(2)`.
fn for_child(region: &Region) -> Option<Region> {
    if region.flags.contains(RegionFlags::DONT_FORK) {
        return None;
    }
    let mut copy = region.clone();
    copy.flags.remove(RegionFlags::LOCKED | RegionFlags::LOCK_ON_FAULT);
    if copy.flags.contains(RegionFlags::WIPE_ON_FORK) {
        copy.flags.remove(RegionFlags::HAS_COPIES);
    }
    Some(copy)
}
