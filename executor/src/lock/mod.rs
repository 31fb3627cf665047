//! Asynchronous locks, built on pollwait.
//!
//! They are fair: who comes first gets the lock first, and a release hands it over to the first
//! waiter directly. A waiter that is dropped when the lock had already been handed to it hands it on.
//! Without contention nothing is allocated and no list touched. A guard may be held across awaits
//! and dropped on any CPU; its drop never waits.

mod completion;
mod mutex;
mod rw_lock;
mod semaphore;

pub use completion::Completion;
pub use mutex::{Mutex, MutexGuard};
pub use rw_lock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Permit, Semaphore};
