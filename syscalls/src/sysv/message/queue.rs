//! A queue: sending, receiving, its end.
//!
//! A message goes straight to the first receiver that waits for one like it; a sender that finds no room waits and
//! tries again.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;

use base::caller::{Caller, Capabilities};
use base::charge::Charge;
use base::sync::{LockClass, SpinGuard, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};

use super::super::now;
use super::super::permission::{self, NewOwner, Permissions};
use super::super::settings::QUEUE_BYTES;
use super::super::sleeper::Sleeper;
use super::QUEUES_BY_ID;
use super::selection::Selection;

/// Bytes that a queue takes beside its messages.
const QUEUE_COST: usize = 512;
/// Bytes that a message takes beside its text.
const MESSAGE_COST: usize = 192;
/// Bytes that a waiting receiver takes.
const RECEIVER_COST: usize = 512;

/// A message; its sender pays for it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its type, at least 1.
    pub kind: i64,
    /// Its text.
    pub text: Arc<[u8]>,
    _charge: Arc<Charge>,
}

impl Message {
    /// What a message with `length` bytes of text costs its sender.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn charge(caller: &Caller, length: usize) -> Result<Charge> {
        Charge::new(&caller.account, MESSAGE_COST + length)
    }

    /// A message that has been paid for.
    #[must_use]
    pub fn new(kind: i64, text: Arc<[u8]>, charge: Charge) -> Message {
        Message { kind, text, _charge: Arc::new(charge) }
    }
}

/// What msgrcv(2) asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Which message.
    pub selection: Selection,
    /// Longest text that is taken, bytes: a longer one is an error.
    pub longest: usize,
    /// Fail instead of waiting.
    pub no_wait: bool,
}

/// A receiver that waits.
struct Receiver {
    wish: Wish,
    pid: u32,
    sleeper: Sleeper<Result<Message>>,
    _charge: Charge,
}

/// A message queue.
pub struct MessageQueue {
    id: i32,
    state: SpinLock<State>,
    /// Woken when there is more room.
    room: WaitSource,
}

/// What the lock protects.
pub(super) struct State {
    pub(super) permissions: Permissions,
    pub(super) messages: VecDeque<Message>,
    /// Bytes of text in the queue, and how many there may be.
    pub(super) bytes: u64,
    pub(super) capacity: u64,
    /// When a message was sent and received last, in seconds since the epoch, and by whom.
    pub(super) sent: (u64, u32),
    pub(super) received: (u64, u32),
    pub(super) changed: u64,
    receivers: BTreeMap<u64, Arc<Receiver>>,
    next_ticket: u64,
    removed: bool,
    _charge: Charge,
}

impl State {
    fn fits(&self, length: usize) -> bool {
        self.bytes + length as u64 <= self.capacity && (self.messages.len() as u64) < self.capacity
    }

    /// The first receiver that a message concerns, taken out of the queue.
    fn take_receiver(&mut self, kind: i64) -> Option<Arc<Receiver>> {
        let accepts = |(_, receiver): &(&u64, &Arc<Receiver>)| receiver.wish.selection.accepts(kind);
        let ticket = *self.receivers.iter().find(accepts)?.0;
        self.receivers.remove(&ticket)
    }

    /// Takes the message out that a receiver wishes.
    fn take(&mut self, wish: &Wish, pid: u32) -> Result<Option<Message>> {
        let kinds = self.messages.iter().map(|message| message.kind);
        let Some(place) = wish.selection.find(kinds) else { return Ok(None) };
        let Some(found) = self.messages.get(place) else { return Ok(None) };
        if found.text.len() > wish.longest {
            return Err(Errno::E2BIG);
        }
        if let Selection::Copy(_) = wish.selection {
            return Ok(Some(found.clone()));
        }
        self.bytes -= found.text.len() as u64;
        self.received = (now(), pid);
        Ok(self.messages.remove(place))
    }

