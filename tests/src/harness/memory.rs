//! What the machine uses in the course of a soak, by what uses it, and whether that grows.
//!
//! The soak's time is cut into slots. Of each slot the least that was used is kept, part by part: what is used for a
//! while does not show, what is never given back does. Memory grows when the least of the last third is more than the
//! least of the third before it; the first third fills caches.

use super::census::Census;
use std::fmt;

/// Slots, three times so many as a third of the soak has.
const SLOTS: usize = 12;
const THIRD: usize = SLOTS / 3;
/// Bytes of a page frame.
const FRAME: i64 = 4096;
/// Size classes of the kernel heap at most, and what is larger than any of them.
const CLASSES: usize = 32;

/// What uses memory, and how many bytes more are no growth.
const PARTS: [(&str, i64); 5] = [
    // Bytes of objects, which are counted one by one.
    ("heap", 16 << 10),
    // Frames in which those objects lie. A frame with one object left is whole.
    ("slabs", 512 << 10),
    ("files", 64 << 10),
    ("page tables", 64 << 10),
    // Memory of processes: those of the soak itself.
    ("rest", 256 << 10),
];

/// What the machine uses at one moment, in bytes.
#[derive(Clone, Copy)]
struct Used {
    parts: [i64; PARTS.len()],
    /// Of each size class of the heap: the size of an object, and bytes of objects. Size 0 is what is larger.
    classes: [(i64, i64); CLASSES],
}

/// The least that was used in each slot.
pub(super) struct Memory {
    slots: [Option<Used>; SLOTS],
    last: Option<Used>,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory { slots: [None; SLOTS], last: None }
    }

    /// Takes a sample, where the kernel has a census, when `elapsed` of `length` nanoseconds are over.
    pub(super) fn sample(&mut self, elapsed: i64, length: i64) {
        let Some(used) = Used::now() else { return };
        self.last = Some(used);
        let at = i128::from(elapsed) * SLOTS as i128 / i128::from(length.max(1));
        let slot = &mut self.slots[at.clamp(0, SLOTS as i128 - 1) as usize];
        *slot = Some(slot.map_or(used, |least| least.least(&used)));
    }

    /// The least of a third of the time: 0, 1 or 2.
    fn third(&self, number: usize) -> Option<Used> {
        let slots = &self.slots[number * THIRD..(number + 1) * THIRD];
        slots.iter().flatten().copied().reduce(|one, other| one.least(&other))
    }

    /// What grows, one line each; nothing when the soak was too short to tell.
    pub(super) fn growth(&self) -> Vec<String> {
        let (Some(middle), Some(last)) = (self.third(1), self.third(2)) else { return Vec::new() };
        let grows = |part: &usize| last.parts[*part] > middle.parts[*part] + PARTS[*part].1;
        let line =
            |part: usize| format!("{}: {} B, then {} B", PARTS[part].0, middle.parts[part], last.parts[part]);
        (0..PARTS.len()).filter(grows).map(line).collect()
    }

    /// The size classes of the heap that changed between the first and the last third.
    pub(super) fn changed_classes(&self) -> Vec<String> {
        let (Some(first), Some(last)) = (self.third(0), self.third(2)) else { return Vec::new() };
        let pairs = first.classes.iter().zip(&last.classes);
        let changed = pairs.filter(|(before, after)| before.1 != after.1);
        changed.map(|(before, after)| format!("{} B: {} B, then {} B", after.0, before.1, after.1)).collect()
    }
}

impl Used {
    fn now() -> Option<Used> {
        let census = Census::take()?;
        let heap = census.value("heap_bytes")?;
        // Frames in the caches of CPUs are as good as free.
        let free = (census.value("frames_free")? + census.value("frames_cached")?) * FRAME;
        let mut classes = [(0, 0); CLASSES];
        let mut slabs = 0;
        let table = std::fs::read_to_string("/proc/slabinfo").ok()?;
        for (class, line) in classes.iter_mut().skip(1).zip(table.lines().skip(2)) {
            // Name, objects in use, objects there is room for, size of one, of how many in a slab, pages of a slab.
            let numbers: Vec<i64> =
                line.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
            let [in_use, room, size, in_slab, pages] = numbers[..] else { return None };
            *class = (size, in_use * size);
            slabs += room.div_euclid(in_slab.max(1)) * pages * FRAME;
        }
        let larger = heap - classes.iter().map(|(_, bytes)| bytes).sum::<i64>();
        classes[0] = (0, larger);
        slabs += larger;
        let kilobytes = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<i64>().ok()? * 1024)
        };
        let total = kilobytes("/proc/meminfo", "MemTotal:")?;
        let files = kilobytes("/proc/meminfo", "Shmem:")?;
        let tables = kilobytes("/proc/meminfo", "PageTables:")?;
        let rest = total - free - slabs - files - tables;
        Some(Used { parts: [heap, slabs, files, tables, rest], classes })
    }

    /// The lesser of both, part by part.
    fn least(&self, other: &Used) -> Used {
        let mut least = *self;
        least.parts.iter_mut().zip(other.parts).for_each(|(one, other)| *one = (*one).min(other));
        least.classes.iter_mut().zip(other.classes).for_each(|(one, other)| one.1 = one.1.min(other.1));
        least
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(used) = &self.last else { return Ok(()) };
        PARTS
            .iter()
            .zip(used.parts)
            .try_for_each(|((name, _), bytes)| write!(formatter, ", {name} {bytes} B"))
    }
}
