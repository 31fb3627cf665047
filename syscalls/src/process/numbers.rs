//! Which numbers are free: process, thread, group and session ids come from one space.

/// Ids stay below this (`/proc/sys/kernel/pid_max`).
pub const PID_MAX: u32 = 32_768;

/// After the numbers have wrapped around, they go on from here, as on Linux: the low ones belong to
/// long-lived daemons.
pub const RESERVED: u32 = 300;

/// Hands out numbers in rising order, and wraps around.
#[derive(Debug, Default)]
pub struct Numbers {
    last: u32,
}

impl Numbers {
    /// The next number that `in_use` does not claim, or `None` when all are taken.
    pub fn next(&mut self, in_use: impl Fn(u32) -> bool) -> Option<u32> {
        let mut candidate = self.last;
        for _ in 0..PID_MAX {
            candidate += 1;
            if candidate >= PID_MAX {
                candidate = RESERVED;
            }
            if !in_use(candidate) {
                self.last = candidate;
                return Some(candidate);
            }
        }
        None
    }

    /// The number given out last: `/proc/loadavg` shows it.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_first_is_one_and_used_numbers_are_passed_over() {
        let mut numbers = Numbers::default();
        let used = BTreeSet::from([2, 3]);
        assert_eq!(numbers.next(|n| used.contains(&n)), Some(1));
        assert_eq!(numbers.next(|n| used.contains(&n)), Some(4));
    }

    #[test]
    fn after_the_wrap_low_numbers_are_left_alone() {
        let mut numbers = Numbers { last: PID_MAX - 1 };
        assert_eq!(numbers.next(|_| false), Some(RESERVED));
        let mut full = Numbers::default();
        assert_eq!(full.next(|_| true), None);
    }
}
