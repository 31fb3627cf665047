//! Page tables of the double: an ordered map.

use base::Result;
use base::frame::{Frame, PAGE_SIZE};
use base::memory::BoxFuture;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{SpinGuard, SpinLock};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use crate::machine::{MappedPage, PageFlags, PageTable, Stale, USER_END};

const PAGE: u64 = PAGE_SIZE as u64;

#[derive(Debug)]
struct Entry {
    frame: Frame,
    flags: PageFlags,
    dirty: bool,
    accessed: bool,
}

/// Page tables in a map. There is no translation cache, so a flush only frees and counts.
pub struct HostPageTable {
    // Behind all others in the order: copies happen under the locks of files and futexes too.
    entries: SpinLock<BTreeMap<u64, Entry>>,
    flushes: AtomicU64,
}

impl HostPageTable {
    /// Nothing mapped.
    #[must_use]
    pub fn new() -> HostPageTable {
        HostPageTable { entries: SpinLock::default(), flushes: AtomicU64::new(0) }
    }

    /// Batches that were flushed.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    fn entries(&self) -> SpinGuard<'_, BTreeMap<u64, Entry>> {
        self.entries.lock()
    }

    /// Calls `piece(frame, offset in it, done before, length)` for each page's part of a range, until a page
    /// does not allow `needed`; returns the bytes done.
    fn pieces(
        &self,
        address: u64,
        length: usize,
        needed: PageFlags,
        mut piece: impl FnMut(&Frame, usize, usize, usize),
    ) -> usize {
        let mut entries = self.entries();
        let mut done = 0;
        while done < length {
            let Some(at) = address.checked_add(done as u64).filter(|at| *at < USER_END) else { break };
            let Some(entry) = entries.get_mut(&(at / PAGE * PAGE)) else { break };
            if !entry.flags.contains(needed) {
                break;
            }
            entry.accessed = true;
            entry.dirty |= needed.contains(PageFlags::WRITE);
            let offset = (at % PAGE) as usize;
            let part = (PAGE_SIZE - offset).min(length - done);
            piece(&entry.frame, offset, done, part);
            done += part;
        }
        done
    }
}

impl Default for HostPageTable {
    fn default() -> HostPageTable {
        HostPageTable::new()
    }
}

impl PageTable for HostPageTable {
    fn map(&self, address: u64, frame: Frame, flags: PageFlags, stale: &mut Stale) -> Result<()> {
        assert!(address.is_multiple_of(PAGE) && address < USER_END, "{address:#x} is no user page");
        let entry = Entry { frame, flags, dirty: false, accessed: false };
        if let Some(old) = self.entries().insert(address, entry) {
            stale.ranges.push(address..address + PAGE);
            stale.frames.push(old.frame);
        }
        Ok(())
    }

    fn get(&self, address: u64) -> Option<MappedPage> {
        let entries = self.entries();
        let entry = entries.get(&(address / PAGE * PAGE))?;
        Some(MappedPage {
            frame: entry.frame.clone(),
            flags: entry.flags,
            dirty: entry.dirty,
            accessed: entry.accessed,
        })
    }

    fn for_each(&self, range: Range<u64>, each: &mut dyn FnMut(u64, MappedPage) -> ControlFlow<()>) {
        let mut next = range.start;
        loop {
            let found = self.entries().range(next..range.end.max(next)).next().map(|(address, _)| *address);
            let Some(address) = found else { return };
            let Some(mapped) = self.get(address) else { return };
            if each(address, mapped).is_break() {
                return;
            }
            next = address + PAGE;
        }
    }

    fn unmap(&self, range: Range<u64>, stale: &mut Stale) {
        let mut entries = self.entries();
        let mapped: Vec<u64> = entries.range(range).map(|(address, _)| *address).collect();
        for address in mapped {
            if let Some(entry) = entries.remove(&address) {
                stale.ranges.push(address..address + PAGE);
                stale.frames.push(entry.frame);
            }
        }
    }

    fn protect(&self, range: Range<u64>, flags: PageFlags, mask: bool, stale: &mut Stale) {
        for (address, entry) in self.entries().range_mut(range) {
            let new = if mask { entry.flags & flags } else { flags };
            if !new.contains(entry.flags) {
                stale.ranges.push(*address..*address + PAGE);
            }
            entry.flags = new;
        }
    }

    fn move_pages(&self, from: Range<u64>, to: u64, stale: &mut Stale) -> Result<()> {
        let mut entries = self.entries();
        let mapped: Vec<u64> = entries.range(from.clone()).map(|(address, _)| *address).collect();
        let mut moved = Vec::new();
        for address in mapped {
            if let Some(entry) = entries.remove(&address) {
                stale.ranges.push(address..address + PAGE);
                moved.push((address - from.start + to, entry));
            }
        }
        for (address, entry) in moved {
            let old = entries.insert(address, entry);
            assert!(old.is_none(), "{address:#x} was mapped where pages move to");
        }
        Ok(())
    }

    fn resident(&self) -> usize {
        self.entries().len()
    }

    fn table_bytes(&self) -> usize {
        // As four-level tables would take: one table for each 2 MiB, and the three above.
        let entries = self.entries();
        let tables: std::collections::BTreeSet<u64> = entries.keys().map(|address| address >> 21).collect();
        (tables.len() + 3) * PAGE_SIZE
    }

    fn flush(&self, stale: Stale) -> BoxFuture<'_, ()> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        drop(stale);
        Box::pin(core::future::ready(()))
    }

    fn try_flush(&self, stale: Stale) -> core::result::Result<(), Stale> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        drop(stale);
        Ok(())
    }

    fn copy_in(&self, from: u64, into: &mut [u8]) -> usize {
        self.pieces(from, into.len(), PageFlags::READ, |frame, offset, done, length| {
            frame.read(offset, &mut into[done..done + length]);
        })
    }

    fn copy_out(&self, to: u64, from: &[u8]) -> usize {
        self.pieces(to, from.len(), PageFlags::WRITE, |frame, offset, done, length| {
            frame.write(offset, &from[done..done + length]);
        })
    }

    fn compare_exchange(&self, at: u64, current: u32, new: u32) -> Option<u32> {
        let mut found = None;
        self.pieces(at, 4, PageFlags::READ | PageFlags::WRITE, |frame, offset, _, _| {
            found = frame.word(offset).map(|word| {
                word.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
                    .unwrap_or_else(|other| other)
            });
        });
        found
    }

    fn copy_out_frame(&self, to: u64, frame: &Frame, offset: usize, length: usize) -> usize {
        let mut bytes = vec![0; length.min(PAGE_SIZE.saturating_sub(offset))];
        frame.read(offset, &mut bytes);
        self.copy_out(to, &bytes)
    }

    fn copy_in_frame(&self, from: u64, frame: &Frame, offset: usize, length: usize) -> usize {
        let mut bytes = vec![0; length.min(PAGE_SIZE.saturating_sub(offset))];
        let done = self.copy_in(from, &mut bytes);
        frame.write(offset, &bytes[..done])
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}
