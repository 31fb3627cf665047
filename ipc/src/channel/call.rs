//! A call: a message and the reply to it.

use alloc::sync::Arc;

use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Reason, Seq, Wait, WaitSource};

use super::direct::{Place, Want};
use super::receive::{Incoming, Next, Outcome, Receiver};
use super::send::Outgoing;
use super::{Endpoint, Options};

/// Bytes of a message that the kernel writes the number of the call to.
pub const CALL_PREFIX_BYTES: usize = 4;

impl Endpoint {
    /// Sends a message whose first four bytes the kernel replaces by a number with the top bit set, and waits
    /// for the message that begins with the same number. That one passes by the queue.
    ///
    /// A drop, or an error before the message was sent, leaves nothing sent; a reply that comes after the
    /// caller went is queued like any message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send) and [`receive`](Self::receive); `ETIMEDOUT`; `EPIPE` when an end is closed before
    /// the reply; `EAGAIN` when too many calls wait for replies here.
    pub async fn call(
        self: &Arc<Self>,
        receiver: Receiver<'_>,
        outgoing: &mut Outgoing<'_>,
        incoming: &mut dyn Incoming,
        deadline: Option<Instant>,
    ) -> Result<Outcome> {
        let place = self.begin_call(outgoing)?;
        self.send_until(receiver.caller, receiver.access, outgoing, Options::empty(), deadline).await?;
        place.reply(None, receiver, incoming, deadline).await
    }

    /// Makes `outgoing` a call, and a place for the reply to it. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when too many calls wait for replies here.
    #[inline]
    pub fn begin_call(self: &Arc<Self>, outgoing: &mut Outgoing<'_>) -> Result<Place> {
        let place = self.wait_directly(Want::Reply).ok_or(Errno::EAGAIN)?;
        outgoing.call = Some(place.ticket);
        Ok(place)
    }

    /// Woken when a reply has come for a call at this end.
    #[must_use]
    pub fn calls(&self) -> &WaitSource {
        &self.pair.ends[self.here()].calls
    }

    /// The reply with this number, if it is there. One that is too large becomes the head of the queue.
    fn take_reply<I: Incoming + ?Sized>(
        &self,
        ticket: u32,
        receiver: Receiver<'_>,
        incoming: &mut I,
    ) -> Result<Outcome> {
        match self.try_receive_by(Next::Reply(ticket), receiver, incoming) {
            Ok(Outcome::End) => Err(Errno::EPIPE),
            result @ (Ok(Outcome::Message(_)) | Err(Errno::EAGAIN | Errno::EFAULT)) => result,
            refused => {
                self.queue_reply(ticket);
                refused
            }
        }
    }

    /// Makes a reply that its caller cannot take the head of the queue.
    #[cold]
    fn queue_reply(&self, ticket: u32) {
        let lost = {
            let mut state = self.pair.state.lock();
            let own = &mut state.sides[self.here()];
            let Some(message) = own.given(ticket).and_then(|direct| direct.message.take()) else { return };
            own.put_first(message)
        };
        match lost {
            None => self.announce(),
            // Its handles end outside the lock.
            Some(message) => drop(message),
        }
    }
}

impl Place {
    /// Waits for the reply to the call that was sent with this place; `tried` when it is known that nothing was
    /// there then. A drop leaves the place; a reply that comes when it was given up is queued like any message.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::receive`]; `ETIMEDOUT`; `EPIPE` when an end is closed before the reply.
    pub async fn reply<I: Incoming + ?Sized>(
        &self,
        mut tried: Option<Seq>,
        receiver: Receiver<'_>,
        incoming: &mut I,
        deadline: Option<Instant>,
    ) -> Result<Outcome> {
        let calls = self.endpoint.calls();
        let mut over = None;
        loop {
            let seen = match tried.take() {
                Some(seen) => seen,
                None => {
                    let seen = calls.observe();
                    match self.endpoint.take_reply(self.ticket, receiver, incoming) {
                        Err(Errno::EAGAIN) => {}
                        Err(Errno::EFAULT) => {
                            incoming.fault_in().await?;
                            executor::yield_point().await;
                            continue;
                        }
                        result => return result,
                    }
                    match over {
                        Some(Reason::Signal) => return Err(Errno::EINTR),
                        Some(_) => return Err(Errno::ETIMEDOUT),
                        None => seen,
                    }
                }
            };
            let reason = calls.wait(seen, Wait::interruptible().until(deadline)).await;
            receiver.access.check()?;
            over = matches!(reason, Reason::Signal | Reason::Timeout).then_some(reason);
        }
    }
}
