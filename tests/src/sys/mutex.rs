//! The C library's mutex, with the attributes that the standard library does not offer.

use std::cell::UnsafeCell;

/// A mutex whose owner inherits priorities; robust if asked for. It lives for ever.
pub(crate) struct PiMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a mutex is made to be used by several threads.
unsafe impl Sync for PiMutex {}

impl PiMutex {
    pub(crate) fn new(robust: bool) -> &'static PiMutex {
        let mutex = Box::leak(Box::new(PiMutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER))));
        let mut attributes: libc::pthread_mutexattr_t = super::zeroed();
        // SAFETY: the attributes are initialised before they are used, the mutex is not used yet.
        unsafe {
            assert_eq!(libc::pthread_mutexattr_init(&mut attributes), 0);
            assert_eq!(libc::pthread_mutexattr_setprotocol(&mut attributes, libc::PTHREAD_PRIO_INHERIT), 0);
            if robust {
                assert_eq!(libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST), 0);
            }
            assert_eq!(libc::pthread_mutex_init(mutex.0.get(), &attributes), 0);
        }
        mutex
    }

    /// The C library's error number.
    pub(crate) fn lock(&self) -> i32 {
        // SAFETY: the mutex is initialised.
        unsafe { libc::pthread_mutex_lock(self.0.get()) }
    }

    pub(crate) fn try_lock(&self) -> i32 {
        // SAFETY: the mutex is initialised.
        unsafe { libc::pthread_mutex_trylock(self.0.get()) }
    }

    pub(crate) fn unlock(&self) -> i32 {
        // SAFETY: the mutex is initialised.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) }
    }

    /// After a lock that answered `EOWNERDEAD`.
    pub(crate) fn make_consistent(&self) -> i32 {
        // SAFETY: the mutex is initialised.
        unsafe { libc::pthread_mutex_consistent(self.0.get()) }
    }
}
