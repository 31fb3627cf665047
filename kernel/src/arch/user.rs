//! `run_user`: into ring 3 and back.
//!
//! A thread's registers lie in its future. TSS.RSP0 points to the end of them, so the processor pushes a
//! trap's frame right into place, and the entry code returns from here (trap/user.s).

use core::sync::atomic::Ordering;

use syscalls::machine::{FaultAccess, Registers, Trap, UserContext};

use super::cpu_area::CpuArea;
use super::features::BaseRegister;
use super::fpu::FpuArea;
use super::segments::{USER_CODE, USER_DATA};
use super::trap::{self, frame, interrupts};

/// Which instruction leaves the kernel.
macro_rules! enter {
    ($way:literal, $registers:expr) => {{
        let trapped: u64;
        // The kernel's callee-saved registers are the compiler's to save, and only those it uses.
        core::arch::asm!(
            "lea rax, [rip + 2f]",
            concat!("jmp ", $way),
            "2:",
            inout("rdi") $registers => _,
            out("rax") trapped,
            out("rcx") _, out("rdx") _, out("rsi") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
        trapped != 0
    }};
}

/// What a program may have in its flags: CF PF AF ZF SF TF DF OF NT RF AC ID.
const USER_FLAGS: u64 = 0x0025_4dd5;
/// What it always has: IF, and the bit that is always set.
const FIXED_FLAGS: u64 = 0x202;
/// Where the frame that the processor pushes ends in the registers.
const FRAME_END: u64 = core::mem::offset_of!(Registers, fs_base) as u64;
/// Bits of an address in the lower canonical half.
const USER_BITS: u32 = 47;

/// Runs the thread in the address space that is loaded, until it traps. The caller has loaded its space.
#[inline(always)]
pub(super) fn run(cpu: &CpuArea, context: &mut UserContext) -> Trap {
    let fpu = FpuArea::of(context);
    if !fpu.is_loaded(cpu) {
        switch_to(cpu, fpu);
    }
    let registers = &raw mut context.registers;
    if cpu.registers.load(Ordering::Relaxed) != registers {
        cpu.registers.store(registers, Ordering::Relaxed);
        cpu.segments.set_trap_frame_end(registers.addr() as u64 + FRAME_END);
    }
    load_bases(cpu, &mut context.registers);
    cpu.fpu_dirty.store(true, Ordering::Relaxed);
    if !context.full_restore {
        context.registers.rflags = context.registers.rflags & USER_FLAGS | FIXED_FLAGS;
        if context.registers.rip >> USER_BITS == 0 {
            // SAFETY: the registers are in place for the entry code, stay there until it returns, and hold
            // what sysret takes: a canonical rip and sanitised flags.
            if !unsafe { enter!("leave_by_sysret", registers) } {
                return Trap::Syscall;
            }
            context.full_restore = true;
            return classify(&context.registers);
        }
        context.full_restore = true;
    }
    run_by_iret(context)
}

/// The way that loads all registers.
#[inline(never)]
fn run_by_iret(context: &mut UserContext) -> Trap {
    let registers = &mut context.registers;
    registers.rflags = registers.rflags & USER_FLAGS | FIXED_FLAGS;
    registers.cs = u64::from(USER_CODE);
    registers.ss = u64::from(USER_DATA);
    if !is_canonical(registers.rip) {
        // What the program would meet at once; iretq would meet it in ring 0.
        return Trap::Exception { vector: trap::GENERAL_PROTECTION, error: 0 };
    }
    let registers: *mut Registers = registers;
    // SAFETY: as for sysret; iretq cannot fault with these selectors, flags and a canonical rip.
    if !unsafe { enter!("leave_by_iret", registers) } {
        context.full_restore = false;
        return Trap::Syscall;
    }
    classify(&context.registers)
}

fn is_canonical(address: u64) -> bool {
    let upper = address as i64 >> USER_BITS;
    upper == 0 || upper == -1
}

/// Another thread than the last one: its floating-point state, and its bases anew, for the last one may have
/// changed them by loading a selector.
#[inline]
fn switch_to(cpu: &CpuArea, fpu: &mut FpuArea) {
    fpu.load(cpu);
    for base in [&cpu.fs_base, &cpu.gs_base] {
        // A program that loads a selector makes it 0 and nothing else, for all segments begin there, and has no
        // instruction that writes it (FSGSBASE is off).
        if base.load(Ordering::Relaxed) != 0 {
            // Never equal to what a thread wants.
            base.store(u64::MAX, Ordering::Relaxed);
        }
    }
}

#[inline]
fn load_bases(cpu: &CpuArea, registers: &mut Registers) {
    for (loaded, wanted, register) in [
        (&cpu.fs_base, &mut registers.fs_base, BaseRegister::Fs),
        (&cpu.gs_base, &mut registers.gs_base, BaseRegister::KernelGs),
    ] {
        if loaded.load(Ordering::Relaxed) == *wanted {
            continue;
        }
        if *wanted >> USER_BITS != 0 {
            *wanted = 0;
        }
        // SAFETY: it is in the lower half, so canonical, and not the kernel's own base.
        unsafe { register.write(*wanted) };
        loaded.store(*wanted, Ordering::Relaxed);
    }
}

/// What a trap other than a syscall means to the thread. Handles the interrupt if it is one.
fn classify(registers: &Registers) -> Trap {
    const PRESENT: u64 = 1;
    const WRITE: u64 = 2;
    const FROM_PROGRAM: u64 = 4;
    const EXECUTE: u64 = 16;
    let (vector, error) = (registers.vector as u8, registers.error);
    if vector >= trap::FIRST_INTERRUPT {
        interrupts::dispatch(vector);
        // The thread asks its executor whether anything came of it; interrupts are rare.
        return Trap::Interrupt;
    }
    // An access that the processor made with its own rights on the program's behalf (iretq under QEMU's TCG reads
    // the stack so, against SMAP) would fault for ever, whatever is mapped: it deserves the signal of the instruction.
    if vector == trap::PAGE_FAULT && error & FROM_PROGRAM != 0 {
        let access = match error {
            error if error & EXECUTE != 0 => FaultAccess::Execute,
            error if error & WRITE != 0 => FaultAccess::Write,
            _ => FaultAccess::Read,
        };
        let address = frame::fault_address();
        return Trap::PageFault { address, access, present: error & PRESENT != 0 };
    }
    Trap::Exception { vector, error }
}
