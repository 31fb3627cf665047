//! The kernel heap: per-CPU lists of free objects over the slabs of [`base::slab`], whole frames for what is
//! larger.
//!
//! Invariant **H1**: a CPU's lists are used by that CPU alone, with interrupts off or from an interrupt
//! handler, and handlers never interrupt kernel code (rule 2 of the house). So nobody finds a list half
//! changed, and no lock is needed.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

use base::buddy::{FrameEntry, MAX_ORDER};
use base::frame::PAGE_SIZE;
use base::slab::{Blocks, Chain, SIZES, Slabs, batch, class_of};
use base::sync::atomic::{AtomicIsize, Ordering};
use base::sync::{CachePadded, MAX_CPUS, PerCpu};

use super::{frames, physmap, scattered};
use crate::arch::cpu_area::CpuArea;

#[derive(Debug)]
struct HeapFrames;

// SAFETY: the frame allocator gives a frame to one owner; P1 keeps its frames mapped in a row, and
// `frame_number` is the inverse of `frame_pointer`.
unsafe impl Blocks for HeapFrames {
    fn allocate(&self, order: usize) -> Option<u32> {
        frames::allocate_run(1 << order).map(|number| number as u32)
    }
    fn free(&self, number: u32, order: usize) {
        frames::free_run(u64::from(number), 1 << order);
    }
    fn base(&self, number: u32) -> *mut u8 {
        physmap::frame_pointer(u64::from(number))
    }
    fn number(&self, address: *mut u8) -> u32 {
        physmap::frame_number(address) as u32
    }
    fn entry(&self, number: u32) -> &FrameEntry {
        frames::entry(u64::from(number))
    }
}

struct CpuHeap {
    lists: UnsafeCell<[Chain; SIZES.len()]>,
    /// Allocations on this CPU.
    calls: AtomicIsize,
    /// Objects of each class allocated minus those freed on this CPU: only the sum over all CPUs means
    /// something.
    objects: [AtomicIsize; SIZES.len()],
    /// The same for the frames of what is larger.
    pages: AtomicIsize,
}

// SAFETY: H1.
unsafe impl Sync for CpuHeap {}

static SLABS: Slabs<HeapFrames> = Slabs::new(HeapFrames);
static CPUS: PerCpu<CpuHeap> = PerCpu::from_padded(
    [const {
        CachePadded(CpuHeap {
            lists: UnsafeCell::new([const { Chain::new() }; SIZES.len()]),
            calls: AtomicIsize::new(0),
            objects: [const { AtomicIsize::new(0) }; SIZES.len()],
            pages: AtomicIsize::new(0),
        })
    }; MAX_CPUS],
);

/// The lists of the CPU that runs this code.
#[inline]
fn this_cpu() -> &'static CpuHeap {
    // The masked index stays in range, which spares a branch on the hot path.
    CPUS.get(CpuArea::current().index() % MAX_CPUS).expect("an index below MAX_CPUS")
}

/// Adds to a counter that only this CPU writes: no read-modify-write is needed.
#[inline]
fn count(counter: &AtomicIsize, by: isize) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

impl CpuHeap {
    #[inline]
    fn allocate(&self, class: usize) -> *mut u8 {
        // SAFETY: H1; the reference ends before anything else can look at the lists.
        let object = unsafe { (&mut *self.lists.get())[class].pop() };
        match object.or_else(|| self.refill(class)) {
            Some(object) => {
                count(&self.objects[class], 1);
                object
            }
            None => null_mut(),
        }
    }

    #[cold]
    fn refill(&self, class: usize) -> Option<*mut u8> {
        let mut chain = SLABS.take(class, batch(class));
        if chain.length() == 0 {
            frames::reclaim();
            chain = SLABS.take(class, batch(class));
        }
        let object = chain.pop();
        // SAFETY: H1. The list was empty, and nothing in between has used this CPU's lists but to empty them.
        unsafe { (&mut *self.lists.get())[class] = chain };
        object
    }

    /// # Safety
    ///
    /// `object` is of this class, and the caller gives it up.
    #[inline]
    unsafe fn free(&self, class: usize, object: *mut u8) {
        count(&self.objects[class], -1);
        // SAFETY: H1, as in `allocate`.
        let list = unsafe { &mut (&mut *self.lists.get())[class] };
        // SAFETY: the caller's promise; every class is a multiple of 16 bytes at multiples of 16.
        unsafe { list.push(object) };
        if list.length() > 2 * batch(class) {
            SLABS.give(class, list.split(batch(class)));
        }
    }
}

