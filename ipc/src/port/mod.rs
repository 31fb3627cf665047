//! Ports: queues of packets that tell which channels have news.
//!
//! A binding is the packet: it is queued at most once, and signals that come while it is queued are added to
//! it. So a port never allocates when it is signalled, and never loses a signal; a binding that comes when 128
//! are queued is counted as a drop, and waits behind them.

mod binding;

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use base::caller::Caller;
use base::charge::Charge;
use base::fault::{self, Point};
use base::memory::BoxFuture;
use base::sync::atomic::{AtomicUsize, Ordering};
use base::sync::{LockClass, SpinLock};
use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Baton, Events, Reason, Wait, WaitKind, WaitSource};

use crate::capability::{Capability, OwnerClass};
use crate::channel::Endpoint;
use crate::channel::owners::Owners;
use crate::lineage::CapNode;
use crate::object::history::Histories;
use crate::object::registry::{self, ENTRY_BYTES};
use crate::object::{ObjectBase, ObjectKind, ObjectRef};
use crate::rights::Rights;
use crate::stats::{Counter, bump};
use crate::table::Access;

pub use binding::Binding;

bitflags::bitflags! {
    /// What a binding may be told.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Signals: u32 {
        /// A message can be received.
        const READABLE = 1;
        /// The other end was closed.
        const PEER_CLOSED = 2;
    }
}

/// Packets that are queued before further ones count as dropped.
pub const PORT_PACKETS: usize = 128;

/// What a wait on a port gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The key of the binding.
    pub key: u64,
    /// What happened.
    pub observed: u32,
}

impl Packet {
    /// Bytes of a packet in the ABI.
    pub const BYTES: usize = 16;

    /// As the program sees it: key, observed, and a reserved word that is 0.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Packet::BYTES] {
        (u128::from(self.observed) << 64 | u128::from(self.key)).to_le_bytes()
    }
}

/// Where a packet goes.
pub trait PacketSink: Send {
    /// Takes a packet. Called under the port's lock, so it does not wait; it may be called again after it
    /// failed.
    ///
    /// # Errors
    ///
    /// `EFAULT` when a page is missing.
    fn deliver(&mut self, packet: Packet) -> Result<()>;

    /// Makes the page resident at which the last delivery stopped.
    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>>;
}

/// A port.
pub struct Port {
    base: ObjectBase,
    histories: Histories,
    owners: Owners,
    waiters: Arc<WaitSource>,
    /// Bindings that live: the queue has room for so many.
    bindings: AtomicUsize,
    state: SpinLock<State>,
    charge: SpinLock<Option<Charge>>,
    _charge: Charge,
}

struct State {
    closed: bool,
    /// Bindings that have something to tell.
    pending: VecDeque<Arc<Binding>>,
    dropped: u64,
}

/// A port's counts, for `/sys/ipc/ports`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// Packets to take.
    pub queued: usize,
    /// Bindings that found the queue full.
    pub dropped: u64,
    /// Owners of each class: handles, descriptors, others.
    pub owners: [u32; 3],
}

