//! Copies between the kernel and a program's memory, for syscall arguments: small, and complete or
//! `EFAULT`. Bulk data goes through `base::memory::UserBuffer` instead.
//!
//! Every function copies what is resident at once and faults in the rest; dropping one of their
//! futures leaves the bytes that were already copied.

use alloc::vec::Vec;

use base::memory::{self, Access, UserMemory};
use base::{Errno, Result};

use crate::machine::check_user_range;

/// Longest path, with its end, that a program may pass.
pub const PATH_MAX: usize = 4096;

/// Copies `into.len()` bytes from the program.
///
/// # Errors
///
/// `EFAULT` when a byte is not readable.
pub async fn copy_in(memory: &dyn UserMemory, from: u64, into: &mut [u8]) -> Result<()> {
    check_user_range(from, into.len() as u64, Access::Read)?;
    memory::copy_in(memory, from, into).await
}

/// Copies `bytes` to the program.
///
/// # Errors
///
/// `EFAULT` when a byte is not writable; nothing is written when one is outside of user space.
pub async fn copy_out(memory: &dyn UserMemory, to: u64, bytes: &[u8]) -> Result<()> {
    check_user_range(to, bytes.len() as u64, Access::Write)?;
    memory::copy_out(memory, to, bytes).await
}

/// Reads `N` consecutive 64-bit words: a `timespec` is two, an `itimerspec` four.
///
/// # Errors
///
/// `EFAULT`.
pub async fn read_words<const N: usize>(memory: &dyn UserMemory, from: u64) -> Result<[u64; N]> {
    let mut words = [[0; 8]; N];
    copy_in(memory, from, words.as_flattened_mut()).await?;
    Ok(words.map(u64::from_le_bytes))
}

/// Writes 64-bit words one after the other.
///
/// # Errors
///
/// `EFAULT`; words before the fault may have been written, as on Linux.
pub async fn write_words<const N: usize>(memory: &dyn UserMemory, to: u64, words: &[u64; N]) -> Result<()> {
    copy_out(memory, to, words.map(u64::to_le_bytes).as_flattened()).await
}

/// Reads a 32-bit word.
///
/// # Errors
///
/// `EFAULT`.
pub async fn read_u32(memory: &dyn UserMemory, from: u64) -> Result<u32> {
    let mut bytes = [0; 4];
    copy_in(memory, from, &mut bytes).await?;
    Ok(u32::from_le_bytes(bytes))
}

/// Writes a 32-bit word.
///
/// # Errors
///
/// `EFAULT`.
pub async fn write_u32(memory: &dyn UserMemory, to: u64, word: u32) -> Result<()> {
    copy_out(memory, to, &word.to_le_bytes()).await
}

/// Reads a string up to its NUL, which is not part of the result.
///
/// # Errors
///
/// `EFAULT`; `too_long` when there is no NUL among the first `limit` bytes.
pub async fn read_string(
    memory: &dyn UserMemory,
    from: u64,
    limit: usize,
    too_long: Errno,
) -> Result<Vec<u8>> {
    let mut string = Vec::new();
    let mut chunk = [0; 128];
    loop {
        let at = from.wrapping_add(string.len() as u64);
        let want = chunk.len().min(limit - string.len());
        if want == 0 {
            return Err(too_long);
        }
        let got = memory.copy_in_nofault(at, &mut chunk[..want]);
        match chunk[..got].iter().position(|&byte| byte == 0) {
            Some(end) => {
                string.extend_from_slice(&chunk[..end]);
                return Ok(string);
            }
            None => string.extend_from_slice(&chunk[..got]),
        }
        if got < want {
            memory.fault_in(at.wrapping_add(got as u64), 1, Access::Read).await?;
        }
    }
}

/// Reads a path.
///
/// # Errors
///
/// `EFAULT`; `ENAMETOOLONG` when it is not shorter than [`PATH_MAX`].
pub async fn read_path(memory: &dyn UserMemory, from: u64) -> Result<Vec<u8>> {
    read_string(memory, from, PATH_MAX, Errno::ENAMETOOLONG).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::memory::KernelBytes;
    use futures_util::FutureExt;

    #[test]
    fn a_string_ends_at_its_nul_or_is_too_long() {
        let memory = KernelBytes::new(b"hello\0world".to_vec());
        let read = |from, limit| {
            read_string(&memory, from, limit, Errno::ENAMETOOLONG).now_or_never().expect("never waits")
        };
        assert_eq!(read(0, 6), Ok(b"hello".to_vec()));
        assert_eq!(read(0, 5), Err(Errno::ENAMETOOLONG));
        assert_eq!(read(6, 100), Err(Errno::EFAULT));
    }

    #[test]
    fn words_are_read_in_order() {
        let memory = KernelBytes::new([1u64.to_le_bytes(), 2u64.to_le_bytes()].concat());
        assert_eq!(read_words::<2>(&memory, 0).now_or_never(), Some(Ok([1, 2])));
        assert_eq!(read_words::<3>(&memory, 0).now_or_never(), Some(Err(Errno::EFAULT)));
    }
}
