//! Copies to and from the user memory of the address space that this CPU has loaded.
//!
//! These are the only accesses of the kernel to user addresses. A page that is missing or forbidden ends
//! the copy; the fault is expected (`.ex_table`).

use syscalls::machine::USER_END;

unsafe extern "C" {
    fn user_copy_in(_: usize, from: u64, to: *mut u8, length: usize) -> usize;
    fn user_copy_out(_: usize, to: u64, from: *const u8, length: usize) -> usize;
    fn user_compare_exchange(at: u64, current: u32, new: u32) -> u64;
}

/// Copies from user address `from`; the bytes copied before the first that can't be read now.
/// Nothing beyond user space can.
#[inline]
pub fn copy_in(from: u64, into: &mut [u8]) -> usize {
    // SAFETY: a slice is valid for writes of its length.
    unsafe { copy_in_raw(from, into.as_mut_ptr(), into.len()) }
}

/// Copies to user address `to`; the bytes copied before the first that can't be written now.
/// Nothing beyond user space can.
#[inline]
pub fn copy_out(to: u64, from: &[u8]) -> usize {
    // SAFETY: a slice is valid for reads of its length.
    unsafe { copy_out_raw(to, from.as_ptr(), from.len()) }
}

/// As [`copy_in`], to raw memory.
///
/// # Safety
///
/// `into` is valid for writes of `length` bytes.
#[inline]
pub unsafe fn copy_in_raw(from: u64, into: *mut u8, length: usize) -> usize {
    // SAFETY: the source is user memory, where faults are expected and nothing of the kernel's lies; the
    // caller vouches for the destination.
    unsafe { user_copy_in(0, from, into, length) }
}

/// As [`copy_out`], from raw memory.
///
/// # Safety
///
/// `from` is valid for reads of `length` bytes.
#[inline]
pub unsafe fn copy_out_raw(to: u64, from: *const u8, length: usize) -> usize {
    // SAFETY: the destination is user memory, where faults are expected and nothing of the kernel's lies;
    // the caller vouches for the source.
    unsafe { user_copy_out(0, to, from, length) }
}

/// Replaces the aligned 32-bit word at `at` by `new` if it is `current`, atomically also towards programs on
/// other CPUs. The value found; `None` when the word is not aligned, not in user space, or not writable now.
pub fn compare_exchange(at: u64, current: u32, new: u32) -> Option<u32> {
    if !at.is_multiple_of(4) || at >= USER_END {
        return None;
    }
    // SAFETY: the word is user memory, where faults are expected and nothing of the kernel's lies.
    u32::try_from(unsafe { user_compare_exchange(at, current, new) }).ok()
}
