//! The machine: boot, memory, traps, CPUs, interrupts, drivers.
#![no_std]
#![no_main]

extern crate alloc;

pub mod arch;
pub mod command_line;

use core::panic::PanicInfo;

use arch::boot::start_info::BootInfo;
use base::machine::Outcome;
use command_line::CommandLine;

/// The kernel's first CPU comes here from the entry code.
fn kernel_main(info: &'static BootInfo) -> ! {
    let command_line = CommandLine::new(info.command_line());
    arch::emergency::line(format_args!("kairos: booted, command line \"{}\"", command_line.text()));
    arch::power::off(Outcome::Exit(0))
}

/// Stands in until the kernel heap is there.
struct NoHeap;

// SAFETY: it never hands out memory.
unsafe impl core::alloc::GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: core::alloc::Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: core::alloc::Layout) {}
}

#[global_allocator]
static HEAP: NoHeap = NoHeap;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    arch::fatal::panic(info)
}
