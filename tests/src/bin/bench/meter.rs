//! Measuring: a counter read before and after many rounds, the best of a few batches.

use std::arch::x86_64::_rdtsc;
use std::hint::black_box;

/// Batches per operation; the quickest counts, since what disturbs only ever adds.
const BATCHES: usize = 3;

/// Reads the clock that results are in.
pub(crate) struct Meter {
    in_nanoseconds: bool,
}

impl Meter {
    pub(crate) fn new(in_nanoseconds: bool) -> Meter {
        Meter { in_nanoseconds }
    }

    fn now(&self) -> u64 {
        if !self.in_nanoseconds {
            // SAFETY: reads a counter that user mode may read.
            return unsafe { _rdtsc() };
        }
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: fills the structure.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    /// The cost of one `operation`, `rounds` of them in a row, after a few to warm up.
    pub(crate) fn each<T>(&self, rounds: u64, mut operation: impl FnMut() -> T) -> u64 {
        (0..rounds.div_ceil(10)).for_each(|_| drop(black_box(operation())));
        let batch = |_| {
            let start = self.now();
            (0..rounds).for_each(|_| drop(black_box(operation())));
            (self.now() - start) / rounds
        };
        (0..BATCHES).map(batch).min().unwrap_or(0)
    }
}

/// A system call as the processor sees it; errors are negative numbers. Inlined, so that no more than
/// the loads of constants is measured with it.
#[inline(always)]
pub(crate) fn syscall(number: i64, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: each caller passes pointers that are valid for what the call does.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// A system call with up to six arguments, anything that casts to a register.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        let given = [$($argument as usize),*];
        let mut all = [0usize; 6];
        all[..given.len()].copy_from_slice(&given);
        $crate::meter::syscall(libc::$number, all)
    }};
}
pub(crate) use call;

/// Ends the program if a call that cannot fail here failed.
pub(crate) fn sure(result: isize) -> usize {
    usize::try_from(result).unwrap_or_else(|_| panic!("errno {}", -result))
}
