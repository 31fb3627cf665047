//! The mapping of all RAM in the kernel's half.
//!
//! Invariant **P1**: after boot every frame of RAM that the firmware left to the kernel is mapped at
//! [`PHYSMAP_BASE`] + its physical address, readable, writable unless it holds the kernel's code or
//! constants, and never executable. It stays so.

use base::frame::PAGE_SIZE;

use crate::arch::layout::{PHYSMAP_BASE, physical_to_virtual};

/// Where the physmap shows the first byte of frame `number`.
#[inline]
#[must_use]
pub fn frame_pointer(number: u64) -> *mut u8 {
    physical_to_virtual(number * PAGE_SIZE as u64) as *mut u8
}

/// The frame that an address of the physmap lies in.
#[inline]
#[must_use]
pub fn frame_number(pointer: *mut u8) -> u64 {
    (pointer as u64 - PHYSMAP_BASE) / PAGE_SIZE as u64
}
