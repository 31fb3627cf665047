//! What names and words of pseudo files mean: numbers, and the page that a name asks for.

use core::fmt;
use core::str::FromStr;

use base::{Errno, Result};
use ipc::report::{PAGE_MAX, Query};

/// A decimal number as a name: digits alone, and no zero in front, so that each has one spelling.
#[must_use]
pub fn parse_number<N: FromStr>(name: &[u8]) -> Option<N> {
    let canonical = name.len() == 1 || name.first() != Some(&b'0');
    if canonical { digits(name) } else { None }
}

fn digits<N: FromStr>(text: &[u8]) -> Option<N> {
    // `parse` would take a sign.
    let only = text.iter().all(u8::is_ascii_digit);
    only.then(|| core::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// The page that the name `stem`, `stem.CURSOR` or `stem.CURSOR.SIZE` asks for; `None` for any other name. A size of
/// 0 means `default`, and one above [`PAGE_MAX`] means that.
#[must_use]
pub fn parse_query(name: &[u8], stem: &str, default: u32) -> Option<Query> {
    let tail = name.strip_prefix(stem.as_bytes())?;
    if tail.is_empty() {
        return Some(Query { cursor: 0, page_size: default });
    }
    let mut words = tail.strip_prefix(b".")?.split(|byte| *byte == b'.').map(digits);
    let cursor = words.next()??;
    let page_size = match words.next() {
        None => 0,
        Some(size) => size?,
    };
    if words.next().is_some() {
        return None;
    }
    Some(Query { cursor, page_size: if page_size == 0 { default } else { page_size.min(PAGE_MAX) } })
}

/// The number that was written to a file: decimal, with blanks around it.
///
/// # Errors
///
/// `ERANGE` when it is too large, said before what follows is looked at; `EINVAL` for anything else.
pub fn parse_written(text: &[u8]) -> Result<u32> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let start = text.iter().position(|byte| !is_blank(byte)).ok_or(Errno::EINVAL)?;
    let text = text.get(start..).unwrap_or_default();
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(length);
    if number.is_empty() {
        return Err(Errno::EINVAL);
    }
    let value = digits(number).ok_or(Errno::ERANGE)?;
    if rest.iter().all(is_blank) { Ok(value) } else { Err(Errno::EINVAL) }
}

/// Bytes of a name or path as one word: what is no visible ASCII, and the backslash, as three octal digits.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.iter().try_for_each(|byte| match byte {
            b'\\' => f.write_str("\\134"),
            visible if visible.is_ascii_graphic() => f.write_char(char::from(*visible)),
            other => write!(f, "\\{other:03o}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_asks_for_a_page_in_one_of_three_ways() {
        let query = |name: &str| parse_query(name.as_bytes(), "t_v2", 128);
        let page = |cursor, page_size| Some(Query { cursor, page_size });
        assert_eq!(query("t_v2"), page(0, 128));
        assert_eq!(query("t_v2.7"), page(7, 128));
        assert_eq!(query("t_v2.7.9"), page(7, 9));
        assert_eq!(query("t_v2.7.0"), page(7, 128));
        assert_eq!(query("t_v2.4294967295.600"), page(u32::MAX, 512));
        for name in
            ["t_v", "t_v2.", "t_v2..", "t_v2.1.", "t_v2.1.2.3", "t_v2.-1", "t_v2.+1", "t_v2. 1", "t_v2x"]
        {
            assert_eq!(query(name), None, "{name}");
        }
        assert_eq!(query("t_v2.4294967296"), None);
        assert_eq!(query("t_v2.1.4294967296"), None);
    }

    #[test]
    fn a_written_number_has_blanks_around_it_at_most() {
        assert_eq!(parse_written(b"17"), Ok(17));
        assert_eq!(parse_written(b" \t\r\n007\n "), Ok(7));
        assert_eq!(parse_written(b"4294967295"), Ok(u32::MAX));
        assert_eq!(parse_written(b"4294967296x"), Err(Errno::ERANGE));
        for text in [&b""[..], b" \n", b"-1", b"+1", b"0x1", b"1 2", b"1\0", b"\x0b1"] {
            assert_eq!(parse_written(text), Err(Errno::EINVAL), "{text:?}");
        }
    }

    #[test]
    fn a_number_in_a_name_has_one_spelling() {
        assert_eq!(parse_number(b"0"), Some(0u32));
        assert_eq!(parse_number(b"120"), Some(120u32));
        for name in [&b""[..], b"01", b"+1", b"1 ", b"4294967296"] {
            assert_eq!(parse_number::<u32>(name), None);
        }
    }

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(
            alloc::format!("{}", Escaped("/a b\\\n\u{e9}".as_bytes())),
            "/a\\040b\\134\\012\\303\\251"
        );
    }
}
