//! The history of one object, whole or by pages.

use core::fmt::{self, Write};

use super::Query;
use super::rows::Rows;
use crate::object::ObjectRef;
use crate::object::history::Transfer;

/// Rows of a page of transfers when nothing else is asked for.
pub const TRANSFERS_PAGE: u32 = 128;

/// The columns of [`transfer_row`].
pub(super) const TRANSFER_COLUMNS: &str = "seq event from_pid to_pid rights cpu ticks ns";

/// Nanoseconds of one tick of the column `ticks`.
const TICK_NS: u64 = 10_000_000;

/// The columns of one transfer.
pub(super) fn transfer_row(out: &mut dyn Write, transfer: &Transfer) -> fmt::Result {
    let Transfer { at_ns, seq, from_pid, to_pid, rights, event, cpu } = transfer;
    let (event, ticks) = (event.name(), at_ns / TICK_NS);
    writeln!(out, "{seq} {event} {from_pid} {to_pid} {rights:#x} {cpu} {ticks} {at_ns}")
}

/// The whole history.
///
/// # Errors
///
/// As the writer.
pub fn object_transfers(object: &ObjectRef, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "{TRANSFER_COLUMNS}")?;
    let mut result = Ok(());
    object.transfers(|transfer| {
        if result.is_ok() {
            result = transfer_row(out, transfer);
        }
    });
    result
}

/// For whom a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// `/sys/ipc/objects/<id>/transfers_v2`, where other files hold the cursor.
    Sysfs,
    /// `/proc/ipc/objects/<id>/transfers_v2`, whose name has the cursor: a token to append is told.
    Procfs,
}

/// A page of the history: the entries whose `seq` is greater than the cursor.
///
/// # Errors
///
/// As the writer.
pub fn object_transfers_page(
    object: &ObjectRef,
    schema: Schema,
    query: Query,
    out: &mut dyn Write,
) -> fmt::Result {
    let Query { cursor, page_size } = query;
    let name = if schema == Schema::Sysfs { "sysfs" } else { "procfs" };
    writeln!(out, "schema={name}_ipc_object_transfers_v2")?;
    writeln!(out, "obj_id={}\ntype={}", object.base().id(), object.kind().name())?;
    writeln!(out, "cursor={cursor}\npage_size={page_size}")?;
    if schema == Schema::Procfs {
        writeln!(out, "token={cursor}.{page_size}")?;
    }
    writeln!(out, "columns={TRANSFER_COLUMNS}")?;
    let mut rows = Rows::new(out);
    let (mut last, mut more, mut result) = (cursor, false, Ok(()));
    object.transfers(|transfer| {
        if transfer.seq <= cursor || result.is_err() {
        } else if rows.count() == page_size {
            more = true;
        } else {
            last = transfer.seq;
            result = rows.add(|row| transfer_row(row, transfer)).map(drop);
        }
    });
    result?;
    let returned = rows.count();
    writeln!(out, "returned={returned}\nnext_cursor={last}")?;
    if schema == Schema::Procfs {
        writeln!(out, "next_token={last}.{page_size}")?;
    }
    writeln!(out, "end={}", u8::from(!more))
}
