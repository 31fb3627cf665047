//! The slabs over a small arena of the host's memory, against a model.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::buddy::Buddy;

/// 256 frames of the host's memory under a buddy allocator.
struct Arena {
    memory: *mut u8,
    buddy: Mutex<Buddy<'static>>,
}

const FRAMES: usize = 256;
const LAYOUT: Layout = match Layout::from_size_align(FRAMES * PAGE_SIZE, PAGE_SIZE * 4) {
    Ok(layout) => layout,
    Err(_) => panic!("a constant"),
};

impl Arena {
    fn new() -> Self {
        let table: Vec<FrameEntry> = (0..FRAMES).map(|_| FrameEntry::default()).collect();
        let mut buddy = Buddy::new(Vec::leak(table));
        buddy.add(0, FRAMES as u32);
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc(LAYOUT) };
        assert!(!memory.is_null());
        Arena { memory, buddy: Mutex::new(buddy) }
    }

    fn free_frames(&self) -> usize {
        self.buddy.lock().expect("no test panics under it").free_frames()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: allocated with the same layout in `new`.
        unsafe { dealloc(self.memory, LAYOUT) };
    }
}

// SAFETY: the buddy allocator gives each frame to one owner; the arena lives as long as the slabs.
unsafe impl Blocks for Arena {
    fn allocate(&self, order: usize) -> Option<u32> {
        self.buddy.lock().expect("no test panics under it").allocate(order)
    }
    fn free(&self, number: u32, order: usize) {
        self.buddy.lock().expect("no test panics under it").free(number, order);
    }
    fn base(&self, number: u32) -> *mut u8 {
        self.memory.wrapping_add(number as usize * PAGE_SIZE)
    }
    fn number(&self, address: *mut u8) -> u32 {
        ((address.addr() - self.memory.addr()) / PAGE_SIZE) as u32
    }
    fn entry(&self, number: u32) -> &FrameEntry {
        &self.buddy.lock().expect("no test panics under it").table()[number as usize]
    }
}

#[test]
fn a_class_holds_what_it_is_asked_for() {
    for size in 0..=2048 {
        for align in [1, 2, 8, 16, 64, 256, 1024, 2048] {
            let class = class_of(size, align).expect("up to 2048 bytes are objects");
            assert!(SIZES[class] >= size && (align <= 16 || SIZES[class].is_multiple_of(align)));
        }
    }
    assert_eq!(class_of(2049, 8), None);
    assert_eq!(class_of(8, 4096), None);
    assert_eq!(class_of(17, 8), Some(1));
}

#[test]
fn objects_never_overlap_and_all_frames_come_back() {
    let slabs = Slabs::new(Arena::new());
    let mut owned: BTreeMap<usize, (*mut u8, usize)> = BTreeMap::new();
    let mut seed = 1u64;
    for _ in 0..30_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dice = (seed >> 33) as usize;
        let class = dice / 8 % SIZES.len();
        if dice.is_multiple_of(8) {
            let mut chain = slabs.take(class, 1 + dice / 256 % batch(class));
            while let Some(object) = chain.pop() {
                // SAFETY: the object is ours and this long.
                unsafe { object.write_bytes(class as u8, SIZES[class]) };
                let below = owned.range(..=object.addr()).next_back();
                assert!(below.is_none_or(|(&at, &(_, k))| at + SIZES[k] <= object.addr()));
                let above = owned.range(object.addr()..).next();
                assert!(above.is_none_or(|(&at, _)| object.addr() + SIZES[class] <= at));
                owned.insert(object.addr(), (object, class));
            }
        } else if let Some(&at) = owned.keys().nth(dice / 8 % owned.len().max(1)) {
            let (object, class) = owned.remove(&at).expect("it was listed");
            // SAFETY: the object is ours and this long; we wrote all of it.
            let bytes = unsafe { core::slice::from_raw_parts(object, SIZES[class]) };
            assert!(bytes.iter().all(|&byte| usize::from(byte) == class));
            let mut chain = Chain::new();
            // SAFETY: an object of this class, which we give up.
            unsafe { chain.push(object) };
            slabs.give(class, chain);
        }
    }
    for (object, class) in owned.into_values() {
        let mut chain = Chain::new();
        // SAFETY: an object of this class, which we give up.
        unsafe { chain.push(object) };
        slabs.give(class, chain);
    }
    slabs.drain();
    assert_eq!(slabs.frames(), 0);
    assert_eq!(slabs.blocks().free_frames(), FRAMES);
}

#[test]
fn single_frames_do_when_memory_is_in_pieces() {
    let slabs = Slabs::new(Arena::new());
    let taken: Vec<u32> = core::iter::from_fn(|| slabs.blocks().allocate(0)).collect();
    for number in taken.iter().filter(|number| number.is_multiple_of(2)) {
        slabs.blocks().free(*number, 0);
    }
    let class = class_of(2048, 8).expect("an object");
    assert_eq!(slabs.take(class, 2).length(), 2);
    assert_eq!(slabs.frames(), 1);
}

#[test]
fn an_empty_machine_gives_an_empty_chain() {
    let slabs = Slabs::new(Arena::new());
    while slabs.blocks().allocate(0).is_some() {}
    assert_eq!(slabs.take(3, 8).length(), 0);
}
