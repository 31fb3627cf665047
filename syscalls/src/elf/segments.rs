//! An image's segments, put into a space.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use base::memory::UserMemory;
use base::{Errno, Result};

use super::header::{HEADER_BYTES, Header, Kind, Segment, SegmentKind, decode_segments};
use super::program::{ProgramFile, read_exact};
use crate::machine::{PageFlags, USER_END};
use crate::mm::file::FileMapping;
use crate::mm::map::Place;
use crate::mm::placement;
use crate::mm::region::Backing;
use crate::mm::{AddressSpace, MapRequest, PAGE, page_ceiling, page_floor};

/// Headers of an image.
#[derive(Clone, Debug)]
pub struct Headers {
    /// The file header.
    pub file: Header,
    /// The program headers.
    pub segments: Vec<Segment>,
}

impl Headers {
    /// Reads and decodes the headers of a file whose first bytes are `start`.
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// `ENOEXEC` as [`Header::decode`], or when the table lies past the end of the file; `EIO`, `ENOMEM`.
    pub async fn read(file: &dyn ProgramFile, start: &[u8]) -> Result<Headers> {
        let header = Header::decode(start.get(..HEADER_BYTES).unwrap_or(start))?;
        let mut table = Vec::new();
        table.try_reserve_exact(header.table_bytes()).map_err(|_| Errno::ENOMEM)?;
        table.resize(header.table_bytes(), 0);
        if !read_exact(file, header.table_offset, &mut table).await? {
            return Err(Errno::ENOEXEC);
        }
        Ok(Headers { file: header, segments: decode_segments(&table) })
    }

    /// The segments that go into memory.
    pub fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.kind == SegmentKind::Load)
    }

    /// The first header that names an interpreter.
    #[must_use]
    pub fn interpreter(&self) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.kind == SegmentKind::Interpreter)
    }

    /// True when the image asks for a stack that can be executed.
    #[must_use]
    pub fn executable_stack(&self) -> bool {
        self.segments.iter().rev().find(|s| s.kind == SegmentKind::Stack).is_some_and(|stack| stack.execute)
    }

    /// Checks each segment and returns the pages that they span together, before any bias.
    ///
    /// # Errors
    ///
    /// `EINVAL` when a segment is larger in the file than in memory or leaves user space, or when there is none
    /// in a position-independent image.
    fn span(&self) -> Result<Range<u64>> {
        let mut span: Option<Range<u64>> = None;
        for segment in self.loads() {
            let end = segment.address.checked_add(segment.memory_size).ok_or(Errno::EINVAL)?;
            if segment.file_size > segment.memory_size || end > USER_END {
                return Err(Errno::EINVAL);
            }
            let (start, end) = (page_floor(segment.address), page_ceiling(end).ok_or(Errno::EINVAL)?);
            let so_far = span.unwrap_or(start..end);
            span = Some(so_far.start.min(start)..so_far.end.max(end));
        }
        match span {
            Some(span) => Ok(span),
            None if self.file.kind == Kind::Fixed => Ok(0..0),
            None => Err(Errno::EINVAL),
        }
    }

    /// The greatest alignment that a segment asks for and that makes sense.
    fn alignment(&self) -> u64 {
        self.loads().map(|segment| segment.align).filter(|align| align.is_power_of_two()).fold(PAGE, u64::max)
    }
}

/// Where an image ended up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// What was added to the addresses in the file.
    pub bias: u64,
    /// First instruction.
    pub entry: u64,
    /// Where the program headers are in memory; 0 when no segment holds them.
    pub headers: u64,
    /// Executable bytes.
    pub code: Range<u64>,
    /// Bytes from the last segment's start to the end of initialised data.
    pub data: Range<u64>,
    /// First address behind everything, zeros included.
    pub end: u64,
}

/// What an image is for: it decides where a position-independent one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A program that an interpreter will link: at the program base.
    Linked,
    /// A program without an interpreter, or an interpreter: among the mappings.
    Alone,
}

