//! What shmctl(2) reads. Source: `shmctl(2)`.

use base::frame::PAGE_SIZE;
use base::sync::atomic::Ordering;

use super::super::permission::Permissions;
use super::super::record::Record;
use super::super::settings::{SEGMENT_BYTES, SEGMENT_PAGES, SEGMENTS};
use super::segment::Segment;
use super::{IN_ALL_SEGMENTS, SEGMENTS_BY_ID};

/// In the mode: it ends with its last attachment.
const SHM_DEST: u32 = 0o1000;
/// In the mode: it is locked in memory.
const SHM_LOCKED: u32 = 0o2000;

/// A segment, for `IPC_STAT` and for `/proc/sysvipc/shm`. Times are seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Owner and mode.
    pub permissions: Permissions,
    /// The bits of the mode that tell its state.
    pub flags: u32,
    /// Size in bytes.
    pub size: u64,
    /// When it was attached last.
    pub attached: u64,
    /// When it was detached last.
    pub detached: u64,
    /// When it was made or changed last.
    pub changed: u64,
    /// The process that made it.
    pub creator: u32,
    /// The process that attached or detached it last.
    pub last_user: u32,
    /// Number of attachments.
    pub attachments: u64,
    /// Pages of it that exist.
    pub resident_pages: u64,
}

impl Status {
    /// `struct shmid64_ds`.
    #[must_use]
    pub fn record(&self) -> Record {
        let record = self.permissions.record(self.flags);
        let record = record.u64(self.size).u64(self.attached).u64(self.detached).u64(self.changed);
        record.u32(self.creator).u32(self.last_user).u64(self.attachments).zeros(16)
    }
}

impl Segment {
    /// The segment as it is now.
    #[must_use]
    pub fn status(&self) -> Status {
        let resident_pages = self.resident_pages();
        let state = self.lock();
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        Status {
            permissions: state.permissions,
            flags: flag(state.doomed, SHM_DEST) | flag(state.locked, SHM_LOCKED),
            size: self.size(),
            attached: state.attached,
            detached: state.detached,
            changed: state.changed,
            creator: state.creator,
            last_user: state.last_user,
            attachments: state.attachments.len() as u64,
            resident_pages,
        }
    }
}

/// `struct shminfo64` and the highest index in use: `IPC_INFO`.
#[must_use]
pub fn limits() -> (Record, u16) {
    let (_, highest) = SEGMENTS_BY_ID.extent();
    let (bytes, pages, count) = (SEGMENT_BYTES.get(), SEGMENT_PAGES.get(), SEGMENTS.get());
    (Record::default().u64(bytes).u64(1).u64(count).u64(count).u64(pages).zeros(32), highest)
}

/// `struct shm_info` and the highest index in use: `SHM_INFO`.
#[must_use]
pub fn usage() -> (Record, u16) {
    let (segments, highest) = SEGMENTS_BY_ID.extent();
    let pages = IN_ALL_SEGMENTS.load(Ordering::Relaxed);
    let record = Record::default().limit(segments as u64).zeros(4).u64(pages).u64(resident_pages());
    // Nothing was ever swapped.
    (record.zeros(24), highest)
}

/// Pages of all segments that exist.
fn resident_pages() -> u64 {
    let (mut pages, mut next) = (0, Some(0));
    while let Some((index, segment)) = next.and_then(|index| SEGMENTS_BY_ID.next(index)) {
        pages += segment.resident_pages();
        next = index.checked_add(1);
    }
    pages
}

/// Bytes of pages, for `/proc/sysvipc/shm`.
#[must_use]
pub fn bytes_of(pages: u64) -> u64 {
    pages * PAGE_SIZE as u64
}
