//! Moving and resizing mappings: mremap(2).

use alloc::vec::Vec;
use core::ops::Range;

use base::{Errno, Result};

use super::map::check_commit;
use super::placement::{Placement, Window};
use super::region::{Backing, Region, RegionFlags};
use super::space::State;
use super::{AddressSpace, LOWEST, MAX_REGIONS, PAGE, is_page_aligned, page_ceiling};
use crate::machine::{Stale, USER_END};

/// Where the mapping may end up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Where it is.
    InPlace,
    /// Wherever there is room (`MREMAP_MAYMOVE`).
    Anywhere,
    /// At this address, replacing what is there (`MREMAP_FIXED`).
    At(u64),
    /// At this address if it is free, otherwise anywhere; the old pages stay mapped, empty
    /// (`MREMAP_DONTUNMAP`).
    Beside(u64),
    /// As [`Target::At`], and the old pages stay mapped, empty.
    BesideAt(u64),
}

impl Target {
    /// True when the program did not ask for another place.
    fn may_stay(self) -> bool {
        matches!(self, Target::InPlace | Target::Anywhere)
    }

    fn keeps_old(self) -> bool {
        matches!(self, Target::Beside(_) | Target::BesideAt(_))
    }
}

/// A mapping to change.
#[derive(Clone, Copy, Debug)]
pub struct RemapRequest {
    /// Its first page.
    pub address: u64,
    /// How much of it; 0 makes a second mapping of shared pages.
    pub old_length: u64,
    /// How long it is to be.
    pub new_length: u64,
    /// Where it may go.
    pub target: Target,
    /// The caller has CAP_IPC_LOCK.
    pub may_exceed_lock_limit: bool,
}

impl RemapRequest {
    /// The same in whole pages.
    fn aligned(self) -> Result<RemapRequest> {
        let aligned = |length: u64| page_ceiling(length).ok_or(Errno::EINVAL);
        let (old_length, new_length) = (aligned(self.old_length)?, aligned(self.new_length)?);
        if !is_page_aligned(self.address) || new_length == 0 {
            return Err(Errno::EINVAL);
        }
        Ok(RemapRequest { old_length, new_length, ..self })
    }
}

/// What is to be cleaned up without the lock, and what made resident.
#[derive(Default)]
struct Aftermath {
    stale: Stale,
    removed: Vec<Region>,
    populate: Option<Range<u64>>,
}

impl AddressSpace {
    /// Resizes or moves a mapping; its address afterwards.
    ///
    /// Dropping the future leaves the mapping changed.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unaligned address, no new length, a target that overlaps the old pages or leaves user
    /// space, or a second mapping of private pages; `EFAULT` when the pages are not all of one mapping; `EAGAIN`
    /// above `RLIMIT_MEMLOCK`; `ENOMEM` when it cannot grow where it is and may not move, or above a limit.
    /// Source: `mremap(2)`.
    pub async fn remap(&self, request: RemapRequest) -> Result<u64> {
        let mut request = request.aligned()?;
        let layout = self.layout.lock().await;
        self.check_target(&request)?;
        let replacement = match request.target {
            Target::At(to) | Target::BesideAt(to) => {
                Some(self.vacate_for_another(to..to + request.new_length).await)
            }
            _ => None,
        };
        let RemapRequest { address, old_length, new_length, .. } = request;
        if old_length > new_length {
            let end = address.checked_add(old_length).filter(|end| *end <= USER_END).ok_or(Errno::EINVAL)?;
            self.vacate(address + new_length..end).await;
            request.old_length = new_length;
        }
        if request.target.may_stay() && request.old_length == new_length {
            return Ok(address);
        }
        let mut after = Aftermath::default();
        let result = self.resize_or_move(&request, &mut after);
        drop((after.removed, replacement));
        self.flush(after.stale).await;
        drop(layout);
        if let Some(range) = after.populate {
            self.populate(range).await;
        }
        result
    }

