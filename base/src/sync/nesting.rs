//! How often locks of some classes were taken under each other, and given back without being held.
//!
//! The counts come from the sets of held classes, so they are kept in debug builds and stay 0 elsewhere.

// Plain core atomics also under the model checker: a counter is no part of any protocol.
use core::sync::atomic::{AtomicU64, Ordering};

use super::LockClass;

/// The classes whose nesting is counted: those of the objects that handles name, and of the registry.
const PROBED: [LockClass; 3] = [LockClass::Object, LockClass::Port, LockClass::ObjectRegistry];

static NESTED: [[AtomicU64; PROBED.len()]; PROBED.len()] =
    [const { [const { AtomicU64::new(0) }; PROBED.len()] }; PROBED.len()];
static UNDERFLOWS: AtomicU64 = AtomicU64::new(0);

fn counter(outer: LockClass, inner: LockClass) -> Option<&'static AtomicU64> {
    let place = |class| PROBED.iter().position(|probed| *probed == class);
    NESTED.get(place(outer)?)?.get(place(inner)?)
}

/// How often a lock of `inner` was taken while one of `outer` was held, since boot: of channels, ports and the
/// registry. 0 in release builds, which keep no sets of held classes.
#[must_use]
pub fn nested(outer: LockClass, inner: LockClass) -> u64 {
    counter(outer, inner).map_or(0, |counter| counter.load(Ordering::Relaxed))
}

/// How often a lock was given back whose class was not held, since boot: 0 unless the kernel is wrong.
#[must_use]
pub fn underflows() -> u64 {
    UNDERFLOWS.load(Ordering::Relaxed)
}

/// A lock of `inner` was taken while those of the classes in `held` were.
#[cfg(all(debug_assertions, not(any(loom, shuttle))))]
pub(super) fn count(held: u64, inner: LockClass) {
    if held == 0 || !PROBED.contains(&inner) {
        return;
    }
    for outer in PROBED.into_iter().filter(|outer| held & outer.bit() != 0) {
        if let Some(counter) = counter(outer, inner) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A lock was given back whose class was not held.
#[cfg(all(debug_assertions, not(any(loom, shuttle))))]
#[cold]
pub(super) fn count_underflow() {
    UNDERFLOWS.fetch_add(1, Ordering::Relaxed);
}

#[cfg(all(test, debug_assertions, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::sync::SpinLock;

    #[test]
    fn a_lock_under_another_is_counted() {
        let channel = SpinLock::new(LockClass::Object, ());
        let port = SpinLock::new(LockClass::Port, ());
        let other = SpinLock::new(LockClass::Dentry, ());
        let count = || nested(LockClass::Object, LockClass::Port);
        let before = count();
        drop((channel.lock(), port.lock()));
        assert!(count() > before);
        let (before, reverse) = (count(), nested(LockClass::Port, LockClass::Object));
        let dentry = other.lock();
        drop(port.lock());
        drop(dentry);
        assert_eq!((count(), nested(LockClass::Port, LockClass::Object)), (before, reverse));
        assert_eq!((nested(LockClass::Dentry, LockClass::Port), underflows()), (0, 0));
    }
}
