//! A call: a message and the reply to it.

use alloc::sync::Arc;

use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::WaitSource;

use super::awaited::Awaited;
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
        Awaited::reply(&place).get(receiver, incoming, deadline).await
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
        &self.own.calls
    }

    /// The reply with this number, if it is there. One that is too large becomes the head of the queue.
    #[inline]
    pub(super) fn take_reply<I: Incoming + ?Sized>(
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
