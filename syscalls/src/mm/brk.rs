//! The heap: brk(2).

use core::ops::Range;

use base::caller::Resource;

use super::region::{Backing, Region, RegionFlags};
use super::space::State;
use super::{AddressSpace, PAGE, page_ceiling};
use crate::machine::{PageFlags, USER_END};

/// What a move of the break leaves to do.
enum Change {
    None,
    /// These pages are to be unmapped.
    Shrunk(Range<u64>),
    /// These pages are locked, and so to be made resident.
    Grown(Range<u64>),
}

impl AddressSpace {
    /// Moves the program break to `wanted` if that can be, and tells where it is then. Source: `brk(2)`; the
    /// system call answers with the break and never with an error.
    ///
    /// Dropping the future leaves the break moved or not.
    pub async fn brk(&self, wanted: u64) -> u64 {
        let layout = self.layout.lock().await;
        let change = self.lock().plan_break(self, wanted);
        match change {
            Change::None => {}
            Change::Shrunk(range) => self.vacate(range).await,
            Change::Grown(range) => {
                drop(layout);
                self.populate(range).await;
            }
        }
        self.lock().heap.end
    }

    /// `RLIMIT_DATA` counts the heap together with the program's data. Source: `getrlimit(2)`.
    fn heap_may_end(&self, state: &State, wanted: u64) -> bool {
        let limit = self.limits().soft(Resource::Data);
        let image = state.image.data.end.saturating_sub(state.image.data.start);
        (wanted - state.heap.start).saturating_add(image) <= limit
    }

    fn grow_heap(&self, state: &mut State, from: u64, to: u64) -> bool {
        // The page behind the heap stays free, so that it never touches what comes next.
        let room = to.checked_add(PAGE).is_some_and(|end| end <= USER_END)
            && state.regions.find_or_next(from).is_none_or(|next| to + PAGE <= next.start_with_guard());
        let region = Region {
            start: from,
            end: to,
            access: PageFlags::READ | PageFlags::WRITE,
            allowed: PageFlags::all(),
            flags: state.future,
            backing: Backing::Anonymous,
            offset: 0,
        };
        let pages = region.pages();
        let locked = region.flags.contains(RegionFlags::LOCKED);
        if !room
            || state.check_expansion(self.limits(), pages, true).is_err()
            || (locked && state.check_locked(self.limits(), pages, false).is_err())
            || state.reserve_regions(1, self.account()).is_err()
            || super::map::check_commit(&region).is_err()
        {
            return false;
        }
        state.regions.insert(region);
        true
    }
}

impl State {
    /// Moves the break if it may be where it is `wanted`.
    fn plan_break(&mut self, space: &AddressSpace, wanted: u64) -> Change {
        let Range { start, end: break_now } = self.heap;
        let (Some(end), Some(old_end)) = (page_ceiling(wanted), page_ceiling(break_now)) else {
            return Change::None;
        };
        if start == 0 || wanted < start || !space.heap_may_end(self, wanted) {
            return Change::None;
        }
        if end > old_end && !space.grow_heap(self, old_end, end) {
            return Change::None;
        }
        self.heap.end = wanted;
        if end < old_end {
            Change::Shrunk(end..old_end)
        } else if end > old_end && self.future.contains(RegionFlags::LOCKED) {
            Change::Grown(old_end..end)
        } else {
            Change::None
        }
    }
}
