//! Receives, from their first look on, and calls that have sent their question: what is left of them is to wait.
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
use ipc::channel::{Attempt, Awaited, Options, Outcome, Place, Receiver};

use super::channel_message::{Buffers, Header, finish, finish_now};
use crate::declare::Tried;
use crate::mm::AddressSpace;
use crate::thread::resources::Resources;

/// The rest of a receive or a call, as its try left it. A thread has one such place, so that a call in flight is
/// written once and stays where it is.
#[derive(Default)]
pub struct Rest {
    /// Where the message goes.
    pub(super) header: Header,
    /// Exec closes the handles that arrive.
    pub(super) options: Options,
    /// Nothing was there then.
    pub(super) seen: Seq,
    /// Until when a reply may come.
    pub(super) deadline: Option<Instant>,
    held: Option<Held>,
}

/// What a call that waits keeps alive.
pub(super) struct Held {
    pub(super) resources: Arc<Resources>,
    /// The handle in whose name.
    pub(super) access: Access,
    /// Of a call, where the reply comes; nothing of a receive.
    pub(super) reply: Option<Place>,
}

impl Rest {
    /// Keeps `held` for the call whose rest this is; there is none before.
    #[inline(always)]
    pub(super) fn hold(&mut self, held: Held) {
        let before = self.held.replace(held);
        debug_assert!(before.is_none(), "one call at a time");
        // As a case of its own: so nothing is looked through when there is nothing to drop.
        if let Some(before) = before {
            drop(before);
        }
    }

    /// The first look of a receive. It waits if there is nothing yet; otherwise it is over, or starts over with its
    /// future because a page is missing or it wants a message handed over.
    #[inline(always)]
    pub(super) fn try_now(&mut self) -> Tried {
        let Some(waiting) = self.waiting() else { return Tried::Nothing };
        let tried = match waiting.attempt(None) {
            Attempt::Nothing(seen) if !self.options.contains(Options::RENDEZVOUS) => {
                self.seen = seen;
                return Tried::Waits;
            }
            Attempt::Nothing(_) | Attempt::MissingPage => Tried::Nothing,
            Attempt::Ended(Ok(outcome)) => finish_now(waiting.memory(), self.header.at, outcome).into(),
            Attempt::Ended(Err(error)) => Tried::Done(Err(error)),
        };
        self.clear();
        tried
    }

    /// The call that waits.
    #[inline(always)]
    pub(crate) fn waiting(&self) -> Option<Waiting<'_>> {
        let held = self.held.as_ref()?;
        let awaited = match &held.reply {
            Some(place) => Awaited::reply(place),
            None => Awaited::message(held.access.object().channel()?),
        };
        Some(Waiting { rest: self, held, awaited })
    }

    /// The call is over.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.held = None;
    }
}

/// A receive or call that waits.
#[derive(Clone, Copy)]
pub(crate) struct Waiting<'a> {
    rest: &'a Rest,
    held: &'a Held,
    awaited: Awaited<'a>,
}

impl Resources {
    /// A process that receives through `access`.
    #[inline]
    pub(super) fn receiver<'a>(&'a self, access: &'a Access, options: Options) -> Receiver<'a> {
        Receiver { caller: &self.caller, access, table: &self.handles, options }
    }
}

impl<'a> Waiting<'a> {
    #[inline]
    fn receiver(self) -> Receiver<'a> {
        self.held.resources.receiver(&self.held.access, self.rest.options)
    }

    #[inline]
    fn memory(self) -> &'a AddressSpace {
        &self.held.resources.space
    }

    /// One look, after a wait that ended with `after`.
    #[inline(always)]
    fn attempt(self, after: Option<Reason>) -> Attempt {
        let mut buffers = Buffers::new(self.memory(), &self.rest.header);
        self.awaited.attempt(self.receiver(), &mut buffers, after)
    }

    /// The first wait.
    #[inline(always)]
    pub(crate) fn wait(self) -> WaitFuture<'a> {
        self.wait_since(self.rest.seen)
    }

    #[inline(always)]
    fn wait_since(self, seen: Seq) -> WaitFuture<'a> {
        self.awaited.source().wait(seen, Awaited::wait(self.rest.deadline))
    }

    /// Waits in `wait` for the message and takes it.
    #[inline(always)]
    pub(crate) fn receive<'w>(self, wait: Pin<&'w mut WaitFuture<'a>>) -> Receiving<'w, 'a> {
        Receiving { waiting: self, wait, baton: Baton::new(), slow: None }
    }

    /// The end of a receive for which a page was missing.
    async fn get(self, mut baton: Baton<'_>) -> Result<u64> {
        let memory = self.memory();
        let mut buffers = Buffers::new(memory, &self.rest.header);
        let outcome = self.awaited.get(self.receiver(), &mut buffers, self.rest.deadline).await?;
        if matches!(outcome, Outcome::Message(_)) {
            baton.used();
        }
        finish(memory, self.rest.header.at, outcome).await
    }
}

/// The future of a receive or call that waits: its output is what that answers.
///
/// Only the wait itself is a future of its own: between two waits everything is done in one go, unless a page is
/// missing. A drop leaves the message where it is; a reply to a call is queued then like any message.
pub(crate) struct Receiving<'w, 'a> {
    waiting: Waiting<'a>,
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
        if let Err(error) = waiting.held.access.check() {
            return Some(Err(error));
        }
        let outcome = match waiting.attempt(Some(reason)) {
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
        let (memory, at) = (waiting.memory(), waiting.rest.header.at);
        let result = finish_now(memory, at, outcome);
        if result.is_none() {
            self.slow = Some(Box::pin(finish(memory, at, outcome)));
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
