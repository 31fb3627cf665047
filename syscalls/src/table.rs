//! The syscall table: every family's declarations, indexed by number.

use crate::declare::Syscall;
use crate::families;

/// Numbers below this are Linux's own; Kairos's are from [`KAIROS_FIRST`] on.
const LINUX_NUMBERS: usize = 512;

/// First number of the capability calls.
pub const KAIROS_FIRST: usize = 4600;
const KAIROS_NUMBERS: usize = 32;

/// The slot of all numbers that neither Linux nor this kernel has.
const OTHER: usize = LINUX_NUMBERS + KAIROS_NUMBERS;

/// Slots there are.
pub(crate) const SLOTS: usize = OTHER + 1;

/// By slot; a slot without a syscall is `ENOSYS`.
static TABLE: [Option<&Syscall>; SLOTS] = table();

const fn table() -> [Option<&'static Syscall>; SLOTS] {
    let mut table = [None; SLOTS];
    let mut family = 0;
    while family < families::ALL.len() {
        let mut index = 0;
        while index < families::ALL[family].len() {
            let syscall = &families::ALL[family][index];
            let slot = slot(syscall.number as u64);
            assert!(slot != OTHER && table[slot].is_none(), "a number is out of range or declared twice");
            table[slot] = Some(syscall);
            index += 1;
        }
        family += 1;
    }
    table
}

/// The place of a number in what has one for each syscall.
#[inline]
pub(crate) const fn slot(number: u64) -> usize {
    const LINUX_END: u64 = LINUX_NUMBERS as u64;
    const FIRST: u64 = KAIROS_FIRST as u64;
    const LAST: u64 = FIRST + KAIROS_NUMBERS as u64 - 1;
    match number {
        0..LINUX_END => number as usize,
        FIRST..=LAST => LINUX_NUMBERS + (number - FIRST) as usize,
        _ => OTHER,
    }
}

/// The number that has `slot`; nothing for the slot of all others.
#[must_use]
pub(crate) fn number_of(slot: usize) -> Option<u64> {
    match slot {
        ..LINUX_NUMBERS => Some(slot as u64),
        LINUX_NUMBERS..OTHER => Some((KAIROS_FIRST + slot - LINUX_NUMBERS) as u64),
        _ => None,
    }
}

/// The syscall that has `slot`.
#[inline]
pub(crate) fn at(slot: usize) -> Option<&'static Syscall> {
    TABLE.get(slot).copied().flatten()
}

/// The syscall with this number; `None` is `ENOSYS`.
#[must_use]
pub fn lookup(number: u64) -> Option<&'static Syscall> {
    at(slot(number))
}

/// Calls `each` with the number and the name of every syscall, by number.
pub fn for_each(mut each: impl FnMut(u32, &'static str)) {
    TABLE.iter().flatten().for_each(|syscall| each(syscall.number, syscall.name));
}

#[cfg(test)]
mod documentation;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn no_number_and_no_name_is_declared_twice() {
        let mut names = BTreeMap::new();
        let mut numbers = BTreeMap::new();
        for syscall in families::ALL.iter().copied().flatten() {
            assert!(names.insert(syscall.name, syscall.number).is_none(), "{} twice", syscall.name);
            assert!(numbers.insert(syscall.number, syscall.name).is_none(), "{} twice", syscall.number);
            assert!(lookup(syscall.number.into()).is_some_and(|found| found.name == syscall.name));
        }
    }

    #[test]
    fn an_unknown_number_has_no_entry() {
        for number in [511, 512, 4599, 4632, u64::MAX] {
            assert!(lookup(number).is_none());
        }
    }

    #[test]
    fn every_number_has_a_slot() {
        assert_eq!((slot(0), slot(511)), (0, 511));
        assert_eq!(slot(KAIROS_FIRST as u64 + 31), OTHER - 1);
        assert!([512, 4599, 4632, u64::MAX].into_iter().all(|number| slot(number) == OTHER));
        for slot in 0..OTHER {
            assert_eq!(number_of(slot).map(super::slot), Some(slot));
        }
        assert_eq!(number_of(OTHER), None);
    }
}
