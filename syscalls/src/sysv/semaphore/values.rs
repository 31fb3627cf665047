//! The semaphores of a set, and operations on them: all of a call, or none.

use alloc::vec::Vec;

use base::{Errno, Result};

/// Largest value of a semaphore: `SEMVMX`.
pub const VALUE_MAX: u16 = 32_767;

/// Answer `EAGAIN` instead of waiting.
const IPC_NOWAIT: u16 = 0o4000;
/// Take the change back when the process ends.
const SEM_UNDO: u16 = 0x1000;

/// One operation of semop(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which semaphore.
    pub semaphore: u16,
    /// What is added to it; 0 waits until it is 0.
    pub change: i16,
    /// Fail instead of waiting.
    pub no_wait: bool,
    /// Take it back at the end of the process.
    pub undo: bool,
}

impl Operation {
    /// Bytes of `struct sembuf`.
    pub const BYTES: usize = 6;

    /// Reads `struct sembuf`.
    #[must_use]
    pub fn decode(bytes: [u8; Self::BYTES]) -> Operation {
        let [a, b, c, d, e, f] = bytes;
        let flags = u16::from_le_bytes([e, f]);
        Operation {
            semaphore: u16::from_le_bytes([a, b]),
            change: i16::from_le_bytes([c, d]),
            no_wait: flags & IPC_NOWAIT != 0,
            undo: flags & SEM_UNDO != 0,
        }
    }
}

/// A semaphore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Semaphore {
    /// Its value, from 0 to [`VALUE_MAX`].
    pub(super) value: u16,
    /// The process that operated on it last, 0 before.
    pub(super) pid: u32,
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Until {
    /// The semaphore is 0.
    Zero,
    /// The semaphore is larger.
    More,
}

/// Why the operations of a call were not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// One of them has to wait for this semaphore.
    Wait(u16, Until),
    /// They fail.
    Error(Errno),
}

/// The semaphores of a set.
pub(super) struct Values(pub(super) Vec<Semaphore>);

impl Values {
    /// `count` semaphores of value 0. The memory is charged for.
    pub(super) fn new(count: usize) -> Result<Values> {
        let mut all = Vec::new();
        all.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        all.resize(count, Semaphore::default());
        Ok(Values(all))
    }

    pub(super) fn get(&self, index: u16) -> Option<&Semaphore> {
        self.0.get(usize::from(index))
    }

    /// Does all operations for process `pid`, or none. `adjustments` is what the process's end will add.
    pub(super) fn apply(
        &mut self,
        operations: &[Operation],
        pid: u32,
        mut adjustments: Option<&mut [i16]>,
    ) -> core::result::Result<(), Obstacle> {
        for (done, operation) in operations.iter().enumerate() {
            if let Err(obstacle) = self.apply_one(operation, adjustments.as_deref_mut()) {
                for operation in operations.iter().take(done) {
                    self.revert_one(operation, adjustments.as_deref_mut());
                }
                return Err(obstacle);
            }
        }
        for operation in operations {
            if let Some(semaphore) = self.0.get_mut(usize::from(operation.semaphore)) {
                semaphore.pid = pid;
            }
        }
        Ok(())
    }

    fn apply_one(
        &mut self,
        operation: &Operation,
        adjustments: Option<&mut [i16]>,
    ) -> core::result::Result<(), Obstacle> {
        let &Operation { semaphore: index, change, no_wait, undo } = operation;
        let Some(semaphore) = self.0.get_mut(usize::from(index)) else {
            return Err(Obstacle::Error(Errno::EFBIG));
        };
        let sum = i32::from(semaphore.value) + i32::from(change);
        let until = match change {
            0 if semaphore.value != 0 => Some(Until::Zero),
            _ if sum < 0 => Some(Until::More),
            _ => None,
        };
        match until {
            Some(_) if no_wait => return Err(Obstacle::Error(Errno::EAGAIN)),
            Some(until) => return Err(Obstacle::Wait(index, until)),
            None => {}
        }
        let value = u16::try_from(sum).ok().filter(|value| *value <= VALUE_MAX);
        let value = value.ok_or(Obstacle::Error(Errno::ERANGE))?;
        if undo && let Some(adjustment) = adjustments.and_then(|all| all.get_mut(usize::from(index))) {
            *adjustment = adjustment.checked_sub(change).ok_or(Obstacle::Error(Errno::ERANGE))?;
        }
        semaphore.value = value;
        Ok(())
    }

