//! Sending.

use alloc::boxed::Box;

use base::caller::Caller;
use base::fault::{self, Point};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait};

use super::message::{Large, Message};
use super::{Endpoint, Options, QUEUE_MESSAGES};
use crate::collector;
use crate::object::NO_PID;
use crate::object::history::TransferEvent;
use crate::port::Signals;
use crate::stats::{Counter, bump};
use crate::table::Access;
use crate::table::reserve::Reserved;

/// The bytes of a message to send.
pub enum Payload<'a> {
    /// Still the sender's, at most [`MESSAGE_BYTES`](super::MESSAGE_BYTES).
    Bytes(&'a [u8]),
    /// In a block already.
    Block(Box<Message>),
    /// Sent.
    Gone,
}

/// A message to send: payload and handles that are taken out of it when it is queued.
pub struct Outgoing<'a> {
    /// The bytes.
    pub payload: Payload<'a>,
    /// The handles.
    pub handles: Option<Reserved>,
    /// The number of a call, which replaces the first four bytes.
    pub call: Option<u32>,
}

impl<'a> Outgoing<'a> {
    /// A message of `bytes` without handles.
    #[must_use]
    pub fn bytes(bytes: &'a [u8]) -> Outgoing<'a> {
        Outgoing { payload: Payload::Bytes(bytes), handles: None, call: None }
    }

    /// A message of `bytes` with `handles`.
    #[must_use]
    pub fn with_handles(bytes: &'a [u8], handles: Reserved) -> Outgoing<'a> {
        Outgoing { payload: Payload::Bytes(bytes), handles: Some(handles), call: None }
    }

    fn large(&self, caller: &Caller) -> Result<Option<Large>> {
        match &self.payload {
            Payload::Bytes(bytes) => Large::for_payload(caller, bytes),
            _ => Ok(None),
        }
    }
}

/// How a message went.
enum Way {
    Queued,
    Replied,
    HandedOver,
}

impl Endpoint {
    /// Sends a message now, whole or not at all. What was sent is gone from `outgoing`.
    ///
    /// # Errors
    ///
    /// `EINVAL` when a handle names the end that would receive it; `EPIPE` when an end is closed; `EAGAIN` when
    /// the queue is full; `ENOMEM`.
    pub fn try_send(&self, caller: &Caller, outgoing: &mut Outgoing<'_>, options: Options) -> Result<()> {
        fault::check(Point::IpcChannelSend)?;
        if let Some(handles) = &outgoing.handles
            && handles
                .capabilities()
                .any(|sent| sent.object().channel().is_some_and(|end| self.sends_to(end)))
        {
            return Err(Errno::EINVAL);
        }
        let large = outgoing.large(caller);
        let (way, binding) = {
            let mut state = self.pair.state.lock();
            if state.sides.iter().any(|side| !side.open) {
                bump(Counter::SendEpipe);
                return Err(Errno::EPIPE);
            }
            let peer = &mut state.sides[self.there()];
            // A reply needs no room in the queue, but only its block tells that it is one.
            let is_call_reply = !peer.waiting.is_empty();
            if peer.queue.len() >= QUEUE_MESSAGES && !is_call_reply {
                return Err(Errno::EAGAIN);
            }
            let block = match core::mem::replace(&mut outgoing.payload, Payload::Gone) {
                Payload::Block(block) => block,
                Payload::Bytes(bytes) => match large.and_then(|large| Ok((peer.block(caller)?, large))) {
                    Ok((mut block, large)) => {
                        block.fill(bytes, large);
                        block
                    }
                    Err(error) => {
                        outgoing.payload = Payload::Bytes(bytes);
                        return Err(error);
                    }
                },
                Payload::Gone => return Err(Errno::EINVAL),
            };
            match peer.put(block, outgoing, caller, options) {
                Ok(way) => (way, peer.binding.clone()),
                Err(block) => {
                    outgoing.payload = Payload::Block(block);
                    return Err(Errno::EAGAIN);
                }
            }
        };
        let there = &self.pair.ends[self.there()];
        // The numbers of the handles that were sent become free.
        if outgoing.handles.take().is_some_and(|handles| handles.count() > 0) && there.owners.are_in_flight()
        {
            collector::request();
        }
        match way {
            Way::Queued => {
                there.readers.wake_one(Events::IN | Events::RDNORM, Reason::Data);
                if let Some(binding) = binding {
                    binding.signal(Signals::READABLE);
                }
            }
            Way::Replied => {
                there.calls.wake_all(Events::IN, Reason::Data);
            }
            Way::HandedOver => {
                // Those who wait beside the one who got it look and wait on.
                there.readers.wake_all(Events::IN | Events::RDNORM, Reason::Data);
            }
        }
        Ok(())
    }

    /// Sends a message, waiting for room unless the options say otherwise. `access` is the handle in whose
    /// name it is sent. A drop, or an error, leaves nothing sent and every handle where it was.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send); `EINTR`; `EBADF` when the handle is revoked meanwhile.
    pub async fn send(
        &self,
        caller: &Caller,
        access: &Access,
        outgoing: &mut Outgoing<'_>,
        options: Options,
    ) -> Result<()> {
        let mut interrupted = false;
        loop {
            let seen = self.writers().observe();
            match self.try_send(caller, outgoing, options) {
                Err(Errno::EAGAIN) if options.contains(Options::NONBLOCK) => return Err(Errno::EAGAIN),
                Err(Errno::EAGAIN) if interrupted => return Err(Errno::EINTR),
                Err(Errno::EAGAIN) => {}
                result => return result,
            }
            let renew_at = outgoing.handles.as_ref().and_then(Reserved::renew_at);
            let wait = Wait::interruptible().events(Events::OUT).until(renew_at);
            let reason = self.writers().wait(seen, wait).await;
            if let Err(error) = access.check() {
                self.writers().pass_on();
                return Err(error);
            }
            if let (Reason::Timeout, Some(handles)) = (reason, &mut outgoing.handles) {
                handles.renew();
            }
            interrupted = reason == Reason::Signal;
        }
    }

    /// Tells everybody at this end that there is something to receive.
    pub(super) fn announce(&self) {
        self.readers().wake_one(Events::IN | Events::RDNORM, Reason::Data);
        let binding = self.pair.state.lock().sides[self.side].binding.clone();
        if let Some(binding) = binding {
            binding.signal(Signals::READABLE);
        }
    }
}

impl super::pair::Side {
    /// Puts a filled block where it belongs; it comes back when there is no room for it.
    fn put(
        &mut self,
        mut block: Box<Message>,
        outgoing: &mut Outgoing<'_>,
        caller: &Caller,
        options: Options,
    ) -> core::result::Result<Way, Box<Message>> {
        if let Some(number) = outgoing.call {
            block.set_prefix(number.to_le_bytes());
        }
        let count = outgoing.handles.as_ref().map_or(0, Reserved::count);
        block.promise(count);
        let rendezvous = options.contains(Options::RENDEZVOUS);
        let is_full = self.queue.len() >= QUEUE_MESSAGES;
        let direct = self.direct_for(&block, rendezvous);
        if direct.is_none() && is_full {
            return Err(block);
        }
        if let Some(handles) = &mut outgoing.handles {
            block.attach(handles.commit(), count);
            let pid = caller.pid.cast_signed();
            block.flights().for_each(|flight| flight.record(TransferEvent::Enqueue, pid, NO_PID));
        }
        match direct {
            Some(direct) => {
                bump(Counter::Handovers);
                let is_reply = direct.want == super::direct::Want::Reply;
                direct.message = Some(block);
                Ok(if is_reply { Way::Replied } else { Way::HandedOver })
            }
            None => {
                self.queue.push_back(block);
                Ok(Way::Queued)
            }
        }
    }
}
