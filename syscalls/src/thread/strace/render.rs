//! Arguments as text. What an argument points at is read as the call itself would read it; an address that does
//! not allow that is shown as it is.

use alloc::string::String;
use alloc::vec;
use core::fmt::Write;

use base::Result;

use super::names::{self, Names};
use super::shape::{self, Shape};
use crate::declare::{Arguments, Syscall};
use crate::thread::Thread;
use crate::user::{copy_in, read_string, read_words};

/// Bytes of data that are shown.
const DATA: usize = 32;
/// Bytes of a path or other string that are shown.
const TEXT: usize = 256;
/// Strings, ranges or descriptors of a vector that are shown.
const PIECES: usize = 16;

/// The argument as it is known before the call; `None` when the call will fill it in.
pub(super) async fn before(
    thread: &Thread,
    syscall: Option<&Syscall>,
    index: usize,
    arguments: &Arguments,
) -> Option<String> {
    let parameter = syscall?.arguments.get(index)?;
    let shape = shape::of(syscall?.name, parameter.name);
    if shape.is_filled_in() {
        return None;
    }
    let value = *arguments.get(index)?;
    match shaped(thread, shape, value, arguments, 0).await {
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => Some(hex(value)),
        None => {
            let mut text = String::new();
            // A `String` takes everything.
            let _ = (parameter.render)(value, &mut text);
            Some(text)
        }
    }
}

/// The argument as the call has filled it in.
pub(super) async fn after(
    thread: &Thread,
    syscall: Option<&Syscall>,
    index: usize,
    arguments: &Arguments,
    answer: Result<u64>,
) -> String {
    let value = arguments.get(index).copied().unwrap_or(0);
    let parameter = syscall.and_then(|syscall| Some((syscall.name, syscall.arguments.get(index)?.name)));
    let (Some((name, parameter)), Ok(answer)) = (parameter, answer) else { return hex(value) };
    if value == 0 {
        return hex(value);
    }
    match shaped(thread, shape::of(name, parameter), value, arguments, answer).await {
        Some(Ok(text)) => text,
        _ => hex(value),
    }
}

fn hex(value: u64) -> String {
    if value == 0 { String::from("NULL") } else { alloc::format!("{value:#x}") }
}

/// The value in its shape; `None` when it is to be shown as its type says.
async fn shaped(
    thread: &Thread,
    shape: Shape,
    value: u64,
    arguments: &Arguments,
    answer: u64,
) -> Option<Result<String>> {
    let length = |at: usize| arguments.get(at).copied().unwrap_or(0);
    Some(match shape {
        Shape::Plain => return None,
        Shape::Hex => Ok(hex(value)),
        Shape::Octal => Ok(alloc::format!("{value:#o}")),
        Shape::One(table) => Ok(one(table, value)),
        Shape::Bits(table) => Ok(bits(table, value, "0")),
        Shape::OpenFlags => Ok(open_flags(value)),
        Shape::FutexOperation => Ok(futex_operation(value)),
        _ if value == 0 => Ok(hex(value)),
        Shape::Text => text(thread, value).await,
        Shape::BytesIn(at) => data(thread, value, length(at)).await,
        Shape::BytesOut => data(thread, value, answer).await,
        Shape::VectorIn => vector(thread, value, length(2)).await,
        Shape::Strings => strings(thread, value).await,
        Shape::StringCount => string_count(thread, value).await,
        Shape::PairOut => {
            words(thread, value).await.map(|[both]| alloc::format!("[{}, {}]", both as u32, both >> 32))
        }
        Shape::StatusOut => words32(thread, value).await.map(|status| wait_status(status, answer)),
        Shape::StatOut => stat(thread, value).await,
        Shape::TimeIn | Shape::TimeOut => words(thread, value)
            .await
            .map(|[seconds, nanos]| alloc::format!("{{tv_sec={seconds}, tv_nsec={nanos}}}")),
        Shape::PollIn => poll(thread, value, length(1)).await,
        Shape::SignalSetIn | Shape::SignalSetOut => words(thread, value).await.map(|[set]| signal_set(set)),
        Shape::ActionIn => action(thread, value).await,
    })
}

async fn words<const N: usize>(thread: &Thread, at: u64) -> Result<[u64; N]> {
    read_words::<N>(&*thread.space(), at).await
}

