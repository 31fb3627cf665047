//! inotify. Source: `inotify(7)`.
//!
//! | module | subject |
//! |---|---|
//! | [`marks`] | who watches an inode: what the VFS asks at each event |
//! | `queue` | the events of one instance, as a read hands them out |
//! | `instance` | an instance with its watches, as an open file |
//!
//! ```text
//!   VFS event --> inode's Marks --> Mark --> Inotify { watches, queue } --> readers
//! ```
//!
//! While nobody watches anything, an event costs one load.

mod instance;
pub mod marks;
mod queue;

pub(crate) use instance::filesystem_gone;
pub use instance::{Inotify, WatchFlags};
pub(crate) use marks::{any_watches, tell};

#[cfg(test)]
mod tests;
