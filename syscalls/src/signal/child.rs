//! Telling a parent that a child stopped or continued.

use alloc::sync::Arc;

use executor::pollwait::{Events, Reason};

use crate::process::Process;
use crate::process::report::Halt;
use crate::process::table::find_process;
use crate::signal::action::ActionFlags;
use crate::signal::info::{CLD_CONTINUED, CLD_STOPPED, Detail};
use crate::signal::{SigInfo, Signal, send_to_process};

/// Nanoseconds in a clock tick of `times(2)` and `siginfo_t`.
const TICK_NANOS: u64 = 10_000_000;

/// What a parent learns about a child's change of state: the contents of its `SIGCHLD`.
#[must_use]
pub fn child_info(child: &Process, code: i32, status: i32) -> SigInfo {
    let used = child.total_usage();
    let ticks = |nanoseconds: u64| (nanoseconds / TICK_NANOS).cast_signed();
    let detail = Detail::Child {
        pid: child.pid(),
        uid: child.real_uid(),
        status,
        utime: ticks(used.user),
        stime: ticks(used.system),
    };
    SigInfo { signal: Signal::SIGCHLD, code, errno: 0, detail }
}

/// Tells the parent of a stop or a continue, whose report has been left: `SIGCHLD` unless it said `SA_NOCLDSTOP`, and its
/// waits.
pub(super) fn tell_of_change(child: &Arc<Process>, halt: Halt) {
    let (code, signal) = match halt {
        Halt::Stopped(signal) => (CLD_STOPPED, signal),
        Halt::Continued => (CLD_CONTINUED, Signal::SIGCONT),
    };
    let Some(parent) = find_process(child.parent()) else { return };
    let action = parent.actions().get(Signal::SIGCHLD);
    if !action.flags.contains(ActionFlags::NOCLDSTOP) {
        // A standard signal always finds room, at worst without its information.
        let _ = send_to_process(&parent, child_info(child, code, signal.number().into()));
    }
    parent.children_source().wake_all(Events::IN, Reason::Data);
}
