//! A call: a message and the reply to it.

use alloc::sync::Arc;

use base::caller::Caller;
use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait};

use super::direct::Want;
use super::receive::{Incoming, Outcome};
use super::send::Outgoing;
use super::{Endpoint, Options};
use crate::table::{Access, HandleTable};

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
    #[allow(clippy::too_many_arguments, reason = "both directions of a message")]
    pub async fn call(
        &self,
        caller: &Caller,
        access: &Access,
        outgoing: &mut Outgoing<'_>,
        table: &Arc<HandleTable>,
        incoming: &mut dyn Incoming,
        deadline: Option<Instant>,
        cloexec: bool,
    ) -> Result<Outcome> {
        let place = self.wait_directly(Want::Reply).ok_or(Errno::EAGAIN)?;
        outgoing.call = Some(place.ticket);
        self.send_until(caller, access, outgoing, deadline).await?;
        let calls = &self.pair.ends[self.side].calls;
        let mut over = None;
        loop {
            let seen = calls.observe();
            match self.take_reply(place.ticket, caller, table, cloexec, incoming) {
                Err(Errno::EAGAIN) => {}
                Err(Errno::EFAULT) => {
                    incoming.fault_in().await?;
                    executor::yield_point().await;
                    continue;
                }
                result => return result,
            }
            if self.readiness().contains(Events::HUP) {
                return Err(Errno::EPIPE);
            }
            match over {
                Some(Reason::Signal) => return Err(Errno::EINTR),
                Some(_) => return Err(Errno::ETIMEDOUT),
                None => {}
            }
            let reason = calls.wait(seen, Wait::interruptible().until(deadline)).await;
            access.check()?;
            over = matches!(reason, Reason::Signal | Reason::Timeout).then_some(reason);
        }
    }

    /// The reply with this number, if it is there. One that is too large becomes the head of the queue.
    fn take_reply(
        &self,
        ticket: u32,
        caller: &Caller,
        table: &Arc<HandleTable>,
        cloexec: bool,
        incoming: &mut dyn Incoming,
    ) -> Result<Outcome> {
        if self.pair.state.lock().sides[self.side].given(ticket).is_none() {
            return Err(Errno::EAGAIN);
        }
        let result = self.try_receive_by(ticket, caller, table, cloexec, incoming);
        if !matches!(result, Ok(Outcome::Message(_)) | Err(Errno::EFAULT)) {
            let returned = {
                let mut state = self.pair.state.lock();
                let own = &mut state.sides[self.side];
                let message = own.given(ticket).and_then(|direct| direct.message.take());
                let has_room = own.open && own.queue.len() <= super::QUEUE_MESSAGES;
                match message {
                    Some(message) if has_room => {
                        own.queue.push_front(message);
                        true
                    }
                    _ => false,
                }
            };
            if returned {
                self.announce();
            }
        }
        result
    }

    /// As [`send`](Self::send), until `deadline` at most.
    async fn send_until(
        &self,
        caller: &Caller,
        access: &Access,
        outgoing: &mut Outgoing<'_>,
        deadline: Option<Instant>,
    ) -> Result<()> {
        let mut over = None;
        loop {
            let seen = self.writers().observe();
            match (self.try_send(caller, outgoing, Options::empty()), over) {
                (Err(Errno::EAGAIN), Some(Reason::Signal)) => return Err(Errno::EINTR),
                (Err(Errno::EAGAIN), Some(_)) => return Err(Errno::ETIMEDOUT),
                (Err(Errno::EAGAIN), None) => {}
                (result, _) => return result,
            }
            if let Some(handles) = &mut outgoing.handles {
                handles.renew();
            }
            let renew_at = outgoing.handles.as_ref().and_then(|handles| handles.renew_at());
            let until = match (deadline, renew_at) {
                (Some(deadline), Some(renew_at)) => Some(deadline.min(renew_at)),
                (deadline, renew_at) => deadline.or(renew_at),
            };
            let wait = Wait::interruptible().events(Events::OUT).until(until);
            let reason = self.writers().wait(seen, wait).await;
            access.check()?;
            over = match reason {
                Reason::Signal => Some(reason),
                Reason::Timeout if until == deadline => Some(reason),
                _ => None,
            };
        }
    }
}
