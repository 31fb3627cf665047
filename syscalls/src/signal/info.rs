//! What a signal carries. Source: `sigaction(2)`, `sigqueue(3)`; layout of `siginfo_t` on x86_64.

use crate::signal::set::Signal;

/// Bytes of a `siginfo_t`.
pub const SIGINFO_BYTES: usize = 128;

/// `si_code`: sent by kill(2).
pub const SI_USER: i32 = 0;
/// `si_code`: sent by the kernel.
pub const SI_KERNEL: i32 = 0x80;
/// `si_code`: sent by sigqueue(3).
pub const SI_QUEUE: i32 = -1;
/// `si_code`: a POSIX timer expired.
pub const SI_TIMER: i32 = -2;
/// `si_code`: sent by tgkill(2).
pub const SI_TKILL: i32 = -6;
/// `SIGCHLD`: the child exited.
pub const CLD_EXITED: i32 = 1;
/// `SIGCHLD`: a signal killed the child.
pub const CLD_KILLED: i32 = 2;
/// `SIGCHLD`: a signal killed the child, which dumped core.
pub const CLD_DUMPED: i32 = 3;
/// `SIGCHLD`: the child stopped.
pub const CLD_STOPPED: i32 = 5;
/// `SIGCHLD`: the child continued.
pub const CLD_CONTINUED: i32 = 6;
/// `SIGSEGV`: no mapping at the address.
pub const SEGV_MAPERR: i32 = 1;
/// `SIGSEGV`: the mapping forbids the access.
pub const SEGV_ACCERR: i32 = 2;
/// `SIGBUS`: misaligned access.
pub const BUS_ADRALN: i32 = 1;
/// `SIGBUS`: no such byte in the mapped file.
pub const BUS_ADRERR: i32 = 2;
/// `SIGILL`: illegal operand.
pub const ILL_ILLOPN: i32 = 2;
/// `SIGFPE`: integer division by zero.
pub const FPE_INTDIV: i32 = 1;
/// `SIGFPE`: floating-point fault that cannot be told more exactly.
pub const FPE_FLTINV: i32 = 7;
/// `SIGTRAP`: breakpoint.
pub const TRAP_BRKPT: i32 = 1;
/// `SIGTRAP`: single step.
pub const TRAP_TRACE: i32 = 2;

/// A signal with what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigInfo {
    /// Which signal.
    pub signal: Signal,
    /// Why: one of the codes above.
    pub code: i32,
    /// `si_errno`, nearly always 0.
    pub errno: i32,
    /// The part that depends on signal and code.
    pub detail: Detail,
}

/// The union of `siginfo_t`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// Sender of kill(2), tgkill(2) or sigqueue(3), with the value that sigqueue carries.
    Sender {
        /// Process id of the sender.
        pid: u32,
        /// Real user id of the sender.
        uid: u32,
        /// `si_value`.
        value: u64,
    },
    /// A child's change of state.
    Child {
        /// The child.
        pid: u32,
        /// Its real user id.
        uid: u32,
        /// Exit code or signal.
        status: i32,
        /// User time in clock ticks of 10 ms.
        utime: i64,
        /// System time in clock ticks of 10 ms.
        stime: i64,
    },
    /// A faulting access.
    Fault {
        /// The address.
        address: u64,
    },
    /// A POSIX timer.
    Timer {
        /// Timer id.
        id: i32,
        /// Expirations beyond the first.
        overrun: i32,
        /// `sigev_value`.
        value: u64,
    },
    /// Input or output became possible on a descriptor.
    Poll {
        /// Poll bits.
        band: i64,
        /// The descriptor.
        fd: i32,
    },
    /// Bytes 16.. of what a program handed to rt_sigqueueinfo(2), kept as they are.
    Raw(alloc::boxed::Box<[u8; SIGINFO_BYTES - 16]>),
}

impl SigInfo {
    /// A signal that the kernel sends without further information.
    #[must_use]
    pub fn kernel(signal: Signal) -> SigInfo {
        SigInfo { signal, code: SI_KERNEL, errno: 0, detail: Detail::None }
    }

