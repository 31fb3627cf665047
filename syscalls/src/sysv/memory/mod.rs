//! Shared memory segments. Source: `shmget(2)`, `shmat(2)`, `shmctl(2)`.
//!
//! | module | subject |
//! |---|---|
//! | [`segment`] | a segment: its pages, who has it attached, its end |
//! | [`control`] | what shmctl(2) reads and sets |

pub mod control;
pub mod segment;

use alloc::sync::Arc;

use base::caller::Caller;
use base::frame::PAGE_SIZE;
use base::sync::atomic::AtomicU64;
use base::{Errno, Result, machine};

use super::Share;
use super::ids::Ids;
use super::permission::Permissions;
use super::settings::{SEGMENT_BYTES, SEGMENT_PAGES, SEGMENTS};
use segment::Segment;

/// All segments.
pub static SEGMENTS_BY_ID: Ids<Segment> = Ids::new();

/// Pages of all segments, touched or not.
static IN_ALL_SEGMENTS: AtomicU64 = AtomicU64::new(0);

/// Use huge pages.
const SHM_HUGETLB: i32 = 0o4000;
/// Do not refuse a segment because there is not that much memory.
const SHM_NORESERVE: i32 = 0o10000;
/// The size of huge pages as a power of two, in the upper bits of the flags; 0 for the usual one.
const HUGE_SHIFT: u32 = 26;
const HUGE_MASK: i32 = 0x3f;
/// The sizes that this processor has: 2 MiB and 1 GiB.
const HUGE_SIZES: [i32; 3] = [0, 21, 30];

/// shmget(2): the segment of `key`, or a new one of `size` bytes, all zeros.
///
/// # Errors
///
/// `EINVAL` for a size that is impossible or larger than that of the segment; `EACCES`; `ENOENT`, `EEXIST`, `ENOSPC`
/// as [`Ids::get`]; `ENOMEM`, also for every segment of huge pages, of which there are none.
pub fn get(caller: &Caller, key: i32, size: u64, flags: i32) -> Result<i32> {
    let check = |segment: &Segment| {
        if size > segment.size() { Err(Errno::EINVAL) } else { segment.check(caller, flags) }
    };
    SEGMENTS_BY_ID.get(key, flags, SEGMENTS.get(), check, |id| {
        if size == 0 || size > SEGMENT_BYTES.get() {
            return Err(Errno::EINVAL);
        }
        let pages = size.div_ceil(PAGE_SIZE as u64);
        let share = Share::take(&IN_ALL_SEGMENTS, pages, SEGMENT_PAGES.get())?;
        if flags & SHM_HUGETLB != 0 {
            let known = HUGE_SIZES.contains(&(flags >> HUGE_SHIFT & HUGE_MASK));
            return Err(if known { Errno::ENOMEM } else { Errno::EINVAL });
        }
        if flags & SHM_NORESERVE == 0 && pages > machine().frames().total() as u64 {
            return Err(Errno::ENOMEM);
        }
        Segment::new(Permissions::new(id, key, flags, &caller.credentials), size, share, caller)
    })
}

/// The segment with this identifier.
///
/// # Errors
///
/// `EINVAL` when there is none.
pub fn find(id: i32) -> Result<Arc<Segment>> {
    SEGMENTS_BY_ID.find(id)
}
