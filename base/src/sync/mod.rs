//! Spin locks with classes, atomics and once cells: the only place that names `spin` or
//! `core::sync::atomic`.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

pub use spin::{LazyLock as Lazy, Once};

/// Atomics; under a model checker, the checker's own.
pub mod atomic {
    pub use core::sync::atomic::*;
}

/// The order in which locks nest: a later class may be taken under an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the subsystems")]
pub enum LockClass {
    ProcessTable,
    Process,
    Signals,
    AddressSpace,
    PageTable,
    FdTable,
    Mount,
    Dentry,
    Inode,
    PageCache,
    File,
    Tty,
    Pipe,
    HandleTable,
    Lineage,
    Object,
    KernelBytes,
    Futex,
    WaitSource,
    ReadyList,
    Timer,
    RunQueue,
    Frames,
    Heap,
    Log,
}

/// A spin lock. Its guard is not `Send`, so no task holds one across an await.
pub struct SpinLock<T: ?Sized> {
    class: LockClass,
    inner: spin::Mutex<T>,
}

/// Exclusive access to what a [`SpinLock`] protects.
pub struct SpinGuard<'a, T: ?Sized> {
    guard: spin::MutexGuard<'a, T>,
    _not_send: PhantomData<*mut ()>,
}

impl<T> SpinLock<T> {
    /// A lock of `class` around `value`.
    pub const fn new(class: LockClass, value: T) -> Self {
        SpinLock { class, inner: spin::Mutex::new(value) }
    }

    /// The value, when nobody can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Takes the lock.
    pub fn lock(&self) -> SpinGuard<'_, T> {
        SpinGuard { guard: self.inner.lock(), _not_send: PhantomData }
    }

    /// Takes the lock if nobody holds it.
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        self.inner.try_lock().map(|guard| SpinGuard { guard, _not_send: PhantomData })
    }

    /// The value, through exclusive access to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// The class it was made with.
    pub fn class(&self) -> LockClass {
        self.class
    }
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}