async fn words32(thread: &Thread, at: u64) -> Result<u32> {
    crate::user::read_u32(&*thread.space(), at).await
}

fn one(table: Names, value: u64) -> String {
    // The kernel takes an int.
    let number = value & 0xffff_ffff;
    match table.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => String::from(*name),
        None => alloc::format!("{number:#x}"),
    }
}

/// The names of the bits in `value`; `none` when there is none.
fn bits(table: Names, value: u64, none: &str) -> String {
    let (mut text, mut rest) = (String::new(), value);
    for (bit, name) in table {
        if rest & bit == *bit {
            rest &= !bit;
            text.push_str(if text.is_empty() { "" } else { "|" });
            text.push_str(name);
        }
    }
    if rest != 0 {
        let separator = if text.is_empty() { "" } else { "|" };
        let _ = write!(text, "{separator}{rest:#x}");
    }
    if text.is_empty() { String::from(none) } else { text }
}

fn open_flags(value: u64) -> String {
    let access = match value & 3 {
        0 => "O_RDONLY",
        1 => "O_WRONLY",
        2 => "O_RDWR",
        _ => "O_ACCMODE",
    };
    match value & 0xffff_fffc {
        0 => String::from(access),
        rest => alloc::format!("{access}|{}", bits(names::OPENS, rest, "")),
    }
}

fn futex_operation(value: u64) -> String {
    let mut text = one(names::FUTEXES, value & 0x7f);
    for (bit, name) in [(0x80, "_PRIVATE"), (0x100, "|FUTEX_CLOCK_REALTIME")] {
        text.push_str(if value & bit != 0 { name } else { "" });
    }
    text
}

/// The signals of a set; those that are missing, when most are in it.
fn signal_set(set: u64) -> String {
    let (mut text, set) =
        if set.count_ones() > 32 { (String::from("~["), !set) } else { (String::from("["), set) };
    for number in (1..=64u64).filter(|number| set & 1 << (number - 1) != 0) {
        text.push_str(if text.ends_with('[') { "" } else { " " });
        match names::SIGNALS.iter().find(|(known, _)| *known == number) {
            Some((_, name)) => text.push_str(name.trim_start_matches("SIG")),
            None => {
                let _ = write!(text, "RT_{}", number - 32);
            }
        }
    }
    text.push(']');
    text
}

fn wait_status(status: u32, pid: u64) -> String {
    if pid == 0 {
        return String::from("[]");
    }
    match (status & 0x7f, status >> 8 & 0xff) {
        (0, code) => alloc::format!("[exited {code}]"),
        (0x7f, _) if status == 0xffff => String::from("[continued]"),
        (0x7f, signal) => alloc::format!("[stopped by {}]", one(names::SIGNALS, signal.into())),
        (signal, _) => alloc::format!("[killed by {}]", one(names::SIGNALS, signal.into())),
    }
}

/// `bytes` in quotes, with what does not print as escapes.
fn quoted(bytes: &[u8], cut: bool) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        let _ = match byte {
            b'\n' => write!(text, "\\n"),
            b'\r' => write!(text, "\\r"),
            b'\t' => write!(text, "\\t"),
            b'"' | b'\\' => write!(text, "\\{}", char::from(byte)),
            b' '..=b'~' => write!(text, "{}", char::from(byte)),
            _ => write!(text, "\\{byte:o}"),
        };
    }
    text.push_str(if cut { "\"..." } else { "\"" });
    text
}

async fn text(thread: &Thread, at: u64) -> Result<String> {
    match read_string(&*thread.space(), at, TEXT, base::Errno::ENAMETOOLONG).await {
        Ok(bytes) => Ok(quoted(&bytes, false)),
        Err(base::Errno::ENAMETOOLONG) => {
            let mut bytes = [0; TEXT];
            copy_in(&*thread.space(), at, &mut bytes).await?;
            Ok(quoted(&bytes, true))
        }
        Err(error) => Err(error),
    }
}

async fn data(thread: &Thread, at: u64, length: u64) -> Result<String> {
    let shown = usize::try_from(length).unwrap_or(usize::MAX).min(DATA);
    let mut bytes = [0; DATA];
    let bytes = bytes.get_mut(..shown).unwrap_or_default();
    copy_in(&*thread.space(), at, bytes).await?;
    Ok(quoted(bytes, length > shown as u64))
}

