//! The state that both ends of a channel share, under one lock, and closing.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::Result;
use base::caller::Caller;
use base::charge::Charge;
use base::fault::{self, Point};
use base::sync::{LockClass, SpinLock};
use base::trace::channel::{Op, State, Wake};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource};

use super::QUEUE_MESSAGES;
use super::direct::Direct;
use super::message::{Blocks, Large, Message, Queue};
use super::owners::Owners;
use super::pool;
use crate::port::{Binding, Signals};
use crate::stats::{Counter, bump};
use crate::teardown::bury;
use crate::trace;

/// Blocks that each end has from the start.
const OWN_BLOCKS: usize = 4;

/// Direct receivers of an end that need no allocation.
const OWN_DIRECT: usize = 2;

/// Both ends. An endpoint holds it, not the other endpoint, so that the two never keep each other.
pub(super) struct Pair {
    pub(super) ids: [u32; 2],
    pub(super) ends: [Arc<End>; 2],
    pub(super) state: SpinLock<PairState>,
    _charge: Charge,
}

/// Where one waits at one end, and who keeps it open.
pub(super) struct End {
    pub(super) owners: Owners,
    pub(super) readers: Arc<WaitSource>,
    pub(super) writers: Arc<WaitSource>,
    /// Callers that wait for replies.
    pub(super) calls: WaitSource,
}

pub(super) struct PairState {
    pub(super) sides: [Side; 2],
}

impl PairState {
    /// Both ends are open.
    #[inline]
    pub(super) fn are_open(&self) -> bool {
        self.sides.iter().all(|side| side.open)
    }
}

/// What belongs to one end.
pub(super) struct Side {
    pub(super) open: bool,
    /// What it has to receive.
    pub(super) queue: Queue,
    /// Who wants a message handed over.
    pub(super) waiting: Vec<Direct>,
    /// Where its signals go.
    pub(super) binding: Option<Arc<Binding>>,
    /// Empty blocks for messages to this end.
    spare: Blocks,
    /// The last number that a caller or direct receiver at this end was given.
    pub(super) last_ticket: u32,
}

impl Side {
    fn new() -> Side {
        let mut side = Side {
            open: true,
            queue: Queue::with_capacity(QUEUE_MESSAGES + 1),
            waiting: Vec::with_capacity(OWN_DIRECT),
            binding: None,
            spare: Blocks::new(),
            last_ticket: 0,
        };
        (0..OWN_BLOCKS).for_each(|_| side.spare.push(Message::empty()));
        side
    }

    /// Bytes on the heap.
    const BYTES: usize = (QUEUE_MESSAGES + 1) * size_of::<usize>()
        + OWN_DIRECT * size_of::<Direct>()
        + OWN_BLOCKS * size_of::<Message>();

    /// An empty block: one of the channel's, or a new one charged to `caller`.
    #[inline]
    pub(super) fn block(&mut self, caller: &Caller) -> Result<Box<Message>> {
        match self.spare.pop() {
            Some(block) => Ok(block),
            None => pool::take(caller),
        }
    }

    /// Keeps a block that was used, if it is one of the channel's own. What is returned is for
    /// [`Spent::settle`], outside the lock.
    #[inline]
    pub(super) fn recycle(&mut self, mut block: Box<Message>) -> Spent {
        if block.is_own() {
            let large = block.clear();
            self.spare.push(block);
            Spent { large, block: None }
        } else {
            Spent { large: None, block: Some(block) }
        }
    }
}

/// What is left of a message that was received.
#[must_use]
#[derive(Default)]
pub(super) struct Spent {
    large: Option<Large>,
    block: Option<Box<Message>>,
}

impl Spent {
    /// Gives it back. The caller holds no lock.
    #[inline]
    pub(super) fn settle(self) {
        if self.large.is_some() || self.block.is_some() {
            self.give_back();
        } else {
            // Of a small message in one of the channel's own blocks, which is most: spares the calls that look for what
            // there is to drop.
            core::mem::forget(self);
        }
    }

    #[inline(never)]
    fn give_back(self) {
        if let Some(block) = self.block {
            pool::give(block);
        }
        drop(self.large);
    }
}

impl Pair {
    pub(super) fn new(caller: &Caller, ids: [u32; 2]) -> Result<Arc<Pair>> {
        let bytes = size_of::<Pair>() + 2 * size_of::<End>() + 4 * size_of::<WaitSource>() + 2 * Side::BYTES;
        let charge = Charge::new(&caller.account, bytes)?;
        let end = |id: u32| {
            Arc::new(End {
                owners: Owners::new(),
                readers: Arc::new(WaitSource::new(WaitKind::Channel, id.into())),
                writers: Arc::new(WaitSource::new(WaitKind::Channel, id.into())),
                calls: WaitSource::new(WaitKind::Channel, id.into()),
            })
        };
        Ok(Arc::new(Pair {
            ids,
            ends: ids.map(end),
            state: SpinLock::new(LockClass::Object, PairState { sides: [Side::new(), Side::new()] }),
            _charge: charge,
        }))
    }

    /// Closes an end. A second time does nothing.
    pub(super) fn close(&self, side: usize) {
        let peer = 1 - side;
        let (debris, own_binding, peer_binding, peer_open) = {
            let mut state = self.state.lock();
            if !core::mem::replace(&mut state.sides[side].open, false) {
                return;
            }
            let own = &mut state.sides[side];
            let debris = core::mem::take(&mut own.queue);
            let own_binding = own.binding.take();
            let there = &state.sides[peer];
            (debris, own_binding, there.binding.clone(), there.open)
        };
        if fault::fires(Point::IpcChannelClose) {
            for end in &self.ends {
                end.wake_everybody();
            }
        }
        let (own, there) = (self.ids[side], self.ids[peer]);
        let peer_state = State::of(peer_open);
        trace::end_of_channel(Op::CloseLocal, Wake::Close, [State::Closed, peer_state], own, there);
        trace::end_of_channel(Op::ClosePeer, Wake::Close, [peer_state, State::Closed], there, own);
        bump(Counter::CloseWakeLocal);
        self.ends[side].wake_everybody();
        bump(Counter::CloseWakePeer);
        self.ends[peer].wake_everybody();
        if let Some(binding) = peer_binding {
            binding.signal(Signals::PEER_CLOSED);
        }
        // A packet that the closed end's port has not told yet stays there.
        drop(own_binding);
        bury(debris);
    }
}

impl End {
    fn wake_everybody(&self) {
        for source in [&self.readers, &self.writers, &self.calls] {
            source.wake_all(Events::HUP | Events::IN, Reason::Close);
        }
    }
}
