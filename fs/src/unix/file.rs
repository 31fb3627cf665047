//! A socket as an open file: read, write, poll, ioctl.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;

use base::memory::{BoxFuture, UserBuffer};
use base::{Errno, Result};
use executor::pollwait::{Events, WaitSource};

use super::budget::OUT;
use super::receive::{ReceiveFlags, Reception};
use super::send::Outgoing;
use super::socket::{IN, Kind, Phase, ShutDown, Socket};
use crate::file::{Expiry, FileOps, Io, IoFlags, OpenFile, OpenFlags, Patience, Sources, Way, put_user};

/// Requests of `ioctl(2)`: bytes to receive, bytes on their way.
const SIOCINQ: u32 = 0x541b;
const SIOCOUTQ: u32 = 0x5411;

impl Socket {
    /// Bytes that can be received: all of a connection, the first message of a datagram socket.
    fn receivable(&self) -> Result<usize> {
        let state = self.state.lock();
        if state.phase == Phase::Listening {
            return Err(Errno::EINVAL);
        }
        let lengths = state.queue.iter().map(|message| message.rest().len());
        Ok(if self.kind.is_connected() { lengths.sum() } else { lengths.take(1).sum() })
    }

    /// True when a send would find room. A datagram socket whose peer is full is told when it is not any more.
    fn is_writable(&self, phase: Phase, peer: Option<&Socket>) -> bool {
        if phase == Phase::Listening || !self.budget.is_writable() {
            return false;
        }
        match peer {
            Some(peer) if self.kind == Kind::Datagram => {
                let mut state = peer.state.lock();
                let full = !state.dead && state.is_full_for(self);
                if full {
                    self.is_hungry_at(&mut state);
                }
                !full
            }
            _ => true,
        }
    }
}

impl FileOps for Socket {
    fn read(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let waits = !io.flags.contains(IoFlags::NONBLOCK);
        let before = buffer.moved();
        // What comes along with the bytes is closed: there is no place for it.
        let mut reception = Reception::default();
        let got = self.receive_once(buffer, ReceiveFlags::empty(), &mut reception, before + 1, waits)?;
        Ok(if self.kind == Kind::Stream { got - before } else { got })
    }

    fn write(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        self.send_once(io.caller, buffer, &mut Outgoing::default())
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let (mut events, phase, peer) = {
            let state = self.state.lock();
            let mut events = Events::empty();
            if state.error.is_some() {
                events |= Events::ERR;
            }
            if state.shut == ShutDown::all() {
                events |= Events::HUP;
            }
            if state.shut.contains(ShutDown::RECEIVE) {
                events |= IN | Events::RDHUP;
            }
            if !state.queue.is_empty() || !state.pending.is_empty() {
                events |= IN;
            }
            if self.kind.is_connected() && state.phase == Phase::Unconnected {
                events |= Events::HUP;
            }
            (events, state.phase, state.peer.clone())
        };
        if self.is_writable(phase, peer.as_deref()) {
            events |= OUT;
        }
        events
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources { input: Some(&self.input), output: Some(&self.output) }
    }

    fn wakes(&self, _file: &OpenFile, tell: &mut dyn FnMut(&WaitSource)) {
        let (peer, hungry) = {
            let state = self.state.lock();
            let hungry: Vec<_> = state.hungry.values().cloned().collect();
            (state.peer.clone(), hungry)
        };
        if let Some(peer) = peer {
            // Anybody may send to a datagram socket that has a name.
            if self.kind.is_connected() || peer.state.lock().address.is_none() {
                tell(&peer.input);
            }
            tell(&peer.output);
        }
        hungry.iter().for_each(|source| tell(source));
    }

    fn announces(&self) -> bool {
        true
    }

    fn announce(&self, woken: Events) -> Option<Events> {
        [Events::HUP, Events::IN].into_iter().find(|event| woken.contains(*event)).or_else(|| {
            let told = woken.contains(Events::OUT) && self.take_lack_of_room();
            told.then_some(Events::OUT)
        })
    }

    fn writes_all(&self) -> bool {
        self.kind == Kind::Stream
    }

    fn fails_again(&self) -> bool {
        false
    }

    fn splices(&self, _way: Way) -> bool {
        true
    }

    fn patience(&self, _file: &OpenFile, way: Way, _moved: usize) -> Patience {
        let limit = match way {
            Way::Read => self.options().receive_timeout(),
            Way::Write => self.options().send_timeout(),
        };
        Patience { limit, expiry: Expiry::Error, ..Patience::default() }
    }

    fn signals_broken_pipe(&self, moved: usize) -> bool {
        self.kind == Kind::Stream && moved == 0
    }

    fn ioctl<'a>(&'a self, io: &'a Io<'a>, request: u32, argument: u64) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let count = match request {
                SIOCINQ => self.receivable()?,
                SIOCOUTQ => self.budget.used(),
                _ => return Err(Errno::ENOTTY),
            };
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            put_user(io.caller, argument, &count.to_ne_bytes()).await?;
            Ok(0)
        })
    }

    fn set_status(&self, _file: &OpenFile, new: OpenFlags) -> Result<()> {
        if new.contains(OpenFlags::DIRECT) { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn released(&self, _file: &OpenFile) {
        self.end();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
