//! Which pages are in memory, and writing mapped files back: mincore(2) and msync(2).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use base::{Errno, Result};
use fs::file::OpenFile;

use super::advise::for_each_piece;
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
        let mut files: Vec<Arc<OpenFile>> = Vec::new();
        let mapped = {
            let state = self.lock();
            for_each_piece(&state, range, |region, _| {
                if invalidate && region.flags.contains(RegionFlags::LOCKED) {
                    return Err(Errno::EBUSY);
                }
                if let Backing::File(mapping) = &region.backing
                    && region.is_shared()
                    && let Some(file) = mapping.file()
                {
                    files.push(file.clone());
                }
                Ok(())
            })
        };
        if mapped != Err(Errno::EBUSY) && wait {
            for file in files {
                file.path().mount.file_system().sync().await?;
            }
        }
        mapped
    }
}
