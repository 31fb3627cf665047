//! Receiving.

use alloc::boxed::Box;
use alloc::sync::Arc;

use base::caller::Caller;
use base::fault::{self, Point};
use base::memory::BoxFuture;
use base::sync::SpinGuard;
use base::trace::channel::{Op, Wake};
use base::{Errno, Result, machine};
use executor::pollwait::{Events, Reason};

use super::awaited::Awaited;
use super::direct::Want;
use super::message::{HANDLES_PER_MESSAGE, Message};
use super::pair::{PairState, Side, Spent};
use super::{Endpoint, Options};
use crate::lineage::CapNode;
use crate::object::NO_PID;
use crate::object::history::TransferEvent;
use crate::port::Signals;
use crate::stats::{Counter, bump};
use crate::table::landing::Landing;
use crate::table::{Access, HandleTable};
use crate::trace;

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

/// Who receives, and how.
#[derive(Clone, Copy)]
pub struct Receiver<'a> {
    /// The process.
    pub caller: &'a Caller,
    /// The handle in whose name.
    pub access: &'a Access,
    /// Where handles go.
    pub table: &'a Arc<HandleTable>,
    /// The options.
    pub options: Options,
}

impl Receiver<'_> {
    /// True when exec closes the handles that arrive.
    #[inline]
    pub(super) fn cloexec(&self) -> bool {
        self.options.contains(Options::CLOEXEC)
    }
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
    /// A message without handles was delivered.
    Taken(Sizes),
    /// The message in this block was delivered; its handles are to be installed.
    Carries(Sizes, Box<Message>, Marks),
    /// So many numbers are needed first.
    Needs(usize),
    Ended(Outcome),
}

/// Which handles of a message were revoked when it was delivered, a bit for each: they have no number.
type Marks = u8;

/// Which message is the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The head of the queue.
    Head,
    /// The one that was handed over to the direct receiver with this ticket, or else the head of the queue.
    HandedOver(u32),
    /// The reply to the call with this ticket, and no other.
    Reply(u32),
}

impl Next {
    fn ticket(self) -> Option<u32> {
        match self {
            Next::Head => None,
            Next::HandedOver(ticket) | Next::Reply(ticket) => Some(ticket),
        }
    }

    #[inline]
    fn peek(self, own: &mut Side) -> Option<&Message> {
        // Two looks, since a found borrow cannot be given up in between.
        if let Some(ticket) = self.ticket()
            && (matches!(self, Next::Reply(_)) || own.given(ticket).is_some())
        {
            return own.given(ticket)?.message.as_deref();
        }
        own.queue.front().map(|message| &**message)
    }

    /// Takes what [`peek`](Self::peek) found.
    #[inline]
    fn take(self, own: &mut Side) -> Option<Box<Message>> {
        if let Some(ticket) = self.ticket()
            && let Some(direct) = own.given(ticket)
        {
            return direct.message.take();
        }
        own.queue.pop_front()
    }
}

/// The numbers that the handles of `message` get, and which of them are revoked.
fn numbers_of(message: &Message, landing: Option<&Landing<'_>>) -> ([i32; HANDLES_PER_MESSAGE], Marks) {
    let mut numbers = [-1; HANDLES_PER_MESSAGE];
    let mut revoked = 0;
    for (index, number) in numbers.iter_mut().enumerate().take(message.handle_count()) {
        match landing {
            _ if message.is_revoked(index) => revoked |= 1 << index,
            Some(landing) => *number = landing.number(index),
            None => {}
        }
    }
    (numbers, revoked)
}

impl Endpoint {
    /// Receives a message now, whole or not at all.
    ///
    /// Its handles get their numbers before it is taken from the queue, so that a full table, a page that is
    /// missing or too little room lose nothing.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is none; `EFAULT` as the receiver says; `EMFILE` when its table is full; `ENOMEM`; `EBADF`
    /// when the handle was revoked.
    #[inline(always)]
    pub fn try_receive<I: Incoming + ?Sized>(
        &self,
        receiver: Receiver<'_>,
        incoming: &mut I,
    ) -> Result<Outcome> {
        self.try_receive_by(Next::Head, receiver, incoming)
    }

