//! What `/proc/<pid>/maps`, `smaps` and `statm` show: plain rows, for whoever renders them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use fs::file::OpenFile;

use super::file::FileIdentity;
use super::region::{Backing, Region, RegionFlags};
use super::region_map::PageSums;
use super::space::State;
use super::{AddressSpace, PAGE};
use crate::machine::{PageFlags, USER_END};

/// What stands in the last column of a row.
#[derive(Clone)]
pub enum RowName {
    /// Nothing.
    None,
    /// A name with its brackets, such as `[heap]`; `/dev/zero (deleted)` for shared anonymous memory.
    Text(&'static str),
    /// The path of a file, with ` (deleted)` where that is due, as the reader's root sees it.
    File(Arc<OpenFile>),
}

/// One region. Source: `proc(5)`, `/proc/pid/maps`.
#[derive(Clone)]
pub struct Row {
    /// Its addresses.
    pub range: Range<u64>,
    /// What the pages allow.
    pub access: PageFlags,
    /// `s` rather than `p`.
    pub shared: bool,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Device and inode; zeros without a file.
    pub file: FileIdentity,
    /// The last column.
    pub name: RowName,
    /// What else smaps tells of it.
    pub flags: RegionFlags,
}

/// Pages of one region that are resident, for smaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residents {
    /// All of them.
    pub total: u64,
    /// Those that others refer to as well.
    pub shared: u64,
    /// Those that were written since they were mapped.
    pub dirty: u64,
    /// Those that belong to no file and no shared object.
    pub anonymous: u64,
}

/// Pages of a space. Source: `proc(5)`, `/proc/pid/statm` and `/proc/pid/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statm {
    /// Mapped, by what limits count.
    pub mapped: PageSums,
    /// Most that were ever mapped at once.
    pub peak: u64,
    /// Of executable mappings that cannot be written: programs and libraries.
    pub executable: u64,
    /// Resident.
    pub resident: u64,
    /// Resident in mappings of files and shared memory.
    pub resident_shared: u64,
    /// Resident in memory shared without a file.
    pub resident_shmem: u64,
    /// Of the program's code.
    pub text: u64,
    /// Bytes of page tables.
    pub table_bytes: u64,
}

impl AddressSpace {
    /// The regions from `from` on, at most `limit` of them: a reader of a large map takes it in pieces.
    #[must_use]
    pub fn rows(&self, from: u64, limit: usize) -> Vec<Row> {
        let state = self.lock();
        let after = state.regions.overlapping(from..USER_END);
        after.take(limit).map(|region| row(&state, region)).collect()
    }

    /// Counts the resident pages of one region.
    #[must_use]
    pub fn residents(&self, range: Range<u64>) -> Residents {
        let state = self.lock();
        let backed =
            state.regions.find(range.start).is_some_and(|r| !matches!(r.backing, Backing::Anonymous));
        let mut residents = Residents::default();
        self.page_table().for_each(range, &mut |_, mapped| {
            // The entry and `mapped` itself are the references of a page that nobody else has.
            let shared = mapped.frame.references() > 2;
            residents.total += 1;
            residents.shared += u64::from(shared);
            residents.dirty += u64::from(mapped.dirty);
            residents.anonymous += u64::from(!backed);
            ControlFlow::Continue(())
        });
        residents
    }

    /// The sums of the whole space.
    #[must_use]
    pub fn statm(&self) -> Statm {
        let state = self.lock();
        let code = state.image.code.clone();
        let (mut resident_shared, mut resident_shmem, mut executable) = (0, 0, 0);
        for region in state.regions.iter() {
            if region.access.contains(PageFlags::EXECUTE) && !region.access.contains(PageFlags::WRITE) {
                executable += region.pages();
            }
            if matches!(region.backing, Backing::Anonymous) {
                continue;
            }
            let before = resident_shared;
            self.page_table().for_each(region.range(), &mut |_, _| {
                resident_shared += 1;
                ControlFlow::Continue(())
            });
            if matches!(region.backing, Backing::Shared(_)) {
                resident_shmem += resident_shared - before;
            }
        }
        Statm {
            mapped: state.regions.sums(),
            peak: state.regions.peak(),
            executable,
            resident: self.page_table().resident() as u64,
            resident_shared,
            resident_shmem,
            text: code.end.saturating_sub(code.start).div_ceil(PAGE),
            table_bytes: self.page_table().table_bytes() as u64,
        }
    }
}

fn row(state: &State, region: &Region) -> Row {
    let (file, name) = match &region.backing {
        Backing::Anonymous => (FileIdentity::default(), RowName::anonymous(state, region)),
        Backing::Shared(object) => {
            (FileIdentity { device: 1, inode: object.id() }, RowName::Text("/dev/zero (deleted)"))
        }
        Backing::File(mapping) => {
            (mapping.identity(), mapping.file().map_or(RowName::None, |file| RowName::File(file.clone())))
        }
        Backing::Kernel(pages) => (FileIdentity::default(), RowName::Text(pages.name)),
    };
    let has_offset = matches!(region.backing, Backing::File(_) | Backing::Shared(_));
    Row {
        range: region.range(),
        access: region.access,
        shared: region.is_shared(),
        offset: if has_offset { region.offset * PAGE } else { 0 },
        file,
        name,
        flags: region.flags,
    }
}

impl RowName {
    fn anonymous(state: &State, region: &Region) -> RowName {
        let heap = &state.heap;
        if heap.start < heap.end && region.start < heap.end && heap.start < region.end {
            return RowName::Text("[heap]");
        }
        if region.range().contains(&state.image.stack) {
            return RowName::Text("[stack]");
        }
        RowName::None
    }
}
