//! The processor's time-stamp counter.

/// Its value now. Every processor of this architecture has it, and CR4.TSD is never set.
#[inline]
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: the instruction exists, is allowed in ring 0 and touches nothing but its result.
    unsafe { core::arch::x86_64::_rdtsc() }
}
