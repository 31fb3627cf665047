//! Traps: the entry stubs, what happens to those from ring 0, and faults that were expected.
//!
//! Traps from ring 3 don't come here: they return from `run_user` ([`super::user`]).

pub mod frame;
pub mod interrupts;

use core::arch::global_asm;
use core::mem::offset_of;

use syscalls::machine::USER_END;

use self::frame::TrapFrame;
use super::cpu_area::CpuArea;
use super::{fatal, nmi};

pub(super) const DEBUG: u8 = 1;
pub(super) const NMI: u8 = 2;
pub(super) const DOUBLE_FAULT: u8 = 8;
pub(super) const GENERAL_PROTECTION: u8 = 13;
pub(super) const PAGE_FAULT: u8 = 14;
pub(super) const MACHINE_CHECK: u8 = 18;
/// Vectors from here on are interrupts; those below are exceptions.
pub(super) const FIRST_INTERRUPT: u8 = 32;

global_asm!(
    include_str!("macros.s"),
    include_str!("stubs.s"),
    include_str!("user.s"),
    include_str!("copy.s"),
    kernel_rsp = const offset_of!(CpuArea, kernel_rsp),
    registers = const offset_of!(CpuArea, registers),
    user_rsp = const offset_of!(CpuArea, user_rsp),
    user_end = const USER_END,
    kernel_trap = sym kernel_trap,
    urgent_trap = sym urgent_trap,
    options(att_syntax)
);

/// A place where a fault is expected, and where to go on.
#[repr(C)]
struct ExpectedFault {
    at: u64,
    resume: u64,
}

fn expected_faults() -> &'static [ExpectedFault] {
    unsafe extern "C" {
        static ex_table_start: ExpectedFault;
        static ex_table_end: ExpectedFault;
    }
    let (start, end) = (&raw const ex_table_start, &raw const ex_table_end);
    // SAFETY: the linker puts whole `.ex_table` entries, and nothing else, between the two symbols.
    unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

/// A trap from ring 0: an expected fault, an interrupt in a window or the idle halt, or a bug.
extern "C" fn kernel_trap(frame: &mut TrapFrame) {
    let vector = frame.vector as u8;
    if vector >= FIRST_INTERRUPT {
        interrupts::dispatch(vector);
        return;
    }
    // Only user addresses are touched with a plan for failure. CR2 is old unless it is a page fault.
    let user_address = vector != PAGE_FAULT || frame::fault_address() < super::layout::PHYSMAP_BASE;
    if matches!(vector, PAGE_FAULT | GENERAL_PROTECTION)
        && user_address
        && let Some(expected) = expected_faults().iter().find(|expected| expected.at == frame.rip)
    {
        frame.rip = expected.resume;
        return;
    }
    fatal::exception(frame)
}

/// NMI, double fault, machine check, and debug exceptions of the kernel, each on its own stack.
extern "C" fn urgent_trap(frame: &mut TrapFrame) {
    const TRAP_FLAG: u64 = 1 << 8;
    match frame.vector as u8 {
        NMI => nmi::handle(frame),
        // A program single-stepped into the kernel's entry; nothing here is being debugged.
        DEBUG => frame.rflags &= !TRAP_FLAG,
        _ => fatal::exception(frame),
    }
}
