//! Small values at bare user addresses, as `ioctl(2)` takes them.

use base::caller::Caller;
use base::memory::{Access, UserBuffer};
use base::{Errno, Result};

/// Copies `bytes` to `address` of the caller. A drop may leave a part written.
///
/// # Errors
///
/// `EFAULT`, `ENOMEM`.
pub async fn put_user(caller: &Caller, address: u64, bytes: &[u8]) -> Result<()> {
    let mut buffer = UserBuffer::new(&*caller.memory, address, bytes.len(), Access::Write);
    while !buffer.is_empty() {
        let rest = bytes.get(buffer.moved()..).unwrap_or_default();
        if buffer.put(rest) == Err(Errno::EFAULT) {
            buffer.fault_in().await?;
        }
    }
    Ok(())
}

/// Copies `N` bytes from `address` of the caller.
///
/// # Errors
///
/// `EFAULT`, `ENOMEM`.
pub async fn get_user<const N: usize>(caller: &Caller, address: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut buffer = UserBuffer::new(&*caller.memory, address, N, Access::Read);
    while !buffer.is_empty() {
        let moved = buffer.moved();
        if buffer.take(bytes.get_mut(moved..).unwrap_or_default()) == Err(Errno::EFAULT) {
            buffer.fault_in().await?;
        }
    }
    Ok(bytes)
}
