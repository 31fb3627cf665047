//! The locked ranges of one file.

use alloc::vec::Vec;

use base::charge::Charge;
use base::{Errno, Result};

use super::Request;

/// Locks that one file may have.
const RECORDS_MAX: usize = 65_536;

/// Last byte of a file that can be locked.
const LAST: u64 = i64::MAX as u64;

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An open file, by its id: flock and OFD locks.
    File(u64),
    /// A descriptor table, by its id: POSIX locks.
    Table(u64),
}

/// How a range is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// With other readers.
    Shared,
    /// Alone.
    Exclusive,
}

/// A range of bytes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
}

impl Range {
    /// All of a file, however long it gets.
    pub const WHOLE: Range = Range { start: 0, end: LAST };

    /// The range of a `struct flock`, from `origin` (what its whence stands for).
    ///
    /// # Errors
    ///
    /// `EINVAL` when it begins before the file; `EOVERFLOW` when it ends too far.
    pub fn from_flock(origin: u64, start: i64, length: i64) -> Result<Range> {
        let origin = i64::try_from(origin).map_err(|_| Errno::EOVERFLOW)?;
        let start = origin.checked_add(start).ok_or(Errno::EOVERFLOW)?;
        if start < 0 {
            return Err(Errno::EINVAL);
        }
        let (first, last) = match length {
            0 => (start, i64::MAX),
            1.. => (start, start.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?),
            _ => (start.checked_add(length).filter(|first| *first >= 0).ok_or(Errno::EINVAL)?, start - 1),
        };
        Ok(Range { start: first.unsigned_abs(), end: last.unsigned_abs() })
    }

    /// Its length for a `struct flock`: 0 when it goes on for ever.
    #[must_use]
    pub fn flock_length(self) -> u64 {
        if self.end == LAST { 0 } else { self.end - self.start + 1 }
    }

    fn overlaps(self, other: Range) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// True when the two overlap or stand next to each other.
    fn touches(self, other: Range) -> bool {
        self.start <= other.end.saturating_add(1) && other.start <= self.end.saturating_add(1)
    }
}

/// One lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it.
    pub owner: Owner,
    /// Which bytes.
    pub range: Range,
    /// How.
    pub strength: Strength,
    /// The process that took it.
    pub pid: u32,
}

struct Held {
    record: Record,
    charge: Charge,
}

/// The locks of one file. Those of one owner don't overlap, and neighbours of one strength are one.
#[derive(Default)]
pub(super) struct Records(Vec<Held>);

/// Locks that have been given up: their memory is freed when the caller has let go of the spin lock.
#[must_use]
pub(super) struct Released {
    _charges: Vec<Charge>,
    weakened: bool,
}

impl Released {
    /// True when nobody who waits needs to look again.
    pub(super) fn is_empty(&self) -> bool {
        !self.weakened
    }
}

impl Records {
    /// The first lock of somebody else that stands in the way.
    pub(super) fn conflict(&self, owner: Owner, range: Range, strength: Strength) -> Option<Record> {
        self.conflicts(owner, range, strength).next()
    }

    /// All locks of others that stand in the way.
    pub(super) fn conflicts(
        &self,
        owner: Owner,
        range: Range,
        strength: Strength,
    ) -> impl Iterator<Item = Record> {
        let in_the_way = move |record: &Record| {
            record.owner != owner
                && record.range.overlaps(range)
                && (strength == Strength::Exclusive || record.strength == Strength::Exclusive)
        };
        self.0.iter().map(|held| held.record).filter(in_the_way)
    }

    /// How `owner` holds the start of the file.
    pub(super) fn strength_of(&self, owner: Owner) -> Option<Strength> {
        self.0.iter().find(|held| held.record.owner == owner).map(|held| held.record.strength)
    }

    /// All locks.
    pub(super) fn copies(&self) -> Vec<Record> {
        self.0.iter().map(|held| held.record).collect()
    }

    /// Removes all locks of `owner`.
    pub(super) fn remove_owner(&mut self, owner: Owner) -> Released {
        let mut charges = Vec::new();
        let mut at = 0;
        while let Some(held) = self.0.get(at) {
            if held.record.owner == owner {
                charges.push(self.0.swap_remove(at).charge);
            } else {
                at += 1;
            }
        }
        Released { weakened: !charges.is_empty(), _charges: charges }
    }

    /// Locks or unlocks a range.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when somebody else is in the way; `ENOLCK` when there are too many.
    pub(super) fn set(&mut self, request: Request, pid: u32, charges: [Charge; 2]) -> Result<Released> {
        let Request { owner, range, strength } = request;
        if let Some(strength) = strength
            && self.conflict(owner, range, strength).is_some()
        {
            return Err(Errno::EAGAIN);
        }
        if self.0.len() + 2 > RECORDS_MAX || self.0.try_reserve(2).is_err() {
            return Err(Errno::ENOLCK);
        }
        let mut spare = Vec::from(charges);
        let weakened = self.cut(owner, range, strength, &mut spare);
        if let Some(strength) = strength {
            self.join(Record { owner, range, strength, pid }, &mut spare);
        }
        Ok(Released { _charges: spare, weakened })
    }

    /// Takes `range` out of the owner's locks. True when others may get on now.
    fn cut(&mut self, owner: Owner, range: Range, new: Option<Strength>, spare: &mut Vec<Charge>) -> bool {
        let mut weakened = false;
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(held) = self.0.get(at) {
            let record = held.record;
            if record.owner != owner || !record.range.overlaps(range) {
                at += 1;
                continue;
            }
            weakened |=
                new.is_none() || record.strength == Strength::Exclusive && new == Some(Strength::Shared);
            spare.push(self.0.swap_remove(at).charge);
            if record.range.start < range.start {
                let left = Range { start: record.range.start, end: range.start - 1 };
                pieces.push(Record { range: left, ..record });
            }
            if record.range.end > range.end {
                let right = Range { start: range.end + 1, end: record.range.end };
                pieces.push(Record { range: right, ..record });
            }
        }
        for record in pieces {
            self.push(record, spare);
        }
        weakened
    }

    /// Adds a lock, made one with its neighbours of the same strength.
    fn join(&mut self, mut new: Record, spare: &mut Vec<Charge>) {
        let mut at = 0;
        while let Some(held) = self.0.get(at) {
            let record = held.record;
            let same = record.owner == new.owner && record.strength == new.strength;
            if same && record.range.touches(new.range) {
                new.range.start = new.range.start.min(record.range.start);
                new.range.end = new.range.end.max(record.range.end);
                spare.push(self.0.swap_remove(at).charge);
                at = 0;
            } else {
                at += 1;
            }
        }
        self.push(new, spare);
    }

    /// A change adds two locks at most, beyond those that it took out: a charge is always there.
    fn push(&mut self, record: Record, spare: &mut Vec<Charge>) {
        if let Some(charge) = spare.pop() {
            self.0.push(Held { record, charge });
        }
    }
}
