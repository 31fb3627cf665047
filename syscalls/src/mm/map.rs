//! New mappings: what mmap(2) does once it knows what to map.

use core::ops::Range;

use base::{Errno, Result};

use super::placement::{Placement, Window};
use super::region::{Backing, Region, RegionFlags};
use super::space::State;
use super::{AddressSpace, LOWEST, PAGE, is_page_aligned, page_ceiling, page_floor};
use crate::machine::{FaultAccess, PageFlags, Stale, USER_END};

/// Where a new mapping may go. Source: `mmap(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the address if it is free, otherwise where the window allows.
    Hint(Window),
    /// At the address, replacing what is there (`MAP_FIXED`).
    Fixed,
    /// At the address, which must be free (`MAP_FIXED_NOREPLACE`).
    FixedNoReplace,
}

/// A mapping that is wanted.
#[derive(Clone, Debug)]
pub struct MapRequest {
    /// Address, or a hint, or 0.
    pub address: u64,
    /// Length in bytes; rounded up to pages.
    pub length: u64,
    /// How binding the address is.
    pub place: Place,
    /// What the pages allow.
    pub access: PageFlags,
    /// What mprotect(2) may make of them.
    pub allowed: PageFlags,
    /// Kind of region.
    pub flags: RegionFlags,
    /// What lies behind it.
    pub backing: Backing,
    /// Index in the backing of the first page.
    pub offset: u64,
    /// Make all pages resident at once (`MAP_POPULATE`).
    pub populate: bool,
    /// The caller has CAP_IPC_LOCK.
    pub may_exceed_lock_limit: bool,
    /// The caller has CAP_SYS_RAWIO, and so may map the lowest addresses.
    pub may_map_low: bool,
    /// What the checks of the file or of the flags answered: Linux makes them after it has chosen the address,
    /// so an impossible address is reported first.
    pub verdict: Result<()>,
}

impl MapRequest {
    /// Private anonymous memory, anywhere.
    #[must_use]
    pub fn anonymous(length: u64, access: PageFlags) -> MapRequest {
        MapRequest {
            address: 0,
            length,
            place: Place::Hint(Window::Any),
            access,
            allowed: PageFlags::all(),
            flags: RegionFlags::empty(),
            backing: Backing::Anonymous,
            offset: 0,
            populate: false,
            may_exceed_lock_limit: false,
            may_map_low: false,
            verdict: Ok(()),
        }
    }

    /// The same, exactly at `address`, replacing what is there.
    #[must_use]
    pub fn fixed(mut self, address: u64) -> MapRequest {
        self.address = address;
        self.place = Place::Fixed;
        self
    }
}

impl AddressSpace {
    /// Maps what `request` says; the address it got.
    ///
    /// Dropping the future leaves the mapping made or not made, and perhaps not fully populated.
    ///
    /// # Errors
    ///
    /// In Linux's order: `EINVAL` for no length; `ENOMEM` when the length or the place is impossible, when there
    /// are too many regions; `EPERM` below the lowest address; `EEXIST` when a place that must be free is not;
    /// the request's verdict; `EAGAIN` above `RLIMIT_MEMLOCK`; `ENOMEM` above `RLIMIT_AS` or `RLIMIT_DATA`.
    pub async fn map(&self, request: MapRequest) -> Result<u64> {
        let layout = self.layout.lock().await;
        let (region, occupied) = self.admit(&request)?;
        let range = region.range();
        let replacement = if occupied { Some(self.vacate_for_another(range.clone()).await) } else { None };
        let resident =
            region.flags & (RegionFlags::LOCKED | RegionFlags::LOCK_ON_FAULT) == RegionFlags::LOCKED;
        let populate = request.populate || resident;
        let mut stale = Stale::new();
        let removed = {
            let mut state = self.lock();
            // A stack may have grown into the range meanwhile: a fault takes no layout lock.
            let removed = self.detach(&mut state, range.clone(), &mut stale);
            state.regions.insert(region);
            removed
        };
        drop((removed, request, replacement));
        self.flush(stale).await;
        drop(layout);
        let start = range.start;
        if populate {
            self.populate(range).await;
        }
        Ok(start)
    }

