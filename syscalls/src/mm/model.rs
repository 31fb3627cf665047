//! The space against a model that is too simple to be wrong: an array of pages.
//!
//! A model page is a cell with one byte; private pages own theirs, shared ones share it. After every sequence
//! of mappings, protections, moves, forks and accesses, program and model see the same bytes and permissions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base::caller::Limits;
use base::charge::Account;
use base::memory::{Access, UserMemory};
use base::{Errno, Result};
use proptest::prelude::*;

use super::protect::Stretch;
use super::region::{Backing, RegionFlags};
use super::remap::{RemapRequest, Target};
use super::shared::SharedMemory;
use super::{AddressSpace, MapRequest, PAGE};
use crate::host::{self, block_on};
use crate::machine::PageFlags;

const BASE: u64 = 0x10_0000_0000;
const WINDOW: u64 = 24;

#[derive(Clone, Copy, Debug)]
enum Step {
    Map {
        at: u64,
        pages: u64,
        access: PageFlags,
        shared: bool,
    },
    Unmap {
        at: u64,
        pages: u64,
    },
    Protect {
        at: u64,
        pages: u64,
        access: PageFlags,
    },
    Move {
        from: u64,
        old: u64,
        new: u64,
        to: u64,
        keep: bool,
    },
    Discard {
        at: u64,
        pages: u64,
    },
    Write {
        at: u64,
        value: u8,
    },
    Read {
        at: u64,
    },
    /// Fork, and go on in parent or child; the other one is kept and compared at the end.
    Fork {
        child: bool,
    },
    Swap,
}

fn access() -> impl Strategy<Value = PageFlags> {
    (0u8..8).prop_map(PageFlags::from_bits_truncate)
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..WINDOW;
    let pages = || 1..7u64;
    prop_oneof![
        3 => (at(), pages(), access(), any::<bool>())
            .prop_map(|(at, pages, access, shared)| Step::Map { at, pages, access, shared }),
        1 => (at(), pages()).prop_map(|(at, pages)| Step::Unmap { at, pages }),
        2 => (at(), pages(), access()).prop_map(|(at, pages, access)| Step::Protect { at, pages, access }),
        2 => (at(), 0..5u64, pages(), at(), any::<bool>())
            .prop_map(|(from, old, new, to, keep)| Step::Move { from, old, new, to, keep }),
        1 => (at(), pages()).prop_map(|(at, pages)| Step::Discard { at, pages }),
        6 => (at(), any::<u8>()).prop_map(|(at, value)| Step::Write { at, value }),
        3 => at().prop_map(|at| Step::Read { at }),
        1 => any::<bool>().prop_map(|child| Step::Fork { child }),
        1 => Just(Step::Swap),
    ]
}

/// The object behind a shared mapping: cells by index, made at the first touch.
type Object = Arc<Mutex<BTreeMap<u64, u8>>>;

#[derive(Clone)]
enum Cell {
    Private(u8),
    /// Object, its number of pages, index.
    Shared(Object, u64, u64),
}

#[derive(Clone)]
struct Page {
    access: PageFlags,
    cell: Cell,
    /// Which mapping it belongs to, as far as mremap cares: pages of one region are alike.
    kind: u64,
}

#[derive(Clone, Default)]
struct Model {
    pages: BTreeMap<u64, Page>,
}

impl Model {
    fn read(&self, at: u64) -> Result<u8> {
        let page = self.pages.get(&at).ok_or(Errno::EFAULT)?;
        if page.access.is_empty() {
            return Err(Errno::EFAULT);
        }
        match &page.cell {
            Cell::Private(value) => Ok(*value),
            Cell::Shared(_, size, index) if index >= size => Err(Errno::EFAULT),
            Cell::Shared(object, _, index) => Ok(object.lock().unwrap().get(index).copied().unwrap_or(0)),
        }
    }

