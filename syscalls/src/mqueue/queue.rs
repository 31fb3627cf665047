//! A queue: messages by priority, those who wait.
//!
//! A message goes straight to the receiver that waits longest, and the message of the sender that waits longest takes
//! the room that a receiver makes, in the same step: nobody who comes later gets in between.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use base::caller::Caller;
use base::charge::Charge;
use base::sync::{LockClass, SpinLock};
use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource};
use fs::file::AccessMode;

use super::notify::Registration;
use super::settings::{Limits, Share};
use crate::process::Process;
use crate::sysv::sleeper::Sleeper;

/// Bytes that a queue takes beside its messages.
const QUEUE_COST: usize = 1024;
/// Bytes that a message takes beside its text, and a thread that waits.
const MESSAGE_COST: usize = 192;
const WAITER_COST: usize = 512;

/// A message; its sender pays for it.
pub struct Message {
    /// Its priority.
    pub priority: u32,
    /// Its text.
    pub text: Arc<[u8]>,
    _charge: Charge,
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
    pub fn new(priority: u32, text: Arc<[u8]>, charge: Charge) -> Message {
        Message { priority, text, _charge: charge }
    }
}

/// How long a call waits.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Not at all.
    None,
    /// Until then, or for ever.
    Until(Option<Instant>),
}

/// A receiver that waits.
struct Receiver {
    sleeper: Sleeper<Message>,
    _charge: Charge,
}

/// A sender that waits, and its message.
struct Sender {
    message: SpinLock<Option<Message>>,
    sleeper: Sleeper<()>,
    _charge: Charge,
}

/// A message queue.
pub struct Queue {
    limits: Limits,
    state: SpinLock<State>,
    /// Woken when there is a message or room, for those who poll.
    changed: Arc<WaitSource>,
    _share: Share,
    _charge: Charge,
}

#[derive(Default)]
struct State {
    /// By priority, the highest first, and in the order in which they came.
    messages: BTreeMap<(Reverse<u32>, u64), Message>,
    bytes: usize,
    receivers: BTreeMap<u64, Arc<Receiver>>,
    senders: BTreeMap<u64, Arc<Sender>>,
    /// Of messages and of those who wait.
    next_ticket: u64,
    registration: Option<Registration>,
}

impl State {
    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn insert(&mut self, message: Message) {
        self.bytes += message.text.len();
        let key = (Reverse(message.priority), self.ticket());
        self.messages.insert(key, message);
    }
}

/// A queue as it is now: messages, bytes of their texts, and who is told.
pub struct Status {
    /// Messages.
    pub messages: usize,
    /// Bytes of their texts.
    pub bytes: usize,
    /// As [`Registration::description`].
    pub notification: (i32, i32, u32),
}

