//! Signals that files send: broken pipes, size limits, terminals, `O_ASYNC`.

use alloc::sync::Arc;

use base::Result;
use base::caller::Caller;
use executor::pollwait::Events;
use fs::file::{FileOwner, OwnerKind};
use fs::signal::SignalSink;

use crate::process::Process;
use crate::process::table::{find_process, find_thread, group_members};
use crate::signal::info::Detail;
use crate::signal::permission::ids_of;
use crate::signal::{SigInfo, Signal, send_to_process, send_to_thread};

/// What the owner of a file is told of: the event, `si_code` and `si_band`. Source: `sigaction(2)`.
const CODES: [(Events, i32, Events); 3] = [
    (Events::IN, 1, Events::IN.union(Events::RDNORM)),
    (Events::OUT, 2, Events::OUT.union(Events::WRNORM).union(Events::WRBAND)),
    (Events::HUP, 6, Events::HUP.union(Events::ERR)),
];

struct Sink;

/// Lets files send signals. Called once at boot.
pub fn install() {
    fs::signal::install(&Sink);
}

fn signal_of(number: u32) -> Option<Signal> {
    i32::try_from(number).ok().and_then(|number| Signal::new(number).ok())
}

/// What the owner of a file gets: with `F_SETSIG` that signal, which says what happened, else a plain SIGIO.
fn info(owner: &FileOwner, event: Events, fd: i32) -> SigInfo {
    let meaning = CODES.iter().find(|(known, ..)| *known == event);
    match (signal_of(owner.signal), meaning) {
        (Some(signal), Some((_, code, band))) => {
            let detail = Detail::Poll { band: i64::from(band.bits()), fd };
            SigInfo { signal, code: *code, errno: 0, detail }
        }
        _ => SigInfo::kernel(Signal::SIGIO),
    }
}

/// Whether the file may signal this process: whoever made it the owner could have. Source: `F_SETOWN` of `fcntl(2)`.
fn may_tell(owner: &FileOwner, target: &Process) -> bool {
    owner.euid == 0
        || ids_of(target).is_some_and(|ids| [owner.euid, owner.uid].iter().any(|id| ids.contains(id)))
}

/// Sends to an owner. A signal that finds no room is replaced by SIGIO, which always finds one.
fn tell(owner: &FileOwner, target: &Process, info: &SigInfo, send: impl Fn(SigInfo) -> Result<()>) {
    if may_tell(owner, target) && send(info.clone()).is_err() {
        let _ = send(SigInfo::kernel(Signal::SIGIO));
    }
}

impl SignalSink for Sink {
    fn signal_caller(&self, caller: &Caller, signal: u32) {
        if let (Some(thread), Some(signal)) = (find_thread(caller.tid), signal_of(signal)) {
            // A standard signal always finds a place.
            let _ = send_to_thread(&thread, SigInfo::kernel(signal));
        }
    }

    fn signal_group(&self, group: u32, signal: u32) {
        let Some(signal) = signal_of(signal) else { return };
        for process in group_members(group) {
            let _ = send_to_process(&process, SigInfo::kernel(signal));
        }
    }

    fn signal_owner(&self, owner: &FileOwner, event: Events, fd: i32) {
        let info = info(owner, event, fd);
        let to_process = |process: &Arc<Process>| {
            tell(owner, process, &info, |info| send_to_process(process, info));
        };
        match owner.kind {
            None => {}
            Some(OwnerKind::Thread) => {
                if let Some(thread) = find_thread(owner.id) {
                    tell(owner, thread.process(), &info, |info| send_to_thread(&thread, info));
                }
            }
            Some(OwnerKind::Process) => find_process(owner.id).iter().for_each(to_process),
            Some(OwnerKind::Group) => group_members(owner.id).iter().for_each(to_process),
        }
    }
}
