//! The calls of a thread that somebody watches: the long way round syscall entry.
//!
//! One look at the attention word sends a call here, whoever watches, so that a thread that nobody watches
//! pays for that look alone.

use base::Result;

use super::Thread;
use super::attention::Reasons;
use super::dispatch::{Call, answer, dispatch, go_on};
use super::strace;
use crate::machine::UserContext;

/// Makes the call in the registers under the eyes of those who watch. `None` when the thread was killed
/// meanwhile.
///
/// Dropping the future drops the call in flight, with what that leaves behind.
pub(super) async fn call(thread: &Thread, context: &mut UserContext) -> Option<Result<u64>> {
    if thread.attention().watched().contains(Reasons::STRACE) {
        return strace::call(thread, context).await;
    }
    match answer(thread, &context.registers) {
        Call::Done(result) => Some(result),
        Call::Await(syscall) => dispatch(thread, context, syscall).await,
        Call::Wait(syscall, waiting) => go_on(thread, context, syscall, waiting).await,
    }
}
