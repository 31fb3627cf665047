//! From the entry point to Rust, and what the loader says about the machine.

pub mod start_info;

use core::arch::global_asm;

use super::stacks::{BLOCK_SIZE, Stack};
use super::{emergency, layout};

global_asm!(
    include_str!("entry.s"),
    start = sym start,
    boot_stack_top = const Stack::KERNEL.top(0),
    options(att_syntax)
);

/// First Rust code: on the boot tables and the boot stack, with interrupts off.
extern "C" fn start(start_info: u64) -> ! {
    debug_assert_eq!(layout::boot_stacks().end - layout::boot_stacks().start, BLOCK_SIZE);
    // SAFETY: the entry code passes on what the loader gave it; the boot tables map the first 4 GiB,
    // and nobody has written to memory yet.
    match unsafe { start_info::read(start_info) } {
        Ok(info) => crate::kernel_main(info),
        Err(reason) => {
            emergency::line(format_args!("boot: {reason}"));
            super::power::off(base::machine::Outcome::Panic(reason))
        }
    }
}
