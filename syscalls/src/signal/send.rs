//! Sending a signal: who it concerns, whether it is kept, and who is woken.
//!
//! The effects that sending has on stopping happen here, at once and whatever the receiver blocks:
//! `SIGCONT` forgets pending stops and continues the process, a stop signal forgets a pending
//! `SIGCONT`, and `SIGKILL` ends the process without passing through a queue.

use alloc::sync::Arc;

use base::caller::Resource;
use base::charge::Charge;
use base::{Errno, Result};
use executor::pollwait::{Events, Reason};

use crate::process::Process;
use crate::process::ending::ExitStatus;
use crate::process::report::Halt;
use crate::process::table::{self, find_thread};
use crate::signal::action::SIG_DFL;
use crate::signal::child::tell_of_change;
use crate::signal::info::{Detail, SI_USER};
use crate::signal::pending::{Added, Pending};
use crate::signal::set::DefaultAction;
use crate::signal::{SigInfo, Signal, SignalSet};
use crate::thread::Thread;
use crate::thread::attention::Reasons;

/// Sends a signal to a process: any thread that accepts it may take it.
///
/// # Errors
///
/// `EAGAIN` when a queued real-time signal finds no room under `RLIMIT_SIGPENDING`. A signal that is
/// ignored, or pending already, is no error.
pub fn send_to_process(process: &Arc<Process>, info: SigInfo) -> Result<()> {
    send(process, None, info).map(drop)
}

/// Sends a signal to one thread.
///
/// # Errors
///
/// As [`send_to_process`].
pub fn send_to_thread(thread: &Arc<Thread>, info: SigInfo) -> Result<()> {
    send(thread.process(), Some(thread), info).map(drop)
}

/// Sends the signal of a timer; true when it is pending now, or was already.
#[must_use]
pub fn send_from_timer(process: &Arc<Process>, target: Option<&Arc<Thread>>, info: SigInfo) -> bool {
    send(process, target, info) == Ok(Sent::Pending)
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// It waits to be taken, or has had its effect.
    Pending,
    /// Nobody will take it.
    Ignored,
}

fn send(process: &Arc<Process>, target: Option<&Arc<Thread>>, info: SigInfo) -> Result<Sent> {
    let signal = info.signal;
    act_on_stops(process, signal);
    if signal == Signal::SIGKILL {
        if !is_first(process) {
            end_process(process, ExitStatus::Signal { signal, core: false });
        }
        return Ok(Sent::Pending);
    }
    if is_ignored(process, target, signal) {
        return Ok(Sent::Ignored);
    }
    let charge = match charge_for(process, &info) {
        Ok(charge) => Some(charge),
        // A timer would not learn that a bare signal was its own: it tries again instead.
        Err(_) if matches!(info.detail, Detail::Timer { .. }) => return Err(Errno::EAGAIN),
        // A standard signal is delivered without its information; so is one from kill(2), and one that has none. Any
        // other is refused: O_ASYNC then sends SIGIO instead.
        Err(_) if !signal.is_realtime() || info.code == SI_USER || info.detail == Detail::None => None,
        Err(_) => return Err(Errno::EAGAIN),
    };
    let added = match target {
        Some(thread) => thread.signals().pending.lock().add(info, charge),
        None => process.signals().pending.lock().add(info, charge),
    };
    if added == Added::New {
        notify(process, target, signal);
    }
    Ok(Sent::Pending)
}

/// Forces a signal that the thread caused itself: a fault. Blocked or ignored, it kills.
pub fn force(thread: &Thread, info: SigInfo) {
    let signal = info.signal;
    let actions = thread.process().actions();
    let action = actions.get(signal);
    let blocked = thread.signals().mask().contains(signal);
    if blocked || action.ignores(signal) {
        let _ = actions.set(signal, super::Action { handler: SIG_DFL, ..action });
        let mask = thread.signals().mask().minus(SignalSet::of(&[signal]));
        thread.signals().store_mask(mask);
    }
    // A fault leaves no choice: without room for its information it is delivered bare.
    let charge = charge_for(thread.process(), &info).ok();
    let _ = thread.signals().pending.lock().add(info, charge);
    thread.attention().raise(Reasons::SIGNAL);
}

