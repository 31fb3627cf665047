//! Whether fault points and trace points look at anything.
//!
//! Until somebody asks for the first fault since boot, each fault point is one instruction that does nothing; so is each
//! point of the classes of events that are frequent and off at first. With the first request for their [`Key`] they are
//! patched, once and for good, into jumps to where they look at what is asked for: what Linux calls a static key. There
//! is no way back, so that a program that switches faults on and off a thousand times does not have the code of the
//! kernel rewritten as often; a point of which nothing is asked any more costs a load and a branch.
//!
//! On the host, where nothing is patched, that is what it always costs.

use crate::machine;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What is asked for. Each is a bit, so that one site can belong to several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Key {
    /// Faults.
    Fault = 1,
    /// Frequent events.
    Trace = 2,
}

/// The bit of [`Key::Fault`].
pub const FAULT: u64 = Key::Fault as u64;
/// The bit of [`Key::Trace`].
pub const TRACE: u64 = Key::Trace as u64;

/// The keys that have been asked for.
static LIVE: AtomicU64 = AtomicU64::new(0);

/// True once one of `KEYS` has been asked for since boot. That is the unlikely case.
#[inline(always)]
#[must_use]
pub fn are_live<const KEYS: u64>() -> bool {
    !cfg!(feature = "no-points") && site::<KEYS>()
}

/// A site: what [`Machine::arm_points`](machine::Machine::arm_points) finds in `.point_sites` and patches.
#[cfg(target_os = "none")]
#[inline(always)]
fn site<const KEYS: u64>() -> bool {
    let mut is_live = false;
    // SAFETY: five bytes that do nothing, or a jump to the label; neither touches registers, flags or memory.
    unsafe {
        core::arch::asm!(
            "2: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00",
            ".pushsection .point_sites, \"a\", @progbits",
            ".quad 2b, {live}, {keys}",
            ".popsection",
            keys = const KEYS,
            live = label {
                core::hint::cold_path();
                is_live = true;
            },
            options(nomem, nostack, preserves_flags)
        );
    }
    is_live
}

#[cfg(not(target_os = "none"))]
#[inline]
fn site<const KEYS: u64>() -> bool {
    LIVE.load(Ordering::Relaxed) & KEYS != 0
}

/// Makes the points of `key` look from now on. Nothing when they do already.
pub fn go_live(key: Key) {
    if LIVE.fetch_or(key as u64, Ordering::AcqRel) & key as u64 == 0
        && let Some(machine) = machine::installed()
    {
        machine.arm_points(key);
    }
}
