//! The page tables of an address space, as the personality uses them.
//!
//! A leaf entry of user space owns one count of its frame (bit `OWNED`). A page that allows nothing
//! (`PROT_NONE`) keeps its frame in an entry that is not present.
//!
//! Whatever takes rights or pages away gathers them in a [`Stale`] batch. As long as no other CPU has the space
//! loaded, a batch is settled on the spot whenever it grows long, so that unmapping a large range needs no
//! memory; with other CPUs concerned it grows by 8 bytes a page, so callers unmap in pieces.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::future::ready;
use core::mem;
use core::ops::{ControlFlow, Range};

use base::frame::{Frame, PAGE_SIZE};
use base::memory::BoxFuture;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use syscalls::machine::{MappedPage, PageFlags, PageTable, Stale, USER_END};

use super::shoot_down;
use super::spaces::{self, Core};
use super::table::{
    ACCESSED, DIRTY, NO_EXECUTE, OWNED, PAGE, PRESENT, SPAN, Table, USER, WRITABLE, address_bits, frame_of,
};
use super::tree::Tree;
use super::{frames, physmap};
use crate::arch::user_copy;

/// Frames that a batch may hold before it is settled on the spot, if that can be done.
const LONG_BATCH: usize = 64;
/// Pages that a walk looks up before it shows them.
const WALK: usize = 16;

/// An address space's tables.
#[derive(Debug)]
pub struct UserSpace {
    core: Arc<Core>,
    /// Held while entries change. The callers' own lock orders whole operations.
    changes: SpinLock<()>,
}

impl UserSpace {
    /// Tables that map nothing in user space.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn create() -> Result<Arc<UserSpace>> {
        let core = Arc::new(Core::new(Tree::new()?));
        Ok(Arc::new(UserSpace { core, changes: SpinLock::new(LockClass::PageTable, ()) }))
    }

    /// Loads the space on this CPU, unless it is loaded already.
    #[inline]
    pub fn load(&self) {
        spaces::load(&self.core);
    }

    /// Forgets and frees what is in `stale` if no other CPU is concerned.
    fn settle(&self, stale: &mut Stale) -> bool {
        if self.core.other_users() != 0 {
            return false;
        }
        shoot_down::forget_here(&self.core, &stale.ranges);
        stale.ranges.clear();
        stale.frames.clear();
        true
    }

    /// Takes the tables for `address` that have become empty out of the tree.
    fn prune(&self, address: u64, stale: &mut Stale) {
        self.core.tree.prune(address, |frame| {
            self.core.tables.fetch_sub(1, Ordering::Relaxed);
            add_range(stale, address..address + PAGE);
            stale.frames.push(frame);
        });
    }

    fn lowest_or_new(&self, address: u64) -> Result<Table> {
        let mut made = 0;
        let result = self.core.tree.lowest_or_new(address, &mut made);
        self.core.tables.fetch_add(made, Ordering::Relaxed);
        result
    }

    /// Up to [`WALK`] mapped pages of a range, and where to go on.
    fn look_up(&self, range: Range<u64>, pages: &mut [Option<(u64, MappedPage)>; WALK]) -> u64 {
        let _changes = self.changes.lock();
        let mut free = pages.iter_mut();
        let mut from = range.start;
        while let Some((base, table)) = self.core.tree.next_lowest(from, range.end) {
            let end = (base + SPAN).min(range.end);
            for address in table.used(base.max(from)..end) {
                let bits = table.entry(address, 1).load(Ordering::Relaxed);
                if bits & OWNED == 0 {
                    continue;
                }
                let Some(slot) = free.next() else { return address };
                *slot = Some((address, mapped_page(bits)));
            }
            from = end;
        }
        range.end
    }

    /// Gives the entry of every mapped page of a range the bits that `change(address, old)` says.
    fn change(&self, range: Range<u64>, mut change: impl FnMut(u64, u64) -> u64) {
        let _changes = self.changes.lock();
        let mut from = range.start;
        while let Some((base, table)) = self.core.tree.next_lowest(from, range.end) {
            let (start, end) = (base.max(from), (base + SPAN).min(range.end));
            for address in table.used(start..end) {
                let entry = table.entry(address, 1);
                if entry.load(Ordering::Relaxed) & OWNED != 0 {
                    update(entry, |bits| change(address, bits));
                }
            }
            from = end;
        }
    }
}

impl Drop for UserSpace {
    fn drop(&mut self) {
        if self.core.is_loaded() {
            spaces::leave();
        }
        let others = self.core.other_users();
        if others != 0 {
            // Their references are the last ones: the tables die with the last answer.
            shoot_down::send(&self.core, others, Stale::new(), true);
        }
    }
}

/// Replaces the bits of an entry, keeping what the processor notes meanwhile.
fn update(entry: &AtomicU64, mut change: impl FnMut(u64) -> u64) {
    let mut old = entry.load(Ordering::Relaxed);
    while let Err(found) = entry.compare_exchange(old, change(old), Ordering::AcqRel, Ordering::Relaxed) {
        old = found;
    }
}

