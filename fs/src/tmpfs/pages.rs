//! The content of a tmpfs file: frames by page index, holes where there is none.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;

use base::charge::Charge;
use base::fault::{self, Point};
use base::frame::{Frame, PAGE_SIZE};
use base::memory::UserBuffer;
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::pool::Pool;
use crate::file::{MappingObserver, Whence};

const PAGE: u64 = PAGE_SIZE as u64;

/// Pages whose bookkeeping one charge pays for.
const PAGES_PER_CHARGE: usize = 64;

/// Last byte that a file may have.
pub(super) const SIZE_MAX: u64 = i64::MAX as u64;

bitflags::bitflags! {
    /// Seals of a file: `F_ADD_SEALS` of `fcntl(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Seals: u32 {
        /// No further seals.
        const SEAL = 1;
        /// It can't become shorter.
        const SHRINK = 2;
        /// It can't become longer.
        const GROW = 4;
        /// Its content can't change.
        const WRITE = 8;
        /// Its content can't change, but through mappings that exist.
        const FUTURE_WRITE = 0x10;
        /// Its execute permission can't change.
        const EXEC = 0x20;
    }
}

/// The pages of one file.
pub(super) struct Pages {
    pool: Arc<Pool>,
    content: SpinLock<Content>,
    mappings: SpinLock<Mappings>,
}

struct Content {
    frames: BTreeMap<u64, Frame>,
    charges: Vec<Charge>,
    size: u64,
    seals: Seals,
}

#[derive(Default)]
struct Mappings {
    next_key: u64,
    shared_writers: usize,
    list: BTreeMap<u64, MappedRange>,
}

struct MappedRange {
    observer: Weak<dyn MappingObserver>,
    pages: Range<u64>,
    shared_write: bool,
}

impl Content {
    /// The frame of page `index`, made of zeros when it is a hole. True when it was.
    fn frame(&mut self, pool: &Pool, index: u64) -> Result<(&Frame, bool)> {
        let hole = !self.frames.contains_key(&index);
        if hole {
            fault::check(Point::PageAlloc)?;
            pool.take_pages(1)?;
            let made = self.charge_one(pool).and_then(|()| Frame::zeroed());
            let frame = made.inspect_err(|_| pool.put_pages(1))?;
            self.frames.insert(index, frame);
        }
        self.frames.get(&index).map(|frame| (frame, hole)).ok_or(Errno::ENOMEM)
    }

    fn charge_one(&mut self, pool: &Pool) -> Result<()> {
        if self.frames.len() >= self.charges.len() * PAGES_PER_CHARGE {
            self.charges.push(Charge::new(&pool.account, PAGES_PER_CHARGE * 64)?);
        }
        Ok(())
    }

    /// Takes the frames of `range` out.
    fn remove(&mut self, pool: &Pool, range: Range<u64>) -> Vec<Frame> {
        if range.is_empty() {
            return Vec::new();
        }
        let mut tail = self.frames.split_off(&range.start);
        let mut rest = tail.split_off(&range.end);
        self.frames.append(&mut rest);
        pool.put_pages(tail.len() as u64);
        self.charges.truncate(self.frames.len().div_ceil(PAGES_PER_CHARGE));
        tail.into_values().collect()
    }

    /// Fills the bytes of `range`, which lies in one page, with zeros, unless it is a hole.
    fn zero(&self, range: Range<u64>) {
        if let Some(frame) = self.frames.get(&(range.start / PAGE)) {
            frame.zero((range.start % PAGE) as usize, (range.end - range.start) as usize);
        }
    }
}

impl Pages {
    pub(super) fn new(pool: &Arc<Pool>, seals: Seals) -> Pages {
        let content = Content { frames: BTreeMap::new(), charges: Vec::new(), size: 0, seals };
        Pages {
            pool: pool.clone(),
            content: SpinLock::new(LockClass::PageCache, content),
            mappings: SpinLock::new(LockClass::PageCache, Mappings::default()),
        }
    }

