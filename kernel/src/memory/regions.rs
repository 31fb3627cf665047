//! Ranges of physical memory at boot: which RAM there is, and what of it is taken.

use core::ops::Range;

const CAPACITY: usize = 128;

/// A set of addresses, as ranges that don't overlap. When it is full, further pieces are left out, so it errs
/// on the side of less memory.
#[derive(Debug)]
pub struct Regions {
    list: [Range<u64>; CAPACITY],
    count: usize,
}

impl Default for Regions {
    fn default() -> Self {
        Regions::new()
    }
}

impl Regions {
    /// No addresses.
    #[must_use]
    pub const fn new() -> Self {
        Regions { list: [const { 0..0 }; CAPACITY], count: 0 }
    }

    /// The ranges, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.list.iter().take(self.count).cloned()
    }

    /// Adds a range; what it shares with ranges that are there is not counted twice.
    pub fn add(&mut self, range: Range<u64>) {
        self.remove(range.clone());
        if range.start < range.end
            && let Some(slot) = self.list.get_mut(self.count)
        {
            *slot = range;
            self.count += 1;
        }
    }

    /// Removes a range, cutting those that it overlaps.
    pub fn remove(&mut self, range: Range<u64>) {
        let mut index = 0;
        while index < self.count {
            let found = self.list[index].clone();
            if range.end <= found.start || found.end <= range.start || range.start >= range.end {
                index += 1;
                continue;
            }
            self.count -= 1;
            self.list.swap(index, self.count);
            for piece in [found.start..range.start.max(found.start), range.end.min(found.end)..found.end] {
                if piece.start < piece.end && self.count < CAPACITY {
                    self.list[self.count] = piece;
                    self.count += 1;
                }
            }
            // The pieces don't overlap the range, so meeting them again does no harm.
        }
    }

    /// Shrinks every range to whole units of `size` bytes, a power of two.
    pub fn shrink_to(&mut self, size: u64) {
        for range in &mut self.list[..self.count] {
            range.start = range.start.next_multiple_of(size);
            range.end &= !(size - 1);
        }
        let mut index = 0;
        while index < self.count {
            if self.list[index].is_empty() {
                self.count -= 1;
                self.list.swap(index, self.count);
            } else {
                index += 1;
            }
        }
    }

    /// Takes `bytes` out of the set, at a multiple of `align` and below `limit`; the highest place there is, so
    /// that low memory stays for devices and other CPUs' first steps.
    pub fn take(&mut self, bytes: u64, align: u64, limit: u64) -> Option<u64> {
        let place = |range: Range<u64>| {
            let start = range.end.min(limit).checked_sub(bytes)? & !(align - 1);
            (start >= range.start).then_some(start)
        };
        let start = self.iter().filter_map(place).max()?;
        self.remove(start..start + bytes);
        Some(start)
    }

    /// One past the last address.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.iter().map(|range| range.end).max().unwrap_or(0)
    }
}
