//! The descriptor of a channel's end: a read is one message, a write is one message.

use alloc::sync::Arc;
use core::any::Any;

use base::memory::{BoxFuture, UserBuffer};
use base::{Errno, Result};
use executor::pollwait::{Events, WaitSource};
use ipc::channel::{Endpoint, Incoming, MESSAGE_BYTES, Options, Outcome, Outgoing, Sizes};
use ipc::{Capability, Rights};

use super::REVOKED;
use super::held::Held;
use crate::file::{FileOps, Io, OpenFile, Sources};

/// The file of an end. Descriptors that were duplicated, inherited or passed on share it, and the end stays
/// open as long as it lives.
pub struct ChannelFile {
    held: Arc<Held>,
    endpoint: Arc<Endpoint>,
}

impl ChannelFile {
    /// The file of the channel that `capability` names.
    ///
    /// # Errors
    ///
    /// `EACCES` when it is revoked; `ENOTSUP` when it names something else.
    pub(super) fn new(capability: Capability) -> Result<Arc<ChannelFile>> {
        let endpoint = capability.object().channel().ok_or(Errno::ENOTSUP)?.clone();
        Ok(Arc::new(ChannelFile { held: Held::new(capability)?, endpoint }))
    }

    /// The channel's end.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The capability through which it works.
    #[must_use]
    pub fn capability(&self) -> &Capability {
        self.held.capability()
    }
}

/// One message for a program's buffer.
struct Message<'a, 'm>(&'a mut UserBuffer<'m>);

impl Incoming for Message<'_, '_> {
    fn room(&self) -> Sizes {
        Sizes { bytes: self.0.remaining(), handles: usize::MAX }
    }

    fn deliver(&mut self, payload: &[u8], _handles: &[i32]) -> Result<()> {
        let mark = self.0.mark();
        if payload.is_empty() || self.0.put(payload) == Ok(payload.len()) {
            return Ok(());
        }
        self.0.rewind(mark);
        Err(Errno::EFAULT)
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        // The loop around the operations does that.
        alloc::boxed::Box::pin(core::future::ready(Err(Errno::EFAULT)))
    }
}

impl FileOps for ChannelFile {
    fn read(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        self.held.check()?;
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.endpoint.try_receive_bytes(
            io.caller,
            Some(self.capability().node()),
            &mut Message(buffer),
        )? {
            Outcome::Message(sizes) => Ok(sizes.bytes),
            Outcome::TooSmall(_) => Err(Errno::EMSGSIZE),
            Outcome::End => Ok(0),
        }
    }

    fn write(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        self.held.check()?;
        let mut payload = [0; MESSAGE_BYTES];
        let length = buffer.remaining();
        let payload = payload.get_mut(..length).ok_or(Errno::EMSGSIZE)?;
        if payload.is_empty() {
            return Ok(0);
        }
        let mark = buffer.mark();
        let sent = match buffer.take(payload) {
            Ok(taken) if taken == length => {
                let (by, mut outgoing) = (self.capability().node(), Outgoing::bytes(payload));
                self.endpoint.try_send(io.caller, Some(by), &mut outgoing, Options::NONBLOCK)
            }
            _ => Err(Errno::EFAULT),
        };
        if let Err(error) = sent {
            buffer.rewind(mark);
            return Err(error);
        }
        Ok(length)
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        if self.held.check().is_err() {
            return REVOKED;
        }
        let mut events = self.endpoint.readiness();
        if !self.capability().rights().contains(Rights::READ) {
            events -= Events::IN | Events::RDNORM;
        }
        if !self.capability().rights().contains(Rights::WRITE) {
            events -= Events::OUT | Events::WRNORM;
        }
        events
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources { input: Some(self.endpoint.readers()), output: Some(self.endpoint.writers()) }
    }

    fn wakes(&self, _file: &OpenFile, tell: &mut dyn FnMut(&WaitSource)) {
        self.endpoint.wakes(tell);
    }

    fn writes_all(&self) -> bool {
        false
    }

    fn signals_broken_pipe(&self, _moved: usize) -> bool {
        false
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
