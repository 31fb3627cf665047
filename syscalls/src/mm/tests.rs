//! The parts of the space that the page model does not know: limits, stacks, files, keys, frames.

use std::sync::Arc;

use base::caller::{Limits, Resource};
use base::charge::Account;
use base::memory::{Access, UserMemory};
use base::{Errno, Result};

use super::futex_key::{FutexKey, FutexSharing};
use super::lock::Residency;
use super::map::Place;
use super::region::{Backing, RegionFlags};
use super::shared::SharedMemory;
use super::{AddressSpace, FaultSignal, LOWEST, MapRequest, PAGE, STACK_GUARD_PAGES};
use crate::host::file::BytesFile;
use crate::host::{self, block_on};
use crate::machine::{FaultAccess, PageFlags, USER_END};

const RW: PageFlags = PageFlags::READ.union(PageFlags::WRITE);
const BASE: u64 = 0x20_0000_0000;

fn space() -> Arc<AddressSpace> {
    host::install();
    AddressSpace::new(Arc::new(Limits::initial(100)), Account::new()).unwrap()
}

fn fork(space: &AddressSpace) -> Arc<AddressSpace> {
    block_on(space.fork(Arc::new(Limits::initial(100)), Account::new())).unwrap()
}

fn map(space: &AddressSpace, request: MapRequest) -> Result<u64> {
    block_on(space.map(request))
}

fn read(space: &AddressSpace, at: u64) -> Result<u8> {
    let mut byte = [0];
    block_on(space.fault_in(at, 1, Access::Read))?;
    assert_eq!(space.copy_in_nofault(at, &mut byte), 1);
    Ok(byte[0])
}

fn write(space: &AddressSpace, at: u64, value: u8) -> Result<()> {
    block_on(space.fault_in(at, 1, Access::Write))?;
    assert_eq!(space.copy_out_nofault(at, &[value]), 1);
    Ok(())
}

fn fault(space: &AddressSpace, at: u64, access: FaultAccess) -> core::result::Result<(), (u8, i32)> {
    block_on(space.handle_fault(at, access)).map_err(|FaultSignal { signo, code, address }| {
        assert_eq!(address, at);
        (signo, code)
    })
}

fn frame_at(space: &AddressSpace, at: u64) -> u64 {
    space.page_table().get(at).unwrap().frame.number()
}

#[test]
fn a_fault_without_a_right_is_a_signal_that_says_why() {
    let space = space();
    map(&space, MapRequest::anonymous(PAGE, PageFlags::READ).fixed(BASE)).unwrap();
    map(&space, MapRequest::anonymous(PAGE, PageFlags::empty()).fixed(BASE + PAGE)).unwrap();
    assert_eq!(fault(&space, BASE + 5, FaultAccess::Read), Ok(()));
    assert_eq!(fault(&space, BASE + 5, FaultAccess::Write), Err((11, 2)));
    assert_eq!(fault(&space, BASE + 5, FaultAccess::Execute), Err((11, 2)));
    assert_eq!(fault(&space, BASE + PAGE, FaultAccess::Read), Err((11, 2)));
    assert_eq!(fault(&space, BASE + 2 * PAGE, FaultAccess::Read), Err((11, 1)));
    assert_eq!(fault(&space, 0, FaultAccess::Write), Err((11, 1)));
    assert_eq!(fault(&space, u64::MAX, FaultAccess::Read), Err((11, 1)));
}

#[test]
fn a_page_that_only_one_space_has_is_not_copied() {
    let parent = space();
    map(&parent, MapRequest::anonymous(PAGE, RW).fixed(BASE)).unwrap();
    write(&parent, BASE, 1).unwrap();
    let before = frame_at(&parent, BASE);
    let child = fork(&parent);
    assert_eq!(frame_at(&child, BASE), before);
    write(&parent, BASE, 2).unwrap();
    assert_ne!(frame_at(&parent, BASE), before, "the child has the frame too");
    assert_eq!(read(&child, BASE), Ok(1));
    write(&child, BASE, 3).unwrap();
    assert_eq!(frame_at(&child, BASE), before, "now it is the child's alone");
    assert_eq!(read(&parent, BASE), Ok(2));
}

#[test]
fn the_last_space_gives_back_every_reference() {
    let parent = space();
    let object = SharedMemory::new(1);
    let shared = MapRequest {
        flags: RegionFlags::SHARED,
        backing: Backing::Shared(object.clone()),
        ..MapRequest::anonymous(PAGE, RW).fixed(BASE)
    };
    map(&parent, shared).unwrap();
    map(&parent, MapRequest::anonymous(PAGE, RW).fixed(BASE + PAGE)).unwrap();
    write(&parent, BASE, 1).unwrap();
    write(&parent, BASE + PAGE, 1).unwrap();
    let private = parent.page_table().get(BASE + PAGE).unwrap().frame;
    let child = fork(&parent);
    assert_eq!(read(&child, BASE), Ok(1));
    assert_eq!(private.references(), 3);
    assert_eq!(object.page(0).unwrap().references(), 4);
    drop((parent, child));
    assert_eq!(private.references(), 1);
    assert_eq!(object.page(0).unwrap().references(), 2);
}

