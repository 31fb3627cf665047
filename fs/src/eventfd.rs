//! Event counters as descriptors. Source: `eventfd(2)`.

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

use base::caller::Caller;
use base::memory::UserBuffer;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource};

use crate::file::{FileOps, Io, OpenFile, OpenFlags, Sources, Whence};

bitflags::bitflags! {
    /// The flags of `eventfd2(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct EventFdFlags: u32 {
        /// A read takes 1, not everything.
        const SEMAPHORE = 1;
        /// `O_NONBLOCK`.
        const NONBLOCK = 0o4000;
        /// `O_CLOEXEC`.
        const CLOEXEC = 0o2000000;
    }
}

/// What the counter may reach by writes: one more would be the overflow that only the kernel can cause.
const MOST: u64 = u64::MAX - 1;

/// Bytes of a value that is read or written.
const VALUE_BYTES: usize = 8;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// A counter that is readable while it is not 0, and writable while it can take 1 more.
pub struct EventFd {
    id: u64,
    semaphore: bool,
    count: SpinLock<u64>,
    /// Readers wait for IN, writers for OUT.
    changed: Arc<WaitSource>,
}

impl EventFd {
    /// An open file with a new counter that stands at `count`.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`.
    pub fn open(caller: &Caller, count: u32, flags: EventFdFlags) -> Result<Arc<OpenFile>> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let ops = EventFd {
            id,
            semaphore: flags.contains(EventFdFlags::SEMAPHORE),
            count: SpinLock::new(LockClass::Event, count.into()),
            changed: Arc::new(WaitSource::new(WaitKind::Event, id)),
        };
        let mut status = OpenFlags::RDWR;
        status.set(OpenFlags::NONBLOCK, flags.contains(EventFdFlags::NONBLOCK));
        OpenFile::anonymous(caller, Arc::new(ops), "anon_inode:[eventfd]", status)
    }

    /// Gives what a reader left to the next one.
    fn serve_next_reader(&self) {
        if self.changed.has_waiters() && self.changed.waiting() > 0 {
            self.changed.wake_one(Events::IN, Reason::Data);
        }
    }
}

impl FileOps for EventFd {
    fn read(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        if buffer.remaining() < VALUE_BYTES {
            return Err(Errno::EINVAL);
        }
        let left = {
            let mut count = self.count.lock();
            let value = match *count {
                0 => return Err(Errno::EAGAIN),
                _ if self.semaphore => 1,
                all => all,
            };
            let mark = buffer.mark();
            if buffer.put(&value.to_ne_bytes()) != Ok(VALUE_BYTES) {
                buffer.rewind(mark);
                return Err(Errno::EFAULT);
            }
            *count -= value;
            *count
        };
        // Writers bring different values: the first may not fit where another one does.
        self.changed.wake_all(Events::OUT, Reason::Data);
        if left > 0 {
            self.serve_next_reader();
        }
        Ok(VALUE_BYTES)
    }

    fn write(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let mut value = [0; VALUE_BYTES];
        if buffer.remaining() < VALUE_BYTES {
            return Err(Errno::EINVAL);
        }
        let mark = buffer.mark();
        if buffer.take(&mut value) != Ok(VALUE_BYTES) {
            buffer.rewind(mark);
            return Err(Errno::EFAULT);
        }
        let added = u64::from_ne_bytes(value);
        // What is not taken was not moved: after a wait the loop reads the value again.
        if added == u64::MAX {
            buffer.rewind(mark);
            return Err(Errno::EINVAL);
        }
        {
            let mut count = self.count.lock();
            if added > MOST - *count {
                buffer.rewind(mark);
                return Err(Errno::EAGAIN);
            }
            *count += added;
        }
        self.changed.wake_one(Events::IN, Reason::Data);
        Ok(VALUE_BYTES)
    }

    fn writes_whole(&self) -> bool {
        true
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let count = *self.count.lock();
        let mut events = Events::empty();
        events.set(Events::IN, count > 0);
        events.set(Events::OUT, count < MOST);
        events
    }

    fn wakes(&self, _file: &OpenFile, tell: &mut dyn FnMut(&WaitSource)) {
        tell(&self.changed);
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources::both(&self.changed)
    }

    fn writes_all(&self) -> bool {
        false
    }

    fn seek(&self, _file: &OpenFile, current: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        // Linux lets a program seek, and nothing moves.
        Ok(current)
    }

    fn describe(&self, _file: &OpenFile, out: &mut dyn fmt::Write) -> fmt::Result {
        let count = *self.count.lock();
        writeln!(out, "eventfd-count: {count:16x}\neventfd-id: {}", self.id)?;
        writeln!(out, "eventfd-semaphore: {}", u8::from(self.semaphore))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn read(file: &OpenFile) -> Option<Result<u64>> {
        let caller = testing::root();
        let (result, bytes) = testing::into_bytes(8, |buffer| testing::try_now(file.read(&caller, buffer)));
        result.map(|result| result.map(|_| u64::from_ne_bytes(bytes.try_into().unwrap())))
    }

    fn write(file: &OpenFile, value: u64) -> Option<Result<usize>> {
        let caller = testing::root();
        testing::with_bytes(&value.to_ne_bytes(), |buffer| testing::try_now(file.write(&caller, buffer)))
    }

    #[test]
    fn a_read_takes_everything_or_one() {
        let all = EventFd::open(&testing::root(), 2, EventFdFlags::empty()).unwrap();
        assert_eq!(write(&all, 3), Some(Ok(8)));
        assert_eq!((read(&all), read(&all)), (Some(Ok(5)), None));
        let one = EventFd::open(&testing::root(), 2, EventFdFlags::SEMAPHORE).unwrap();
        assert_eq!((read(&one), read(&one), read(&one)), (Some(Ok(1)), Some(Ok(1)), None));
    }

    #[test]
    fn a_full_counter_holds_writers_but_not_a_write_of_nothing() {
        let file = EventFd::open(&testing::root(), 1, EventFdFlags::empty()).unwrap();
        assert_eq!(write(&file, u64::MAX), Some(Err(Errno::EINVAL)));
        assert_eq!(write(&file, MOST), None);
        assert_eq!(write(&file, MOST - 1), Some(Ok(8)));
        assert_eq!((write(&file, 0), write(&file, 1)), (Some(Ok(8)), None));
        assert_eq!(file.poll(), Events::IN);
        assert_eq!(read(&file), Some(Ok(MOST)));
        assert_eq!(file.poll(), Events::OUT);
    }
}
