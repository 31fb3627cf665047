//! Waiting for a message: one loop for receives and for calls.

use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Baton, Events, Reason, Seq, Wait, WaitSource};

use super::direct::Place;
use super::receive::{Incoming, Next, Outcome, Receiver};
use super::{Endpoint, Options};

/// What somebody waits for at an end.
#[derive(Clone, Copy)]
pub struct Awaited<'a> {
    endpoint: &'a Endpoint,
    next: Next,
}

/// What came of one look for it.
pub enum Attempt {
    /// The receive is over.
    Ended(Result<Outcome>),
    /// It is not there yet: to be waited for since then.
    Nothing(Seq),
    /// It is there, and a page of the receiver's is not.
    MissingPage,
}

impl<'a> Awaited<'a> {
    /// The next message that comes to `endpoint`.
    #[inline]
    #[must_use]
    pub fn message(endpoint: &'a Endpoint) -> Awaited<'a> {
        Awaited { endpoint, next: Next::Head }
    }

    /// The message that is handed over at `place`, or else the next one.
    pub(super) fn handed_over(place: &'a Place) -> Awaited<'a> {
        Awaited { endpoint: &place.endpoint, next: Next::HandedOver(place.ticket) }
    }

    /// The reply to the call that was sent with `place`. When the place is dropped, a reply that comes is queued like
    /// any message.
    #[inline]
    #[must_use]
    pub fn reply(place: &'a Place) -> Awaited<'a> {
        Awaited { endpoint: &place.endpoint, next: Next::Reply(place.ticket) }
    }

    /// Woken when it may be there.
    #[inline(always)]
    #[must_use]
    pub fn source(self) -> &'a WaitSource {
        match self.next {
            Next::Reply(_) => self.endpoint.calls(),
            _ => self.endpoint.readers(),
        }
    }

    /// How to wait for it.
    #[inline]
    #[must_use]
    pub fn wait(deadline: Option<Instant>) -> Wait {
        Wait::interruptible().events(Events::IN).until(deadline)
    }

    /// One look, after a wait that ended with `after`. What came together with a signal or the deadline wins.
    ///
    /// # Errors
    ///
    /// Of the receive: as [`Endpoint::receive`]; of a call: `ETIMEDOUT`, and `EPIPE` when an end was closed.
    #[inline(always)]
    pub fn attempt<I: Incoming + ?Sized>(
        self,
        receiver: Receiver<'_>,
        incoming: &mut I,
        after: Option<Reason>,
    ) -> Attempt {
        let seen = self.source().observe();
        let result = match self.next {
            Next::Reply(ticket) => self.endpoint.take_reply(ticket, receiver, incoming),
            next => self.endpoint.try_receive_by(next, receiver, incoming),
        };
        match result {
            Err(Errno::EFAULT) => Attempt::MissingPage,
            Err(Errno::EAGAIN) if !receiver.options.contains(Options::NONBLOCK) => match after {
                Some(Reason::Signal) => Attempt::Ended(Err(Errno::EINTR)),
                Some(Reason::Timeout) => Attempt::Ended(Err(Errno::ETIMEDOUT)),
                _ => Attempt::Nothing(seen),
            },
            result => Attempt::Ended(result),
        }
    }

    /// Looks and waits until it is there. A drop, or an error, leaves it where it is.
    ///
    /// # Errors
    ///
    /// As [`attempt`](Self::attempt); `EFAULT` for memory that is not the program's; `EBADF` when the handle is revoked
    /// meanwhile.
    pub async fn get<I: Incoming + ?Sized>(
        self,
        receiver: Receiver<'_>,
        incoming: &mut I,
        deadline: Option<Instant>,
    ) -> Result<Outcome> {
        let mut after = None;
        // A wake that brought nothing is for the next who waits.
        let mut baton = Baton::new();
        loop {
            let seen = match self.attempt(receiver, incoming, after) {
                Attempt::Nothing(seen) => seen,
                Attempt::MissingPage => {
                    incoming.fault_in().await?;
                    executor::yield_point().await;
                    continue;
                }
                Attempt::Ended(result) => {
                    if matches!(result, Ok(Outcome::Message(_))) {
                        baton.used();
                    }
                    return result;
                }
            };
            after = Some(baton.wait(self.source(), seen, Self::wait(deadline)).await);
            receiver.access.check()?;
        }
    }
}
