//! Address spaces: which addresses a program has, what lies behind them, and how it gets there.
//!
//! An [`AddressSpace`] is an ordered map of [`Region`]s over the machine's page tables. The map
//! says what *may* be at an address; a page table entry appears at the first touch.
//!
//! | module | subject |
//! |---|---|
//! | [`space`] | the space itself: its lock, its identity, its limits |
//! | [`region`], [`region_map`] | regions, and the ordered map that splits and merges them |
//! | [`placement`] | where a mapping goes when the program does not say |
//! | [`map`], [`unmap`], [`detach`], [`protect`], [`brk`] | what the syscalls of the same names do |
//! | [`fault`] | a page that is touched and not there, or does not allow it |
//! | [`fork`] | a copy-on-write copy of a space |
//! | [`shared`], [`file`](mod@file) | what shared and file mappings are made of |
//! | [`user`] | the kernel's own copies to and from a program |
//! | [`futex_key`] | what makes two futex words the same |
//! | [`oom`] | whom to kill when a page cannot be had |
//!
//! Three invariants hold whenever the state's lock is free:
//!
//! - **A1** Regions are page-aligned, not empty, in user space, and do not overlap.
//! - **A2** A page is mapped only inside a region, and never allows more than the region does.
//! - **A3** A page that another owner can see (another space, the page cache, the zero frame) is
//!   mapped writable only in a shared region.

pub mod advise;
pub mod brk;
pub mod detach;
pub mod fault;
pub mod file;
pub mod fork;
pub mod futex_key;
pub mod lock;
pub mod map;
#[cfg(test)]
mod model;
pub mod oom;
pub mod placement;
pub mod protect;
pub mod region;
pub mod region_map;
pub mod remap;
pub mod report;
pub mod residency;
pub mod shared;
pub mod space;
#[cfg(test)]
mod tests;
pub mod unmap;
pub mod user;
pub mod vdso;

pub use fault::FaultSignal;
pub use futex_key::FutexKey;
pub use map::MapRequest;
pub use region::{Backing, Region, RegionFlags};
pub use space::AddressSpace;

/// Bytes in a page, as addresses count them.
pub const PAGE: u64 = base::frame::PAGE_SIZE as u64;

/// Regions that one space may have: `vm.max_map_count`.
pub const MAX_REGIONS: usize = 65_530;

/// Lowest address that a program may map: `vm.mmap_min_addr`.
pub const LOWEST: u64 = 65_536;

/// Pages that stay free below a region that grows down.
pub const STACK_GUARD_PAGES: u64 = 256;

/// `value` rounded down to its page.
#[must_use]
pub const fn page_floor(value: u64) -> u64 {
    value & !(PAGE - 1)
}

/// `value` rounded up to a page; `None` past the end of the address space.
#[must_use]
pub const fn page_ceiling(value: u64) -> Option<u64> {
    match value.checked_add(PAGE - 1) {
        Some(raised) => Some(page_floor(raised)),
        None => None,
    }
}

/// True when `value` is a multiple of the page size.
#[must_use]
pub const fn is_page_aligned(value: u64) -> bool {
    value & (PAGE - 1) == 0
}
