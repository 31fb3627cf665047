//! Polls what a thread waits for to its end, or until the thread has to die.
//!
//! The operation is looked at before the kill, so that whatever it completed is complete. What is
//! dropped here is undone by its own drop, on the thread's own CPU, outside of any lock.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::machine::{UserContext, user_machine};
use crate::thread::Thread;
use crate::thread::clock::Share;
use crate::thread::dispatch::BlockedCall;

/// The future; its output is `None` when the thread was killed first.
pub struct Drive<'a, F> {
    thread: &'a Thread,
    /// What is published while it waits, unless it is the call in the registers of `context`.
    shown: Option<&'a BlockedCall>,
    /// Whose floating-point state is saved before another CPU may run the thread.
    context: Option<&'a mut UserContext>,
    future: F,
    waited: bool,
    /// The call in the registers is published while it waits.
    publishes: bool,
}

impl<'a, F> Drive<'a, F> {
    /// Drives `future` on behalf of `thread`.
    pub fn new(thread: &'a Thread, future: F) -> Self {
        Drive { thread, shown: None, context: None, future, waited: false, publishes: false }
    }

    /// Saves the floating-point state of `context` when it waits.
    #[must_use]
    pub fn saving(mut self, context: &'a mut UserContext) -> Self {
        self.context = Some(context);
        self
    }

    /// Shows the call in the registers to those who watch while it waits. The context is being
    /// [saved](Self::saving).
    #[must_use]
    pub fn publishing(mut self) -> Self {
        self.publishes = true;
        self
    }

    /// Shows `call` to those who watch while it waits: one that has the context itself.
    #[must_use]
    pub fn publishing_as(mut self, call: &'a BlockedCall) -> Self {
        self.shown = Some(call);
        self
    }

    fn finish(&mut self) {
        if self.waited {
            self.thread.published().clear();
            self.thread.clock().waited();
        }
    }
}

impl<F: Future + Unpin> Future for Drive<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.waited {
            this.thread.resumed();
        }
        if let Poll::Ready(output) = Pin::new(&mut this.future).poll(cx) {
            this.finish();
            return Poll::Ready(Some(output));
        }
        if this.thread.attention().is_dying() {
            this.finish();
            return Poll::Ready(None);
        }
        if let Some(context) = this.context.as_deref_mut() {
            user_machine().save_fpu(context);
            if this.publishes {
                this.thread.published().set(&BlockedCall::of(&context.registers));
            }
        }
        if let Some(call) = this.shown {
            this.thread.published().set(call);
        }
        this.thread.usage().count_switch(true);
        let share = if this.waited { Share::System } else { Share::Mixed };
        this.thread.clock().pause(executor::poll_ends(), share);
        this.waited = true;
        Poll::Pending
    }
}
