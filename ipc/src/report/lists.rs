//! All objects of one kind, and all transfers: `/sys/ipc/{channels,ports,files,vnodes,dentries,transfers}`.

use core::fmt::{self, Write};

use super::fields::{Columns, Described, describe, names, stale};
use super::references;
use super::rows::Rows;
use super::transfers::{TRANSFER_COLUMNS, transfer_row};
use crate::object::{ObjectKind, registry};

/// The objects of `kind` after the one with id `cursor`, in the order in which they were made.
///
/// # Errors
///
/// As the writer.
pub fn list(kind: ObjectKind, cursor: u32, out: &mut dyn Write) -> fmt::Result {
    write!(out, "id refcount")?;
    for name in names(kind) {
        write!(out, " {name}")?;
    }
    writeln!(out)?;
    let mut rows = Rows::new(out);
    let mut id = cursor;
    while let Some(object) = registry::next(id, Some(kind)) {
        let next = object.base().id();
        let fits = rows.add(|row| {
            write!(row, "{next} {}", references(&object))?;
            if describe(&object, &mut Columns(row))? == Described::Stale {
                row.write_str(stale(kind))?;
            }
            writeln!(row)
        })?;
        if !fits {
            return cut(out, id);
        }
        id = next;
    }
    Ok(())
}

/// The histories of the objects after the one with id `cursor`.
///
/// # Errors
///
/// As the writer.
pub fn transfers(cursor: u32, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "obj_id {TRANSFER_COLUMNS}")?;
    let mut rows = Rows::new(out);
    let mut id = cursor;
    while let Some(object) = registry::next(id, None) {
        let next = object.base().id();
        let fits = rows.add(|row| {
            let mut result = Ok(());
            object.transfers(|transfer| {
                if result.is_ok() {
                    result = write!(row, "{next} ").and_then(|()| transfer_row(row, transfer));
                }
            });
            result
        })?;
        if !fits {
            return cut(out, id);
        }
        id = next;
    }
    Ok(())
}

/// The last line of a list that is longer than a text may be: the file `NAME.<next_cursor>` goes on from there.
fn cut(out: &mut dyn Write, last: u32) -> fmt::Result {
    writeln!(out, "truncated=1 next_cursor={last}")
}
