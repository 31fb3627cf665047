//! One ring of events: written without a lock, read without tearing.
//!
//! An event gets the next sequence number of its ring and the slot `number mod slots`, where it takes the place
//! of the event one lap before. The first word of a slot is its *stamp*:
//!
//! ```text
//!           (1) claim n                  (2) publish n
//!  2(n-k)  ------------->  2n + 1  ------------------------>  2n      k: number of slots
//!  whole                   being written                      whole
//! ```
//!
//! A writer claims with a compare-and-swap, so a slot has one writer at a time: who finds it being written
//! (another writer was stopped for a whole lap) or already ahead gives its event up, and that is counted. In
//! the kernel each CPU writes its own ring with interrupts off, and this does not happen.
//!
//! A reader that finds stamp 2n before and after its copy has event n, whole. Any other stamp says that the
//! event is not there yet, or not there any more.
//!
//! The words are plain memory in a layout that does not change while the kernel runs ([`Line`]), so the ring
//! can be read from outside the machine, also after a crash.

use crate::sync::atomic::{AtomicU64, Ordering, fence};

/// Words of a line. The model checker gets by with less.
pub const WORDS: usize = if cfg!(loom) { 3 } else { 8 };
/// Words of an event beside its stamp.
pub const PAYLOAD: usize = WORDS - 1;

/// 64 bytes: a header or a slot. All zeros is an empty slot.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Line([AtomicU64; WORDS]);

#[cfg(not(loom))]
const _: () = assert!(size_of::<Line>() == 64, "an area is an array of lines of 64 bytes");

impl Line {
    /// The word at `index`; the last one for an index that is too large.
    #[inline]
    pub(super) fn word(&self, index: usize) -> &AtomicU64 {
        &self.0[index.min(WORDS - 1)]
    }
}

/// Words of a ring's header.
mod header {
    /// Sequence number of the newest event that was claimed.
    pub(super) const HEAD: usize = 0;
    /// Events that were given up.
    pub(super) const DROPPED: usize = 1;
    /// Events up to this number were reset: they are not shown.
    pub(super) const FLOOR: usize = 2;
}

const STAMP: usize = 0;

/// The stamp of a slot that holds event `seq`.
#[must_use]
pub const fn whole(seq: u64) -> u64 {
    seq << 1
}

/// The stamp of a slot into which event `seq` is being written.
const fn claimed(seq: u64) -> u64 {
    whole(seq) | 1
}

/// A ring over memory that others may look at.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a> {
    header: &'a Line,
    slots: &'a [Line],
}

/// What is at a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The event.
    Event([u64; PAYLOAD]),
    /// It is not written yet.
    Pending,
    /// A later one took its place.
    Overwritten,
}

