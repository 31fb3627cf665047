//! Sending: what goes along with the bytes, and the loop that waits for room.

use alloc::sync::Arc;

use base::caller::Caller;
use base::memory::UserBuffer;
use base::{Errno, Result};

use super::budget::OUT;
use super::credentials::{Sender, Ucred};
use super::message::Message;
use super::options::{Endurance, Switches, Waits};
use super::rights::Rights;
use super::socket::{Kind, Socket, State};
use crate::signal::{SIGPIPE, signal_caller};

bitflags::bitflags! {
    /// The flags of `send(2)` that count here, with Linux's numbers. Linux ignores those it does not know.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SendFlags: u32 {
        /// Out-of-band data, which is not there.
        const OUT_OF_BAND = 1;
        /// `EAGAIN` instead of waiting.
        const DONT_WAIT = 0x40;
        /// No SIGPIPE.
        const NO_SIGNAL = 0x4000;
    }
}

/// What goes along with the bytes of one send. The descriptors go with the first piece.
#[derive(Default)]
pub struct Outgoing {
    /// To whom, if not to the peer.
    pub(super) to: Option<Arc<Socket>>,
    /// Descriptors.
    pub rights: Option<Rights>,
    /// What the sender says about itself, checked.
    pub credentials: Option<Ucred>,
}

impl Outgoing {
    /// Lets it go along with `message`, which is about to join the queue of `receiver`, whose state is `state`.
    ///
    /// # Errors
    ///
    /// `EPERM` when the receiver takes no descriptors.
    pub(super) fn accompany(
        &mut self,
        sender: &Socket,
        receiver: &Socket,
        state: &State,
        caller: &Caller,
        message: &mut Message,
    ) -> Result<()> {
        if self.rights.is_some() && receiver.options().has(Switches::REFUSE_RIGHTS) {
            return Err(Errno::EPERM);
        }
        let asked = sender.tells_credentials() || receiver.tells_credentials() || state.embryo;
        let told = asked || self.credentials.is_some();
        message.sender = told.then(|| Sender::of(caller, self.credentials));
        message.rights = self.rights.take();
        Ok(())
    }
}

impl Socket {
    /// True when receivers want to know who sent a message.
    pub(super) fn tells_credentials(&self) -> bool {
        let switches = self.options().switches();
        switches.intersects(Switches::PASS_CREDENTIALS | Switches::PASS_PIDFD)
    }

    /// One attempt: a piece of a stream, or a message.
    pub(super) fn send_once(
        &self,
        caller: &Caller,
        buffer: &mut UserBuffer<'_>,
        outgoing: &mut Outgoing,
    ) -> Result<usize> {
        let sent = match self.kind {
            Kind::Stream => self.send_piece(caller, buffer, outgoing),
            Kind::Datagram | Kind::SeqPacket => self.send_message(caller, buffer, outgoing),
        };
        if sent == Err(Errno::EAGAIN) {
            self.note_lack_of_room();
        }
        sent
    }

    /// `sendmsg(2)`: sends the bytes of `buffer` and what goes along with them; `waits` is false on a socket
    /// that does not. A drop leaves what was sent of a stream; a message is sent whole or not at all.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for out-of-band data; `ENOTCONN`; `EPIPE`, with SIGPIPE when it is a stream and nothing was
    /// sent; `EMSGSIZE`, `ECONNREFUSED`, `ECONNRESET`, `EPERM` for messages; `EAGAIN`, `EINTR`, `EFAULT`, `ENOMEM`.
    pub async fn send(
        &self,
        caller: &Caller,
        buffer: &mut UserBuffer<'_>,
        mut outgoing: Outgoing,
        flags: SendFlags,
        waits: bool,
    ) -> Result<usize> {
        if flags.contains(SendFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP);
        }
        let waits = waits && !flags.contains(SendFlags::DONT_WAIT);
        let error = loop {
            // Each piece has the whole time.
            let endurance = Endurance::new(waits, self.options().send_timeout());
            match self.send_or_wait(caller, buffer, &mut outgoing, endurance).await {
                Ok(_) if self.kind == Kind::Stream && !buffer.is_empty() => executor::yield_point().await,
                Ok(sent) => return Ok(sent.max(buffer.moved())),
                Err(error) => break error,
            }
        };
        if buffer.moved() > 0 {
            return Ok(buffer.moved());
        }
        if error == Errno::EPIPE && self.kind == Kind::Stream && !flags.contains(SendFlags::NO_SIGNAL) {
            signal_caller(caller, SIGPIPE);
        }
        Err(error)
    }

    /// One attempt that succeeds or fails for good.
    async fn send_or_wait(
        &self,
        caller: &Caller,
        buffer: &mut UserBuffer<'_>,
        outgoing: &mut Outgoing,
        endurance: Endurance,
    ) -> Result<usize> {
        let mut waiting = Waits::new(endurance);
        loop {
            let seen = self.output.observe();
            match self.send_once(caller, buffer, outgoing) {
                Err(Errno::EFAULT) => {
                    buffer.fault_in().await?;
                    // A page may be taken away again and again: a kill gets in here.
                    executor::yield_point().await;
                }
                Err(Errno::EAGAIN) => waiting.wait(&self.output, seen, OUT).await?,
                result => return result,
            }
        }
    }
}
