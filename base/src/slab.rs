//! The heap's size classes: objects of one size, cut out of blocks of page frames.
//!
//! ```text
//!   per-CPU list  <--take/give, a batch at a time-->  class: partial slabs  <--one block-->  frames
//! ```
//!
//! A slab is a block of one or four frames. Its free objects are a list of indexes threaded through
//! the objects themselves; what else is known about it lies in the [`FrameEntry`] of its first frame
//! (see [`crate::buddy`]), so an object's slab is found from its address alone and a slab has no
//! header. Taking and giving are O(1) for each object; a class is locked only while a batch moves.
//!
//! Invariants, cited by the `SAFETY` comments:
//!
//! - **L1** An object on a [`Chain`] or on a slab's list is owned by that list alone; its first
//!   eight bytes are the list's.
//! - **L2** [`Blocks::base`] of a block that a slab holds points to its frames, which stay mapped, and
//!   `index * size + size` of every object lies inside.

use crate::buddy::{FrameEntry, NONE};
use crate::frame::PAGE_SIZE;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{LockClass, SpinLock};

/// Object sizes of the classes, in bytes.
pub const SIZES: [usize; 24] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280,
    1536, 1792, 2048,
];

/// Objects up to this size live in slabs of one frame; larger ones in slabs of four, when there are four.
const SMALL: usize = 256;
const LARGE_ORDER: usize = 2;

/// Classes by size in units of 16 bytes, rounded up.
static CLASS_BY_UNITS: [u8; 129] = class_table();

