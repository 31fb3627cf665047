//! Receivers to whom a message is handed without queueing: one that waits with RENDEZVOUS, and those that
//! called and wait for their reply.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::message::Message;
use super::pair::Side;
use super::receive::Sizes;
use super::{Endpoint, QUEUE_MESSAGES};
use crate::teardown::bury;

/// Direct receivers that an end has at most.
pub(super) const DIRECT_MAX: usize = 64;

/// The bit that marks the first four bytes of a payload as the number of a call.
pub(super) const CALL_BIT: u32 = 1 << 31;

/// What a direct receiver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Whatever comes first and fits.
    Any(Sizes),
    /// The reply to its call.
    Reply,
}

/// A direct receiver.
pub(super) struct Direct {
    pub(super) ticket: u32,
    pub(super) want: Want,
    /// What it was given.
    pub(super) message: Option<Box<Message>>,
}

impl Side {
    /// The direct receiver that `message` is for. A receiver that wants anything gets it only with
    /// `rendezvous`, and only when nothing came before.
    #[inline]
    pub(super) fn direct_for(&mut self, message: &Message, rendezvous: bool) -> Option<&mut Direct> {
        if self.waiting.is_empty() { None } else { self.find_direct_for(message, rendezvous) }
    }

    fn find_direct_for(&mut self, message: &Message, rendezvous: bool) -> Option<&mut Direct> {
        let call = message.prefix().filter(|prefix| prefix & CALL_BIT != 0);
        let sizes = message.sizes();
        let rendezvous = rendezvous && self.queue.is_empty();
        self.waiting.iter_mut().find(|direct| {
            direct.message.is_none()
                && match direct.want {
                    Want::Reply => call == Some(direct.ticket),
                    Want::Any(room) => rendezvous && sizes.fit(room),
                }
        })
    }

    /// Makes a message that was handed over, and could not be taken, the head of the queue. It comes back when the
    /// end is closed or has got another one back.
    pub(super) fn put_first(&mut self, message: Box<Message>) -> Option<Box<Message>> {
        if !self.open || self.queue.len() > QUEUE_MESSAGES {
            return Some(message);
        }
        self.queue.push_front(message);
        None
    }

    /// True when a message was handed over that its receiver may still leave to others.
    pub(super) fn has_handed_over(&self) -> bool {
        self.waiting.iter().any(|direct| direct.message.is_some())
    }

    /// What the direct receiver with this ticket was given, and has not taken.
    pub(super) fn given(&mut self, ticket: u32) -> Option<&mut Direct> {
        self.waiting.iter_mut().find(|direct| direct.ticket == ticket && direct.message.is_some())
    }
}

/// A direct receiver's place. When it is dropped, a message that was handed over and not taken becomes the head of the
/// queue, a reply like any other.
pub struct Place {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) ticket: u32,
}

impl Endpoint {
    /// A place among the direct receivers; nothing when there are too many, or when somebody waits for
    /// anything already.
    pub(super) fn wait_directly(self: &Arc<Self>, want: Want) -> Option<Place> {
        let mut state = self.pair.state.lock();
        let own = &mut state.sides[self.here()];
        let taken = |direct: &Direct| matches!((direct.want, want), (Want::Any(_), Want::Any(_)));
        if own.waiting.len() >= DIRECT_MAX || own.waiting.iter().any(taken) {
            return None;
        }
        if own.waiting.len() == own.waiting.capacity() && own.waiting.try_reserve(1).is_err() {
            return None;
        }
        own.last_ticket = own.last_ticket.wrapping_add(1);
        let ticket = own.last_ticket | CALL_BIT;
        own.waiting.push(Direct { ticket, want, message: None });
        Some(Place { endpoint: self.clone(), ticket })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut debris = super::message::Queue::new();
        let returned = {
            let mut state = self.endpoint.pair.state.lock();
            let own = &mut state.sides[self.endpoint.here()];
            let Some(at) = own.waiting.iter().position(|direct| direct.ticket == self.ticket) else { return };
            let direct = own.waiting.swap_remove(at);
            match direct.message {
                None => return,
                Some(message) => {
                    debris.extend(own.put_first(message));
                    debris.is_empty()
                }
            }
        };
        if returned {
            self.endpoint.announce();
        }
        bury(debris);
    }
}
