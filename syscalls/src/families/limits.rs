//! Resource limits and what has been used. Source: `getrlimit(2)`, `getrusage(2)`, `times(2)`.

use alloc::sync::Arc;

use base::caller::{Capabilities, Credentials, Resource};
use base::frame::PAGE_SIZE;
use base::{Errno, Result, machine};

use crate::declare;
use crate::declare::Pointer;
use crate::process::usage::Used;
use crate::process::{Process, rusage, table};
use crate::thread::Thread;
use crate::thread::clock::Share;
use crate::user::{copy_out, read_words, write_words};

declare! {
    async 97 => getrlimit(resource: u32, limit: Pointer);
    async 98 => getrusage(who: i32, usage: Pointer);
    async 100 => times(buffer: Pointer);
    async 160 => setrlimit(resource: u32, limit: Pointer);
    async 302 => prlimit64(pid: i32, resource: u32, new: Pointer, old: Pointer);
}

/// Highest value that `RLIMIT_NOFILE` may have: `fs.nr_open`.
const MOST_FILES: u64 = 1 << 20;

async fn getrlimit(thread: &Thread, resource: u32, limit: Pointer) -> Result<u64> {
    let (soft, hard) = change_limit(thread, thread.process(), resource, None)?;
    write_words(&*thread.space(), limit.0, &[soft, hard]).await?;
    Ok(0)
}

async fn setrlimit(thread: &Thread, resource: u32, limit: Pointer) -> Result<u64> {
    let [soft, hard] = read_words(&*thread.space(), limit.0).await?;
    change_limit(thread, thread.process(), resource, Some((soft, hard)))?;
    Ok(0)
}

async fn prlimit64(thread: &Thread, pid: i32, resource: u32, new: Pointer, old: Pointer) -> Result<u64> {
    let new = match new.is_null() {
        true => None,
        false => {
            let [soft, hard] = read_words(&*thread.space(), new.0).await?;
            Some((soft, hard))
        }
    };
    let process = match u32::try_from(pid).map_err(|_| Errno::ESRCH)? {
        0 => thread.process().clone(),
        pid => limits_of(thread, pid)?,
    };
    let (soft, hard) = change_limit(thread, &process, resource, new)?;
    if !old.is_null() {
        write_words(&*thread.space(), old.0, &[soft, hard]).await?;
    }
    Ok(0)
}

/// Another process whose limits the caller may see and set: one with the caller's ids throughout.
fn limits_of(thread: &Thread, pid: u32) -> Result<Arc<Process>> {
    let target = table::find_thread(pid).ok_or(Errno::ESRCH)?;
    let process = target.process().clone();
    if process.pid() == thread.process().pid() {
        return Ok(process);
    }
    let own = thread.credentials();
    let same = |other: &Credentials| {
        [other.uid, other.euid, other.suid].iter().all(|&uid| uid == own.uid)
            && [other.gid, other.egid, other.sgid].iter().all(|&gid| gid == own.gid)
    };
    let theirs = target.resources().ok_or(Errno::ESRCH)?;
    if same(&theirs.caller.credentials) || own.capable(Capabilities::SYS_RESOURCE) {
        Ok(process)
    } else {
        Err(Errno::EPERM)
    }
}

/// Sets a limit if there is a new one; answers the old one.
fn change_limit(
    thread: &Thread,
    process: &Arc<Process>,
    resource: u32,
    new: Option<(u64, u64)>,
) -> Result<(u64, u64)> {
    let resource = Resource::from_raw(resource)?;
    let limits = process.limits();
    let old = (limits.soft(resource), limits.hard(resource));
    if let Some((soft, hard)) = new {
        if soft > hard {
            return Err(Errno::EINVAL);
        }
        if resource == Resource::OpenFiles && hard > MOST_FILES {
            return Err(Errno::EPERM);
        }
        if hard > old.1 && !thread.credentials().capable(Capabilities::SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        limits.set(resource, soft, hard);
        if resource == Resource::Cpu {
            process.timers().limit_changed(process);
        }
    }
    Ok(old)
}

const RUSAGE_SELF: i32 = 0;
const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_THREAD: i32 = 1;

async fn getrusage(thread: &Thread, who: i32, usage: Pointer) -> Result<u64> {
    let process = thread.process();
    thread.clock().account(Share::Mixed);
    note_resident(thread);
    let used: Used = match who {
        RUSAGE_SELF => process.total_usage(),
        RUSAGE_CHILDREN => process.children_usage().get(),
        RUSAGE_THREAD => {
            let max_resident = process.usage().get().max_resident;
            Used { max_resident, ..thread.used() }
        }
        _ => return Err(Errno::EINVAL),
    };
    copy_out(&*thread.space(), usage.0, &rusage::encode(&used)).await?;
    Ok(0)
}

/// Brings the resident maximum of the caller's process up to date.
fn note_resident(thread: &Thread) {
    let resident = thread.space().page_table().resident() * PAGE_SIZE;
    thread.process().usage().note_resident(resident as u64);
}

async fn times(thread: &Thread, buffer: Pointer) -> Result<u64> {
    if !buffer.is_null() {
        thread.clock().account(Share::Mixed);
        let own = thread.process().total_usage();
        let children = thread.process().children_usage().get();
        let ticks = [own.user, own.system, children.user, children.system].map(rusage::ticks);
        write_words(&*thread.space(), buffer.0, &ticks).await?;
    }
    Ok(rusage::ticks(machine::now().as_nanos()))
}
