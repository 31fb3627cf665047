//! Receiving: what came along with the bytes, and the loop that waits for them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::memory::UserBuffer;
use base::{Errno, Result};
use executor::pollwait::Reason;

use super::address::Address;
use super::credentials::{Sender, Ucred};
use super::message::Message;
use super::options::{Endurance, Waits};
use super::rights::Rights;
use super::socket::{IN, Kind, Socket};
use super::stream::Taken;
use crate::file::FdEntry;

bitflags::bitflags! {
    /// The flags of `recv(2)` that count here, with Linux's numbers. Linux ignores those it does not know.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ReceiveFlags: u32 {
        /// Out-of-band data, which is not there.
        const OUT_OF_BAND = 1;
        /// Leave it in the queue.
        const PEEK = 2;
        /// The length of the whole message is the answer.
        const TRUNCATED = 0x20;
        /// `EAGAIN` instead of waiting.
        const DONT_WAIT = 0x40;
        /// Wait until the buffer is full.
        const WAIT_ALL = 0x100;
        /// Descriptors that come along are closed on exec.
        const CLOSE_ON_EXEC = 0x4000_0000;
    }
}

/// What came along with the bytes of one receive.
#[derive(Default)]
pub struct Reception {
    /// The sender's name, if it has one.
    pub from: Option<Arc<Address>>,
    /// Who sent it.
    pub sender: Option<Sender>,
    /// Descriptors; those that are not installed are closed with it.
    pub rights: Vec<FdEntry>,
    /// A part of the message did not fit.
    pub truncated: bool,
    /// Bytes have come that these things belong to.
    begun: bool,
    /// The queue holds more.
    pub(super) remains: bool,
}

impl Reception {
    /// True when `message` may add to what has come; messages of different senders are not mixed where
    /// their credentials are told.
    pub(super) fn joins(&mut self, message: &Message, told: bool) -> bool {
        if self.begun {
            let ids = |sender: &Option<Sender>| sender.as_ref().map(|sender| sender.ids);
            return !told || ids(&self.sender) == ids(&message.sender);
        }
        self.begun = true;
        self.from.clone_from(&message.from);
        self.sender.clone_from(&message.sender);
        true
    }

    /// The descriptors are the receiver's. Called without locks.
    pub(super) fn take_rights(&mut self, rights: Option<Rights>) {
        if let Some(rights) = rights {
            self.rights = rights.arrive();
        }
    }

    /// The receiver gets descriptors of its own.
    pub(super) fn copy_rights(&mut self, rights: &Rights) {
        self.rights = rights.copies();
    }

    /// Who sent it, for a receiver that asked.
    #[must_use]
    pub fn credentials(&self) -> Ucred {
        self.sender.as_ref().map_or(Ucred::UNKNOWN, |sender| sender.ids)
    }
}

impl Socket {
    /// One attempt. For a stream, `EAGAIN` may follow bytes that have been moved already; `target` is how many
    /// are enough.
    pub(super) fn receive_once(
        &self,
        buffer: &mut UserBuffer<'_>,
        flags: ReceiveFlags,
        reception: &mut Reception,
        target: usize,
        waits: bool,
    ) -> Result<usize> {
        let result = match self.kind {
            Kind::Datagram | Kind::SeqPacket => self.receive_message(buffer, flags, reception, waits),
            Kind::Stream if flags.contains(ReceiveFlags::PEEK) => {
                self.peek_at_stream(buffer, reception).map(|()| buffer.moved())
            }
            Kind::Stream => loop {
                match self.take_from_stream(buffer, reception, buffer.moved() >= target) {
                    Ok(Taken::More) if !buffer.is_empty() => {}
                    Ok(_) => break Ok(buffer.moved()),
                    Err(error) => break Err(error),
                }
            },
        };
        // What is left is the next receiver's.
        if reception.remains && self.input.has_waiters() && self.input.waiting() > 0 {
            self.input.wake_one(IN, Reason::Data);
        }
        result
    }

    /// `recvmsg(2)`: the bytes go to `buffer`; the length is that of the answer. `waits` is false on a socket
    /// that does not. A drop after a stream's `MSG_WAITALL` began loses what had been copied by then; else it
    /// takes nothing.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for out-of-band data; `EINVAL` (streams) or `ENOTCONN` when it was never connected;
    /// `ECONNRESET` once when the peer went without reading what it had been sent; `EAGAIN`, `EINTR`, `EFAULT`.
    pub async fn receive(
        &self,
        buffer: &mut UserBuffer<'_>,
        flags: ReceiveFlags,
        waits: bool,
    ) -> Result<(usize, Reception)> {
        if flags.contains(ReceiveFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP);
        }
        let waits = waits && !flags.contains(ReceiveFlags::DONT_WAIT);
        let endurance = Endurance::new(waits, self.options().receive_timeout());
        let all = flags.contains(ReceiveFlags::WAIT_ALL);
        let low_water = self.options().low_water() as usize;
        let target = if all { buffer.remaining() } else { low_water.min(buffer.remaining()) }.max(1);
        let mut reception = Reception::default();
        let waits = !matches!(endurance, Endurance::None);
        let mut waiting = Waits::new(endurance);
        loop {
            let seen = self.input.observe();
            let error = match self.receive_once(buffer, flags, &mut reception, target, waits) {
                Ok(length) => {
                    waiting.succeeded();
                    return Ok((length, reception));
                }
                Err(error) => error,
            };
            let enough = buffer.moved() >= target;
            let error = match error {
                Errno::EAGAIN if !enough => match waiting.wait(&self.input, seen, IN).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Errno::EFAULT => match buffer.fault_in().await {
                    Ok(()) => {
                        executor::yield_point().await;
                        continue;
                    }
                    Err(error) => error,
                },
                error => error,
            };
            let moved = buffer.moved();
            return if moved > 0 { Ok((moved, reception)) } else { Err(error) };
        }
    }
}
