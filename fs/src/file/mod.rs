//! Open files and descriptors.
//!
//! | module | subject |
//! |---|---|
//! | [`ops`] | what a kind of file implements; nothing in it waits |
//! | [`open_file`] | the open file description |
//! | [`transfer`] | the one loop that waits, faults in and tries again |
//! | [`table`] | a process's descriptors |
//! | [`rights`] | what a descriptor allows |
//! | [`followers`] | who wants to know when an open file goes |
//! | [`mapping`] | files in memory |
//! | [`flags`] | flag words |

mod announcement;
mod attempt;
mod control;
mod flags;
mod followers;
mod mapping;
mod open_file;
mod ops;
mod rights;
mod slots;
mod table;
mod transfer;

pub use base::memory::{get_user, put_user};
pub(crate) use control::set_length;
pub use flags::{AccessMode, IoFlags, OpenFlags, decode_rwf, rwf};
pub use followers::Follower;
pub use mapping::{Mappable, Mapping, MappingObserver};
pub use open_file::{
    FileOwner, OPEN_FILES_MAX, OpenFile, OwnerKind, open_files, seek_within, seek_without_end,
};
pub use ops::{ALWAYS_READY, Expiry, FileOps, Io, Patience, Sources, Whence};
pub use rights::FdRights;
pub use table::{FdEntry, FdTable, NR_OPEN, Pinned, Reserved};
pub use transfer::{MAX_TRANSFER, Place, Way};

#[cfg(test)]
mod tests;
