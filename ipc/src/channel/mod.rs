//! Channels: two endpoints, each with a queue of the messages that the other one sent.
//!
//! | module | subject |
//! |---|---|
//! | [`message`] | payload, handles, blocks |
//! | `pair` | the state that both ends share, and closing |
//! | [`owners`] | who keeps an end open |
//! | `pool` | blocks of deep queues |
//! | `send`, `receive`, `call` | the operations |
//! | `awaited` | waiting for a message |
//! | `direct` | receivers to whom a message is handed without queueing |
//!
//! ```text
//!             the last owner goes
//!   OPEN ----------------------------> CLOSED
//! ```
//!
//! The step drops what the end had not received, wakes everybody at both ends, and tells the other end's
//! port. CLOSING, which the text files know, would be the middle of it, which nobody sees.

mod awaited;
mod call;
mod direct;
pub mod message;
pub mod owners;
mod pair;
mod pool;
mod receive;
mod send;

use alloc::boxed::Box;
use alloc::sync::Arc;

use base::Result;
use base::caller::Caller;
use base::charge::Charge;
use base::trace::channel::{Op, State, Wake};
use executor::pollwait::{Events, Reason, WaitSource};

use crate::capability::{Capability, OwnerClass};
use crate::collector::{self, Node};
use crate::object::history::Histories;
use crate::object::registry::{self, ENTRY_BYTES};
use crate::object::{ObjectBase, ObjectKind, ObjectRef};
use crate::port::{Binding, Signals};
use crate::rights::Rights;
use crate::stats::{Counter, bump};
use crate::trace;
use owners::Owners;
use pair::{End, Pair, PairState};

pub use awaited::{Attempt, Awaited};
pub use call::CALL_PREFIX_BYTES;
pub use direct::Place;
pub use message::{HANDLES_PER_MESSAGE, INLINE_BYTES, MESSAGE_BYTES, Payload};
pub(crate) use pool::drain as drain_pool;
pub use receive::{Incoming, Outcome, Receiver, Sizes};
pub use send::Outgoing;

bitflags::bitflags! {
    /// Options of send and receive.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Options: u32 {
        /// `EAGAIN` rather than wait.
        const NONBLOCK = 1;
        /// Hand the message over directly if somebody waits for it. A hint: without such a receiver the message
        /// is queued.
        const RENDEZVOUS = 2;
        /// Of a receive: exec closes the handles that arrive.
        const CLOEXEC = 4;
    }
}

/// Messages that an endpoint's queue holds.
pub const QUEUE_MESSAGES: usize = 64;

/// One end of a channel.
pub struct Endpoint {
    base: ObjectBase,
    histories: Histories,
    side: usize,
    pair: Arc<Pair>,
    /// What one sees of this end without the lock.
    own: Arc<End>,
    /// The same of the other end.
    peer: Arc<End>,
    _charge: Charge,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        bump(Counter::CloseRelease);
    }
}

/// A channel's counts, for `/sys/ipc/channels`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelStatus {
    /// Messages to receive.
    pub queued: usize,
    /// Handles in them.
    pub queued_handles: usize,
    /// This end is open.
    pub is_open: bool,
    /// The other end is closed.
    pub peer_closed: bool,
    /// Owners of each class: handles, descriptors, others.
    pub owners: [u32; 3],
}

