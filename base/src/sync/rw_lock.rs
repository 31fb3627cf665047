//! The reader-writer spin lock.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::LockClass;
use super::class::count_contention;
use super::order::{self, Held, Nesting};

/// A spin lock that many readers or one writer hold. Guards are not `Send`.
///
/// Readers may starve a writer, so it is for data that is read often and written seldom.
pub struct RwSpinLock<T: ?Sized> {
    class: LockClass,
    inner: spin::RwLock<T>,
}

/// Shared access to what a [`RwSpinLock`] protects.
pub struct ReadGuard<'a, T: ?Sized> {
    guard: spin::RwLockReadGuard<'a, T>,
    held: Held,
    _not_send: PhantomData<*mut ()>,
}

/// Exclusive access to what a [`RwSpinLock`] protects.
pub struct WriteGuard<'a, T: ?Sized> {
    guard: spin::RwLockWriteGuard<'a, T>,
    held: Held,
    _not_send: PhantomData<*mut ()>,
}

impl<T> RwSpinLock<T> {
    /// A lock of `class` around `value`.
    pub const fn new(class: LockClass, value: T) -> Self {
        RwSpinLock { class, inner: spin::RwLock::new(value) }
    }

    /// The value, when nobody can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> RwSpinLock<T> {
    /// Takes the lock for reading.
    ///
    /// # Panics
    ///
    /// In debug builds, when this CPU holds a lock of this class or a later one.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_, T> {
        let held = order::acquire(self.class, Nesting::Ordered);
        #[cfg(shuttle)]
        super::schedules::point();
        let guard = self.inner.try_read().unwrap_or_else(|| {
            count_contention(self.class);
            loop {
                super::spin_hint();
                if let Some(guard) = self.inner.try_read() {
                    break guard;
                }
            }
        });
        ReadGuard { guard, held, _not_send: PhantomData }
    }

    /// Takes the lock for writing.
    ///
    /// # Panics
    ///
    /// In debug builds, when this CPU holds a lock of this class or a later one.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> WriteGuard<'_, T> {
        let held = order::acquire(self.class, Nesting::Ordered);
        #[cfg(shuttle)]
        super::schedules::point();
        let guard = self.inner.try_write().unwrap_or_else(|| {
            count_contention(self.class);
            loop {
                super::spin_hint();
                if let Some(guard) = self.inner.try_write() {
                    break guard;
                }
            }
        });
        WriteGuard { guard, held, _not_send: PhantomData }
    }

    /// Takes the lock for reading if no writer holds it.
    #[track_caller]
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        let guard = self.inner.try_read()?;
        let held = order::acquire(self.class, Nesting::Tried);
        Some(ReadGuard { guard, held, _not_send: PhantomData })
    }

    /// Takes the lock for writing if nobody holds it.
    #[track_caller]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        let guard = self.inner.try_write()?;
        let held = order::acquire(self.class, Nesting::Tried);
        Some(WriteGuard { guard, held, _not_send: PhantomData })
    }

    /// The value, through exclusive access to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// The class it was made with.
    pub const fn class(&self) -> LockClass {
        self.class
    }
}

impl<T: ?Sized> fmt::Debug for RwSpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwSpinLock").field("class", &self.class).finish_non_exhaustive()
    }
}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: ?Sized> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        order::release(self.held);
    }
}

impl<T: ?Sized> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        order::release(self.held);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_excludes() {
        let lock = RwSpinLock::new(LockClass::Mount, 7);
        {
            let reader = lock.try_read();
            assert!(lock.try_read().is_some());
            assert!(lock.try_write().is_none());
            assert_eq!(reader.map(|value| *value), Some(7));
        }
        *lock.write() = 8;
        assert_eq!(*lock.read(), 8);
        crate::sync::assert_none_held();
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn reading_twice_is_an_error_because_a_writer_may_come_between() {
        let lock = RwSpinLock::new(LockClass::Mount, ());
        let _one = lock.read();
        let _two = lock.read();
    }
}
