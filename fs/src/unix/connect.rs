//! connect(2): a connection for streams and sequenced packets, a default receiver for datagrams.

use alloc::sync::Arc;

use base::{Errno, Result};
use executor::pollwait::Reason;

use super::address::{self, AF_UNSPEC};
use super::budget::OUT;
use super::credentials::PeerCredentials;
use super::options::{Endurance, Waits};
use super::socket::{IN, Kind, Phase, ShutDown, Socket, feed};
use crate::vfs::Subject;

impl Socket {
    /// `connect(2)` to the socket named in `raw`. A connection may wait for room in the listening socket's queue,
    /// if `waits`; a drop leaves the socket as it was.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a bad address or a socket that listens; `EISCONN`; `ECONNREFUSED` when nobody listens there;
    /// `EPROTOTYPE`; `EAGAIN` when the queue is full; `EPERM` when the receiver of datagrams is connected to
    /// somebody else; `EINTR`; and those of the walk.
    pub async fn connect(&self, subject: Subject<'_>, raw: &[u8], waits: bool) -> Result<()> {
        if self.kind == Kind::Datagram {
            return self.connect_datagram(subject, raw);
        }
        let endurance = Endurance::new(waits, self.options().send_timeout());
        if self.tells_credentials() {
            self.bind_any()?;
        }
        let mut waiting = Waits::new(endurance);
        loop {
            let seen = self.output.observe();
            match self.try_connect(subject, raw) {
                Err(Errno::EAGAIN) => waiting.wait(&self.output, seen, OUT).await?,
                result => return result,
            }
        }
    }

    /// One attempt to put the other end of a connection into a listening socket's queue.
    fn try_connect(&self, subject: Subject<'_>, raw: &[u8]) -> Result<()> {
        address::Wanted::decode_named(raw)?;
        // Made first: nothing can fail once the two are tied together.
        let end = Socket::new(subject.caller, self.kind)?;
        let listener = Socket::find(subject, raw, self.kind)?;
        let (mut own, listening) = self.lock_both(&listener);
        let Some(mut listening) = listening else {
            // It is the socket itself.
            let phase = own.phase;
            drop(own);
            return Err(if phase == Phase::Listening { Errno::EINVAL } else { Errno::ECONNREFUSED });
        };
        let refusal = if listening.phase != Phase::Listening || listening.shut.contains(ShutDown::RECEIVE) {
            Some(Errno::ECONNREFUSED)
        } else if listening.pending.len() > listening.backlog as usize {
            self.is_hungry_at(&mut listening);
            Some(Errno::EAGAIN)
        } else {
            match own.phase {
                Phase::Unconnected => None,
                Phase::Connected => Some(Errno::EISCONN),
                Phase::Listening => Some(Errno::EINVAL),
            }
        };
        if let Some(error) = refusal {
            return Err(error);
        }
        let this = self.own()?;
        {
            // Nobody else knows it yet.
            let mut other = end.state.lock_nested();
            other.phase = Phase::Connected;
            other.peer = Some(this);
            other.peer_credentials = Some(PeerCredentials::of(subject.caller));
            other.address.clone_from(&listening.address);
            other.embryo = true;
        }
        end.options().inherit(listener.options());
        own.phase = Phase::Connected;
        own.peer = Some(end.clone());
        own.peer_credentials.clone_from(&listening.peer_credentials);
        listening.pending.push_back(end);
        drop((own, listening));
        listener.input.wake_one(IN, Reason::Data);
        self.output.wake_all(OUT, Reason::Data);
        Ok(())
    }

    fn connect_datagram(&self, subject: Subject<'_>, raw: &[u8]) -> Result<()> {
        let family = address::family(raw).ok_or(Errno::EINVAL)?;
        if family == AF_UNSPEC {
            self.set_receiver(None);
            return Ok(());
        }
        address::Wanted::decode_named(raw)?;
        if self.tells_credentials() {
            self.bind_any()?;
        }
        let receiver = Socket::find(subject, raw, self.kind)?;
        {
            let (mut own, other) = self.lock_both(&receiver);
            let state = other.as_deref().unwrap_or(&*own);
            if state.dead {
                return Err(Errno::ECONNREFUSED);
            }
            if state.peer.is_some() && !state.is_peer(self) {
                return Err(Errno::EPERM);
            }
            own.phase = Phase::Connected;
            if let Some(mut other) = other {
                other.phase = Phase::Connected;
            }
        }
        self.set_receiver(Some(receiver));
        Ok(())
    }

    /// Datagrams without an address go to `receiver` from now on.
    fn set_receiver(&self, receiver: Option<Arc<Socket>>) {
        let old = {
            let mut state = self.state.lock();
            if receiver.is_none() {
                state.phase = Phase::Unconnected;
            }
            core::mem::replace(&mut state.peer, receiver.clone())
        };
        // Whoever polls it looks at another receiver now.
        self.output.wake_all(OUT, Reason::Data);
        if let Some(old) = old.filter(|old| receiver.as_ref().is_none_or(|new| !Arc::ptr_eq(old, new))) {
            self.disconnected_from(&old);
        }
    }

    /// Gives a message another receiver than the peer: `sendto(2)`.
    ///
    /// # Errors
    ///
    /// For a stream, `EISCONN` or `EOPNOTSUPP`; else as [`Socket::connect`].
    pub fn address_to(&self, subject: Subject<'_>, raw: &[u8], outgoing: &mut super::Outgoing) -> Result<()> {
        match self.kind {
            Kind::Stream => {
                let connected = self.state.lock().phase == Phase::Connected;
                Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP })
            }
            // A connection has its receiver; what is named is not looked at.
            Kind::SeqPacket => Ok(()),
            Kind::Datagram => {
                address::Wanted::decode_named(raw)?;
                outgoing.to = Some(Socket::find(subject, raw, self.kind)?);
                Ok(())
            }
        }
    }

    /// Lets those look again who found the queue full.
    pub(super) fn feed_all(&self) {
        let hungry = core::mem::take(&mut self.state.lock().hungry);
        feed(hungry);
    }
}
