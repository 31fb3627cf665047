//! Mapped files: a file's pages, as one space sees them, and the pages that a file takes back.

use alloc::sync::{Arc, Weak};
use core::ops::{ControlFlow, Range};

use base::frame::Frame;
use base::memory::{Access, BoxFuture};
use base::{Errno, Result};
use fs::file::{Mappable, Mapping, MappingObserver, OpenFile};
use fs::vfs::AllocateMode;
use futures_util::FutureExt;

use super::region::{Backing, Region, RegionFlags};
use super::{AddressSpace, PAGE};
use crate::machine::{PageFlags, Stale};

/// What makes two mapped files the same file, whatever names they were opened by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIdentity {
    /// Device number, as `stat(2)` tells it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

impl FileIdentity {
    /// The device of System V segments, whose inode numbers are their identifiers.
    pub const SEGMENTS: u64 = 1;
}

/// A mapping of a file by one space. The regions that mmap(2) and its successors cut from it share it.
pub struct FileMapping {
    pages: Arc<dyn Mappable>,
    /// The open file, for names and for what else it holds; a file made for a test has none.
    file: Option<Arc<OpenFile>>,
    identity: FileIdentity,
    shared_write: bool,
    _registration: Mapping,
    _observer: Arc<Observer>,
}

impl FileMapping {
    /// A mapping of `file` for `space`. `shared_write` says that it is shared and may be written.
    ///
    /// # Errors
    ///
    /// `ENODEV` when files of its kind cannot be mapped; `EPERM` when a seal forbids it; `ENOMEM`.
    pub fn of_file(
        space: &Arc<AddressSpace>,
        file: &Arc<OpenFile>,
        shared_write: bool,
    ) -> Result<Arc<FileMapping>> {
        let pages = file.ops().mappable().ok_or(Errno::ENODEV)?;
        let metadata = file.inode().metadata();
        let identity = FileIdentity { device: metadata.device.encode(), inode: metadata.ino };
        FileMapping::new(space, pages, Some(file.clone()), identity, shared_write)
    }

    /// A mapping of `pages` for `space`.
    ///
    /// # Errors
    ///
    /// As [`Mappable::map`].
    pub fn new(
        space: &Arc<AddressSpace>,
        pages: Arc<dyn Mappable>,
        file: Option<Arc<OpenFile>>,
        identity: FileIdentity,
        shared_write: bool,
    ) -> Result<Arc<FileMapping>> {
        let observer = Arc::new(Observer { space: Arc::downgrade(space), pages: Arc::downgrade(&pages) });
        let weak: Weak<Observer> = Arc::downgrade(&observer);
        // All pages: the regions know which of them are mapped now, and mremap(2) may add others.
        let registration = pages.clone().map(weak, 0..u64::MAX, shared_write)?;
        Ok(Arc::new(FileMapping {
            pages,
            file,
            identity,
            shared_write,
            _registration: registration,
            _observer: observer,
        }))
    }

    /// The same mapping for another space: a child's.
    ///
    /// # Errors
    ///
    /// As [`Mappable::map`].
    pub fn for_space(&self, space: &Arc<AddressSpace>) -> Result<Arc<FileMapping>> {
        FileMapping::new(space, self.pages.clone(), self.file.clone(), self.identity, self.shared_write)
    }

    /// The page at `index`; as [`Mappable::page`].
    ///
    /// # Errors
    ///
    /// As [`Mappable::page`].
    pub fn page(&self, index: u64, access: Access) -> Result<Frame> {
        self.pages.page(index, access)
    }

    /// The page at `index` if it is in memory; as [`Mappable::cached`].
    #[must_use]
    pub fn cached(&self, index: u64) -> Option<Frame> {
        self.pages.cached(index)
    }

    /// Reads the page at `index` from its device; as [`Mappable::load`].
    ///
    /// # Errors
    ///
    /// `EIO`, `ENOMEM`.
    pub fn load(&self, index: u64) -> BoxFuture<'_, Result<()>> {
        self.pages.load(index)
    }

    /// Makes a hole in the file; its size stays.
    ///
    /// # Errors
    ///
    /// As `fallocate(2)` of the file.
    pub fn punch(&self, indexes: Range<u64>) -> Result<()> {
        let mode = AllocateMode::PUNCH_HOLE | AllocateMode::KEEP_SIZE;
        let file = self.file.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        file.inode().allocate(mode, indexes.start * PAGE, (indexes.end - indexes.start) * PAGE)
    }

    /// Device and inode.
    #[must_use]
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// The open file that was mapped.
    #[must_use]
    pub fn file(&self) -> Option<&Arc<OpenFile>> {
        self.file.as_ref()
    }
}

/// Hears of pages that leave the file.
struct Observer {
    space: Weak<AddressSpace>,
    pages: Weak<dyn Mappable>,
}

impl MappingObserver for Observer {
    fn unmap_pages(&self, pages: Range<u64>) {
        let (Some(space), Some(file)) = (self.space.upgrade(), self.pages.upgrade()) else { return };
        let mut stale = Stale::new();
        {
            let state = space.lock();
            for region in state.regions.iter() {
                if let Backing::File(mapping) = &region.backing
                    && core::ptr::addr_eq(Arc::as_ptr(&mapping.pages), Arc::as_ptr(&file))
                {
                    space.forget(region, mapping, pages.clone(), &mut stale);
                }
            }
        }
        if let Err(stale) = space.page_table().try_flush(stale) {
            // The first poll starts the shoot-down, which then belongs to its acknowledgements; nobody here
            // may wait for them.
            let _ = space.page_table().flush(stale).now_or_never();
        }
    }
}

impl AddressSpace {
    /// Unmaps pages of a region that its file does not have any more.
    fn forget(&self, region: &Region, mapping: &FileMapping, pages: Range<u64>, stale: &mut Stale) {
        let first = pages.start.max(region.offset);
        let last = pages.end.min(region.offset + region.pages());
        if first >= last {
            return;
        }
        let address = |index: u64| region.start + (index - region.offset) * PAGE;
        let range = address(first)..address(last);
        if !region.flags.contains(RegionFlags::HAS_COPIES) {
            self.page_table().unmap(range, stale);
            return;
        }
        // Private copies go when the file ends before them, and stay when it only has a hole there now.
        let mut gone = alloc::vec::Vec::new();
        self.page_table().for_each(range, &mut |page, mapped| {
            let copied = mapped.dirty || mapped.flags.contains(PageFlags::WRITE);
            let past_end = mapping.page(region.index_of(page), Access::Read).err() == Some(Errno::ENXIO);
            if past_end || !copied {
                gone.push(page);
            }
            ControlFlow::Continue(())
        });
        for page in gone {
            self.page_table().unmap(page..page + PAGE, stale);
        }
    }
}
