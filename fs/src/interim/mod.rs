//! The wait core's signatures until the executor has them; goes away then.
#![allow(missing_docs, dead_code, clippy::all)]
pub mod pollwait {
    pub use super::events::*;
    pub use super::kind::*;
    #[derive(Clone, Copy, PartialEq, Debug)]
    pub struct Seq(u64);
    pub struct WaitSource {
        kind: WaitKind,
    }
    pub struct Wait;
    impl Wait {
        pub fn interruptible() -> Wait {
            Wait
        }
        pub fn on(self, _events: Events) -> Wait {
            self
        }
    }
    impl WaitSource {
        pub const fn new(kind: WaitKind, _object: u64) -> Self {
            WaitSource { kind }
        }
        pub fn observe(&self) -> Seq {
            Seq(0)
        }
        pub async fn wait(&self, _seen: Seq, _wait: Wait) -> Reason {
            core::future::pending().await
        }
        pub fn pass_on(&self) {}
        pub fn has_waiters(&self) -> bool {
            false
        }
        pub fn wake_one(&self, _events: Events, _reason: Reason) -> usize {
            0
        }
        pub fn wake_all(&self, _events: Events, _reason: Reason) -> usize {
            0
        }
        pub fn close(&self) {}
    }
}
pub mod lock {
    use base::sync::{LockClass, SpinGuard, SpinLock};
    pub struct Mutex<T>(SpinLock<T>);
    pub struct MutexGuard<'a, T>(core::marker::PhantomData<&'a T>);
    impl<T> Mutex<T> {
        pub const fn new(value: T) -> Self {
            Mutex(SpinLock::new(LockClass::File, value))
        }
        pub async fn lock(&self) -> MutexGuard<'_, T> {
            core::future::pending().await
        }
        pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
            self.0.try_lock()
        }
    }
    impl<T> core::ops::Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            unreachable!()
        }
    }
    impl<T> core::ops::DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            unreachable!()
        }
    }
}
mod events;
mod kind;
pub async fn yield_point() {}
