//! What signal a processor exception becomes. Source: `signal(7)`, `sigaction(2)`.

use crate::signal::info::{
    BUS_ADRALN, FPE_FLTINV, FPE_INTDIV, ILL_ILLOPN, SI_KERNEL, TRAP_BRKPT, TRAP_TRACE,
};
use crate::signal::{SigInfo, Signal};

const DIVIDE: u8 = 0;
const DEBUG: u8 = 1;
const BREAKPOINT: u8 = 3;
const OVERFLOW: u8 = 4;
const BOUND: u8 = 5;
const INVALID_OPCODE: u8 = 6;
const X87: u8 = 16;
const ALIGNMENT: u8 = 17;
const SIMD: u8 = 19;

/// The signal for exception `vector` of the instruction at `rip`.
#[must_use]
pub fn signal_for(vector: u8, _error: u64, rip: u64) -> SigInfo {
    match vector {
        DIVIDE => SigInfo::fault(Signal::SIGFPE, FPE_INTDIV, rip),
        DEBUG => SigInfo::fault(Signal::SIGTRAP, TRAP_TRACE, rip),
        // Linux gives no address here, and the code of a signal from the kernel.
        BREAKPOINT => SigInfo { code: SI_KERNEL, ..SigInfo::fault(Signal::SIGTRAP, TRAP_BRKPT, 0) },
        INVALID_OPCODE => SigInfo::fault(Signal::SIGILL, ILL_ILLOPN, rip),
        X87 | SIMD => SigInfo::fault(Signal::SIGFPE, FPE_FLTINV, rip),
        ALIGNMENT => SigInfo::fault(Signal::SIGBUS, BUS_ADRALN, 0),
        OVERFLOW | BOUND => SigInfo::kernel(Signal::SIGSEGV),
        // A general protection fault above all: no address is known.
        _ => SigInfo::kernel(Signal::SIGSEGV),
    }
}
