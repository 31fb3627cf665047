//! The socket: its states, how it is born and how it ends.
//!
//! ```text
//!                 listen                         accept
//!   Unconnected ----------> Listening - - - - - - - - - -> (a new one, Connected)
//!        |
//!        | connect, pair                 released: dead, its peer hears of it
//!        +----------------> Connected --------------------------------------->
//! ```

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};

use base::caller::Caller;
use base::charge::Charge;
use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use base::sync::{LockClass, SpinGuard, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource};

use super::address::Address;
use super::budget::{Budget, OUT};
use super::credentials::PeerCredentials;
use super::message::Message;
use super::options::{BUFFER_DEFAULT, Options};
use crate::file::{OpenFile, OpenFlags};
use crate::vfs::{AnonymousInode, FileType, Inode, Path, anonymous_place};

/// What a receiver waits for.
pub(super) const IN: Events = Events::IN.union(Events::RDNORM);

/// Messages that a datagram socket holds for senders that it is not connected to, less one:
/// `net.unix.max_dgram_qlen`.
pub(super) const DATAGRAMS_MAX: u32 = 10;

/// Kernel memory that a socket takes.
const SOCKET_BYTES: usize = 1024;

/// Waiting senders that a socket remembers; beyond, all are woken and come again.
const HUNGRY_MAX: usize = 1024;

/// The type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `SOCK_STREAM`: bytes in order.
    Stream,
    /// `SOCK_DGRAM`: messages, to anybody.
    Datagram,
    /// `SOCK_SEQPACKET`: messages in order, over a connection.
    SeqPacket,
}

impl Kind {
    /// The type with Linux's number `raw`; `SOCK_RAW` is a datagram socket.
    ///
    /// # Errors
    ///
    /// `ESOCKTNOSUPPORT` for any other.
    pub fn from_raw(raw: u32) -> Result<Kind> {
        match raw {
            1 => Ok(Kind::Stream),
            2 | 3 => Ok(Kind::Datagram),
            5 => Ok(Kind::SeqPacket),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    /// Linux's number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Kind::Stream => 1,
            Kind::Datagram => 2,
            Kind::SeqPacket => 5,
        }
    }

    /// True when it takes a connection to send.
    #[must_use]
    pub fn is_connected(self) -> bool {
        self != Kind::Datagram
    }
}

/// Where a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Unconnected,
    Listening,
    Connected,
}

bitflags::bitflags! {
    /// Directions, for `shutdown(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ShutDown: u8 {
        /// Nothing comes in any more.
        const RECEIVE = 1;
        /// Nothing goes out any more.
        const SEND = 2;
    }
}

