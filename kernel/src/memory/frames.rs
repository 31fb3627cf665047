//! The page frames of the machine: a buddy allocator with a cache of single frames on each CPU, and
//! the account of what is promised to the kernel heap.
//!
//! A frame is in one of four places: free in the buddy allocator, free in a CPU's cache, held by the
//! heap, or referenced by [`base::frame::Frame`]s and page-table entries. Memory that charges have set aside
//! but the heap has not taken yet is *outstanding*: allocations for user pages stop when no more
//! than that is free, so that an allocation under a charge always finds its frames.

use base::buddy::{Buddy, FrameEntry};
use base::frame::{FrameTotals, Frames, PAGE_SIZE, Reserve};
use base::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use base::sync::{CachePadded, LockClass, MAX_CPUS, PerCpu, SpinLock};
use conquer_once::spin::OnceCell;

use super::regions::Regions;
use super::{heap, physmap, reaper};

/// Frames that a CPU keeps at hand, and how many move at a time.
const CACHE: usize = 64;
const BATCH: usize = CACHE / 2;
/// Frames that stay free for what the kernel needs without a charge: one 64th of all, within these bounds.
const FLOOR: core::ops::RangeInclusive<usize> = 256..=4096;
/// What slabs waste at most, as a part of what is charged.
const SLAB_WASTE: usize = 8;

static TABLE: OnceCell<&'static [FrameEntry]> = OnceCell::uninit();
static BUDDY: SpinLock<Buddy<'static>> = SpinLock::new(LockClass::Frames, Buddy::new(&[]));
/// Mirrors the free frames in [`BUDDY`], for looks without its lock.
static FREE: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);
/// Bytes that live charges have set aside.
static PROMISED: AtomicUsize = AtomicUsize::new(0);
/// Frames that the heap holds, and how many it held when the first charge came.
static HEAP: AtomicUsize = AtomicUsize::new(0);
static HEAP_UNCHARGED: AtomicUsize = AtomicUsize::new(UNKNOWN);
const UNKNOWN: usize = usize::MAX;

struct Cache {
    numbers: [u32; CACHE],
    count: usize,
}

static CACHES: PerCpu<SpinLock<Cache>> = PerCpu::from_padded(
    [const { CachePadded(SpinLock::new(LockClass::Frames, Cache { numbers: [0; CACHE], count: 0 })) };
        MAX_CPUS],
);

/// The allocator, as [`base::frame`] knows it.
#[derive(Debug)]
pub struct KernelFrames;

/// Makes the frames of `ram` available, after taking the table of all frames below `end` out of it.
pub(super) fn init(ram: &mut Regions, end: u64) {
    let frames = (end / PAGE_SIZE as u64) as usize;
    let bytes = frames * size_of::<FrameEntry>();
    let table = ram
        .take((bytes as u64).next_multiple_of(PAGE_SIZE as u64), PAGE_SIZE as u64, u64::MAX)
        .expect("there is memory for the frame table");
    let first = physmap::frame_pointer(table / PAGE_SIZE as u64);
    // SAFETY: P1 and `take`: the frames are mapped and nobody else's; zeros are valid entries, and from
    // here on they are only used as atomics.
    let table: &'static [FrameEntry] = unsafe {
        first.write_bytes(0, bytes);
        core::slice::from_raw_parts(first.cast::<FrameEntry>(), frames)
    };
    TABLE.init_once(|| table);
    *BUDDY.lock() = Buddy::new(table);
    for range in ram.iter() {
        add(range.start / PAGE_SIZE as u64, range.end / PAGE_SIZE as u64);
    }
}

/// Adds free frames `first..end` to the machine's.
pub(super) fn add(first: u64, end: u64) {
    let mut buddy = BUDDY.lock();
    // The table has an entry for each frame, and there are fewer than 2^32 entries.
    buddy.add(first as u32, end as u32);
    TOTAL.fetch_add((end - first) as usize, Ordering::Relaxed);
    FREE.store(buddy.free_frames(), Ordering::Relaxed);
}

/// The entry of a frame of RAM.
#[inline]
pub(super) fn entry(number: u64) -> &'static FrameEntry {
    let table = TABLE.get().expect("the frame table is made first thing at boot");
    &table[number as usize]
}

/// Frames that user pages must leave.
fn outstanding() -> usize {
    let promised = PROMISED.load(Ordering::Relaxed);
    let wanted = (promised + promised / SLAB_WASTE).div_ceil(PAGE_SIZE);
    let uncharged = HEAP_UNCHARGED.load(Ordering::Relaxed);
    let taken = HEAP.load(Ordering::Relaxed).saturating_sub(uncharged);
    let floor = (TOTAL.load(Ordering::Relaxed) / 64).clamp(*FLOOR.start(), *FLOOR.end());
    wanted.saturating_sub(taken) + floor
}

/// True when at least one frame is free beyond what is outstanding.
fn beyond_reserve() -> bool {
    FREE.load(Ordering::Relaxed) > outstanding()
}

/// Takes a single frame from this CPU's cache, which is filled when it is empty.
fn take_one() -> Option<u32> {
    let mut cache = CACHES.this().lock();
    if cache.count == 0 {
        drop(cache);
        let (numbers, count) = take_batch();
        cache = CACHES.this().lock();
        cache.numbers[..BATCH].copy_from_slice(&numbers);
        cache.count = count;
    }
    cache.count = cache.count.checked_sub(1)?;
    Some(cache.numbers[cache.count])
}

