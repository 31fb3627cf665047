//! The buddy allocator over a table of frames: pure bookkeeping, no memory of its own.
//!
//! Each frame of the machine has one [`FrameEntry`]. While a block is free, the entry of its first
//! frame links it into the list of its order; while it is taken, the entry belongs to the owner:
//! its count is the frame's reference count, its link words are the owner's to use (the heap keeps
//! its slabs in them, page tables their number of live entries).
//!
//! Invariants:
//!
//! - **B1** A free block of order k starts at a multiple of 2^k, and exactly its first entry is
//!   marked `free(k)`. All other entries are unmarked.
//! - **B2** Two buddies are never both free: they would have been merged.

use crate::sync::atomic::{AtomicU32, Ordering};

/// Largest order: blocks of 1024 frames, 4 MiB.
pub const MAX_ORDER: usize = 10;

/// No frame.
pub const NONE: u32 = u32::MAX;

const ORDERS: usize = MAX_ORDER + 1;
/// Mark of the first entry of a free block, with its order in the low bits. Owners never use this bit.
const FREE: u32 = 1 << 31;

/// What is known about one frame. Zeroed memory is an entry of a frame that is taken.
#[derive(Debug, Default)]
#[repr(C)]
pub struct FrameEntry {
    /// References to the frame.
    pub count: AtomicU32,
    /// Next block of a list, or the owner's.
    pub next: AtomicU32,
    /// Previous block of a list, or the owner's.
    pub prev: AtomicU32,
    /// Free mark, or the owner's; the topmost bit is the allocator's.
    pub state: AtomicU32,
}

/// Free blocks by order. Whoever holds it exclusively (a lock) may change the entries of free frames.
#[derive(Debug)]
pub struct Buddy<'t> {
    table: &'t [FrameEntry],
    heads: [u32; ORDERS],
    free: usize,
}

impl<'t> Buddy<'t> {
    /// An allocator without frames over `table`, in which nothing is marked free.
    #[must_use]
    pub const fn new(table: &'t [FrameEntry]) -> Self {
        Buddy { table, heads: [NONE; ORDERS], free: 0 }
    }