/// The bits of a leaf that allows `flags`.
fn leaf_bits(flags: PageFlags) -> u64 {
    let mut bits = OWNED;
    if flags.contains(PageFlags::READ) {
        bits |= PRESENT | USER;
    }
    if flags.contains(PageFlags::WRITE) {
        bits |= WRITABLE;
    }
    if !flags.contains(PageFlags::EXECUTE) {
        bits |= NO_EXECUTE;
    }
    bits
}

/// What the bits of a leaf allow.
fn flags_of(bits: u64) -> PageFlags {
    let mut flags = PageFlags::empty();
    if bits & PRESENT != 0 {
        flags |= PageFlags::READ;
        flags.set(PageFlags::WRITE, bits & WRITABLE != 0);
        flags.set(PageFlags::EXECUTE, bits & NO_EXECUTE == 0);
    }
    flags
}

/// A reference to the page of an owned entry, under the lock.
fn mapped_page(bits: u64) -> MappedPage {
    let number = frame_of(bits);
    frames::entry(number).count.fetch_add(1, Ordering::Relaxed);
    // SAFETY: F1; the entry owns a count, so the frame is allocated, and one more was just taken.
    let frame = unsafe { Frame::from_number(number) };
    MappedPage { frame, flags: flags_of(bits), dirty: bits & DIRTY != 0, accessed: bits & ACCESSED != 0 }
}

/// The frame of an owned entry that has just been replaced.
///
/// # Safety
///
/// `bits` had `OWNED` set and are in no table any more.
unsafe fn take_frame(bits: u64) -> Frame {
    // SAFETY: the count of the entry is taken back once, by the caller's promise.
    unsafe { Frame::from_number(frame_of(bits)) }
}

fn add_range(stale: &mut Stale, range: Range<u64>) {
    match stale.ranges.last_mut() {
        Some(last) if last.start <= range.start && range.start <= last.end => {
            last.end = last.end.max(range.end)
        }
        _ => stale.ranges.push(range),
    }
}

impl PageTable for UserSpace {
    fn map(&self, address: u64, frame: Frame, flags: PageFlags, stale: &mut Stale) -> Result<()> {
        let address = address & !(PAGE - 1);
        if address >= USER_END {
            return Err(Errno::EFAULT);
        }
        let _changes = self.changes.lock();
        let table = self.lowest_or_new(address)?;
        let entry = table.entry(address, 1);
        let bits = address_bits(frame.into_number()) | leaf_bits(flags);
        let old = entry.swap(bits, Ordering::AcqRel);
        if old & OWNED == 0 {
            table.live().fetch_add(1, Ordering::Relaxed);
            self.core.resident.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if old & PRESENT != 0 {
            add_range(stale, address..address + PAGE);
        }
        // SAFETY: the bits came out of the table with the swap.
        stale.frames.push(unsafe { take_frame(old) });
        Ok(())
    }

    fn get(&self, address: u64) -> Option<MappedPage> {
        if address >= USER_END {
            return None;
        }
        let _changes = self.changes.lock();
        let bits = self.core.tree.lowest(address)?.entry(address, 1).load(Ordering::Relaxed);
        (bits & OWNED != 0).then(|| mapped_page(bits))
    }

    fn for_each(&self, range: Range<u64>, each: &mut dyn FnMut(u64, MappedPage) -> ControlFlow<()>) {
        let end = range.end.min(USER_END);
        let mut from = range.start & !(PAGE - 1);
        while from < end {
            let mut pages = [const { None }; WALK];
            from = self.look_up(from..end, &mut pages);
            for (address, page) in pages.into_iter().flatten() {
                if each(address, page).is_break() {
                    return;
                }
            }
        }
    }

    fn unmap(&self, range: Range<u64>, stale: &mut Stale) {
        let range = range.start..range.end.min(USER_END);
        let _changes = self.changes.lock();
        let mut from = range.start;
        while let Some((base, table)) = self.core.tree.next_lowest(from, range.end) {
            let (start, end) = (base.max(from), (base + SPAN).min(range.end));
            let mut removed = 0;
            for address in table.used(start..end) {
                let entry = table.entry(address, 1);
                if entry.load(Ordering::Relaxed) & OWNED == 0 {
                    continue;
                }
                let old = entry.swap(0, Ordering::AcqRel);
                removed += 1;
                if old & PRESENT != 0 {
                    add_range(stale, address..address + PAGE);
                }
                // SAFETY: the bits came out of the table with the swap.
                stale.frames.push(unsafe { take_frame(old) });
            }
            table.live().fetch_sub(removed, Ordering::Relaxed);
            self.core.resident.fetch_sub(removed as usize, Ordering::Relaxed);
            self.prune(base, stale);
            if stale.frames.len() > LONG_BATCH {
                self.settle(stale);
            }
            from = end;
        }
    }

    fn protect(&self, range: Range<u64>, flags: PageFlags, mask: bool, stale: &mut Stale) {
        const RIGHTS: u64 = PRESENT | USER | WRITABLE | NO_EXECUTE;
        let range = range.start..range.end.min(USER_END);
        let change = |address: u64, old: u64| {
            let had = flags_of(old);
            let gets = if mask { had & flags } else { flags };
            if !(had - gets).is_empty() {
                add_range(stale, address..address + PAGE);
            }
            old & !RIGHTS | leaf_bits(gets)
        };
        self.change(range, change);
    }

    fn move_pages(&self, from: Range<u64>, to: u64, stale: &mut Stale) -> Result<()> {
        let from = from.start..from.end.min(USER_END);
        let _changes = self.changes.lock();
        let tree = self.core.tree;
        // First the tables, which can fail; empty ones that stay go with the next unmap or the space.
        let mut at = from.start;
        while let Some((base, table)) = tree.next_lowest(at, from.end) {
            let (start, end) = (base.max(at), (base + SPAN).min(from.end));
            for address in (start..end).step_by(PAGE_SIZE) {
                if table.entry(address, 1).load(Ordering::Relaxed) & OWNED != 0 {
                    let target = to + (address - from.start);
                    if target >= USER_END {
                        return Err(Errno::ENOMEM);
                    }
                    self.lowest_or_new(target)?;
                }
            }
            at = end;
        }
        at = from.start;
        while let Some((base, table)) = tree.next_lowest(at, from.end) {
            let (start, end) = (base.max(at), (base + SPAN).min(from.end));
            for address in (start..end).step_by(PAGE_SIZE) {
                self.move_page(table, address, to + (address - from.start), stale);
            }
            at = end;
        }
        // Only now: a table that the first pages left empty may be the one that the last pages went to.
        at = from.start;
        while let Some((base, _)) = tree.next_lowest(at, from.end) {
            self.prune(base, stale);
            at = base + SPAN;
        }
        Ok(())
    }

    fn resident(&self) -> usize {
        self.core.resident.load(Ordering::Relaxed)
    }

    fn table_bytes(&self) -> usize {
        self.core.tables.load(Ordering::Relaxed) * PAGE_SIZE
    }

    fn flush(&self, stale: Stale) -> BoxFuture<'_, ()> {
        match self.try_flush(stale) {
            Ok(()) => Box::pin(ready(())),
            Err(stale) => {
                shoot_down::forget_here(&self.core, &stale.ranges);
                let others = self.core.other_users();
                if others == 0 {
                    return Box::pin(ready(()));
                }
                let batch = shoot_down::send(&self.core, others, stale, false);
                Box::pin(async move { batch.wait().await })
            }
        }
    }

