//! Fault injection of one task: `fail-nth` and `make-it-fail`. Source: the kernel's
//! `Documentation/fault-injection/fault-injection.rst`; the errors are those of Linux's `fs/proc/base.c`.

use core::fmt::Write;

use base::caller::{Caller, Capabilities};
use base::{Errno, Result};
use executor::TaskRef;
use fs::pseudo::Text;

use super::subject::Subject;

/// The task of the thread.
fn task(subject: &Subject) -> Result<TaskRef> {
    subject.thread().and_then(|thread| thread.task().cloned()).ok_or(Errno::ESRCH)
}

/// `fail-nth`: failures to go until one is injected, 0 when it was.
pub(super) fn fail_nth(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    // A full text is noticed by the frame.
    let _ = writeln!(text, "{}", task(subject)?.task_local().faults().nth());
    Ok(())
}

/// Has the nth failure from now on injected, of whatever point.
pub(super) fn set_fail_nth(subject: &Subject, _caller: &Caller, bytes: &[u8]) -> Result<()> {
    task(subject)?.task_local().faults().set_nth(number(bytes)?);
    Ok(())
}

/// `make-it-fail`: 1 when settings with `marked` concern the task. Children inherit it.
pub(super) fn make_it_fail(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "{}", u8::from(task(subject)?.task_local().faults().is_marked()));
    Ok(())
}

/// Marks the task, or takes the mark away.
pub(super) fn set_make_it_fail(subject: &Subject, caller: &Caller, bytes: &[u8]) -> Result<()> {
    if !caller.credentials.capable(Capabilities::SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    let marked = match number(bytes)? {
        0 => false,
        1 => true,
        _ => return Err(Errno::EINVAL),
    };
    task(subject)?.task_local().faults().set_marked(marked);
    Ok(())
}

/// A number as C writes it: decimal, `0x` hexadecimal or `0` octal, perhaps with a line's end.
fn number(bytes: &[u8]) -> Result<u32> {
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?.trim();
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(Errno::EINVAL);
    }
    u32::from_str_radix(digits, radix).map_err(|_| Errno::ERANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_writes_them() {
        for (text, expected) in [
            ("7\n", Ok(7)),
            ("0", Ok(0)),
            ("0x1f", Ok(31)),
            ("010", Ok(8)),
            ("4294967295", Ok(u32::MAX)),
            ("4294967296", Err(Errno::ERANGE)),
            ("", Err(Errno::EINVAL)),
            ("-1", Err(Errno::EINVAL)),
            ("08", Err(Errno::EINVAL)),
            ("0x", Err(Errno::EINVAL)),
            ("1 2", Err(Errno::EINVAL)),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
    }
}
