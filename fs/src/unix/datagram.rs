//! One step of a datagram or sequenced-packet socket: whole messages.

use alloc::sync::Arc;

use base::caller::Caller;
use base::memory::UserBuffer;
use base::{Errno, Result};
use executor::pollwait::{Events, Reason};

use super::budget::cost;
use super::message::Message;
use super::receive::{ReceiveFlags, Reception};
use super::send::Outgoing;
use super::socket::{IN, Kind, Phase, ShutDown, Socket, State, feed};

/// What of `SO_SNDBUF` a message may not fill.
const MARGIN: usize = 32;

impl State {
    /// True when a message of somebody who is not its peer finds no place.
    pub(super) fn is_full_for(&self, sender: &Socket) -> bool {
        !self.is_peer(sender) && self.queue.len() > self.backlog as usize
    }
}

impl Socket {
    /// To whom a message goes.
    fn receiver(&self, outgoing: &Outgoing) -> Result<Arc<Socket>> {
        let mut state = self.state.lock();
        if self.kind == Kind::SeqPacket {
            state.take_error()?;
            if state.phase != Phase::Connected {
                return Err(Errno::ENOTCONN);
            }
        }
        outgoing.to.clone().or_else(|| state.peer.clone()).ok_or(Errno::ENOTCONN)
    }

    /// Sends one message.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`; `EMSGSIZE` when it is larger than the budget; `EPIPE` when one of the two is shut down;
    /// `EPERM` when the receiver is connected to somebody else; `ECONNREFUSED` when it has gone (a
    /// sequenced-packet socket says `EPIPE`); `EAGAIN` when there is no room; `EFAULT` when a page is missing.
    /// In all cases the buffer is as it was.
    pub(super) fn send_message(
        &self,
        caller: &Caller,
        buffer: &mut UserBuffer<'_>,
        outgoing: &mut Outgoing,
    ) -> Result<usize> {
        let receiver = self.receiver(outgoing)?;
        let length = buffer.remaining();
        if length > self.budget.limit().saturating_sub(MARGIN) {
            return Err(Errno::EMSGSIZE);
        }
        let from = {
            let mut state = self.state.lock();
            state.take_error()?;
            if state.shut.contains(ShutDown::SEND) {
                return Err(Errno::EPIPE);
            }
            state.address.clone()
        };
        // Looked at before anything is taken: what is given back wakes those who wait for it, this one as well.
        if self.must_wait_for(&receiver) {
            return Err(Errno::EAGAIN);
        }
        let share = self.budget.take(cost(length)).ok_or(Errno::EAGAIN)?;
        let mark = buffer.mark();
        let mut message = Message::from_user(caller, buffer, length, share)?;
        message.from = from;
        match self.deliver(caller, &receiver, message, outgoing) {
            Ok(()) => {
                receiver.input.wake_one(IN, Reason::Data);
                Ok(length)
            }
            Err(error) => {
                buffer.rewind(mark);
                if error == Errno::ECONNREFUSED {
                    self.lost(&receiver);
                }
                Err(error)
            }
        }
    }

    /// True when the receiver is full and would take the message otherwise; it lets this one know when it is not.
    fn must_wait_for(&self, receiver: &Socket) -> bool {
        let mut state = receiver.state.lock();
        let takes = !state.dead
            && !state.shut.contains(ShutDown::RECEIVE)
            && (state.peer.is_none() || state.is_peer(self))
            && !core::ptr::eq(receiver, self);
        let waits = takes && state.is_full_for(self);
        if waits {
            self.is_hungry_at(&mut state);
        }
        waits
    }

