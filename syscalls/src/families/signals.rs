//! Signals: actions, masks, sending, and waiting for them.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use base::memory::{Access, UserMemory};
use base::{Errno, Result, machine};
use executor::pollwait::{Reason, Wait};

use crate::declare;
use crate::declare::Pointer;
use crate::machine::{UserContext, check_user_range};
use crate::process::Process;
use crate::process::table::{all_processes, find_process, find_thread, group_members};
use crate::signal::action::Action;
use crate::signal::altstack::STACK_T_BYTES;
use crate::signal::handler::return_from_handler;
use crate::signal::info::{SEGV_MAPERR, SI_TKILL, SI_USER, SIGINFO_BYTES};
use crate::signal::permission::may_signal;
use crate::signal::send::{deliverable, discard, take_matching};
use crate::signal::state::check_mask_size;
use crate::signal::{
    SigInfo, Signal, SignalSet, borrow_mask, force, recompute, send_to_process, send_to_thread, set_mask,
};
use crate::thread::Thread;
use crate::thread::attention::Reasons;
use crate::user::{copy_in, copy_out, read_words, write_words};

declare! {
    async 13 => rt_sigaction(signal: i32, action: Pointer, old: Pointer, size: usize) after try_rt_sigaction;
    async 14 => rt_sigprocmask(how: i32, set: Pointer, old: Pointer, size: usize) after try_rt_sigprocmask;
    context 15 => rt_sigreturn();
    async 34 => pause() [nohand];
    sync 62 => kill(pid: i32, signal: i32);
    async 127 => rt_sigpending(set: Pointer, size: usize);
    async 128 => rt_sigtimedwait(set: Pointer, info: Pointer, timeout: Pointer, size: usize);
    async 129 => rt_sigqueueinfo(pid: i32, signal: i32, info: Pointer);
    async 130 => rt_sigsuspend(set: Pointer, size: usize) [nohand];
    context 131 => sigaltstack(new: Pointer, old: Pointer);
    sync 200 => tkill(tid: i32, signal: i32);
    sync 234 => tgkill(pid: i32, tid: i32, signal: i32);
    async 297 => rt_tgsigqueueinfo(pid: i32, tid: i32, signal: i32, info: Pointer);
}

const SIG_BLOCK: i32 = 0;
const SIG_UNBLOCK: i32 = 1;
const SIG_SETMASK: i32 = 2;

/// Does it all when the program's memory is there.
fn try_rt_sigaction(
    thread: &Thread,
    signal: i32,
    new: Pointer,
    old: Pointer,
    size: usize,
) -> Option<Result<u64>> {
    check_mask_size(size).ok()?;
    let words = if new.is_null() { None } else { Some(thread.get_words(new).ok()?) };
    let change = Change::new(signal, words).ok()?;
    let space = thread.space();
    if !old.is_null() {
        check_user_range(old.0, size_of::<[u64; 4]>() as u64, Access::Write).ok()?;
    }
    let show = |previous: &Action| {
        let bytes = previous.to_words().map(u64::to_ne_bytes);
        old.is_null() || space.copy_out_nofault(old.0, bytes.as_flattened()) == bytes.as_flattened().len()
    };
    change.make(thread, show)?;
    Some(Ok(0))
}

async fn rt_sigaction(thread: &Thread, signal: i32, new: Pointer, old: Pointer, size: usize) -> Result<u64> {
    check_mask_size(size)?;
    let space = thread.space();
    let words = if new.is_null() { None } else { Some(read_words(&*space, new.0).await?) };
    let change = Change::new(signal, words)?;
    // As on Linux, the action is changed even if the old one can't be told.
    if let Some(previous) = change.make(thread, |_| true).filter(|_| !old.is_null()) {
        write_words(&*space, old.0, &previous.to_words()).await?;
    }
    Ok(0)
}

/// What sigaction(2) is asked for.
struct Change {
    signal: Signal,
    new: Option<Action>,
}

impl Change {
    fn new(signal: i32, words: Option<[u64; 4]>) -> Result<Change> {
        let signal = Signal::new(signal)?;
        if words.is_some() && SignalSet::UNBLOCKABLE.contains(signal) {
            return Err(Errno::EINVAL);
        }
        Ok(Change { signal, new: words.map(Action::from_words) })
    }

