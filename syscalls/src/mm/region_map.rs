//! The ordered map of a space's regions: lookup, splitting, merging, and the sums that limits need.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Range;

use super::region::{Region, RegionFlags};

/// Pages that a space has mapped, by what limits count. Source: `proc(5)`, statm and status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageSums {
    /// All of them (`RLIMIT_AS`).
    pub total: u64,
    /// Private writable ones that are no stack (`RLIMIT_DATA`).
    pub data: u64,
    /// Those that grow down.
    pub stack: u64,
    /// Locked ones (`RLIMIT_MEMLOCK`).
    pub locked: u64,
}

impl PageSums {
    fn of(region: &Region) -> PageSums {
        let pages = region.pages();
        let when = |condition: bool| if condition { pages } else { 0 };
        PageSums {
            total: pages,
            data: when(region.is_data()),
            stack: when(region.flags.contains(RegionFlags::GROWS_DOWN)),
            locked: when(region.flags.contains(RegionFlags::LOCKED)),
        }
    }

    fn add(&mut self, other: PageSums) {
        self.total += other.total;
        self.data += other.data;
        self.stack += other.stack;
        self.locked += other.locked;
    }

    fn subtract(&mut self, other: PageSums) {
        self.total -= other.total;
        self.data -= other.data;
        self.stack -= other.stack;
        self.locked -= other.locked;
    }
}

/// Regions by their start, none overlapping another.
#[derive(Default)]
pub struct RegionMap {
    by_start: BTreeMap<u64, Region>,
    sums: PageSums,
    /// Most pages that were ever mapped at once.
    peak: u64,
    /// What the last search for a gap found out.
    crowded: Cell<Crowded>,
}

/// A stretch of addresses with no gap of `gap` bytes, so that a search need not look at every region in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crowded {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Every gap is smaller than this.
    pub gap: u64,
}