    #[inline(always)]
    pub(super) fn try_receive_by<I: Incoming + ?Sized>(
        &self,
        next: Next,
        receiver: Receiver<'_>,
        incoming: &mut I,
    ) -> Result<Outcome> {
        match self.look(next, Some(receiver.access.node()), Numbers::Landing(None), incoming)? {
            Look::Taken(sizes) => Ok(Outcome::Message(sizes)),
            Look::Ended(outcome) => Ok(outcome),
            Look::Needs(count) => self.receive_handles(next, count, receiver, incoming),
            // Handles need a landing.
            Look::Carries(_, _block, _) => Err(Errno::EAGAIN),
        }
    }

    /// Receives a message that carries `count` handles, unless another one has become the next by then.
    fn receive_handles<I: Incoming + ?Sized>(
        &self,
        next: Next,
        mut count: usize,
        receiver: Receiver<'_>,
        incoming: &mut I,
    ) -> Result<Outcome> {
        let Receiver { caller, access, table, .. } = receiver;
        loop {
            let mut landing = table.land(caller, count, receiver.cloexec())?;
            match self.look(next, Some(access.node()), Numbers::Landing(Some(&landing)), incoming)? {
                Look::Taken(sizes) => return Ok(Outcome::Message(sizes)),
                Look::Ended(outcome) => return Ok(outcome),
                // The old numbers go first, or a nearly full table would seem full.
                Look::Needs(more) => count = more,
                Look::Carries(sizes, mut block, revoked) => {
                    settle(&mut landing, caller, &mut block, revoked);
                    self.give_back(block);
                    return Ok(Outcome::Message(sizes));
                }
            }
        }
    }

    /// Receives the payload of a message now, and drops its handles: what a read of a descriptor does.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is none; `EFAULT` as the receiver says; `EBADF` when the capability `by`, in whose name it is
    /// received, was revoked.
    pub fn try_receive_bytes(
        &self,
        caller: &Caller,
        by: Option<&CapNode>,
        incoming: &mut dyn Incoming,
    ) -> Result<Outcome> {
        match self.look(Next::Head, by, Numbers::Dropped, incoming)? {
            Look::Taken(sizes) => Ok(Outcome::Message(sizes)),
            Look::Ended(outcome) => Ok(outcome),
            Look::Carries(sizes, mut block, _) => {
                let pid = caller.pid.cast_signed();
                for flight in block.take_handles().flatten() {
                    flight.record(TransferEvent::Deliver, NO_PID, pid);
                }
                self.give_back(block);
                Ok(Outcome::Message(sizes))
            }
            // Nothing needs numbers here.
            Look::Needs(_) => Err(Errno::EAGAIN),
        }
    }

    /// A block whose handles are gone goes back to the channel.
    fn give_back(&self, block: Box<Message>) {
        let spent = self.pair.state.lock().sides[self.here()].recycle(block);
        spent.settle();
    }

    /// One hold of the channel's lock, and the wakes that follow from it.
    #[inline(always)]
    fn look<I: Incoming + ?Sized>(
        &self,
        next: Next,
        by: Option<&CapNode>,
        numbers: Numbers<'_>,
        incoming: &mut I,
    ) -> Result<Look> {
        fault::check(Point::IpcChannelRecv)?;
        let state = self.pair.state.lock();
        // Under the lock: what is sent after a revocation is not for one who looked his handle up before.
        if by.is_some_and(CapNode::is_revoked) {
            return Err(Errno::EBADF);
        }
        // Before a wait it is mostly so, and nothing else is to be done then.
        if next == Next::Head && state.are_open() && state.sides[self.here()].queue.is_empty() {
            return Err(Errno::EAGAIN);
        }
        self.take(state, next, numbers, incoming)
    }