const fn class_table() -> [u8; 129] {
    let mut table = [0; 129];
    let mut units = 0;
    let mut class = 0;
    while units < table.len() {
        if units * 16 > SIZES[class] {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
}

/// The class whose objects hold `size` bytes at `align`; `None` when that is a matter of whole frames.
#[inline]
#[must_use]
pub fn class_of(size: usize, align: usize) -> Option<usize> {
    if size > 2048 || align > 2048 {
        return None;
    }
    let mut class = CLASS_BY_UNITS[size.div_ceil(16)] as usize;
    // An object is aligned as far as its size is a multiple of a power of two.
    while align > 16 && !SIZES.get(class)?.is_multiple_of(align) {
        class += 1;
    }
    Some(class)
}

/// Order of the blocks that slabs of objects of `size` bytes are made of, when there is one.
#[must_use]
pub fn preferred_order(size: usize) -> usize {
    if size <= SMALL { 0 } else { LARGE_ORDER }
}

/// How many objects of `size` bytes a slab of 2^`order` frames holds.
#[must_use]
pub fn objects(order: usize, size: usize) -> usize {
    (PAGE_SIZE << order) / size
}

/// Objects that move between a CPU's list and the slabs at a time.
#[inline]
#[must_use]
pub fn batch(class: usize) -> usize {
    SIZES.get(class).map_or(1, |size| (4096 / size).clamp(2, 32))
}

/// Where slabs get their frames.
///
/// # Safety
///
/// `allocate` gives 2^order frames, aligned to their size, that nobody else uses until `free`; `base` points to
/// the first byte of frame `number`, at an address that is a multiple of [`PAGE_SIZE`], with the frames of a
/// block one after the other; `number` is its inverse for every address inside a block; the entries are
/// those of the frames.
pub unsafe trait Blocks {
    /// Takes a block of 2^`order` frames.
    fn allocate(&self, order: usize) -> Option<u32>;
    /// Gives a block back.
    fn free(&self, number: u32, order: usize);
    /// First byte of a frame.
    fn base(&self, number: u32) -> *mut u8;
    /// The frame that an address lies in.
    fn number(&self, address: *mut u8) -> u32;
    /// The entry of a frame.
    fn entry(&self, number: u32) -> &FrameEntry;
}

/// A list of free objects of one class, linked through their first words. Dropping it leaks them.
#[derive(Debug)]
pub struct Chain {
    head: *mut u8,
    length: usize,
}

// SAFETY: L1; the chain owns its objects, and they are plain memory.
unsafe impl Send for Chain {}

impl Chain {
    /// No objects.
    #[must_use]
    pub const fn new() -> Chain {
        Chain { head: core::ptr::null_mut(), length: 0 }
    }

    /// Number of objects.
    #[inline]
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Takes the first object off the list.
    #[inline]
    pub fn pop(&mut self) -> Option<*mut u8> {
        if self.head.is_null() {
            return None;
        }
        let object = self.head;
        // SAFETY: L1; the object's first word is the link that `push` wrote.
        self.head = unsafe { object.cast::<*mut u8>().read() };
        self.length -= 1;
        Some(object)
    }

    /// Puts an object on the list.
    ///
    /// # Safety
    ///
    /// It is an object of the chain's class, at least 8 bytes at an address aligned to 8, and the caller
    /// gives it up.
    #[inline]
    pub unsafe fn push(&mut self, object: *mut u8) {
        // SAFETY: L1, by the caller's promise.
        unsafe { object.cast::<*mut u8>().write(self.head) };
        self.head = object;
        self.length += 1;
    }

    /// Cuts off the first `count` objects.
    #[must_use]
    pub fn split(&mut self, count: usize) -> Chain {
        let mut first = Chain::new();
        while first.length < count {
            let Some(object) = self.pop() else { break };
            // SAFETY: it came off a chain of the same class just now.
            unsafe { first.push(object) };
        }
        first
    }
}

impl Default for Chain {
    fn default() -> Self {
        Chain::new()
    }
}

/// Index that ends a slab's list of free objects.
const END: u16 = u16::MAX;

/// What the entry of a slab's first frame says, packed into its words: `count` holds the objects in use and
/// the first free one. The `state` of each of its frames holds the slab's order and how many frames lie
/// before that one in the slab.
#[derive(Clone, Copy)]
struct Head {
    used: u16,
    first_free: u16,
}

impl Head {
    fn load(entry: &FrameEntry) -> Head {
        let word = entry.count.load(Ordering::Relaxed);
        Head { used: word as u16, first_free: (word >> 16) as u16 }
    }

    fn store(self, entry: &FrameEntry) {
        let word = u32::from(self.used) | u32::from(self.first_free) << 16;
        entry.count.store(word, Ordering::Relaxed);
    }
}

const ORDER_SHIFT: u32 = 8;
const BEFORE_MASK: u32 = 0xff;

#[derive(Debug)]
struct Class {
    /// First of the slabs that have free objects.
    partial: u32,
    /// Slabs in `partial` without an object in use: at most one is kept.
    empty: usize,
    /// Objects that all its slabs have room for.
    capacity: usize,
}

/// All classes over one source of frames.
#[derive(Debug)]
pub struct Slabs<B> {
    blocks: B,
    classes: [SpinLock<Class>; SIZES.len()],
    frames: AtomicUsize,
}

impl<B: Blocks> Slabs<B> {
    /// Classes without slabs.
    pub const fn new(blocks: B) -> Self {
        let classes = [const { SpinLock::new(LockClass::Heap, Class { partial: NONE, empty: 0, capacity: 0 }) };
            SIZES.len()];
        Slabs { blocks, classes, frames: AtomicUsize::new(0) }
    }

    /// Frames that slabs hold.
    pub fn frames(&self) -> usize {
        self.frames.load(Ordering::Relaxed)
    }

    /// Objects that the slabs of `class` have room for, in use or not.
    pub fn capacity(&self, class: usize) -> usize {
        self.classes.get(class).map_or(0, |class| class.lock().capacity)
    }

    /// The source of frames.
    pub fn blocks(&self) -> &B {
        &self.blocks
    }

    /// Moves up to `want` free objects of `class` onto a chain; fewer, or none, when frames run out.
    pub fn take(&self, class: usize, want: usize) -> Chain {
        let mut chain = Chain::new();
        let (Some(lock), Some(&size)) = (self.classes.get(class), SIZES.get(class)) else { return chain };
        loop {
            let mut state = lock.lock();
            while chain.length < want && state.partial != NONE {
                self.take_from(&mut state, size, want, &mut chain);
            }
            drop(state);
            // Whoever needs one object does not grow the class for the rest of the batch.
            if chain.length > 0 || want == 0 || !self.grow(lock, class, size) {
                return chain;
            }
        }
    }

    /// Takes objects from the first partial slab, which leaves the list when it has no more.
    fn take_from(&self, state: &mut Class, size: usize, want: usize, chain: &mut Chain) {
        let number = state.partial;
        let entry = self.blocks.entry(number);
        let base = self.blocks.base(number);
        let mut head = Head::load(entry);
        state.empty -= usize::from(head.used == 0);
        while chain.length < want && head.first_free != END {
            let index = usize::from(head.first_free);
            // SAFETY: L2, since indexes on a slab's list are those of its objects.
            let object = unsafe { base.add(index * size) };
            // SAFETY: L1; the first two bytes are the next index of the slab's list.
            head.first_free = unsafe { object.cast::<u16>().read() };
            head.used += 1;
            // SAFETY: it left the slab's list just now.
            unsafe { chain.push(object) };
        }
        head.store(entry);
        if head.first_free == END {
            self.unlink(state, number);
        }
    }

    /// Gives the objects of a chain back to their slabs.
    pub fn give(&self, class: usize, mut chain: Chain) {
        let (Some(lock), Some(&size)) = (self.classes.get(class), SIZES.get(class)) else { return };
        while chain.length > 0 {
            let mut state = lock.lock();
            let mut surplus = None;
            while let Some(object) = chain.pop() {
                surplus = self.give_one(&mut state, size, object);
                if surplus.is_some() {
                    break;
                }
            }
            drop(state);
            if let Some(number) = surplus {
                self.shrink(number);
            }
        }
    }

    /// Returns the slab when nobody uses it any more and the class keeps an empty one already.
    fn give_one(&self, state: &mut Class, size: usize, object: *mut u8) -> Option<u32> {
        let frame = self.blocks.number(object);
        let number = frame - (self.blocks.entry(frame).state.load(Ordering::Relaxed) & BEFORE_MASK);
        let entry = self.blocks.entry(number);
        let index = (object.addr() - self.blocks.base(number).addr()) / size;
        let mut head = Head::load(entry);
        if head.first_free == END {
            self.link(state, number);
        }
        // SAFETY: L1; the object came from a chain, so nobody else uses its bytes.
        unsafe { object.cast::<u16>().write(head.first_free) };
        head.first_free = index as u16;
        head.used -= 1;
        head.store(entry);
        if head.used > 0 {
            return None;
        }
        if state.empty == 0 {
            state.empty = 1;
            return None;
        }
        self.retire(state, number, size);
        Some(number)
    }

    /// Gives the empty slabs of every class back; returns the frames that were freed.
    pub fn drain(&self) -> usize {
        let mut freed = 0;
        for (lock, &size) in self.classes.iter().zip(&SIZES) {
            loop {
                let mut state = lock.lock();
                let mut number = if state.empty > 0 { state.partial } else { NONE };
                while number != NONE && Head::load(self.blocks.entry(number)).used > 0 {
                    number = self.blocks.entry(number).next.load(Ordering::Relaxed);
                }
                if number == NONE {
                    break;
                }
                state.empty -= 1;
                self.retire(&mut state, number, size);
                drop(state);
                freed += self.shrink(number);
            }
        }
        freed
    }

    /// Adds a slab to a class. False when there is no frame.
    fn grow(&self, lock: &SpinLock<Class>, class: usize, size: usize) -> bool {
        let preferred = preferred_order(size);
        let block = self.blocks.allocate(preferred).map(|number| (number, preferred));
        // A charge promises memory, not a run of frames: single ones must do when memory is in pieces.
        let Some((number, order)) = block.or_else(|| self.blocks.allocate(0).map(|number| (number, 0)))
        else {
            return false;
        };
        let base = self.blocks.base(number);
        let count = objects(order, size);
        for index in 0..count {
            let next = if index + 1 < count { (index + 1) as u16 } else { END };
            // SAFETY: L2; the block is new, so nobody else touches it.
            unsafe { base.add(index * size).cast::<u16>().write(next) };
        }
        for before in 0..1u32 << order {
            let state = (order as u32) << ORDER_SHIFT | before;
            self.blocks.entry(number + before).state.store(state, Ordering::Relaxed);
        }
        Head { used: 0, first_free: 0 }.store(self.blocks.entry(number));
        self.frames.fetch_add(1 << order, Ordering::Relaxed);
        debug_assert!(SIZES.get(class) == Some(&size));
        let mut state = lock.lock();
        state.empty += 1;
        state.capacity += count;
        self.link(&mut state, number);
        true
    }

    /// Takes an empty slab out of its class.
    fn retire(&self, state: &mut Class, number: u32, size: usize) {
        state.capacity -= objects(self.order(number), size);
        self.unlink(state, number);
    }

    fn order(&self, number: u32) -> usize {
        (self.blocks.entry(number).state.load(Ordering::Relaxed) >> ORDER_SHIFT) as usize
    }

    /// Frees the block of a slab that is on no list and has no object in use; returns its frames.
    fn shrink(&self, number: u32) -> usize {
        let order = self.order(number);
        for before in 0..1u32 << order {
            self.blocks.entry(number + before).state.store(0, Ordering::Relaxed);
        }
        self.blocks.free(number, order);
        self.frames.fetch_sub(1 << order, Ordering::Relaxed);
        1 << order
    }

    fn link(&self, state: &mut Class, number: u32) {
        let entry = self.blocks.entry(number);
        entry.next.store(state.partial, Ordering::Relaxed);
        entry.prev.store(NONE, Ordering::Relaxed);
        if state.partial != NONE {
            self.blocks.entry(state.partial).prev.store(number, Ordering::Relaxed);
        }
        state.partial = number;
    }

    fn unlink(&self, state: &mut Class, number: u32) {
        let entry = self.blocks.entry(number);
        let (next, prev) = (entry.next.load(Ordering::Relaxed), entry.prev.load(Ordering::Relaxed));
        if prev == NONE {
            state.partial = next;
        } else {
            self.blocks.entry(prev).next.store(next, Ordering::Relaxed);
        }
        if next != NONE {
            self.blocks.entry(next).prev.store(prev, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
