//! One step of a stream: what is sent joins the peer's queue in pieces, what is received may come from
//! several of them.

use base::caller::Caller;
use base::memory::UserBuffer;
use base::{Errno, Result};
use executor::pollwait::Reason;

use super::budget::cost;
use super::message::Message;
use super::receive::Reception;
use super::send::Outgoing;
use super::socket::{IN, Phase, ShutDown, Socket};

/// Bytes of the largest piece.
const PIECE: usize = 32_768;

/// Whether a stream may give more to the same call.
pub(super) enum Taken {
    More,
    End,
}

impl Socket {
    /// Sends one piece.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`; `EPIPE` when nobody will receive it; `EAGAIN` when the budget is used up; `EFAULT` when a
    /// page is missing: nothing is sent then.
    pub(super) fn send_piece(
        &self,
        caller: &Caller,
        buffer: &mut UserBuffer<'_>,
        outgoing: &mut Outgoing,
    ) -> Result<usize> {
        let (peer, from) = {
            let state = self.state.lock();
            let peer = state.peer.clone().ok_or(Errno::ENOTCONN)?;
            if state.shut.contains(ShutDown::SEND) {
                return Err(Errno::EPIPE);
            }
            (peer, state.address.clone())
        };
        if buffer.is_empty() {
            return Ok(0);
        }
        let length = buffer.remaining().min(PIECE);
        let Some(share) = self.budget.take(cost(length)) else {
            self.state.lock().take_error()?;
            return Err(Errno::EAGAIN);
        };
        let mut message = Message::from_user(caller, buffer, length, share)?;
        message.from = from;
        {
            let mut state = peer.state.lock();
            if state.dead || state.shut.contains(ShutDown::RECEIVE) {
                drop(state);
                return Err(Errno::EPIPE);
            }
            outgoing.accompany(self, &peer, &state, caller, &mut message)?;
            state.queue.push_back(message);
        }
        peer.input.wake_one(IN, Reason::Data);
        Ok(length)
    }

    /// Takes bytes from the first message. `content` says that what the call has got so far is enough.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it was never connected; `EAGAIN` when the queue is empty; the error that is to be reported;
    /// `EFAULT` when a page is missing: what was copied before it is taken.
    pub(super) fn take_from_stream(
        &self,
        buffer: &mut UserBuffer<'_>,
        reception: &mut Reception,
        content: bool,
    ) -> Result<Taken> {
        let told = self.tells_credentials();
        let mut state = self.state.lock();
        if state.phase != Phase::Connected {
            return Err(if state.dead { Errno::ECONNRESET } else { Errno::EINVAL });
        }
        let Some(message) = state.queue.front_mut() else {
            if content {
                return Ok(Taken::End);
            }
            state.take_error()?;
            return if state.shut.contains(ShutDown::RECEIVE) { Ok(Taken::End) } else { Err(Errno::EAGAIN) };
        };
        if !reception.joins(message, told) {
            return Ok(Taken::End);
        }
        let wanted = message.rest().len().min(buffer.remaining());
        let piece = message.rest().get(..wanted).unwrap_or_default();
        let copied = if piece.is_empty() { 0 } else { buffer.put(piece).unwrap_or(0) };
        message.consume(copied);
        if copied < wanted {
            return Err(Errno::EFAULT);
        }
        if message.rights.is_some() {
            self.give_out();
        }
        let rights = message.rights.take();
        let with_rights = rights.is_some();
        let empty = message.rest().is_empty();
        let done = if empty { state.queue.pop_front() } else { None };
        reception.remains = !state.queue.is_empty();
        drop(state);
        drop(done);
        reception.take_rights(rights);
        Ok(if with_rights || !empty { Taken::End } else { Taken::More })
    }

    /// Copies what is there without taking it, as far as one receive would go.
    ///
    /// # Errors
    ///
    /// As [`Socket::take_from_stream`]; after `EFAULT` the buffer is as it was.
    pub(super) fn peek_at_stream(
        &self,
        buffer: &mut UserBuffer<'_>,
        reception: &mut Reception,
    ) -> Result<()> {
        let told = self.tells_credentials();
        let mark = buffer.mark();
        *reception = Reception::default();
        let mut state = self.state.lock();
        if state.phase != Phase::Connected {
            return Err(Errno::EINVAL);
        }
        if state.queue.is_empty() {
            state.take_error()?;
            return if state.shut.contains(ShutDown::RECEIVE) { Ok(()) } else { Err(Errno::EAGAIN) };
        }
        reception.remains = true;
        for message in &state.queue {
            if !reception.joins(message, told) {
                break;
            }
            let wanted = message.rest().len().min(buffer.remaining());
            let piece = message.rest().get(..wanted).unwrap_or_default();
            if !piece.is_empty() && buffer.put(piece).unwrap_or(0) < wanted {
                buffer.rewind(mark);
                return Err(Errno::EFAULT);
            }
            if let Some(rights) = &message.rights {
                self.give_out();
                reception.copy_rights(rights);
                break;
            }
            if buffer.is_empty() {
                break;
            }
        }
        Ok(())
    }
}
