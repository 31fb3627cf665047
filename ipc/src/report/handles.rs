//! The handles of a process, `/proc/<pid>/handles`, and the histories of what they name,
//! `/proc/<pid>/handle_transfers` and `handle_transfers_v2`.

use alloc::string::String;
use core::fmt::{self, Write};

use super::rows::Rows;
use super::transfers::{TRANSFER_COLUMNS, transfer_row};
use super::{PAGE_MAX, Query, references};
use crate::object::history::Transfer;
use crate::table::rows::Row;
use crate::table::{HANDLES_MAX, HandleTable};

fn rows_of(table: &HandleTable, from: usize) -> impl Iterator<Item = Row> {
    let mut from = from;
    core::iter::from_fn(move || {
        let row = table.next_row(from)?;
        from = usize::try_from(row.handle).ok()? + 1;
        Some(row)
    })
}

fn handle_columns(out: &mut dyn Write, row: &Row) -> fmt::Result {
    let Row { handle, capability, object, rights, .. } = row;
    let (id, kind) = (object.base().id(), object.kind().name());
    write!(out, "{handle} {capability} {id} {kind} {:#x}", rights.bits())
}

/// One row for each handle, those that are being sent included.
///
/// # Errors
///
/// As the writer.
pub fn handles(table: &HandleTable, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "handle cap_id obj_id type rights refcount")?;
    for row in rows_of(table, 0) {
        handle_columns(out, &row)?;
        writeln!(out, " {}", references(&row.object))?;
    }
    Ok(())
}

/// The columns of a transfer with its handle: of the two columns of rights, the first is the handle's.
fn write_columns(out: &mut dyn Write) -> fmt::Result {
    let transfer = TRANSFER_COLUMNS.replace("rights", "transfer_rights");
    writeln!(out, "handle cap_id obj_id type rights {transfer}")
}

fn transfer_of_handle(out: &mut String, row: &Row, transfer: &Transfer) -> fmt::Result {
    handle_columns(out, row)?;
    out.write_char(' ')?;
    transfer_row(out, transfer)
}

/// The last transfer that a reader has seen: the handle, and the number of the transfer in the history of what it
/// names.
///
/// As a number it has the low bits of `seq` at the bottom, the handle above them and the high bits of `seq` on top:
/// for short histories it counts the transfers of handle 0 from 1, and a number that is far beyond is beyond the
/// last handle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    handle: u32,
    seq: u32,
}

impl Position {
    const LOW_BITS: u32 = 11;
    const HANDLE_BITS: u32 = HANDLES_MAX.ilog2();
    /// Numbers of transfers are told apart by so many bits.
    const SEQ_BITS: u32 = u32::BITS - Self::HANDLE_BITS;

    const fn decode(cursor: u32) -> Position {
        let low = cursor & ((1 << Self::LOW_BITS) - 1);
        let above = cursor >> Self::LOW_BITS;
        let handle = above & ((1 << Self::HANDLE_BITS) - 1);
        Position { handle, seq: (above >> Self::HANDLE_BITS) << Self::LOW_BITS | low }
    }

    const fn encode(self) -> u32 {
        let seq = self.seq & ((1 << Self::SEQ_BITS) - 1);
        let low = seq & ((1 << Self::LOW_BITS) - 1);
        let above = (seq >> Self::LOW_BITS) << Self::HANDLE_BITS | self.handle;
        above << Self::LOW_BITS | low
    }

    /// True when the reader has seen the transfer with number `seq` of `handle`.
    fn covers(self, handle: u32, seq: u32) -> bool {
        let half = 1 << (Self::SEQ_BITS - 1);
        // Numbers go round: what is at most half a round behind has been seen.
        let behind = self.seq.wrapping_sub(seq) & ((1 << Self::SEQ_BITS) - 1);
        handle < self.handle || handle == self.handle && self.seq != 0 && behind < half
    }
}

/// Writes the transfers after `position` until `limit` rows are written or the text is full. Returns the position
/// then, and whether something is left.
fn write_transfers(
    table: &HandleTable,
    mut position: Position,
    limit: u32,
    rows: &mut Rows<'_>,
) -> core::result::Result<(Position, bool), fmt::Error> {
    let seen = position;
    let mut more = false;
    for row in rows_of(table, seen.handle as usize) {
        let handle = row.handle.cast_unsigned();
        let mut result = Ok(());
        row.object.transfers(|transfer| {
            if more || result.is_err() || seen.covers(handle, transfer.seq) {
                return;
            }
            if rows.count() == limit {
                more = true;
                return;
            }
            match rows.add(|out| transfer_of_handle(out, &row, transfer)) {
                Ok(true) => position = Position { handle, seq: transfer.seq },
                Ok(false) => more = true,
                Err(error) => result = Err(error),
            }
        });
        result?;
        if more {
            break;
        }
    }
    Ok((position, more))
}

/// The histories of what the handles name, as many rows as fit: when that is not all, the last line names the page
/// of [`handle_transfers_page`] that goes on.
///
/// # Errors
///
/// As the writer.
pub fn handle_transfers(table: &HandleTable, pid: u32, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "schema=procfs_pid_handle_transfers_v1\npid={pid}")?;
    write_columns(out)?;
    let (last, more) = write_transfers(table, Position::default(), u32::MAX, &mut Rows::new(out))?;
    if more { writeln!(out, "truncated=1 next_token={}.{PAGE_MAX}", last.encode()) } else { Ok(()) }
}

/// A page of the histories, with the token of the next one.
///
/// # Errors
///
/// As the writer.
pub fn handle_transfers_page(
    table: &HandleTable,
    pid: u32,
    query: Query,
    out: &mut dyn Write,
) -> fmt::Result {
    let Query { cursor, page_size } = query;
    writeln!(out, "schema=procfs_pid_handle_transfers_v2\npid={pid}")?;
    writeln!(out, "cursor={cursor}\npage_size={page_size}\ntoken={cursor}.{page_size}")?;
    write!(out, "columns=")?;
    write_columns(out)?;
    let mut rows = Rows::new(out);
    let (last, more) = write_transfers(table, Position::decode(cursor), page_size, &mut rows)?;
    let returned = rows.count();
    let next = if returned == 0 { cursor } else { last.encode() };
    writeln!(out, "returned={returned}\nnext_cursor={next}\nnext_token={next}.{page_size}")?;
    writeln!(out, "end={}", u8::from(!more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_number() {
        for handle in [0, 1, 100, HANDLES_MAX as u32 - 1] {
            for seq in [1, 2047, 2048, 70_000, (1 << 24) - 1] {
                let position = Position { handle, seq };
                assert_eq!(Position::decode(position.encode()), position);
                assert!(position.covers(handle, seq) && !position.covers(handle, seq + 1));
            }
        }
        assert_eq!(Position { handle: 0, seq: 16 }.encode(), 16);
        assert!(!Position::default().covers(0, 1));
        let far = Position::decode(999_999);
        assert!(far.handle > 200, "beyond the handles of any ordinary process");
        assert_eq!(
            Position { handle: 3, seq: (1 << 24) + 5 }.encode(),
            Position { handle: 3, seq: 5 }.encode()
        );
        assert!(Position { handle: 3, seq: 5 }.covers(3, (1 << 24) + 5), "the numbers have gone round");
    }
}
