//! The machine: boot, memory, traps, CPUs, interrupts, drivers.
#![no_std]
#![no_main]

extern crate alloc;

pub mod arch;
pub mod command_line;
pub mod drivers;
pub mod memory;

use core::panic::PanicInfo;

use arch::boot::start_info::BootInfo;
use base::machine::Outcome;
use command_line::CommandLine;

/// The kernel's first CPU comes here from the entry code.
fn kernel_main(info: &'static BootInfo) -> ! {
    let command_line = CommandLine::new(info.command_line());
    arch::emergency::line(format_args!("kairos: booted, command line \"{}\"", command_line.text()));
    memory::init(info);
    arch::power::off(Outcome::Exit(0))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    arch::fatal::panic(info)
}