    /// Changes the action when `show`, given the old one, allows it, and returns the old one then.
    fn make(&self, thread: &Thread, show: impl FnOnce(&Action) -> bool) -> Option<Action> {
        let process = thread.process();
        let Some(new) = self.new else { return Some(process.actions().get(self.signal)).filter(show) };
        let previous = process.actions().exchange(self.signal, new, show)?;
        if new.ignores(self.signal) {
            discard(process, SignalSet::of(&[self.signal]));
            recompute(thread);
        }
        Some(previous)
    }
}

/// Does it all when the program's memory is there.
fn try_rt_sigprocmask(
    thread: &Thread,
    how: i32,
    set: Pointer,
    old: Pointer,
    size: usize,
) -> Option<Result<u64>> {
    check_mask_size(size).ok()?;
    let before = thread.signals().mask();
    let mask =
        if set.is_null() { None } else { Some(combine(how, before, thread.get_words(set).ok()?).ok()?) };
    if !old.is_null() {
        thread.put_words(old, [before.0]).ok()?;
    }
    if let Some(mask) = mask {
        let _ = set_mask(thread, mask);
    }
    Some(Ok(0))
}

async fn rt_sigprocmask(thread: &Thread, how: i32, set: Pointer, old: Pointer, size: usize) -> Result<u64> {
    check_mask_size(size)?;
    let space = thread.space();
    let before = thread.signals().mask();
    if !set.is_null() {
        let mask = combine(how, before, read_words(&*space, set.0).await?)?;
        // As on Linux, the mask is changed even if the old one can't be told.
        let _ = set_mask(thread, mask);
    }
    if !old.is_null() {
        write_words(&*space, old.0, &[before.0]).await?;
    }
    Ok(0)
}

/// The mask that sigprocmask(2) makes of `before`.
fn combine(how: i32, before: SignalSet, [bits]: [u64; 1]) -> Result<SignalSet> {
    let given = SignalSet(bits);
    match how {
        SIG_BLOCK => Ok(before.union(given)),
        SIG_UNBLOCK => Ok(before.minus(given)),
        SIG_SETMASK => Ok(given),
        _ => Err(Errno::EINVAL),
    }
}

async fn rt_sigpending(thread: &Thread, set: Pointer, size: usize) -> Result<u64> {
    // A smaller set gets as many bytes as it asks for.
    if size > size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let pending = thread.signals().pending().union(thread.process().signals().pending());
    let blocked = pending.and(thread.signals().mask());
    copy_out(&*thread.space(), set.0, &blocked.0.to_le_bytes()[..size]).await?;
    Ok(0)
}

async fn pause(thread: &Thread) -> Result<u64> {
    wait_for_signal(thread).await
}

/// A drop leaves the mask borrowed: only a dying thread is dropped here.
async fn rt_sigsuspend(thread: &Thread, set: Pointer, size: usize) -> Result<u64> {
    check_mask_size(size)?;
    let [bits] = read_words::<1>(&*thread.space(), set.0).await?;
    borrow_mask(thread, SignalSet(bits));
    wait_for_signal(thread).await
}

async fn wait_for_signal(thread: &Thread) -> Result<u64> {
    loop {
        recompute(thread);
        let seen = thread.signals().idle().observe();
        if !deliverable(thread).is_empty() || must_leave(thread) {
            return Err(Errno::EINTR);
        }
        let _ = thread.signals().idle().wait(seen, Wait::interruptible()).await;
    }
}

/// True when the thread has something to do that is no signal for it to take: stop, or die. A wait that went
/// on would be ended by the same interrupt again and again.
fn must_leave(thread: &Thread) -> bool {
    thread.attention().get().intersects(Reasons::STOP | Reasons::DIE)
}