fn take_batch() -> ([u32; BATCH], usize) {
    let mut numbers = [0; BATCH];
    let mut count = 0;
    let mut buddy = BUDDY.lock();
    while count < BATCH {
        let Some(number) = buddy.allocate(0) else { break };
        numbers[count] = number;
        count += 1;
    }
    FREE.store(buddy.free_frames(), Ordering::Relaxed);
    (numbers, count)
}

/// Puts a single frame into this CPU's cache, whose older half goes back when it is full.
fn give_one(number: u32) {
    let mut cache = CACHES.this().lock();
    if cache.count == CACHE {
        let mut older = [0; BATCH];
        older.copy_from_slice(&cache.numbers[..BATCH]);
        cache.numbers.copy_within(BATCH.., 0);
        cache.count = CACHE - BATCH;
        drop(cache);
        give_batch(&older);
        cache = CACHES.this().lock();
    }
    let place = cache.count;
    cache.numbers[place] = number;
    cache.count += 1;
}

fn give_batch(numbers: &[u32]) {
    let mut buddy = BUDDY.lock();
    for &number in numbers {
        buddy.free(number, 0);
    }
    FREE.store(buddy.free_frames(), Ordering::Relaxed);
}

/// Takes `pages` frames in a row for the heap. The row is aligned to its size rounded up to a power of two.
pub(super) fn allocate_run(pages: usize) -> Option<u64> {
    let order = pages.next_power_of_two().trailing_zeros() as usize;
    let number = if order == 0 {
        take_one()?
    } else {
        let mut buddy = BUDDY.lock();
        let first = buddy.allocate(order)?;
        // The tail beyond what was asked for is somebody else's memory.
        buddy.add(first + pages as u32, first + (1 << order));
        FREE.store(buddy.free_frames(), Ordering::Relaxed);
        first
    };
    HEAP.fetch_add(pages, Ordering::Relaxed);
    Some(u64::from(number))
}

/// Gives back what [`allocate_run`] gave.
pub(super) fn free_run(first: u64, pages: usize) {
    if pages == 1 {
        give_one(first as u32);
    } else {
        let mut buddy = BUDDY.lock();
        buddy.add(first as u32, first as u32 + pages as u32);
        FREE.store(buddy.free_frames(), Ordering::Relaxed);
    }
    HEAP.fetch_sub(pages, Ordering::Relaxed);
}

/// True when about `pages` frames are free: not worth trying to get them one by one otherwise.
pub(super) fn may_have(pages: usize) -> bool {
    FREE.load(Ordering::Relaxed) >= pages
}

/// Takes a single frame for a page table of the kernel or its stacks, which are never given back.
pub(super) fn allocate_for_kernel() -> Option<u64> {
    take_one().map(|number| {
        entry(u64::from(number)).count.store(1, Ordering::Relaxed);
        u64::from(number)
    })
}

/// Empties every CPU's cache: for the census, and before memory is declared to be out.
fn drain_caches() {
    for cache in CACHES.iter() {
        let mut taken = [0; CACHE];
        let mut guard = cache.lock();
        let count = guard.count;
        taken[..count].copy_from_slice(&guard.numbers[..count]);
        guard.count = 0;
        drop(guard);
        give_batch(&taken[..count]);
    }
}

/// Frames free outside caches, frames in all, frames of the heap, and bytes that charges have set aside; read
/// without a lock.
pub(super) fn figures() -> [usize; 4] {
    [&FREE, &TOTAL, &HEAP, &PROMISED].map(|figure| figure.load(Ordering::Relaxed))
}

/// Brings back memory that is free in all but name. True when that may have helped.
pub(super) fn reclaim() -> bool {
    let before = FREE.load(Ordering::Relaxed);
    while reaper::step() {}
    heap::drain();
    drain_caches();
    FREE.load(Ordering::Relaxed) > before
}

// SAFETY: F2 is P1; the buddy allocator and the caches give a frame to one owner until it is freed,
// and each frame's entry has its own counter.
unsafe impl Frames for KernelFrames {
    fn allocate(&self, reserve: Reserve) -> Option<u64> {
        if reserve == Reserve::Keep && !beyond_reserve() && !(reclaim() && beyond_reserve()) {
            return None;
        }
        let number = take_one().or_else(|| if reclaim() { take_one() } else { None })?;
        let number = u64::from(number);
        entry(number).count.store(1, Ordering::Relaxed);
        Some(number)
    }

    fn free(&self, number: u64) {
        give_one(number as u32);
    }

    #[inline]
    fn base(&self, number: u64) -> *mut u8 {
        physmap::frame_pointer(number)
    }

    #[inline]
    fn count(&self, number: u64) -> &AtomicU32 {
        &entry(number).count
    }

    fn set_aside(&self, bytes: usize) -> bool {
        if HEAP_UNCHARGED.load(Ordering::Relaxed) == UNKNOWN {
            HEAP_UNCHARGED.store(HEAP.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        // More than the machine has would overflow the sum below.
        if bytes / PAGE_SIZE >= TOTAL.load(Ordering::Relaxed) {
            return false;
        }
        PROMISED.fetch_add(bytes, Ordering::Relaxed);
        if beyond_reserve() || (reclaim() && beyond_reserve()) {
            return true;
        }
        PROMISED.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    fn put_back(&self, bytes: usize) {
        PROMISED.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn settle(&self) {
        reclaim();
    }

    fn total(&self) -> usize {
        TOTAL.load(Ordering::Relaxed)
    }

    fn totals(&self) -> FrameTotals {
        let cached = CACHES.iter().map(|cache| cache.lock().count).sum();
        let (free, total) = (FREE.load(Ordering::Relaxed), TOTAL.load(Ordering::Relaxed));
        FrameTotals { free, cached, total, heap_bytes: heap::bytes(), heap_calls: heap::calls() }
    }
}
