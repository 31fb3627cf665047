//! What wait4(2) and waitid(2) look for among the children, and what they find.

use alloc::sync::Arc;

use base::{Errno, Result};

use crate::process::Process;
use crate::process::ending::ExitStatus;
use crate::process::report::Halt;
use crate::process::table::Table;
use crate::process::usage::Used;
use crate::signal::Signal;
use crate::signal::info::{CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED};

bitflags::bitflags! {
    /// The options of both calls.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WaitOptions: u32 {
        /// Do not wait.
        const NOHANG = 1;
        /// Stopped children (`WUNTRACED` has the same bit).
        const STOPPED = 2;
        /// Children that ended.
        const EXITED = 4;
        /// Children that were continued.
        const CONTINUED = 8;
        /// Leave the child as it is, to be found again.
        const NOWAIT = 0x0100_0000;
        /// Only children that this thread made.
        const NOTHREAD = 0x2000_0000;
        /// Children of every kind.
        const ALL = 0x4000_0000;
        /// Only children that report with another signal than SIGCHLD.
        const CLONE = 0x8000_0000;
    }
}

/// Which children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All of them.
    Any,
    /// The one with this id.
    Process(u32),
    /// The one with this stable key, whoever has its id: a process descriptor's.
    Keyed(u64),
    /// Those in this group.
    Group(u32),
}

/// Who looks for what.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The waiting process.
    pub pid: u32,
    /// The waiting thread.
    pub tid: u32,
    /// Which children.
    pub selector: Selector,
    /// Which changes.
    pub options: WaitOptions,
}

/// What happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ended.
    Ended(ExitStatus),
    /// It stopped or was continued.
    Halted(Halt),
}

impl Change {
    /// The status word of wait4(2).
    #[must_use]
    pub fn to_wait_status(self) -> i32 {
        match self {
            Change::Ended(status) => status.to_wait_status(),
            Change::Halted(Halt::Stopped(signal)) => i32::from(signal.number()) << 8 | 0x7f,
            Change::Halted(Halt::Continued) => 0xffff,
        }
    }

    /// `si_code` and `si_status` of SIGCHLD and waitid(2).
    #[must_use]
    pub fn to_siginfo(self) -> (i32, i32) {
        match self {
            Change::Ended(ExitStatus::Code(code)) => (CLD_EXITED, code.into()),
            Change::Ended(ExitStatus::Signal { signal, core: false }) => (CLD_KILLED, signal.number().into()),
            Change::Ended(ExitStatus::Signal { signal, core: true }) => (CLD_DUMPED, signal.number().into()),
            Change::Halted(Halt::Stopped(signal)) => (CLD_STOPPED, signal.number().into()),
            Change::Halted(Halt::Continued) => (CLD_CONTINUED, Signal::SIGCONT.number().into()),
        }
    }
}

/// A child that was found.
#[derive(Debug)]
pub struct Found {
    /// Its process id.
    pub pid: u32,
    /// Its real user id.
    pub uid: u32,
    /// What happened.
    pub change: Change,
    /// What it and its awaited children used.
    pub used: Used,
    /// The process itself, when this call took it out of the tree.
    pub reaped: Option<Arc<Process>>,
}

/// What one look at the children finds.
#[derive(Debug)]
#[must_use]
pub enum Look {
    /// A child with something to report.
    Found(Found),
    /// A zombie whose parent is being told at this moment, on another CPU: look again at once.
    Soon,
    /// Children, but nothing to report.
    Nothing,
}

/// One look at the children, under the registry's lock.
///
/// # Errors
///
/// `ECHILD` when no child can ever be found.
pub fn look(table: &mut Table, search: &Search) -> Result<Look> {
    let Some(node) = table.process(search.pid) else { return Err(Errno::ECHILD) };
    let mut eligible = false;
    let mut found = None;
    for &pid in &node.children {
        let Some(child) = table.process(pid) else { continue };
        let selected = match search.selector {
            Selector::Any => true,
            Selector::Process(wanted) => pid == wanted,
            Selector::Keyed(key) => child.payload.key() == key,
            Selector::Group(group) => child.group == group,
        };
        if !selected || !suits(search, &child.payload, child.parent_thread) {
            continue;
        }
        eligible = true;
        if let Some(change) = change_of(&child.payload, child.zombie, search.options) {
            if child.zombie && !child.reported {
                return Ok(Look::Soon);
            }
            found = Some((pid, child.payload.clone(), change));
            break;
        }
    }
    match found {
        Some((pid, child, change)) => Ok(Look::Found(take(table, search, pid, &child, change))),
        None if eligible => Ok(Look::Nothing),
        None => Err(Errno::ECHILD),
    }
}

/// Whether the child is of the kind that the options ask for.
fn suits(search: &Search, child: &Process, parent_thread: u32) -> bool {
    let options = search.options;
    if options.contains(WaitOptions::NOTHREAD) && parent_thread != search.tid {
        return false;
    }
    let is_clone = child.exit_signal() != Some(Signal::SIGCHLD);
    options.contains(WaitOptions::ALL) || is_clone == options.contains(WaitOptions::CLONE)
}

