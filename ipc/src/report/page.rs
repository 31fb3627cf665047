//! Objects of all kinds by pages, `/sys/ipc/objects/page`, and one object, `/sys/ipc/objects/<id>/summary`.

use core::fmt::{self, Write};

use super::fields::{Described, Fields, Lines, Pairs, describe};
use super::rows::Rows;
use super::{Query, references};
use crate::object::{ObjectRef, registry};

/// Rows of a page of objects when nothing else is asked for.
pub const OBJECTS_PAGE: u32 = 64;

/// The objects whose ids are greater than the cursor, in ascending order.
///
/// # Errors
///
/// As the writer.
pub fn objects_page(query: Query, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "cursor={} page_size={}\nid type refcount state", query.cursor, query.page_size)?;
    let mut rows = Rows::new(out);
    let (mut last, mut next) = (query.cursor, registry::next(query.cursor, None));
    let mut cut = false;
    while rows.count() < query.page_size
        && let Some(object) = &next
    {
        if !rows.add(|row| object_row(object, row))? {
            cut = true;
            break;
        }
        last = object.base().id();
        next = registry::next(last, None);
    }
    let (next_cursor, has_more) = if next.is_some() { (last, 1) } else { (0, 0) };
    write!(out, "next_cursor={next_cursor} has_more={has_more}")?;
    writeln!(out, "{}", if cut { " truncated=1" } else { "" })
}

fn object_row(object: &ObjectRef, row: &mut alloc::string::String) -> fmt::Result {
    let base = object.base();
    write!(row, "{} {} {} {}", base.id(), base.kind().name(), references(object), base.state().name())?;
    if describe(object, &mut Pairs(row))? == Described::Stale {
        row.write_str(" owner=stale")?;
    }
    writeln!(row)
}

/// What there is to say of one object, a line for each field.
///
/// # Errors
///
/// As the writer.
pub fn summary(object: &ObjectRef, out: &mut dyn Write) -> fmt::Result {
    let base = object.base();
    let mut lines = Lines(out);
    lines.field("id", &base.id())?;
    lines.field("type", &base.kind().name())?;
    lines.field("refcount", &references(object))?;
    lines.field("lifecycle", &base.state().name())?;
    if describe(object, &mut lines)? == Described::Stale {
        lines.field("owner", &"stale")?;
    }
    Ok(())
}
