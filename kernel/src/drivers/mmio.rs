//! Device registers in memory.

use core::marker::PhantomData;

use crate::memory;

/// The registers of one device, mapped uncached for as long as the kernel runs.
#[derive(Debug)]
pub struct Registers<T> {
    base: *mut T,
    bytes: usize,
    _plain: PhantomData<T>,
}

// SAFETY: a register access is a single volatile load or store, which any CPU may do at any time; what it
// means to the device is the driver's concern.
unsafe impl<T> Send for Registers<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Registers<T> {}

impl Registers<u32> {
    /// Maps `bytes` of registers at physical address `physical`.
    ///
    /// # Safety
    ///
    /// A device of 32-bit registers answers there, and none of its registers makes it write to memory.
    #[must_use]
    pub unsafe fn map(physical: u64, bytes: usize) -> Self {
        Registers { base: memory::map_device(physical, bytes).cast(), bytes, _plain: PhantomData }
    }

    /// Reads the register at byte `offset`.
    #[inline]
    #[must_use]
    pub fn read(&self, offset: usize) -> u32 {
        self.check(offset);
        // SAFETY: `map` promised a device; the offset lies in its mapping and is aligned.
        unsafe { self.base.byte_add(offset).read_volatile() }
    }

    /// Writes the register at byte `offset`.
    #[inline]
    pub fn write(&self, offset: usize, value: u32) {
        self.check(offset);
        // SAFETY: as in `read`.
        unsafe { self.base.byte_add(offset).write_volatile(value) }
    }

    #[inline]
    fn check(&self, offset: usize) {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "no register at {offset:#x}");
    }
}
