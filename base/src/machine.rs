//! What the floors above ask of the hardware.
//!
//! The kernel installs its implementation once at boot; on the host the double
//! in `base::host` installs one made of threads. There is one machine per
//! program, so it is a global and not a parameter.

use core::time::Duration;

use crate::frame::Frames;
use crate::points::Key;
use crate::sync::Once;
use crate::time::Instant;

/// The hardware, as far as the floors above need it.
pub trait Machine: Sync {
    /// Time since boot on the monotonic clock.
    fn now(&self) -> Instant;

    /// Wall-clock time at boot, since 1970-01-01 UTC.
    fn wall_clock_at_boot(&self) -> Duration;

    /// Index of the CPU that runs this code, from 0.
    fn cpu_id(&self) -> usize;

    /// Number of CPUs that are online.
    fn cpu_count(&self) -> usize;

    /// Rings the bell of `cpu`: it leaves its idle halt, or user mode, and looks at its queues.
    fn kick(&self, cpu: usize);

    /// Halts this CPU until an interrupt arrives, unless `work_pending` says that there is work.
    ///
    /// `work_pending` is called with interrupts off and is the last look before the halt,
    /// so a kick that comes after it wakes the CPU.
    fn wait_for_interrupt(&self, work_pending: &dyn Fn() -> bool);

    /// Takes the interrupts that are pending now, and returns with interrupts off.
    fn interrupt_window(&self);

    /// Arms this CPU's one-shot timer for `deadline`, or disarms it.
    fn arm_timer(&self, deadline: Option<Instant>);

    /// Patches the points of `key`, so that they look from now on. Nothing where code is not patched.
    fn arm_points(&self, _key: Key) {}

    /// 64 unpredictable bits, or the next ones of the boot seed when the run is seeded.
    fn entropy(&self) -> u64;

    /// The page frames of this machine.
    fn frames(&self) -> &dyn Frames;

    /// Ends the machine's life. `outcome` goes into the result record.
    fn power_off(&self, outcome: Outcome<'_>) -> !;
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The first process ended with this exit status (128 + N for signal N).
    Exit(u8),
    /// The kernel met a state that must not be.
    Panic(&'a str),
    /// Every CPU is idle, nothing can wake a task, and work is left.
    Deadlock(&'a str),
}

static MACHINE: Once<&'static dyn Machine> = Once::new();

/// Installs the machine. The first call wins; later ones are ignored.
pub fn install(machine: &'static dyn Machine) {
    MACHINE.call_once(|| machine);
}

/// The machine this program runs on, or nothing before [`install`].
#[must_use]
pub fn installed() -> Option<&'static dyn Machine> {
    MACHINE.get().copied()
}

/// The machine this program runs on.
///
/// # Panics
///
/// Before [`install`]: nothing can run without a machine.
#[must_use]
pub fn machine() -> &'static dyn Machine {
    *MACHINE.get().expect("a machine is installed first thing at boot")
}

/// Time since boot: [`Machine::now`] without the call through the trait, for it is asked at every wait. In the kernel
/// it is one symbol that the linker resolves.
///
/// # Panics
///
/// Outside of the kernel, before [`install`].
#[inline]
#[must_use]
pub fn now() -> Instant {
    #[cfg(target_os = "none")]
    {
        unsafe extern "Rust" {
            /// Defined by the kernel; the moment of boot before its clock runs.
            safe fn kairos_now() -> Instant;
        }
        kairos_now()
    }
    #[cfg(not(target_os = "none"))]
    machine().now()
}

/// Index of the CPU that runs this code, from 0; 0 before a machine is installed.
///
/// The same answer as [`Machine::cpu_id`], for paths on which a call through the trait is dear: in the
/// kernel it is one symbol that the linker resolves and inlines.
#[inline]
#[must_use]
pub fn cpu_id() -> usize {
    #[cfg(target_os = "none")]
    {
        unsafe extern "Rust" {
            /// Defined by the kernel. Valid as soon as the CPU runs Rust code.
            safe fn kairos_cpu_id() -> usize;
        }
        kairos_cpu_id()
    }
    #[cfg(not(target_os = "none"))]
    installed().map_or(0, |machine| machine.cpu_id())
}
