//! Receiving.

use alloc::sync::Arc;

use base::caller::Caller;
use base::fault::{self, Point};
use base::memory::BoxFuture;
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait};

use super::direct::Want;
use super::message::{HANDLES_PER_MESSAGE, Handles, Message};
use super::pair::Side;
use super::{Endpoint, Options};
use crate::object::NO_PID;
use crate::object::history::TransferEvent;
use crate::port::Signals;
use crate::stats::{Counter, bump};
use crate::table::landing::Landing;
use crate::table::{Access, HandleTable};

/// Sizes of a message, or of the room for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of payload.
    pub bytes: usize,
    /// Handles.
    pub handles: usize,
}

impl Sizes {
    /// True when a message of these sizes fits into `room`.
    #[must_use]
    pub fn fit(self, room: Sizes) -> bool {
        self.bytes <= room.bytes && self.handles <= room.handles
    }
}

/// Where a message goes.
pub trait Incoming: Send {
    /// How much it may be.
    fn room(&self) -> Sizes;

    /// Takes a message that fits: its payload and the numbers of its handles (-1 for one that was revoked).
    /// Called under the channel's lock, so it does not wait; it may be called again after it failed.
    ///
    /// # Errors
    ///
    /// `EFAULT` when a page is missing: [`fault_in`](Self::fault_in) brings it.
    fn deliver(&mut self, payload: &[u8], handles: &[i32]) -> Result<()>;

    /// Makes the page resident at which the last delivery stopped.
    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>>;
}

/// How a receive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A message of these sizes arrived.
    Message(Sizes),
    /// The next message needs this much room; it is still the next.
    TooSmall(Sizes),
    /// There is none, and there will be none.
    End,
}

/// What becomes of the handles of a message.
#[derive(Clone, Copy)]
enum Numbers<'a> {
    /// They get these, when there are as many.
    Landing(Option<&'a Landing<'a>>),
    /// They are dropped.
    Dropped,
}

/// What the channel's lock was held for.
enum Look {
    /// The message was delivered; its handles are to be installed.
    Taken(Sizes, Handles, [i32; HANDLES_PER_MESSAGE]),
    /// So many numbers are needed first.
    Needs(usize),
    Ended(Outcome),
}

/// The message that is next: one that was handed over, or the head of the queue.
fn next_message(own: &mut Side, ticket: u32) -> Option<&Message> {
    // Two looks, since a found borrow cannot be given up in between.
    if ticket != 0 && own.given(ticket).is_some() {
        return own.given(ticket).and_then(|direct| direct.message.as_deref());
    }
    own.queue.front().map(|message| &**message)
}

impl Endpoint {
    /// Receives a message now, whole or not at all.
    ///
    /// Its handles get their numbers before it is taken from the queue, so that a full table, a page that is
    /// missing or too little room lose nothing.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is none; `EFAULT` as the receiver says; `EMFILE` when its table is full; `ENOMEM`.
    pub fn try_receive(
        &self,
        caller: &Caller,
        table: &Arc<HandleTable>,
        cloexec: bool,
        incoming: &mut dyn Incoming,
    ) -> Result<Outcome> {
        self.try_receive_by(0, caller, table, cloexec, incoming)
    }

    pub(super) fn try_receive_by(
        &self,
        ticket: u32,
        caller: &Caller,
        table: &Arc<HandleTable>,
        cloexec: bool,
        incoming: &mut dyn Incoming,
    ) -> Result<Outcome> {
        let mut landing: Option<Landing<'_>> = None;
        loop {
            match self.look(ticket, Numbers::Landing(landing.as_ref()), incoming)? {
                Look::Ended(outcome) => return Ok(outcome),
                Look::Needs(count) => {
                    // The old numbers first, or a nearly full table would seem full.
                    drop(landing.take());
                    landing = Some(table.land(caller, count, cloexec)?);
                }
                Look::Taken(sizes, handles, numbers) => {
                    if let Some(landing) = &mut landing {
                        settle(landing, caller, handles, &numbers);
                    }
                    return Ok(Outcome::Message(sizes));
                }
            }
        }
    }

    /// Receives the payload of a message now, and drops its handles: what a read of a descriptor does.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is none; `EFAULT` as the receiver says.
    pub fn try_receive_bytes(&self, caller: &Caller, incoming: &mut dyn Incoming) -> Result<Outcome> {
        match self.look(0, Numbers::Dropped, incoming)? {
            Look::Ended(outcome) => Ok(outcome),
            Look::Taken(sizes, handles, _) => {
                let pid = caller.pid.cast_signed();
                for flight in handles.into_iter().flatten() {
                    flight.record(TransferEvent::Deliver, NO_PID, pid);
                }
                Ok(Outcome::Message(sizes))
            }
            // Nothing needs numbers here.
            Look::Needs(_) => Err(Errno::EAGAIN),
        }
    }

