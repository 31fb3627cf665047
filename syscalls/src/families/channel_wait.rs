//! Receives and calls that found nothing at their first try: what is left of them is to wait.
//!
//! They are the calls that wait most often, so they go on where the try ended: nothing is looked up or decoded
//! twice.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use base::Result;
use base::memory::BoxFuture;
use base::time::Instant;
use executor::pollwait::{Baton, Reason, Seq, WaitFuture};
use ipc::Access;
use ipc::channel::{Attempt, Awaited, Endpoint, Options, Outcome, Place, Receiver};

use super::channel_message::{Buffers, Header, finish, finish_now};
use crate::thread::resources::Resources;

/// The rest of a receive or a call.
pub struct Waiting {
    pub(super) resources: Arc<Resources>,
    /// The handle in whose name.
    pub(super) access: Access,
    /// Where the message goes.
    pub(super) header: Header,
    /// Exec closes the handles that arrive.
    pub(super) options: Options,
    /// Nothing was there then.
    pub(super) seen: Seq,
    pub(super) what: What,
}

/// What is waited for.
pub(super) enum What {
    /// The next message at this end.
    Message(Arc<Endpoint>),
    /// The reply to a call, where it comes and until when it may.
    Reply(Place, Option<Instant>),
}

impl Resources {
    /// A process that receives through `access`.
    #[inline]
    pub(super) fn receiver<'a>(&'a self, access: &'a Access, options: Options) -> Receiver<'a> {
        Receiver { caller: &self.caller, access, table: &self.handles, options }
    }
}

impl Waiting {
    #[inline]
    fn awaited(&self) -> (Awaited<'_>, Option<Instant>) {
        match &self.what {
            What::Message(endpoint) => (Awaited::message(endpoint), None),
            What::Reply(place, deadline) => (Awaited::reply(place), *deadline),
        }
    }

    /// The first wait.
    #[inline(always)]
    pub(crate) fn wait(&self) -> WaitFuture<'_> {
        self.wait_since(self.seen)
    }

    #[inline(always)]
    fn wait_since(&self, seen: Seq) -> WaitFuture<'_> {
        let (awaited, deadline) = self.awaited();
        awaited.source().wait(seen, Awaited::wait(deadline))
    }

    /// Waits in `wait` for the message and takes it.
    #[inline(always)]
    pub(crate) fn receive<'w, 'a>(&'a self, wait: Pin<&'w mut WaitFuture<'a>>) -> Receiving<'w, 'a> {
        Receiving { waiting: self, wait, baton: Baton::new(), slow: None }
    }

    /// The end of a receive for which a page was missing.
    async fn get(&self, mut baton: Baton<'_>) -> Result<u64> {
        let (awaited, deadline) = self.awaited();
        let memory = &*self.resources.space;
        let mut buffers = Buffers::new(memory, &self.header);
        let receiver = self.resources.receiver(&self.access, self.options);
        let outcome = awaited.get(receiver, &mut buffers, deadline).await?;
        if matches!(outcome, Outcome::Message(_)) {
            baton.used();
        }
        finish(memory, self.header.at, outcome).await
    }
}

/// The future of a receive or call that waits: its output is what that answers.
///
/// Only the wait itself is a future of its own: between two waits everything is done in one go, unless a page is
/// missing. A drop leaves the message where it is; the reply to a call is queued then like any message.
pub(crate) struct Receiving<'w, 'a> {
    waiting: &'a Waiting,
    wait: Pin<&'w mut WaitFuture<'a>>,
    baton: Baton<'a>,
    /// What is left when a page is missing. Boxed: what is rare is not to make every thread larger.
    slow: Option<BoxFuture<'a, Result<u64>>>,
}

impl Receiving<'_, '_> {
    /// One look after a wait; nothing when there is more to wait for.
    #[inline]
    fn look(&mut self, reason: Reason) -> Option<Result<u64>> {
        let waiting = self.waiting;
        if let Err(error) = waiting.access.check() {
            return Some(Err(error));
        }
        let memory = &*waiting.resources.space;
        let mut buffers = Buffers::new(memory, &waiting.header);
        let receiver = waiting.resources.receiver(&waiting.access, waiting.options);
        let outcome = match waiting.awaited().0.attempt(receiver, &mut buffers, Some(reason)) {
            Attempt::Ended(Ok(outcome)) => outcome,
            Attempt::Ended(Err(error)) => return Some(Err(error)),
            Attempt::Nothing(seen) => {
                self.baton.used();
                self.wait.set(waiting.wait_since(seen));
                return None;
            }
            Attempt::MissingPage => {
                self.slow = Some(Box::pin(waiting.get(core::mem::take(&mut self.baton))));
                return None;
            }
        };
        if matches!(outcome, Outcome::Message(_)) {
            self.baton.used();
        }
        let result = finish_now(memory, waiting.header.at, outcome);
        if result.is_none() {
            self.slow = Some(Box::pin(finish(memory, waiting.header.at, outcome)));
        }
        result
    }
}

impl Future for Receiving<'_, '_> {
    type Output = Result<u64>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<u64>> {
        let this = self.get_mut();
        loop {
            if let Some(slow) = &mut this.slow {
                return slow.as_mut().poll(context);
            }
            let Poll::Ready(reason) = this.wait.as_mut().poll(context) else { return Poll::Pending };
            this.baton.take_from(&this.wait);
            if let Some(result) = this.look(reason) {
                return Poll::Ready(result);
            }
        }
    }
}
