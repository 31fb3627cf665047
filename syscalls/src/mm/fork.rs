//! A copy of a space for a child: fork(2).
//!
//! Private pages are shared between parent and child and write-protected in both; whoever writes first gets a
//! copy (see [`super::fault`]). Shared mappings, and private ones without a copy yet, are not touched: the child
//! finds their pages at its first access.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::ops::ControlFlow;

use base::Result;
use base::caller::Limits;
use base::charge::Account;
use base::fault::{self, Point};
use executor::yield_point;

use super::file::FileMapping;
use super::region::{Backing, Region, RegionFlags};
use super::{AddressSpace, PAGE};
use crate::machine::{PageFlags, Stale};

/// Pages that are copied under the lock at a time.
const PAGES_AT_ONCE: usize = 128;

impl AddressSpace {
    /// A copy-on-write copy of the space, for a process with `limits` whose memory `account` pays for.
    ///
    /// Threads of this space that run meanwhile may write to pages before or after those are copied.
    /// Dropping the future leaves this space as it was, apart from write protection that its next faults undo.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when there is no memory for the child's tables or map.
    pub async fn fork(&self, limits: Arc<Limits>, account: Arc<Account>) -> Result<Arc<AddressSpace>> {
        let child = AddressSpace::new(limits, account)?;
        let _layout = self.layout.lock().await;
        let mut stale = Stale::new();
        let result = self.copy_into(&child, &mut stale).await;
        // The child must not run before the parent's other CPUs have stopped writing to the shared frames.
        self.flush(stale).await;
        result.map(|()| child)
    }

    async fn copy_into(&self, child: &Arc<AddressSpace>, stale: &mut Stale) -> Result<()> {
        {
            let state = self.lock();
            // The child is known to nobody else yet, so nobody holds its lock and wants this one.
            let mut copy = child.lock_nested();
            copy.placement = state.placement.clone();
            copy.program = state.program.clone();
            copy.barriers = state.barriers;
            copy.heap = state.heap.clone();
            copy.image = state.image.clone();
        }
        let mut adopted = Adopted::default();
        let mut from = 0;
        loop {
            let Some(region) = self.lock().regions.find_or_next(from).cloned() else { return Ok(()) };
            from = region.end;
            yield_point().await;
            let Some(mut copy) = for_child(&region) else { continue };
            if let Backing::File(mapping) = &copy.backing {
                copy.backing = Backing::File(adopted.mapping_for(mapping, child)?);
            }
            {
                let mut state = child.lock();
                state.reserve_regions(1, child.account())?;
                state.regions.insert(copy.clone());
            }
            if !copy.is_shared() && copy.flags.contains(RegionFlags::HAS_COPIES) {
                fault::check(Point::PageAlloc)?;
                let mut next = Some(region.start);
                while let Some(start) = next {
                    next = self.share_pages(child, start, region.end, stale)?;
                    yield_point().await;
                }
            }
        }
    }

    /// Maps some of the pages from `start` to `end` in the child too, and takes write permission from both.
    /// Where to go on, if there are more.
    fn share_pages(
        &self,
        child: &AddressSpace,
        start: u64,
        end: u64,
        stale: &mut Stale,
    ) -> Result<Option<u64>> {
        let _state = self.lock();
        let mut outcome = Ok(());
        let mut count = 0;
        let mut next = start;
        let mut fresh = Stale::new();
        self.page_table().for_each(start..end, &mut |page, mapped| {
            let flags = mapped.flags.difference(PageFlags::WRITE);
            outcome = child.page_table().map(page, mapped.frame, flags, &mut fresh);
            next = page + PAGE;
            count += 1;
            if outcome.is_ok() && count < PAGES_AT_ONCE {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        let unwritable = PageFlags::READ | PageFlags::EXECUTE;
        self.page_table().protect(start..next, unwritable, true, stale);
        outcome.map(|()| (count == PAGES_AT_ONCE).then_some(next))
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

/// The child's own mappings of the files that were met last: the regions of one mapping are mostly neighbours.
#[derive(Default)]
struct Adopted(VecDeque<(Arc<FileMapping>, Arc<FileMapping>)>);

impl Adopted {
    /// Mappings that are remembered.
    const MEMORY: usize = 16;

    fn mapping_for(&mut self, old: &Arc<FileMapping>, child: &Arc<AddressSpace>) -> Result<Arc<FileMapping>> {
        if let Some((_, own)) = self.0.iter().find(|(parent, _)| Arc::ptr_eq(parent, old)) {
            return Ok(own.clone());
        }
        let own = old.for_space(child)?;
        if self.0.len() == Adopted::MEMORY {
            self.0.pop_front();
        }
        self.0.push_back((old.clone(), own.clone()));
        Ok(own)
    }
}
