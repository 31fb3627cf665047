//! What can be set, and what is limited: `comm`, `limits`, `oom_score`, `oom_score_adj`. Source: `proc(5)`.

use core::fmt::Write;

use base::caller::{Caller, Capabilities, Limits, Resource};
use base::frame::PAGE_SIZE;
use base::{Errno, Result};
use fs::pseudo::Text;

use super::subject::Subject;
use crate::process::oom;
use crate::process::program::OomAdjustment;

/// `/proc/<pid>/comm`.
pub(super) fn comm(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let (name, length) = subject.name();
    // A full text is noticed by the frame.
    let _ = text.push_bytes(name.get(..length).unwrap_or_default());
    let _ = text.push_bytes(b"\n");
    Ok(())
}

/// Renames a thread: its own process may.
pub(super) fn set_comm(subject: &Subject, caller: &Caller, name: &[u8]) -> Result<()> {
    if subject.process()?.pid() != caller.pid {
        return Err(Errno::EINVAL);
    }
    subject.thread().ok_or(Errno::ESRCH)?.set_name(name);
    Ok(())
}

/// Names and units, in the order of `RLIMIT_`.
const NAMES: [(&str, &str); Resource::COUNT] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

/// `/proc/<pid>/limits`.
pub(super) fn limits(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    let process = subject.process()?;
    let _ = writeln!(text, "{:<25} {:<20} {:<20} {:<10}", "Limit", "Soft Limit", "Hard Limit", "Units");
    for ((name, unit), raw) in NAMES.into_iter().zip(0..) {
        let resource = Resource::from_raw(raw)?;
        let _ = write!(text, "{name:<25} ");
        for limit in [process.limits().soft(resource), process.limits().hard(resource)] {
            let _ = match limit {
                Limits::INFINITY => write!(text, "{:<20} ", "unlimited"),
                limit => write!(text, "{limit:<20} "),
            };
        }
        let _ = if unit.is_empty() { writeln!(text) } else { writeln!(text, "{unit:<10}") };
    }
    Ok(())
}

/// `/proc/<pid>/oom_score`: from 0 to 2000, in the middle for a process that has nothing.
pub(super) fn oom_score(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    let process = subject.process()?;
    let candidate = oom::candidate(&process);
    let memory = oom::memory().max(PAGE_SIZE);
    let score = match candidate.killable {
        true => ((1000 + candidate.badness(memory) * 1000 / memory as i128) * 2 / 3).max(0),
        false => 0,
    };
    let _ = writeln!(text, "{score}");
    Ok(())
}

/// `/proc/<pid>/oom_score_adj`.
pub(super) fn oom_score_adj(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "{}", subject.process()?.program().oom_adjustment().value);
    Ok(())
}

/// Sets it. Only the privileged may go below what the last of them set.
pub(super) fn set_oom_score_adj(subject: &Subject, caller: &Caller, bytes: &[u8]) -> Result<()> {
    let value = parse(bytes).filter(|value| (-1000..=1000).contains(value)).ok_or(Errno::EINVAL)?;
    let process = subject.process()?;
    let program = process.program();
    let before = program.oom_adjustment();
    let privileged = caller.credentials.capable(Capabilities::SYS_RESOURCE);
    if value < before.least && !privileged {
        return Err(Errno::EACCES);
    }
    let least = if privileged { value } else { before.least };
    program.set_oom_adjustment(OomAdjustment { value, least });
    Ok(())
}

/// A decimal number with white space around it.
fn parse(bytes: &[u8]) -> Option<i32> {
    core::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_end_with_a_newline() {
        assert_eq!(parse(b"-500\n"), Some(-500));
        assert_eq!(parse(b"5x"), None);
        assert_eq!(parse(b""), None);
    }
}
