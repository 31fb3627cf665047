//! ELF headers: decoded from bytes that anybody may have written.
//!
//! The checks are Linux's, no more and no fewer, because some tools live by what Linux lets through: the class
//! and version bytes, for example, are never looked at.

use alloc::vec::Vec;

use base::{Errno, Result};

/// Bytes of the file header.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a program header.
pub const PROGRAM_HEADER_BYTES: usize = 56;
/// Bytes that all program headers may take together.
const TABLE_LIMIT: usize = 65_536;

const MACHINE_X86_64: u16 = 62;

/// How an image is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At fixed addresses (`ET_EXEC`).
    Fixed,
    /// Position-independent (`ET_DYN`).
    Relocatable,
}

/// The file header, as far as a loader cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it is linked.
    pub kind: Kind,
    /// Where it starts.
    pub entry: u64,
    /// Where the program headers are in the file.
    pub table_offset: u64,
    /// How many there are.
    pub table_count: u16,
}

/// What a program header is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// Bytes to put into memory.
    Load,
    /// The path of the dynamic linker.
    Interpreter,
    /// Whether the stack may be executed.
    Stack,
    /// Nothing that the loader looks at.
    Other,
}

/// A program header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What it is about.
    pub kind: SegmentKind,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
    /// Where its bytes are in the file.
    pub offset: u64,
    /// Where they go.
    pub address: u64,
    /// How many there are.
    pub file_size: u64,
    /// How many bytes it has in memory; what the file lacks is zeros.
    pub memory_size: u64,
    /// Its alignment, as the file says.
    pub align: u64,
}

/// Reads `N` bytes at `offset` of a buffer; zeros where the buffer is too short.
fn bytes<const N: usize>(buffer: &[u8], offset: usize) -> [u8; N] {
    let mut field = [0; N];
    for (to, from) in field.iter_mut().zip(buffer.iter().skip(offset)) {
        *to = *from;
    }
    field
}

fn u16_at(buffer: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes(buffer, offset))
}

fn u32_at(buffer: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes(buffer, offset))
}

fn u64_at(buffer: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes(buffer, offset))
}

impl Header {
    /// Decodes the first bytes of a file; what is missing counts as zeros, as in Linux's buffer.
    ///
    /// # Errors
    ///
    /// `ENOEXEC` when it is no ELF program for this processor, or its table of program headers is empty, too
    /// large, or of entries with another size. Source: `elf(5)`.
    pub fn decode(start: &[u8]) -> Result<Header> {
        let magic: [u8; 4] = bytes(start, 0);
        if magic != *b"\x7fELF" {
            return Err(Errno::ENOEXEC);
        }
        let kind = match u16_at(start, 16) {
            2 => Kind::Fixed,
            3 => Kind::Relocatable,
            _ => return Err(Errno::ENOEXEC),
        };
        if u16_at(start, 18) != MACHINE_X86_64 {
            return Err(Errno::ENOEXEC);
        }
        let table_count = u16_at(start, 56);
        let table_bytes = usize::from(table_count) * PROGRAM_HEADER_BYTES;
        if usize::from(u16_at(start, 54)) != PROGRAM_HEADER_BYTES
            || table_bytes == 0
            || table_bytes > TABLE_LIMIT
        {
            return Err(Errno::ENOEXEC);
        }
        Ok(Header { kind, entry: u64_at(start, 24), table_offset: u64_at(start, 32), table_count })
    }

    /// Bytes of the program headers.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        usize::from(self.table_count) * PROGRAM_HEADER_BYTES
    }
}

/// Decodes a table of program headers.
#[must_use]
pub fn decode_segments(table: &[u8]) -> Vec<Segment> {
    table.chunks_exact(PROGRAM_HEADER_BYTES).map(decode_segment).collect()
}

fn decode_segment(entry: &[u8]) -> Segment {
    let flags = u32_at(entry, 4);
    Segment {
        kind: match u32_at(entry, 0) {
            1 => SegmentKind::Load,
            3 => SegmentKind::Interpreter,
            0x6474_e551 => SegmentKind::Stack,
            _ => SegmentKind::Other,
        },
        execute: flags & 1 != 0,
        write: flags & 2 != 0,
        read: flags & 4 != 0,
        offset: u64_at(entry, 8),
        address: u64_at(entry, 16),
        file_size: u64_at(entry, 32),
        memory_size: u64_at(entry, 40),
        align: u64_at(entry, 48),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Vec<u8> {
        let mut start = vec![0; HEADER_BYTES];
        start[..4].copy_from_slice(b"\x7fELF");
        start[16] = 2;
        start[18] = 62;
        start[24..32].copy_from_slice(&0x40_1000u64.to_le_bytes());
        start[32] = 64;
        start[54] = 56;
        start[56] = 3;
        start
    }

    #[test]
    fn a_header_is_decoded() {
        let decoded = Header::decode(&header()).unwrap();
        let expected = Header { kind: Kind::Fixed, entry: 0x40_1000, table_offset: 64, table_count: 3 };
        assert_eq!(decoded, expected);
    }

    #[test]
    fn each_broken_field_is_refused() {
        for (offset, value) in [(0, 0), (16, 1), (18, 3), (54, 55), (56, 0), (57, 5)] {
            let mut start = header();
            start[offset] = value;
            assert_eq!(Header::decode(&start), Err(Errno::ENOEXEC), "byte {offset}");
        }
        assert_eq!(Header::decode(b""), Err(Errno::ENOEXEC));
        assert_eq!(Header::decode(&header()[..40]), Err(Errno::ENOEXEC));
    }
}
