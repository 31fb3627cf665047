//! The kernel's half of the address space: the physmap, the kernel image with each section's own rights,
//! device registers, and stacks with guard pages.
//!
//! The root made here is the kernel's own address space; the roots of address spaces copy its upper half once,
//! so every entry of the root that will ever be used is made at boot. Nothing mapped here is ever unmapped but the
//! heap's scattered pieces ([`super::scattered`]).

use core::ops::Range;

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use conquer_once::spin::OnceCell;
use x86_64::registers::model_specific::{Efer, EferFlags};

use super::regions::Regions;
use super::table::{
    GLOBAL, LARGE, NO_EXECUTE, PAGE, PRESENT, SPAN, Table, UNCACHED, WRITABLE, address_bits, coverage,
};
use super::{frames, physmap, scattered};
use crate::arch::boot::start_info::BootInfo;
use crate::arch::layout::{self, PHYSMAP_BASE};
use crate::arch::stacks;

/// Where stacks are mapped; the entry of the root that covers it is made at boot.
const STACKS_BASE: u64 = 0xffff_e000_0000_0000;
/// The page of every CPU's local APIC, which end-of-interrupt and panics write through the physmap.
const LOCAL_APIC: u64 = 0xfee0_0000;
/// What the boot tables show of the physmap.
const BOOT_REACH: u64 = 4 << 30;
const DATA: u64 = PRESENT | WRITABLE | NO_EXECUTE | GLOBAL;
const CONSTANT: u64 = PRESENT | NO_EXECUTE | GLOBAL;
const CODE: u64 = PRESENT | GLOBAL;

static ROOT: OnceCell<Table> = OnceCell::uninit();
static CHANGES: SpinLock<()> = SpinLock::new(LockClass::PageTable, ());
static NEXT_STACK: AtomicU64 = AtomicU64::new(STACKS_BASE);

/// The kernel's own root.
pub(super) fn root() -> Table {
    *ROOT.get().expect("the kernel's tables are made first thing at boot")
}

/// Builds the kernel's tables from frames of `ram` and runs on them. What was mapped at 0 is gone afterwards.
pub(super) fn init(info: &BootInfo, ram: &mut Regions) {
    let mut builder = Builder::new(|| ram.take(PAGE, PAGE, BOOT_REACH).map(|address| address / PAGE));
    builder.map_physmap(info);
    builder.map_image();
    builder.map_page(PHYSMAP_BASE + LOCAL_APIC, LOCAL_APIC, DATA | UNCACHED);
    builder.lower(STACKS_BASE, 4);
    for address in (scattered::BASE..scattered::END).step_by(coverage(4) as usize) {
        builder.lower(address, 4);
    }
    let root = builder.root;
    ROOT.init_once(|| root);
    // SAFETY: sets a bit that every processor of this architecture has; the tables just made use it.
    unsafe { Efer::update(|flags| flags.insert(EferFlags::NO_EXECUTE_ENABLE)) };
    // SAFETY: the tables map the code that runs, its data and its stack where the boot tables did.
    unsafe { load(root) };
}

/// Makes `root` this CPU's page table.
///
/// # Safety
///
/// Its upper half is the kernel's, and it lives until this CPU has left it.
#[inline]
pub(super) unsafe fn load(root: Table) {
    // SAFETY: the caller's promise. Bits 3 and 4 of CR3 stay clear: the tables are cached.
    unsafe { core::arch::asm!("mov cr3, {}", in(reg) root.physical(), options(nostack, preserves_flags)) };
}

/// Builds or extends the kernel's half.
struct Builder<A: FnMut() -> Option<u64>> {
    root: Table,
    /// Gives frames for tables.
    frame: A,
}

impl<A: FnMut() -> Option<u64>> Builder<A> {
    fn new(mut frame: A) -> Self {
        let root = new_table(&mut frame);
        Builder { root, frame }
    }

    /// The table below the entry for `address` in the tree's tables of `level`, made if need be.
    fn lower(&mut self, address: u64, level: u32) -> Table {
        let mut table = self.root;
        for above in (level..=4).rev() {
            table = match table.child(address, above) {
                Some(child) => child,
                None => {
                    let child = new_table(&mut self.frame);
                    let bits = address_bits(child.number()) | PRESENT | WRITABLE;
                    table.entry(address, above).store(bits, Ordering::Release);
                    child
                }
            };
        }
        table
    }

    fn map_page(&mut self, address: u64, physical: u64, bits: u64) {
        self.lower(address, 2).entry(address, 1).store(physical | bits, Ordering::Release);
    }

    fn map_large(&mut self, address: u64, physical: u64, bits: u64) {
        let table = self.lower(address, 3);
        let entry = table.entry(address, 2);
        if entry.load(Ordering::Relaxed) == 0 {
            entry.store(physical | bits | LARGE, Ordering::Release);
        }
    }

    /// All RAM in pages of 2 MiB, widened to whole ones: firmware tables lie right behind RAM. Where the
    /// kernel's code and constants lie, in pages of 4 KiB, so that they can't be written here either.
    fn map_physmap(&mut self, info: &BootInfo) {
        let image = layout::image();
        let image = layout::image_to_physical(image.start)..layout::image_to_physical(image.end);
        let constant = layout::image_to_physical(layout::text().start)
            ..layout::image_to_physical(layout::rodata().end.max(layout::text().end));
        for region in info.memory_map().iter().filter(|region| region.usable) {
            let end = region.start.saturating_add(region.length);
            let mut address = region.start & !(SPAN - 1);
            while address < end {
                if address < image.end && image.start < address + SPAN {
                    for page in (address..address + SPAN).step_by(PAGE as usize) {
                        let bits = if constant.contains(&page) { CONSTANT } else { DATA };
                        self.map_page(PHYSMAP_BASE + page, page, bits);
                    }
                } else {
                    self.map_large(PHYSMAP_BASE + address, address, DATA);
                }
                address += SPAN;
            }
        }
        // Legacy firmware tables and the page on which other CPUs start.
        self.map_large(PHYSMAP_BASE, 0, DATA);
    }