    /// The checks before anything changes.
    fn check_target(&self, request: &RemapRequest) -> Result<()> {
        let RemapRequest { address, old_length, new_length, target, .. } = *request;
        let mut state = self.lock();
        state.regions.find(address).ok_or(Errno::EFAULT)?;
        state.reserve_regions(4, self.account())?;
        let (Target::At(to) | Target::Beside(to) | Target::BesideAt(to)) = target else { return Ok(()) };
        if !is_page_aligned(to) || new_length > USER_END || to > USER_END - new_length {
            return Err(Errno::EINVAL);
        }
        if address.saturating_add(old_length) > to && to + new_length > address {
            return Err(Errno::EINVAL);
        }
        if state.regions.len() + 2 >= MAX_REGIONS - 3 {
            return Err(Errno::ENOMEM);
        }
        let fixed = !matches!(target, Target::Beside(_));
        if fixed && to < LOWEST { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// What is left to do when the target is free and the old pages are no longer than the new ones.
    fn resize_or_move(&self, request: &RemapRequest, after: &mut Aftermath) -> Result<u64> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let RemapRequest { address, old_length, new_length, target, .. } = *request;
        let region = self.resizable(state, request)?;
        if target.may_stay()
            && old_length == region.end - address
            && self.can_grow(state, &region, new_length - old_length)
        {
            return self.grow(state, &region, request, after);
        }
        let suits = |to: &u64| *to != 0 && Placement::accepts_hint(&state.regions, *to, new_length);
        let chosen = match target {
            Target::InPlace => return Err(Errno::ENOMEM),
            Target::At(to) | Target::BesideAt(to) => {
                // A stack may have grown into the range meanwhile.
                let removed = self.detach(state, to..to + new_length, &mut after.stale);
                after.removed.extend(removed);
                Some(to)
            }
            Target::Beside(to) => Some(to).filter(suits),
            Target::Anywhere => None,
        };
        let anywhere = || state.placement.find(&state.regions, new_length, Window::Any);
        let to = chosen.or_else(anywhere).ok_or(Errno::ENOMEM)?;
        self.move_region(state, &region, request, to, after)
    }

    /// The region that holds all old pages, when it may get its new length.
    fn resizable(&self, state: &State, request: &RemapRequest) -> Result<Region> {
        let RemapRequest { address, old_length, new_length, .. } = *request;
        let region = state.regions.find(address).ok_or(Errno::EFAULT)?;
        if old_length == 0 && !region.is_shared() {
            return Err(Errno::EINVAL);
        }
        let kernels = matches!(region.backing, Backing::Kernel(_));
        if request.target.keeps_old() && kernels {
            return Err(Errno::EINVAL);
        }
        if old_length > region.end - address {
            return Err(Errno::EFAULT);
        }
        let more = new_length.saturating_sub(old_length) / PAGE;
        if new_length > old_length {
            if region.index_of(address).checked_add(new_length / PAGE).is_none() {
                return Err(Errno::EINVAL);
            }
            if region.flags.contains(RegionFlags::DONT_EXPAND) || kernels {
                return Err(Errno::EFAULT);
            }
            if region.flags.contains(RegionFlags::LOCKED) {
                state.check_locked(self.limits(), more, request.may_exceed_lock_limit)?;
            }
            state.check_expansion(self.limits(), more, region.is_data())?;
        }
        Ok(region.clone())
    }

    fn can_grow(&self, state: &State, region: &Region, more: u64) -> bool {
        region
            .end
            .checked_add(more)
            .is_some_and(|end| end <= USER_END && state.regions.is_free(region.end..end))
    }

    /// Lengthens the region at its end.
    fn grow(
        &self,
        state: &mut State,
        region: &Region,
        request: &RemapRequest,
        after: &mut Aftermath,
    ) -> Result<u64> {
        let end = request.address + request.new_length;
        let tail = Region {
            start: region.end,
            end,
            offset: if matches!(region.backing, Backing::Anonymous) {
                0
            } else {
                region.index_of(region.end)
            },
            ..region.clone()
        };
        check_commit(&tail)?;
        if tail.flags.contains(RegionFlags::LOCKED) {
            after.populate = Some(tail.range());
        }
        state.regions.insert(tail);
        Ok(request.address)
    }

    /// Moves the old pages to `to`, where nothing is, with the new length.
    fn move_region(
        &self,
        state: &mut State,
        region: &Region,
        request: &RemapRequest,
        to: u64,
        after: &mut Aftermath,
    ) -> Result<u64> {
        let RemapRequest { address, old_length, new_length, target, .. } = *request;
        if state.regions.len() >= MAX_REGIONS - 3 {
            return Err(Errno::ENOMEM);
        }
        let moved = Region {
            start: to,
            end: to + new_length,
            offset: if matches!(region.backing, Backing::Anonymous) { 0 } else { region.index_of(address) },
            ..region.clone()
        };
        if target.keeps_old() {
            state.check_expansion(self.limits(), moved.pages(), moved.is_data())?;
        }
        check_commit(&moved)?;
        let old = address..address + old_length;
        self.page_table().move_pages(old.clone(), to, &mut after.stale)?;
        if target.keeps_old() {
            let unlock = RegionFlags::LOCKED | RegionFlags::LOCK_ON_FAULT;
            state.regions.change(old, |region| region.flags.remove(unlock));
        } else {
            let removed = self.detach(state, old, &mut after.stale);
            after.removed.extend(removed);
        }
        if moved.flags.contains(RegionFlags::LOCKED) {
            after.populate = Some(moved.range());
        }
        state.regions.insert(moved);
        Ok(to)
    }
}
