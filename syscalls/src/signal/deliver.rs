//! Delivering signals on the way back to ring 3.
//!
//! ```text
//!   take the next unblocked signal
//!     | ignored            -> take the next
//!     | default: stop      -> park until continued, take the next
//!     | default: end       -> the process exits
//!     | handler            -> settle the interrupted call, build a frame, take the next
//!   none left              -> settle the interrupted call, put a borrowed mask back
//! ```

use alloc::sync::Arc;

use base::{Errno, fault};
use executor::pollwait::Wait;

use crate::machine::UserContext;
use crate::process::Process;
use crate::process::ending::ExitStatus;
use crate::process::report::Halt;
use crate::process::table;
use crate::signal::action::{Action, ActionFlags, SIG_DFL, SIG_IGN};
use crate::signal::child::tell_of_change;
use crate::signal::handler::call_handler;
use crate::signal::info::SEGV_MAPERR;
use crate::signal::send::{end_process, force, is_first, recompute, set_mask, take_unblocked};
use crate::signal::set::DefaultAction;
use crate::signal::stop::GroupStop;
use crate::signal::{SigInfo, Signal};
use crate::thread::attention::Reasons;
use crate::thread::{Thread, strace};

/// Bytes of the `syscall` instruction, to step back over when a call restarts.
const SYSCALL_BYTES: u64 = 2;
/// Number of restart_syscall(2).
const RESTART_SYSCALL: u64 = 219;

/// A syscall that a signal may have interrupted: its number, and its error if that is a restart code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The number it was called with.
    pub number: u64,
    /// One of the four restart codes.
    pub error: Errno,
}

/// Handles everything that waits for the thread: stops, signals, a borrowed mask. When it returns, the
/// registers are those to go to ring 3 with, unless the thread is dying.
///
/// Dropping the future leaves signals that were taken undelivered: only a dying thread is dropped here.
pub async fn deliver(thread: &Arc<Thread>, context: &mut UserContext, mut interrupted: Option<Interrupted>) {
    let _spared = fault::spare();
    loop {
        if thread.attention().is_dying() {
            return;
        }
        park_while_stopped(thread).await;
        let Some(info) = take_next(thread) else { break };
        let signal = info.signal;
        strace::signal(thread, &info);
        let action = thread.process().actions().take_for_delivery(signal);
        match action.handler {
            SIG_IGN => {}
            SIG_DFL => default_action(thread, signal),
            _ => {
                if let Some(call) = interrupted.take() {
                    settle_for_handler(context, call, action.flags);
                }
                if call_handler(thread, context, &info, &action).await.is_err() {
                    frame_failed(thread, signal);
                }
            }
        }
    }
    if let Some(call) = interrupted {
        restart(context, call);
    }
    if let Some(mask) = thread.signals().take_borrowed() {
        // A signal that only the borrowed mask let in has been delivered above.
        let _ = set_mask(thread, mask);
    }
}

fn take_next(thread: &Arc<Thread>) -> Option<SigInfo> {
    let blocked = thread.signals().mask();
    let next = take_unblocked(thread, blocked);
    if next.is_none() {
        recompute(thread);
    }
    next
}

fn default_action(thread: &Arc<Thread>, signal: Signal) {
    let process = thread.process();
    match signal.default_action() {
        DefaultAction::Ignore | DefaultAction::Continue => {}
        _ if is_first(process) => {}
        DefaultAction::Stop => {
            // Job-control stops are lost on an orphaned group: nobody could continue it.
            if signal == Signal::SIGSTOP || !table::in_orphaned_group(process) {
                begin_stop(thread, signal);
            }
        }
        DefaultAction::Terminate => end_process(process, ExitStatus::Signal { signal, core: false }),
        DefaultAction::Core => end_process(process, ExitStatus::Signal { signal, core: true }),
    }
}

/// Edge 1 of [`super::stop`].
fn begin_stop(thread: &Arc<Thread>, signal: Signal) {
    let process = thread.process();
    if process.signals().stop.lock().begin(signal) {
        table::for_each_thread(process, |other| {
            other.attention().raise(Reasons::STOP);
            if other.tid() != thread.tid() {
                other.interrupt();
            }
        });
    }
}

/// Edge 2: parks here as long as the group is stopped.
async fn park_while_stopped(thread: &Arc<Thread>) {
    let process = thread.process();
    let mut parked_for = None;
    loop {
        let seen = process.signals().continued.observe();
        let stopping = {
            let mut stop = process.signals().stop.lock();
            match stop.signal {
                Some(signal) if !thread.attention().is_dying() => {
                    if parked_for != Some(stop.generation) {
                        stop.parked += 1;
                        parked_for = Some(stop.generation);
                    }
                    Some((signal, completes(process, &mut stop, signal)))
                }
                _ => None,
            }
        };
        let Some((signal, complete)) = stopping else { return };
        if complete {
            tell_of_change(process, Halt::Stopped(signal));
        }
        let _ = process.signals().continued.wait(seen, Wait::uninterruptible()).await;
    }
}

/// A thread that leaves its group while the group is stopping may be the last one waited for.
pub fn thread_left(thread: &Arc<Thread>) {
    let process = thread.process();
    let complete = {
        let mut stop = process.signals().stop.lock();
        stop.signal.filter(|&signal| completes(process, &mut stop, signal))
    };
    if let Some(signal) = complete {
        tell_of_change(process, Halt::Stopped(signal));
    }
}

/// True when the stop is complete with this; its report is left then, under the lock of the stop, so that it replaces
/// that of a continuation before it and is replaced by that of one after it.
fn completes(process: &Process, stop: &mut GroupStop, signal: Signal) -> bool {
    let complete = stop.completes(process.live_threads());
    if complete {
        process.report().leave(Halt::Stopped(signal));
    }
    complete
}

/// Without a handler the interrupted call starts again.
fn restart(context: &mut UserContext, call: Interrupted) {
    let registers = &mut context.registers;
    registers.rip = registers.rip.wrapping_sub(SYSCALL_BYTES);
    registers.rax = if call.error == Errno::ERESTART_RESTARTBLOCK { RESTART_SYSCALL } else { call.number };
    context.full_restore = true;
}

/// With a handler the call restarts after it, or answers `EINTR`.
fn settle_for_handler(context: &mut UserContext, call: Interrupted, flags: ActionFlags) {
    let again = match call.error {
        Errno::ERESTARTNOINTR => true,
        Errno::ERESTARTSYS => flags.contains(ActionFlags::RESTART),
        _ => false,
    };
    if again {
        restart(context, call);
    } else {
        context.registers.rax = Errno::EINTR.as_return_value();
    }
}

/// A frame that cannot be written is a segmentation fault; a second one ends the process.
fn frame_failed(thread: &Arc<Thread>, signal: Signal) {
    if signal == Signal::SIGSEGV {
        let actions = thread.process().actions();
        let action = actions.get(signal);
        let _ = actions.set(signal, Action { handler: SIG_DFL, ..action });
    }
    force(thread, SigInfo::fault(Signal::SIGSEGV, SEGV_MAPERR, 0));
}