impl Port {
    /// A port, as the capability to it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn create(caller: &Caller) -> Result<Capability> {
        let bytes = size_of::<Port>() + size_of::<WaitSource>() + ENTRY_BYTES;
        let charge = Charge::new(&caller.account, bytes)?;
        let base = ObjectBase::new(ObjectKind::Port);
        let waiters = Arc::new(WaitSource::new(WaitKind::Port, base.id().into()));
        let state = State { closed: false, pending: VecDeque::new(), dropped: 0 };
        let port = Arc::new(Port {
            base,
            histories: Histories::new(),
            owners: Owners::new(),
            waiters,
            bindings: AtomicUsize::new(0),
            state: SpinLock::new(LockClass::Port, state),
            charge: SpinLock::new(LockClass::Registry, None),
            _charge: charge,
        });
        let object = ObjectRef::from(port);
        registry::publish(&object)?;
        Capability::root(caller, object, Rights::PORT)
    }

    /// What every object has.
    #[must_use]
    pub fn base(&self) -> &ObjectBase {
        &self.base
    }

    pub(crate) fn histories(&self) -> &Histories {
        &self.histories
    }

    /// Woken when there is a packet.
    #[must_use]
    pub fn waiters(&self) -> &Arc<WaitSource> {
        &self.waiters
    }

    /// What it is ready for.
    #[must_use]
    pub fn readiness(&self) -> Events {
        let state = self.state.lock();
        if state.pending.is_empty() { Events::empty() } else { Events::IN | Events::RDNORM }
    }

    /// Its counts.
    #[must_use]
    pub fn status(&self) -> PortStatus {
        let state = self.state.lock();
        PortStatus {
            queued: state.pending.len().min(PORT_PACKETS),
            dropped: state.dropped,
            owners: self.owners.counts(),
        }
    }

    /// `port_bind`: what happens to `channel` is told here under `key` from now on, in place of an older
    /// binding of that channel to this port.
    ///
    /// # Errors
    ///
    /// `EINVAL` when there are no signals; `EBUSY` when the channel is bound to another port; `ENOMEM`.
    pub fn bind(
        self: &Arc<Self>,
        caller: &Caller,
        channel: &Endpoint,
        key: u64,
        signals: Signals,
    ) -> Result<()> {
        if signals.is_empty() {
            return Err(Errno::EINVAL);
        }
        let binding = Binding::new(caller, self, key, signals)?;
        let old = channel.bind(&binding)?;
        drop(old);
        Ok(())
    }

    /// `port_unbind`: ends the binding of `channel` to this port; what it had to tell is forgotten.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none.
    pub fn unbind(&self, channel: &Endpoint) -> Result<()> {
        let binding = channel.unbind(self)?;
        let queued = {
            let mut state = self.state.lock();
            let at = state.pending.iter().position(|queued| Arc::ptr_eq(queued, &binding));
            at.and_then(|at| state.pending.remove(at))
        };
        drop(queued);
        Ok(())
    }

    /// Makes room for one more binding, so that signalling it needs none.
    fn admit(&self, caller: &Caller) -> Result<()> {
        let mut state = self.state.lock();
        let wanted = self.bindings.load(Ordering::Acquire) + 1;
        if state.pending.capacity() < wanted {
            let capacity = wanted.next_power_of_two().max(8);
            let charge = Charge::new(&caller.account, capacity * size_of::<Arc<Binding>>())?;
            let more = capacity.saturating_sub(state.pending.len());
            state.pending.try_reserve_exact(more).map_err(|_| Errno::ENOMEM)?;
            *self.charge.lock() = Some(charge);
        }
        self.bindings.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Adds signals to a binding's packet and queues it if it is not queued.
    fn queue(&self, binding: &Arc<Binding>, signals: Signals) {
        {
            let mut state = self.state.lock();
            if state.closed {
                return;
            }
            if binding.add(signals) {
                if state.pending.len() >= PORT_PACKETS {
                    state.dropped += 1;
                    bump(Counter::PortQueueDrops);
                }
                state.pending.push_back(binding.clone());
            }
        }
        let count = if fault::fires(Point::PortEnqueue) { usize::MAX } else { 1 };
        self.waiters.wake_n(count, Events::IN | Events::RDNORM, Reason::Data);
    }

    /// Takes the first packet now.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is none; `EBADF` when the last owner is gone, or the capability `by`, in whose name it is
    /// taken, was revoked; `EFAULT` as the sink says.
    pub fn try_take(&self, by: Option<&CapNode>, sink: &mut dyn PacketSink) -> Result<()> {
        let (taken, remains) = {
            let mut state = self.state.lock();
            // Under the lock: what comes after a revocation is not for one who looked his handle up before.
            if by.is_some_and(CapNode::is_revoked) {
                return Err(Errno::EBADF);
            }
            let Some(binding) = state.pending.front() else {
                return Err(if state.closed { Errno::EBADF } else { Errno::EAGAIN });
            };
            sink.deliver(Packet { key: binding.key(), observed: binding.pending().bits() })?;
            binding.clear();
            (state.pending.pop_front(), !state.pending.is_empty())
        };
        drop(taken);
        if remains {
            self.waiters.wake_one(Events::IN | Events::RDNORM, Reason::Data);
        }
        Ok(())
    }

    /// Takes the first packet, waiting for one until `deadline` at most. A drop, or an error, leaves the
    /// packet queued.
    ///
    /// # Errors
    ///
    /// `EAGAIN` with `nonblock`; `ETIMEDOUT`; `EINTR`; `EBADF` when the last owner goes, or `access` is
    /// revoked; `EFAULT`.
    pub async fn take(
        &self,
        access: &Access,
        sink: &mut dyn PacketSink,
        deadline: Option<Instant>,
        nonblock: bool,
    ) -> Result<()> {
        let mut over = None;
        let mut baton = Baton::new();
        loop {
            let seen = self.waiters.observe();
            match self.try_take(Some(access.node()), sink) {
                Ok(()) => {
                    baton.used();
                    return Ok(());
                }
                Err(Errno::EAGAIN) if nonblock => return Err(Errno::EAGAIN),
                Err(Errno::EAGAIN) => {}
                Err(Errno::EFAULT) => {
                    sink.fault_in().await?;
                    executor::yield_point().await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            match over {
                Some(Reason::Signal) => return Err(Errno::EINTR),
                Some(_) => return Err(Errno::ETIMEDOUT),
                None => {}
            }
            let reason = baton.wait(&self.waiters, seen, Wait::interruptible().until(deadline)).await;
            over = matches!(reason, Reason::Signal | Reason::Timeout).then_some(reason);
        }
    }

    /// One more owner.
    pub(crate) fn acquire(&self, class: OwnerClass) {
        self.owners.acquire(class);
    }

    /// One owner less; the last one closes it.
    pub(crate) fn release(&self, class: OwnerClass) {
        if self.owners.release(class) {
            let pending = {
                let mut state = self.state.lock();
                state.closed = true;
                core::mem::take(&mut state.pending)
            };
            self.waiters.wake_all(Events::HUP, Reason::Close);
            drop(pending);
        }
    }

    /// True when nobody can take a packet any more.
    fn has_no_owner(&self) -> bool {
        self.owners.total() == 0
    }

    /// Makes whoever waits here look again.
    pub(crate) fn interrupt(&self) {
        self.waiters.wake_all(Events::empty(), Reason::Close);
    }
}
