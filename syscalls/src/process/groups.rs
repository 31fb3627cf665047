//! Process groups that lose their last tie to the session. Source: POSIX, `_exit(2)`.
//!
//! A stopped job is continued by a parent in the same session but another group, the shell. When the last
//! such parent is gone, the stopped group gets SIGHUP, so that it ends, and SIGCONT, so that it hears it.

use alloc::sync::Arc;

use crate::process::Process;
use crate::process::table::{self, Table};
use crate::signal::{SigInfo, Signal, send_to_process};

/// The exiting process may have been the tie of its own group.
pub(super) fn orphaned_by(process: &Process) {
    let concerned = {
        let table = table::lock();
        let Some(node) = table.process(process.pid()) else { return };
        let was_tie = table
            .process(node.parent)
            .is_some_and(|parent| parent.group != node.group && parent.session == node.session);
        was_tie && must_be_told(&table, node.group, Some(process.pid()))
    };
    if concerned {
        hang_up(process.group());
    }
}

/// The exiting `parent` may have been the tie of the group of `child`, which has been adopted.
pub(super) fn orphaned_by_adoption(parent: &Process, child: &Process) {
    let was_tie = parent.group() != child.group() && parent.session() == child.session();
    if was_tie && must_be_told(&table::lock(), child.group(), None) {
        hang_up(child.group());
    }
}

fn must_be_told(table: &Table, group: u32, ignored: Option<u32>) -> bool {
    let has_stopped_jobs = table.group(group).is_some_and(|members| {
        let members = members.members.iter().filter_map(|pid| table.process(*pid));
        members.into_iter().any(|node| node.payload.signals().is_stopped())
    });
    has_stopped_jobs && table.is_orphaned(group, ignored)
}

/// Tells every process of a group to hang up and to go on.
pub(super) fn hang_up(group: u32) {
    let members = table::group_members(group);
    for signal in [Signal::SIGHUP, Signal::SIGCONT] {
        send_to_all(&members, signal);
    }
}

/// Sends a kernel signal to each of them; a standard signal always finds its place.
fn send_to_all(members: &[Arc<Process>], signal: Signal) {
    for process in members {
        let _ = send_to_process(process, SigInfo::kernel(signal));
    }
}
