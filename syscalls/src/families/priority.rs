//! Nice values. Source: `getpriority(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::{Capabilities, Credentials, Resource};
use base::{Errno, Result};

use crate::declare;
use crate::process::{Process, table};
use crate::thread::Thread;

declare! {
    sync 140 => getpriority(which: i32, who: i32);
    sync 141 => setpriority(which: i32, who: i32, nice: i32);
}

const PRIO_PROCESS: i32 = 0;
const PRIO_PGRP: i32 = 1;
const PRIO_USER: i32 = 2;
const LOWEST: i32 = 19;
const HIGHEST: i32 = -20;

/// The threads that a program names.
fn targets(thread: &Thread, which: i32, who: i32) -> Result<Vec<Arc<Thread>>> {
    let who = u32::try_from(who).map_err(|_| Errno::ESRCH);
    let found: Vec<Arc<Thread>> = match which {
        PRIO_PROCESS => {
            let tid = who.map(|who| if who == 0 { thread.tid() } else { who });
            tid.ok().and_then(table::find_thread).into_iter().collect()
        }
        PRIO_PGRP => {
            let group = who.map(|who| if who == 0 { thread.process().group() } else { who });
            threads_of(group.map(table::group_members).unwrap_or_default())
        }
        PRIO_USER => {
            let uid = who.map(|who| if who == 0 { thread.credentials().uid } else { who });
            let mut all = threads_of(table::all_processes());
            all.retain(|other| credentials_of(other).is_some_and(|theirs| Ok(theirs.uid) == uid));
            all
        }
        _ => return Err(Errno::EINVAL),
    };
    if found.is_empty() { Err(Errno::ESRCH) } else { Ok(found) }
}

fn threads_of(processes: Vec<Arc<Process>>) -> Vec<Arc<Thread>> {
    processes.iter().flat_map(|process| table::threads_of(process)).collect()
}

fn credentials_of(thread: &Thread) -> Option<Arc<Credentials>> {
    thread.resources().map(|resources| resources.caller.credentials.clone())
}

/// Answers 20 minus the nice value, so that it is never negative.
fn getpriority(thread: &Thread, which: i32, who: i32) -> Result<u64> {
    let best = targets(thread, which, who)?.iter().map(|other| other.scheduling().nice()).min();
    Ok(u64::from((LOWEST + 1 - best.unwrap_or(0)).unsigned_abs()))
}

fn setpriority(thread: &Thread, which: i32, who: i32, nice: i32) -> Result<u64> {
    let nice = nice.clamp(HIGHEST, LOWEST);
    let mut error = None;
    for target in targets(thread, which, who)? {
        match may_set(thread, &target, nice) {
            Ok(()) => target.scheduling().set_nice(nice),
            Err(refused) => error = Some(refused),
        }
    }
    error.map_or(Ok(0), Err)
}

fn may_set(thread: &Thread, target: &Thread, nice: i32) -> Result<()> {
    let own = thread.credentials();
    if own.capable(Capabilities::SYS_NICE) {
        return Ok(());
    }
    let theirs = credentials_of(target).ok_or(Errno::ESRCH)?;
    if own.euid != theirs.uid && own.euid != theirs.euid {
        return Err(Errno::EPERM);
    }
    // RLIMIT_NICE counts from 1 (nice 19) to 40 (nice -20).
    let ceiling = u64::from((LOWEST + 1 - nice).unsigned_abs());
    let raises = nice < target.scheduling().nice();
    if raises && ceiling > target.process().limits().soft(Resource::Nice) {
        return Err(Errno::EACCES);
    }
    Ok(())
}
