//! The memory of all rings: one area, which says of itself where everything is.
//!
//! ```text
//! line 0                 magic, version and number of rings, lines in all
//! line 1 .. 1 + rings    a header for each ring; its words 3 and 4 say where its slots are, and how many
//! the rest               slots
//! ```
//!
//! The rings are those of the CPUs, from 0, then that of the tasks' names, then the [vocabulary](super::Vocabulary).
//! Whoever has the bytes of an area, or of a part of guest memory, has the trace.

use alloc::vec::Vec;

use super::event::Event;
use super::ring::{Line, Look, Ring, WORDS};
use crate::sync::atomic::Ordering;

/// First word of an area: the letters `KAITRACE`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"KAITRACE");
/// Version of the layout, and of the events in it.
pub const VERSION: u32 = 1;
/// Bytes of a line.
pub const LINE_BYTES: usize = WORDS * size_of::<u64>();

/// Words of the first line: magic, then `rings << 32 | version`, then lines in all.
const RINGS: usize = 1;
const LINES: usize = 2;
/// Words of a ring's header: its first slot, and how many there are.
const FIRST: usize = 3;
const SLOTS: usize = 4;

/// Rings beside those of the CPUs: names, vocabulary.
const EXTRA: usize = 2;
/// Slots of the vocabulary: system calls and kinds of waits.
const WORD_SLOTS: usize = 512;
/// Slots for names of tasks, at most.
const NAME_SLOTS: usize = 4096;

/// The rings of a machine.
#[derive(Debug)]
pub struct Area<'a> {
    rings: Vec<Ring<'a>>,
}

/// Lines that an area needs for `cpus` rings of `slots` events.
#[must_use]
pub const fn lines_for(cpus: usize, slots: usize) -> usize {
    1 + cpus + EXTRA + WORD_SLOTS + slots.next_power_of_two() * (cpus + 1)
}

/// The largest power of two that is at most `count`; 0 for 0.
const fn power_within(count: usize) -> usize {
    if count == 0 { 0 } else { 1 << count.ilog2() }
}

impl<'a> Area<'a> {
    /// Lays out zeroed `lines` for `cpus` CPUs. What does not suffice for anything gives rings that hold nothing.
    #[must_use]
    pub fn format(lines: &'a [Line], cpus: usize) -> Area<'a> {
        let headers = 1 + cpus + EXTRA;
        let room = lines.len().saturating_sub(headers);
        let words = if room > WORD_SLOTS { WORD_SLOTS } else { 0 };
        let names = power_within((room - words) / (cpus + 1)).min(NAME_SLOTS);
        let events = power_within((room - words - names) / cpus.max(1));
        let counts = core::iter::repeat_n(events, cpus).chain([names, words]);
        let mut first = headers;
        for (index, count) in counts.enumerate() {
            if let Some(header) = lines.get(1 + index) {
                header.word(FIRST).store(first as u64, Ordering::Relaxed);
                header.word(SLOTS).store(count as u64, Ordering::Relaxed);
            }
            first += count;
        }
        if let Some(top) = lines.first() {
            let shape = ((cpus + EXTRA) as u64) << 32 | u64::from(VERSION);
            top.word(RINGS).store(shape, Ordering::Relaxed);
            top.word(LINES).store(lines.len() as u64, Ordering::Relaxed);
            // Whoever reads the area from outside finds it complete, or not at all.
            top.word(0).store(MAGIC, Ordering::Release);
        }
        Area::find(lines).unwrap_or(Area { rings: Vec::new() })
    }

    /// The area that `lines` begin with.
    #[must_use]
    pub fn find(lines: &'a [Line]) -> Option<Area<'a>> {
        let top = lines.first()?;
        let shape = top.word(RINGS).load(Ordering::Relaxed);
        let is_area = top.word(0).load(Ordering::Acquire) == MAGIC && shape as u32 == VERSION;
        let count = usize::try_from(shape >> 32).ok().filter(|_| is_area)?;
        let ring = |header: &'a Line| {
            let place = |word| usize::try_from(header.word(word).load(Ordering::Relaxed)).ok();
            let (first, slots) = (place(FIRST)?, place(SLOTS)?);
            let slots = lines.get(first..first.checked_add(slots)?)?;
            (slots.is_empty() || slots.len().is_power_of_two()).then(|| Ring::new(header, slots))
        };
        let rings: Option<Vec<_>> = lines.get(1..count.checked_add(1)?)?.iter().map(ring).collect();
        rings.filter(|rings| rings.len() >= EXTRA).map(|rings| Area { rings })
    }

    /// The rings of the CPUs.
    #[must_use]
    pub fn cpus(&self) -> &[Ring<'a>] {
        self.rings.split_at(self.rings.len().saturating_sub(EXTRA)).0
    }

    /// The ring of the tasks' names.
    #[must_use]
    pub fn names(&self) -> Option<&Ring<'a>> {
        self.rings.iter().rev().nth(1)
    }

