//! Ids of processes, groups and sessions. Source: `getpid(2)`, `setpgid(2)`, `setsid(2)`.

use base::{Errno, Result};

use crate::declare;
use crate::process::{Process, session, table};
use crate::thread::Thread;
use alloc::sync::Arc;

declare! {
    sync 39 => getpid();
    sync 109 => setpgid(pid: i32, group: i32);
    sync 110 => getppid();
    sync 111 => getpgrp();
    sync 112 => setsid();
    sync 121 => getpgid(pid: i32);
    sync 124 => getsid(pid: i32);
    sync 186 => gettid();
}

fn getpid(thread: &Thread) -> Result<u64> {
    Ok(thread.process().pid().into())
}

fn gettid(thread: &Thread) -> Result<u64> {
    Ok(thread.tid().into())
}

fn getppid(thread: &Thread) -> Result<u64> {
    Ok(thread.process().parent().into())
}

fn getpgrp(thread: &Thread) -> Result<u64> {
    Ok(thread.process().group().into())
}

fn getpgid(thread: &Thread, pid: i32) -> Result<u64> {
    Ok(process_named(thread, pid)?.group().into())
}

fn getsid(thread: &Thread, pid: i32) -> Result<u64> {
    Ok(process_named(thread, pid)?.session().into())
}

/// The process that a program names: its own for 0, or the one of any thread's id.
fn process_named(thread: &Thread, pid: i32) -> Result<Arc<Process>> {
    match u32::try_from(pid) {
        Ok(0) => Ok(thread.process().clone()),
        Ok(pid) => table::find_process(pid)
            .or_else(|| table::find_thread(pid).map(|other| other.process().clone()))
            .ok_or(Errno::ESRCH),
        Err(_) => Err(Errno::ESRCH),
    }
}

fn setpgid(thread: &Thread, pid: i32, group: i32) -> Result<u64> {
    let caller = thread.process().pid();
    let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
    let target = match u32::try_from(pid).map_err(|_| Errno::ESRCH)? {
        0 => caller,
        pid => pid,
    };
    let group = if group == 0 { target } else { group };
    let mut table = table::lock();
    if table.process(target).is_none() && table.thread(target).is_some() {
        // A thread that is not the first of its process.
        return Err(Errno::EINVAL);
    }
    table.set_group(caller, target, group)?;
    table::publish_relations(&table, target);
    Ok(0)
}

fn setsid(thread: &Thread) -> Result<u64> {
    Ok(session::start(thread.process())?.into())
}