    /// Takes back an operation that was done and that nobody saw.
    fn revert_one(&mut self, operation: &Operation, adjustments: Option<&mut [i16]>) {
        let index = usize::from(operation.semaphore);
        if let Some(semaphore) = self.0.get_mut(index) {
            semaphore.value = semaphore.value.wrapping_add_signed(operation.change.wrapping_neg());
        }
        if operation.undo
            && let Some(adjustment) = adjustments.and_then(|all| all.get_mut(index))
        {
            *adjustment = adjustment.wrapping_add(operation.change);
        }
    }

    /// Adds what the end of process `pid` takes back, as far as values can go.
    pub(super) fn adjust(&mut self, adjustments: &[i16], pid: u32) {
        for (semaphore, adjustment) in self.0.iter_mut().zip(adjustments) {
            if *adjustment != 0 {
                let sum = i32::from(semaphore.value) + i32::from(*adjustment);
                let value = u16::try_from(sum.clamp(0, VALUE_MAX.into())).unwrap_or(0);
                *semaphore = Semaphore { value, pid };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(semaphore: u16, change: i16) -> Operation {
        Operation { semaphore, change, no_wait: false, undo: true }
    }

    fn values(values: &Values) -> Vec<u16> {
        values.0.iter().map(|semaphore| semaphore.value).collect()
    }

    #[test]
    fn operations_are_all_done_or_none() {
        let mut set = Values::new(2).unwrap();
        let mut adjustments = [0; 2];
        let mut apply = |set: &mut Values, operations: &[_]| set.apply(operations, 7, Some(&mut adjustments));
        assert_eq!(apply(&mut set, &[operation(0, 3), operation(1, 1)]), Ok(()));
        let blocked = apply(&mut set, &[operation(0, -3), operation(0, 5), operation(1, -2)]);
        assert_eq!(blocked, Err(Obstacle::Wait(1, Until::More)));
        assert_eq!(apply(&mut set, &[operation(0, 0)]), Err(Obstacle::Wait(0, Until::Zero)));
        let error = apply(&mut set, &[operation(1, -1), operation(0, i16::MAX)]);
        assert_eq!(error, Err(Obstacle::Error(Errno::ERANGE)));
        assert_eq!((values(&set), adjustments), (alloc::vec![3, 1], [-3, -1]));
        assert_eq!(set.get(0).unwrap().pid, 7);
        // The same semaphore twice in one call: down to zero, a look at the zero, up again.
        let again = [operation(0, -3), operation(0, 0), operation(0, 1)];
        assert_eq!(set.apply(&again, 8, None), Ok(()));
        assert_eq!(values(&set), [1, 1]);
    }

    #[test]
    fn what_is_taken_back_stays_in_range() {
        let mut set = Values::new(3).unwrap();
        set.0[2].value = VALUE_MAX;
        set.adjust(&[-5, 4, 9], 3);
        assert_eq!(values(&set), [0, 4, VALUE_MAX]);
    }

    #[test]
    fn adjustments_have_a_limit() {
        let mut set = Values::new(1).unwrap();
        let mut adjustments = [-32_767];
        assert_eq!(set.apply(&[operation(0, 1)], 1, Some(&mut adjustments)), Ok(()));
        let error = set.apply(&[operation(0, 1)], 1, Some(&mut adjustments));
        assert_eq!(error, Err(Obstacle::Error(Errno::ERANGE)));
        assert_eq!(adjustments, [i16::MIN]);
    }
}
