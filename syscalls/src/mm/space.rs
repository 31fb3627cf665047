//! An address space: its regions, its page tables, and the lock over both.
//!
//! Two locks, always in this order:
//!
//! 1. `layout`, an async lock: whoever changes which regions exist holds it, across waits.
//! 2. `state`, a spin lock of class `AddressSpace`: held for every look at the regions together with the page
//!    tables, in short sections. A page fault takes only this one.
//!
//! A translation that other CPUs may still hold is flushed with no lock of the two but `layout` held.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use base::caller::{Limits, Resource};
use base::charge::{Account, Charge};
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinGuard, SpinLock};
use base::{Errno, Result};
use executor::lock::Mutex;

use super::placement::Placement;
use super::region::{Region, RegionFlags};
use super::region_map::RegionMap;
use super::{MAX_REGIONS, PAGE};
use crate::elf::ProgramFile;
use crate::machine::{PageTable, Stale, USER_END, user_machine};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Regions that one charge pays for.
const REGIONS_PER_CHARGE: usize = 16;

/// Bytes that a region takes: itself, its key, its share of half-full tree nodes, and the mapping of a file or
/// the shared object behind it.
const REGION_BYTES: usize = 2 * (size_of::<Region>() + size_of::<u64>()) + 384;

/// The memory of a process, shared by its threads and by what it vforks.
pub struct AddressSpace {
    id: u64,
    table: Arc<dyn PageTable>,
    limits: Arc<Limits>,
    account: Arc<Account>,
    pub(super) layout: Mutex<()>,
    state: SpinLock<State>,
}

/// Where the parts of the program lie, for `/proc/<pid>/stat` and `prctl(PR_SET_MM)`'s fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The program's code.
    pub code: Range<u64>,
    /// Its initialised data.
    pub data: Range<u64>,
    /// Stack pointer at the start.
    pub stack: u64,
    /// The argument strings.
    pub arguments: Range<u64>,
    /// The environment strings.
    pub environment: Range<u64>,
    /// Start of the vDSO's code, 0 without one.
    pub vdso: u64,
    /// The auxiliary vector, as it lies on the stack.
    pub auxiliary: Vec<(u64, u64)>,
}

/// What the state lock protects.
pub struct State {
    /// The regions.
    pub regions: RegionMap,
    /// Where new mappings go.
    pub placement: Placement,
    /// The heap: where it starts, and the program break.
    pub heap: Range<u64>,
    /// Where the program's parts lie.
    pub image: Image,
    /// What is being replaced by a new mapping, and has no region meanwhile. Written under `layout`.
    pub(super) replaced: Range<u64>,
    /// Flags that every new region gets: `mlockall(MCL_FUTURE)`.
    pub future: RegionFlags,
    /// The program that was loaded; while it is here, its file cannot be written.
    pub program: Option<Arc<dyn ProgramFile>>,
    /// The program asked to be allowed membarrier(2)'s private barrier.
    pub barriers: bool,
    charges: Vec<Charge>,
}

impl AddressSpace {
    /// A space with nothing in it. `limits` are those of the process that runs in it, `account` pays for its map.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when there is no memory for its tables.
    pub fn new(limits: Arc<Limits>, account: Arc<Account>) -> Result<Arc<AddressSpace>> {
        let table = user_machine().new_page_table()?;
        let placement = Placement::new(limits.soft(Resource::Stack));
        Ok(Arc::new(AddressSpace {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            table,
            limits,
            account,
            layout: Mutex::new(()),
            state: SpinLock::new(
                LockClass::AddressSpace,
                State {
                    regions: RegionMap::default(),
                    placement,
                    heap: 0..0,
                    image: Image::default(),
                    replaced: 0..0,
                    future: RegionFlags::empty(),
                    program: None,
                    barriers: false,
                    charges: Vec::new(),
                },
            ),
        }))
    }