/// Raises or clears the thread's attention after its mask or a queue changed. Only the thread
/// itself calls this, and it does so after every signal that it took.
pub fn recompute(thread: &Thread) {
    let gate = thread.signals().pending.lock();
    thread.attention().clear(Reasons::SIGNAL);
    thread.clear_interrupt();
    if !unblocked(thread, &gate, thread.signals().mask()).is_empty() {
        thread.attention().raise(Reasons::SIGNAL);
    }
    // Read after the clear: who raises a reason interrupts the thread afterwards.
    if thread.attention().get().intersects(Reasons::SIGNAL | Reasons::STOP | Reasons::DIE) {
        thread.interrupt();
    }
}

/// Makes a thread look at its signals, if it has one to take.
fn wake(thread: &Thread) {
    let gate = thread.signals().pending.lock();
    if !unblocked(thread, &gate, thread.signals().refused()).is_empty() {
        thread.attention().raise(Reasons::SIGNAL);
        thread.interrupt();
    }
}

/// Signals that the thread would take now.
#[must_use]
pub fn deliverable(thread: &Thread) -> SignalSet {
    let gate = thread.signals().pending.lock();
    unblocked(thread, &gate, thread.signals().mask())
}

fn unblocked(thread: &Thread, own: &Pending, blocked: SignalSet) -> SignalSet {
    let shared = thread.process().signals().pending.lock().set();
    own.set().union(shared).minus(blocked)
}

/// Replaces the calling thread's mask, and hands shared signals that it now blocks to a thread that
/// accepts them. Returns the old mask.
pub fn set_mask(thread: &Thread, mask: SignalSet) -> SignalSet {
    let old = thread.signals().mask();
    thread.signals().store_mask(mask);
    let newly_blocked = mask.minus(old);
    if !newly_blocked.is_empty() {
        let orphaned = thread.process().signals().pending.lock().set().and(newly_blocked);
        for signal in orphaned.iter() {
            wake_a_thread(thread.process(), signal);
        }
    }
    recompute(thread);
    old
}

/// Replaces the calling thread's mask until its way out of the syscall puts the old one back: for
/// sigsuspend(2), ppoll(2) and their like. A signal that only this mask lets in is delivered first.
pub fn borrow_mask(thread: &Thread, mask: SignalSet) {
    let old = set_mask(thread, mask);
    thread.signals().borrow(old);
    thread.attention().raise(Reasons::WORK);
}

/// Puts a borrowed mask back now, unless the call was interrupted: a call that succeeds leaves signals that
/// only its mask let in where they are.
pub fn return_mask_unless_interrupted<T>(thread: &Thread, result: &Result<T>) {
    if !matches!(result, Err(Errno::EINTR))
        && let Some(mask) = thread.signals().take_borrowed()
    {
        let _ = set_mask(thread, mask);
    }
}

/// Ends a process: decides its status unless that is decided, and has every thread leave.
pub fn end_process(process: &Arc<Process>, status: ExitStatus) {
    let _ = process.ending().begin(status);
    table::raise_on_all(process, Reasons::DIE);
    // Stopped threads wait where no signal reaches them.
    process.signals().continued.wake_all(Events::IN, Reason::Close);
}

/// The first process takes only signals that it has a handler for, and no `SIGKILL`.
pub(super) fn is_first(process: &Process) -> bool {
    process.pid() == 1
}

fn act_on_stops(process: &Arc<Process>, signal: Signal) {
    if signal == Signal::SIGCONT {
        discard(process, SignalSet::STOPS);
        resume(process);
    } else if SignalSet::STOPS.contains(signal) {
        discard(process, SignalSet::of(&[Signal::SIGCONT]));
    }
}

/// Edge 3 of [`super::stop`]: lets a stopped process go on, and tells its parent.
pub fn resume(process: &Arc<Process>) {
    let was_complete = {
        let mut stop = process.signals().stop.lock();
        let Some((_, was_complete)) = stop.end() else { return };
        if was_complete {
            // Under the lock: the process may be stopped again before its parent is told of this.
            process.report().leave(Halt::Continued);
        }
        was_complete
    };
    table::for_each_thread(process, |thread| thread.attention().clear(Reasons::STOP));
    if process.signals().is_stopped() {
        // A thread that had not parked has begun the next stop meanwhile.
        table::for_each_thread(process, |thread| {
            thread.attention().raise(Reasons::STOP);
            thread.interrupt();
        });
    }
    process.signals().continued.wake_all(Events::IN, Reason::Data);
    if was_complete {
        tell_of_change(process, Halt::Continued);
    }
}

