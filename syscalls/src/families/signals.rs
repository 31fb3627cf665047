//! Signals: actions, masks, sending, and waiting for them.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use base::memory::UserMemory;
use base::{Errno, Result, machine};
use executor::pollwait::{Reason, Wait};

use crate::declare;
use crate::declare::Pointer;
use crate::machine::{UserContext, user_machine};
use crate::process::Process;
use crate::process::table::{all_processes, find_process, find_thread, group_members};
use crate::signal::action::{Action, ActionFlags};
use crate::signal::altstack::STACK_T_BYTES;
use crate::signal::frame::{self, FRAME_BYTES, MARKER_BYTES};
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
    async 13 => rt_sigaction(signal: i32, action: Pointer, old: Pointer, size: usize);
    async 14 => rt_sigprocmask(how: i32, set: Pointer, old: Pointer, size: usize);
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

async fn rt_sigaction(thread: &Thread, signal: i32, new: Pointer, old: Pointer, size: usize) -> Result<u64> {
    check_mask_size(size)?;
    let space = thread.space();
    let new = if new.is_null() { None } else { Some(read_words::<4>(&*space, new.0).await?) };
    let signal = Signal::new(signal)?;
    if new.is_some() && SignalSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let actions = thread.process().actions();
    let previous = match new {
        None => actions.get(signal),
        Some([handler, flags, restorer, mask]) => {
            // Unknown flags are dropped, so that a program that reads them back sees what is supported.
            let flags = ActionFlags::from_bits_truncate(flags);
            let mask = SignalSet(mask).minus(SignalSet::UNBLOCKABLE);
            let action = Action { handler, flags, restorer, mask };
            let previous = actions.set(signal, action);
            if action.ignores(signal) {
                discard(thread.process(), SignalSet::of(&[signal]));
                recompute(thread);
            }
            previous
        }
    };
    if !old.is_null() {
        let words = [previous.handler, previous.flags.bits(), previous.restorer, previous.mask.0];
        write_words(&*space, old.0, &words).await?;
    }
    Ok(0)
}

async fn rt_sigprocmask(thread: &Thread, how: i32, set: Pointer, old: Pointer, size: usize) -> Result<u64> {
    check_mask_size(size)?;
    let space = thread.space();
    let before = thread.signals().mask();
    if !set.is_null() {
        let [bits] = read_words::<1>(&*space, set.0).await?;
        let given = SignalSet(bits);
        let mask = match how {
            SIG_BLOCK => before.union(given),
            SIG_UNBLOCK => before.minus(given),
            SIG_SETMASK => given,
            _ => return Err(Errno::EINVAL),
        };
        let _ = set_mask(thread, mask);
    }
    if !old.is_null() {
        write_words(&*space, old.0, &[before.0]).await?;
    }
    Ok(0)
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
        Some(machine().now() + span + Duration::from_nanos(nanoseconds))
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
    match restore_frame(thread, context).await {
        Ok(()) => {}
        Err(_) => force(thread, SigInfo::fault(Signal::SIGSEGV, SEGV_MAPERR, 0)),
    }
    Ok(context.registers.rax)
}

async fn restore_frame(thread: &Thread, context: &mut UserContext) -> Result<()> {
    let space = thread.space();
    let memory: &dyn UserMemory = &*space;
    // The handler's `ret` popped the return address.
    let at = context.registers.rsp.wrapping_sub(8);
    let mut bytes = [0; FRAME_BYTES];
    copy_in(memory, at, &mut bytes).await?;
    let restored = frame::decode(&bytes, &context.registers);
    if restored.image == 0 {
        user_machine().discard_fpu(context);
        context.fpu.reset();
    } else {
        let mut image = alloc::vec![0; context.fpu.image().len() + MARKER_BYTES];
        copy_in(memory, restored.image, &mut image).await?;
        image.truncate(image.len() - MARKER_BYTES);
        user_machine().discard_fpu(context);
        context.fpu.set_image(&image)?;
    }
    context.registers = restored.registers;
    context.full_restore = true;
    let _ = set_mask(thread, restored.mask);
    // As Linux: a stack that can't be installed is no reason to fail.
    if let Ok(stack) = thread.signals().alternate().replace(&restored.stack, context.registers.rsp) {
        thread.signals().set_alternate(stack);
    }
    Ok(())
}

/// How often kill(2) looks at a group again for members that were forked meanwhile.
const MOST_LOOKS: usize = 64;

fn kill(thread: &Thread, pid: i32, signal: i32) -> Result<u64> {
    let info = |number| {
        let signal = Signal::new(number)?;
        Ok(SigInfo::from_process(signal, SI_USER, thread.process().pid(), thread.credentials().uid))
    };
    let targets = || match pid {
        1.. => find_process(pid.unsigned_abs()).into_iter().collect(),
        0 => group_members(thread.process().group()),
        -1 => everyone_but(thread.process()),
        _ => group_members(pid.unsigned_abs()),
    };
    if pid == i32::MIN {
        return Err(Errno::ESRCH);
    }
    let mut outcome = Err(Errno::ESRCH);
    let mut reached = BTreeSet::new();
    // A member that forks between the look and its signal leaves a child that must not escape: the group
    // is looked at again until nobody new is in it.
    for _ in 0..MOST_LOOKS {
        let new: Vec<_> = targets().into_iter().filter(|target| reached.insert(target.pid())).collect();
        if new.is_empty() {
            break;
        }
        if signal != 0 {
            Signal::new(signal)?;
        }
        for target in new {
            let sent = match may_signal(thread, &target, signal) {
                Ok(()) if signal == 0 => Ok(()),
                Ok(()) => send_to_process(&target, info(signal)?),
                Err(error) => Err(error),
            };
            // One success is a success; without one, the last refusal is told.
            outcome = if outcome.is_ok() { outcome } else { sent.map(|()| 0) };
        }
    }
    outcome
}

/// What kill(-1) reaches: every process but the first and the caller's own.
fn everyone_but(own: &Process) -> alloc::vec::Vec<Arc<Process>> {
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
    if signal != 0 {
        Signal::new(signal)?;
    }
    may_signal(thread, target.process(), signal)?;
    if signal != 0 {
        let signal = Signal::new(signal)?;
        let sender = thread.process().pid();
        send_to_thread(&target, SigInfo::from_process(signal, SI_TKILL, sender, thread.credentials().uid))?;
    }
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
