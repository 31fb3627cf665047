//! What is told of an object of each kind: one description for lists, pages and summaries.

use alloc::string::String;
use core::fmt::{self, Display, Write};

use crate::object::{ObjectKind, ObjectRef};

/// Takes the fields of an object in their order.
pub trait Fields {
    /// One field. The value has no blanks.
    ///
    /// # Errors
    ///
    /// As the writer behind it.
    fn field(&mut self, key: &'static str, value: &dyn Display) -> fmt::Result;
}

const CHANNEL_FIELDS: &[&str] = &[
    "handle_refs",
    "ref_handle",
    "ref_fd",
    "ref_other",
    "rxq_len",
    "peer_closed",
    "endpoint_state",
    "endpoint_closed",
];
const PORT_FIELDS: &[&str] = &["queue_len", "dropped_count"];
const FILE_FIELDS: &[&str] = &["ino", "path"];
/// The fields of a vnode: inode number, type, mode in octal, size in bytes, name, and whether it is mounted.
pub const VNODE_FIELDS: &[&str] = &["ino", "vnode_type", "mode", "size", "name", "mnt_present"];
/// The fields of a dentry: flags, path, and whether it is mounted.
pub const DENTRY_FIELDS: &[&str] = &["flags", "path", "mnt_present"];

/// The names of the fields of `kind`.
pub(super) const fn names(kind: ObjectKind) -> &'static [&'static str] {
    match kind {
        ObjectKind::Channel => CHANNEL_FIELDS,
        ObjectKind::Port => PORT_FIELDS,
        ObjectKind::File => FILE_FIELDS,
        ObjectKind::Vnode => VNODE_FIELDS,
        ObjectKind::Dentry => DENTRY_FIELDS,
    }
}

/// What a list shows in place of the fields of a vnode or dentry that died under its object.
pub(super) const fn stale(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Vnode => " 0 - 0 0 - 0",
        _ => " 0x0 - 0",
    }
}

/// What became of a description.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Described {
    /// All fields were given.
    Whole,
    /// The vnode or dentry died under its object; no field was given.
    Stale,
}

/// Gives the fields of `object`.
pub(super) fn describe(
    object: &ObjectRef,
    fields: &mut dyn Fields,
) -> core::result::Result<Described, fmt::Error> {
    if let Some(endpoint) = object.channel() {
        let status = endpoint.status();
        let [handles, descriptors, others] = status.owners;
        fields.field("handle_refs", &(handles + descriptors + others))?;
        fields.field("ref_handle", &handles)?;
        fields.field("ref_fd", &descriptors)?;
        fields.field("ref_other", &others)?;
        fields.field("rxq_len", &status.queued)?;
        fields.field("peer_closed", &u8::from(status.peer_closed))?;
        fields.field("endpoint_state", &if status.is_open { "OPEN" } else { "CLOSED" })?;
        fields.field("endpoint_closed", &u8::from(!status.is_open))?;
    } else if let Some(port) = object.port() {
        let status = port.status();
        fields.field("queue_len", &status.queued)?;
        fields.field("dropped_count", &status.dropped)?;
    } else if let Some(file) = object.file() {
        let (ino, path) = file.file().identity();
        fields.field("ino", &ino)?;
        fields.field("path", &if path.is_empty() { "-" } else { &path })?;
    } else if let Some(node) = object.tracked() {
        return node.thing().map_or(Ok(Described::Stale), |thing| thing.describe(object.kind(), fields));
    }
    Ok(Described::Whole)
}

/// Values alone, each behind a blank.
pub(super) struct Columns<'a>(pub(super) &'a mut String);

impl Fields for Columns<'_> {
    fn field(&mut self, _key: &'static str, value: &dyn Display) -> fmt::Result {
        write!(self.0, " {value}")
    }
}

/// Keys and values in a row.
pub(super) struct Pairs<'a>(pub(super) &'a mut String);

impl Fields for Pairs<'_> {
    fn field(&mut self, key: &'static str, value: &dyn Display) -> fmt::Result {
        write!(self.0, " {key}={value}")
    }
}

/// Keys and values, a line for each.
pub(super) struct Lines<'a>(pub(super) &'a mut dyn Write);

impl Fields for Lines<'_> {
    fn field(&mut self, key: &'static str, value: &dyn Display) -> fmt::Result {
        writeln!(self.0, "{key}={value}")
    }
}
