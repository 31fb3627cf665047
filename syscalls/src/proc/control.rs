//! `/proc/<pid>/control`: signals by their names, and an audit of the commands.

use alloc::sync::Arc;
use core::fmt::{self, Write};

use base::caller::Caller;
use base::{Errno, Result};
use fs::pseudo::{Attributes, PseudoFile, PseudoNode};

use super::subject::Subject;
use crate::process::control::{Action, Audit, Entries, parse};
use crate::process::table::find_thread;
use crate::signal::info::SI_USER;
use crate::signal::permission::may_signal;
use crate::signal::send::send_to_process;
use crate::signal::{SigInfo, Signal};

/// The file for `subject`. It keeps the audit, so that those who have it open can still read it when the process
/// is gone.
///
/// # Errors
///
/// `ESRCH` when the process is gone.
pub(super) fn file(subject: &Subject, attributes: Attributes) -> Result<Arc<dyn PseudoNode>> {
    let process = subject.process()?;
    let (pid, audit) = (process.pid(), process.control().clone());
    let (target, shown) = (subject.clone(), audit.clone());
    let asked = subject.clone();
    Ok(PseudoFile::writable(
        attributes,
        move |_, text| {
            // A full text is noticed by the frame.
            let _ = show(text, pid, target.process().is_ok(), &shown.entries());
            Ok(())
        },
        move |caller, written| command(&asked, &audit, caller, written),
    ))
}

/// Does what `written` says, and enters it in the audit.
fn command(subject: &Subject, audit: &Audit, caller: &Caller, written: &[u8]) -> Result<()> {
    let asked = parse(written);
    let result = asked.and_then(|(_, signal)| send(subject, caller, signal));
    audit.record(caller.credentials.uid, asked.ok(), result);
    result
}

/// As kill(2) would.
fn send(subject: &Subject, caller: &Caller, signal: Signal) -> Result<()> {
    let process = subject.process()?;
    let sender = find_thread(caller.tid).ok_or(Errno::ESRCH)?;
    may_signal(&sender, &process, signal.number().into())?;
    let info = SigInfo::from_process(signal, SI_USER, caller.pid, caller.credentials.uid);
    send_to_process(&process, info)
}

fn show(out: &mut dyn Write, pid: u32, exists: bool, entries: &Entries) -> fmt::Result {
    let Entries { total, last, tallies, refusals } = entries;
    writeln!(out, "schema=procfs_pid_control_v1\npid={pid}\ntarget.exists={}", u8::from(exists))?;
    writeln!(out, "last.seq={total}\nlast.action={}", last.action.map_or("none", Action::name))?;
    writeln!(out, "last.signal={}\nlast.errno={}", last.signal, last.errno)?;
    writeln!(out, "last.result={}\nlast.sender_uid={}", last.result.name(), last.sender_uid)?;
    writeln!(out, "audit.total={total}")?;
    for (action, tally) in Action::ALL.into_iter().zip(tallies) {
        let name = action.name();
        writeln!(out, "audit.{name}.attempt={}\naudit.{name}.ok={}", tally.attempts, tally.sent)?;
        writeln!(out, "audit.{name}.fail={}", tally.failed)?;
    }
    for (reason, count) in [
        ("parse", refusals.parse),
        ("too_long", refusals.too_long),
        ("perm", refusals.permission),
        ("noent", refusals.no_process),
        ("other", refusals.other),
    ] {
        writeln!(out, "audit.error.{reason}={count}")?;
    }
    Ok(())
}
