//! Mount options of tmpfs. Source: `tmpfs(5)`.

use base::frame::PAGE_SIZE;
use base::{Errno, Result, machine};

/// The options that were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// `size=`, `nr_blocks=`: in pages; 0 for no limit.
    pub(super) pages: Option<u64>,
    /// `nr_inodes=`; 0 for no limit.
    pub(super) inodes: Option<u64>,
    /// `mode=` of the root directory.
    pub(super) mode: Option<u32>,
    /// `uid=` of the root directory.
    pub(super) uid: Option<u32>,
    /// `gid=` of the root directory.
    pub(super) gid: Option<u32>,
}

impl Options {
    /// Reads `key=value,key=value`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an option that is unknown or has no sensible value.
    pub(super) fn parse(data: &[u8]) -> Result<Options> {
        let text = core::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        let mut options = Options::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "size" => options.pages = Some(size(value)?),
                "nr_blocks" => options.pages = Some(amount(value)?),
                "nr_inodes" => options.inodes = Some(amount(value)?),
                "mode" => {
                    options.mode = Some(u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777)
                }
                "uid" => options.uid = Some(value.parse().map_err(|_| Errno::EINVAL)?),
                "gid" => options.gid = Some(value.parse().map_err(|_| Errno::EINVAL)?),
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

/// A size in bytes (with `k`, `m`, `g`) or in percent of the memory, as pages.
fn size(text: &str) -> Result<u64> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u64 = percent.parse().map_err(|_| Errno::EINVAL)?;
        return Ok((machine().frames().totals().total as u64).saturating_mul(percent) / 100);
    }
    Ok(amount(text)?.div_ceil(PAGE_SIZE as u64))
}

/// A number, perhaps with `k`, `m` or `g`.
fn amount(text: &str) -> Result<u64> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    number.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_with_their_units() {
        let options = Options::parse(b"size=1m,nr_inodes=2k,mode=700,uid=3").unwrap();
        assert_eq!(options.pages, Some(256));
        assert_eq!(options.inodes, Some(2048));
        assert_eq!((options.mode, options.uid, options.gid), (Some(0o700), Some(3), None));
    }

    #[test]
    fn unknown_options_are_refused() {
        for text in ["foo", "size=", "size=x", "mode=9", "size=99999999999999999999"] {
            assert_eq!(Options::parse(text.as_bytes()), Err(Errno::EINVAL), "{text}");
        }
    }
}
