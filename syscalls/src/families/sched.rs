//! Scheduling policies and CPUs. Source: `sched(7)`, `sched_setscheduler(2)`, `sched_setaffinity(2)`.

use alloc::sync::Arc;

use base::caller::{Capabilities, Resource};
use base::{Errno, Result};
use executor::CpuSet;

use crate::declare;
use crate::declare::Pointer;
use crate::process::table;
use crate::thread::Thread;
use crate::thread::attention::Reasons;
use crate::thread::scheduling::{HIGHEST_PRIORITY, Policy};
use crate::user::{copy_in, copy_out, read_u32, write_u32, write_words};

declare! {
    async 24 => sched_yield();
    async 142 => sched_setparam(tid: i32, parameters: Pointer);
    async 143 => sched_getparam(tid: i32, parameters: Pointer);
    async 144 => sched_setscheduler(tid: i32, policy: i32, parameters: Pointer);
    sync 145 => sched_getscheduler(tid: i32);
    sync 146 => sched_get_priority_max(policy: i32);
    sync 147 => sched_get_priority_min(policy: i32);
    async 148 => sched_rr_get_interval(tid: i32, interval: Pointer);
    async 203 => sched_setaffinity(tid: i32, length: u32, mask: Pointer);
    async 204 => sched_getaffinity(tid: i32, length: u32, mask: Pointer);
}

async fn sched_yield(_thread: &Thread) -> Result<u64> {
    executor::yield_now().await;
    Ok(0)
}

/// The thread that a program names, 0 for the caller.
fn find(thread: &Thread, tid: i32) -> Result<Arc<Thread>> {
    let tid = match u32::try_from(tid).map_err(|_| Errno::EINVAL)? {
        0 => thread.tid(),
        tid => tid,
    };
    table::find_thread(tid).ok_or(Errno::ESRCH)
}

/// Whether the caller may change the scheduling of `other`.
fn may_change(thread: &Thread, other: &Thread) -> bool {
    let own = thread.credentials();
    let theirs = other.resources().map(|resources| resources.caller.credentials.clone());
    own.capable(Capabilities::SYS_NICE)
        || theirs.is_some_and(|theirs| own.euid == theirs.euid || own.euid == theirs.uid)
}

const RESET_ON_FORK: u32 = 0x4000_0000;

async fn sched_setscheduler(thread: &Thread, tid: i32, policy: i32, parameters: Pointer) -> Result<u64> {
    if policy < 0 || parameters.is_null() || tid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = read_u32(&*thread.space(), parameters.0).await?;
    set_policy(thread, tid, Some(policy.unsigned_abs()), priority)
}

async fn sched_setparam(thread: &Thread, tid: i32, parameters: Pointer) -> Result<u64> {
    if parameters.is_null() || tid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = read_u32(&*thread.space(), parameters.0).await?;
    set_policy(thread, tid, None, priority)
}

/// Without a policy the old one stays, and only the priority changes.
fn set_policy(thread: &Thread, tid: i32, policy: Option<u32>, priority: u32) -> Result<u64> {
    let target = find(thread, tid)?;
    let now = target.scheduling();
    let (policy, reset) = match policy {
        None => (now.policy(), now.resets_on_fork()),
        Some(raw) => {
            let policy = Policy::from_raw(raw & !RESET_ON_FORK).ok_or(Errno::EINVAL)?;
            (policy, raw & RESET_ON_FORK != 0)
        }
    };
    if priority > HIGHEST_PRIORITY || policy.is_realtime() != (priority != 0) {
        return Err(Errno::EINVAL);
    }
    if !thread.credentials().capable(Capabilities::SYS_NICE) {
        let limit = target.process().limits().soft(Resource::RealtimePriority);
        let raises = policy.is_realtime()
            && (policy != now.policy() && limit == 0
                || priority > now.priority() && u64::from(priority) > limit);
        let leaves_idle = now.policy() == Policy::Idle && policy != Policy::Idle && now.nice() < 0;
        let unpins = now.resets_on_fork() && !reset;
        if raises || leaves_idle || unpins || !may_change(thread, &target) {
            return Err(Errno::EPERM);
        }
    }
    now.set(policy, priority, reset);
    Ok(0)
}

