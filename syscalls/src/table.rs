//! The syscall table: every family's declarations, indexed by number.

use base::sync::Lazy;

use crate::declare::Syscall;
use crate::families;

/// Numbers below this are Linux's own; Kairos's are from [`KAIROS_FIRST`] on.
const LINUX_NUMBERS: usize = 512;

/// First number of the capability calls.
pub const KAIROS_FIRST: usize = 4600;
const KAIROS_NUMBERS: usize = 32;

struct Table {
    linux: [Option<&'static Syscall>; LINUX_NUMBERS],
    kairos: [Option<&'static Syscall>; KAIROS_NUMBERS],
}

static TABLE: Lazy<Table> = Lazy::new(|| {
    let mut table = Table { linux: [None; LINUX_NUMBERS], kairos: [None; KAIROS_NUMBERS] };
    for syscall in families::ALL.iter().copied().flatten() {
        let number = syscall.number as usize;
        let slot = match number.checked_sub(KAIROS_FIRST) {
            Some(index) => table.kairos.get_mut(index),
            None => table.linux.get_mut(number),
        };
        if let Some(slot) = slot {
            debug_assert!(slot.is_none(), "syscall {number} is declared twice");
            *slot = Some(syscall);
        }
    }
    table
});

/// The syscall with this number; `None` is `ENOSYS`.
#[must_use]
pub fn lookup(number: u64) -> Option<&'static Syscall> {
    let number = usize::try_from(number).ok()?;
    match number.checked_sub(KAIROS_FIRST) {
        Some(index) => TABLE.kairos.get(index).copied().flatten(),
        None => TABLE.linux.get(number).copied().flatten(),
    }
}

/// Calls `each` with the number and the name of every syscall, by number.
pub fn for_each(mut each: impl FnMut(u32, &'static str)) {
    let all = TABLE.linux.iter().chain(&TABLE.kairos).flatten();
    all.for_each(|syscall| each(syscall.number, syscall.name));
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
}
