//! What semctl(2) reads and sets. Source: `semctl(2)`.

use alloc::vec::Vec;

use base::caller::Caller;
use base::sync::atomic::Ordering;
use base::{Errno, Result};

use super::super::now;
use super::super::permission::{self, Permissions};
use super::super::record::Record;
use super::super::settings::{OPERATIONS, SEMAPHORES, SEMAPHORES_PER_SET, SETS};
use super::set::SemaphoreSet;
use super::values::{Until, VALUE_MAX};
use super::{IN_ALL_SETS, SETS_BY_ID};

/// What is asked about one semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// `GETVAL`: its value.
    Value,
    /// `GETPID`: who operated on it last.
    Pid,
    /// `GETNCNT`: how many wait for it to grow.
    WaitForMore,
    /// `GETZCNT`: how many wait for it to be 0.
    WaitForZero,
}

/// A set, for `IPC_STAT` and for `/proc/sysvipc/sem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Owner and mode.
    pub permissions: Permissions,
    /// Number of semaphores.
    pub count: usize,
    /// When an operation was done last, in seconds since the epoch.
    pub operated: u64,
    /// When the set was made or changed last.
    pub changed: u64,
}

impl Status {
    /// `struct semid64_ds`.
    #[must_use]
    pub fn record(&self) -> Record {
        let record = self.permissions.record(0);
        record.u64(self.operated).u64(0).u64(self.changed).u64(0).u64(self.count as u64).zeros(16)
    }
}

impl SemaphoreSet {
    /// The set as it is now.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.lock();
        Status {
            permissions: state.permissions,
            count: state.values.0.len(),
            operated: state.operated,
            changed: state.changed,
        }
    }

    /// Checks that the caller may do what `wanted` says.
    ///
    /// # Errors
    ///
    /// `EACCES`.
    pub fn check(&self, caller: &Caller, wanted: i32) -> Result<()> {
        self.lock().permissions.check(&caller.credentials, wanted)
    }

    /// Answers a question about one semaphore.
    ///
    /// # Errors
    ///
    /// `EACCES`; `EINVAL` for a semaphore that is not there.
    pub fn ask(&self, caller: &Caller, index: i32, question: Question) -> Result<u64> {
        let state = self.lock();
        state.permissions.check(&caller.credentials, permission::READ)?;
        let index = u16::try_from(index).map_err(|_| Errno::EINVAL)?;
        let semaphore = state.values.get(index).ok_or(Errno::EINVAL)?;
        Ok(match question {
            Question::Value => semaphore.value.into(),
            Question::Pid => semaphore.pid.into(),
            Question::WaitForMore => state.queue.count(index, Until::More) as u64,
            Question::WaitForZero => state.queue.count(index, Until::Zero) as u64,
        })
    }

    /// `GETALL`: every value, as an array of `unsigned short`.
    ///
    /// # Errors
    ///
    /// `EACCES`, `ENOMEM`.
    pub fn values(&self, caller: &Caller) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let state = self.lock();
        state.permissions.check(&caller.credentials, permission::READ)?;
        bytes.try_reserve_exact(state.values.0.len() * 2).map_err(|_| Errno::ENOMEM)?;
        bytes.extend(state.values.0.iter().flat_map(|semaphore| semaphore.value.to_le_bytes()));
        Ok(bytes)
    }

    /// `SETVAL`: sets one semaphore, and forgets what the ends of processes would have added to it.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a semaphore that is not there; `EACCES`.
    pub fn set_value(&self, caller: &Caller, index: i32, value: u16) -> Result<()> {
        let answered = {
            let mut state = self.lock();
            let index = u16::try_from(index).map_err(|_| Errno::EINVAL)?;
            state.values.get(index).ok_or(Errno::EINVAL)?;
            state.permissions.check(&caller.credentials, permission::WRITE)?;
            if let Some(semaphore) = state.values.0.get_mut(usize::from(index)) {
                (semaphore.value, semaphore.pid) = (value, caller.pid);
            }
            state.forget_adjustments(Some(index));
            state.changed = now();
            state.serve([index])
        };
        answered.wake();
        Ok(())
    }

    /// `SETALL`: sets every semaphore from an array of `unsigned short`. The caller may, as [`SemaphoreSet::check`] said.
    ///
    /// # Errors
    ///
    /// `ERANGE` for a value that is impossible.
    pub fn set_values(&self, caller: &Caller, bytes: &[u8]) -> Result<()> {
        let (values, _) = bytes.as_chunks::<2>();
        for value in values {
            check_value(u16::from_le_bytes(*value).into())?;
        }
        let answered = {
            let mut state = self.lock();
            for (semaphore, value) in state.values.0.iter_mut().zip(values) {
                (semaphore.value, semaphore.pid) = (u16::from_le_bytes(*value), caller.pid);
            }
            state.forget_adjustments(None);
            state.changed = now();
            let count = u16::try_from(state.values.0.len()).unwrap_or(u16::MAX);
            state.serve(0..count)
        };
        answered.wake();
        Ok(())
    }
}

/// A value that a semaphore can have.
///
/// # Errors
///
/// `ERANGE` when it is none.
pub fn check_value(value: i32) -> Result<u16> {
    u16::try_from(value).ok().filter(|value| *value <= VALUE_MAX).ok_or(Errno::ERANGE)
}

/// `struct seminfo` and the highest index in use: `IPC_INFO`, or with `usage` `SEM_INFO`.
#[must_use]
pub fn info(usage: bool) -> (Record, u16) {
    /// Bytes that Linux says of an undo entry, without meaning it.
    const UNDO_BYTES: u64 = 20;
    let (sets, highest) = SETS_BY_ID.extent();
    let (in_use, semaphores) = match usage {
        true => (sets as u64, IN_ALL_SETS.load(Ordering::Relaxed)),
        false => (UNDO_BYTES, VALUE_MAX.into()),
    };
    let record = Record::default()
        .limit(SEMAPHORES.get())
        .limit(SETS.get())
        .limit(SEMAPHORES.get())
        .limit(SEMAPHORES.get())
        .limit(SEMAPHORES_PER_SET.get())
        .limit(OPERATIONS.get())
        .limit(OPERATIONS.get())
        .limit(in_use)
        .limit(VALUE_MAX.into())
        .limit(semaphores);
    (record, highest)
}