    /// Size in bytes, and pages that exist.
    pub(super) fn extent(&self) -> (u64, u64) {
        let content = self.content.lock();
        (content.size, content.frames.len() as u64)
    }

    /// Copies to the program from `position` on; stops at the end of the file.
    pub(super) fn read(&self, position: u64, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let mut at = position;
        while !buffer.is_empty() {
            let (frame, length) = {
                let content = self.content.lock();
                if at >= content.size {
                    break;
                }
                let in_page = PAGE - at % PAGE;
                let length = in_page.min(content.size - at) as usize;
                (content.frames.get(&(at / PAGE)).cloned(), length.min(buffer.remaining()))
            };
            // The copy needs no lock: the frame is ours until it is done.
            let copied = match frame {
                Some(frame) => buffer.put_frame(&frame, (at % PAGE) as usize, length)?,
                None => buffer.put_zeros(length)?,
            };
            at += copied as u64;
            if copied < length {
                return Err(Errno::EFAULT);
            }
        }
        Ok((at - position) as usize)
    }

    /// Copies from the program to `position` on; the file grows as needed. Each page is written under the lock,
    /// so that nothing is left behind the end by a truncation at the same time.
    pub(super) fn write(&self, position: u64, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let mut at = position;
        while !buffer.is_empty() {
            let mut content = self.content.lock();
            let length = ((PAGE - at % PAGE) as usize).min(buffer.remaining());
            let end = at.checked_add(length as u64).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
            let sealed = content.seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE)
                || content.seals.contains(Seals::GROW) && end > content.size;
            if sealed {
                return Err(Errno::EPERM);
            }
            let (frame, hole) = content.frame(&self.pool, at / PAGE)?;
            let copied = buffer.take_frame(frame, (at % PAGE) as usize, length);
            let done = copied.unwrap_or(0);
            if done == 0 && hole {
                content.remove(&self.pool, at / PAGE..at / PAGE + 1);
            }
            at += done as u64;
            if done > 0 {
                content.size = content.size.max(at);
            }
            if done < length {
                return Err(Errno::EFAULT);
            }
        }
        Ok((at - position) as usize)
    }

    /// The frame of a page for a mapping.
    pub(super) fn page(&self, index: u64) -> Result<Frame> {
        let mut content = self.content.lock();
        if index >= content.size.div_ceil(PAGE) {
            return Err(Errno::ENXIO);
        }
        content.frame(&self.pool, index).map(|(frame, _)| frame.clone())
    }

    /// The frame of a page that exists and that the file reaches.
    pub(super) fn cached(&self, index: u64) -> Option<Frame> {
        let content = self.content.lock();
        if index >= content.size.div_ceil(PAGE) {
            return None;
        }
        content.frames.get(&index).cloned()
    }

    /// Sets the size; what lies past it goes.
    pub(super) fn truncate(&self, size: u64) -> Result<()> {
        if size > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let first_gone = size.div_ceil(PAGE);
        let (frames, shrinks) = {
            let mut content = self.content.lock();
            let (old, seals) = (content.size, content.seals);
            let sealed =
                size < old && seals.contains(Seals::SHRINK) || size > old && seals.contains(Seals::GROW);
            if sealed {
                return Err(Errno::EPERM);
            }
            content.size = size;
            if size < old && !size.is_multiple_of(PAGE) {
                content.zero(size..first_gone * PAGE);
            }
            // Pages past the end may also come from fallocate with KEEP_SIZE; a truncation frees them.
            let frames =
                if size <= old { content.remove(&self.pool, first_gone..u64::MAX) } else { Vec::new() };
            (frames, size < old)
        };
        if shrinks {
            self.unmap(first_gone..u64::MAX);
        }
        drop(frames);
        Ok(())
    }

    /// Makes the pages of a range of bytes exist; with `keep_size` the size stays.
    pub(super) fn reserve(&self, range: Range<u64>, keep_size: bool) -> Result<()> {
        for index in range.start / PAGE..range.end.div_ceil(PAGE) {
            let mut content = self.content.lock();
            if content.seals.contains(Seals::GROW) && range.end > content.size {
                return Err(Errno::EPERM);
            }
            content.frame(&self.pool, index)?;
        }
        let mut content = self.content.lock();
        if !keep_size {
            content.size = content.size.max(range.end);
        }
        Ok(())
    }

    /// Makes a hole of a range of bytes.
    pub(super) fn punch(&self, range: Range<u64>) -> Result<()> {
        let (first, last) = (range.start.div_ceil(PAGE), range.end / PAGE);
        let frames = {
            let mut content = self.content.lock();
            if content.seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE) {
                return Err(Errno::EPERM);
            }
            if first > last {
                // Both ends lie in one page.
                content.zero(range);
                return Ok(());
            }
            content.zero(range.start..first * PAGE);
            if !range.end.is_multiple_of(PAGE) {
                content.zero(last * PAGE..range.end);
            }
            content.remove(&self.pool, first..last)
        };
        if first < last {
            self.unmap(first..last);
        }
        drop(frames);
        Ok(())
    }

    /// The next data or hole from `offset` on.
    pub(super) fn seek(&self, offset: u64, whence: Whence) -> Result<u64> {
        let content = self.content.lock();
        if offset >= content.size {
            return Err(Errno::ENXIO);
        }
        let first = offset / PAGE;
        if whence == Whence::Data {
            let (index, _) = content.frames.range(first..).next().ok_or(Errno::ENXIO)?;
            let at = offset.max(index * PAGE);
            return if at < content.size { Ok(at) } else { Err(Errno::ENXIO) };
        }
        let mut hole = first;
        for (index, _) in content.frames.range(first..) {
            if *index != hole {
                break;
            }
            hole += 1;
        }
        Ok(offset.max(hole * PAGE).min(content.size))
    }

    /// The seals.
    pub(super) fn seals(&self) -> Seals {
        self.content.lock().seals
    }

    /// Adds seals: `F_ADD_SEALS`.
    pub(super) fn add_seals(&self, seals: Seals) -> Result<()> {
        // Mappings are registered under their lock with a look at the seals: taken in the same order here.
        let mappings = self.mappings.lock();
        let mut content = self.content.lock_nested();
        if content.seals.contains(Seals::SEAL) {
            return Err(Errno::EPERM);
        }
        if seals.contains(Seals::WRITE)
            && !content.seals.contains(Seals::WRITE)
            && mappings.shared_writers > 0
        {
            return Err(Errno::EBUSY);
        }
        content.seals |= seals;
        Ok(())
    }

    /// Registers a mapping; returns its key.
    pub(super) fn map(
        &self,
        observer: Weak<dyn MappingObserver>,
        pages: Range<u64>,
        shared_write: bool,
    ) -> Result<u64> {
        let mut mappings = self.mappings.lock();
        let seals = self.content.lock_nested().seals;
        if shared_write && seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE) {
            return Err(Errno::EPERM);
        }
        let key = mappings.next_key;
        mappings.next_key += 1;
        mappings.shared_writers += usize::from(shared_write);
        mappings.list.insert(key, MappedRange { observer, pages, shared_write });
        Ok(key)
    }

    /// A registered mapping is gone.
    pub(super) fn unmapped(&self, key: u64) {
        let gone = {
            let mut mappings = self.mappings.lock();
            let gone = mappings.list.remove(&key);
            if gone.as_ref().is_some_and(|range| range.shared_write) {
                mappings.shared_writers -= 1;
            }
            gone
        };
        drop(gone);
    }

    /// Takes pages out of every mapping.
    fn unmap(&self, pages: Range<u64>) {
        let observers: Vec<_> = {
            let mappings = self.mappings.lock();
            let touched =
                |range: &&MappedRange| range.pages.start < pages.end && pages.start < range.pages.end;
            mappings.list.values().filter(touched).filter_map(|range| range.observer.upgrade()).collect()
        };
        for observer in observers {
            observer.unmap_pages(pages.clone());
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.pool.put_pages(self.content.get_mut().frames.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::vfs::DeviceNumber;
    use base::memory::{Access, KernelBytes};
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, usize, u8),
        Truncate(u64),
        Punch(u64, u64),
        Reserve(u64, u64, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let at = 0u64..40_000;
        prop_oneof![
            (at.clone(), 1usize..9000, any::<u8>())
                .prop_map(|(at, length, byte)| Step::Write(at, length, byte)),
            at.clone().prop_map(Step::Truncate),
            (at.clone(), 1u64..20_000).prop_map(|(at, length)| Step::Punch(at, length)),
            (at, 1u64..20_000, any::<bool>()).prop_map(|(at, length, keep)| Step::Reserve(at, length, keep)),
        ]
    }

    fn apply(pages: &Pages, model: &mut Vec<u8>, step: &Step) {
        match *step {
            Step::Write(at, length, byte) => {
                let memory = KernelBytes::new(alloc::vec![byte; length]);
                let mut buffer = UserBuffer::new(&memory, 0, length, Access::Read);
                assert_eq!(pages.write(at, &mut buffer), Ok(length));
                let (start, end) = (at as usize, at as usize + length);
                model.resize(model.len().max(end), 0);
                model[start..end].fill(byte);
            }
            Step::Truncate(size) => {
                pages.truncate(size).unwrap();
                model.resize(size as usize, 0);
            }
            Step::Punch(at, length) => {
                pages.punch(at..at + length).unwrap();
                let end = model.len().min((at + length) as usize);
                if (at as usize) < end {
                    model[at as usize..end].fill(0);
                }
            }
            Step::Reserve(at, length, keep) => {
                pages.reserve(at..at + length, keep).unwrap();
                if !keep {
                    model.resize(model.len().max((at + length) as usize), 0);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_sparse_file_is_an_array_of_bytes(steps in proptest::collection::vec(step(), 1..30)) {
            testing::machine();
            let pool = Arc::new(Pool::new(DeviceNumber::default(), 0, 0));
            let pages = Pages::new(&pool, Seals::empty());
            let mut model = Vec::new();
            for step in &steps {
                apply(&pages, &mut model, step);
                prop_assert_eq!(pages.extent().0, model.len() as u64);
                prop_assert_eq!(pool.pages().1, pages.extent().1);
            }
            let memory = KernelBytes::new(alloc::vec![0xee; model.len() + 10]);
            let mut buffer = UserBuffer::new(&memory, 0, model.len() + 10, Access::Write);
            prop_assert_eq!(pages.read(0, &mut buffer), Ok(model.len()));
            prop_assert_eq!(&memory.into_inner()[..model.len()], &model[..]);
            drop(pages);
            prop_assert_eq!(pool.pages().1, 0);
        }
    }

    #[test]
    fn holes_and_data_are_found() {
        testing::machine();
        let pool = Arc::new(Pool::new(DeviceNumber::default(), 0, 0));
        let pages = Pages::new(&pool, Seals::empty());
        pages.truncate(5 * PAGE).unwrap();
        pages.reserve(2 * PAGE..3 * PAGE, true).unwrap();
        assert_eq!(pages.seek(0, Whence::Data), Ok(2 * PAGE));
        assert_eq!(pages.seek(2 * PAGE + 7, Whence::Hole), Ok(3 * PAGE));
        assert_eq!(pages.seek(3 * PAGE, Whence::Data), Err(Errno::ENXIO));
        assert_eq!(pages.seek(9, Whence::Hole), Ok(9));
    }
}