impl RegionMap {
    /// Number of regions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_start.len()
    }

    /// True when nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// Sums over all regions.
    #[must_use]
    pub fn sums(&self) -> PageSums {
        self.sums
    }

    /// Most pages that were ever mapped at once: `VmPeak`.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peak.max(self.sums.total)
    }

    /// The region that holds `address`.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<&Region> {
        let (_, region) = self.by_start.range(..=address).next_back()?;
        (address < region.end).then_some(region)
    }

    /// The first region that ends above `address`: the one that holds it, or the next one.
    #[must_use]
    pub fn find_or_next(&self, address: u64) -> Option<&Region> {
        self.find(address).or_else(|| self.by_start.range(address..).next().map(|(_, region)| region))
    }

    /// The last region that ends at or below `address`.
    #[must_use]
    pub fn previous(&self, address: u64) -> Option<&Region> {
        self.by_start.range(..address).next_back().map(|(_, region)| region).filter(|r| r.end <= address)
    }

    /// The last region that starts below `address`, whether it reaches past it or not.
    #[must_use]
    pub fn starting_below(&self, address: u64) -> Option<&Region> {
        self.by_start.range(..address).next_back().map(|(_, region)| region)
    }

    /// All regions, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Region> {
        self.by_start.values()
    }

    /// The regions that have a page in `range`, in order.
    pub fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = &Region> {
        let first = self.find(range.start).map_or(range.start, |region| region.start);
        self.by_start.range(first..range.end.max(first)).map(|(_, region)| region)
    }

    /// True when no region has a page in `range`.
    #[must_use]
    pub fn is_free(&self, range: Range<u64>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// Mapped pages in `range`.
    #[must_use]
    pub fn pages_in(&self, range: Range<u64>) -> u64 {
        let inside = |r: &Region| (r.end.min(range.end) - r.start.max(range.start)) / super::PAGE;
        self.overlapping(range.clone()).map(inside).sum()
    }

    /// Adds a region where nothing is, joined with the neighbours that it continues.
    pub fn insert(&mut self, region: Region) {
        debug_assert!(self.is_free(region.range()), "regions never overlap");
        self.sums.add(PageSums::of(&region));
        let (start, end) = (region.start, region.end);
        self.by_start.insert(start, region);
        self.join_at(end);
        self.join_at(start);
    }

    /// A stretch that ends at `end` and has no gap of `length` bytes; an empty one when none is known.
    #[must_use]
    pub fn crowded_below(&self, end: u64, length: u64) -> Range<u64> {
        let known = self.crowded.get();
        if known.end == end && known.gap <= length { known.start..end } else { end..end }
    }

    /// Remembers such a stretch, in place of the last one.
    pub fn note_crowded(&self, stretch: Crowded) {
        self.crowded.set(stretch);
    }

    /// There is nothing in `at` any more.
    fn gap_grew(&self, at: &Range<u64>) {
        let below = self.by_start.range(..at.start).next_back().map_or(0, |(_, region)| region.end);
        let above = self.by_start.range(at.end..).next().map_or(u64::MAX, |(start, _)| *start);
        let known = self.crowded.get();
        if known.start < above && below < known.end {
            let gap = known.gap.max((above - below).saturating_add(super::PAGE));
            self.crowded.set(Crowded { gap, ..known });
        }
    }

    /// The first region with a page in `range`, and the part of the range that it holds.
    #[must_use]
    pub fn first_piece(&self, range: Range<u64>) -> Option<(&Region, Range<u64>)> {
        let inside = |region: &&Region| region.start < range.end && !range.is_empty();
        let region = self.find_or_next(range.start).filter(inside)?;
        Some((region, region.start.max(range.start)..region.end.min(range.end)))
    }

    /// Takes out the first regions that lie in `range`, at most `limit`; those that reach past it are cut.
    pub fn remove(&mut self, range: Range<u64>, limit: usize) -> Vec<Region> {
        // The sum falls nowhere else, so this is where a peak ends.
        self.peak = self.peak();
        if range.is_empty() {
            return Vec::new();
        }
        self.cut_at(range.start);
        self.cut_at(range.end);
        let starts: Vec<u64> = self.by_start.range(range).map(|(start, _)| *start).take(limit).collect();
        let removed: Vec<Region> = starts.iter().filter_map(|start| self.by_start.remove(start)).collect();
        for region in &removed {
            self.sums.subtract(PageSums::of(region));
        }
        if removed.iter().any(|region| region.flags.contains(RegionFlags::GROWS_DOWN)) {
            // Its guard kept several gaps closed.
            self.crowded.set(Crowded::default());
        } else if let (Some(first), Some(last)) = (removed.first(), removed.last()) {
            self.gap_grew(&(first.start..last.end));
        }
        removed
    }

    /// Changes what lies in `range`: regions that reach past it are cut, neighbours that became alike joined.
    pub fn change(&mut self, range: Range<u64>, mut change: impl FnMut(&mut Region)) {
        if range.is_empty() {
            return;
        }
        self.cut_at(range.start);
        self.cut_at(range.end);
        let mut borders = alloc::vec![range.end, range.start];
        for (start, region) in self.by_start.range_mut(range) {
            self.sums.subtract(PageSums::of(region));
            change(region);
            self.sums.add(PageSums::of(region));
            borders.push(*start);
        }
        for border in borders {
            self.join_at(border);
        }
    }

    /// Notes that the region at `address` holds private copies.
    pub fn mark_copies(&mut self, address: u64) {
        if let Some((_, region)) = self.by_start.range_mut(..=address).next_back() {
            region.flags |= RegionFlags::HAS_COPIES;
        }
    }

    /// Moves the start of the region at `old_start` down to `new_start`, where nothing is: stack growth.
    pub fn extend_down(&mut self, old_start: u64, new_start: u64) {
        if let Some(mut region) = self.by_start.remove(&old_start) {
            self.sums.subtract(PageSums::of(&region));
            let grown = (old_start - new_start) / super::PAGE;
            region.offset = region.offset.saturating_sub(grown);
            region.start = new_start;
            self.sums.add(PageSums::of(&region));
            self.by_start.insert(new_start, region);
        }
    }

    /// Makes `at` a border between two regions if a region spans it.
    fn cut_at(&mut self, at: u64) {
        let Some((_, region)) = self.by_start.range_mut(..at).next_back() else { return };
        if at < region.end {
            let upper = region.split_off(at);
            self.by_start.insert(at, upper);
        }
    }

    /// Joins the regions that meet at `at` if the upper continues the lower.
    fn join_at(&mut self, at: u64) {
        let Some(upper) = self.by_start.get(&at) else { return };
        let Some((_, lower)) = self.by_start.range(..at).next_back() else { return };
        if !lower.continues_in(upper) {
            return;
        }
        let lower = lower.start;
        if let Some(upper) = self.by_start.remove(&at)
            && let Some(lower) = self.by_start.get_mut(&lower)
        {
            lower.end = upper.end;
            lower.flags |= upper.flags & RegionFlags::HAS_COPIES;
        }
    }
}