async fn vector(thread: &Thread, at: u64, count: u64) -> Result<String> {
    let mut text = String::from("[");
    for piece in 0..count.min(PIECES as u64) {
        let [base, length] = words(thread, at + 16 * piece).await?;
        let bytes = data(thread, base, length).await.unwrap_or_else(|_| hex(base));
        let separator = if piece > 0 { ", " } else { "" };
        let _ = write!(text, "{separator}{{iov_base={bytes}, iov_len={length}}}");
    }
    text.push(']');
    Ok(text)
}

async fn strings(thread: &Thread, at: u64) -> Result<String> {
    let mut list = String::from("[");
    for piece in 0..=PIECES as u64 {
        let [string] = words(thread, at + 8 * piece).await?;
        if string == 0 {
            break;
        }
        list.push_str(if piece > 0 { ", " } else { "" });
        if piece == PIECES as u64 {
            list.push_str("...");
            break;
        }
        list.push_str(&text(thread, string).await?);
    }
    list.push(']');
    Ok(list)
}

async fn string_count(thread: &Thread, at: u64) -> Result<String> {
    const MOST: u64 = 10_000;
    let mut count = 0;
    while count < MOST && words(thread, at + 8 * count).await? != [0] {
        count += 1;
    }
    Ok(alloc::format!("{at:#x} /* {count} vars */"))
}

async fn stat(thread: &Thread, at: u64) -> Result<String> {
    let [_, _, _, mode_and_user, _, _, size] = words(thread, at).await?;
    let mode = mode_and_user & 0xffff_ffff;
    let kind = one(names::FILE_TYPES, mode & 0o170_000);
    Ok(alloc::format!("{{st_mode={kind}|{:#05o}, st_size={size}, ...}}", mode & 0o7777))
}

async fn poll(thread: &Thread, at: u64, count: u64) -> Result<String> {
    let shown = usize::try_from(count).unwrap_or(usize::MAX).min(PIECES);
    let mut bytes = vec![0; shown * 8];
    copy_in(&*thread.space(), at, &mut bytes).await?;
    let mut text = String::from("[");
    for (index, entry) in bytes.chunks_exact(8).enumerate() {
        let [a, b, c, d, low, high, ..] = entry else { continue };
        let fd = i32::from_le_bytes([*a, *b, *c, *d]);
        let events = bits(names::POLLS, u16::from_le_bytes([*low, *high]).into(), "0");
        let separator = if index > 0 { ", " } else { "" };
        let _ = write!(text, "{separator}{{fd={fd}, events={events}}}");
    }
    text.push_str(if count > shown as u64 { ", ...]" } else { "]" });
    Ok(text)
}

async fn action(thread: &Thread, at: u64) -> Result<String> {
    let [handler, flags, _, mask] = words(thread, at).await?;
    let handler = match handler {
        0 => String::from("SIG_DFL"),
        1 => String::from("SIG_IGN"),
        address => hex(address),
    };
    Ok(alloc::format!("{{sa_handler={handler}, sa_mask={}, sa_flags={flags:#x}}}", signal_set(mask)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_names_and_the_rest_is_a_number() {
        assert_eq!(bits(names::PROTECTIONS, 5, "0"), "PROT_READ|PROT_EXEC");
        assert_eq!(bits(names::PROTECTIONS, 0x11, "0"), "PROT_READ|0x10");
        assert_eq!(bits(names::PROTECTIONS, 0, "PROT_NONE"), "PROT_NONE");
        assert_eq!(open_flags(0o2_000_102), "O_RDWR|O_CREAT|O_CLOEXEC");
        assert_eq!(futex_operation(0x80 | 9), "FUTEX_WAIT_BITSET_PRIVATE");
    }

    #[test]
    fn what_does_not_print_is_escaped() {
        assert_eq!(quoted(b"a\"\n\x01", true), "\"a\\\"\\n\\1\"...");
        assert_eq!(signal_set(1 << 16 | 1 << 33), "[CHLD RT_2]");
        assert_eq!(signal_set(!(1 << 8)), "~[KILL]");
        assert_eq!(wait_status(0x0300, 7), "[exited 3]");
        assert_eq!(wait_status(9, 7), "[killed by SIGKILL]");
    }
}
