//! Settings of a thread and its process. Source: `prctl(2)`, `arch_prctl(2)`, `get_robust_list(2)`.

use base::sync::atomic::Ordering;
use base::{Errno, Result};

use crate::declare;
use crate::declare::Pointer;
use crate::machine::{USER_END, UserContext};
use crate::process::identity::capabilities::{self, KEEP_CAPS};
use crate::process::program::DUMPABLE;
use crate::process::table;
use crate::signal::Signal;
use crate::thread::Thread;
use crate::thread::words::ROBUST_LIST_BYTES;
use crate::user::{copy_in, copy_out, read_string, write_u32, write_words};

declare! {
    async 157 => prctl(option: u32, a: u64, b: u64, c: u64, d: u64);
    context 158 => arch_prctl(option: u32, address: u64);
    sync 273 => set_robust_list(head: u64, length: u64);
    async 274 => get_robust_list(tid: i32, head: Pointer, length: Pointer);
}

const SET_PDEATHSIG: u32 = 1;
const GET_PDEATHSIG: u32 = 2;
const GET_DUMPABLE: u32 = 3;
const SET_DUMPABLE: u32 = 4;
const GET_KEEPCAPS: u32 = 7;
const SET_KEEPCAPS: u32 = 8;
const GET_TIMING: u32 = 13;
const SET_NAME: u32 = 15;
const GET_NAME: u32 = 16;
const CAPBSET_READ: u32 = 23;
const CAPBSET_DROP: u32 = 24;
const GET_TSC: u32 = 25;
const GET_SECUREBITS: u32 = 27;
const SET_SECUREBITS: u32 = 28;
const SET_TIMERSLACK: u32 = 29;
const GET_TIMERSLACK: u32 = 30;
const SET_CHILD_SUBREAPER: u32 = 36;
const GET_CHILD_SUBREAPER: u32 = 37;
const SET_NO_NEW_PRIVS: u32 = 38;
const GET_NO_NEW_PRIVS: u32 = 39;
const CAP_AMBIENT: u32 = 47;

/// The processor lets ring 3 read the time-stamp counter.
const TSC_ENABLE: u32 = 1;

/// Whatever is not here (seccomp among it) answers `EINVAL`, as a Linux built without it.
async fn prctl(thread: &Thread, option: u32, a: u64, b: u64, c: u64, d: u64) -> Result<u64> {
    let space = thread.space();
    match option {
        SET_PDEATHSIG | SET_DUMPABLE | SET_TIMERSLACK | SET_NO_NEW_PRIVS | SET_CHILD_SUBREAPER => {
            set(thread, option, a, [b, c, d])
        }
        GET_PDEATHSIG => {
            let signal = thread.parent_death_signal().map_or(0, Signal::number);
            write_u32(&*space, a, signal.into()).await?;
            Ok(0)
        }
        GET_DUMPABLE => Ok(thread.process().program().dumpable().into()),
        GET_TIMING => Ok(0),
        SET_NAME => set_name(thread, a).await,
        GET_NAME => {
            copy_out(&*space, a, &thread.name().get()).await?;
            Ok(0)
        }
        GET_TSC => {
            write_u32(&*space, a, TSC_ENABLE).await?;
            Ok(0)
        }
        GET_TIMERSLACK => Ok(thread.settings().timer_slack.load(Ordering::Relaxed)),
        GET_CHILD_SUBREAPER => {
            write_u32(&*space, a, is_subreaper(thread).into()).await?;
            Ok(0)
        }
        GET_NO_NEW_PRIVS if [a, b, c, d] == [0; 4] => {
            Ok(thread.settings().no_new_privileges.load(Ordering::Relaxed).into())
        }
        GET_KEEPCAPS | SET_KEEPCAPS | CAPBSET_READ | CAPBSET_DROP | GET_SECUREBITS | SET_SECUREBITS
        | CAP_AMBIENT => of_credentials(thread, option, a, b),
        _ => Err(Errno::EINVAL),
    }
}

fn is_subreaper(thread: &Thread) -> bool {
    table::lock().process(thread.process().pid()).is_some_and(|node| node.subreaper)
}

