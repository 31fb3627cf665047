//! Small transfers without a future.
//!
//! Most reads and writes are of a few bytes that are there at once. They are tried first, as a plain function;
//! what has to wait, or goes wrong, did nothing and is made again by [`OpenFile::transfer`].

use base::caller::Caller;
use base::memory::UserBuffer;
use base::{Errno, Result};

use super::flags::IoFlags;
use super::open_file::OpenFile;
use super::ops::Io;
use super::transfer::{MAX_POSITION, Place, Way};

impl OpenFile {
    /// Tries `read(2)`, `write(2)`, `pread(2)` once. `None` when nothing happened that shows, whatever the reason.
    ///
    /// The buffer lies within one page: then a missing page means that nothing at all was copied.
    pub fn attempt(
        &self,
        caller: &Caller,
        way: Way,
        place: Place,
        buffer: &mut UserBuffer<'_>,
    ) -> Option<Result<usize>> {
        let ops = self.ops();
        let positioned = ops.positioned();
        let suits = match way {
            // A terminal may want several bytes, or time.
            Way::Read => positioned || ops.fails_again() && ops.patience(self, way, 0).least <= 1,
            Way::Write => ops.writes_whole(),
        };
        if !suits || buffer.is_empty() || !self.access().contains(way.file_access()) {
            return None;
        }
        let mut io = Io { caller, file: self, position: 0, flags: self.io_flags() };
        let mut own = None;
        match place {
            Place::Current if positioned => io.position = **own.insert(self.position.try_lock()?),
            Place::Current => {}
            Place::At(offset) if positioned => io.position = offset.try_into().ok()?,
            Place::At(_) => return None,
        }
        if positioned && io.position.checked_add(buffer.remaining() as u64)? > MAX_POSITION {
            return None;
        }
        self.shorten(way, buffer);
        let before = buffer.moved();
        let outcome = match way {
            Way::Read => ops.read(&io, buffer),
            Way::Write => ops.write(&io, buffer),
        };
        let moved = buffer.moved() - before;
        if positioned && moved > 0 && !buffer.is_empty() {
            // The file gave a piece. The whole is read again, which shows nowhere.
            return None;
        }
        if let Some(position) = &mut own {
            **position = io.position.saturating_add(moved as u64);
        }
        drop(own);
        let done = match outcome {
            Ok(step) => Some(Ok(step.max(moved))),
            // The page went away in the middle: what was moved is the answer.
            Err(_) if moved > 0 => Some(Ok(moved)),
            // What drains a descriptor ends with this: nothing else would come of a second try.
            Err(Errno::EAGAIN) if io.flags.contains(IoFlags::NONBLOCK) => Some(Err(Errno::EAGAIN)),
            Err(_) => None,
        };
        if let Some(Ok(moved)) = done {
            self.tell(way, moved);
        }
        done
    }
}
