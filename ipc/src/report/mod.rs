//! The text of `/sys/ipc`, `/proc/<pid>/handles` and their relatives: stable columns, because programs read them.
//!
//! | module | subject |
//! |---|---|
//! | [`fields`] | what is told of an object of each kind |
//! | `rows` | whole rows, as many as fit |
//! | `lists` | all objects of one kind; all transfers |
//! | `page` | objects of all kinds, by pages; one object |
//! | `transfers` | the history of one object, by pages |
//! | `handles` | the handles of a process, and their histories, by pages |
//! | `capability` | one capability by its number |
//! | `stats` | counters |
//!
//! Nothing is written under a lock: each row's object is pinned first, then described. A text has a bound. One
//! that would be longer ends with a whole row and with a line that says where to go on; a cursor names the last
//! thing that was shown and not a position, so that it stays good while things come and go.

mod capability;
pub mod fields;
mod handles;
mod lists;
mod page;
mod rows;
mod stats;
mod transfers;

pub use capability::capability;
pub use fields::{DENTRY_FIELDS, Described, Fields, VNODE_FIELDS};
pub use handles::{handle_transfers, handle_transfers_page, handles};
pub use lists::{list, transfers};
pub use page::{OBJECTS_PAGE, objects_page, summary};
pub use stats::{hash_stats, stats};
pub use transfers::{Schema, TRANSFERS_PAGE, object_transfers, object_transfers_page};

use crate::object::ObjectRef;

/// Longest text, in bytes.
pub const TEXT_BYTES: usize = 256 << 10;
/// Most rows of a page.
pub const PAGE_MAX: u32 = 512;

/// Which page of something is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The last thing that was seen; 0 starts at the beginning.
    pub cursor: u32,
    /// Most rows.
    pub page_size: u32,
}

/// References without the one through which the row is being written.
fn references(object: &ObjectRef) -> usize {
    object.references().saturating_sub(1)
}

#[cfg(test)]
mod tests;