    /// A signal from a process: kill(2), or tgkill(2) with [`SI_TKILL`].
    #[must_use]
    pub fn from_process(signal: Signal, code: i32, pid: u32, uid: u32) -> SigInfo {
        SigInfo { signal, code, errno: 0, detail: Detail::Sender { pid, uid, value: 0 } }
    }

    /// A fault of the running thread.
    #[must_use]
    pub fn fault(signal: Signal, code: i32, address: u64) -> SigInfo {
        SigInfo { signal, code, errno: 0, detail: Detail::Fault { address } }
    }

    /// The `siginfo_t`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SIGINFO_BYTES] {
        let mut out = [0; SIGINFO_BYTES];
        put(&mut out, 0, &i32::from(self.signal.number()).to_le_bytes());
        put(&mut out, 4, &self.errno.to_le_bytes());
        put(&mut out, 8, &self.code.to_le_bytes());
        match &self.detail {
            Detail::None => {}
            Detail::Sender { pid, uid, value } => {
                put(&mut out, 16, &pid.to_le_bytes());
                put(&mut out, 20, &uid.to_le_bytes());
                put(&mut out, 24, &value.to_le_bytes());
            }
            Detail::Child { pid, uid, status, utime, stime } => {
                put(&mut out, 16, &pid.to_le_bytes());
                put(&mut out, 20, &uid.to_le_bytes());
                put(&mut out, 24, &status.to_le_bytes());
                put(&mut out, 32, &utime.to_le_bytes());
                put(&mut out, 40, &stime.to_le_bytes());
            }
            Detail::Fault { address } => put(&mut out, 16, &address.to_le_bytes()),
            Detail::Timer { id, overrun, value } => {
                put(&mut out, 16, &id.to_le_bytes());
                put(&mut out, 20, &overrun.to_le_bytes());
                put(&mut out, 24, &value.to_le_bytes());
            }
            Detail::Poll { band, fd } => {
                put(&mut out, 16, &band.to_le_bytes());
                put(&mut out, 24, &fd.to_le_bytes());
            }
            Detail::Raw(bytes) => put(&mut out, 16, &bytes[..]),
        }
        out
    }

    /// Reads a `siginfo_t` that a program made; the signal is given apart, as rt_sigqueueinfo(2) has it.
    #[must_use]
    pub fn from_program(signal: Signal, bytes: &[u8; SIGINFO_BYTES]) -> SigInfo {
        let mut raw = [0; SIGINFO_BYTES - 16];
        raw.copy_from_slice(&bytes[16..]);
        let word = |at: usize| i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        SigInfo { signal, code: word(8), errno: word(4), detail: Detail::Raw(alloc::boxed::Box::new(raw)) }
    }

    /// Process id of the sender, for signalfd and for those who ask.
    #[must_use]
    pub fn sender(&self) -> Option<u32> {
        match &self.detail {
            Detail::Sender { pid, .. } | Detail::Child { pid, .. } => Some(*pid),
            _ => None,
        }
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_report_lies_where_the_abi_puts_it() {
        let info = SigInfo {
            signal: Signal::SIGCHLD,
            code: CLD_EXITED,
            errno: 0,
            detail: Detail::Child { pid: 7, uid: 8, status: 9, utime: 10, stime: 11 },
        };
        let bytes = info.to_bytes();
        assert_eq!((bytes[0], bytes[8], bytes[16], bytes[20], bytes[24]), (17, 1, 7, 8, 9));
        assert_eq!((bytes[32], bytes[40]), (10, 11));
    }

    #[test]
    fn what_a_program_queued_comes_back_as_it_was() {
        let mut bytes = [0u8; SIGINFO_BYTES];
        for (i, byte) in bytes.iter_mut().enumerate().skip(16) {
            *byte = u8::try_from(i).unwrap();
        }
        bytes[8..12].copy_from_slice(&SI_QUEUE.to_le_bytes());
        bytes[0] = 35;
        let info = SigInfo::from_program(Signal::new(35).unwrap(), &bytes);
        assert_eq!(info.to_bytes(), bytes);
    }
}
