//! epoll. Source: `epoll(7)`, `epoll_create(2)`, `epoll_ctl(2)`, `epoll_wait(2)`.
//!
//! | module | subject |
//! |---|---|
//! | [`interest`] | what an item asks for, and the record that a wait reports |
//! | `list` | the items as slots, and the list of the ready through them |
//! | `ready` | that list with those who wait for it; what a file's wake does |
//! | `control` | adding, changing and removing items |
//! | `limit` | how many items a user may have |
//! | `nesting` | instances in instances: cycles and depth |
//! | `wait` | waiting |
//! | `instance` | an instance as an open file |
//!
//! ```text
//!   file's source --Watch--> Item --+
//!   file's source --Watch--> Item --+--> Ready { list, waiters, pollers } <-- Epoll { table }
//! ```
//!
//! An item is an open file under a descriptor's number. It does not keep the file open: when the file goes,
//! its items go. A wake of the file puts the item on the list of the ready and wakes one waiter, without an
//! allocation and whatever the number of items; a wait looks at what is on the list, and at nothing else.
//!
//! Beside Linux: waiters of one instance, and instances that share a file with `EPOLLEXCLUSIVE`, are served
//! in turn, where Linux wakes whoever came last.

mod control;
mod instance;
pub mod interest;
pub(crate) mod limit;
mod list;
mod nesting;
mod ready;
mod target;
mod wait;

pub use control::Operation;
pub use instance::Epoll;

#[cfg(test)]
mod tests;