#[test]
fn advice_decides_what_a_child_gets() {
    use super::advise::FlagAdvice;
    let parent = space();
    for page in 0..3 {
        map(&parent, MapRequest::anonymous(PAGE, RW).fixed(BASE + page * PAGE)).unwrap();
        write(&parent, BASE + page * PAGE, 7).unwrap();
    }
    let advise = |page: u64, set| {
        let advice =
            FlagAdvice { set, clear: RegionFlags::empty(), anonymous_only: false, kernel_pages: false };
        block_on(parent.advise_flags(BASE + page * PAGE..BASE + (page + 1) * PAGE, advice)).unwrap();
    };
    advise(1, RegionFlags::DONT_FORK);
    advise(2, RegionFlags::WIPE_ON_FORK);
    let child = fork(&parent);
    assert_eq!(read(&child, BASE), Ok(7));
    assert_eq!(read(&child, BASE + PAGE), Err(Errno::EFAULT));
    assert_eq!(read(&child, BASE + 2 * PAGE), Ok(0));
    assert_eq!(read(&parent, BASE + 2 * PAGE), Ok(7));
}

#[test]
fn a_stack_grows_to_its_limit_and_keeps_its_distance() {
    let space = space();
    let top = 0x7000_0000_0000;
    let stack = MapRequest {
        flags: RegionFlags::GROWS_DOWN,
        ..MapRequest::anonymous(2 * PAGE, RW).fixed(top - 2 * PAGE)
    };
    map(&space, stack).unwrap();
    write(&space, top - 100 * PAGE, 1).unwrap();
    assert_eq!(space.lock().regions.find(top - 1).unwrap().pages(), 100);
    space.limits().set(Resource::Stack, 200 * PAGE, 200 * PAGE);
    assert_eq!(fault(&space, top - 201 * PAGE, FaultAccess::Write), Err((11, 1)));
    assert_eq!(fault(&space, top - 200 * PAGE, FaultAccess::Write), Ok(()));
    // A neighbour that can be accessed keeps the guard gap free.
    space.limits().set(Resource::Stack, 8 << 20, 8 << 20);
    let neighbour = top - (300 + STACK_GUARD_PAGES) * PAGE;
    map(&space, MapRequest::anonymous(PAGE, PageFlags::READ).fixed(neighbour)).unwrap();
    assert_eq!(fault(&space, top - 300 * PAGE, FaultAccess::Read), Err((11, 1)));
    assert_eq!(fault(&space, top - 299 * PAGE, FaultAccess::Read), Ok(()));
}

#[test]
fn the_break_moves_within_its_limits() {
    let space = space();
    assert_eq!(block_on(space.brk(BASE)), 0, "without a program there is no heap");
    space.lock().heap = BASE..BASE;
    assert_eq!(block_on(space.brk(0)), BASE);
    assert_eq!(block_on(space.brk(BASE + 100)), BASE + 100);
    write(&space, BASE + PAGE - 1, 9).unwrap();
    assert_eq!(block_on(space.brk(BASE + 5 * PAGE)), BASE + 5 * PAGE);
    assert_eq!(space.lock().regions.len(), 1, "the heap is one region");
    assert_eq!(block_on(space.brk(BASE + PAGE)), BASE + PAGE);
    assert_eq!(read(&space, BASE + PAGE), Err(Errno::EFAULT));
    assert_eq!(read(&space, BASE + PAGE - 1), Ok(9));
    map(&space, MapRequest::anonymous(PAGE, RW).fixed(BASE + 4 * PAGE)).unwrap();
    assert_eq!(block_on(space.brk(BASE + 4 * PAGE)), BASE + PAGE, "a page stays free behind the heap");
    assert_eq!(block_on(space.brk(BASE + 3 * PAGE)), BASE + 3 * PAGE);
    space.limits().set(Resource::Data, 2 * PAGE, 2 * PAGE);
    assert_eq!(block_on(space.brk(BASE + 3 * PAGE + 1)), BASE + 3 * PAGE);
}