async fn rt_sigtimedwait(
    thread: &Thread,
    set: Pointer,
    info: Pointer,
    timeout: Pointer,
    size: usize,
) -> Result<u64> {
    check_mask_size(size)?;
    let space = thread.space();
    let [bits] = read_words::<1>(&*space, set.0).await?;
    let wanted = SignalSet(bits).minus(SignalSet::UNBLOCKABLE);
    let deadline = if timeout.is_null() {
        None
    } else {
        let [seconds, nanoseconds] = read_words::<2>(&*space, timeout.0).await?;
        let valid = i64::try_from(seconds).is_ok() && nanoseconds < 1_000_000_000;
        let span = if valid { Duration::new(seconds, 0) } else { return Err(Errno::EINVAL) };
        Some(machine::now() + span + Duration::from_nanos(nanoseconds))
    };
    let taken = {
        let _awaiting = Awaiting::new(thread, wanted);
        wait_for(thread, wanted, deadline).await
    };
    recompute(thread);
    let taken = taken?;
    if !info.is_null() {
        copy_out(&*space, info.0, &taken.to_bytes()).await?;
    }
    Ok(taken.signal.number().into())
}

async fn wait_for(
    thread: &Thread,
    wanted: SignalSet,
    deadline: Option<base::time::Instant>,
) -> Result<SigInfo> {
    loop {
        recompute(thread);
        let seen = thread.signals().idle().observe();
        if let Some(info) = take_matching(thread, wanted) {
            return Ok(info);
        }
        if !deliverable(thread).is_empty() || must_leave(thread) {
            return Err(Errno::EINTR);
        }
        let wait = Wait::interruptible().until(deadline);
        if thread.signals().idle().wait(seen, wait).await == Reason::Timeout {
            return take_matching(thread, wanted).ok_or(Errno::EAGAIN);
        }
    }
}

/// While it lives, senders wake the thread for signals that it blocks but waits for.
struct Awaiting<'a>(&'a Thread);

impl<'a> Awaiting<'a> {
    fn new(thread: &'a Thread, set: SignalSet) -> Self {
        thread.signals().set_awaited(set);
        Awaiting(thread)
    }
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.0.signals().set_awaited(SignalSet::EMPTY);
    }
}

async fn sigaltstack(thread: &Thread, context: &mut UserContext, new: Pointer, old: Pointer) -> Result<u64> {
    let space = thread.space();
    let stack_pointer = context.registers.rsp;
    let present = thread.signals().alternate();
    if !new.is_null() {
        let mut request = [0; STACK_T_BYTES];
        copy_in(&*space, new.0, &mut request).await?;
        thread.signals().set_alternate(present.replace(&request, stack_pointer)?);
    }
    if !old.is_null() {
        copy_out(&*space, old.0, &present.to_bytes(stack_pointer)).await?;
    }
    Ok(0)
}

async fn rt_sigreturn(thread: &Thread, context: &mut UserContext) -> Result<u64> {
    if return_from_handler(thread, context).await.is_err() {
        force(thread, SigInfo::fault(Signal::SIGSEGV, SEGV_MAPERR, 0));
    }
    Ok(context.registers.rax)
}

fn kill(thread: &Thread, pid: i32, signal: i32) -> Result<u64> {
    match pid {
        1.. => {
            let target = find_process(pid.unsigned_abs()).ok_or(Errno::ESRCH)?;
            signal_process(thread, &target, signal)?;
        }
        0 => signal_all(thread, || group_members(thread.process().group()), signal)?,
        -1 => signal_all(thread, || everyone_but(thread.process()), signal)?,
        i32::MIN => return Err(Errno::ESRCH),
        _ => signal_all(thread, || group_members(pid.unsigned_abs()), signal)?,
    }
    Ok(0)
}

/// Signals a process, or only looks whether that is allowed when `signal` is 0.
fn signal_process(thread: &Thread, target: &Arc<Process>, signal: i32) -> Result<()> {
    let info = from_own_process(thread, signal, SI_USER)?;
    may_signal(thread, target, signal)?;
    info.map_or(Ok(()), |info| send_to_process(target, info))
}

/// What kill(2) and its like tell of the sender; `None` for signal 0.
fn from_own_process(thread: &Thread, signal: i32, code: i32) -> Result<Option<SigInfo>> {
    if signal == 0 {
        return Ok(None);
    }
    let (pid, uid) = (thread.process().pid(), thread.with_credentials(|own| own.uid));
    Ok(Some(SigInfo::from_process(Signal::new(signal)?, code, pid, uid)))
}

