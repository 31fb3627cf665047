//! The record of a signal that a signalfd hands out: `struct signalfd_siginfo` of `signalfd(2)`.

use crate::signal::info::{SI_KERNEL, SI_TIMER, SI_USER, SIGINFO_BYTES, SigInfo};
use crate::signal::set::Signal;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 128;

/// `si_code`: a descriptor became ready, told in the old way.
const SI_SIGIO: i32 = -5;
/// The highest `si_code` of its own that a signal has: of SIGCHLD and SIGIO.
const LAST_OWN_CODE: i32 = 6;

/// Which part of the union a signal fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Kill,
    Queued,
    Timer,
    Poll,
    Fault,
    Child,
}

fn layout(signal: Signal, code: i32) -> Layout {
    let own_code = code > SI_USER && code < SI_KERNEL;
    match signal {
        _ if code == SI_TIMER => Layout::Timer,
        _ if code == SI_SIGIO => Layout::Poll,
        _ if code < SI_USER => Layout::Queued,
        _ if !own_code => Layout::Kill,
        Signal::SIGILL | Signal::SIGFPE | Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGTRAP => Layout::Fault,
        Signal::SIGCHLD if code <= LAST_OWN_CODE => Layout::Child,
        _ if code <= LAST_OWN_CODE => Layout::Poll,
        _ => Layout::Kill,
    }
}

/// The record that tells of `info`.
#[must_use]
pub fn record(info: &SigInfo) -> [u8; RECORD_BYTES] {
    let from = info.to_bytes();
    let mut out = [0; RECORD_BYTES];
    // ssi_signo, ssi_errno and ssi_code lie as si_signo, si_errno and si_code do.
    out[..12].copy_from_slice(&from[..12]);
    for &(to, at, length) in parts(layout(info.signal, info.code)) {
        out[to..to + length].copy_from_slice(&from[at..at + length]);
    }
    out
}

/// (place in the record, place in the `siginfo_t`, bytes).
fn parts(layout: Layout) -> &'static [(usize, usize, usize)] {
    const PID: (usize, usize, usize) = (12, 16, 4);
    const UID: (usize, usize, usize) = (16, 20, 4);
    const FD: (usize, usize, usize) = (20, 24, 4);
    const TIMER: (usize, usize, usize) = (24, 16, 4);
    const BAND: (usize, usize, usize) = (28, 16, 4);
    const OVERRUN: (usize, usize, usize) = (32, 20, 4);
    const STATUS: (usize, usize, usize) = (40, 24, 4);
    const INT: (usize, usize, usize) = (44, 24, 4);
    const PTR: (usize, usize, usize) = (48, 24, 8);
    const UTIME: (usize, usize, usize) = (56, 32, 8);
    const STIME: (usize, usize, usize) = (64, 40, 8);
    const ADDRESS: (usize, usize, usize) = (72, 16, 8);
    const { assert!(SIGINFO_BYTES >= 48) };
    match layout {
        Layout::Kill => &[PID, UID],
        Layout::Queued => &[PID, UID, INT, PTR],
        Layout::Timer => &[TIMER, OVERRUN, INT, PTR],
        Layout::Poll => &[BAND, FD],
        Layout::Fault => &[ADDRESS],
        Layout::Child => &[PID, UID, STATUS, UTIME, STIME],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::info::{CLD_EXITED, Detail, SI_QUEUE, SI_TKILL};

    fn word(record: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(record[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn each_kind_fills_its_own_fields() {
        let from = |signal, code, detail| record(&SigInfo { signal, code, errno: 3, detail });
        let sender = || Detail::Sender { pid: 5, uid: 6, value: 0x1_0000_0007 };
        let queued = from(Signal::SIGUSR1, SI_QUEUE, sender());
        assert_eq!([0, 4, 12, 16, 44, 48, 52].map(|at| word(&queued, at)), [10, 3, 5, 6, 7, 7, 1]);
        let killed = from(Signal::SIGUSR1, SI_USER, sender());
        assert_eq!([12, 16, 44, 48].map(|at| word(&killed, at)), [5, 6, 0, 0]);
        let tkilled = from(Signal::SIGUSR1, SI_TKILL, sender());
        assert_eq!([12, 16].map(|at| word(&tkilled, at)), [5, 6]);
        let child = Detail::Child { pid: 5, uid: 6, status: 7, utime: 8, stime: 9 };
        let child = from(Signal::SIGCHLD, CLD_EXITED, child);
        assert_eq!([12, 16, 40, 56, 64].map(|at| word(&child, at)), [5, 6, 7, 8, 9]);
        let timer = from(Signal::SIGALRM, SI_TIMER, Detail::Timer { id: 5, overrun: 6, value: 7 });
        assert_eq!([12, 24, 32, 44].map(|at| word(&timer, at)), [0, 5, 6, 7]);
        let fault = from(Signal::SIGSEGV, 1, Detail::Fault { address: 0x77 });
        assert_eq!(word(&fault, 72), 0x77);
    }
}
