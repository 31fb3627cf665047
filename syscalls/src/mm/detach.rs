//! Taking a System V segment out of a space: shmdt(2).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use base::{Errno, Result};

use super::file::{FileIdentity, FileMapping};
use super::region::{Backing, Region};
use super::space::State;
use super::{AddressSpace, PAGE, is_page_aligned, page_ceiling};

impl AddressSpace {
    /// Unmaps the segment that was attached at `start`: those of its pages that are still where they were.
    ///
    /// Dropping the future never frees a frame early; the regions are gone all the same.
    ///
    /// # Errors
    ///
    /// `EINVAL` when no segment was attached there.
    pub async fn detach_segment(&self, start: u64) -> Result<()> {
        if !is_page_aligned(start) {
            return Err(Errno::EINVAL);
        }
        let _layout = self.layout.lock().await;
        let ranges = self.lock().attachment_at(start);
        if ranges.is_empty() {
            return Err(Errno::EINVAL);
        }
        for range in ranges {
            self.vacate(range).await;
        }
        Ok(())
    }
}

impl State {
    /// The addresses of the regions that belong to the attachment at `start`. A program may have unmapped some of its
    /// pages or put something else in their place.
    fn attachment_at(&self, start: u64) -> Vec<Range<u64>> {
        let in_place = |region: &Region| region.start.checked_sub(start) == Some(region.offset * PAGE);
        let mut from = start;
        while let Some(first) = self.regions.find_or_next(from) {
            if let Some(mapping) = segment_of(first).filter(|_| in_place(first)) {
                let end = start.saturating_add(size_of(mapping));
                let own = |region: &&Region| {
                    in_place(region) && segment_of(region).is_some_and(|other| Arc::ptr_eq(other, mapping))
                };
                return self.regions.overlapping(start..end).filter(own).map(Region::range).collect();
            }
            from = first.end;
        }
        Vec::new()
    }
}

/// The mapping of a segment that a region shows.
fn segment_of(region: &Region) -> Option<&Arc<FileMapping>> {
    match &region.backing {
        Backing::File(mapping) if mapping.identity().device == FileIdentity::SEGMENTS => Some(mapping),
        _ => None,
    }
}

/// Bytes of a segment in whole pages.
fn size_of(mapping: &FileMapping) -> u64 {
    let size = mapping.file().map_or(0, |file| file.inode().metadata().size);
    page_ceiling(size).unwrap_or(u64::MAX)
}