    /// Finds the place and makes the checks: the region that may be added, and whether something is there now.
    fn admit(&self, request: &MapRequest) -> Result<(Region, bool)> {
        let length = checked_length(request.length, request.offset)?;
        let mut guard = self.lock();
        let state = &mut *guard;
        let flags = request.flags | state.future;
        state.reserve_regions(2, self.account())?;
        let start = choose_address(state, request, length)?;
        let range = start..start + length;
        let occupied = !state.regions.is_free(range.clone());
        if occupied && request.place == Place::FixedNoReplace {
            return Err(Errno::EEXIST);
        }
        let pages = length / PAGE;
        if request.flags.contains(RegionFlags::LOCKED) && !self.may_lock(request.may_exceed_lock_limit) {
            return Err(Errno::EPERM);
        }
        if flags.contains(RegionFlags::LOCKED) {
            state.check_locked(self.limits(), pages, request.may_exceed_lock_limit)?;
        }
        request.verdict?;
        let region = Region {
            start: range.start,
            end: range.end,
            access: request.access,
            allowed: request.allowed,
            flags,
            backing: request.backing.clone(),
            offset: request.offset,
        };
        let replaced = state.regions.pages_in(range);
        state.check_expansion(self.limits(), pages - replaced, region.is_data())?;
        check_commit(&region)?;
        Ok((region, occupied))
    }

    /// Makes the pages of a range resident, as far as that goes: errors show at the first touch.
    pub(super) async fn populate(&self, range: Range<u64>) {
        let mut page = range.start;
        while page < range.end {
            let access = {
                let state = self.lock();
                match state.regions.find(page) {
                    // A shared page is only read: writing would mark its file's page as changed.
                    Some(r) if r.access.contains(PageFlags::WRITE) && !r.is_shared() => FaultAccess::Write,
                    Some(region) if !region.access.is_empty() => FaultAccess::Read,
                    _ => return,
                }
            };
            if self.make_resident(page, access).await.is_err() {
                return;
            }
            page += PAGE;
        }
    }
}

/// The length in whole pages.
fn checked_length(length: u64, offset: u64) -> Result<u64> {
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let length = page_ceiling(length).ok_or(Errno::ENOMEM)?;
    if offset.checked_add(length / PAGE).is_none() {
        return Err(Errno::EOVERFLOW);
    }
    Ok(length)
}

fn choose_address(state: &State, request: &MapRequest, length: u64) -> Result<u64> {
    if length > USER_END {
        return Err(Errno::ENOMEM);
    }
    match request.place {
        Place::Fixed | Place::FixedNoReplace => {
            if request.address > USER_END - length {
                return Err(Errno::ENOMEM);
            }
            if !is_page_aligned(request.address) {
                return Err(Errno::EINVAL);
            }
            if request.address < LOWEST && !request.may_map_low {
                return Err(Errno::EPERM);
            }
            Ok(request.address)
        }
        Place::Hint(window) => {
            let hint = match page_floor(request.address) {
                0 => None,
                hint => Some(hint.max(LOWEST)),
            };
            let suits =
                |hint: &u64| window == Window::Any && Placement::accepts_hint(&state.regions, *hint, length);
            hint.filter(suits)
                .or_else(|| state.placement.find(&state.regions, length, window))
                .ok_or(Errno::ENOMEM)
        }
    }
}

/// Refuses private writable memory that the machine could never back, as Linux's heuristic overcommit does.
/// Source: `proc(5)`, `/proc/sys/vm/overcommit_memory`.
pub(super) fn check_commit(region: &Region) -> Result<()> {
    let counts = region.access.contains(PageFlags::WRITE)
        && !region.flags.intersects(RegionFlags::SHARED | RegionFlags::NO_RESERVE);
    let total = base::machine().frames().total() as u64;
    if counts && region.pages() > total { Err(Errno::ENOMEM) } else { Ok(()) }
}