    fn write(&mut self, at: u64, value: u8) -> Result<()> {
        let page = self.pages.get_mut(&at).ok_or(Errno::EFAULT)?;
        if !page.access.contains(PageFlags::WRITE) {
            return Err(Errno::EFAULT);
        }
        match &mut page.cell {
            Cell::Private(cell) => *cell = value,
            Cell::Shared(_, size, index) if *index >= *size => return Err(Errno::EFAULT),
            Cell::Shared(object, _, index) => {
                object.lock().unwrap().insert(*index, value);
            }
        }
        Ok(())
    }

    /// Where the run of pages that mremap takes for one mapping ends: alike, and of one object in order.
    fn run_end(&self, from: u64) -> u64 {
        let mut end = from + 1;
        while let (Some(a), Some(b)) = (self.pages.get(&(end - 1)), self.pages.get(&end)) {
            let continues = match (&a.cell, &b.cell) {
                (Cell::Private(_), Cell::Private(_)) => true,
                (Cell::Shared(x, _, i), Cell::Shared(y, _, j)) => Arc::ptr_eq(x, y) && i + 1 == *j,
                _ => false,
            };
            if a.access != b.access || a.kind != b.kind || !continues {
                break;
            }
            end += 1;
        }
        end
    }

    fn protect(&mut self, at: u64, pages: u64, access: PageFlags) -> Result<()> {
        for index in at..at + pages {
            self.pages.get_mut(&index).ok_or(Errno::ENOMEM)?.access = access;
        }
        Ok(())
    }

    fn remap(&mut self, from: u64, old: u64, new: u64, to: u64, keep: bool) -> Result<()> {
        self.pages.get(&from).ok_or(Errno::EFAULT)?;
        if from + old > to && to + new > from {
            return Err(Errno::EINVAL);
        }
        for index in to..to + new {
            self.pages.remove(&index);
        }
        for index in from + new.min(old)..from + old {
            self.pages.remove(&index);
        }
        // With no old length the target may have replaced the very pages.
        let first = self.pages.get(&from).ok_or(Errno::EFAULT)?.clone();
        let old = old.min(new);
        if old == 0 && matches!(first.cell, Cell::Private(_)) {
            return Err(Errno::EINVAL);
        }
        if self.run_end(from) - from < old {
            return Err(Errno::EFAULT);
        }
        for offset in 0..new {
            let mut page = first.clone();
            page.cell = match &first.cell {
                Cell::Shared(object, size, index) => Cell::Shared(object.clone(), *size, index + offset),
                Cell::Private(_) if offset < old => match self.pages.get(&(from + offset)) {
                    Some(Page { cell: Cell::Private(value), .. }) => Cell::Private(*value),
                    _ => return Err(Errno::EFAULT),
                },
                Cell::Private(_) => Cell::Private(0),
            };
            self.pages.insert(to + offset, page);
        }
        for index in from..from + old {
            if !keep {
                self.pages.remove(&index);
            } else if let Some(Page { cell: Cell::Private(value), .. }) = self.pages.get_mut(&index) {
                *value = 0;
            }
        }
        Ok(())
    }
}

struct World {
    space: Arc<AddressSpace>,
    model: Model,
}

fn address(page: u64) -> u64 {
    BASE + page * PAGE
}

fn read(space: &AddressSpace, at: u64) -> Result<u8> {
    let mut byte = [0];
    block_on(space.fault_in(address(at) + 7, 1, Access::Read))?;
    assert_eq!(
        space.copy_in_nofault(address(at) + 7, &mut byte),
        1,
        "a page that was faulted in can be read"
    );
    Ok(byte[0])
}

fn write(space: &AddressSpace, at: u64, value: u8) -> Result<()> {
    block_on(space.fault_in(address(at) + 7, 1, Access::Write))?;
    assert_eq!(
        space.copy_out_nofault(address(at) + 7, &[value]),
        1,
        "a page that was faulted in can be written"
    );
    Ok(())
}

