//! The kernel met a state that must not be: say everything, and end the run.
//!
//! Nothing here takes a lock or allocates: whatever broke may hold them.

use core::fmt::Arguments;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::cpu_area::CpuArea;
use super::trap::frame::{self, TrapFrame};
use super::{backtrace, emergency, nmi, power, trap};

const NOBODY: usize = usize::MAX;
static PANICKING: AtomicUsize = AtomicUsize::new(NOBODY);

/// True from the first panic on.
pub(super) fn in_progress() -> bool {
    PANICKING.load(Ordering::Acquire) != NOBODY
}

/// An exception of the kernel that nobody expected.
pub(super) fn exception(frame: &TrapFrame) -> ! {
    let vector = frame.vector as u8;
    let (name, error, cr2) = (frame::name(vector), frame.error, frame::fault_address());
    let rip = frame.rip;
    if vector == trap::PAGE_FAULT || vector == trap::DOUBLE_FAULT {
        stop(format_args!("{name} at {rip:#x}, error {error:#x}, address {cr2:#x}"), Some(frame), 0)
    } else {
        stop(format_args!("{name} at {rip:#x}, error {error:#x}"), Some(frame), 0)
    }
}

/// A Rust panic.
pub fn panic(info: &PanicInfo<'_>) -> ! {
    let rbp = backtrace::frame_pointer();
    match info.location() {
        Some(at) => stop(format_args!("{} at {}:{}", info.message(), at.file(), at.line()), None, rbp),
        None => stop(format_args!("{}", info.message()), None, rbp),
    }
}

fn stop(message: Arguments<'_>, frame: Option<&TrapFrame>, rbp: u64) -> ! {
    x86_64::instructions::interrupts::disable();
    let area = CpuArea::current();
    let index = area.index();
    match PANICKING.compare_exchange(NOBODY, index, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(first) if first == index => {
            emergency::line(format_args!("cpu {index}: panic while panicking: {message}"));
            power::panicked(format_args!("panic while panicking: {message}"))
        }
        // The first one will stop this CPU and print where it is.
        Err(_) => loop {
            core::hint::spin_loop();
        },
    }
    emergency::line(format_args!("panic: cpu {index}: {message}"));
    emergency::line(format_args!("  cr3 {:#x}", frame::page_table()));
    match frame {
        Some(frame) => backtrace::print_frame(frame),
        None => backtrace::print(rbp),
    }
    nmi::ask_others(area);
    power::panicked(message)
}
