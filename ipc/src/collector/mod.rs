//! What only lies in queues.
//!
//! A queue keeps what lies in it: a channel's the handles of its messages, a socket's the descriptors. When two
//! such things lie in each other's queues, or one lies in its own by a detour, nobody can receive them any more and
//! nobody drops them. The collector finds them, whatever their kinds, and empties their queues.
//!
//! Everything that may be part of such a knot is a [`Node`]: endpoints, sockets, the files of channels, and what
//! stands between a handle and an open file. One look
//!
//! 1. begins with what is on its way (handles of endpoints in messages, descriptors in sockets) and follows what
//!    lies in its queue, what lies in the queues of that, and so on;
//! 2. asks each node that it found how many references keep it;
//! 3. takes for reachable what has a reference that was not found in step 1, or has given something out since it was
//!    looked at, and all that this leads to.
//!
//! Others go on meanwhile, and each node is looked at once in each step, at a moment of its own. Suppose that a node is
//! taken for unreachable and is not. When its references were counted, all of them lay in nodes that are taken for
//! unreachable too. Of all these take the one that was the first to get a reference from outside after its count: that
//! came out of another of them (received, accepted, copied by a look at the queue, derived as a handle), to which
//! somebody had a reference from outside at that time. The other one was therefore not counted yet, and gave it out
//! after it had been looked at in step 1: step 3 sees that. So nothing has to stand still, and who moves things without
//! end keeps only what is his own from being collected.

mod graph;

use alloc::boxed::Box;
use core::time::Duration;

use base::machine;
use base::sync::Once;
use base::sync::atomic::{AtomicU64, Ordering};
use executor::TaskOptions;
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};

use self::graph::Graph;
use crate::object::{ObjectKind, ObjectRef, registry};

/// Something that may be kept by what lies in a queue, its own in the end. The value is a reference itself.
pub trait Node: Send + Sync {
    /// A number that no other node has: the object's id for what has one, from 2^32 on for others.
    fn id(&self) -> u64;

    /// How many references keep it, without this one.
    fn references(&self) -> usize;

    /// How often it has given out what it keeps, or a part of it: counted before somebody outside has that, and while he
    /// who gets it still has the node.
    fn given_out(&self) -> u64;

    /// Shows what it keeps, once for each reference: what lies in its queue, or what it stands for. It may hold a lock
    /// meanwhile.
    fn visit(&self, visit: &mut dyn FnMut(&dyn Node));

    /// One more reference.
    fn hold(&self) -> Box<dyn Node>;

    /// Nobody can reach it: drops what lies in its queue. Called without locks.
    fn collect(&self);
}

/// What knows which descriptors are on their way.
pub trait Travellers: Sync {
    /// True when some may be.
    fn are_there(&self) -> bool;

    /// The first open file on its way behind the one with the number `after` that keeps a queue, and its number.
    fn next(&self, after: u64) -> Option<(u64, Box<dyn Node>)>;
}

/// How long it rests when things moved.
const REST: Duration = Duration::from_millis(10);

/// How long it waits to be asked while descriptors travel. Most of what makes something unreachable asks; what is left
/// is a call that ends after its descriptor was closed by another thread, or that drops what it received.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many times as long as it looked it rests. A look costs what there is to look at, so looking at each request would
/// cost the square of that: with the rest, looking takes a fixed part of one CPU whatever there is, and what nobody can
/// reach waits for it.
const REST_PER_LOOK: u32 = 16;

/// How often a look was asked for, and how many of these requests came before the last look that said something.
static REQUESTED: AtomicU64 = AtomicU64::new(0);
static SERVED: AtomicU64 = AtomicU64::new(0);
static WORK: WaitSource = WaitSource::new(WaitKind::Work, 0);
static TRAVELLERS: Once<&'static dyn Travellers> = Once::new();

/// An owner of `object` has left its table.
pub(crate) fn departed(object: &ObjectRef) {
    if let Some(owners) = object.owners_in_flight() {
        owners.departed();
    }
}

/// An owner of `object` is in a table again, or about to go.
pub(crate) fn arrived(object: &ObjectRef) {
    if let Some(owners) = object.owners_in_flight() {
        owners.arrived();
    }
}

/// Tells who knows of descriptors on their way. Only the first call has an effect.
pub fn set_travellers(travellers: &'static dyn Travellers) {
    TRAVELLERS.call_once(|| travellers);
}

/// True when descriptors may be on their way.
pub(crate) fn descriptors_travel() -> bool {
    TRAVELLERS.get().is_some_and(|travellers| travellers.are_there())
}

/// Something may have become unreachable: have the collector look.
pub fn request() {
    REQUESTED.fetch_add(1, Ordering::AcqRel);
    WORK.wake_one(Events::IN, Reason::Data);
}

/// True when everything that was asked for has been looked at.
pub(crate) fn is_settled() -> bool {
    SERVED.load(Ordering::Acquire) == REQUESTED.load(Ordering::Acquire)
}

/// Starts the collector's task. Called once, on a CPU of the executor.
pub(crate) fn start() {
    executor::spawn(TaskOptions::new("ipc-collector").daemon(), async {
        loop {
            let seen = WORK.observe();
            let requested = REQUESTED.load(Ordering::Acquire);
            let begun = machine::now();
            let is_settled = collect().await.is_some();
            if is_settled {
                SERVED.store(requested, Ordering::Release);
            }
            let now = machine::now();
            let rest = now.saturating_since(begun) * REST_PER_LOOK;
            let again_at = now + if is_settled { rest } else { rest.max(REST) };
            executor::sleep_until(again_at).await;
            if is_settled {
                let until = descriptors_travel().then(|| machine::now() + PATIENCE);
                WORK.wait(seen, Wait::uninterruptible().until(until)).await;
            }
        }
    });
}

/// Empties the queues of what is unreachable; how many things that were, or nothing when some may have been missed,
/// since they gave something out meanwhile.
pub async fn collect() -> Option<usize> {
    let mut graph = Graph::new();
    let mut id = 0;
    // Every knot leads through a queue in which an endpoint's handle or a descriptor lies.
    while let Some(object) = registry::next(id, Some(ObjectKind::Channel)) {
        id = object.base().id();
        if let Some(endpoint) = object.channel()
            && endpoint.owners().in_flight() > 0
            && endpoint.owners().may_be_unreachable()
        {
            graph.add(endpoint.hold());
        }
        drop(object);
        executor::yield_point().await;
    }
    if let Some(travellers) = TRAVELLERS.get() {
        let mut last = 0;
        while let Some((number, file)) = travellers.next(last) {
            last = number;
            graph.add(file);
            executor::yield_point().await;
        }
    }
    graph.follow().await;
    let (garbage, is_settled) = graph.unreachable().await;
    for node in &garbage {
        node.collect();
        executor::yield_point().await;
    }
    is_settled.then_some(garbage.len())
}
