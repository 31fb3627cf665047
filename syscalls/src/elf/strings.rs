//! The strings of a new program, read from the space of the old one.

use alloc::vec::Vec;

use base::caller::{Limits, Resource};
use base::memory::{Access, UserMemory};
use base::{Errno, Result};
use executor::yield_point;

/// Bytes of one string, with its NUL: `MAX_ARG_STRLEN`.
pub const STRING_LIMIT: usize = 131_072;
/// Bytes that are allowed however small the stack: `ARG_MAX`.
const LEAST_BUDGET: u64 = 131_072;
/// Bytes that are never exceeded however large the stack.
const MOST_BUDGET: u64 = 6 << 20;

/// A list of strings, one after the other, each with its NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    count: usize,
}

/// Bytes that strings may still take. Source: `execve(2)`, limits on size of arguments and environment.
#[derive(Clone, Copy, Debug)]
pub struct Budget(u64);

impl Budget {
    /// A quarter of the stack's limit, less what the pointers to the strings take.
    ///
    /// # Errors
    ///
    /// `E2BIG` when the pointers alone are too many.
    pub fn new(limits: &Limits, arguments: usize, environment: usize) -> Result<Budget> {
        let bytes = (limits.soft(Resource::Stack) / 4).clamp(LEAST_BUDGET, MOST_BUDGET);
        let pointers = (arguments.max(1) as u64).saturating_add(environment as u64).saturating_mul(8);
        match bytes.checked_sub(pointers) {
            Some(left) if left > 0 => Ok(Budget(left)),
            _ => Err(Errno::E2BIG),
        }
    }

    /// Takes `bytes` from it.
    ///
    /// # Errors
    ///
    /// `E2BIG` when it has less.
    pub fn spend(&mut self, bytes: usize) -> Result<()> {
        self.0 = self.0.checked_sub(bytes as u64).ok_or(Errno::E2BIG)?;
        Ok(())
    }
}

/// Counts the pointers of a list up to its NULL; a list that is NULL itself is empty.
/// Dropping the future leaves nothing behind.
///
/// # Errors
///
/// `EFAULT`; `E2BIG` when there are more than could ever be allowed.
pub async fn count(memory: &dyn UserMemory, list: u64) -> Result<usize> {
    let mut count = 0;
    if list == 0 {
        return Ok(0);
    }
    while pointer(memory, list, count).await? != 0 {
        count += 1;
        if count as u64 > MOST_BUDGET / 8 {
            return Err(Errno::E2BIG);
        }
        yield_point().await;
    }
    Ok(count)
}

/// Reads arguments and environment of a program whose path has `filename` bytes, in Linux's order: both lists
/// are counted, then the environment is copied, then the arguments. Dropping the future leaves nothing behind.
///
/// # Errors
///
/// `EFAULT`; `E2BIG` when they are too many or too long; `ENOMEM`.
pub async fn read_all(
    memory: &dyn UserMemory,
    limits: &Limits,
    filename: usize,
    arguments: u64,
    environment: u64,
) -> Result<(Strings, Strings)> {
    let argument_count = count(memory, arguments).await?;
    let environment_count = count(memory, environment).await?;
    let mut budget = Budget::new(limits, argument_count, environment_count)?;
    budget.spend(filename + 1)?;
    let environment = Strings::read(memory, environment, environment_count, &mut budget).await?;
    let arguments = Strings::read(memory, arguments, argument_count, &mut budget).await?;
    Ok((arguments, environment))
}

async fn pointer(memory: &dyn UserMemory, list: u64, index: usize) -> Result<u64> {
    let at = list.checked_add(index as u64 * 8).ok_or(Errno::EFAULT)?;
    let mut bytes = [0; 8];
    crate::user::copy_in(memory, at, &mut bytes).await?;
    Ok(u64::from_le_bytes(bytes))
}