impl Queue {
    /// An empty queue that the caller pays for.
    ///
    /// # Errors
    ///
    /// As [`Share::take`]; `ENOMEM`.
    pub fn new(caller: &Caller, limits: Limits) -> Result<Queue> {
        Ok(Queue {
            limits,
            state: SpinLock::new(LockClass::SysvObject, State::default()),
            changed: Arc::new(WaitSource::new(WaitKind::MessageQueue, 0)),
            _share: Share::take(caller, limits)?,
            _charge: Charge::new(&caller.account, QUEUE_COST)?,
        })
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Woken when there is a message or room.
    #[must_use]
    pub fn source(&self) -> &Arc<WaitSource> {
        &self.changed
    }

    /// Calls `tell` with where those wait whom somebody with such a descriptor may wake: for the wait graph.
    pub fn wakes(&self, access: AccessMode, tell: &mut dyn FnMut(&WaitSource)) {
        let (receivers, senders): (Vec<_>, Vec<_>) = {
            let state = self.state.lock();
            let (writes, reads) = (access.contains(AccessMode::WRITE), access.contains(AccessMode::READ));
            (
                state.receivers.values().filter(|_| writes).cloned().collect(),
                state.senders.values().filter(|_| reads).cloned().collect(),
            )
        };
        receivers.iter().for_each(|receiver| tell(receiver.sleeper.source()));
        senders.iter().for_each(|sender| tell(sender.sleeper.source()));
        tell(&self.changed);
    }

    /// The queue as it is now.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        Status {
            messages: state.messages.len(),
            bytes: state.bytes,
            notification: state.registration.as_ref().map_or((0, 0, 0), Registration::description),
        }
    }

    /// What it is ready for.
    #[must_use]
    pub fn poll(&self) -> Events {
        let count = self.state.lock().messages.len() as u64;
        let mut events = Events::empty();
        events.set(Events::IN | Events::RDNORM, count > 0);
        events.set(Events::OUT | Events::WRNORM, count < self.limits.messages);
        events
    }

    /// mq_timedsend(3): puts a message into the queue, and waits until there is room.
    ///
    /// Dropping the future takes the message back, unless a receiver had taken it by then.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is no room and no patience; `ETIMEDOUT`, `EINTR`, `ENOMEM`.
    pub async fn send(&self, caller: &Caller, message: Message, patience: Patience) -> Result<()> {
        let Some(message) = self.try_send(caller, message) else { return Ok(()) };
        let Patience::Until(deadline) = patience else { return Err(Errno::EAGAIN) };
        let sender = Arc::new(Sender {
            message: SpinLock::new(LockClass::SysvSleeper, Some(message)),
            sleeper: Sleeper::new(WaitKind::MessageQueue, 0),
            _charge: Charge::new(&caller.account, WAITER_COST)?,
        });
        let Some(place) = self.enqueue_sender(caller, &sender) else { return Ok(()) };
        let reason = match sender.sleeper.wait(deadline).await {
            Ok(()) => return Ok(()),
            Err(reason) => reason,
        };
        drop(place);
        // It may have been answered before it left the queue.
        sender.sleeper.take().ok_or_else(|| error_of(reason))
    }

    /// Hands the message on or keeps it; gives it back when there is no room.
    fn try_send(&self, caller: &Caller, message: Message) -> Option<Message> {
        let mut state = self.state.lock();
        if let Some((_, receiver)) = state.receivers.pop_first() {
            receiver.sleeper.answer(message);
            drop(state);
            receiver.sleeper.wake();
            return None;
        }
        if state.messages.len() as u64 >= self.limits.messages {
            return Some(message);
        }
        let was_empty = state.messages.is_empty();
        state.insert(message);
        let registration = if was_empty { state.registration.take() } else { None };
        drop(state);
        if let Some(registration) = registration {
            registration.tell(caller);
        }
        self.changed.wake_all(Events::IN | Events::RDNORM, Reason::Data);
        None
    }

    /// Puts a sender into the queue, unless there is room now: then its message is sent.
    fn enqueue_sender<'a>(&'a self, caller: &Caller, sender: &Arc<Sender>) -> Option<InQueue<'a>> {
        loop {
            {
                let mut state = self.state.lock();
                let full = state.messages.len() as u64 >= self.limits.messages;
                if full && state.receivers.is_empty() {
                    let ticket = state.ticket();
                    state.senders.insert(ticket, sender.clone());
                    return Some(InQueue { queue: self, ticket });
                }
            }
            let message = sender.message.lock().take()?;
            let back = self.try_send(caller, message)?;
            *sender.message.lock() = Some(back);
        }
    }

    /// mq_timedreceive(3): takes the oldest of the messages with the highest priority, and waits until there is one.
    ///
    /// Dropping the future leaves the queue; a message that it had been given by then is lost with it.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is none and no patience; `ETIMEDOUT`, `EINTR`, `ENOMEM`.
    pub async fn receive(&self, caller: &Caller, patience: Patience) -> Result<Message> {
        if let Some(message) = self.try_receive() {
            return Ok(message);
        }
        let Patience::Until(deadline) = patience else { return Err(Errno::EAGAIN) };
        let receiver = Arc::new(Receiver {
            sleeper: Sleeper::new(WaitKind::MessageQueue, 0),
            _charge: Charge::new(&caller.account, WAITER_COST)?,
        });
        let place = loop {
            if let Some(place) = self.enqueue_receiver(&receiver) {
                break place;
            }
            if let Some(message) = self.try_receive() {
                return Ok(message);
            }
        };
        let reason = match receiver.sleeper.wait(deadline).await {
            Ok(message) => return Ok(message),
            Err(reason) => reason,
        };
        drop(place);
        // It may have been answered before it left the queue.
        receiver.sleeper.take().ok_or_else(|| error_of(reason))
    }

    fn try_receive(&self) -> Option<Message> {
        let mut state = self.state.lock();
        let (_, message) = state.messages.pop_first()?;
        state.bytes -= message.text.len();
        let sender = state.senders.pop_first().map(|(_, sender)| sender);
        if let Some(sender) = &sender {
            let waiting = sender.message.lock().take();
            if let Some(waiting) = waiting {
                state.insert(waiting);
            }
            sender.sleeper.answer(());
        }
        drop(state);
        match sender {
            Some(sender) => sender.sleeper.wake(),
            None => {
                self.changed.wake_all(Events::OUT | Events::WRNORM, Reason::Data);
            }
        }
        Some(message)
    }

    fn enqueue_receiver(&self, receiver: &Arc<Receiver>) -> Option<InQueue<'_>> {
        let mut state = self.state.lock();
        if !state.messages.is_empty() {
            return None;
        }
        let ticket = state.ticket();
        state.receivers.insert(ticket, receiver.clone());
        Some(InQueue { queue: self, ticket })
    }

    /// mq_notify(3): has a process told of the next message in the empty queue.
    ///
    /// # Errors
    ///
    /// `EBUSY` when another one, or this one, is to be told.
    pub fn register(&self, registration: Registration) -> Result<()> {
        let mut state = self.state.lock();
        if state.registration.is_some() {
            return Err(Errno::EBUSY);
        }
        state.registration = Some(registration);
        Ok(())
    }

    /// The process is not to be told any more.
    pub fn unregister(&self, process: &Arc<Process>) {
        let mut state = self.state.lock();
        let registration = state.registration.take_if(|registration| registration.is_of(process));
        drop(state);
        drop(registration);
    }
}

/// How a wait ended that brought nothing.
fn error_of(reason: Reason) -> Errno {
    if reason == Reason::Timeout { Errno::ETIMEDOUT } else { Errno::EINTR }
}

/// A thread that waits in a queue; its drop takes it out.
struct InQueue<'a> {
    queue: &'a Queue,
    ticket: u64,
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        let receiver = state.receivers.remove(&self.ticket);
        let sender = state.senders.remove(&self.ticket);
        drop(state);
        drop((receiver, sender));
    }
}