    /// The entries, index = frame number.
    #[must_use]
    pub const fn table(&self) -> &'t [FrameEntry] {
        self.table
    }

    /// Free frames.
    #[must_use]
    pub const fn free_frames(&self) -> usize {
        self.free
    }

    /// Puts the frames `start..end` at the allocator's disposal; what lies past the table is left out.
    pub fn add(&mut self, start: u32, end: u32) {
        let end = end.min(u32::try_from(self.table.len()).unwrap_or(u32::MAX));
        let mut number = start;
        while number < end {
            let fitting = (end - number).ilog2();
            let order = number.trailing_zeros().min(fitting).min(MAX_ORDER as u32);
            self.free(number, order as usize);
            number += 1 << order;
        }
    }

    /// Takes a block of 2^`order` frames, aligned to its size: the number of its first frame.
    pub fn allocate(&mut self, order: usize) -> Option<u32> {
        let mut have = (order..ORDERS).find(|&k| self.heads[k] != NONE)?;
        let number = self.heads[have];
        self.unlink(number, have);
        while have > order {
            have -= 1;
            self.link(number + (1 << have), have);
        }
        self.free -= 1 << order;
        Some(number)
    }

    /// Gives a block back and merges it with its buddies as far as they are free.
    ///
    /// # Panics
    ///
    /// When the block is free already or does not lie in the table: a bug of the kernel, not to be survived.
    pub fn free(&mut self, number: u32, order: usize) {
        assert!(order < ORDERS && number.is_multiple_of(1 << order), "freed block {number} is misaligned");
        assert!((number as usize) + (1 << order) <= self.table.len(), "freed block {number} is no memory");
        assert!(!self.is_free(number), "frame {number} freed twice");
        self.free += 1 << order;
        let (mut number, mut order) = (number, order);
        while order < MAX_ORDER {
            let buddy = number ^ (1 << order);
            if self.state(buddy) != Some(FREE | order as u32) {
                break;
            }
            self.unlink(buddy, order);
            number &= !(1 << order);
            order += 1;
        }
        self.link(number, order);
    }

    /// True when the frame is part of a free block.
    #[must_use]
    pub fn is_free(&self, number: u32) -> bool {
        (0..ORDERS).any(|order| {
            let first = number & !((1 << order) - 1);
            self.state(first).is_some_and(|s| s & FREE != 0 && (s & !FREE) as usize >= order)
        })
    }

    /// Free blocks of each order: for /proc/buddyinfo. Takes time in proportion to their number.
    #[must_use]
    pub fn blocks(&self) -> [usize; ORDERS] {
        let mut counts = [0; ORDERS];
        for (count, &head) in counts.iter_mut().zip(&self.heads) {
            let mut number = head;
            while number != NONE {
                *count += 1;
                number = self.table[number as usize].next.load(Ordering::Relaxed);
            }
        }
        counts
    }

    fn state(&self, number: u32) -> Option<u32> {
        self.table.get(number as usize).map(|entry| entry.state.load(Ordering::Relaxed))
    }

    fn link(&mut self, number: u32, order: usize) {
        let head = self.heads[order];
        let entry = &self.table[number as usize];
        entry.next.store(head, Ordering::Relaxed);
        entry.prev.store(NONE, Ordering::Relaxed);
        entry.state.store(FREE | order as u32, Ordering::Relaxed);
        if head != NONE {
            self.table[head as usize].prev.store(number, Ordering::Relaxed);
        }
        self.heads[order] = number;
    }

    fn unlink(&mut self, number: u32, order: usize) {
        let entry = &self.table[number as usize];
        let (next, prev) = (entry.next.load(Ordering::Relaxed), entry.prev.load(Ordering::Relaxed));
        if prev == NONE {
            self.heads[order] = next;
        } else {
            self.table[prev as usize].next.store(next, Ordering::Relaxed);
        }
        if next != NONE {
            self.table[next as usize].prev.store(prev, Ordering::Relaxed);
        }
        entry.state.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn table(frames: usize) -> Vec<FrameEntry> {
        (0..frames).map(|_| FrameEntry::default()).collect()
    }

    #[test]
    fn everything_that_was_added_can_be_taken_and_merges_back() {
        let table = table(5000);
        let mut buddy = Buddy::new(&table);
        buddy.add(3, 4999);
        let before = buddy.blocks();
        assert_eq!(buddy.free_frames(), 4996);
        let mut taken: Vec<u32> = core::iter::from_fn(|| buddy.allocate(0)).collect();
        assert_eq!(taken.len(), 4996);
        assert_eq!(buddy.free_frames(), 0);
        taken.sort_unstable_by_key(|number| number.reverse_bits());
        assert!(taken.iter().all(|number| (3..4999).contains(number)));
        for number in taken {
            buddy.free(number, 0);
        }
        assert_eq!(buddy.blocks(), before);
    }

    #[test]
    fn random_traffic_agrees_with_a_model() {
        let table = table(4096);
        let mut buddy = Buddy::new(&table);
        buddy.add(0, 4096);
        let mut owned: BTreeMap<u32, usize> = BTreeMap::new();
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let dice = (seed >> 33) as usize;
            if dice.is_multiple_of(2) {
                let order = (dice / 2 % 14).saturating_sub(3).min(MAX_ORDER);
                if let Some(number) = buddy.allocate(order) {
                    assert!(number.is_multiple_of(1 << order));
                    let below = owned.range(..=number).next_back();
                    assert!(below.is_none_or(|(&first, &k)| first + (1 << k) <= number));
                    let above = owned.range(number..).next();
                    assert!(above.is_none_or(|(&first, _)| first >= number + (1 << order)));
                    owned.insert(number, order);
                }
            } else if let Some(&number) = owned.keys().nth(dice / 2 % owned.len().max(1)) {
                let order = owned.remove(&number).expect("it was listed");
                assert!(!buddy.is_free(number));
                buddy.free(number, order);
                assert!(buddy.is_free(number));
            }
            let taken: usize = owned.values().map(|order| 1 << order).sum();
            assert_eq!(buddy.free_frames() + taken, 4096);
        }
        for (number, order) in owned {
            buddy.free(number, order);
        }
        assert_eq!(buddy.blocks()[MAX_ORDER], 4);
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn a_double_free_inside_a_merged_block_is_noticed() {
        let table = table(16);
        let mut buddy = Buddy::new(&table);
        buddy.add(0, 16);
        let number = buddy.allocate(1).expect("16 frames are free");
        buddy.free(number, 1);
        buddy.free(number + 1, 0);
    }
}
