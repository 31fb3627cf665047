//! gzip, decompressed through a window of 32 KiB. Source: RFC 1952.

use alloc::boxed::Box;
use alloc::vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::cpio::Problem;

/// First bytes of a gzip member that uses deflate.
pub(super) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

const WINDOW: usize = 32_768;

/// CRC and length behind the data.
const TRAILER: usize = 8;

const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;

/// Length of the member's header.
fn header_length(bytes: &[u8]) -> Option<usize> {
    let flags = *bytes.get(3)?;
    let mut at = 10;
    if flags & FLAG_EXTRA != 0 {
        let length = u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
        at += 2 + usize::from(length);
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        at += 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// Decompresses the member at the start of `bytes` into `take`, piece by piece; returns where it ended.
///
/// # Errors
///
/// `Truncated`, `Compression` (also when the CRC is wrong: what came out has been taken already), or what `take`
/// says.
pub(super) fn inflate(
    bytes: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<(), Problem>,
) -> Result<usize, Problem> {
    let mut at = header_length(bytes).ok_or(Problem::Truncated)?;
    let mut decompressor = Box::<DecompressorOxide>::default();
    let mut window = vec![0u8; WINDOW];
    let mut position = 0;
    let (mut crc, mut length) = (Crc::new(), 0u32);
    loop {
        let input = bytes.get(at..).unwrap_or_default();
        // All input is there, but a member that is cut off must not end as if it were complete.
        let flags = TINFL_FLAG_HAS_MORE_INPUT;
        let (status, consumed, produced) = decompress(&mut decompressor, input, &mut window, position, flags);
        at += consumed;
        let piece = window.get(position..position + produced).unwrap_or_default();
        crc.add(piece);
        length = length.wrapping_add(u32::try_from(produced).unwrap_or(0));
        take(piece)?;
        position = (position + produced) % WINDOW;
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::NeedsMoreInput => return Err(Problem::Truncated),
            _ => return Err(Problem::Compression),
        }
    }
    let trailer: [u8; TRAILER] =
        bytes.get(at..at + TRAILER).and_then(|trailer| trailer.try_into().ok()).ok_or(Problem::Truncated)?;
    let [a, b, c, d, e, f, g, h] = trailer;
    if u32::from_le_bytes([a, b, c, d]) != crc.value() || u32::from_le_bytes([e, f, g, h]) != length {
        return Err(Problem::Compression);
    }
    Ok(at + TRAILER)
}

/// The CRC of RFC 1952, nibble by nibble: a table of 16 words is enough for what runs once at boot.
struct Crc(u32);

const POLYNOMIAL: u32 = 0xedb8_8320;

const NIBBLES: [u32; 16] = {
    let mut table = [0; 16];
    let mut index = 0;
    while index < 16 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 4 {
            value = if value & 1 != 0 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

impl Crc {
    fn new() -> Crc {
        Crc(u32::MAX)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..2 {
                self.0 = self.0 >> 4 ^ NIBBLES[(self.0 & 15) as usize];
            }
        }
    }

    fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_that_of_the_rfc() {
        let mut crc = Crc::new();
        crc.add(b"123456789");
        assert_eq!(crc.value(), 0xcbf4_3926);
    }
}