    /// The ring of the vocabulary.
    #[must_use]
    pub fn words(&self) -> Option<&Ring<'a>> {
        self.rings.last()
    }

    /// The newest events of every CPU that `wanted` says yes to, at most `limit` of each, by time; and how many
    /// more of those that `wanted` would have liked were left out.
    #[must_use]
    pub fn newest(&self, limit: usize, wanted: impl Fn(&Event) -> bool) -> (Vec<Event>, usize) {
        let (mut events, mut omitted) = (Vec::new(), 0);
        for ring in self.cpus() {
            let start = events.len();
            for seq in (ring.oldest()..=ring.head()).rev() {
                let Look::Event(payload) = ring.look(seq) else { continue };
                let event = Event::from_payload(seq, payload);
                if !wanted(&event) {
                    continue;
                }
                if events.len() - start < limit && events.try_reserve(1).is_ok() {
                    events.push(event);
                } else {
                    omitted += 1;
                }
            }
        }
        events.sort_unstable_by_key(|event| (event.time, event.cpu, event.seq));
        (events, omitted)
    }

    /// Events of the CPUs' rings that later ones have replaced, and that were given up.
    #[must_use]
    pub fn lost(&self) -> (u64, u64) {
        let sum = |count: fn(&Ring<'a>) -> u64| self.cpus().iter().map(count).sum();
        (sum(Ring::overwritten), sum(Ring::dropped))
    }

    /// Hides every event so far.
    pub fn reset(&self) {
        self.cpus().iter().for_each(Ring::reset);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::trace::event::Identity;

    fn lines(count: usize) -> Vec<Line> {
        (0..count).map(|_| Line::default()).collect()
    }

    fn event(time: u64, kind: u16) -> Event {
        Event { time, seq: 0, cpu: 0, kind, flags: 0, by: Identity::NONE, arguments: [0; 3] }
    }

    #[test]
    fn an_area_has_the_room_that_was_asked_for() {
        let lines = lines(lines_for(3, 256));
        let area = Area::format(&lines, 3);
        assert_eq!(area.cpus().len(), 3);
        assert!(area.cpus().iter().all(|ring| ring.capacity() == 256));
        assert_eq!(area.names().unwrap().capacity(), 256);
        assert_eq!(area.words().unwrap().capacity(), 512);
        let found = Area::find(&lines).unwrap();
        area.cpus()[2].push(event(5, 1).payload());
        assert_eq!(found.cpus()[2].head(), 1);
    }

    #[test]
    fn an_area_too_small_for_anything_swallows_events() {
        for count in 0..40 {
            let lines = lines(count);
            let area = Area::format(&lines, 2);
            for ring in area.cpus() {
                ring.push(event(1, 1).payload());
            }
            let _ = area.newest(10, |_| true);
        }
    }

    #[test]
    fn what_is_no_area_is_not_found() {
        assert!(Area::find(&[]).is_none());
        assert!(Area::find(&lines(100)).is_none());
        let lines = lines(lines_for(1, 16));
        let _ = Area::format(&lines, 1);
        lines[1].word(SLOTS).store(u64::MAX, Ordering::Relaxed);
        assert!(Area::find(&lines).is_none());
    }

    #[test]
    fn the_newest_events_come_by_time_and_the_rest_is_counted() {
        let lines = lines(lines_for(2, 16));
        let area = Area::format(&lines, 2);
        for time in 0..10 {
            area.cpus()[usize::from(time % 2 == 0)].push(event(time, 1).payload());
        }
        area.cpus()[0].push(event(99, 2).payload());
        let (events, omitted) = area.newest(3, |event| event.kind == 1);
        assert!(events.iter().map(|event| event.time).eq(4..10));
        assert_eq!((omitted, area.lost()), (4, (0, 0)));
        area.reset();
        assert_eq!(area.newest(3, |_| true), (Vec::new(), 0));
    }
}