    /// Takes what is there. The lock is held.
    fn take<I: Incoming + ?Sized>(
        &self,
        mut state: SpinGuard<'_, PairState>,
        next: Next,
        numbers: Numbers<'_>,
        incoming: &mut I,
    ) -> Result<Look> {
        let hang_up = !state.are_open();
        let own = &mut state.sides[self.here()];
        let Some(message) = next.peek(own) else {
            // What was handed over and not taken yet may come back: it is not the end.
            if !hang_up || own.has_handed_over() {
                return Err(Errno::EAGAIN);
            }
            bump(Counter::RecvEof);
            self.note_end(Op::RecvEof, Wake::Hup, &state);
            return Ok(Look::Ended(Outcome::End));
        };
        let sizes = message.sizes();
        if !sizes.fit(incoming.room()) {
            return Ok(Look::Ended(Outcome::TooSmall(sizes)));
        }
        let mut marks = 0;
        if sizes.handles == 0 {
            incoming.deliver(message.payload(), &[])?;
        } else {
            let landing = match numbers {
                Numbers::Landing(Some(landing)) if landing.count() == sizes.handles => Some(landing),
                Numbers::Landing(_) => return Ok(Look::Needs(sizes.handles)),
                Numbers::Dropped => None,
            };
            let numbers;
            (numbers, marks) = numbers_of(message, landing);
            incoming.deliver(message.payload(), numbers.get(..sizes.handles).unwrap_or_default())?;
        }
        if sizes.handles > 0 {
            self.owners().give_out();
        }
        let Some(block) = next.take(own) else { return Err(Errno::EAGAIN) };
        trace::received(&block, self);
        let (look, spent) = match sizes.handles {
            0 => (Look::Taken(sizes), own.recycle(block)),
            _ => (Look::Carries(sizes, block, marks), Spent::default()),
        };
        let remains = !own.queue.is_empty();
        let binding = if remains { own.binding.clone() } else { None };
        drop(state);
        spent.settle();
        self.peer.writers.wake_one(Events::OUT | Events::WRNORM, Reason::Data);
        // After the last one it is the end that others wait for.
        if remains || hang_up {
            self.readers().wake_one(Events::IN | Events::RDNORM, Reason::Data);
            if let Some(binding) = binding {
                binding.signal(Signals::READABLE);
            }
        }
        Ok(look)
    }

    /// Receives a message, waiting for it unless the options say otherwise. A drop, or an error, leaves the
    /// message where it is.
    ///
    /// # Errors
    ///
    /// As [`try_receive`](Self::try_receive), but `EFAULT` only for memory that is not the program's; `EINTR`;
    /// `EBADF` when the handle is revoked meanwhile.
    pub async fn receive<I: Incoming + ?Sized>(
        self: &Arc<Self>,
        receiver: Receiver<'_>,
        incoming: &mut I,
    ) -> Result<Outcome> {
        let place = if receiver.options - Options::CLOEXEC == Options::RENDEZVOUS {
            self.wait_directly(Want::Any(incoming.room()))
        } else {
            None
        };
        let awaited = place.as_ref().map_or(Awaited::message(self), Awaited::handed_over);
        awaited.get(receiver, incoming, None).await
    }
}

/// Puts the handles on the numbers that the receiver was told.
fn settle(landing: &mut Landing<'_>, caller: &Caller, block: &mut Message, revoked: Marks) {
    let now = machine::now();
    for (index, flight) in block.take_handles().enumerate() {
        let Some(flight) = flight else { continue };
        if revoked & 1 << index != 0 {
            flight.record(TransferEvent::Deliver, NO_PID, caller.pid.cast_signed());
            landing.skip();
            continue;
        }
        // Revoked since it was delivered: the number that was told names nothing.
        let _ = landing.receive(caller, now, flight);
    }
}