#[test]
fn limits_and_impossible_places_are_told_apart() {
    let space = space();
    let anonymous = |length| MapRequest::anonymous(length, RW);
    assert_eq!(map(&space, anonymous(0)), Err(Errno::EINVAL));
    assert_eq!(map(&space, anonymous(u64::MAX)), Err(Errno::ENOMEM));
    assert_eq!(map(&space, anonymous(USER_END + PAGE)), Err(Errno::ENOMEM));
    assert_eq!(map(&space, anonymous(PAGE).fixed(BASE + 1)), Err(Errno::EINVAL));
    assert_eq!(map(&space, anonymous(PAGE).fixed(USER_END)), Err(Errno::ENOMEM));
    assert_eq!(map(&space, anonymous(PAGE).fixed(LOWEST - PAGE)), Err(Errno::EPERM));
    let overflowing = MapRequest { offset: u64::MAX, ..anonymous(PAGE) };
    assert_eq!(map(&space, overflowing), Err(Errno::EOVERFLOW));
    map(&space, anonymous(PAGE).fixed(BASE)).unwrap();
    let exclusive = MapRequest { place: Place::FixedNoReplace, ..anonymous(2 * PAGE).fixed(BASE - PAGE) };
    assert_eq!(map(&space, exclusive), Err(Errno::EEXIST));
    assert_eq!(map(&space, anonymous(1 << 40)), Err(Errno::ENOMEM), "more than the machine has");
    let huge = MapRequest { flags: RegionFlags::NO_RESERVE, ..anonymous(1 << 40) };
    assert!(map(&space, huge).is_ok());
    space.limits().set(Resource::AddressSpace, (1 << 40) + 2 * PAGE, Limits::INFINITY);
    assert_eq!(map(&space, anonymous(2 * PAGE)), Err(Errno::ENOMEM));
    assert_eq!(map(&space, anonymous(2 * PAGE).fixed(BASE)), Ok(BASE), "a page of them is replaced");
}

#[test]
fn locking_needs_room_and_mapped_pages() {
    let space = space();
    space.limits().set(Resource::LockedMemory, 3 * PAGE, 3 * PAGE);
    map(&space, MapRequest::anonymous(4 * PAGE, RW).fixed(BASE)).unwrap();
    let lock = |from: u64, to: u64| {
        block_on(space.lock_range(BASE + from * PAGE..BASE + to * PAGE, Residency::Now, false))
    };
    assert_eq!(lock(0, 4), Err(Errno::ENOMEM));
    assert_eq!(lock(0, 3), Ok(()));
    assert_eq!(lock(0, 3), Ok(()), "what is locked already counts once");
    assert_eq!(space.page_table().resident(), 3);
    assert_eq!(block_on(space.discard(BASE..BASE + PAGE)), Err(Errno::EINVAL));
    assert_eq!(block_on(space.unlock_range(BASE..BASE + 5 * PAGE)), Err(Errno::ENOMEM));
    assert_eq!(space.lock().regions.sums().locked, 0);
    assert_eq!(lock(3, 5), Err(Errno::ENOMEM));
    space.limits().set(Resource::LockedMemory, 0, 0);
    assert_eq!(lock(0, 1), Err(Errno::EPERM));
}

fn file_request(space: &Arc<AddressSpace>, file: &Arc<BytesFile>, shared: bool) -> MapRequest {
    let backing = Backing::File(file.map_for(space, shared).unwrap());
    let flags = if shared { RegionFlags::SHARED } else { RegionFlags::empty() };
    MapRequest { backing, flags, ..MapRequest::anonymous(4 * PAGE, RW) }
}

#[test]
fn file_pages_are_shared_copied_and_end_with_the_file() {
    let space = space();
    let file = BytesFile::slow(9, vec![5; 2 * PAGE as usize + 10]);
    let shared = map(&space, file_request(&space, &file, true)).unwrap();
    let private = map(&space, file_request(&space, &file, false)).unwrap();
    write(&space, private + PAGE, 1).unwrap();
    write(&space, shared, 2).unwrap();
    assert_eq!(read(&space, private), Ok(2), "a page that was not copied shows what others write");
    write(&space, shared + PAGE, 3).unwrap();
    assert_eq!(read(&space, private + PAGE), Ok(1));
    assert_eq!(read(&space, shared + 2 * PAGE + 9), Ok(5));
    assert_eq!(read(&space, shared + 2 * PAGE + 10), Ok(0));
    assert_eq!(fault(&space, shared + 3 * PAGE, FaultAccess::Read), Err((7, 2)));

    let child = fork(&space);
    assert_eq!(read(&child, shared), Ok(2));
    assert_eq!(read(&child, private + PAGE), Ok(1));
    file.truncate(PAGE as usize);
    for space in [&space, &child] {
        assert_eq!(fault(space, shared + PAGE, FaultAccess::Read), Err((7, 2)));
        assert_eq!(fault(space, private + PAGE, FaultAccess::Write), Err((7, 2)), "copies go too");
        assert_eq!(read(space, shared), Ok(2));
    }
    assert_eq!(file.mappings(), 4);
    block_on(space.unmap(shared, 4 * PAGE)).unwrap();
    drop(child);
    assert_eq!(file.mappings(), 1);
}