/// The allocator behind `alloc`.
#[derive(Debug)]
pub struct KernelHeap;

#[global_allocator]
static HEAP: KernelHeap = KernelHeap;

/// Frames of an allocation that is no object of a class.
fn pages(layout: Layout) -> usize {
    // A row of frames is aligned to its size, so a wide alignment asks for a long row.
    layout.size().max(if layout.align() > PAGE_SIZE { layout.align() } else { 1 }).div_ceil(PAGE_SIZE)
}

// SAFETY: objects and rows of frames are disjoint, as long and as aligned as the layout asks (class_of, pages),
// and stay the caller's until they are freed with the same layout.
unsafe impl GlobalAlloc for KernelHeap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&this_cpu().calls, 1);
        match class_of(layout.size(), layout.align()) {
            Some(class) => this_cpu().allocate(class),
            None => allocate_large(pages(layout)),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        match class_of(layout.size(), layout.align()) {
            // SAFETY: the caller's promise is that of `GlobalAlloc`.
            Some(class) => unsafe { this_cpu().free(class, object) },
            None => {
                free_large(object, pages(layout));
            }
        }
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that makes a valid layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let (old, new) = (class_of(layout.size(), layout.align()), class_of(size, layout.align()));
        if old == new && (old.is_some() || pages(layout) == pages(wanted)) {
            return object;
        }
        // SAFETY: both layouts are valid, the copy fits both, and the two places differ.
        unsafe {
            let place = self.alloc(wanted);
            if !place.is_null() {
                place.copy_from_nonoverlapping(object, layout.size().min(size));
                self.dealloc(object, layout);
            }
            place
        }
    }
}

/// Whole frames: a row of them if there is one, else as many single ones.
#[cold]
fn allocate_large(pages: usize) -> *mut u8 {
    let in_a_row = pages <= 1 << MAX_ORDER;
    let row = if in_a_row { frames::allocate_run(pages) } else { None };
    let mut object = row.map_or(null_mut(), physmap::frame_pointer);
    if object.is_null() && frames::may_have(pages) {
        object = scattered::allocate(pages);
    }
    if object.is_null() && frames::reclaim() && frames::may_have(pages) {
        object = scattered::allocate(pages);
    }
    if !object.is_null() {
        count(&this_cpu().pages, pages as isize);
    }
    object
}

#[cold]
fn free_large(object: *mut u8, pages: usize) {
    count(&this_cpu().pages, -(pages as isize));
    if scattered::contains(object) {
        scattered::free(object, pages);
    } else {
        frames::free_run(physmap::frame_number(object), pages);
    }
}

/// A size class, as `/proc/slabinfo` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassUse {
    /// Bytes of an object.
    pub size: usize,
    /// Objects that are allocated now.
    pub in_use: usize,
    /// Objects that its slabs have room for, those on the CPUs' lists among them.
    pub capacity: usize,
}

/// The size classes, smallest first.
pub fn classes() -> impl Iterator<Item = ClassUse> {
    SIZES.iter().enumerate().map(|(class, &size)| {
        let in_use = sum(|cpu| &cpu.objects[class]);
        ClassUse { size, in_use, capacity: SLABS.capacity(class).max(in_use) }
    })
}

/// Frames of what is larger than any class.
pub fn large_pages() -> usize {
    sum(|cpu| &cpu.pages)
}

/// Bytes that are allocated now, as the size classes round them.
#[must_use]
pub fn bytes() -> usize {
    let small: usize = classes().map(|class| class.in_use * class.size).sum();
    small + large_pages() * PAGE_SIZE
}

/// A counter over all CPUs. Another CPU may be in the middle of moving an object: never below 0.
fn sum(counter: impl Fn(&CpuHeap) -> &AtomicIsize) -> usize {
    let sum: isize = CPUS.iter().map(|cpu| counter(cpu).load(Ordering::Relaxed)).sum();
    usize::try_from(sum).unwrap_or(0)
}

/// Allocations since boot.
pub fn calls() -> usize {
    let sum: isize = CPUS.iter().map(|cpu| cpu.calls.load(Ordering::Relaxed)).sum();
    usize::try_from(sum).unwrap_or(0)
}

/// Gives this CPU's free objects and all empty slabs back to the frames.
pub fn drain() {
    for class in 0..SIZES.len() {
        // SAFETY: H1, as in `CpuHeap::allocate`.
        let list = unsafe { &mut (&mut *this_cpu().lists.get())[class] };
        SLABS.give(class, list.split(usize::MAX));
    }
    SLABS.drain();
}
