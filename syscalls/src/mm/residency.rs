//! Which pages are in memory, and writing mapped files back: mincore(2) and msync(2).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use base::{Errno, Result};
use fs::file::OpenFile;

use super::advise::{Walk, for_each_piece};
use super::region::{Backing, RegionFlags};
use super::{AddressSpace, PAGE};

impl AddressSpace {
    /// One byte for each page of a page-aligned range: 1 when touching it needs no wait.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when a part is not mapped. Source: `mincore(2)`.
    pub fn resident_pages(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let count = usize::try_from((range.end - range.start) / PAGE).map_err(|_| Errno::ENOMEM)?;
        let mut pages = Vec::new();
        pages.try_reserve(count).map_err(|_| Errno::EAGAIN)?;
        pages.resize(count, 0u8);
        let index = |address: u64| ((address - range.start) / PAGE) as usize;
        let state = self.lock();
        for_each_piece(&state, range.clone(), |region, piece| {
            self.page_table().for_each(piece.clone(), &mut |page, _| {
                if let Some(byte) = pages.get_mut(index(page)) {
                    *byte = 1;
                }
                ControlFlow::Continue(())
            });
            let held = |page: u64| match &region.backing {
                Backing::Shared(object) => object.is_resident(region.index_of(page)),
                Backing::File(file) => file.cached(region.index_of(page)).is_some(),
                Backing::Anonymous | Backing::Kernel(_) => false,
            };
            for page in (piece.start..piece.end).step_by(PAGE as usize) {
                if let Some(byte) = pages.get_mut(index(page)).filter(|byte| **byte == 0) {
                    *byte = u8::from(held(page));
                }
            }
            Ok(())
        })?;
        Ok(pages)
    }

    /// Writes the shared file pages of a range back when `wait` says so; the page cache itself is always up to
    /// date. A drop leaves some of them unwritten.
    ///
    /// # Errors
    ///
    /// `EBUSY` when `invalidate` meets locked pages; `ENOMEM` when a part is not mapped, the rest written;
    /// what the device answers. Source: `msync(2)`.
    pub async fn sync(&self, range: Range<u64>, wait: bool, invalidate: bool) -> Result<()> {
        let mut walk = Walk::new(range);
        let mut last: Option<Arc<OpenFile>> = None;
        loop {
            let file = {
                let state = self.lock();
                let Some((region, _)) = walk.next(&state) else { break };
                if invalidate && region.flags.contains(RegionFlags::LOCKED) {
                    return Err(Errno::EBUSY);
                }
                match &region.backing {
                    Backing::File(mapping) if wait && region.is_shared() => mapping.file().cloned(),
                    _ => None,
                }
            };
            let Some(file) = file else { continue };
            // The pieces of one file are mostly neighbours.
            if !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &file)) {
                file.path().mount.file_system().sync().await?;
            }
            last = Some(file);
        }
        walk.end()
    }
}
