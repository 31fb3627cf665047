//! The machine: boot, memory, traps, CPUs, interrupts, drivers.
#![no_std]
#![no_main]

extern crate alloc;

pub mod arch;
pub mod boot;
pub mod command_line;
mod console;
pub mod drivers;
mod dump;
mod first_process;
pub mod memory;
mod order;
mod proc;
#[cfg(feature = "selftest")]
mod selftest;
mod trace;

use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    arch::fatal::panic(info)
}
