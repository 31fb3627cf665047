//! Physical and virtual memory.
//!
//! | module | subject |
//! |---|---|
//! | [`regions`] | which RAM there is at boot, and what of it is taken |
//! | [`kernel_map`] | the kernel's half of the address space |
//! | [`physmap`] | the mapping of all RAM |
//! | [`frames`] | page frames: buddy allocator, per-CPU caches, the kernel's reserve |
//! | [`heap`], [`scattered`] | the global allocator |
//! | [`table`], [`user`] | page tables of address spaces |
//! | [`spaces`] | which address space each CPU has loaded |
//! | [`shoot_down`] | making other CPUs forget translations |
//! | [`reaper`] | taking dead address spaces apart |
//! | [`TraceRange`] | the memory of the trace rings |
//!
//! Order at boot: [`init`] on the boot tables, with the first CPU's area in place; from then on there is a heap.
//! Other CPUs load [`root`] before they leave the boot tables.

pub mod frames;
pub mod heap;
pub mod kernel_map;
pub mod physmap;
pub mod reaper;
pub mod regions;
mod scattered;
pub mod shoot_down;
pub mod spaces;
mod table;
mod trace_range;
mod tree;
pub mod user;

use core::fmt;
use core::ops::Range;

use base::frame::PAGE_SIZE;
use base::sync::atomic::{AtomicBool, Ordering};

use crate::arch::boot::start_info::BootInfo;
use crate::arch::layout;
pub use kernel_map::{firmware_bytes, map_device, map_stacks};
pub use trace_range::TraceRange;

/// Memory below this belongs to the firmware and to the first steps of other CPUs.
const LOW_MEMORY: u64 = 1 << 20;

/// Leaves the boot tables for the kernel's own, sets `trace_bytes` aside for the trace rings, and makes frames and
/// heap available.
///
/// # Panics
///
/// When the machine has no memory to start with.
pub fn init(info: &BootInfo, trace_bytes: u64) {
    let mut ram = regions::Regions::new();
    for region in info.memory_map().iter().filter(|region| region.usable) {
        ram.add(region.start..region.start.saturating_add(region.length));
    }
    for region in info.memory_map().iter().filter(|region| !region.usable) {
        ram.remove(region.start..region.start.saturating_add(region.length));
    }
    let end = ram.end();
    let image = layout::image();
    ram.remove(0..LOW_MEMORY);
    ram.remove(layout::image_to_physical(image.start)..layout::image_to_physical(image.end));
    if let Some(initrd) = info.initrd() {
        ram.remove(whole_pages(initrd));
    }
    ram.shrink_to(PAGE_SIZE as u64);
    kernel_map::init(info, &mut ram);
    trace_range::reserve(&mut ram, trace_bytes);
    frames::init(&mut ram, end);
}

/// Physical address of the kernel's own root table, for the CR3 of other CPUs.
#[must_use]
pub fn root() -> u64 {
    kernel_map::root().physical()
}

/// One line on the state of memory, put together without a lock: for dumps.
#[derive(Debug)]
pub struct Summary;

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [free, total, heap, promised] = frames::figures();
        let (sent, overflows) = shoot_down::counts();
        write!(
            formatter,
            "memory: {free} of {total} frames free, heap {} bytes in {heap} frames, {promised} bytes promised, \
             {} dead spaces, {sent} shoot-downs ({overflows} found a mailbox full)",
            heap::bytes(),
            reaper::waiting(),
        )
    }
}

fn whole_pages(range: Range<u64>) -> Range<u64> {
    range.start & !(PAGE_SIZE as u64 - 1)..range.end.next_multiple_of(PAGE_SIZE as u64)
}

/// The initial ramdisk. Its memory goes to the frame allocator when the value is dropped.
#[derive(Debug)]
pub struct Initrd(Range<u64>);

impl Initrd {
    /// The ramdisk that the loader passed, if any, to the first who asks after [`init`].
    #[must_use]
    pub fn take(info: &BootInfo) -> Option<Initrd> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        info.initrd().filter(|_| !TAKEN.swap(true, Ordering::AcqRel)).map(Initrd)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let length = (self.0.end - self.0.start) as usize;
        // SAFETY: P1; the frames were left out of the allocator, so nobody writes them while `self` lives.
        unsafe { core::slice::from_raw_parts(layout::physical_to_virtual(self.0.start) as *const u8, length) }
    }
}

impl Drop for Initrd {
    fn drop(&mut self) {
        let pages = whole_pages(self.0.clone());
        frames::add(pages.start / PAGE_SIZE as u64, pages.end / PAGE_SIZE as u64);
    }
}