    /// Puts a message into the receiver's queue.
    fn deliver(
        &self,
        caller: &Caller,
        receiver: &Arc<Socket>,
        mut message: Message,
        outgoing: &mut Outgoing,
    ) -> Result<()> {
        let mut state = receiver.state.lock();
        let refusal = if state.peer.is_some() && !state.is_peer(self) {
            Some(Errno::EPERM)
        } else if state.dead {
            Some(if self.kind == Kind::SeqPacket { Errno::EPIPE } else { Errno::ECONNREFUSED })
        } else if state.shut.contains(ShutDown::RECEIVE) {
            Some(Errno::EPIPE)
        } else if !core::ptr::eq(&raw const **receiver, self) && state.is_full_for(self) {
            self.is_hungry_at(&mut state);
            Some(Errno::EAGAIN)
        } else {
            outgoing.accompany(self, receiver, &state, caller, &mut message).err()
        };
        if let Some(error) = refusal {
            drop(state);
            return Err(error);
        }
        state.queue.push_back(message);
        Ok(())
    }

    /// The receiver has gone: a socket that was connected to it is connected to nobody.
    fn lost(&self, receiver: &Arc<Socket>) {
        let messages = {
            let mut state = self.state.lock();
            if !state.is_peer(receiver) {
                return;
            }
            state.peer = None;
            state.phase = Phase::Unconnected;
            core::mem::take(&mut state.queue)
        };
        drop(messages);
    }

    /// Takes the first message, or looks at it.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` for a sequenced-packet socket that was never connected; `EAGAIN` when the queue is empty; the
    /// error that is to be reported; `EFAULT` when a page is missing: the message stays.
    pub(super) fn receive_message(
        &self,
        buffer: &mut UserBuffer<'_>,
        flags: ReceiveFlags,
        reception: &mut Reception,
        waits: bool,
    ) -> Result<usize> {
        *reception = Reception::default();
        let peek = flags.contains(ReceiveFlags::PEEK);
        let mut state = self.state.lock();
        if self.kind == Kind::SeqPacket && state.phase != Phase::Connected {
            return Err(Errno::ENOTCONN);
        }
        state.take_error()?;
        let Some(message) = state.queue.front_mut() else {
            let over = state.shut.contains(ShutDown::RECEIVE) && (waits || self.kind == Kind::SeqPacket);
            return if over { Ok(0) } else { Err(Errno::EAGAIN) };
        };
        let mark = buffer.mark();
        let length = message.rest().len();
        let wanted = length.min(buffer.remaining());
        let piece = message.rest().get(..wanted).unwrap_or_default();
        if !piece.is_empty() && buffer.put(piece).unwrap_or(0) < wanted {
            buffer.rewind(mark);
            return Err(Errno::EFAULT);
        }
        reception.joins(message, false);
        reception.truncated = wanted < length;
        let answer = if flags.contains(ReceiveFlags::TRUNCATED) { length } else { wanted };
        if peek {
            if let Some(rights) = &message.rights {
                self.give_out();
                reception.copy_rights(rights);
            }
            reception.remains = true;
            return Ok(answer);
        }
        if message.rights.is_some() {
            self.give_out();
        }
        let taken = state.queue.pop_front();
        reception.remains = !state.queue.is_empty();
        let room = state.queue.len() <= state.backlog as usize;
        let hungry =
            if room { core::mem::take(&mut state.hungry) } else { alloc::collections::BTreeMap::new() };
        drop(state);
        feed(hungry);
        if let Some(mut message) = taken {
            reception.take_rights(message.rights.take());
        }
        Ok(answer)
    }

    /// A datagram socket that was connected to `old` is not any more: what it had been sent is lost, and an
    /// `old` that is still connected to it learns of that.
    pub(super) fn disconnected_from(&self, old: &Socket) {
        let (messages, hungry) = {
            let mut state = self.state.lock();
            let messages = core::mem::take(&mut state.queue);
            (messages, core::mem::take(&mut state.hungry))
        };
        drop(messages);
        feed(hungry);
        let told = {
            let mut state = old.state.lock();
            let told = !state.dead && state.is_peer(self);
            if told {
                state.error = Some(Errno::ECONNRESET);
            } else if state.peer.is_none() {
                state.phase = Phase::Unconnected;
            }
            told
        };
        if told {
            old.state_changed(Events::ERR, Reason::Data);
        }
    }
}
