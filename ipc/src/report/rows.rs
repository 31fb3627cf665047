//! Whole rows, as many as fit into a text.

use alloc::string::String;
use core::fmt::{self, Write};

use base::sync::{LockClass, assert_not_held};

use super::TEXT_BYTES;

/// Room that rows leave for the lines behind them.
const TRAILER_BYTES: usize = 512;

/// Writes rows to a text until one does not fit.
pub(super) struct Rows<'a> {
    out: &'a mut dyn Write,
    room: usize,
    row: String,
    count: u32,
}

impl<'a> Rows<'a> {
    /// Rows for a text with nothing but a short head.
    pub(super) fn new(out: &'a mut dyn Write) -> Rows<'a> {
        Rows { out, room: TEXT_BYTES - TRAILER_BYTES, row: String::new(), count: 0 }
    }

    /// Writes what `write` gives, whole, or nothing of it: then the answer is false, and the text is full.
    pub(super) fn add(
        &mut self,
        write: impl FnOnce(&mut String) -> fmt::Result,
    ) -> core::result::Result<bool, fmt::Error> {
        // Whoever makes or drops an object must not have to wait for its description.
        assert_not_held(LockClass::ObjectRegistry);
        self.row.clear();
        write(&mut self.row)?;
        if self.row.len() > self.room {
            self.room = 0;
            return Ok(false);
        }
        self.room -= self.row.len();
        self.count += 1;
        self.out.write_str(&self.row)?;
        Ok(true)
    }

    /// Rows written.
    pub(super) fn count(&self) -> u32 {
        self.count
    }
}