impl World {
    fn new() -> World {
        host::install();
        let space = AddressSpace::new(Arc::new(Limits::initial(100)), Account::new()).unwrap();
        World { space, model: Model::default() }
    }

    fn fork(&self) -> World {
        let space = block_on(self.space.fork(Arc::new(Limits::initial(100)), Account::new())).unwrap();
        World { space, model: self.model.clone() }
    }

    fn map(&mut self, at: u64, pages: u64, access: PageFlags, shared: bool) {
        let object: Object = Object::default();
        let mut request = MapRequest::anonymous(pages * PAGE, access).fixed(address(at));
        if shared {
            request.flags = RegionFlags::SHARED;
            request.backing = Backing::Shared(SharedMemory::new(pages));
        }
        assert_eq!(block_on(self.space.map(request)), Ok(address(at)));
        for offset in 0..pages {
            let cell = if shared { Cell::Shared(object.clone(), pages, offset) } else { Cell::Private(0) };
            self.model.pages.insert(at + offset, Page { access, cell, kind: u64::from(shared) });
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Map { at, pages, access, shared } => self.map(at, pages, access, shared),
            Step::Unmap { at, pages } => {
                assert_eq!(block_on(self.space.unmap(address(at), pages * PAGE)), Ok(()));
                self.model.pages.retain(|index, _| !(at..at + pages).contains(index));
            }
            Step::Protect { at, pages, access } => {
                let got = block_on(self.space.protect(address(at), pages * PAGE, access, Stretch::None));
                assert_eq!(got, self.model.protect(at, pages, access));
            }
            Step::Move { from, old, new, to, keep } => {
                let keep = keep && old == new;
                let target = if keep { Target::BesideAt(address(to)) } else { Target::At(address(to)) };
                let request = RemapRequest {
                    address: address(from),
                    old_length: old * PAGE,
                    new_length: new * PAGE,
                    target,
                    may_exceed_lock_limit: false,
                };
                let got = block_on(self.space.remap(request));
                let expected = self.model.remap(from, old, new, to, keep).map(|()| address(to));
                assert_eq!(got, expected);
            }
            Step::Discard { at, pages } => {
                let _ = block_on(self.space.discard(address(at)..address(at + pages)));
                for index in at..at + pages {
                    if let Some(Page { cell: Cell::Private(value), .. }) = self.model.pages.get_mut(&index) {
                        *value = 0;
                    }
                }
            }
            Step::Write { at, value } => {
                assert_eq!(write(&self.space, at, value), self.model.write(at, value), "write to page {at}");
            }
            Step::Read { at } => assert_eq!(read(&self.space, at), self.model.read(at), "page {at}"),
            Step::Fork { .. } | Step::Swap => {}
        }
    }

    fn compare(&self) {
        for at in 0..WINDOW + 8 {
            let region = self.space.lock().regions.find(address(at)).map(|region| region.access);
            assert_eq!(region, self.model.pages.get(&at).map(|page| page.access), "page {at}");
            assert_eq!(read(&self.space, at), self.model.read(at), "page {at}");
        }
        let state = self.space.lock();
        let total: u64 = state.regions.iter().map(super::Region::pages).sum();
        assert_eq!(state.regions.sums().total, total);
        let mut end = 0;
        for region in state.regions.iter() {
            assert!(end <= region.start && region.start < region.end, "A1: {region:?}");
            end = region.end;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_space_behaves_as_an_array_of_pages(steps in prop::collection::vec(step(), 1..40)) {
        let mut worlds = vec![World::new()];
        let mut current = 0;
        for step in steps {
            match step {
                Step::Fork { child } if worlds.len() < 4 => {
                    let fork = worlds[current].fork();
                    worlds.push(fork);
                    if child {
                        current = worlds.len() - 1;
                    }
                }
                Step::Swap => current = (current + 1) % worlds.len(),
                step => worlds[current].take(step),
            }
        }
        for world in &worlds {
            world.compare();
        }
    }
}
