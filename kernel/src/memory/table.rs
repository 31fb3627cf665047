//! Page tables as the processor reads them.
//!
//! Invariants, cited by the `SAFETY` comments:
//!
//! - **T1** A [`Table`] names a frame that holds a page table and nothing else. Whoever owns the tree (the
//!   kernel for ever, an address space until it dies) keeps the frame until no CPU can walk it.
//! - **T2** An entry that points to a lower table names a frame for which T1 holds.
//!
//! The processor writes the accessed and dirty bits of entries at any time, so entries are atomics.

use core::ops::Range;

use base::sync::atomic::{AtomicU64, Ordering};
use x86_64::structures::paging::PageTableFlags as Bits;

use super::{frames, physmap};

pub(super) const PRESENT: u64 = Bits::PRESENT.bits();
pub(super) const WRITABLE: u64 = Bits::WRITABLE.bits();
pub(super) const USER: u64 = Bits::USER_ACCESSIBLE.bits();
pub(super) const UNCACHED: u64 = Bits::NO_CACHE.bits() | Bits::WRITE_THROUGH.bits();
pub(super) const ACCESSED: u64 = Bits::ACCESSED.bits();
pub(super) const DIRTY: u64 = Bits::DIRTY.bits();
pub(super) const LARGE: u64 = Bits::HUGE_PAGE.bits();
pub(super) const GLOBAL: u64 = Bits::GLOBAL.bits();
pub(super) const NO_EXECUTE: u64 = Bits::NO_EXECUTE.bits();
/// Ours: a leaf of user space, which owns one count of its frame, whether present or not.
pub(super) const OWNED: u64 = Bits::BIT_9.bits();
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Bytes that a leaf of the lowest level maps.
pub(super) const PAGE: u64 = 4096;
/// Bytes that a whole table of the lowest level maps.
pub(super) const SPAN: u64 = PAGE * 512;

/// The frame number in an entry.
#[inline]
pub(super) fn frame_of(entry: u64) -> u64 {
    (entry & ADDRESS) / PAGE
}

/// The address bits of an entry for frame `number`.
#[inline]
pub(super) fn address_bits(number: u64) -> u64 {
    number * PAGE
}

/// Index of `address` in the table of `level`: 4 is the root, 1 the lowest.
#[inline]
pub(super) fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (level - 1))) as usize & 511
}

/// Bytes that one entry of a table of `level` covers.
#[inline]
pub(super) fn coverage(level: u32) -> u64 {
    PAGE << (9 * (level - 1))
}

/// A page table of any level, by the number of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table(u64);

impl Table {
    /// The table in frame `number`.
    ///
    /// # Safety
    ///
    /// T1 holds for the frame as long as the value is used.
    #[inline]
    pub(super) unsafe fn new(number: u64) -> Table {
        Table(number)
    }

    /// Number of the table's frame.
    #[inline]
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// Physical address, for CR3.
    #[inline]
    pub(super) fn physical(self) -> u64 {
        self.0 * PAGE
    }

    /// The entries.
    #[inline]
    pub(super) fn entries(&self) -> &[AtomicU64; 512] {
        // SAFETY: T1 and P1: 4096 mapped bytes of entries, which everybody treats as atomics.
        unsafe { &*physmap::frame_pointer(self.0).cast::<[AtomicU64; 512]>() }
    }

    /// The entry for `address` in this table of `level`.
    #[inline]
    pub(super) fn entry(&self, address: u64, level: u32) -> &AtomicU64 {
        &self.entries()[index(address, level)]
    }

    /// The lower table that covers `address`, when there is one.
    #[inline]
    pub(super) fn child(self, address: u64, level: u32) -> Option<Table> {
        let entry = self.entry(address, level).load(Ordering::Relaxed);
        // SAFETY: T2.
        (entry & (PRESENT | LARGE) == PRESENT).then(|| unsafe { Table::new(frame_of(entry)) })
    }

    /// The first address from `from` on and below `end` whose entry in this table of `level` is not empty. The
    /// table covers all of `from..end`.
    pub(super) fn next_used(self, from: u64, end: u64, level: u32) -> Option<u64> {
        /// Empty entries mostly lie side by side, and are passed in groups.
        const GROUP: usize = 8;
        let entries = self.entries();
        let size = coverage(level);
        let used = |entry: &AtomicU64| entry.load(Ordering::Relaxed);
        let mut address = from;
        while address < end {
            let at = index(address, level);
            // Of fixed length, so that the compiler makes no loop of it.
            let group = entries[at..].first_chunk::<GROUP>().filter(|_| at.is_multiple_of(GROUP));
            let empty = match group {
                Some([a, b, c, d, e, f, g, h]) => {
                    let any = used(a) | used(b) | used(c) | used(d) | used(e) | used(f) | used(g) | used(h);
                    if any == 0 { GROUP } else { usize::from(used(a) == 0) }
                }
                None => usize::from(used(&entries[at]) == 0),
            };
            if empty == 0 {
                return Some(address);
            }
            address = (address & !(size - 1)) + empty as u64 * size;
        }
        None
    }

    /// The addresses in `range` whose entries in this lowest table, which covers all of it, are not empty.
    pub(super) fn used(self, range: Range<u64>) -> impl Iterator<Item = u64> {
        let mut from = range.start;
        core::iter::from_fn(move || {
            let address = self.next_used(from, range.end, 1)?;
            from = address + PAGE;
            Some(address)
        })
    }

    /// Entries in use, counted by whoever owns the tree.
    #[inline]
    pub(super) fn live(&self) -> &base::sync::atomic::AtomicU32 {
        &frames::entry(self.0).next
    }
}