impl Strings {
    /// Reads `count` strings whose pointers are at `list`. Dropping the future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `E2BIG` when one is too long or all together are; `ENOMEM`.
    pub async fn read(
        memory: &dyn UserMemory,
        list: u64,
        count: usize,
        budget: &mut Budget,
    ) -> Result<Strings> {
        let mut strings = Strings::default();
        for index in 0..count {
            let at = pointer(memory, list, index).await?;
            let before = strings.bytes.len();
            strings.read_one(memory, at, budget).await?;
            budget.spend(strings.bytes.len() - before)?;
            strings.count += 1;
            yield_point().await;
        }
        Ok(strings)
    }

    async fn read_one(&mut self, memory: &dyn UserMemory, from: u64, budget: &Budget) -> Result<()> {
        let mut chunk = [0; 128];
        let mut length = 0;
        loop {
            let at = from.checked_add(length as u64).ok_or(Errno::EFAULT)?;
            let got = memory.copy_in_nofault(at, &mut chunk);
            let end = chunk[..got].iter().position(|byte| *byte == 0);
            let take = end.map_or(got, |end| end + 1);
            length += take;
            if length > STRING_LIMIT || length as u64 > budget.0 {
                return Err(Errno::E2BIG);
            }
            self.bytes.try_reserve(take).map_err(|_| Errno::ENOMEM)?;
            self.bytes.extend_from_slice(&chunk[..take]);
            if end.is_some() {
                return Ok(());
            }
            if got < chunk.len() {
                memory.fault_in(at.saturating_add(got as u64), 1, Access::Read).await?;
            }
        }
    }

    /// Adds a string, which holds no NUL.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn push(&mut self, string: &[u8]) -> Result<()> {
        self.bytes.try_reserve(string.len() + 1).map_err(|_| Errno::ENOMEM)?;
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        self.count += 1;
        Ok(())
    }

    /// The same list with its first string replaced by others: how a script's interpreter gets its arguments.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn with_first_replaced(&self, first: &[&[u8]]) -> Result<Strings> {
        let mut strings = Strings::default();
        for string in first {
            strings.push(string)?;
        }
        for string in self.iter().skip(1) {
            strings.push(string)?;
        }
        Ok(strings)
    }

    /// Number of strings.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The strings as they lie in memory, NULs included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The strings, without their NULs.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == 0).take(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::memory::KernelBytes;
    use futures_util::FutureExt;

    fn read(bytes: &[u8], list: u64, budget: &mut Budget) -> Result<Strings> {
        let memory = KernelBytes::new(bytes.to_vec());
        let read = async {
            let count = count(&memory, list).await?;
            Strings::read(&memory, list, count, budget).await
        };
        read.now_or_never().expect("kernel bytes never wait")
    }

    #[test]
    fn strings_follow_each_other() {
        let mut bytes = b"one\0\0two\0".to_vec();
        bytes.resize(16, 0);
        for pointer in [1u64, 4, 5, 0] {
            bytes.extend_from_slice(&pointer.to_le_bytes());
        }
        let strings = read(&bytes, 16, &mut Budget(100)).unwrap();
        assert_eq!(strings.iter().collect::<Vec<_>>(), [&b"ne"[..], b"", b"two"]);
        assert_eq!(strings.count(), 3);
        assert_eq!(read(&bytes, 16, &mut Budget(7)), Err(Errno::E2BIG));
        assert_eq!(read(&bytes, 24, &mut Budget(100)).map(|s| s.count()), Ok(2));
        assert_eq!(read(&bytes, 41, &mut Budget(100)), Err(Errno::EFAULT));
        let replaced = strings.with_first_replaced(&[b"sh", b"-e"]).unwrap();
        assert_eq!(replaced.iter().collect::<Vec<_>>(), [&b"sh"[..], b"-e", b"", b"two"]);
    }

    #[test]
    fn the_budget_depends_on_the_stack() {
        let limits = Limits::initial(1);
        assert_eq!(Budget::new(&limits, 0, 0).map(|b| b.0), Ok((2 << 20) - 8));
        limits.set(Resource::Stack, 4096, 4096);
        assert_eq!(Budget::new(&limits, 1, 1).map(|b| b.0), Ok(131_072 - 16));
        assert!(matches!(Budget::new(&limits, 20_000, 0), Err(Errno::E2BIG)));
    }
}