fn sched_getscheduler(thread: &Thread, tid: i32) -> Result<u64> {
    let target = find(thread, tid)?;
    let scheduling = target.scheduling();
    let reset = if scheduling.resets_on_fork() { RESET_ON_FORK } else { 0 };
    Ok(u64::from(scheduling.policy() as u32 | reset))
}

async fn sched_getparam(thread: &Thread, tid: i32, parameters: Pointer) -> Result<u64> {
    if parameters.is_null() {
        return Err(Errno::EINVAL);
    }
    let priority = find(thread, tid)?.scheduling().priority();
    write_u32(&*thread.space(), parameters.0, priority).await?;
    Ok(0)
}

/// `SCHED_DEADLINE`, which has limits although nobody can have it.
const DEADLINE: u32 = 6;

fn priority_range(policy: i32) -> Result<(u64, u64)> {
    let raw = u32::try_from(policy).map_err(|_| Errno::EINVAL)?;
    match Policy::from_raw(raw) {
        Some(policy) if policy.is_realtime() => Ok((1, HIGHEST_PRIORITY.into())),
        Some(_) => Ok((0, 0)),
        None if raw == DEADLINE => Ok((0, 0)),
        None => Err(Errno::EINVAL),
    }
}

fn sched_get_priority_max(_thread: &Thread, policy: i32) -> Result<u64> {
    priority_range(policy).map(|range| range.1)
}

fn sched_get_priority_min(_thread: &Thread, policy: i32) -> Result<u64> {
    priority_range(policy).map(|range| range.0)
}

async fn sched_rr_get_interval(thread: &Thread, tid: i32, interval: Pointer) -> Result<u64> {
    /// The executor's slice.
    const SLICE_NANOS: u64 = 4_000_000;
    let nanos = match find(thread, tid)?.scheduling().policy() {
        Policy::Fifo => 0,
        _ => SLICE_NANOS,
    };
    write_words(&*thread.space(), interval.0, &[0, nanos]).await?;
    Ok(0)
}

/// Bytes of a mask that are looked at: more CPUs than there can be.
const MASK_BYTES: usize = 8;

async fn sched_setaffinity(thread: &Thread, tid: i32, length: u32, mask: Pointer) -> Result<u64> {
    let length = (length as usize).min(MASK_BYTES);
    let mut bytes = [0; MASK_BYTES];
    copy_in(&*thread.space(), mask.0, &mut bytes[..length]).await?;
    let target = find(thread, tid).map_err(|_| Errno::ESRCH)?;
    if !may_change(thread, &target) {
        return Err(Errno::EPERM);
    }
    let task = target.task().ok_or(Errno::ESRCH)?;
    if !task.set_affinity(CpuSet::from_bits(u64::from_le_bytes(bytes))) {
        return Err(Errno::EINVAL);
    }
    // The caller itself looks before it returns to its program, so it already runs where it asked to.
    target.attention().raise(Reasons::MOVE);
    task.nudge();
    Ok(0)
}

async fn sched_getaffinity(thread: &Thread, tid: i32, length: u32, mask: Pointer) -> Result<u64> {
    let length = length as usize;
    let online = CpuSet::first_cpus(base::machine().cpu_count());
    if length * 8 < base::machine().cpu_count() || !length.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let target = find(thread, tid).map_err(|_| Errno::ESRCH)?;
    let own = target.task().map_or(CpuSet::ALL, executor::TaskRef::affinity);
    let bytes = own.intersection(online).bits().to_le_bytes();
    let length = length.min(MASK_BYTES);
    copy_out(&*thread.space(), mask.0, &bytes[..length]).await?;
    Ok(length as u64)
}
