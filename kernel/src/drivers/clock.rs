//! The monotonic clock, the wall clock at boot, and each CPU's one-shot timer.
//!
//! Time is the time-stamp counter, scaled. Hypervisors keep the counters of all CPUs together.

use core::time::Duration;

use base::sync::atomic::{AtomicU64, Ordering};
use base::time::Instant;
use conquer_once::spin::OnceCell;

use super::calibrate::{self, Frequencies};
use super::{local_apic, rtc, tsc};

/// Relation between the counters and time.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Counter at boot.
    boot: u64,
    /// Nanoseconds per tick of the counter, times 2^32.
    nanoseconds: u64,
    /// Ticks of the timer per nanosecond, times 2^32.
    timer: u64,
}

static SCALE: OnceCell<Scale> = OnceCell::uninit();
/// Nanoseconds from 1970 to boot.
static WALL_AT_BOOT: AtomicU64 = AtomicU64::new(0);

const NANOSECONDS: u64 = 1_000_000_000;

/// Calibrates. The local APIC is mapped and on.
pub(super) fn init() -> Frequencies {
    let boot = tsc::ticks();
    let frequencies = calibrate::measure();
    SCALE.init_once(|| Scale {
        boot,
        nanoseconds: (u128::from(NANOSECONDS) << 32).div_euclid(u128::from(frequencies.tsc)) as u64,
        timer: (u128::from(frequencies.timer) << 32).div_euclid(u128::from(NANOSECONDS)) as u64,
    });
    let wall = rtc::unix_seconds().map(|seconds| Duration::from_secs(seconds).as_nanos() as u64);
    WALL_AT_BOOT.store(wall.map_or(0, |wall| wall.saturating_sub(now().as_nanos())), Ordering::Relaxed);
    frequencies
}

/// Ticks of the time-stamp counter in a second.
pub fn tsc_hertz() -> u64 {
    let scale = SCALE.get().map_or(0, |scale| scale.nanoseconds);
    (u128::from(NANOSECONDS) << 32).checked_div(u128::from(scale)).unwrap_or(0) as u64
}

fn multiply(value: u64, scale: u64) -> u64 {
    u64::try_from((u128::from(value) * u128::from(scale)) >> 32).unwrap_or(u64::MAX)
}

/// Time since boot; 0 before the clock is calibrated.
#[inline]
#[must_use]
pub fn now() -> Instant {
    let Some(scale) = SCALE.get() else { return Instant::BOOT };
    // Another CPU's counter may be a hair behind the first one's at boot.
    let ticks = tsc::ticks().saturating_sub(scale.boot);
    // It fits for centuries.
    Instant::from_nanos(((u128::from(ticks) * u128::from(scale.nanoseconds)) >> 32) as u64)
}

/// Wall-clock time at boot, since 1970-01-01 UTC; 0 when the machine has no clock.
#[must_use]
pub fn wall_clock_at_boot() -> Duration {
    Duration::from_nanos(WALL_AT_BOOT.load(Ordering::Relaxed))
}

/// Arms this CPU's timer for `deadline`, or disarms it. A deadline beyond the timer's reach (seconds) raises
/// the interrupt early: whoever set it looks at the clock and arms again.
pub fn arm_timer(deadline: Option<Instant>) {
    let (Some(deadline), Some(scale)) = (deadline, SCALE.get()) else {
        local_apic::arm(0);
        return;
    };
    let span = deadline.saturating_since(now());
    // One tick more, so that the interrupt never comes before the deadline.
    let counts = multiply(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), scale.timer).saturating_add(1);
    local_apic::arm(u32::try_from(counts).unwrap_or(u32::MAX));
}

/// Spins until `ready` says so or `end` has come; returns what `ready` says then. For boot and panics only.
pub fn spin_until(end: Instant, ready: impl Fn() -> bool) -> bool {
    loop {
        if ready() {
            return true;
        }
        if now() >= end {
            return ready();
        }
        core::hint::spin_loop();
    }
}

/// A point of the relation between counter and clock, for the vDSO.
#[derive(Clone, Copy, Debug)]
pub struct Relation {
    /// A value of the time-stamp counter.
    pub ticks: u64,
    /// Nanoseconds since boot at that value.
    pub nanoseconds: u64,
    /// Nanoseconds per tick, times 2^32.
    pub scale: u64,
}

/// The relation between counter and clock; everything 0 before the clock is calibrated.
#[must_use]
pub fn relation() -> Relation {
    match SCALE.get() {
        Some(scale) => Relation { ticks: scale.boot, nanoseconds: 0, scale: scale.nanoseconds },
        None => Relation { ticks: 0, nanoseconds: 0, scale: 0 },
    }
}
