//! Signals that files send: broken pipes, size limits, terminals, `O_ASYNC`.

use base::caller::Caller;
use executor::pollwait::Events;
use fs::file::{FileOwner, OpenFile, OwnerKind};
use fs::signal::SignalSink;

use crate::process::table::{find_process, find_thread, group_members};
use crate::signal::info::Detail;
use crate::signal::{SigInfo, Signal, send_to_process, send_to_thread};

/// `si_code` of a file that became readable; its neighbours follow in the order of [`CODES`].
const CODES: [(Events, i32); 5] =
    [(Events::IN, 1), (Events::OUT, 2), (Events::ERR, 4), (Events::PRI, 5), (Events::HUP, 6)];

struct Sink;

/// Lets files send signals. Called once at boot.
pub fn install() {
    fs::signal::install(&Sink);
}

fn signal_of(number: u32) -> Option<Signal> {
    i32::try_from(number).ok().and_then(|number| Signal::new(number).ok())
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

    fn signal_owner(&self, _file: &OpenFile, owner: &FileOwner, events: Events) {
        let code = CODES.iter().find(|(event, _)| events.intersects(*event)).map_or(1, |(_, code)| *code);
        let detail = Detail::Poll { band: i64::from(events.bits()), fd: -1 };
        let info = match signal_of(owner.signal) {
            // Without F_SETSIG it is a plain SIGIO.
            None => SigInfo::kernel(Signal::SIGIO),
            Some(signal) => SigInfo { signal, code, errno: 0, detail },
        };
        // A signal that finds no room is lost; Linux falls back to SIGIO, which always finds one.
        let fallback = SigInfo::kernel(Signal::SIGIO);
        match owner.kind {
            None => {}
            Some(OwnerKind::Thread) => {
                if let Some(thread) = find_thread(owner.id) {
                    let _ = send_to_thread(&thread, info).or_else(|_| send_to_thread(&thread, fallback));
                }
            }
            Some(OwnerKind::Process) => {
                if let Some(process) = find_process(owner.id) {
                    let _ = send_to_process(&process, info).or_else(|_| send_to_process(&process, fallback));
                }
            }
            Some(OwnerKind::Group) => {
                for process in group_members(owner.id) {
                    let _ = send_to_process(&process, info.clone())
                        .or_else(|_| send_to_process(&process, fallback.clone()));
                }
            }
        }
    }
}
