//! The calls of a thread that somebody watches: the long way round syscall entry.
//!
//! One look at the attention word sends a call here, whoever watches, so that a thread that nobody watches
//! pays for that look alone.

use base::trace::{self, Classes, EventKind};
use base::{Errno, Result};

use super::Thread;
use super::attention::Reasons;
use super::dispatch::{Call, answer, dispatch, go_on};
use super::strace;
use crate::families::channel_wait::Rest;
use crate::machine::UserContext;
use crate::process::table;

/// Makes the call in the registers under the eyes of those who watch. `None` when the thread was killed
/// meanwhile.
///
/// Dropping the future drops the call in flight, with what that leaves behind.
pub(super) async fn call(thread: &Thread, context: &mut UserContext) -> Option<Result<u64>> {
    let number = context.registers.rax;
    let [first, second, ..] = context.registers.arguments();
    trace::event(EventKind::SyscallEnter, || (0, [number, first, second]));
    let result = if thread.attention().watched().contains(Reasons::STRACE) {
        strace::call(thread, context).await
    } else {
        plain(thread, context).await
    };
    trace::event(EventKind::SyscallExit, || {
        let value = match result {
            Some(Ok(value)) => value,
            Some(Err(error)) => error.as_return_value(),
            None => Errno::EINTR.as_return_value(),
        };
        (u32::from(result.is_none()), [number, value, 0])
    });
    result
}

async fn plain(thread: &Thread, context: &mut UserContext) -> Option<Result<u64>> {
    let mut rest = Rest::default();
    match answer(thread, &context.registers, &mut rest) {
        Call::Done(result) => Some(result),
        Call::Await(syscall) => dispatch(thread, context, syscall).await,
        Call::Wait(syscall) => go_on(thread, context, syscall, &mut rest).await,
    }
}

/// What a thread is watched for from its birth.
pub(super) fn at_birth() -> Reasons {
    let mut reasons = Reasons::empty();
    reasons.set(Reasons::STRACE, strace::is_enabled());
    reasons.set(Reasons::TRACE, trace::is_on(Classes::SYSCALL));
    reasons
}

/// Begins or ends the recording of system calls, as the trace classes say, for the threads that there are. Those to
/// come look for themselves.
pub fn follow_classes() {
    let on = trace::is_on(Classes::SYSCALL);
    for process in table::all_processes() {
        table::for_each_thread(&process, |thread| {
            if on {
                thread.attention().raise(Reasons::TRACE);
            } else {
                thread.attention().clear(Reasons::TRACE);
            }
        });
    }
}