    /// One hold of the channel's lock, and the wakes that follow from it.
    fn look(&self, ticket: u32, numbers: Numbers<'_>, incoming: &mut dyn Incoming) -> Result<Look> {
        fault::check(Point::IpcChannelRecv)?;
        let (look, remains, binding, spent) = {
            let mut state = self.pair.state.lock();
            let hang_up = state.sides.iter().any(|side| !side.open);
            let own = &mut state.sides[self.side];
            let Some(message) = next_message(own, ticket) else {
                if !hang_up {
                    return Err(Errno::EAGAIN);
                }
                bump(Counter::RecvEof);
                return Ok(Look::Ended(Outcome::End));
            };
            let sizes = Sizes { bytes: message.payload().len(), handles: message.handle_count() };
            if !sizes.fit(incoming.room()) {
                return Ok(Look::Ended(Outcome::TooSmall(sizes)));
            }
            let landing = match numbers {
                Numbers::Landing(landing)
                    if sizes.handles > 0
                        && landing.is_none_or(|landing| landing.count() != sizes.handles) =>
                {
                    return Ok(Look::Needs(sizes.handles));
                }
                Numbers::Landing(landing) => landing,
                Numbers::Dropped => None,
            };
            let numbers = core::array::from_fn(|index| match landing {
                Some(landing) if !message.is_revoked(index) => landing.number(index),
                _ => -1,
            });
            incoming.deliver(message.payload(), numbers.get(..sizes.handles).unwrap_or_default())?;
            let taken = match own.given(ticket) {
                Some(direct) if ticket != 0 => direct.message.take(),
                _ => own.queue.pop_front(),
            };
            let Some(mut block) = taken else { return Err(Errno::EAGAIN) };
            let handles = block.detach();
            let spent = own.recycle(block);
            let remains = !own.queue.is_empty();
            let binding = if remains { own.binding.clone() } else { None };
            (Look::Taken(sizes, handles, numbers), remains, binding, spent)
        };
        drop(spent);
        self.pair.ends[self.there()].writers.wake_one(Events::OUT | Events::WRNORM, Reason::Data);
        if remains {
            self.readers().wake_one(Events::IN | Events::RDNORM, Reason::Data);
        }
        if let Some(binding) = binding {
            binding.signal(Signals::READABLE);
        }
        Ok(look)
    }

    /// Receives a message, waiting for it unless the options say otherwise. `access` is the handle in whose
    /// name. A drop, or an error, leaves the message where it is.
    ///
    /// # Errors
    ///
    /// As [`try_receive`](Self::try_receive), but `EFAULT` only for memory that is not the program's; `EINTR`;
    /// `EBADF` when the handle is revoked meanwhile.
    pub async fn receive(
        &self,
        caller: &Caller,
        access: &Access,
        table: &Arc<HandleTable>,
        incoming: &mut dyn Incoming,
        options: Options,
    ) -> Result<Outcome> {
        let place = if options - Options::CLOEXEC == Options::RENDEZVOUS {
            self.wait_directly(Want::Any(incoming.room()))
        } else {
            None
        };
        let ticket = place.as_ref().map_or(0, |place| place.ticket);
        let mut interrupted = false;
        let mut woken = false;
        let result = loop {
            let seen = self.readers().observe();
            let cloexec = options.contains(Options::CLOEXEC);
            match self.try_receive_by(ticket, caller, table, cloexec, incoming) {
                Err(Errno::EAGAIN) if options.contains(Options::NONBLOCK) => break Err(Errno::EAGAIN),
                Err(Errno::EAGAIN) if interrupted => break Err(Errno::EINTR),
                Err(Errno::EAGAIN) => {}
                Err(Errno::EFAULT) => match incoming.fault_in().await {
                    Ok(()) => {
                        executor::yield_point().await;
                        continue;
                    }
                    Err(error) => break Err(error),
                },
                result => break result,
            }
            let reason = self.readers().wait(seen, Wait::interruptible().events(Events::IN)).await;
            interrupted = reason == Reason::Signal;
            woken = !interrupted;
            if let Err(error) = access.check() {
                break Err(error);
            }
        };
        // A wake that brought nothing is for the next who waits.
        if woken && !matches!(result, Ok(Outcome::Message(_))) {
            self.readers().pass_on();
        }
        result
    }
}

/// Puts the handles on the numbers that the receiver was told.
fn settle(landing: &mut Landing<'_>, caller: &Caller, handles: Handles, numbers: &[i32]) {
    let pid = caller.pid.cast_signed();
    for (flight, number) in handles.into_iter().zip(numbers) {
        let Some(flight) = flight else { continue };
        flight.record(TransferEvent::Deliver, NO_PID, pid);
        if *number < 0 {
            landing.skip();
            continue;
        }
        // Revoked since it was delivered: the number that was told names nothing.
        let _ = landing.receive(caller, flight);
    }
}