fn set(thread: &Thread, option: u32, value: u64, rest: [u64; 3]) -> Result<u64> {
    let settings = thread.settings();
    match option {
        SET_PDEATHSIG => {
            let number =
                u32::try_from(value).ok().filter(|&n| n <= Signal::COUNT as u32).ok_or(Errno::EINVAL)?;
            settings.parent_death_signal.store(number, Ordering::Relaxed);
        }
        SET_DUMPABLE => match u32::try_from(value) {
            Ok(dumpable) if dumpable <= DUMPABLE => thread.process().program().set_dumpable(dumpable),
            _ => return Err(Errno::EINVAL),
        },
        SET_TIMERSLACK => {
            let default = settings.default_timer_slack.load(Ordering::Relaxed);
            let slack = if value.cast_signed() <= 0 { default } else { value };
            settings.timer_slack.store(slack, Ordering::Relaxed);
        }
        SET_NO_NEW_PRIVS if value == 1 && rest == [0; 3] => {
            settings.no_new_privileges.store(true, Ordering::Relaxed);
        }
        SET_CHILD_SUBREAPER => {
            if let Some(node) = table::lock().process_mut(thread.process().pid()) {
                node.subreaper = value != 0;
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

async fn set_name(thread: &Thread, from: u64) -> Result<u64> {
    const LONGEST: usize = 15;
    let space = thread.space();
    let name = match read_string(&*space, from, LONGEST + 1, Errno::E2BIG).await {
        Err(Errno::E2BIG) => {
            let mut name = [0; LONGEST];
            copy_in(&*space, from, &mut name).await?;
            name.to_vec()
        }
        other => other?,
    };
    thread.set_name(&name);
    Ok(0)
}

fn of_credentials(thread: &Thread, option: u32, a: u64, b: u64) -> Result<u64> {
    const AMBIENT_IS_SET: u64 = 1;
    const AMBIENT_RAISE: u64 = 2;
    const AMBIENT_LOWER: u64 = 3;
    const AMBIENT_CLEAR_ALL: u64 = 4;
    let old = thread.credentials();
    let new = match option {
        GET_KEEPCAPS => return Ok((old.securebits & KEEP_CAPS != 0).into()),
        GET_SECUREBITS => return Ok(old.securebits.into()),
        CAPBSET_READ => return Ok(old.bounding.contains(capabilities::single(a)?).into()),
        SET_KEEPCAPS => capabilities::set_keep(&old, a)?,
        SET_SECUREBITS => capabilities::set_securebits(&old, a)?,
        CAPBSET_DROP => capabilities::drop_from_bounding(&old, a)?,
        CAP_AMBIENT => {
            let mut new = base::caller::Credentials::clone(&old);
            match a {
                AMBIENT_CLEAR_ALL if b == 0 => new.ambient = base::caller::Capabilities::empty(),
                AMBIENT_IS_SET => return Ok(old.ambient.contains(capabilities::single(b)?).into()),
                AMBIENT_RAISE => new = capabilities::raise_ambient(&old, capabilities::single(b)?)?,
                AMBIENT_LOWER => new.ambient -= capabilities::single(b)?,
                _ => return Err(Errno::EINVAL),
            }
            new
        }
        _ => return Err(Errno::EINVAL),
    };
    thread.set_credentials(new);
    Ok(0)
}

const ARCH_SET_GS: u32 = 0x1001;
const ARCH_SET_FS: u32 = 0x1002;
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;

async fn arch_prctl(thread: &Thread, context: &mut UserContext, option: u32, address: u64) -> Result<u64> {
    let base = match option {
        ARCH_SET_FS | ARCH_SET_GS if address >= USER_END => return Err(Errno::EPERM),
        ARCH_SET_FS => {
            context.registers.fs_base = address;
            return Ok(0);
        }
        ARCH_SET_GS => {
            context.registers.gs_base = address;
            return Ok(0);
        }
        ARCH_GET_FS => context.registers.fs_base,
        ARCH_GET_GS => context.registers.gs_base,
        _ => return Err(Errno::EINVAL),
    };
    write_words(&*thread.space(), address, &[base]).await?;
    Ok(0)
}

fn set_robust_list(thread: &Thread, head: u64, length: u64) -> Result<u64> {
    if length != ROBUST_LIST_BYTES {
        return Err(Errno::EINVAL);
    }
    thread.words().set_robust_list(head);
    Ok(0)
}

async fn get_robust_list(thread: &Thread, tid: i32, head: Pointer, length: Pointer) -> Result<u64> {
    let list = match u32::try_from(tid).map_err(|_| Errno::ESRCH)? {
        0 => thread.words().robust_list(),
        tid => {
            let other = table::find_thread(tid).ok_or(Errno::ESRCH)?;
            if !may_look_into(thread, &other) {
                return Err(Errno::EPERM);
            }
            other.words().robust_list()
        }
    };
    write_words(&*thread.space(), length.0, &[ROBUST_LIST_BYTES]).await?;
    write_words(&*thread.space(), head.0, &[list]).await?;
    Ok(0)
}

/// Whether `thread` may look into `other`, as ptrace(2) has it: same process, same ids, or privileged.
pub(super) fn may_look_into(thread: &Thread, other: &Thread) -> bool {
    if thread.process().pid() == other.process().pid() {
        return true;
    }
    let own = thread.credentials();
    let Some(theirs) = other.resources().map(|resources| resources.caller.credentials.clone()) else {
        return false;
    };
    let same_ids = [theirs.uid, theirs.euid, theirs.suid].iter().all(|&uid| uid == own.uid)
        && [theirs.gid, theirs.egid, theirs.sgid].iter().all(|&gid| gid == own.gid);
    let dumpable = other.process().program().dumpable() == DUMPABLE;
    own.capable(base::caller::Capabilities::SYS_PTRACE) || same_ids && dumpable
}