    /// A number that no other space of this boot has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The page tables, for [`run_user`](crate::machine::UserMachine::run_user).
    #[inline]
    #[must_use]
    pub fn page_table(&self) -> &Arc<dyn PageTable> {
        &self.table
    }

    /// The limits that its mappings obey.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Who pays for its map.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Takes the state lock.
    #[must_use]
    pub fn lock(&self) -> SpinGuard<'_, State> {
        self.state.lock()
    }

    /// Takes the state lock of a space that nobody else knows yet, under another space's.
    pub(super) fn lock_nested(&self) -> SpinGuard<'_, State> {
        self.state.lock_nested()
    }

    /// Where the program's parts lie.
    #[must_use]
    pub fn image(&self) -> Image {
        self.lock().image.clone()
    }

    /// Says where the program's parts lie.
    pub fn set_image(&self, image: Image) {
        let old = core::mem::replace(&mut self.lock().image, image);
        drop(old);
    }

    /// Makes stale translations unusable and frees what they pin. No lock but `layout` is held.
    ///
    /// A drop frees nothing early: the batch belongs to the acknowledgements.
    pub(super) async fn flush(&self, stale: Stale) {
        if stale.is_empty() {
            return;
        }
        if let Err(stale) = self.table.try_flush(stale) {
            self.table.flush(stale).await;
        }
    }
}

impl AddressSpace {
    /// Has every CPU that runs a thread of this space pass a full memory barrier; membarrier(2).
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// `EPERM` when the program did not register for it.
    pub async fn barrier(&self) -> Result<()> {
        if !self.lock().barriers {
            return Err(Errno::EPERM);
        }
        // A flush is acknowledged by each such CPU; the page that is flushed can never be mapped.
        self.flush(Stale { ranges: alloc::vec![0..PAGE], frames: Vec::new() }).await;
        Ok(())
    }
}

impl State {
    /// Makes sure that `more` further regions are paid for and within the limit.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when they are not.
    pub(super) fn reserve_regions(&mut self, more: usize, account: &Arc<Account>) -> Result<()> {
        let wanted = self.regions.len() + more;
        if wanted > MAX_REGIONS + more {
            return Err(Errno::ENOMEM);
        }
        while self.charges.len() * REGIONS_PER_CHARGE < wanted {
            self.charges.push(Charge::new(account, REGIONS_PER_CHARGE * REGION_BYTES)?);
        }
        Ok(())
    }

    /// Checks that `pages` more pages of a region like `flags` and `data` fit the limits: `RLIMIT_AS`,
    /// `RLIMIT_DATA`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when they do not.
    pub(super) fn check_expansion(&self, limits: &Limits, pages: u64, is_data: bool) -> Result<()> {
        let sums = self.regions.sums();
        let within = |used: u64, limit: u64| used.saturating_add(pages) <= limit / PAGE;
        if !within(sums.total, limits.soft(Resource::AddressSpace)) {
            return Err(Errno::ENOMEM);
        }
        if is_data && !within(sums.data, limits.soft(Resource::Data)) {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Checks `RLIMIT_MEMLOCK` for `pages` more locked pages.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when they are too many and `may_exceed` (CAP_IPC_LOCK) is false.
    pub(super) fn check_locked(&self, limits: &Limits, pages: u64, may_exceed: bool) -> Result<()> {
        let limit = limits.soft(Resource::LockedMemory) / PAGE;
        if may_exceed || self.regions.sums().locked.saturating_add(pages) <= limit {
            Ok(())
        } else {
            Err(Errno::EAGAIN)
        }
    }
}

/// Checks that a page-aligned range lies in user space; the range.
///
/// # Errors
///
/// `EINVAL` when it does not.
pub fn user_range(start: u64, length: u64) -> Result<Range<u64>> {
    match start.checked_add(length) {
        Some(end) if end <= USER_END => Ok(start..end),
        _ => Err(Errno::EINVAL),
    }
}