#[test]
fn a_futex_word_is_known_by_what_lies_behind_it() {
    let space = space();
    let file = BytesFile::new(10, vec![0; 4 * PAGE as usize]);
    let first = map(&space, file_request(&space, &file, true)).unwrap();
    let second = map(&space, MapRequest { offset: 1, ..file_request(&space, &file, true) }).unwrap();
    let key = |space: &AddressSpace, at| space.futex_key(at, FutexSharing::Shared);
    assert_eq!(key(&space, first + PAGE + 4), key(&space, second + 4));
    assert_ne!(key(&space, first + 4), key(&space, second + 4));
    let child = fork(&space);
    assert_eq!(key(&child, first + 4), key(&space, first + 4));
    map(&space, MapRequest::anonymous(PAGE, RW).fixed(BASE)).unwrap();
    assert_eq!(key(&space, BASE), Ok(FutexKey::Private { space: space.id(), address: BASE }));
    assert_eq!(key(&space, BASE + PAGE), Err(Errno::EFAULT));
    assert_ne!(space.futex_key(first, FutexSharing::Private), key(&space, first));
}

#[test]
fn a_large_mapping_goes_away_in_steps() {
    let space = space();
    let request =
        MapRequest { flags: RegionFlags::NO_RESERVE, ..MapRequest::anonymous(1 << 44, RW).fixed(BASE) };
    map(&space, request).unwrap();
    for step in 0..9 {
        write(&space, BASE + (step << 40) + step * PAGE, 1).unwrap();
    }
    block_on(space.discard(BASE..BASE + (4 << 40))).unwrap();
    assert_eq!(space.page_table().resident(), 5);
    block_on(space.unmap(BASE, 1 << 44)).unwrap();
    assert_eq!(space.page_table().resident(), 0);
    assert!(space.lock().regions.is_empty());
}

/// Threads of two processes change, touch and fork the same spaces at once: whatever happens, each read sees a
/// byte that was written there or zero, and the invariants hold afterwards.
#[test]
fn threads_fault_map_and_fork_at_once() {
    let parent = space();
    let window = 32 * PAGE;
    map(&parent, MapRequest::anonymous(window, RW).fixed(BASE)).unwrap();
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let space = parent.clone();
            std::thread::spawn(move || {
                let mut state = thread.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                let mut next = move |below: u64| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state % below
                };
                for _ in 0..300 {
                    let page = next(32);
                    let at = BASE + page * PAGE;
                    match next(8) {
                        0 => drop(map(&space, MapRequest::anonymous(PAGE, RW).fixed(at))),
                        1 => drop(block_on(space.unmap(at, PAGE))),
                        2 => drop(block_on(space.discard(at..at + PAGE))),
                        3 if next(4) == 0 => {
                            let child = fork(&space);
                            assert!(touch(&child, at, 200 + page as u8));
                        }
                        4 => {
                            let access = if next(2) == 0 { PageFlags::READ } else { RW };
                            let stretch = super::protect::Stretch::None;
                            let _ = block_on(space.protect(at, PAGE, access, stretch));
                        }
                        _ => assert!(touch(&space, at, page as u8)),
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut end = 0;
    for region in parent.lock().regions.iter() {
        assert!(end <= region.start && region.start < region.end);
        end = region.end;
        assert!(region.range().contains(&BASE) || region.start > BASE);
    }
    let outside = std::cell::Cell::new(0);
    parent.page_table().for_each(0..USER_END, &mut |page, mapped| {
        let state = parent.lock();
        let allowed = state.regions.find(page).map(super::Region::page_flags);
        outside.set(outside.get() + u32::from(!allowed.is_some_and(|flags| flags.contains(mapped.flags))));
        core::ops::ControlFlow::Continue(())
    });
    assert_eq!(outside.get(), 0, "A2: no page outside its region's rights");
}

/// Writes a byte and reads it or another page's; false when a byte of nobody was read.
fn touch(space: &AddressSpace, at: u64, value: u8) -> bool {
    if block_on(space.fault_in(at, 1, Access::Write)).is_ok() {
        space.copy_out_nofault(at, &[value]);
    }
    let mut byte = [0];
    let page = ((at - BASE) / PAGE) as u8;
    if block_on(space.fault_in(at, 1, Access::Read)).is_err() || space.copy_in_nofault(at, &mut byte) == 0 {
        return true;
    }
    byte[0] == 0 || byte[0] == page || byte[0] == 200 + page
}
