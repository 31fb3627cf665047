//! The stacks of a CPU: one to run on, and one for each exception that must not trust it.
//!
//! They lie in one block, a guard page below each, so that an overflow is a fault and not a
//! corruption. The first CPU's block is part of the image; the others' are allocated.
//!
//! The last 16 bytes of an exception stack hold the address of the CPU's own area: those
//! handlers may find any GS base, and read it from there.

use core::ops::Range;

use super::layout;

const PAGE: u64 = 4096;

/// Bytes of one CPU's block of stacks.
pub const BLOCK_SIZE: u64 = 0x20000;

/// A stack inside the block: offset of its first byte and of its end. The page below is its guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    start: u64,
    end: u64,
}

impl Stack {
    /// The stack that kernel code runs on.
    pub const KERNEL: Stack = Stack { start: PAGE, end: 0x12000 };
    /// Double fault: the kernel stack may have overflowed.
    pub const DOUBLE_FAULT: Stack = Stack { start: 0x13000, end: 0x15000 };
    /// NMI: comes at any instruction.
    pub const NMI: Stack = Stack { start: 0x16000, end: 0x1a000 };
    /// Machine check.
    pub const MACHINE_CHECK: Stack = Stack { start: 0x1b000, end: 0x1d000 };
    /// Debug exception: may come right after `mov ss`.
    pub const DEBUG: Stack = Stack { start: 0x1e000, end: BLOCK_SIZE };

    /// Every stack of a block.
    pub const ALL: [Stack; 5] =
        [Stack::KERNEL, Stack::DOUBLE_FAULT, Stack::NMI, Stack::MACHINE_CHECK, Stack::DEBUG];

    /// Where the stack pointer starts in the block at `block`; 16 bytes above it belong to the stack.
    #[must_use]
    pub const fn top(self, block: u64) -> u64 {
        block + self.end - 16
    }

    /// The addresses of the stack in the block at `block`.
    #[must_use]
    pub const fn range(self, block: u64) -> Range<u64> {
        block + self.start..block + self.end
    }

    /// Offset of the guard page in the block.
    #[must_use]
    pub const fn guard(self) -> u64 {
        self.start - PAGE
    }
}

/// The pages of the first CPU's block that must not be mapped.
pub fn guard_pages() -> impl Iterator<Item = u64> {
    let block = layout::boot_stacks().start;
    Stack::ALL.into_iter().map(move |stack| block + stack.guard())
}
