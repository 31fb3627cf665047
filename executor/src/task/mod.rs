//! Tasks.
//!
//! # Life
//!
//! ```text
//!               (1) spawn
//!                  |
//!                  v     (2) popped by a CPU           (4) future is ready
//!     +-------> Ready  ------------------->  Running  ------------------> Finished
//!     |            ^                           |   |
//!     |            |  (5) woken while running  |   | (3) future is pending
//!     |            +---------------------------+   v
//!     +----------------------------------------  Blocked
//!                   (6) wake
//! ```
//!
//! Ready means: exactly one queue, inbox or CPU owns the task's runnable. Edges 5 and 6 come from
//! `async-task`, which makes a runnable out of the first wake after a poll and none out of the
//! others. The task's own waker is kept from edge 1 to edge 4, so a task ends by returning and never
//! because nobody holds a waker of it.

mod options;
mod reference;
mod shared;
mod wait;

pub use options::{NAME_LENGTH, TaskFlags, TaskOptions};
pub use reference::TaskRef;
pub(crate) use shared::{Meta, Runnable, Task};
pub use shared::{TaskState, child_key};
pub(crate) use wait::Awaited;
pub use wait::{WaitSnapshot, WakeSnapshot};