    fn map_image(&mut self) {
        self.map_section(layout::text(), CODE);
        self.map_section(layout::rodata(), CONSTANT);
        self.map_section(layout::data(), DATA);
        for guard in stacks::guard_pages() {
            self.lower(guard, 2).entry(guard, 1).store(0, Ordering::Release);
        }
    }

    fn map_section(&mut self, section: Range<u64>, bits: u64) {
        for address in section.step_by(PAGE as usize) {
            self.map_page(address, layout::image_to_physical(address), bits);
        }
    }
}

fn new_table(frame: &mut impl FnMut() -> Option<u64>) -> Table {
    let number = frame().expect("there is memory for the kernel's tables");
    // SAFETY: F2/P1; before the final tables stand, the boot tables show the same for the first 4 GiB. The
    // frame is new and the kernel's tables are never freed, so T1 holds for ever.
    unsafe {
        physmap::frame_pointer(number).write_bytes(0, PAGE as usize);
        Table::new(number)
    }
}

/// Maps device registers into the physmap, uncached, and returns where they are.
pub fn map_device(physical: u64, bytes: usize) -> *mut u8 {
    let _changes = CHANGES.lock();
    let mut builder = Builder { root: root(), frame: frames::allocate_for_kernel };
    let first = physical & !(PAGE - 1);
    for page in (first..physical + bytes as u64).step_by(PAGE as usize) {
        let address = PHYSMAP_BASE + page;
        let large = builder.lower(address, 3).entry(address, 2).load(Ordering::Relaxed) & LARGE != 0;
        // A device inside a widened page of RAM stays as it is mapped: QEMU has none there.
        if !large {
            builder.map_page(address, page, DATA | UNCACHED);
        }
    }
    layout::physical_to_virtual(physical) as *mut u8
}

/// Bytes of physical memory that the firmware wrote, such as ACPI tables. `None` when the range can't be
/// meant: beyond 1 TiB, or longer than 16 MiB.
#[must_use]
pub fn firmware_bytes(physical: u64, bytes: usize) -> Option<&'static [u8]> {
    let end = physical.checked_add(bytes as u64)?;
    if end > 1 << 40 || bytes > 16 << 20 || physical == 0 {
        return None;
    }
    let _changes = CHANGES.lock();
    let mut builder = Builder { root: root(), frame: frames::allocate_for_kernel };
    for page in (physical & !(PAGE - 1)..end).step_by(PAGE as usize) {
        let address = PHYSMAP_BASE + page;
        let middle = builder.lower(address, 3).entry(address, 2).load(Ordering::Relaxed);
        let mapped = middle & LARGE != 0
            || middle & PRESENT != 0
                && builder.lower(address, 2).entry(address, 1).load(Ordering::Relaxed) & PRESENT != 0;
        if !mapped {
            builder.map_page(address, page, CONSTANT);
        }
    }
    // SAFETY: just mapped, or P1; the firmware's tables are not written any more.
    Some(unsafe { core::slice::from_raw_parts(layout::physical_to_virtual(physical) as *const u8, bytes) })
}

/// Maps a block of `bytes` for stacks, all pages but those that `guard` picks by their offset. `None` when memory
/// is out. A block is never unmapped.
pub fn map_stacks(bytes: u64, guard: impl Fn(u64) -> bool) -> Option<u64> {
    let block = NEXT_STACK.fetch_add(bytes.next_multiple_of(SPAN), Ordering::Relaxed);
    let _changes = CHANGES.lock();
    let mut builder = Builder { root: root(), frame: frames::allocate_for_kernel };
    for offset in (0..bytes).step_by(PAGE as usize).filter(|&offset| !guard(offset)) {
        let number = frames::allocate_for_kernel()?;
        builder.map_page(block + offset, address_bits(number), DATA);
    }
    Some(block)
}

/// Maps a page of the heap's scattered pieces. The frames of the tables count as the heap's. False when there is
/// no frame for a table.
pub(super) fn map_scattered(address: u64, bits: u64) -> bool {
    let _changes = CHANGES.lock();
    let mut table = root();
    for level in [4, 3, 2] {
        table = match table.child(address, level) {
            Some(child) => child,
            None => {
                let Some(number) = frames::allocate_run(1) else { return false };
                let child = new_table(&mut || Some(number));
                let bits = address_bits(number) | PRESENT | WRITABLE;
                table.entry(address, level).store(bits, Ordering::Release);
                child
            }
        };
    }
    table.entry(address, 1).store(bits, Ordering::Release);
    true
}

/// Takes the lowest table that covers `address`, one of a scattered piece, out of the tree.
pub(super) fn take_scattered_table(address: u64) -> Option<Table> {
    let _changes = CHANGES.lock();
    let table = root().child(address, 4)?.child(address, 3)?;
    let lowest = table.child(address, 2)?;
    table.entry(address, 2).store(0, Ordering::Release);
    Some(lowest)
}

/// Copies the kernel's half of the root into that of a new address space.
pub(super) fn copy_upper_half(into: Table) {
    let (from, to) = (root(), into);
    for (source, target) in from.entries()[256..].iter().zip(&to.entries()[256..]) {
        target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
