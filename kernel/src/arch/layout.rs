//! Where things lie in the kernel's half of the address space, and the linker's symbols.
//!
//! | from | what |
//! |---|---|
//! | `0xffff_8000_0000_0000` | physmap: all RAM, writable, never executable |
//! | `0xffff_ffff_8000_0000` | the kernel image, physical address + [`KERNEL_BASE`] |

use core::ops::Range;

/// First address of the mapping of all physical memory.
pub const PHYSMAP_BASE: u64 = 0xffff_8000_0000_0000;

/// Difference between virtual and physical addresses of the kernel image.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;

macro_rules! linker_symbols {
    ($($(#[$doc:meta])* $function:ident = $start:ident .. $end:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $function() -> Range<u64> {
                unsafe extern "C" {
                    static $start: u8;
                    static $end: u8;
                }
                (&raw const $start).addr() as u64..(&raw const $end).addr() as u64
            }
        )*
    };
}

linker_symbols! {
    /// The whole kernel image, stacks of the first CPU included.
    image = kernel_start..kernel_end;
    /// Code: readable and executable.
    text = text_start..text_end;
    /// Constants: readable.
    rodata = rodata_start..rodata_end;
    /// Variables: readable and writable. Ends with the boot stacks.
    data = data_start..data_end;
    /// Stacks of the first CPU; [`super::stacks::guard_pages`] says which pages stay unmapped.
    boot_stacks = boot_stacks..boot_stacks_end;
}

/// Physical address of a place in the kernel image.
#[must_use]
pub const fn image_to_physical(address: u64) -> u64 {
    address - KERNEL_BASE
}

/// Where the physmap shows a physical address.
#[must_use]
pub const fn physical_to_virtual(address: u64) -> u64 {
    address + PHYSMAP_BASE
}
