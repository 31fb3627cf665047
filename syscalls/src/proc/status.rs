//! `status`: the same for people. Source: `proc(5)`; lines as Linux 6.1 prints them.

use core::fmt::Write;

use base::Result;
use base::caller::{Caller, Credentials, Resource};
use base::sync::atomic::Ordering;
use fs::pseudo::Text;

use super::stat::{thread_count, used};
use super::state::State;
use super::subject::Subject;
use crate::mm::{AddressSpace, PAGE};
use crate::process::Process;
use crate::process::usage::Used;

/// `/proc/<pid>/status`.
pub(super) fn status(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    let process = subject.process()?;
    let thread = subject.thread();
    let resources = subject.resources();
    let used = used(subject, &process);
    let (name, length) = subject.name();
    // A full text is noticed by the frame.
    let _ = text.write_str("Name:\t");
    fs::procfs::mounts::escape(text, name.get(..length).unwrap_or_default(), b"\n\\");
    let _ = text.write_str("\n");
    if let Some(resources) = &resources {
        let _ = writeln!(text, "Umask:\t{:04o}", resources.place.umask());
    }
    let _ = writeln!(text, "State:\t{}", State::of(&process, thread.as_deref()).describe());
    let _ = writeln!(text, "Tgid:\t{}\nNgid:\t0", process.pid());
    let _ = writeln!(text, "Pid:\t{}\nPPid:\t{}\nTracerPid:\t0", subject.number(), process.parent());
    let credentials = subject.credentials();
    if let Some(credentials) = &credentials {
        ids(text, credentials);
    }
    let _ = writeln!(text, "FDSize:\t{}", resources.as_ref().map_or(0, |own| own.files.capacity()));
    if let Some(credentials) = &credentials {
        groups(text, credentials);
    }
    if let Some(resources) = &resources {
        memory(text, &resources.space, &used);
    }
    let _ = writeln!(text, "CoreDumping:\t0\nTHP_enabled:\t0\nThreads:\t{}", thread_count(&process));
    signals(text, subject, &process);
    if let Some(credentials) = &credentials {
        capabilities(text, credentials);
    }
    let no_new_privileges =
        thread.as_ref().is_some_and(|thread| thread.settings().no_new_privileges.load(Ordering::Relaxed));
    let _ = writeln!(text, "NoNewPrivs:\t{}", u32::from(no_new_privileges));
    let _ = writeln!(text, "Speculation_Store_Bypass:\tunknown\nSpeculationIndirectBranch:\tunsupported");
    let affinity =
        thread.as_ref().and_then(|thread| thread.task()).map_or(u64::MAX, |task| task.affinity().bits());
    processors(text, affinity, base::machine().cpu_count());
    let _ = writeln!(text, "voluntary_ctxt_switches:\t{}", used.voluntary);
    let _ = writeln!(text, "nonvoluntary_ctxt_switches:\t{}", used.involuntary);
    Ok(())
}

fn ids(text: &mut Text, own: &Credentials) {
    let _ = writeln!(text, "Uid:\t{}\t{}\t{}\t{}", own.uid, own.euid, own.suid, own.fsuid);
    let _ = writeln!(text, "Gid:\t{}\t{}\t{}\t{}", own.gid, own.egid, own.sgid, own.fsgid);
}

fn groups(text: &mut Text, own: &Credentials) {
    let _ = text.write_str("Groups:\t");
    for (index, group) in own.groups.iter().enumerate() {
        let _ = write!(text, "{}{group}", if index > 0 { " " } else { "" });
    }
    // The space has been at the end for so long that programs expect it.
    let _ = text.write_str(" \n");
}

fn memory(text: &mut Text, space: &AddressSpace, used: &Used) {
    let pages = space.statm();
    let kilobytes = PAGE / 1024;
    let highest = (used.max_resident / PAGE).max(pages.resident);
    for (name, pages) in [
        ("VmPeak", pages.peak),
        ("VmSize", pages.mapped.total),
        ("VmLck", pages.mapped.locked),
        ("VmPin", 0),
        ("VmHWM", highest),
        ("VmRSS", pages.resident),
        ("RssAnon", pages.resident.saturating_sub(pages.resident_shared)),
        ("RssFile", pages.resident_shared.saturating_sub(pages.resident_shmem)),
        ("RssShmem", pages.resident_shmem),
        ("VmData", pages.mapped.data),
        ("VmStk", pages.mapped.stack),
        ("VmExe", pages.text),
        ("VmLib", pages.executable.saturating_sub(pages.text)),
        ("VmPTE", pages.table_bytes / PAGE),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ] {
        let _ = writeln!(text, "{name}:\t{:8} kB", pages * kilobytes);
    }
}

fn signals(text: &mut Text, subject: &Subject, process: &Process) {
    let limit = process.limits().soft(Resource::PendingSignals);
    let _ = writeln!(text, "SigQ:\t{}/{limit}", process.signals().queued());
    let thread = subject.thread();
    let (pending, blocked) =
        thread.map_or((0, 0), |thread| (thread.signals().pending().0, thread.signals().mask().0));
    let (caught, ignored) = process.actions().summary();
    for (name, set) in [
        ("SigPnd", pending),
        ("ShdPnd", process.signals().pending().0),
        ("SigBlk", blocked),
        ("SigIgn", ignored.0),
        ("SigCgt", caught.0),
    ] {
        let _ = writeln!(text, "{name}:\t{set:016x}");
    }
}

fn capabilities(text: &mut Text, own: &Credentials) {
    for (name, set) in [
        ("CapInh", own.inheritable),
        ("CapPrm", own.permitted),
        ("CapEff", own.effective),
        ("CapBnd", own.bounding),
        ("CapAmb", own.ambient),
    ] {
        let _ = writeln!(text, "{name}:\t{:016x}", set.bits());
    }
}

/// The CPUs it may run on, as a mask of as many digits as there are CPUs, and as a list of ranges.
fn processors(text: &mut Text, affinity: u64, cpus: usize) {
    let mask = if cpus >= 64 { affinity } else { affinity & ((1 << cpus) - 1) };
    let digits = cpus.div_ceil(4);
    let _ = writeln!(text, "Cpus_allowed:\t{mask:0digits$x}");
    let _ = text.write_str("Cpus_allowed_list:\t");
    let mut at = 0;
    let mut first = true;
    while at < 64 {
        let run = (mask >> at).trailing_ones();
        if run > 0 {
            let separator = if first { "" } else { "," };
            let _ = match run {
                1 => write!(text, "{separator}{at}"),
                _ => write!(text, "{separator}{at}-{}", at + run - 1),
            };
            first = false;
        }
        at += run.max(1);
    }
    let _ = text.write_str("\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_a_digit_for_four_processors() {
        let shown = |affinity, cpus| {
            let mut text = Text::default();
            processors(&mut text, affinity, cpus);
            std::string::String::from_utf8(text.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(shown(u64::MAX, 2), "Cpus_allowed:\t3\nCpus_allowed_list:\t0-1\n");
        assert_eq!(shown(0b1011_0001, 8), "Cpus_allowed:\tb1\nCpus_allowed_list:\t0,4-5,7\n");
    }
}
