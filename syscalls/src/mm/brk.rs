//! The heap: brk(2).

use base::caller::Resource;

use super::region::{Backing, Region, RegionFlags};
use super::space::State;
use super::{AddressSpace, PAGE, page_ceiling};
use crate::machine::{PageFlags, Stale, USER_END};

impl AddressSpace {
    /// Moves the program break to `wanted` if that can be, and tells where it is then. Source: `brk(2)`; the
    /// system call answers with the break and never with an error.
    ///
    /// Dropping the future leaves the break moved or not.
    pub async fn brk(&self, wanted: u64) -> u64 {
        let layout = self.layout.lock().await;
        let mut stale = Stale::new();
        let mut removed = alloc::vec::Vec::new();
        let mut populate = None;
        let result = {
            let mut state = self.lock();
            let before = state.heap.clone();
            match page_ceiling(wanted) {
                Some(end)
                    if wanted >= before.start && before.start != 0 && self.heap_may_end(&state, wanted) =>
                {
                    let old_end = page_ceiling(before.end).unwrap_or(before.end);
                    if end < old_end {
                        removed = self.detach(&mut state, end..old_end, &mut stale);
                        state.heap.end = wanted;
                    } else if end == old_end || self.grow_heap(&mut state, old_end, end) {
                        state.heap.end = wanted;
                        let locked = state.future.contains(RegionFlags::LOCKED);
                        populate = locked.then_some(old_end..end);
                    }
                }
                _ => {}
            }
            state.heap.end
        };
        drop(removed);
        self.flush(stale).await;
        drop(layout);
        if let Some(range) = populate {
            self.populate(range).await;
        }
        result
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