impl ShutDown {
    /// The directions that Linux's `how` means.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside 0..=2.
    pub fn from_raw(how: i32) -> Result<ShutDown> {
        match how {
            0 => Ok(ShutDown::RECEIVE),
            1 => Ok(ShutDown::SEND),
            2 => Ok(ShutDown::all()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The same, seen from the other end.
    fn mirrored(self) -> ShutDown {
        let mut other = ShutDown::empty();
        other.set(ShutDown::RECEIVE, self.contains(ShutDown::SEND));
        other.set(ShutDown::SEND, self.contains(ShutDown::RECEIVE));
        other
    }
}

/// A socket.
pub struct Socket {
    pub(super) this: Weak<Socket>,
    pub(super) kind: Kind,
    pub(super) inode: Arc<AnonymousInode>,
    pub(super) state: SpinLock<State>,
    /// Woken when there is something to receive or to accept.
    pub(super) input: Arc<WaitSource>,
    /// Woken when there may be room for what it wants to send.
    pub(super) output: Arc<WaitSource>,
    pub(super) budget: Arc<Budget>,
    options: Options,
    /// A send found no room since the owner of a file with `O_ASYNC` was told of some.
    found_no_room: AtomicBool,
    /// How often a descriptor or a connection came out of the queue, for the collector.
    pub(super) given_out: AtomicU64,
    _charge: Charge,
}

/// What the lock of a socket protects.
pub(super) struct State {
    pub(super) phase: Phase,
    /// Its last descriptor is gone.
    pub(super) dead: bool,
    pub(super) shut: ShutDown,
    /// What the next call is to report, once: `SO_ERROR`.
    pub(super) error: Option<Errno>,
    pub(super) peer: Option<Arc<Socket>>,
    pub(super) address: Option<Arc<Address>>,
    /// Where its name is, when it is a path.
    pub(super) place: Option<Path>,
    pub(super) queue: VecDeque<Message>,
    /// Of a listening socket: connections that nobody has accepted.
    pub(super) pending: VecDeque<Arc<Socket>>,
    /// Connections, or datagrams, beyond which it is full.
    pub(super) backlog: u32,
    /// Those who found it full, by the number of their inode.
    pub(super) hungry: BTreeMap<u64, Arc<WaitSource>>,
    pub(super) peer_credentials: Option<PeerCredentials>,
    /// It waits in a queue to be accepted.
    pub(super) embryo: bool,
}

impl State {
    fn new() -> State {
        State {
            phase: Phase::Unconnected,
            dead: false,
            shut: ShutDown::empty(),
            error: None,
            peer: None,
            address: None,
            place: None,
            queue: VecDeque::new(),
            pending: VecDeque::new(),
            backlog: DATAGRAMS_MAX,
            hungry: BTreeMap::new(),
            peer_credentials: None,
            embryo: false,
        }
    }

    /// True when `socket` is its peer.
    pub(super) fn is_peer(&self, socket: &Socket) -> bool {
        self.peer.as_ref().is_some_and(|peer| core::ptr::eq(&raw const **peer, socket))
    }

    /// The error that is to be reported, which it is thereby.
    pub(super) fn take_error(&mut self) -> Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl Socket {
    /// A socket that is connected to nobody. Nobody knows it until it is an open file.
    pub(super) fn new(caller: &Caller, kind: Kind) -> Result<Arc<Socket>> {
        let charge = Charge::new(&caller.account, SOCKET_BYTES)?;
        let credentials = &caller.credentials;
        let inode = AnonymousInode::new(FileType::Socket, 0o777, credentials.fsuid, credentials.fsgid);
        let input = Arc::new(WaitSource::new(WaitKind::Socket, inode.ino()));
        let output = Arc::new(WaitSource::new(WaitKind::Socket, inode.ino()));
        let socket = Arc::new_cyclic(|this| Socket {
            this: this.clone(),
            kind,
            inode: Arc::new(inode),
            state: SpinLock::new(LockClass::Socket, State::new()),
            budget: Budget::new(BUFFER_DEFAULT, output.clone()),
            input,
            output,
            options: Options::default(),
            found_no_room: AtomicBool::new(false),
            given_out: AtomicU64::new(0),
            _charge: charge,
        });
        super::table::add(&socket);
        Ok(socket)
    }

    /// `socket(2)`: a new socket. Of `flags`, `O_NONBLOCK` counts.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`.
    pub fn open(caller: &Caller, kind: Kind, flags: OpenFlags) -> Result<Arc<OpenFile>> {
        Self::new(caller, kind)?.into_file(caller, flags)
    }

    /// Makes it an open file; if that fails it has ended.
    pub(super) fn into_file(self: Arc<Socket>, caller: &Caller, flags: OpenFlags) -> Result<Arc<OpenFile>> {
        let inode: Arc<dyn Inode> = self.inode.clone();
        let place = anonymous_place(inode, self.inode.title("socket").as_bytes());
        let flags = flags & OpenFlags::NONBLOCK | OpenFlags::RDWR;
        OpenFile::new(caller, self.clone(), place, flags).inspect_err(|_| self.end())
    }

    /// The socket behind an open file.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` when it is something else.
    pub fn of(file: &OpenFile) -> Result<&Socket> {
        file.ops_as().ok_or(Errno::ENOTSOCK)
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What `setsockopt(2)` changes.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// `SO_SNDBUF`.
    #[must_use]
    pub fn send_buffer(&self) -> usize {
        self.budget.limit()
    }

    /// Sets `SO_SNDBUF`; those who wait for room look again.
    pub fn set_send_buffer(&self, bytes: usize) {
        self.budget.set_limit(bytes);
    }

    /// `SO_ACCEPTCONN`: true when it listens.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.state.lock().phase == Phase::Listening
    }

    /// `SO_ERROR`: the error that is to be reported, which it is thereby.
    #[must_use]
    pub fn take_error(&self) -> Option<Errno> {
        self.state.lock().error.take()
    }

    /// Leaves an error for the next call: `recvmmsg(2)`.
    pub fn leave_error(&self, error: Errno) {
        self.state.lock().error = Some(error);
        self.input.wake_all(Events::ERR, Reason::Data);
    }

    /// `SO_PEERCRED`: who connected, listened or made the pair.
    #[must_use]
    pub fn peer_credentials(&self) -> Option<PeerCredentials> {
        self.state.lock().peer_credentials.clone()
    }

    /// A send found no room: the owner of a file with `O_ASYNC` wants to hear of the next.
    pub(super) fn note_lack_of_room(&self) {
        self.found_no_room.store(true, Ordering::Relaxed);
    }

    /// True when a send found no room since this was asked last.
    pub(super) fn take_lack_of_room(&self) -> bool {
        self.found_no_room.swap(false, Ordering::Relaxed)
    }

    /// Itself, to be kept.
    pub(super) fn own(&self) -> Result<Arc<Socket>> {
        self.this.upgrade().ok_or(Errno::EBADF)
    }

    /// The socket that it is connected to.
    pub(super) fn peer(&self) -> Option<Arc<Socket>> {
        self.state.lock().peer.clone()
    }

    /// Locks two sockets, in the order of their addresses; the first guard is that of `self`.
    pub(super) fn lock_both<'a>(
        &'a self,
        other: &'a Socket,
    ) -> (SpinGuard<'a, State>, Option<SpinGuard<'a, State>>) {
        let (mine, theirs) = (core::ptr::from_ref(self).addr(), core::ptr::from_ref(other).addr());
        if mine == theirs {
            (self.state.lock(), None)
        } else if mine < theirs {
            let own = self.state.lock();
            (own, Some(other.state.lock_nested()))
        } else {
            let other = other.state.lock();
            (self.state.lock_nested(), Some(other))
        }
    }

    /// Notes under the lock of a socket that is full who wants to come again.
    pub(super) fn is_hungry_at(&self, full: &mut State) {
        if full.hungry.len() >= HUNGRY_MAX {
            feed(core::mem::take(&mut full.hungry));
        }
        full.hungry.insert(self.inode.ino(), self.output.clone());
    }

    /// Everybody who waits for this socket looks again.
    pub(super) fn state_changed(&self, events: Events, reason: Reason) {
        self.input.wake_all(IN | events, reason);
        self.output.wake_all(OUT | events, reason);
    }

    /// `shutdown(2)`: closes directions, here and at the other end of a connection.
    pub fn shut_down(&self, how: ShutDown) {
        let (peer, hungry) = {
            let mut state = self.state.lock();
            state.shut |= how;
            (state.peer.clone(), core::mem::take(&mut state.hungry))
        };
        feed(hungry);
        self.state_changed(Events::RDHUP, Reason::Hup);
        if let Some(peer) = peer.filter(|_| self.kind.is_connected()) {
            peer.state.lock().shut |= how.mirrored();
            peer.state_changed(Events::RDHUP, Reason::Hup);
        }
    }

    /// Its last descriptor is gone, or it never got one: what is in its queue goes, and its peer hears of it.
    pub(super) fn end(&self) {
        let (address, place, peer, queue, pending, hungry, embryo) = {
            let mut state = self.state.lock();
            state.dead = true;
            state.shut = ShutDown::all();
            state.phase = Phase::Unconnected;
            (
                state.address.take(),
                state.place.take(),
                state.peer.take(),
                core::mem::take(&mut state.queue),
                core::mem::take(&mut state.pending),
                core::mem::take(&mut state.hungry),
                state.embryo,
            )
        };
        super::table::remove(self.inode.ino());
        if let Some(address) = &address {
            super::names::remove(address, self);
        }
        drop(place);
        feed(hungry);
        if let Some(peer) = peer {
            if self.kind.is_connected() {
                let mut state = peer.state.lock();
                state.shut = ShutDown::all();
                if !queue.is_empty() || embryo {
                    state.error = Some(Errno::ECONNRESET);
                }
                drop(state);
                peer.state_changed(Events::HUP | Events::RDHUP, Reason::Hup);
            } else {
                // Whoever polls it for writing learns that sending fails now.
                peer.state.lock().hungry.remove(&self.inode.ino());
            }
        }
        for connection in pending {
            connection.end();
        }
        drop(queue);
        super::collector::request();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        super::table::remove(self.inode.ino());
    }
}

/// Wakes those who found a socket full.
pub(super) fn feed(hungry: BTreeMap<u64, Arc<WaitSource>>) {
    for source in hungry.into_values() {
        source.wake_all(OUT, Reason::Data);
    }
}

/// `socketpair(2)`: two sockets, connected to each other. Of `flags`, `O_NONBLOCK` counts.
///
/// # Errors
///
/// `ENFILE`, `ENOMEM`.
pub fn pair(caller: &Caller, kind: Kind, flags: OpenFlags) -> Result<(Arc<OpenFile>, Arc<OpenFile>)> {
    let (one, other) = (Socket::new(caller, kind)?, Socket::new(caller, kind)?);
    for (socket, peer) in [(&one, &other), (&other, &one)] {
        let mut state = socket.state.lock();
        state.phase = Phase::Connected;
        state.peer = Some(peer.clone());
        state.peer_credentials = Some(PeerCredentials::of(caller));
    }
    let first = match one.into_file(caller, flags) {
        Ok(file) => file,
        Err(error) => {
            other.end();
            return Err(error);
        }
    };
    Ok((first, other.into_file(caller, flags)?))
}
