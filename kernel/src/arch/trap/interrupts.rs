//! Interrupt vectors and their handlers.
//!
//! Handlers run with interrupts off, on whatever the interrupt came upon: user mode, the idle halt
//! or a window. They record and wake, nothing more (rule 2 of the house), so they find no lock held.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use base::sync::MAX_CPUS;

use crate::arch::cpu_area::CpuArea;
use crate::drivers::local_apic;

/// The 8259s are remapped to here, and masked; a spurious one may still come.
pub const LEGACY: u8 = 0x20;
/// Input 0 of the first IOAPIC; input n is at `IO_APIC + n`.
pub const IO_APIC: u8 = 0x30;
/// The local timer.
pub const TIMER: u8 = 0xf0;
/// "Look at your queues."
pub const BELL: u8 = 0xf1;
/// "Forget translations."
pub const SHOOT_DOWN: u8 = 0xf2;
/// What the local APIC delivers when an interrupt went away. Gets no end-of-interrupt.
pub const SPURIOUS: u8 = 0xff;

/// What a vector's interrupt does.
pub type Handler = fn();

static HANDLERS: [AtomicUsize; 256] = [const { AtomicUsize::new(0) }; 256];
static UNEXPECTED: AtomicUsize = AtomicUsize::new(0);

/// Interrupts of each vector that each CPU has taken. Only the CPU itself writes its counters.
static COUNTS: [[AtomicU64; 256]; MAX_CPUS] = [const { [const { AtomicU64::new(0) }; 256] }; MAX_CPUS];

/// Interrupts of `vector` that `cpu` has taken.
pub fn count(cpu: usize, vector: u8) -> u64 {
    COUNTS.get(cpu).map_or(0, |counts| counts[usize::from(vector)].load(Ordering::Relaxed))
}

/// All interrupts that all CPUs have taken.
pub fn total() -> u64 {
    COUNTS.iter().flatten().map(|count| count.load(Ordering::Relaxed)).sum()
}

/// Sets the handler of a vector from [`LEGACY`] on.
pub fn set_handler(vector: u8, handler: Handler) {
    HANDLERS[usize::from(vector)].store(handler as usize, Ordering::Release);
}

/// Interrupts that came on a vector without a handler.
pub fn unexpected() -> usize {
    UNEXPECTED.load(Ordering::Relaxed)
}

/// Runs the handler of `vector` and tells the local APIC that the interrupt is over.
pub(crate) fn dispatch(vector: u8) {
    if let Some(counts) = COUNTS.get(CpuArea::current().index()) {
        let count = &counts[usize::from(vector)];
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
    let handler = HANDLERS[usize::from(vector)].load(Ordering::Acquire);
    if handler == 0 {
        UNEXPECTED.fetch_add(1, Ordering::Relaxed);
    } else {
        // SAFETY: only `set_handler` stores here, and what it stores is a `Handler`.
        let handler = unsafe { core::mem::transmute::<usize, Handler>(handler) };
        handler();
    }
    if vector >= IO_APIC && vector != SPURIOUS {
        local_apic::end_of_interrupt();
    }
}
