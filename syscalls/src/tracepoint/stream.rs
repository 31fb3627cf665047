//! `/sys/kernel/tracepoint/stream`: every event once, for one reader per open file.
//!
//! The file begins with a record of 64 bytes that holds [`MAGIC`](area::MAGIC) and the version; then follow the
//! events, as [`Event::record`](trace::Event::record) lays them out, from the oldest that is there. When all have
//! been read a read gives 0, and a later one goes on. Events that were overwritten before they were read are
//! reported by a record of kind 0, which says of which CPU and how many: nothing is lost unnoticed.

use alloc::sync::Arc;
use core::any::Any;

use base::memory::UserBuffer;
use base::sync::{LockClass, SpinLock};
use base::trace::follow::Cursor;
use base::trace::{self, area};
use base::{Errno, Result};
use fs::file::{FileOps, Io};

const RECORD_BYTES: usize = area::LINE_BYTES;
type Record = [u64; RECORD_BYTES / 8];

/// Records that one read gives at most, so that it does not hold the CPU for long.
const RECORDS: usize = 1024;

/// An open stream.
struct Stream(SpinLock<Place>);

/// Where its reader is.
#[derive(Clone, Default)]
struct Place {
    begun: bool,
    cursor: Cursor,
}

/// Opens the stream at the oldest event that there is.
#[must_use]
pub fn open() -> Arc<dyn FileOps> {
    Arc::new(Stream(SpinLock::new(LockClass::File, Place::default())))
}

impl Place {
    /// The record that comes next; `None` when there is none now.
    fn next(&mut self) -> Option<Record> {
        if !self.begun {
            self.begun = true;
            return Some(header());
        }
        Some(self.cursor.next(trace::area()?)?.event().record())
    }
}

/// The first record of the file.
const fn header() -> Record {
    let mut record = [0; RECORD_BYTES / 8];
    (record[0], record[1]) = (area::MAGIC, area::VERSION as u64);
    record
}

fn bytes(record: Record) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    for (place, word) in bytes.chunks_exact_mut(8).zip(record) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

impl FileOps for Stream {
    fn read(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        if buffer.remaining() < RECORD_BYTES {
            return Err(Errno::EINVAL);
        }
        let before = buffer.moved();
        for _ in 0..RECORDS {
            if buffer.remaining() < RECORD_BYTES {
                break;
            }
            // The reader moves on when it has the whole record.
            let mut place = self.0.lock();
            let mut ahead = place.clone();
            let Some(record) = ahead.next() else { break };
            let mark = buffer.mark();
            if buffer.put(&bytes(record)) != Ok(RECORD_BYTES) {
                buffer.rewind(mark);
                if buffer.moved() == before {
                    return Err(Errno::EFAULT);
                }
                break;
            }
            *place = ahead;
        }
        Ok(buffer.moved() - before)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