/// Forgets pending signals of a process and of its threads.
pub fn discard(process: &Arc<Process>, set: SignalSet) {
    process.signals().pending.lock().discard(set);
    table::for_each_thread(process, |thread| thread.signals().pending.lock().discard(set));
}

/// Forgets what the timers of `thread` and its process have sent: execve(2).
pub fn discard_timers(thread: &Thread) {
    thread.process().signals().pending.lock().discard_timers();
    thread.signals().pending.lock().discard_timers();
}

/// Linux drops an ignored signal when it is sent, unless the receiver blocks it: a blocked one is
/// kept, because the action may change before it is unblocked.
fn is_ignored(process: &Arc<Process>, target: Option<&Arc<Thread>>, signal: Signal) -> bool {
    let blocked = match target {
        Some(thread) => thread.signals().mask(),
        None => find_thread(process.pid()).map_or(SignalSet::EMPTY, |leader| leader.signals().mask()),
    };
    if blocked.contains(signal) {
        return false;
    }
    let action = process.actions().get(signal);
    // The first process takes only what it has a handler for.
    action.ignores(signal) || (is_first(process) && action.handler == SIG_DFL)
}

fn charge_for(process: &Arc<Process>, info: &SigInfo) -> Result<Charge> {
    let limit = process.limits().soft(Resource::PendingSignals);
    if info.signal.is_realtime() && process.signals().queued() as u64 >= limit {
        return Err(Errno::EAGAIN);
    }
    Charge::new(process.account(), Pending::ENTRY_BYTES)
}

/// After a signal was queued: ends the process if that is what it does, or wakes who takes it.
fn notify(process: &Arc<Process>, target: Option<&Arc<Thread>>, signal: Signal) {
    process.signals().source().wake_all(Events::IN, Reason::Data);
    match target {
        Some(thread) => {
            if accepts(thread, signal) {
                fatal_or_wake(process, thread, signal);
            }
        }
        None => wake_a_thread(process, signal),
    }
}

/// Wakes one thread that accepts the signal, the leader first.
fn wake_a_thread(process: &Arc<Process>, signal: Signal) {
    let mut chosen = None;
    table::for_each_thread(process, |thread| {
        if chosen.is_none() && accepts(thread, signal) {
            chosen = Some(thread.clone());
        }
    });
    if let Some(thread) = chosen {
        fatal_or_wake(process, &thread, signal);
    }
}

fn accepts(thread: &Thread, signal: Signal) -> bool {
    !thread.signals().refused().contains(signal) && !thread.attention().is_dying()
}

/// A signal that ends the process does so now, not when its thread next looks: even if the thread is
/// stopped or waits where no signal interrupts it.
fn fatal_or_wake(process: &Arc<Process>, thread: &Arc<Thread>, signal: Signal) {
    let action = process.actions().get(signal);
    let fatal = action.handler == SIG_DFL
        && !is_first(process)
        && !thread.signals().mask().contains(signal)
        && matches!(signal.default_action(), DefaultAction::Terminate | DefaultAction::Core);
    if fatal && process.signals().stop.lock().signal.is_none() {
        let core = signal.default_action() == DefaultAction::Core;
        end_process(process, ExitStatus::Signal { signal, core });
        return;
    }
    wake(thread);
}

/// Takes a pending signal of `wanted`, whether it is blocked or not: for those who wait for signals
/// instead of handling them. The caller calls [`recompute`] afterwards.
#[must_use]
pub fn take_matching(thread: &Thread, wanted: SignalSet) -> Option<SigInfo> {
    take_unblocked(thread, SignalSet(!wanted.0))
}

/// Takes the next pending signal that is not in `blocked`. A timer whose signal it is goes on.
pub(super) fn take_unblocked(thread: &Thread, blocked: SignalSet) -> Option<SigInfo> {
    let process = thread.process();
    let own = thread.signals().pending.lock().take(blocked);
    let mut info = own.or_else(|| process.signals().pending.lock().take(blocked))?;
    process.timers().signal_taken(&mut info);
    Some(info)
}
