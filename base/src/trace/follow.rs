//! Reading every event once, while more are written.

use super::area::Area;
use super::event::{Event, Identity};
use super::ring::{Look, Ring};
use crate::sync::MAX_CPUS;

/// Where a reader is in each ring.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// The last sequence number that was read of each CPU's ring.
    read: [u64; MAX_CPUS],
}

/// What a reader finds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An event.
    Event(Event),
    /// So many events of this CPU were overwritten or given up before the reader came to them.
    Lost {
        /// The CPU.
        cpu: u16,
        /// Number of the last one that is lost.
        last: u64,
        /// How many.
        count: u64,
    },
}

impl Found {
    /// As a record of a stream: a loss is a record of kind 0 whose first argument is how many were lost.
    #[must_use]
    pub fn event(&self) -> Event {
        match *self {
            Found::Event(event) => event,
            Found::Lost { cpu, last, count } => Event {
                time: 0,
                seq: last,
                cpu,
                kind: 0,
                flags: 0,
                by: Identity::NONE,
                arguments: [count, 0, 0],
            },
        }
    }

    /// When it happened; a loss comes before everything.
    fn time(&self) -> u64 {
        match self {
            Found::Event(event) => event.time,
            Found::Lost { .. } => 0,
        }
    }
}

impl Cursor {
    /// The next thing to read: of what the rings hold now, the oldest. `None` at their end, for now.
    pub fn next(&mut self, area: &Area<'_>) -> Option<Found> {
        let (cpu, found) = (area.cpus().iter().zip(&self.read).enumerate())
            .filter_map(|(cpu, (ring, read))| Some((cpu, peek(ring, cpu, read + 1)?)))
            .min_by_key(|(_, found)| found.time())?;
        *self.read.get_mut(cpu)? = match &found {
            Found::Event(event) => event.seq,
            Found::Lost { last, .. } => *last,
        };
        Some(found)
    }
}

/// What a reader that waits for event `next` of `ring` finds there.
fn peek(ring: &Ring<'_>, cpu: usize, next: u64) -> Option<Found> {
    let cpu = u16::try_from(cpu).unwrap_or(u16::MAX);
    let lost_until = |last: u64| Found::Lost { cpu, last, count: last + 1 - next };
    let oldest = ring.oldest();
    if next < oldest {
        return Some(lost_until(oldest - 1));
    }
    match ring.look(next) {
        Look::Event(payload) => Some(Found::Event(Event::from_payload(next, payload))),
        Look::Overwritten => Some(lost_until(next.max(ring.oldest().saturating_sub(1)))),
        // A later one is there: this one was given up.
        Look::Pending if next < ring.head() && matches!(ring.look(next + 1), Look::Event(_)) => {
            Some(lost_until(next))
        }
        Look::Pending => None,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::trace::area::lines_for;
    use crate::trace::ring::{Line, PAYLOAD};

    #[test]
    fn a_reader_that_is_too_slow_is_told_what_it_lost() {
        let lines: Vec<Line> = (0..lines_for(2, 4)).map(|_| Line::default()).collect();
        let area = Area::format(&lines, 2);
        let push = |cpu: usize, time| area.cpus()[cpu].push([time, 1, 0, 0, 0, 0, 0]);
        let mut cursor = Cursor::default();
        assert_eq!(cursor.next(&area), None);
        push(0, 20);
        push(1, 10);
        let mut times = || match cursor.next(&area) {
            Some(Found::Event(event)) => Some(event.time),
            Some(Found::Lost { count, .. }) => Some(1000 + count),
            None => None,
        };
        assert_eq!([times(), times(), times()], [Some(10), Some(20), None]);
        for time in 1..=7 {
            push(0, time);
        }
        let read: Vec<_> = core::iter::from_fn(times).collect();
        assert_eq!(read, [1003, 4, 5, 6, 7]);
    }

    #[test]
    fn events_that_were_given_up_are_counted_as_lost() {
        let lines: Vec<Line> = (0..lines_for(1, 4)).map(|_| Line::default()).collect();
        let area = Area::format(&lines, 1);
        let ring = area.cpus()[0];
        // As if the writer of event 2 had found its slot in use.
        ring.push([1; PAYLOAD]);
        lines[1].word(0).store(2, crate::sync::atomic::Ordering::Relaxed);
        ring.push([3; PAYLOAD]);
        let mut cursor = Cursor::default();
        let found: Vec<_> = core::iter::from_fn(|| cursor.next(&area)).collect();
        assert!(matches!(
            found[..],
            [Found::Event(_), Found::Lost { last: 2, count: 1, .. }, Found::Event(Event { seq: 3, .. })]
        ));
    }
}
