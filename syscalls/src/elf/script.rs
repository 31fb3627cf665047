//! The first line of a script: `#!interpreter [argument]`. Source: `execve(2)`, interpreter scripts.

use base::{Errno, Result};

/// Bytes of a file that are looked at to find out what it is.
pub const PROBE_BYTES: usize = 256;

/// Interpreters of interpreters that are followed.
pub const MAX_DEPTH: usize = 5;

/// What the line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLine<'a> {
    /// Path of the interpreter.
    pub interpreter: &'a [u8],
    /// Everything behind it, as one argument; inner spaces are part of it.
    pub argument: Option<&'a [u8]>,
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Splits the first line. `None` when the file is no script.
///
/// # Errors
///
/// `ENOEXEC` when the line names no interpreter, or is so long that the interpreter's path may be cut off.
pub fn parse(probe: &[u8; PROBE_BYTES]) -> Result<Option<ScriptLine<'_>>> {
    let Some(rest) = probe.strip_prefix(b"#!") else { return Ok(None) };
    let line = match rest.iter().position(|byte| *byte == b'\n' || *byte == 0) {
        Some(end) if rest[end] == b'\n' => &rest[..end],
        _ => whole_path(rest)?,
    };
    let line = trim_end(line);
    let start = line.iter().position(|byte| !is_blank(*byte)).ok_or(Errno::ENOEXEC)?;
    let line = &line[start..];
    let end = line.iter().position(|byte| is_blank(*byte) || *byte == 0).unwrap_or(line.len());
    let (interpreter, behind) = line.split_at(end);
    if interpreter.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let argument = match behind.first() {
        Some(first) if is_blank(*first) => {
            let start = behind.iter().position(|byte| !is_blank(*byte));
            start.map(|start| up_to_nul(&behind[start..])).filter(|argument| !argument.is_empty())
        }
        _ => None,
    };
    Ok(Some(ScriptLine { interpreter, argument }))
}

/// A line without an end in the probe: usable if the interpreter's path ends in it.
fn whole_path(rest: &[u8]) -> Result<&[u8]> {
    // The last byte of the probe is not looked at: Linux keeps it for the terminator.
    let rest = rest.get(..rest.len().saturating_sub(1)).unwrap_or_default();
    let start = rest.iter().position(|byte| !is_blank(*byte)).ok_or(Errno::ENOEXEC)?;
    let ended = rest[start..].iter().any(|byte| is_blank(*byte) || *byte == 0);
    if ended { Ok(rest) } else { Err(Errno::ENOEXEC) }
}

fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1);
    &line[..end]
}

fn up_to_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(text: &[u8]) -> [u8; PROBE_BYTES] {
        let mut probe = [0; PROBE_BYTES];
        let length = text.len().min(PROBE_BYTES);
        probe[..length].copy_from_slice(&text[..length]);
        probe
    }

    fn check(text: &[u8], interpreter: &[u8], argument: Option<&[u8]>) {
        let probe = probe(text);
        assert_eq!(parse(&probe), Ok(Some(ScriptLine { interpreter, argument })), "{text:?}");
    }

    #[test]
    fn the_rest_of_the_line_is_one_argument() {
        check(b"#!/bin/sh\n", b"/bin/sh", None);
        check(b"#! \t/bin/sh  -e  -x \t\nrest", b"/bin/sh", Some(b"-e  -x"));
        check(b"#!/bin/sh", b"/bin/sh", None);
        check(b"#!/bin/sh -e", b"/bin/sh", Some(b"-e"));
        check(b"#!/bin/sh \n", b"/bin/sh", None);
    }

    #[test]
    fn a_line_without_an_interpreter_is_refused() {
        for text in [&b"#!"[..], b"#!\n", b"#! \t \n"] {
            assert_eq!(parse(&probe(text)), Err(Errno::ENOEXEC), "{text:?}");
        }
        assert_eq!(parse(&probe(b"\x7fELF")), Ok(None));
    }

    #[test]
    fn a_path_that_may_be_cut_off_is_refused() {
        let mut long = b"#!/".to_vec();
        long.resize(400, b'a');
        assert_eq!(parse(&probe(&long)), Err(Errno::ENOEXEC));
        long[100] = b' ';
        let probe = probe(&long);
        let line = parse(&probe).unwrap().unwrap();
        assert_eq!(line.interpreter.len(), 98);
        assert_eq!(line.argument.map(<[u8]>::len), Some(154));
    }
}