impl Endpoint {
    /// A channel, as the capabilities to its two ends.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn create(caller: &Caller) -> Result<(Capability, Capability)> {
        let bases = [ObjectBase::new(ObjectKind::Channel), ObjectBase::new(ObjectKind::Channel)];
        let pair = Pair::new(caller, [bases[0].id(), bases[1].id()])?;
        let [first, second] = bases;
        let first = Self::make(caller, first, 0, pair.clone())?;
        let second = Self::make(caller, second, 1, pair)?;
        let first = Capability::root(caller, first, Rights::CHANNEL)?;
        Ok((first, Capability::root(caller, second, Rights::CHANNEL)?))
    }

    fn make(caller: &Caller, base: ObjectBase, side: usize, pair: Arc<Pair>) -> Result<ObjectRef> {
        let charge = Charge::new(&caller.account, size_of::<Endpoint>() + ENTRY_BYTES)?;
        let [own, peer] = [side & 1, 1 - (side & 1)].map(|side| pair.ends[side].clone());
        let histories = Histories::new();
        let endpoint = Arc::new(Endpoint { base, histories, side, pair, own, peer, _charge: charge });
        let object = ObjectRef::from(endpoint);
        registry::publish(&object)?;
        Ok(object)
    }

    /// What every object has.
    #[must_use]
    pub fn base(&self) -> &ObjectBase {
        &self.base
    }

    pub(crate) fn histories(&self) -> &Histories {
        &self.histories
    }

    /// The id of the other end.
    #[must_use]
    pub fn peer_id(&self) -> u32 {
        self.pair.ids[self.there()]
    }

    #[inline]
    fn there(&self) -> usize {
        1 - self.here()
    }

    /// Its place in the pair. The mask tells the compiler what is known anyway.
    #[inline]
    fn here(&self) -> usize {
        self.side & 1
    }

    /// True for the two ends of one channel, in this direction: `other` is the end that receives what is sent
    /// here.
    fn sends_to(&self, other: &Endpoint) -> bool {
        Arc::ptr_eq(&self.pair, &other.pair) && other.side == self.there()
    }

    /// Woken when there is something to receive.
    #[inline]
    #[must_use]
    pub fn readers(&self) -> &Arc<WaitSource> {
        &self.own.readers
    }

    /// Woken when there is room to send.
    #[must_use]
    pub fn writers(&self) -> &Arc<WaitSource> {
        &self.own.writers
    }

    /// Calls `tell` with each source that the owners of this end may wake: those of the other end, and of the
    /// port that the other end is bound to.
    pub fn wakes(&self, tell: &mut dyn FnMut(&WaitSource)) {
        let there = &self.peer;
        for source in [&*there.readers, &*there.writers, &there.calls] {
            tell(source);
        }
        let binding = self.pair.state.lock().sides[self.there()].binding.clone();
        if let Some(port) = binding.and_then(|binding| binding.port()) {
            tell(port.waiters());
        }
    }

    /// What it is ready for. At the end of what can be received, receiving does not wait either.
    #[must_use]
    pub fn readiness(&self) -> Events {
        let state = self.pair.state.lock();
        let (own, peer) = (&state.sides[self.here()], &state.sides[self.there()]);
        let hang_up = !own.open || !peer.open;
        let mut events = Events::empty();
        if hang_up || !own.queue.is_empty() {
            events |= Events::IN | Events::RDNORM;
        }
        if hang_up {
            events |= Events::HUP;
        } else if peer.queue.len() < QUEUE_MESSAGES {
            events |= Events::OUT | Events::WRNORM;
        }
        events
    }

    /// Its counts.
    #[must_use]
    pub fn status(&self) -> ChannelStatus {
        let state = self.pair.state.lock();
        let (own, peer) = (&state.sides[self.here()], &state.sides[self.there()]);
        ChannelStatus {
            queued: own.queue.len(),
            queued_handles: own.queue.iter().map(|message| message.handle_count()).sum(),
            is_open: own.open,
            peer_closed: !peer.open,
            owners: self.owners().counts(),
        }
    }

    /// Records what an operation found the ends to be.
    #[inline]
    fn note_end(&self, op: Op, wake: Wake, state: &PairState) {
        let [own, peer] = [self.side, self.there()];
        let states = [own, peer].map(|side| State::of(state.sides[side].open));
        trace::end_of_channel(op, wake, states, self.pair.ids[own], self.pair.ids[peer]);
    }

    /// Binds it to `binding`'s port: its signals go there from now on. What is true already is signalled at
    /// once. The binding that this one replaces is returned.
    ///
    /// # Errors
    ///
    /// `EBUSY` when it is bound to another port that somebody still has.
    pub(crate) fn bind(&self, binding: &Arc<Binding>) -> Result<Option<Arc<Binding>>> {
        let mut now = Signals::empty();
        let old = {
            let mut state = self.pair.state.lock();
            now.set(Signals::READABLE, !state.sides[self.here()].queue.is_empty());
            now.set(Signals::PEER_CLOSED, !state.sides[self.there()].open);
            let own = &mut state.sides[self.here()];
            if own.binding.as_ref().is_some_and(|old| old.keeps_out(binding)) {
                return Err(base::Errno::EBUSY);
            }
            own.binding.replace(binding.clone())
        };
        binding.signal(now);
        Ok(old)
    }

    /// Ends its binding to `port`.
    ///
    /// # Errors
    ///
    /// `ENOENT` when it is not bound to that port.
    pub(crate) fn unbind(&self, port: &crate::port::Port) -> Result<Arc<Binding>> {
        let mut state = self.pair.state.lock();
        let own = &mut state.sides[self.here()];
        let bound = own.binding.take_if(|binding| binding.is_to(port));
        bound.ok_or(base::Errno::ENOENT)
    }

    /// Sends `signals` to its port, whatever the state of the queue is: for tests and kernel code.
    pub(crate) fn signal(&self, signals: Signals) {
        let binding = self.pair.state.lock().sides[self.here()].binding.clone();
        if let Some(binding) = binding {
            binding.signal(signals);
        }
    }

    /// One more owner.
    pub(crate) fn acquire(&self, class: OwnerClass) {
        self.owners().acquire(class);
    }

    /// One owner less; the last one closes it.
    pub(crate) fn release(&self, class: OwnerClass) {
        if self.owners().release(class) {
            bump(Counter::CloseLastRef);
            self.close();
        } else if self.owners().may_be_unreachable() {
            collector::request();
        }
    }

    /// The owners.
    #[must_use]
    pub fn owners(&self) -> &Owners {
        &self.own.owners
    }

    /// Closes it, whoever still owns it.
    pub(crate) fn close(&self) {
        self.pair.close(self.here());
    }

    /// Makes whoever waits here look again: a capability to it was revoked.
    pub(crate) fn interrupt(&self) {
        let end = &self.own;
        for source in [&*end.readers, &*end.writers, &end.calls] {
            source.wake_all(Events::empty(), Reason::Close);
        }
    }
}

impl Node for Arc<Endpoint> {
    fn id(&self) -> u64 {
        self.base.id().into()
    }

    fn references(&self) -> usize {
        self.owners().total() as usize
    }

    fn given_out(&self) -> u64 {
        self.owners().given_out()
    }

    fn visit(&self, visit: &mut dyn FnMut(&dyn Node)) {
        let state = self.pair.state.lock();
        let own = &state.sides[self.here()];
        let direct = own.waiting.iter().filter_map(|direct| direct.message.as_ref());
        for object in own.queue.iter().chain(direct).flat_map(|message| message.objects()) {
            match (object.channel(), object.file()) {
                (Some(endpoint), _) => visit(endpoint),
                (_, Some(file)) => visit(file),
                _ => {}
            }
        }
    }

    fn hold(&self) -> Box<dyn Node> {
        Box::new(self.clone())
    }

    fn collect(&self) {
        bump(Counter::Collected);
        self.close();
    }
}