/// How often kill(2) looks at a group again for members that were forked meanwhile.
const MOST_LOOKS: usize = 64;

/// Signals every process that `targets` finds.
///
/// # Errors
///
/// `ESRCH` when it finds none; without one success, the last refusal.
fn signal_all(thread: &Thread, targets: impl Fn() -> Vec<Arc<Process>>, signal: i32) -> Result<()> {
    let mut outcome = Err(Errno::ESRCH);
    let mut reached = BTreeSet::new();
    // A member that forks between the look and its signal leaves a child that must not escape: the group
    // is looked at again until nobody new is in it.
    for _ in 0..MOST_LOOKS {
        let new: Vec<_> = targets().into_iter().filter(|target| reached.insert(target.pid())).collect();
        if new.is_empty() {
            break;
        }
        for target in new {
            let sent = signal_process(thread, &target, signal);
            outcome = if outcome.is_ok() { outcome } else { sent };
        }
    }
    outcome
}

/// What kill(-1) reaches: every process but the first and the caller's own.
fn everyone_but(own: &Process) -> Vec<Arc<Process>> {
    let mut all = all_processes();
    all.retain(|process| process.pid() > 1 && process.pid() != own.pid());
    all
}

fn tkill(thread: &Thread, tid: i32, signal: i32) -> Result<u64> {
    if tid <= 0 {
        return Err(Errno::EINVAL);
    }
    signal_thread(thread, None, tid, signal)
}

fn tgkill(thread: &Thread, pid: i32, tid: i32, signal: i32) -> Result<u64> {
    if pid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    signal_thread(thread, Some(pid), tid, signal)
}

fn signal_thread(thread: &Thread, pid: Option<i32>, tid: i32, signal: i32) -> Result<u64> {
    let target = target_thread(pid, tid)?;
    let info = from_own_process(thread, signal, SI_TKILL)?;
    may_signal(thread, target.process(), signal)?;
    info.map_or(Ok(()), |info| send_to_thread(&target, info))?;
    Ok(0)
}

fn target_thread(pid: Option<i32>, tid: i32) -> Result<Arc<Thread>> {
    let target = find_thread(tid.unsigned_abs()).ok_or(Errno::ESRCH)?;
    match pid {
        Some(pid) if i64::from(target.process().pid()) != i64::from(pid) => Err(Errno::ESRCH),
        _ => Ok(target),
    }
}

async fn rt_sigqueueinfo(thread: &Thread, pid: i32, signal: i32, info: Pointer) -> Result<u64> {
    let info = queued_info(thread, pid, signal, info).await?;
    let number = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    let target = find_process(number).ok_or(Errno::ESRCH)?;
    may_signal(thread, &target, signal)?;
    if let Some(info) = info {
        send_to_process(&target, info)?;
    }
    Ok(0)
}

async fn rt_tgsigqueueinfo(thread: &Thread, pid: i32, tid: i32, signal: i32, info: Pointer) -> Result<u64> {
    if pid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let info = queued_info(thread, pid, signal, info).await?;
    let target = target_thread(Some(pid), tid)?;
    may_signal(thread, target.process(), signal)?;
    if let Some(info) = info {
        send_to_thread(&target, info)?;
    }
    Ok(0)
}

/// Reads the information a program queues; `None` for signal 0, which only tests.
async fn queued_info(thread: &Thread, pid: i32, signal: i32, info: Pointer) -> Result<Option<SigInfo>> {
    let mut bytes = [0; SIGINFO_BYTES];
    copy_in(&*thread.space(), info.0, &mut bytes).await?;
    let code = i32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    // Nobody may pretend to be the kernel, or kill(2), towards another process.
    if (code >= 0 || code == SI_TKILL) && i64::from(thread.process().pid()) != i64::from(pid) {
        return Err(Errno::EPERM);
    }
    if signal == 0 {
        return Ok(None);
    }
    bytes[..4].copy_from_slice(&signal.to_le_bytes());
    Ok(Some(SigInfo::from_program(Signal::new(signal)?, &bytes)))
}
