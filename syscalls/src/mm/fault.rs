//! A page that is touched and is not there, or does not allow what was done to it.
//!
//! ```text
//!   no region, and no stack above that may grow   -> SIGSEGV, SEGV_MAPERR, unless mmap or mremap is about to make one
//!   region does not allow the access              -> SIGSEGV, SEGV_ACCERR
//!   past the end of the file or shared object     -> SIGBUS, BUS_ADRERR
//!   not mapped   anonymous, read                  -> the zero frame, read-only
//!                anonymous, write                 -> a frame of zeros
//!                file or object                   -> its page; a private write gets a copy
//!   mapped, write to a private page               -> kept if nobody else has the frame, else copied
//! ```
//!
//! Two threads may fault on one page at a time: the second finds the work done, and returns.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::ControlFlow;

use base::frame::Frame;
use base::memory::Access;
use base::sync::Once;
use base::{Errno, Result};

use super::file::FileMapping;
use super::oom::{self, Relief};
use super::region::{Backing, Region, RegionFlags};
use super::space::State;
use super::{AddressSpace, LOWEST, PAGE, STACK_GUARD_PAGES, page_floor};
use crate::machine::{FaultAccess, MappedPage, PageFlags, Stale};
use base::caller::Resource;

/// The signal that an access deserves. Source: `sigaction(2)`, `si_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultSignal {
    /// SIGSEGV, SIGBUS, or SIGKILL when there is no memory.
    pub signo: u8,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`: what was touched.
    pub address: u64,
}

/// Bytes around a touched page of a file that are mapped with it.
const AROUND: u64 = 16 * PAGE;

const SIGBUS: u8 = 7;
pub(super) const SIGKILL: u8 = 9;
const SIGSEGV: u8 = 11;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRERR: i32 = 2;
/// `SI_KERNEL`.
const FROM_KERNEL: i32 = 0x80;

/// How one look at a fault ended.
enum Step {
    /// The access can be repeated now.
    Done,
    /// It can be repeated when these translations are gone.
    Flush(Stale),
    /// A page of a file has to be read first.
    Read(Arc<FileMapping>, u64),
    /// No frame is free.
    NoMemory,
    /// What was there is being replaced.
    Wait,
    /// The program has no business there.
    Signal(FaultSignal),
}

/// Why a page could not be put in place.
enum Obstacle {
    Read(Arc<FileMapping>, u64),
    NoMemory,
    PastEnd,
}

impl From<Errno> for Obstacle {
    fn from(error: Errno) -> Obstacle {
        if error == Errno::ENOMEM { Obstacle::NoMemory } else { Obstacle::PastEnd }
    }
}

/// What now lies at the page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placed {
    /// What lies behind the region.
    Original,
    /// A copy or a fresh frame that belongs to this space.
    Own,
}

impl AddressSpace {
    /// Makes the access at `address` possible, or says which signal it deserves.
    ///
    /// Dropping the future leaves the space as it was, or with the page in place.
    ///
    /// # Errors
    ///
    /// The signal.
    pub async fn handle_fault(
        &self,
        address: u64,
        access: FaultAccess,
    ) -> core::result::Result<(), FaultSignal> {
        match self.fault_step(address, access) {
            Step::Done => Ok(()),
            Step::Signal(signal) => Err(signal),
            // Waits are rare and their future is large: it must not be part of every thread.
            step => Box::pin(self.fault_slowly(address, access, step)).await,
        }
    }

    async fn fault_slowly(
        &self,
        address: u64,
        access: FaultAccess,
        mut step: Step,
    ) -> core::result::Result<(), FaultSignal> {
        loop {
            match step {
                Step::Done => return Ok(()),
                Step::Signal(signal) => return Err(signal),
                Step::Flush(stale) => {
                    self.flush(stale).await;
                    return Ok(());
                }
                Step::Read(file, index) => match file.load(index).await {
                    Ok(()) => {}
                    Err(Errno::ENOMEM) => relieve(address).await?,
                    Err(_) => return Err(FaultSignal { signo: SIGBUS, code: BUS_ADRERR, address }),
                },
                Step::NoMemory => relieve(address).await?,
                Step::Wait => drop(self.layout.lock().await),
            }
            step = self.fault_step(address, access);
        }
    }

    /// One look under the lock.
    fn fault_step(&self, address: u64, access: FaultAccess) -> Step {
        let page = page_floor(address);
        let segv = |code| Step::Signal(FaultSignal { signo: SIGSEGV, code, address });
        let mut stale = Stale::new();
        let mut state = self.lock();
        if state.regions.find(page).is_none() && !self.grow_stack(&mut state, page) {
            if state.replaced.contains(&page) {
                return Step::Wait;
            }
            return segv(SEGV_MAPERR);
        }
        let Some(region) = state.regions.find(page) else { return segv(SEGV_MAPERR) };
        if !permits(region, access) {
            return segv(SEGV_ACCERR);
        }
        let placed = match self.page_table().get(page) {
            Some(mapped) => self.upgrade(region, page, &mapped, access, &mut stale),
            None => self.fill(region, page, access, &mut stale),
        };
        match placed {
            Ok(Placed::Own) if !region.flags.contains(RegionFlags::HAS_COPIES) => {
                state.regions.mark_copies(page)
            }
            Ok(_) => {}
            Err(Obstacle::Read(file, index)) => return Step::Read(file, index),
            Err(Obstacle::NoMemory) => return Step::NoMemory,
            Err(Obstacle::PastEnd) => {
                return Step::Signal(FaultSignal { signo: SIGBUS, code: BUS_ADRERR, address });
            }
        }
        drop(state);
        if stale.is_empty() {
            return Step::Done;
        }
        match self.page_table().try_flush(stale) {
            Ok(()) => Step::Done,
            Err(stale) => Step::Flush(stale),
        }
    }

    /// The page is mapped and does not allow the access, though the region does.
    fn upgrade(
        &self,
        region: &Region,
        page: u64,
        mapped: &MappedPage,
        access: FaultAccess,
        stale: &mut Stale,
    ) -> core::result::Result<Placed, Obstacle> {
        let table = self.page_table();
        let wanted = match access {
            FaultAccess::Read => PageFlags::READ,
            FaultAccess::Write => PageFlags::WRITE,
            FaultAccess::Execute => PageFlags::EXECUTE,
        };
        if mapped.flags.contains(wanted) {
            // Another thread was faster, or this CPU remembered an older entry.
            return Ok(Placed::Original);
        }
        let flags = region.page_flags();
        if access != FaultAccess::Write {
            let kept = mapped.flags & PageFlags::WRITE;
            table.protect(page..page + PAGE, flags.difference(PageFlags::WRITE) | kept, false, stale);
            return Ok(Placed::Original);
        }
        if region.is_shared() {
            return self.allow_shared_write(region, page, mapped, stale);
        }
        // The entry and `mapped` hold one count each; with no third the page is this space's alone (A3).
        if mapped.frame.references() == 2 {
            table.protect(page..page + PAGE, flags, false, stale);
        } else if mapped.frame.number() == zero_frame()?.number() {
            table.map(page, Frame::zeroed()?, flags, stale)?;
        } else {
            table.map(page, mapped.frame.duplicate()?, flags, stale)?;
        }
        Ok(Placed::Own)
    }

    /// The first write to a page of a shared mapping: its file has to know.
    fn allow_shared_write(
        &self,
        region: &Region,
        page: u64,
        mapped: &MappedPage,
        stale: &mut Stale,
    ) -> core::result::Result<Placed, Obstacle> {
        let flags = region.page_flags();
        if let Backing::File(file) = &region.backing {
            let frame = file_page(file, region.index_of(page), true)?;
            // A hole was mapped as zeros until now, and has a page of its own from now on.
            if frame.number() != mapped.frame.number() {
                self.page_table().map(page, frame, flags, stale)?;
                return Ok(Placed::Original);
            }
        }
        self.page_table().protect(page..page + PAGE, flags, false, stale);
        Ok(Placed::Original)
    }

    /// Nothing is mapped at the page yet.
    fn fill(
        &self,
        region: &Region,
        page: u64,
        access: FaultAccess,
        stale: &mut Stale,
    ) -> core::result::Result<Placed, Obstacle> {
        let table = self.page_table();
        let (flags, index) = (region.page_flags(), region.index_of(page));
        let write = access == FaultAccess::Write;
        let original = match &region.backing {
            Backing::Anonymous if write => {
                table.map(page, Frame::zeroed()?, flags, stale)?;
                return Ok(Placed::Own);
            }
            Backing::Anonymous => zero_frame()?.clone(),
            Backing::Shared(object) if index < object.pages() => {
                table.map(page, object.page(index)?, flags, stale)?;
                return Ok(Placed::Original);
            }
            Backing::Shared(_) => return Err(Obstacle::PastEnd),
            Backing::File(file) => file_page(file, index, write && region.is_shared())?,
            Backing::Kernel(pages) => {
                let frame = usize::try_from(index).ok().and_then(|index| pages.frames.get(index));
                frame.ok_or(Obstacle::PastEnd)?.clone()
            }
        };
        if !write {
            table.map(page, original, flags.difference(PageFlags::WRITE), stale)?;
            if let Backing::File(file) = &region.backing {
                self.map_around(region, file, page);
            }
            return Ok(Placed::Original);
        }
        if region.is_shared() {
            table.map(page, original, flags, stale)?;
            return Ok(Placed::Original);
        }
        table.map(page, original.duplicate()?, flags, stale)?;
        Ok(Placed::Own)
    }

    /// Maps the neighbours of a file's page that are in memory too: whoever reads one page of a program is likely
    /// to read the next. What does not work out is left to the next fault.
    fn map_around(&self, region: &Region, file: &FileMapping, page: u64) {
        let window = page & !(AROUND - 1);
        let range = window.max(region.start)..(window + AROUND).min(region.end);
        let mut present = 0u32;
        self.page_table().for_each(range.clone(), &mut |address, _| {
            present |= 1 << ((address - window) / PAGE);
            ControlFlow::Continue(())
        });
        let flags = region.page_flags().difference(PageFlags::WRITE);
        let mut none_replaced = Stale::new();
        for address in range.step_by(PAGE as usize) {
            if present & 1 << ((address - window) / PAGE) != 0 {
                continue;
            }
            let Some(frame) = file.cached(region.index_of(address)) else { continue };
            if self.page_table().map(address, frame, flags, &mut none_replaced).is_err() {
                return;
            }
        }
    }

    /// Extends the stack above `page` down to it, if there is one and the limits allow; `setrlimit(2)`.
    fn grow_stack(&self, state: &mut State, page: u64) -> bool {
        let Some(above) = state.regions.find_or_next(page) else { return false };
        let (start, end, flags) = (above.start, above.end, above.flags);
        if !flags.contains(RegionFlags::GROWS_DOWN) || page < LOWEST {
            return false;
        }
        if end - page > self.limits().soft(Resource::Stack) {
            return false;
        }
        let crowded = |below: &Region| {
            !below.flags.contains(RegionFlags::GROWS_DOWN)
                && !below.access.is_empty()
                && page - below.end < STACK_GUARD_PAGES * PAGE
        };
        if state.regions.previous(start).is_some_and(crowded) {
            return false;
        }
        let pages = (start - page) / PAGE;
        let locked = flags.contains(RegionFlags::LOCKED);
        if state.check_expansion(self.limits(), pages, false).is_err()
            || (locked && state.check_locked(self.limits(), pages, false).is_err())
        {
            return false;
        }
        state.regions.extend_down(start, page);
        true
    }
}

/// True when the region allows the access. Whatever is accessible at all can be read on x86.
fn permits(region: &Region, access: FaultAccess) -> bool {
    match access {
        FaultAccess::Read => !region.access.is_empty(),
        FaultAccess::Write => region.access.contains(PageFlags::WRITE),
        FaultAccess::Execute => region.access.contains(PageFlags::EXECUTE),
    }
}

/// A page of a mapped file, if it is at hand.
fn file_page(
    file: &Arc<FileMapping>,
    index: u64,
    shared_write: bool,
) -> core::result::Result<Frame, Obstacle> {
    let access = if shared_write { Access::Write } else { Access::Read };
    file.page(index, access).map_err(|error| match error {
        Errno::EAGAIN => Obstacle::Read(file.clone(), index),
        error => error.into(),
    })
}

/// The frame of zeros that every page of untouched anonymous memory reads from.
fn zero_frame() -> Result<&'static Frame> {
    static ZERO: Once<Frame> = Once::new();
    if let Some(frame) = ZERO.get() {
        return Ok(frame);
    }
    let frame = Frame::zeroed()?;
    Ok(ZERO.call_once(|| frame))
}

/// Waits for memory, or gives the faulting process up.
async fn relieve(address: u64) -> core::result::Result<(), FaultSignal> {
    match oom::relieve().await {
        Relief::Retry => Ok(()),
        Relief::Die => Err(FaultSignal { signo: SIGKILL, code: FROM_KERNEL, address }),
    }
}
