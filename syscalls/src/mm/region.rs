//! A region: a run of pages with one purpose, one protection and one backing.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;

use base::frame::Frame;

use super::PAGE;
use super::file::FileMapping;
use super::shared::SharedMemory;
use crate::machine::PageFlags;

bitflags::bitflags! {
    /// What kind of region it is, beside its protection.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RegionFlags: u32 {
        /// Writes are seen by everybody who maps the same pages.
        const SHARED = 1 << 0;
        /// Grows towards lower addresses when the page below is touched.
        const GROWS_DOWN = 1 << 1;
        /// Its pages are to stay resident (mlock(2)); nothing is ever swapped, so this only counts.
        const LOCKED = 1 << 2;
        /// With LOCKED: made resident at the first touch and not before (`MLOCK_ONFAULT`).
        const LOCK_ON_FAULT = 1 << 3;
        /// Not counted against the commit limit.
        const NO_RESERVE = 1 << 4;
        /// A child of fork does not get it.
        const DONT_FORK = 1 << 5;
        /// A child of fork gets it empty.
        const WIPE_ON_FORK = 1 << 6;
        /// Left out of core dumps; kept so that smaps can show it.
        const DONT_DUMP = 1 << 7;
        /// May not be enlarged by mremap(2).
        const DONT_EXPAND = 1 << 8;
        /// May hold private copies of pages, which fork must copy. Does not keep regions apart.
        const HAS_COPIES = 1 << 9;
        /// Expected to be read in order; kept so that smaps can show it.
        const SEQUENTIAL = 1 << 10;
        /// Expected to be read in no order.
        const RANDOM = 1 << 11;
    }
}

/// What lies behind the pages of a region.
#[derive(Clone)]
pub enum Backing {
    /// Zeros at the first touch, then the program's own.
    Anonymous,
    /// Memory shared with the children that inherit the mapping.
    Shared(Arc<SharedMemory>),
    /// Pages of a file.
    File(Arc<FileMapping>),
    /// Frames that the kernel shows to every program: the vDSO and its data.
    Kernel(KernelPages),
}

/// Frames that belong to the kernel and that programs may look at.
#[derive(Clone, Copy)]
pub struct KernelPages {
    /// Name in `/proc/<pid>/maps`, with its brackets.
    pub name: &'static str,
    /// The frames, in order.
    pub frames: &'static [Frame],
}

impl Backing {
    /// True when both are the same object, so that neighbouring offsets are neighbouring pages.
    #[must_use]
    pub fn is_same(&self, other: &Backing) -> bool {
        match (self, other) {
            (Backing::Anonymous, Backing::Anonymous) => true,
            (Backing::Shared(a), Backing::Shared(b)) => Arc::ptr_eq(a, b),
            (Backing::File(a), Backing::File(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backing::Anonymous => f.write_str("Anonymous"),
            Backing::Shared(object) => write!(f, "Shared({})", object.id()),
            Backing::File(file) => write!(f, "File({:?})", file.identity()),
            Backing::Kernel(pages) => f.write_str(pages.name),
        }
    }
}

/// A run of pages of one address space.
#[derive(Clone, Debug)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// First address past it.
    pub end: u64,
    /// What the program asked for, exactly: `PROT_WRITE` alone is possible.
    pub access: PageFlags,
    /// What mprotect(2) may make of it.
    pub allowed: PageFlags,
    /// Kind.
    pub flags: RegionFlags,
    /// What lies behind it.
    pub backing: Backing,
    /// Index in the backing of the page at `start`; 0 and meaningless for anonymous memory.
    pub offset: u64,
}

impl Region {
    /// Its addresses.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// Number of pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        (self.end - self.start) / PAGE
    }

    /// Index in the backing of the page that holds `address`.
    #[must_use]
    pub fn index_of(&self, address: u64) -> u64 {
        self.offset + (address - self.start) / PAGE
    }

    /// True when writes are shared.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.flags.contains(RegionFlags::SHARED)
    }

    /// What its pages may allow: x86 has no page that can be written or executed and not read.
    #[must_use]
    pub fn page_flags(&self) -> PageFlags {
        if self.access.is_empty() { self.access } else { self.access | PageFlags::READ }
    }

    /// First address that a neighbour below must leave free (Linux's stack guard gap).
    #[must_use]
    pub fn start_with_guard(&self) -> u64 {
        if self.flags.contains(RegionFlags::GROWS_DOWN) {
            self.start.saturating_sub(super::STACK_GUARD_PAGES * PAGE)
        } else {
            self.start
        }
    }

    /// True for memory that `RLIMIT_DATA` counts: private, writable, no stack.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.access.contains(PageFlags::WRITE)
            && !self.flags.intersects(RegionFlags::SHARED | RegionFlags::GROWS_DOWN)
    }

    /// True when `next` begins where this one ends and differs in nothing else.
    #[must_use]
    pub fn continues_in(&self, next: &Region) -> bool {
        let apart = RegionFlags::HAS_COPIES;
        self.end == next.start
            && self.access == next.access
            && self.allowed == next.allowed
            && self.flags.difference(apart) == next.flags.difference(apart)
            && self.backing.is_same(&next.backing)
            && (matches!(self.backing, Backing::Anonymous) || self.offset + self.pages() == next.offset)
    }

    /// Cuts the region at `at`, a page boundary inside it; returns the upper part.
    #[must_use]
    pub fn split_off(&mut self, at: u64) -> Region {
        let mut upper = self.clone();
        upper.start = at;
        if !matches!(self.backing, Backing::Anonymous) {
            upper.offset = self.index_of(at);
        }
        self.end = at;
        upper
    }
}
