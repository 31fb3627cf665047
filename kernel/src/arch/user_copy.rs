//! Copies to and from the user memory of the address space that this CPU has loaded.
//!
//! These are the only accesses of the kernel to user addresses. A page that is missing or forbidden ends
//! the copy; the fault is expected (`.ex_table`).

use syscalls::machine::USER_END;

unsafe extern "C" {
    fn user_copy(to: u64, from: u64, length: u64) -> u64;
    fn user_compare_exchange(at: u64, current: u32, new: u32) -> u64;
}

/// True when `[address, address + length)` lies in user space.
fn in_user_space(address: u64, length: usize) -> bool {
    address.checked_add(length as u64).is_some_and(|end| end <= USER_END)
}

/// Copies from user address `from`; the bytes copied before the first that can't be read now.
/// Nothing when the range leaves user space.
pub fn copy_in(from: u64, into: &mut [u8]) -> usize {
    // SAFETY: a slice is valid for writes of its length.
    unsafe { copy_in_raw(from, into.as_mut_ptr(), into.len()) }
}

/// Copies to user address `to`; the bytes copied before the first that can't be written now.
/// Nothing when the range leaves user space.
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
    if !in_user_space(from, length) {
        return 0;
    }
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
    if !in_user_space(to, length) {
        return 0;
    }
    // SAFETY: the destination is user memory, where faults are expected and nothing of the kernel's lies;
    // the caller vouches for the source.
    length - unsafe { user_copy(to, from.addr() as u64, length as u64) } as usize
}

/// Replaces the aligned 32-bit word at `at` by `new` if it is `current`, atomically also towards programs on
/// other CPUs. The value found; `None` when the word is not aligned, not in user space, or not writable now.
pub fn compare_exchange(at: u64, current: u32, new: u32) -> Option<u32> {
    if !at.is_multiple_of(4) || !in_user_space(at, 4) {
        return None;
    }
    // SAFETY: the word is user memory, where faults are expected and nothing of the kernel's lies.
    u32::try_from(unsafe { user_compare_exchange(at, current, new) }).ok()
}