fn change_of(child: &Process, zombie: bool, options: WaitOptions) -> Option<Change> {
    if zombie {
        let status = child.ending().status().unwrap_or(ExitStatus::Code(0));
        return options.contains(WaitOptions::EXITED).then_some(Change::Ended(status));
    }
    let halt = child.report().get()?;
    let wanted = match halt {
        Halt::Stopped(_) => WaitOptions::STOPPED,
        Halt::Continued => WaitOptions::CONTINUED,
    };
    options.contains(wanted).then_some(Change::Halted(halt))
}

fn take(table: &mut Table, search: &Search, pid: u32, child: &Process, change: Change) -> Found {
    let used = child.usage().get() + child.children_usage().get();
    let mut found = Found { pid, uid: child.real_uid(), change, used, reaped: None };
    if search.options.contains(WaitOptions::NOWAIT) {
        return found;
    }
    match change {
        Change::Halted(halt) => child.report().take(halt),
        Change::Ended(_) => {
            if let Some(parent) = table.process(search.pid) {
                parent.payload.children_usage().add(&used);
            }
            found.reaped = table.reap(pid);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread::Thread;
    use base::caller::Limits;

    fn family(children: &[u32]) -> Table {
        let mut table = Table::default();
        let mut add = |pid, parent| {
            let process = Process::new(pid, u64::from(pid), Arc::new(Limits::initial(100)));
            let thread = Thread::new(pid, u64::from(pid), process.clone());
            table.insert(pid, process, thread, parent, parent);
        };
        add(1, 0);
        for &child in children {
            add(child, 1);
        }
        table
    }

    fn die(table: &mut Table, pid: u32, code: u8) {
        table.process(pid).unwrap().payload.ending().begin(ExitStatus::Code(code));
        assert!(table.remove_thread(pid, pid));
        table.become_zombie(pid);
        table.process_mut(pid).unwrap().reported = true;
    }

    fn find(table: &mut Table, search: &Search) -> Result<Option<Found>> {
        match look(table, search)? {
            Look::Found(found) => Ok(Some(found)),
            Look::Nothing | Look::Soon => Ok(None),
        }
    }

    fn search(selector: Selector, options: WaitOptions) -> Search {
        Search { pid: 1, tid: 1, selector, options }
    }

    #[test]
    fn the_oldest_dead_child_is_reaped_and_the_last_leaves_echild() {
        let mut table = family(&[2, 3]);
        let any = search(Selector::Any, WaitOptions::EXITED);
        assert!(matches!(find(&mut table, &any), Ok(None)));
        die(&mut table, 3, 7);
        die(&mut table, 2, 8);
        let pids: Vec<u32> =
            core::iter::from_fn(|| find(&mut table, &any).ok().flatten()).map(|found| found.pid).collect();
        assert_eq!(pids, [2, 3]);
        assert_eq!(find(&mut table, &any).err(), Some(Errno::ECHILD));
        assert!(table.process(3).is_none());
    }

    #[test]
    fn a_look_without_taking_finds_the_same_again() {
        let mut table = family(&[2]);
        die(&mut table, 2, 7);
        let peek = search(Selector::Process(2), WaitOptions::EXITED | WaitOptions::NOWAIT);
        for _ in 0..2 {
            let found = find(&mut table, &peek).unwrap().unwrap();
            assert_eq!(found.change.to_wait_status(), 0x700);
            assert!(found.reaped.is_none());
        }
    }

    #[test]
    fn stops_are_reported_once_and_only_when_asked_for() {
        let mut table = family(&[2]);
        table.process(2).unwrap().payload.report().leave(Halt::Stopped(Signal::SIGTSTP));
        assert!(matches!(find(&mut table, &search(Selector::Any, WaitOptions::EXITED)), Ok(None)));
        let stopped = search(Selector::Any, WaitOptions::EXITED | WaitOptions::STOPPED);
        let found = find(&mut table, &stopped).unwrap().unwrap();
        assert_eq!(found.change.to_wait_status(), 20 << 8 | 0x7f);
        assert!(matches!(find(&mut table, &stopped), Ok(None)));
    }

    #[test]
    fn selectors_and_kinds_decide_who_counts() {
        let mut table = family(&[2, 3]);
        table.set_group(1, 3, 3).unwrap();
        die(&mut table, 3, 0);
        assert_eq!(
            find(&mut table, &search(Selector::Process(9), WaitOptions::EXITED)).err(),
            Some(Errno::ECHILD)
        );
        assert!(matches!(find(&mut table, &search(Selector::Group(1), WaitOptions::EXITED)), Ok(None)));
        let stale = search(Selector::Keyed(9), WaitOptions::EXITED);
        assert_eq!(find(&mut table, &stale).err(), Some(Errno::ECHILD));
        let keyed = search(Selector::Keyed(3), WaitOptions::EXITED | WaitOptions::NOWAIT);
        assert_eq!(find(&mut table, &keyed).unwrap().unwrap().pid, 3);
        let clones = WaitOptions::EXITED | WaitOptions::CLONE;
        assert_eq!(find(&mut table, &search(Selector::Any, clones)).err(), Some(Errno::ECHILD));
        table.process(3).unwrap().payload.set_exit_signal(0);
        assert_eq!(find(&mut table, &search(Selector::Any, clones)).unwrap().unwrap().pid, 3);
        let other_thread =
            Search { tid: 5, ..search(Selector::Any, WaitOptions::ALL | WaitOptions::NOTHREAD) };
        assert_eq!(find(&mut table, &other_thread).err(), Some(Errno::ECHILD));
    }
}
