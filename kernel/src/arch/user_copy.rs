//! Copies to and from the user memory of the address space that this CPU has loaded.
//!
//! These are the only accesses of the kernel to user addresses. A page that is missing or forbidden ends
//! the copy; the fault is expected (`.ex_table`).

use syscalls::machine::USER_END;

unsafe extern "C" {
    fn user_copy(to: u64, from: u64, length: u64) -> u64;
    fn user_compare_exchange(at: u64, current: u32, new: u32) -> u64;
}

/// How much of `[address, address + length)` lies in user space. What is behind it is cut off like a page that is
/// missing: whoever retries has to come to an address that nobody can make resident.
fn within_user_space(address: u64, length: usize) -> usize {
    length.min(USER_END.saturating_sub(address) as usize)
}

/// Copies from user address `from`; the bytes copied before the first that can't be read now.
/// Nothing beyond user space can.
pub fn copy_in(from: u64, into: &mut [u8]) -> usize {
    // SAFETY: a slice is valid for writes of its length.
    unsafe { copy_in_raw(from, into.as_mut_ptr(), into.len()) }
}

/// Copies to user address `to`; the bytes copied before the first that can't be written now.
/// Nothing beyond user space can.
pub fn copy_out(to: u64, from: &[u8]) -> usize {
    // SAFETY: a slice is valid for reads of its length.
    unsafe { copy_out_raw(to, from.as_ptr(), from.len()) }
}

/// As [`copy_in`], to raw memory.
///
/// # Safety
///
/// `into` is valid for writes of `length` bytes.
pub unsafe fn copy_in_raw(from: u64, into: *mut u8, length: usize) -> usize {
    let length = within_user_space(from, length);
    // SAFETY: the source is user memory, where faults are expected and nothing of the kernel's lies; the
    // caller vouches for the destination.
    length - unsafe { user_copy(into.addr() as u64, from, length as u64) } as usize
}

/// As [`copy_out`], from raw memory.
///
/// # Safety
///
/// `from` is valid for reads of `length` bytes.
pub unsafe fn copy_out_raw(to: u64, from: *const u8, length: usize) -> usize {
    let length = within_user_space(to, length);
    // SAFETY: the destination is user memory, where faults are expected and nothing of the kernel's lies;
    // the caller vouches for the source.
    length - unsafe { user_copy(to, from.addr() as u64, length as u64) } as usize
}

/// Replaces the aligned 32-bit word at `at` by `new` if it is `current`, atomically also towards programs on
/// other CPUs. The value found; `None` when the word is not aligned, not in user space, or not writable now.
pub fn compare_exchange(at: u64, current: u32, new: u32) -> Option<u32> {
    if !at.is_multiple_of(4) || within_user_space(at, 4) < 4 {
        return None;
    }
    // SAFETY: the word is user memory, where faults are expected and nothing of the kernel's lies.
    u32::try_from(unsafe { user_compare_exchange(at, current, new) }).ok()
}
