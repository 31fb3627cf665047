//! From the entry point to Rust, and what the loader says about the machine.

pub mod start_info;

use core::arch::global_asm;

use super::cpu_area::{self, CpuArea};
use super::stacks::Stack;
use super::{features, segments};

global_asm!(
    include_str!("entry.s"),
    start = sym start,
    boot_stack_top = const Stack::KERNEL.top(0),
    options(att_syntax)
);

/// First Rust code: on the boot tables and the boot stack, with interrupts off.
extern "C" fn start(start_info: u64) -> ! {
    let area = CpuArea::create(0, 0, cpu_area::first_stacks());
    segments::fill_idt();
    area.start();
    // SAFETY: the boot tables make everything writable, and the other CPUs sleep.
    unsafe { features::patch_smap_sites() };
    // SAFETY: the entry code passes on what the loader gave it; the boot tables map the first 4 GiB,
    // and nobody has written to memory yet.
    match unsafe { start_info::read(start_info) } {
        Ok(info) => crate::boot::start(info),
        Err(reason) => panic!("{reason}"),
    }
}
