//! The spin lock.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::LockClass;
#[cfg(not(loom))]
use super::class::count_contention;
use super::order::{self, Held, Nesting};

#[cfg(loom)]
use loom::sync::{Mutex as RawLock, MutexGuard as RawGuard};
#[cfg(not(loom))]
use spin::{Mutex as RawLock, MutexGuard as RawGuard};

/// A spin lock. Its guard is not `Send`, so no task holds one across an await.
pub struct SpinLock<T: ?Sized> {
    class: LockClass,
    inner: RawLock<T>,
}

/// Exclusive access to what a [`SpinLock`] protects.
pub struct SpinGuard<'a, T: ?Sized> {
    guard: RawGuard<'a, T>,
    held: Held,
    _not_send: PhantomData<*mut ()>,
}

impl<T> SpinLock<T> {
    /// A lock of `class` around `value`.
    #[cfg(not(loom))]
    pub const fn new(class: LockClass, value: T) -> Self {
        SpinLock { class, inner: RawLock::new(value) }
    }

    /// A lock of `class` around `value`.
    #[cfg(loom)]
    pub fn new(class: LockClass, value: T) -> Self {
        SpinLock { class, inner: RawLock::new(value) }
    }

    /// The value, when nobody can hold the lock any more.
    #[cfg(not(loom))]
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Takes the lock.
    ///
    /// # Panics
    ///
    /// In debug builds, when this CPU holds a lock of this class or a later one.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        self.enter(order::acquire(self.class, Nesting::Ordered))
    }

    /// Takes the lock beside another one of its class; the caller keeps an order among the two,
    /// such as that of their addresses.
    ///
    /// # Panics
    ///
    /// In debug builds, when this CPU holds a lock of a later class.
    #[inline]
    #[track_caller]
    pub fn lock_nested(&self) -> SpinGuard<'_, T> {
        self.enter(order::acquire(self.class, Nesting::Equal))
    }

    /// Takes the lock if nobody holds it.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let guard = self.try_raw()?;
        Some(SpinGuard { guard, held: order::acquire(self.class, Nesting::Tried), _not_send: PhantomData })
    }

    /// The value, through exclusive access to the lock.
    #[cfg(not(loom))]
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// The class it was made with.
    pub const fn class(&self) -> LockClass {
        self.class
    }

    #[inline]
    fn enter(&self, held: Held) -> SpinGuard<'_, T> {
        #[cfg(shuttle)]
        super::schedules::point();
        #[cfg(not(loom))]
        let guard = match self.try_raw() {
            Some(guard) => guard,
            None => self.contended(),
        };
        // The checker's own lock knows how to wait; trying first would only add steps to explore.
        #[cfg(loom)]
        let guard = self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        SpinGuard { guard, held, _not_send: PhantomData }
    }

    #[cfg(not(loom))]
    #[inline]
    fn try_raw(&self) -> Option<RawGuard<'_, T>> {
        self.inner.try_lock()
    }

    #[cfg(loom)]
    fn try_raw(&self) -> Option<RawGuard<'_, T>> {
        self.inner.try_lock().ok()
    }

    #[cfg(not(loom))]
    #[cold]
    fn contended(&self) -> RawGuard<'_, T> {
        count_contention(self.class);
        loop {
            // Only looks until the lock is free, so that waiting CPUs share the line.
            while self.inner.is_locked() {
                super::spin_hint();
            }
            if let Some(guard) = self.inner.try_lock() {
                return guard;
            }
        }
    }
}

impl<T: Default> Default for SpinLock<T> {
    /// A lock of the latest class, which may nest under every other.
    fn default() -> Self {
        SpinLock::new(LockClass::Log, T::default())
    }
}

impl<T: ?Sized> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock").field("class", &self.class).finish_non_exhaustive()
    }
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: ?Sized> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        order::release(self.held);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::contention;

    #[test]
    fn a_later_class_nests_under_an_earlier_one() {
        let process = SpinLock::new(LockClass::Process, 1);
        let queue = SpinLock::new(LockClass::RunQueue, 2);
        let outer = process.lock();
        let inner = queue.lock();
        drop(outer);
        drop(inner);
        crate::sync::assert_none_held();
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn an_earlier_class_under_a_later_one_is_an_error() {
        let process = SpinLock::new(LockClass::Process, ());
        let queue = SpinLock::new(LockClass::RunQueue, ());
        let _outer = queue.lock();
        let _inner = process.lock();
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn one_class_twice_is_an_error() {
        let (one, other) = (SpinLock::new(LockClass::Pipe, ()), SpinLock::new(LockClass::Pipe, ()));
        let _outer = one.lock();
        let _inner = other.lock();
    }

    #[test]
    fn one_class_twice_is_fine_when_the_code_says_so() {
        let (one, other) = (SpinLock::new(LockClass::Pipe, ()), SpinLock::new(LockClass::Pipe, ()));
        let outer = one.lock();
        drop(other.lock_nested());
        drop(outer);
        crate::sync::assert_none_held();
    }

    #[test]
    fn a_lock_that_is_only_tried_has_no_order() {
        let process = SpinLock::new(LockClass::Process, ());
        let queue = SpinLock::new(LockClass::RunQueue, ());
        let _outer = queue.lock();
        assert!(process.try_lock().is_some());
        assert!(queue.try_lock().is_none());
    }

    #[test]
    fn four_threads_count_together_and_contention_is_seen() {
        let lock = SpinLock::new(LockClass::Tty, 0_u32);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        *lock.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(lock.into_inner(), 2000);
        let before = contention(LockClass::Dentry);
        let held = SpinLock::new(LockClass::Dentry, ());
        std::thread::scope(|scope| {
            let guard = held.lock();
            scope.spawn(|| drop(held.lock()));
            while contention(LockClass::Dentry) == before {
                std::thread::yield_now();
            }
            drop(guard);
        });
    }
}
