//! Sending.

use alloc::boxed::Box;
use alloc::sync::Arc;

use base::caller::Caller;
use base::fault::{self, Point};
use base::time::Instant;
use base::trace::channel::{Op, Wake};
use base::{Errno, Result};
use executor::pollwait::{Baton, Events, Reason, Wait};

use super::message::{Large, Message, Payload};
use super::pair::Spent;
use super::{Endpoint, Options, QUEUE_MESSAGES};
use crate::collector;
use crate::lineage::CapNode;
use crate::port::{Binding, Signals};
use crate::stats::{Counter, bump};
use crate::table::Access;
use crate::table::reserve::Reserved;
use crate::trace;

/// A message to send. The handles are taken out when it is queued.
pub struct Outgoing<'a> {
    /// The bytes.
    pub payload: Payload<'a>,
    /// The handles.
    pub handles: Option<Reserved>,
    /// The number of a call, which replaces the first four bytes.
    pub call: Option<u32>,
}

impl<'a> Outgoing<'a> {
    /// A message without handles.
    #[inline]
    #[must_use]
    pub fn new(payload: Payload<'a>) -> Outgoing<'a> {
        Outgoing { payload, handles: None, call: None }
    }

    /// A message of `bytes` without handles.
    #[must_use]
    pub fn bytes(bytes: &'a [u8]) -> Outgoing<'a> {
        Outgoing::new(Payload::Bytes(bytes))
    }

    /// A message of `bytes` with `handles`.
    #[must_use]
    pub fn with_handles(bytes: &'a [u8], handles: Reserved) -> Outgoing<'a> {
        Outgoing { handles: Some(handles), ..Outgoing::bytes(bytes) }
    }
}

/// How a message went.
enum Way {
    Queued,
    Replied,
    HandedOver,
}

/// Why a message did not go, and its block.
struct Refused(Errno, Box<Message>);

impl Endpoint {
    /// Sends a message now, whole or not at all. What was sent is gone from `outgoing`.
    ///
    /// # Errors
    ///
    /// `EINVAL` when a handle names the end that would receive it; `EPIPE` when an end is closed; `EAGAIN` when
    /// the queue is full; `ENOMEM`; `EFAULT` when a page of the payload is missing; `EBADF` when the capability `by`, in
    /// whose name it is sent, was revoked.
    #[inline]
    pub fn try_send(
        &self,
        caller: &Caller,
        by: Option<&CapNode>,
        outgoing: &mut Outgoing<'_>,
        options: Options,
    ) -> Result<()> {
        fault::check(Point::IpcChannelSend)?;
        if outgoing.handles.as_ref().is_some_and(|handles| self.would_hold_itself(handles)) {
            return Err(Errno::EINVAL);
        }
        // Copied outside the lock; whether that worked is asked last.
        let large = Large::for_payload(caller, &outgoing.payload);
        let (sent, binding, spent) = {
            let mut state = self.pair.state.lock();
            // Under the lock: who finds nothing in the queue after a revocation will find nothing of the revoked.
            if by.is_some_and(CapNode::is_revoked) {
                return Err(Errno::EBADF);
            }
            if !state.are_open() {
                bump(Counter::SendEpipe);
                self.note_end(Op::SendEpipe, Wake::Close, &state);
                return Err(Errno::EPIPE);
            }
            let peer = &mut state.sides[self.there()];
            // A reply needs no room in the queue, but only its first bytes tell that it is one.
            if peer.queue.len() >= QUEUE_MESSAGES && peer.waiting.is_empty() {
                return Err(Errno::EAGAIN);
            }
            let block = peer.block(caller)?;
            match peer.put(block, large, outgoing, options, self) {
                Ok(way) => (Ok(way), peer.binding.clone(), Spent::default()),
                Err(Refused(error, block)) => (Err(error), None, peer.recycle(block)),
            }
        };
        spent.settle();
        self.tell(sent?, outgoing, binding);
        Ok(())
    }

    /// True when a handle that is to be sent names the end that would receive it.
    fn would_hold_itself(&self, handles: &Reserved) -> bool {
        handles.capabilities().any(|sent| sent.object().channel().is_some_and(|end| self.sends_to(end)))
    }

    /// The other end has a message: whoever waits for that learns of it. No lock is held.
    #[inline]
    fn tell(&self, way: Way, outgoing: &mut Outgoing<'_>, binding: Option<Arc<Binding>>) {
        let there = &*self.peer;
        // The numbers of the handles that were sent become free.
        let carries = outgoing.handles.as_mut().is_some_and(Reserved::release);
        if carries && there.owners.may_be_unreachable() {
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
    }

    /// Sends a message, waiting for room unless the options say otherwise. `access` is the handle in whose
    /// name it is sent. A drop, or an error, leaves nothing sent and every handle where it was.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send); `EINTR`; `EBADF` when the handle is revoked meanwhile, or its turn to wait came
    /// so late that what it was to send was swept.
    pub async fn send(
        &self,
        caller: &Caller,
        access: &Access,
        outgoing: &mut Outgoing<'_>,
        options: Options,
    ) -> Result<()> {
        self.send_until(caller, access, outgoing, options, None).await
    }

    /// As [`send`](Self::send), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); `ETIMEDOUT`.
    pub(super) async fn send_until(
        &self,
        caller: &Caller,
        access: &Access,
        outgoing: &mut Outgoing<'_>,
        options: Options,
        deadline: Option<Instant>,
    ) -> Result<()> {
        let mut over = None;
        // The room that it was woken for, if it does not take it, is for the next who waits.
        let mut baton = Baton::new();
        loop {
            let seen = self.writers().observe();
            match (self.try_send(caller, Some(access.node()), outgoing, options), over) {
                (Ok(()), _) => {
                    baton.used();
                    return Ok(());
                }
                (Err(Errno::EAGAIN), _) if options.contains(Options::NONBLOCK) => return Err(Errno::EAGAIN),
                (Err(Errno::EAGAIN), Some(Reason::Signal)) => return Err(Errno::EINTR),
                (Err(Errno::EAGAIN), Some(_)) => return Err(Errno::ETIMEDOUT),
                (Err(Errno::EAGAIN), None) => {}
                (Err(error), _) => return Err(error),
            }
            if let Some(handles) = &mut outgoing.handles {
                handles.record();
            }
            let renew_at = outgoing.handles.as_ref().and_then(Reserved::renew_at);
            let until = [deadline, renew_at].into_iter().flatten().min();
            let wait = Wait::interruptible().events(Events::OUT).until(until);
            let reason = baton.wait(self.writers(), seen, wait).await;
            access.check()?;
            outgoing.handles.as_mut().map_or(Ok(()), Reserved::renew)?;
            over = match reason {
                Reason::Signal => Some(reason),
                Reason::Timeout if until == deadline => Some(reason),
                _ => None,
            };
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
    /// Fills a block and puts it where it belongs; it comes back when that cannot be.
    #[inline]
    fn put(
        &mut self,
        mut block: Box<Message>,
        large: Result<Option<Large>>,
        outgoing: &mut Outgoing<'_>,
        options: Options,
        by: &Endpoint,
    ) -> core::result::Result<Way, Refused> {
        let filled = large.and_then(|large| block.fill(&outgoing.payload, large));
        if let Err(error) = filled {
            return Err(Refused(error, block));
        }
        if let Some(number) = outgoing.call {
            block.set_prefix(number.to_le_bytes());
        }
        if let Some(handles) = &outgoing.handles {
            block.promise(handles.count());
        }
        let is_full = self.queue.len() >= QUEUE_MESSAGES;
        let direct = self.direct_for(&block, options.contains(Options::RENDEZVOUS));
        if direct.is_none() && is_full {
            block.promise(0);
            return Err(Refused(Errno::EAGAIN, block));
        }
        if let Some(handles) = &mut outgoing.handles {
            handles.commit(block.handles_mut());
        }
        trace::sent(&mut block, direct.is_some(), by);
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