    fn try_flush(&self, mut stale: Stale) -> core::result::Result<(), Stale> {
        if stale.is_empty() || self.settle(&mut stale) {
            return Ok(());
        }
        if stale.ranges.is_empty() {
            // Nothing was ever visible to a CPU.
            return Ok(());
        }
        Err(stale)
    }

    fn copy_in(&self, from: u64, into: &mut [u8]) -> usize {
        self.load();
        user_copy::copy_in(from, into)
    }

    fn copy_out(&self, to: u64, from: &[u8]) -> usize {
        self.load();
        user_copy::copy_out(to, from)
    }

    fn compare_exchange(&self, at: u64, current: u32, new: u32) -> Option<u32> {
        self.load();
        user_copy::compare_exchange(at, current, new)
    }

    fn copy_out_frame(&self, to: u64, frame: &Frame, offset: usize, length: usize) -> usize {
        let length = length.min(PAGE_SIZE.saturating_sub(offset));
        self.load();
        // SAFETY: F2: `offset + length` is at most PAGE_SIZE, and the reference keeps the frame.
        unsafe { user_copy::copy_out_raw(to, physmap::frame_pointer(frame.number()).add(offset), length) }
    }

    fn copy_in_frame(&self, from: u64, frame: &Frame, offset: usize, length: usize) -> usize {
        let length = length.min(PAGE_SIZE.saturating_sub(offset));
        self.load();
        // SAFETY: as in `copy_out_frame`; F3.
        unsafe { user_copy::copy_in_raw(from, physmap::frame_pointer(frame.number()).add(offset), length) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl UserSpace {
    /// Moves one page, if there is one, to a place whose table exists.
    fn move_page(&self, table: Table, address: u64, target: u64, stale: &mut Stale) {
        let Some(place) = self.core.tree.lowest(target) else {
            debug_assert!(
                table.entry(address, 1).load(Ordering::Relaxed) & OWNED == 0,
                "no table for a page"
            );
            return;
        };
        let bits = table.entry(address, 1).swap(0, Ordering::AcqRel);
        if bits & OWNED == 0 {
            return;
        }
        table.live().fetch_sub(1, Ordering::Relaxed);
        if bits & PRESENT != 0 {
            add_range(stale, address..address + PAGE);
        }
        let old = place.entry(target, 1).swap(bits, Ordering::AcqRel);
        if old & OWNED == 0 {
            place.live().fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.core.resident.fetch_sub(1, Ordering::Relaxed);
        if old & PRESENT != 0 {
            add_range(stale, target..target + PAGE);
        }
        // SAFETY: the bits came out of the table with the swap.
        stale.frames.push(unsafe { take_frame(old) });
    }
}

const _: () = assert!(mem::size_of::<Option<(u64, MappedPage)>>() * WALK <= 512);
