//! The memory of the trace rings: a range of RAM that is set aside at boot, so that whoever looks at guest memory
//! from outside finds it in one piece.

use base::frame::PAGE_SIZE;
use base::sync::Once;
use base::trace::area::LINE_BYTES;
use base::trace::ring::Line;

use super::regions::Regions;
use crate::arch::layout::physical_to_virtual;

/// Every machine type maps RAM below this one to one from the start of its memory.
const LIMIT: u64 = 2 << 30;

/// A part of RAM that belongs to the trace rings.
#[derive(Clone, Copy, Debug)]
pub struct TraceRange {
    /// Physical address.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
}

static RANGE: Once<TraceRange> = Once::new();

/// Takes `bytes` out of `ram`, rounded up to whole pages; nothing when there is no such range.
pub(super) fn reserve(ram: &mut Regions, bytes: u64) {
    let page = PAGE_SIZE as u64;
    let Some(bytes) = bytes.checked_next_multiple_of(page).filter(|bytes| *bytes > 0) else { return };
    if let Some(start) = ram.take(bytes, page, LIMIT) {
        RANGE.call_once(|| TraceRange { start, bytes });
    }
}

impl TraceRange {
    /// The range that was set aside, if one was.
    #[must_use]
    pub fn get() -> Option<TraceRange> {
        RANGE.get().copied()
    }

    /// The range as zeroed lines. Called once: it clears them.
    #[must_use]
    pub fn lines(self) -> &'static [Line] {
        let first = physical_to_virtual(self.start) as *mut Line;
        // SAFETY: P1, and `reserve` took the frames before anybody else could; a `Line` is atomics alone, which
        // may be made of zeros, and pages are aligned for it.
        unsafe {
            first.cast::<u8>().write_bytes(0, self.bytes as usize);
            core::slice::from_raw_parts(first, self.bytes as usize / LINE_BYTES)
        }
    }
}
