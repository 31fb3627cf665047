//! The descriptor of a port: a read is one packet.

use alloc::sync::Arc;
use core::any::Any;

use base::memory::{BoxFuture, UserBuffer};
use base::{Errno, Result};
use executor::pollwait::Events;
use ipc::port::{Packet, PacketSink, Port};
use ipc::{Capability, Rights};

use super::REVOKED;
use super::held::Held;
use crate::file::{FileOps, Io, OpenFile, Sources};

/// The file of a port.
pub struct PortFile {
    held: Arc<Held>,
    port: Arc<Port>,
}

impl PortFile {
    /// The file of the port that `capability` names.
    ///
    /// # Errors
    ///
    /// `EACCES` when it is revoked; `ENOTSUP` when it names something else.
    pub(super) fn new(capability: Capability) -> Result<Arc<PortFile>> {
        let port = capability.object().port().ok_or(Errno::ENOTSUP)?.clone();
        Ok(Arc::new(PortFile { held: Held::new(capability)?, port }))
    }

    /// The capability through which it works.
    #[must_use]
    pub fn capability(&self) -> &Capability {
        self.held.capability()
    }
}

/// One packet for a program's buffer.
struct Slip<'a, 'm>(&'a mut UserBuffer<'m>);

impl PacketSink for Slip<'_, '_> {
    fn deliver(&mut self, packet: Packet) -> Result<()> {
        let mark = self.0.mark();
        if self.0.put(&packet.to_bytes()) == Ok(Packet::BYTES) {
            return Ok(());
        }
        self.0.rewind(mark);
        Err(Errno::EFAULT)
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        alloc::boxed::Box::pin(core::future::ready(Err(Errno::EFAULT)))
    }
}

impl FileOps for PortFile {
    fn read(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        self.held.check()?;
        if buffer.remaining() < Packet::BYTES {
            return Err(Errno::EINVAL);
        }
        self.port.try_take(Some(self.capability().node()), &mut Slip(buffer))?;
        Ok(Packet::BYTES)
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        match self.held.check() {
            Ok(()) if self.capability().rights().contains(Rights::WAIT) => self.port.readiness(),
            Ok(()) => Events::empty(),
            Err(_) => REVOKED,
        }
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources { input: Some(self.port.waiters()), output: None }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
