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
//! 3. takes for reachable what has a reference that was not found in step 1, and all that this leads to.
//!
//! What is not reachable now never will be, so it is enough that the picture is of one moment. Each node is looked at
//! once in each step, and every departure, arrival and copy moves a counter ([`moved`]): a look during which it moved
//! is repeated. Something that was taken out of a queue and has not been counted as arrived belongs to somebody who
//! still holds the queue, and so is reachable by that.

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
pub trait Node: Send {
    /// A number that no other node has: the object's id for what has one, from 2^32 on for others.
    fn id(&self) -> u64;

    /// How many references keep it, without this one.
    fn references(&self) -> usize;

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

    /// Shows each open file that is on its way and keeps a queue.
    fn visit(&self, visit: &mut dyn FnMut(&dyn Node));
}

/// Looks that are tried before the collector rests.
const TRIES: usize = 8;

/// How long it rests when things move too quickly.
const REST: Duration = Duration::from_millis(10);

/// How many times as long as it looked it rests. A look costs what there is to look at, so looking at each request would
/// cost the square of that: with the rest, looking takes a fixed part of one CPU whatever there is, and what nobody can
/// reach waits for it.
const REST_PER_LOOK: u32 = 16;

static MOTION: AtomicU64 = AtomicU64::new(0);
/// How often a look was asked for, and how many of these requests came before the last look that said something.
static REQUESTED: AtomicU64 = AtomicU64::new(0);
static SERVED: AtomicU64 = AtomicU64::new(0);
static WORK: WaitSource = WaitSource::new(WaitKind::Work, 0);
static TRAVELLERS: Once<&'static dyn Travellers> = Once::new();

/// An owner of `object` has left its table.
pub(crate) fn departed(object: &ObjectRef) {
    if let Some(owners) = object.owners_in_flight() {
        moved();
        owners.departed();
    }
}

/// An owner of `object` is in a table again, or about to go.
pub(crate) fn arrived(object: &ObjectRef) {
    if let Some(owners) = object.owners_in_flight() {
        moved();
        owners.arrived();
    }
}

/// Says that something comes to a queue or has left one (before it is used elsewhere), or has been copied out of one
/// (before that queue can be let go).
pub fn moved() {
    MOTION.fetch_add(1, Ordering::AcqRel);
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
            let begun = machine().now();
            let is_settled = collect().is_some();
            if is_settled {
                SERVED.store(requested, Ordering::Release);
            }
            let now = machine().now();
            let rest = now.saturating_since(begun) * REST_PER_LOOK;
            let again_at = now + if is_settled { rest } else { rest.max(REST) };
            executor::sleep_until(again_at).await;
            if is_settled {
                WORK.wait(seen, Wait::uninterruptible()).await;
            }
        }
    });
}

/// Empties the queues of what is unreachable; how many things that were, or nothing when some moved during every look.
pub fn collect() -> Option<usize> {
    for _ in 0..TRIES {
        let before = MOTION.load(Ordering::Acquire);
        let mut graph = Graph::new();
        what_travels(&mut |node| graph.add(node));
        graph.follow();
        let garbage = graph.unreachable();
        if MOTION.load(Ordering::Acquire) != before {
            continue;
        }
        garbage.iter().for_each(|node| node.collect());
        return Some(garbage.len());
    }
    None
}

/// Shows where a knot may begin: every knot leads through a queue in which an endpoint's handle or a descriptor lies.
fn what_travels(visit: &mut dyn FnMut(&dyn Node)) {
    let mut id = 0;
    while let Some(object) = registry::next(id, Some(ObjectKind::Channel)) {
        id = object.base().id();
        if let Some(endpoint) = object.channel()
            && endpoint.owners().in_flight() > 0
            && endpoint.owners().may_be_unreachable()
        {
            visit(endpoint);
        }
    }
    if let Some(travellers) = TRAVELLERS.get() {
        travellers.visit(visit);
    }
}
