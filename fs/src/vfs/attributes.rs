//! Attributes: chmod, chown, utimensat, and what writing does to them.

use alloc::sync::Arc;

use base::caller::{Caller, Capabilities};

use super::inode::{Attributes, Inode};
use super::metadata::Timestamp;

/// The content of `inode` is about to change: set-id bits go unless the caller may keep them. The times are the
/// file system's own business.
pub(crate) fn content_changes(caller: &Caller, inode: &Arc<dyn Inode>) {
    let metadata = inode.metadata();
    let Some(mode) = metadata.mode_without_set_id() else { return };
    if caller.credentials.capable(Capabilities::FSETID) {
        return;
    }
    let attributes = Attributes { mode: Some(mode), changed: Some(Timestamp::now()), ..Attributes::default() };
    // A file system without modes has no set-id bits either.
    let _ = inode.set_attributes(&attributes);
}