    fn check(&self, caller: &Caller, wanted: i32) -> Result<()> {
        self.permissions.check(&caller.credentials, wanted)?;
        if self.removed { Err(Errno::EIDRM) } else { Ok(()) }
    }
}

impl MessageQueue {
    /// An empty queue that the caller pays for.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(permissions: Permissions, caller: &Caller) -> Result<MessageQueue> {
        let id = permissions.id;
        let state = State {
            permissions,
            messages: VecDeque::new(),
            bytes: 0,
            capacity: QUEUE_BYTES.get(),
            sent: (0, 0),
            received: (0, 0),
            changed: now(),
            receivers: BTreeMap::new(),
            next_ticket: 0,
            removed: false,
            _charge: Charge::new(&caller.account, QUEUE_COST)?,
        };
        Ok(MessageQueue {
            id,
            state: SpinLock::new(LockClass::SysvObject, state),
            room: WaitSource::new(WaitKind::SysvMessage, id.unsigned_abs().into()),
        })
    }

    /// Takes the lock.
    pub(super) fn lock(&self) -> SpinGuard<'_, State> {
        self.state.lock()
    }

    /// Checks that the caller may do what `wanted` says.
    ///
    /// # Errors
    ///
    /// `EACCES`; `EIDRM` when the queue was removed.
    pub fn check(&self, caller: &Caller, wanted: i32) -> Result<()> {
        self.lock().check(caller, wanted)
    }

    /// msgsnd(2): puts a message into the queue, and waits until there is room.
    ///
    /// Dropping the future drops the message.
    ///
    /// # Errors
    ///
    /// `EACCES`; `EAGAIN` when there is no room and `no_wait`; `EIDRM`; `EINTR`.
    pub async fn send(&self, caller: &Caller, message: Message, no_wait: bool) -> Result<()> {
        let mut message = Some(message);
        loop {
            let seen = self.room.observe();
            self.try_send(caller, &mut message)?;
            if message.is_none() {
                return Ok(());
            }
            if no_wait {
                return Err(Errno::EAGAIN);
            }
            if self.room.wait(seen, Wait::interruptible()).await == Reason::Signal {
                self.try_send(caller, &mut message)?;
                return if message.is_none() { Ok(()) } else { Err(Errno::EINTR) };
            }
        }
    }

    /// Takes the message if there is room or somebody who waits for it.
    fn try_send(&self, caller: &Caller, message: &mut Option<Message>) -> Result<()> {
        loop {
            let mut state = self.lock();
            state.check(caller, permission::WRITE)?;
            let Some(offered) = message.as_ref().filter(|message| state.fits(message.text.len())) else {
                return Ok(());
            };
            let (kind, length) = (offered.kind, offered.text.len());
            state.sent = (now(), caller.pid);
            let Some(receiver) = state.take_receiver(kind) else {
                state.bytes += length as u64;
                state.messages.extend(message.take());
                return Ok(());
            };
            if length > receiver.wish.longest {
                receiver.sleeper.answer(Err(Errno::E2BIG));
            } else if let Some(message) = message.take() {
                state.received = (now(), receiver.pid);
                receiver.sleeper.answer(Ok(message));
            }
            drop(state);
            receiver.sleeper.wake();
            if message.is_none() {
                return Ok(());
            }
        }
    }

    /// msgrcv(2): takes a message, and waits until there is one.
    ///
    /// Dropping the future leaves the queue; a message that it had been given by then is lost with it.
    ///
    /// # Errors
    ///
    /// `EACCES`; `E2BIG` for a text that is too long; `ENOMSG` when there is none and the wish does not wait;
    /// `EIDRM`; `EINTR`; `ENOMEM`.
    pub async fn receive(&self, caller: &Caller, wish: Wish) -> Result<Message> {
        loop {
            if let Some(message) = self.try_receive(caller, &wish)? {
                return Ok(message);
            }
            if wish.no_wait {
                return Err(Errno::ENOMSG);
            }
            let receiver = Arc::new(Receiver {
                wish,
                pid: caller.pid,
                sleeper: Sleeper::new(WaitKind::SysvMessage, self.id),
                _charge: Charge::new(&caller.account, RECEIVER_COST)?,
            });
            let Some(place) = self.enqueue(caller, &receiver)? else { continue };
            let answer = match receiver.sleeper.wait(None).await {
                Ok(answer) => answer,
                Err(_signal) => {
                    drop(place);
                    // It may have been answered before it left the queue.
                    receiver.sleeper.take().unwrap_or(Err(Errno::EINTR))
                }
            };
            match answer {
                // The permissions may have changed: another look.
                Err(Errno::EAGAIN) => {}
                answer => return answer,
            }
        }
    }

    fn try_receive(&self, caller: &Caller, wish: &Wish) -> Result<Option<Message>> {
        let taken = {
            let mut state = self.lock();
            state.check(caller, permission::READ)?;
            state.take(wish, caller.pid)?
        };
        if taken.is_some() {
            self.room.wake_all(Events::OUT, Reason::Data);
        }
        Ok(taken)
    }

    /// Puts a receiver into the queue, unless there is a message for it now.
    fn enqueue(&self, caller: &Caller, receiver: &Arc<Receiver>) -> Result<Option<InQueue<'_>>> {
        let mut state = self.lock();
        state.check(caller, permission::READ)?;
        if receiver.wish.selection.find(state.messages.iter().map(|message| message.kind)).is_some() {
            return Ok(None);
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.receivers.insert(ticket, receiver.clone());
        Ok(Some(InQueue { queue: self, ticket }))
    }

    /// `IPC_SET`: changes who owns the queue and how many bytes it holds.
    ///
    /// # Errors
    ///
    /// `EPERM` when the caller is neither owner nor privileged, or may not raise the number of bytes above the
    /// limit; `EINVAL` for an id that is none; `EIDRM`.
    pub fn set(&self, caller: &Caller, new: NewOwner, capacity: u64) -> Result<()> {
        let receivers = {
            let mut state = self.lock();
            state.permissions.check_owner(&caller.credentials, Capabilities::SYS_ADMIN)?;
            if capacity > QUEUE_BYTES.get() && !caller.credentials.capable(Capabilities::SYS_RESOURCE) {
                return Err(Errno::EPERM);
            }
            if state.removed {
                return Err(Errno::EIDRM);
            }
            state.permissions.set(new)?;
            state.capacity = capacity;
            state.changed = now();
            core::mem::take(&mut state.receivers)
        };
        self.answer_all(receivers, Errno::EAGAIN);
        Ok(())
    }

    /// `IPC_RMID`: removes the queue and its messages; whoever waits is told so.
    ///
    /// # Errors
    ///
    /// `EPERM` when the caller is neither owner nor privileged; `EIDRM`.
    pub fn remove(&self, caller: &Caller) -> Result<()> {
        let (messages, receivers) = {
            let mut state = self.lock();
            state.permissions.check_owner(&caller.credentials, Capabilities::SYS_ADMIN)?;
            if state.removed {
                return Err(Errno::EIDRM);
            }
            state.removed = true;
            (core::mem::take(&mut state.messages), core::mem::take(&mut state.receivers))
        };
        QUEUES_BY_ID.remove(self.id);
        drop(messages);
        self.answer_all(receivers, Errno::EIDRM);
        Ok(())
    }

    /// Tells everybody who waits.
    fn answer_all(&self, receivers: BTreeMap<u64, Arc<Receiver>>, errno: Errno) {
        for receiver in receivers.into_values() {
            receiver.sleeper.answer(Err(errno));
            receiver.sleeper.wake();
        }
        self.room.wake_all(Events::OUT, Reason::Data);
    }
}

/// A receiver in the queue; its drop takes it out.
struct InQueue<'a> {
    queue: &'a MessageQueue,
    ticket: u64,
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        let removed = self.queue.lock().receivers.remove(&self.ticket);
        drop(removed);
    }
}
