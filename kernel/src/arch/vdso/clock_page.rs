// The page that the kernel writes and the vDSO reads. Part of both programs.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// How to turn the processor's time-stamp counter into time, under a sequence lock: a reader starts over
/// when `sequence` was odd or has changed.
#[repr(C)]
pub struct ClockPage {
    /// Odd while the kernel writes.
    pub sequence: AtomicU32,
    /// 1 when RDTSCP gives the CPU's number.
    pub numbers_cpus: AtomicU32,
    /// Value of the counter at `base`.
    pub base_ticks: AtomicU64,
    /// Nanoseconds on the monotonic clock at `base_ticks`.
    pub base: AtomicU64,
    /// Nanoseconds per tick, times 2^32.
    pub scale: AtomicU64,
    /// Wall clock minus monotonic clock, in nanoseconds.
    pub wall_offset: AtomicU64,
}
