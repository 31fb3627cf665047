//! Locked memory. Nothing is ever swapped out here, so a lock makes pages resident, and counts.

use core::ops::Range;

use base::caller::Resource;
use base::{Errno, Result};

use super::advise::Walk;
use super::region::{Backing, RegionFlags};
use super::space::State;
use super::{AddressSpace, PAGE};
use crate::machine::{FaultAccess, PageFlags, USER_END};

/// Both flags that locking sets.
const LOCK_FLAGS: RegionFlags = RegionFlags::LOCKED.union(RegionFlags::LOCK_ON_FAULT);

/// When locked pages become resident. Source: `mlock2(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residency {
    /// At once.
    Now,
    /// When they are touched (`MLOCK_ONFAULT`).
    OnFault,
}

impl Residency {
    fn flags(self) -> RegionFlags {
        match self {
            Residency::Now => RegionFlags::LOCKED,
            Residency::OnFault => LOCK_FLAGS,
        }
    }
}

impl AddressSpace {
    /// True when the process may lock memory at all: `RLIMIT_MEMLOCK` is not 0, or it may exceed it.
    #[must_use]
    pub fn may_lock(&self, may_exceed: bool) -> bool {
        may_exceed || self.limits().soft(Resource::LockedMemory) != 0
    }

    /// Locks the pages of a page-aligned range. A drop leaves them locked and some not resident.
    ///
    /// # Errors
    ///
    /// `EPERM` when the process may not lock at all; `ENOMEM` above `RLIMIT_MEMLOCK` or when a part is not mapped
    /// or cannot be made resident; `EAGAIN` when memory ran out. Source: `mlock(2)`.
    pub async fn lock_range(&self, range: Range<u64>, residency: Residency, may_exceed: bool) -> Result<()> {
        if !self.may_lock(may_exceed) {
            return Err(Errno::EPERM);
        }
        {
            let _layout = self.layout.lock().await;
            let mut guard = self.lock();
            let state = &mut *guard;
            let pages = (range.end - range.start) / PAGE;
            let already = locked_pages(state, range.clone());
            let sum = state.regions.sums().locked.saturating_add(pages) - already;
            if !may_exceed && sum > self.limits().soft(Resource::LockedMemory) / PAGE {
                return Err(Errno::ENOMEM);
            }
            self.set_lock(state, range.clone(), residency.flags())?;
        }
        match residency {
            Residency::Now => self.populate_all(range).await,
            Residency::OnFault => Ok(()),
        }
    }

    /// Unlocks the pages of a page-aligned range. A drop leaves them unlocked or not.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when a part is not mapped.
    pub async fn unlock_range(&self, range: Range<u64>) -> Result<()> {
        let _layout = self.layout.lock().await;
        let mut guard = self.lock();
        self.set_lock(&mut guard, range, RegionFlags::empty())
    }

    /// Locks what is mapped now, what will be, or both: mlockall(2). With neither, unlocks everything.
    /// A drop leaves the flags set and some pages not resident.
    ///
    /// # Errors
    ///
    /// `EPERM` when the process may not lock at all; `ENOMEM` when all that is mapped exceeds `RLIMIT_MEMLOCK`.
    pub async fn lock_all(
        &self,
        current: Option<Residency>,
        future: Option<Residency>,
        may_exceed: bool,
    ) -> Result<()> {
        let unlock = current.is_none() && future.is_none();
        if !unlock && !self.may_lock(may_exceed) {
            return Err(Errno::EPERM);
        }
        {
            let _layout = self.layout.lock().await;
            let mut guard = self.lock();
            let state = &mut *guard;
            let limit = self.limits().soft(Resource::LockedMemory) / PAGE;
            if current.is_some() && !may_exceed && state.regions.sums().total > limit {
                return Err(Errno::ENOMEM);
            }
            state.future = future.map_or(RegionFlags::empty(), Residency::flags);
            if current.is_some() || unlock {
                let flags = current.map_or(RegionFlags::empty(), Residency::flags);
                // Holes are no error here: the range is the whole space.
                let mut walk = Walk::new(0..USER_END);
                while let Some((_, piece)) = walk.next(state) {
                    self.set_lock(state, piece, flags)?;
                }
            }
        }
        if current == Some(Residency::Now) {
            let mut walk = Walk::new(0..USER_END);
            loop {
                let next = walk.next(&self.lock()).map(|(_, piece)| piece);
                let Some(piece) = next else { break };
                self.populate(piece).await;
            }
        }
        Ok(())
    }

    /// Sets the lock flags of a range; `ENOMEM` at the first page that is not mapped, those before it are set.
    fn set_lock(&self, state: &mut State, range: Range<u64>, flags: RegionFlags) -> Result<()> {
        state.reserve_regions(2, self.account())?;
        let mut walk = Walk::new(range);
        while let Some((region, piece)) = walk.next(state) {
            if walk.met_hole() {
                return Err(Errno::ENOMEM);
            }
            if matches!(region.backing, Backing::Kernel(_)) {
                continue;
            }
            state.regions.change(piece, |region| {
                region.flags.remove(LOCK_FLAGS);
                region.flags.insert(flags);
            });
        }
        walk.end()
    }

    /// Makes every page of a range resident, and says when one cannot be.
    async fn populate_all(&self, range: Range<u64>) -> Result<()> {
        let mut page = range.start;
        while page < range.end {
            let access = {
                let state = self.lock();
                let region = state.regions.find(page).ok_or(Errno::ENOMEM)?;
                let private = region.access.contains(PageFlags::WRITE) && !region.is_shared();
                if private { FaultAccess::Write } else { FaultAccess::Read }
            };
            match self.make_resident(page, access).await {
                Ok(()) => page += PAGE,
                Err(Errno::ENOMEM) => return Err(Errno::EAGAIN),
                Err(_) => return Err(Errno::ENOMEM),
            }
        }
        Ok(())
    }
}

/// Pages of a range that are locked already.
fn locked_pages(state: &State, range: Range<u64>) -> u64 {
    let mut pages = 0;
    let locked = |region: &super::Region| region.flags.contains(RegionFlags::LOCKED);
    for region in state.regions.overlapping(range.clone()).filter(|region| locked(region)) {
        pages += (region.end.min(range.end) - region.start.max(range.start)) / PAGE;
    }
    pages
}
