//! Return addresses, by the chain of frame pointers.
//!
//! They are printed as bare kernel addresses; the runner puts the names beside them from the ELF file.

use super::cpu_area::CpuArea;
use super::emergency;
use super::trap::frame::TrapFrame;

const DEPTH: usize = 48;

/// The return addresses on one of `area`'s stacks, from frame pointer `rbp` up.
///
/// The chain is believed only while it stays on mapped pages of those stacks and goes upwards, so the
/// walk cannot fault, whatever was overwritten.
struct Frames<'a> {
    area: &'a CpuArea,
    rbp: u64,
}

impl Iterator for Frames<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let rbp = self.rbp;
        if !rbp.is_multiple_of(8) || !self.area.on_stack(rbp) || !self.area.on_stack(rbp + 15) {
            return None;
        }
        // SAFETY: both words lie on mapped pages of a stack of this CPU; whatever they hold is a u64.
        let (next, address) =
            unsafe { ((rbp as *const u64).read_volatile(), (rbp as *const u64).add(1).read_volatile()) };
        self.rbp = if next > rbp { next } else { 0 };
        (address != 0).then_some(address)
    }
}

/// Prints the chain of this CPU from `rbp` up.
pub(super) fn print(rbp: u64) {
    for address in (Frames { area: CpuArea::current(), rbp }).take(DEPTH) {
        emergency::line(format_args!("  at {address:#018x}"));
    }
}

/// Prints where this CPU was when `frame` was pushed: in the kernel, or in a program and the kernel under it.
pub(super) fn print_frame(frame: &TrapFrame) {
    const SAVED_RBP: u64 = 2 * 8;
    emergency::line(format_args!("{frame}"));
    emergency::line(format_args!("  at {:#018x}", frame.rip));
    if frame.from_user() {
        // run_user pushed rbp, rbx and the place to come back to.
        let rsp = CpuArea::current().kernel_rsp.load(core::sync::atomic::Ordering::Relaxed);
        if CpuArea::current().on_stack(rsp) && CpuArea::current().on_stack(rsp + 23) {
            // SAFETY: run_user's frame lies on mapped pages of this CPU's stack.
            print(unsafe { ((rsp + SAVED_RBP) as *const u64).read_volatile() });
        }
    } else {
        print(frame.rbp);
    }
}

/// The frame pointer of the caller.
#[inline(always)]
pub(super) fn frame_pointer() -> u64 {
    let rbp: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}
