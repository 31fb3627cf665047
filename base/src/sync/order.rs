//! The check of the lock order: a set of held classes for each CPU (on the host: each thread).
//!
//! It exists in debug builds only. A release build keeps the classes for the contention counters
//! and does no work here; nor does a model, whose threads take turns on one thread of the host.

use super::LockClass;

/// Proof that a lock was entered in the held-set; goes back with [`release`].
#[derive(Clone, Copy)]
pub(super) struct Held {
    #[cfg(all(debug_assertions, not(any(loom, shuttle))))]
    bit: u64,
}

/// How a lock may be taken with respect to those already held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nesting {
    /// After every held class.
    Ordered,
    /// After every held class or beside one of its own; the caller keeps an order among equals.
    Equal,
    /// No check: a lock that is only tried cannot deadlock.
    Tried,
}

#[cfg(all(debug_assertions, not(any(loom, shuttle))))]
mod checked {
    use super::{Held, LockClass, Nesting};
    use crate::sync::nesting;

    /// Runs `change` on this CPU's held-set and stores what it returns.
    #[cfg(any(test, feature = "host"))]
    fn update(change: impl FnOnce(u64) -> u64) -> u64 {
        use std::cell::Cell;
        std::thread_local!(static HELD: Cell<u64> = const { Cell::new(0) });
        HELD.with(|held| {
            let before = held.get();
            held.set(change(before));
            before
        })
    }

    #[cfg(not(any(test, feature = "host")))]
    fn update(change: impl FnOnce(u64) -> u64) -> u64 {
        use core::sync::atomic::{AtomicU64, Ordering};
        static HELD: [AtomicU64; crate::sync::MAX_CPUS] =
            [const { AtomicU64::new(0) }; crate::sync::MAX_CPUS];
        // Before the machine is installed only the boot CPU runs.
        let cpu = if crate::machine::installed().is_some() { crate::machine::cpu_id() } else { 0 };
        let Some(held) = HELD.get(cpu) else { return 0 };
        // Only this CPU writes its word, and no interrupt handler runs while it does.
        let before = held.load(Ordering::Relaxed);
        held.store(change(before), Ordering::Relaxed);
        before
    }

    #[track_caller]
    pub(in crate::sync) fn acquire(class: LockClass, nesting: Nesting) -> Held {
        let bit = class.bit();
        let before = update(|held| held | bit);
        // All bits of later classes, and the class itself unless equals may nest.
        let forbidden = match nesting {
            Nesting::Ordered => !(bit - 1),
            Nesting::Equal => !(bit - 1) & !bit,
            Nesting::Tried => 0,
        };
        if before & forbidden != 0 {
            update(|_| before);
            report(class, before & forbidden);
        }
        nesting::count(before, class);
        // A class that was held already stays held when this guard goes.
        Held { bit: bit & !before }
    }

    pub(in crate::sync) fn release(held: Held) {
        if held.bit != 0 && update(|set| set & !held.bit) & held.bit == 0 {
            nesting::count_underflow();
        }
    }

    pub(super) fn held() -> u64 {
        update(|held| held)
    }

    #[cold]
    #[track_caller]
    fn report(class: LockClass, held: u64) -> ! {
        panic!("lock order: {class:?} taken while a lock of class set {held:#x} is held");
    }
}

#[cfg(all(debug_assertions, not(any(loom, shuttle))))]
pub(super) use checked::{acquire, release};

#[cfg(not(all(debug_assertions, not(any(loom, shuttle)))))]
#[inline(always)]
pub(super) fn acquire(_class: LockClass, _nesting: Nesting) -> Held {
    Held {}
}

#[cfg(not(all(debug_assertions, not(any(loom, shuttle)))))]
#[inline(always)]
pub(super) fn release(_held: Held) {}

/// Checks, in debug builds, that this CPU holds no lock: said where code is about to await, to call
/// out, or to enter user mode.
#[inline]
#[track_caller]
pub fn assert_none_held() {
    #[cfg(all(debug_assertions, not(any(loom, shuttle))))]
    {
        let held = checked::held();
        assert!(held == 0, "lock order: locks of class set {held:#x} are held here");
    }
}

/// Checks, in debug builds, that this CPU holds no lock of `class`: said where code is about to do something that
/// whoever waits for such a lock should not have to wait for.
#[inline]
#[track_caller]
pub fn assert_not_held(class: LockClass) {
    #[cfg(all(debug_assertions, not(any(loom, shuttle))))]
    assert!(checked::held() & class.bit() == 0, "lock order: a lock of class {class:?} is held here");
    #[cfg(not(all(debug_assertions, not(any(loom, shuttle)))))]
    let _ = class;
}