/// Maps the segments of an image into `space`. Dropping the future leaves some of them mapped.
///
/// # Errors
///
/// `EINVAL` for impossible segments; `ENOMEM`, `EEXIST`, `EPERM` as mmap(2).
pub async fn place(
    space: &Arc<AddressSpace>,
    file: &dyn ProgramFile,
    headers: &Headers,
    role: Role,
) -> Result<Placed> {
    let span = headers.span()?;
    let bias = choose_bias(space, headers, &span, role)?;
    let mapped = file.map_into(space)?;
    #[allow(clippy::reversed_empty_ranges, reason = "empty, and grown by the first segment")]
    let mut placed = Placed { bias, code: u64::MAX..0, ..Placed::default() };
    for (index, segment) in headers.loads().enumerate() {
        let mode = if index == 0 { Place::FixedNoReplace } else { Place::Fixed };
        place_segment(space, &mapped, segment, bias, mode).await?;
        note(&mut placed, segment, headers.file.table_offset);
    }
    if placed.code.start == u64::MAX {
        placed.code = 0..0;
    }
    placed.entry = bias.wrapping_add(headers.file.entry);
    if placed.entry >= USER_END {
        return Err(Errno::EINVAL);
    }
    Ok(placed)
}

/// What is added to every address of the image; page-aligned.
fn choose_bias(space: &AddressSpace, headers: &Headers, span: &Range<u64>, role: Role) -> Result<u64> {
    if headers.file.kind == Kind::Fixed {
        return Ok(0);
    }
    let length = span.end - span.start;
    let align = headers.alignment();
    let state = space.lock();
    if role == Role::Linked {
        let base = placement::program_base() & !(align - 1);
        let free =
            base.checked_add(length).is_some_and(|end| end <= USER_END && state.regions.is_free(base..end));
        if free {
            return Ok(base.wrapping_sub(span.start));
        }
    }
    let room = length.checked_add(align - PAGE).ok_or(Errno::ENOMEM)?;
    let found = state.placement.find(&state.regions, room, placement::Window::Any).ok_or(Errno::ENOMEM)?;
    // Raised by less than `align - PAGE`, so it stays inside the room.
    let start = (found + align - PAGE) & !(align - 1);
    Ok(start.wrapping_sub(span.start))
}

fn access_of(segment: &Segment) -> PageFlags {
    let mut access = PageFlags::empty();
    access.set(PageFlags::READ, segment.read);
    access.set(PageFlags::WRITE, segment.write);
    access.set(PageFlags::EXECUTE, segment.execute);
    access
}

/// Maps the part of a segment that the file has, clears the rest of its last page, and maps zeros behind it.
async fn place_segment(
    space: &AddressSpace,
    file: &Arc<FileMapping>,
    segment: &Segment,
    bias: u64,
    mode: Place,
) -> Result<()> {
    let access = access_of(segment);
    let start = bias.wrapping_add(segment.address);
    let (file_end, end) = (start + segment.file_size, start + segment.memory_size);
    let first = page_floor(start);
    let mut zeros_from = first;
    if segment.file_size > 0 {
        let lead = start - first;
        let offset = segment.offset.checked_sub(lead).ok_or(Errno::EINVAL)?;
        if !offset.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let request = MapRequest {
            place: mode,
            backing: Backing::File(file.clone()),
            offset: offset / PAGE,
            ..MapRequest::anonymous(file_end - first, access).fixed(first)
        };
        space.map(request).await?;
        zeros_from = page_ceiling(file_end).ok_or(Errno::ENOMEM)?;
        let tail = zeros_from.min(end).saturating_sub(file_end);
        if tail > 0 && segment.write {
            clear(space, file_end, zeros_from - file_end).await?;
        }
    }
    let zeros_to = page_ceiling(end).ok_or(Errno::ENOMEM)?;
    if zeros_to > zeros_from {
        let place = if segment.file_size == 0 { mode } else { Place::Fixed };
        let request = MapRequest::anonymous(zeros_to - zeros_from, access).fixed(zeros_from);
        space.map(MapRequest { place, ..request }).await?;
    }
    Ok(())
}

/// Writes zeros, less than a page of them.
async fn clear(memory: &dyn UserMemory, at: u64, length: u64) -> Result<()> {
    let zeros = [0; PAGE as usize];
    let length = usize::try_from(length).map_err(|_| Errno::EFAULT)?;
    crate::user::copy_out(memory, at, zeros.get(..length).ok_or(Errno::EFAULT)?).await
}

/// Widens what is known about the image by one segment.
fn note(placed: &mut Placed, segment: &Segment, table_offset: u64) {
    let start = placed.bias.wrapping_add(segment.address);
    let file_end = start + segment.file_size;
    if segment.execute {
        placed.code.start = placed.code.start.min(start);
        placed.code.end = placed.code.end.max(file_end);
    }
    placed.data.start = placed.data.start.max(start);
    placed.data.end = placed.data.end.max(file_end);
    placed.end = placed.end.max(start + segment.memory_size);
    if segment.offset <= table_offset && table_offset - segment.offset < segment.file_size {
        placed.headers = start + (table_offset - segment.offset);
    }
}
