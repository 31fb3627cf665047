//! A cell whose accesses the model checker can see.
//!
//! Code that shares a plain field under a protocol of its own (a list under a lock, a slot that one
//! CPU owns) keeps it in this cell: under `cfg(loom)` each access is checked for races, otherwise
//! it costs nothing.

#[cfg(loom)]
pub use loom::cell::UnsafeCell;

/// Like [`core::cell::UnsafeCell`], with closures that mark where an access begins and ends.
#[cfg(not(loom))]
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        UnsafeCell(core::cell::UnsafeCell::new(value))
    }

    /// Calls `access` with a pointer for reading. The caller of the pointer keeps the protocol.
    #[inline]
    pub fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
        access(self.0.get())
    }

    /// Calls `access` with a pointer for writing. The caller of the pointer keeps the protocol.
    #[inline]
    pub fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}