impl<'a> Ring<'a> {
    /// The ring in `slots`, whose number is a power of two or zero; an empty ring holds nothing.
    #[must_use]
    pub fn new(header: &'a Line, slots: &'a [Line]) -> Ring<'a> {
        debug_assert!(slots.is_empty() || slots.len().is_power_of_two(), "a ring has 2^n slots");
        Ring { header, slots }
    }

    /// How many events it holds.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Sequence number of the newest event; 0 before the first.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.header.word(header::HEAD).load(Ordering::Acquire)
    }

    /// Events that were given up because their slot was being written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.header.word(header::DROPPED).load(Ordering::Relaxed)
    }

    /// Events that a later one has taken the place of since the last [`reset`](Self::reset).
    #[must_use]
    pub fn overwritten(&self) -> u64 {
        self.head().saturating_sub(self.capacity()).saturating_sub(self.floor())
    }

    fn floor(&self) -> u64 {
        self.header.word(header::FLOOR).load(Ordering::Acquire)
    }

    /// Sequence number of the oldest event that can still be there and was not reset.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.head().saturating_sub(self.capacity()).max(self.floor()) + 1
    }

    /// From now on the events so far are not shown. Writers are not disturbed.
    pub fn reset(&self) {
        self.header.word(header::FLOOR).store(self.head(), Ordering::Release);
    }

    fn slot(&self, seq: u64) -> Option<&'a Line> {
        let index = seq as usize & self.slots.len().wrapping_sub(1);
        self.slots.get(index)
    }

    /// Adds an event in the place of the oldest one. Its sequence number; 0 when it was given up.
    pub fn push(&self, payload: [u64; PAYLOAD]) -> u64 {
        let Some(_) = self.slots.first() else { return 0 };
        let seq = self.header.word(header::HEAD).fetch_add(1, Ordering::Relaxed) + 1;
        let Some(slot) = self.slot(seq) else { return 0 };
        let stamp = slot.word(STAMP);
        let before = stamp.load(Ordering::Relaxed);
        // Edge 1. Acquire: what the writer of the lap before wrote is overwritten, never the other way round.
        let is_free = before & 1 == 0 && before < whole(seq);
        if !is_free
            || stamp.compare_exchange(before, claimed(seq), Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            self.header.word(header::DROPPED).fetch_add(1, Ordering::Relaxed);
            return 0;
        }
        // Whoever sees a word of this event sees the claim too.
        fence(Ordering::Release);
        for (index, word) in payload.iter().enumerate() {
            slot.word(index + 1).store(*word, Ordering::Relaxed);
        }
        // Edge 2.
        stamp.store(whole(seq), Ordering::Release);
        seq
    }

    /// Looks at event `seq`.
    #[must_use]
    pub fn look(&self, seq: u64) -> Look {
        let Some(slot) = self.slot(seq) else { return Look::Pending };
        let stamp = slot.word(STAMP);
        let before = stamp.load(Ordering::Acquire);
        if before == whole(seq) {
            let payload = core::array::from_fn(|index| slot.word(index + 1).load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            let is_whole = stamp.load(Ordering::Relaxed) == before;
            return if is_whole { Look::Event(payload) } else { Look::Overwritten };
        }
        if before > claimed(seq) { Look::Overwritten } else { Look::Pending }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<Line> {
        (0..count).map(|_| Line::default()).collect()
    }

    #[test]
    fn the_oldest_events_are_overwritten_and_counted() {
        let (header, slots) = (Line::default(), lines(4));
        let ring = Ring::new(&header, &slots);
        assert_eq!((ring.oldest(), ring.look(1)), (1, Look::Pending));
        for value in 1..=6 {
            assert_eq!(ring.push([value; PAYLOAD]), value);
        }
        assert_eq!((ring.head(), ring.oldest(), ring.overwritten()), (6, 3, 2));
        assert_eq!(ring.look(2), Look::Overwritten);
        assert_eq!(ring.look(3), Look::Event([3; PAYLOAD]));
        assert_eq!(ring.look(7), Look::Pending);
    }

    #[test]
    fn a_reset_hides_what_was_there_and_nothing_else() {
        let (header, slots) = (Line::default(), lines(4));
        let ring = Ring::new(&header, &slots);
        for value in 1..=6 {
            ring.push([value; PAYLOAD]);
        }
        ring.reset();
        assert_eq!((ring.oldest(), ring.overwritten()), (7, 0));
        assert_eq!(ring.push([7; PAYLOAD]), 7);
        assert_eq!(ring.look(7), Look::Event([7; PAYLOAD]));
    }

    #[test]
    fn a_ring_without_slots_swallows_events() {
        let header = Line::default();
        let ring = Ring::new(&header, &[]);
        assert_eq!((ring.push([1; PAYLOAD]), ring.head(), ring.look(1)), (0, 0, Look::Pending));
    }

    #[test]
    fn a_slot_that_is_being_written_is_left_alone() {
        let (header, slots) = (Line::default(), lines(2));
        let ring = Ring::new(&header, &slots);
        slots[1].word(STAMP).store(claimed(1), Ordering::Relaxed);
        header.word(header::HEAD).store(1, Ordering::Relaxed);
        assert_eq!(ring.push([2; PAYLOAD]), 2);
        assert_eq!(ring.push([3; PAYLOAD]), 0, "event 1 is still being written");
        assert_eq!((ring.dropped(), ring.look(1)), (1, Look::Pending));
    }

    #[test]
    fn readers_never_see_a_mixture() {
        const WRITES: u64 = if cfg!(miri) { 60 } else { 20_000 };
        let (header, slots) = (Line::default(), lines(4));
        let ring = Ring::new(&header, &slots);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for value in 1..=WRITES {
                    ring.push([value; PAYLOAD]);
                }
            });
            let mut seq = 1;
            while seq <= WRITES {
                match ring.look(seq) {
                    Look::Event(payload) => assert_eq!(payload, [seq; PAYLOAD]),
                    Look::Overwritten => {}
                    Look::Pending => {
                        std::thread::yield_now();
                        continue;
                    }
                }
                seq += 1;
            }
        });
        assert_eq!(ring.dropped(), 0);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use alloc::sync::Arc;

    struct Memory {
        header: Line,
        slots: Vec<Line>,
    }

    impl Memory {
        fn new(slots: usize) -> Arc<Memory> {
            Arc::new(Memory { header: Line::default(), slots: (0..slots).map(|_| Line::default()).collect() })
        }

        fn ring(&self) -> Ring<'_> {
            Ring::new(&self.header, &self.slots)
        }
    }

    /// A reader at the very slot that is overwritten under it.
    #[test]
    fn ring_a_reader_sees_a_whole_event_or_none() {
        loom::model(|| {
            let memory = Memory::new(1);
            memory.ring().push([1; PAYLOAD]);
            let writer = {
                let memory = Arc::clone(&memory);
                loom::thread::spawn(move || memory.ring().push([2; PAYLOAD]))
            };
            for seq in [1, 2] {
                if let Look::Event(payload) = memory.ring().look(seq) {
                    assert_eq!(payload, [seq; PAYLOAD]);
                }
            }
            assert_eq!(writer.join().unwrap(), 2);
            assert_eq!(memory.ring().look(2), Look::Event([2; PAYLOAD]));
            assert_eq!(memory.ring().look(1), Look::Overwritten);
        });
    }

    /// Two writers that are a lap apart at one slot: one of them may give up, none garbles the other.
    #[test]
    fn ring_two_writers_of_one_slot_do_not_mix() {
        loom::model(|| {
            let memory = Memory::new(1);
            let writer = |memory: &Arc<Memory>, value: u64| {
                let memory = Arc::clone(memory);
                loom::thread::spawn(move || (memory.ring().push([value; PAYLOAD]), value))
            };
            let writers = [writer(&memory, 10), writer(&memory, 20)];
            let written = writers.map(|writer| writer.join().unwrap());
            let ring = memory.ring();
            let kept = written.iter().filter(|(seq, _)| *seq != 0).count() as u64;
            assert_eq!(ring.head(), 2);
            assert_eq!(kept + ring.dropped(), 2);
            let newest = written.iter().filter(|(seq, _)| *seq != 0).max().copied();
            let (seq, value) = newest.expect("one of them got the slot");
            assert_eq!(ring.look(seq), Look::Event([value; PAYLOAD]));
        });
    }
}
