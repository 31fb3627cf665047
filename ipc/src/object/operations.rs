//! Operations that every object answers to, whatever it is.

use alloc::sync::Arc;

use base::caller::Caller;
use base::memory::BoxFuture;
use base::{Errno, Result};
use executor::pollwait::{Events, WaitSource};

use super::ObjectRef;
use crate::capability::OwnerClass;
use crate::channel::owners::Owners;
use crate::channel::{HANDLES_PER_MESSAGE, Incoming, MESSAGE_BYTES, Options, Outcome, Outgoing, Sizes};
use crate::port::{Packet, PacketSink, Signals};

impl ObjectRef {
    /// One more owner of `class` keeps it open.
    pub(crate) fn acquire(&self, class: OwnerClass) {
        match (self.channel(), self.port(), self.file()) {
            (Some(endpoint), ..) => endpoint.acquire(class),
            (_, Some(port), _) => port.acquire(class),
            (.., Some(file)) => file.owners().acquire(class),
            _ => {}
        }
    }

    /// One owner less.
    pub(crate) fn release(&self, class: OwnerClass) {
        match (self.channel(), self.port(), self.file()) {
            (Some(endpoint), ..) => endpoint.release(class),
            (_, Some(port), _) => port.release(class),
            (.., Some(file)) => file.release(class),
            _ => {}
        }
    }

    /// The owners of what may be kept by queues alone.
    pub(crate) fn owners_in_flight(&self) -> Option<&Owners> {
        match (self.channel(), self.file()) {
            (Some(endpoint), _) => Some(endpoint.owners()),
            (_, Some(file)) => Some(file.owners()),
            _ => None,
        }
    }

    /// A capability to it was revoked: whoever waits in its name looks again.
    pub fn interrupt(&self) {
        match (self.channel(), self.port(), self.file()) {
            (Some(endpoint), ..) => endpoint.interrupt(),
            (_, Some(port), _) => port.interrupt(),
            (.., Some(file)) => file.file().revoked(),
            _ => {}
        }
    }

    /// What it is ready for now.
    #[must_use]
    pub fn readiness(&self) -> Events {
        match (self.channel(), self.port(), self.file()) {
            (Some(endpoint), ..) => endpoint.readiness(),
            (_, Some(port), _) => port.readiness(),
            (.., Some(file)) => file.file().readiness(),
            _ => Events::empty(),
        }
    }

    /// Whom to wait for when it is not ready.
    #[must_use]
    pub fn sources(&self) -> [Option<Arc<WaitSource>>; 2] {
        match (self.channel(), self.port(), self.file()) {
            (Some(endpoint), ..) => [Some(endpoint.readers().clone()), Some(endpoint.writers().clone())],
            (_, Some(port), _) => [Some(port.waiters().clone()), None],
            (.., Some(file)) => file.file().sources(),
            _ => [None, None],
        }
    }

    /// Calls `tell` with each source that whoever has it may wake, which is where others wait for him: for the
    /// wait graph.
    pub fn wakes(&self, tell: &mut dyn FnMut(&WaitSource)) {
        match (self.channel(), self.file()) {
            (Some(endpoint), _) => endpoint.wakes(tell),
            (_, Some(file)) => file.file().wakes(tell),
            _ => {}
        }
    }

    /// Reads now: the payload of one message, whose handles are dropped, or one packet of a port.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` for a file; `EMSGSIZE` when the message is longer than `into` and stays; `EINVAL` for less than
    /// a packet of room; `EAGAIN`.
    pub fn read(&self, caller: &Caller, into: &mut [u8]) -> Result<usize> {
        if let Some(endpoint) = self.channel() {
            let mut incoming = KernelIncoming { into, length: 0 };
            return match endpoint.try_receive_bytes(caller, None, &mut incoming)? {
                Outcome::Message(sizes) => Ok(sizes.bytes),
                Outcome::TooSmall(_) => Err(Errno::EMSGSIZE),
                Outcome::End => Ok(0),
            };
        }
        let port = self.port().ok_or(Errno::ENOTSUP)?;
        let place = into.get_mut(..Packet::BYTES).ok_or(Errno::EINVAL)?;
        let mut sink = KernelPacket(place);
        port.try_take(None, &mut sink)?;
        Ok(Packet::BYTES)
    }

    /// Writes one message without handles now.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` for anything but a channel; `EMSGSIZE`; else as [`Endpoint::try_send`](crate::channel::Endpoint).
    pub fn write(&self, caller: &Caller, from: &[u8], options: Options) -> Result<usize> {
        let endpoint = self.channel().ok_or(Errno::ENOTSUP)?;
        if from.len() > MESSAGE_BYTES {
            return Err(Errno::EMSGSIZE);
        }
        endpoint.try_send(caller, None, &mut Outgoing::bytes(from), options)?;
        Ok(from.len())
    }

    /// Sends signals to the port that a channel is bound to, whatever its queue holds.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` for anything but a channel; `EINVAL` when there are none.
    pub fn signal(&self, signals: Signals) -> Result<()> {
        let endpoint = self.channel().ok_or(Errno::ENOTSUP)?;
        if signals.is_empty() {
            return Err(Errno::EINVAL);
        }
        endpoint.signal(signals);
        Ok(())
    }
}

/// A message for kernel memory.
struct KernelIncoming<'a> {
    into: &'a mut [u8],
    length: usize,
}

impl Incoming for KernelIncoming<'_> {
    fn room(&self) -> Sizes {
        Sizes { bytes: self.into.len(), handles: HANDLES_PER_MESSAGE }
    }

    fn deliver(&mut self, payload: &[u8], _handles: &[i32]) -> Result<()> {
        self.length = payload.len();
        self.into.get_mut(..payload.len()).ok_or(Errno::EFAULT)?.copy_from_slice(payload);
        Ok(())
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        alloc::boxed::Box::pin(core::future::ready(Err(Errno::EFAULT)))
    }
}

/// A packet for kernel memory.
struct KernelPacket<'a>(&'a mut [u8]);

impl PacketSink for KernelPacket<'_> {
    fn deliver(&mut self, packet: Packet) -> Result<()> {
        self.0.copy_from_slice(&packet.to_bytes());
        Ok(())
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        alloc::boxed::Box::pin(core::future::ready(Err(Errno::EFAULT)))
    }
}
