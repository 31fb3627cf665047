//! Endpoints that only lie in each other's queues.
//!
//! A queue keeps the handles in it, and a handle keeps its endpoint open; when two endpoints lie in each
//! other's queues, or one lies in its own by a detour, nobody can receive them any more and nobody drops them.
//! The collector looks for such endpoints and closes them, which empties their queues. Other kinds of queues
//! (sockets that carry descriptors) take part through [`InFlightContainer`].
//!
//! An endpoint is a candidate when all its owners are handles in messages. A candidate is reachable when one
//! of those messages lies in a queue that is no candidate's, or in that of a reachable candidate. What is not
//! reachable now never will be, so it is enough that the picture is of one moment: every departure and arrival
//! moves a counter, and a look during which it moved is repeated.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::time::Duration;

use base::machine;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use executor::TaskOptions;
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};

use crate::object::{ObjectKind, ObjectRef, registry};
use crate::stats::{Counter, bump};

/// Something with a queue in which references to things of its kind may lie.
pub trait InFlightContainer: Send + Sync {
    /// A number that no other container has: the object's id for endpoints, from 2^32 on for others.
    fn id(&self) -> u64;

    /// How many owners keep it.
    fn references(&self) -> u64;

    /// How many of them lie in queues.
    fn in_flight(&self) -> u64;

    /// Shows every container of which an owner lies in this one's queue, once for each.
    fn visit(&self, visit: &mut dyn FnMut(&dyn InFlightContainer));

    /// Nobody can reach it: drop what lies in the queue.
    fn collect(&self);
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
static WORK: WaitSource = WaitSource::new(WaitKind::Work, 0);
static OTHERS: SpinLock<Vec<Weak<dyn InFlightContainer>>> = SpinLock::new(LockClass::Registry, Vec::new());

/// An owner of `object` has left its table.
pub(crate) fn departed(object: &ObjectRef) {
    if let Some(endpoint) = object.channel() {
        moved();
        endpoint.owners().departed();
    }
}

/// An owner of `object` is in a table again, or about to go.
pub(crate) fn arrived(object: &ObjectRef) {
    if let Some(endpoint) = object.channel() {
        moved();
        endpoint.owners().arrived();
    }
}

/// Says that an owner of some container came to a queue, or left one. Called before its counts change.
pub fn moved() {
    MOTION.fetch_add(1, Ordering::AcqRel);
}

/// Makes a container known that is no endpoint. It is forgotten when it is gone.
pub fn register(container: Weak<dyn InFlightContainer>) {
    let mut others = OTHERS.lock();
    // Those that are gone make room, so the list is bounded by twice what lives.
    if others.len() == others.capacity() {
        others.retain(|other| other.strong_count() > 0);
    }
    others.push(container);
}

/// Something may have become unreachable: have the collector look.
pub fn request() {
    WORK.wake_one(Events::IN, Reason::Data);
}

/// Starts the collector's task. Called once, on a CPU of the executor.
pub(crate) fn start() {
    executor::spawn(TaskOptions::new("ipc-collector").daemon(), async {
        loop {
            let seen = WORK.observe();
            let begun = machine().now();
            let is_settled = collect().is_some();
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

/// A candidate, as one look sees it.
struct Candidate {
    container: Arc<dyn InFlightContainer>,
    in_flight: u64,
    /// Owners that lie in queues of candidates.
    inside: u64,
    reachable: bool,
}

type Candidates = BTreeMap<u64, Candidate>;

/// Closes what is unreachable; how many that were, or nothing when handles moved during every look.
pub fn collect() -> Option<usize> {
    for _ in 0..TRIES {
        let before = MOTION.load(Ordering::Acquire);
        let mut candidates = candidates();
        if candidates.is_empty() {
            return Some(0);
        }
        mark_reachable(&mut candidates);
        if MOTION.load(Ordering::Acquire) != before {
            continue;
        }
        let garbage = candidates.values().filter(|candidate| !candidate.reachable);
        let count = garbage
            .map(|candidate| {
                bump(Counter::Collected);
                candidate.container.collect();
            })
            .count();
        return Some(count);
    }
    None
}

fn candidates() -> Candidates {
    let mut found = Candidates::new();
    let mut consider = |container: Arc<dyn InFlightContainer>| {
        let in_flight = container.in_flight();
        if in_flight > 0 && container.references() == in_flight {
            let id = container.id();
            found.insert(id, Candidate { container, in_flight, inside: 0, reachable: false });
        }
    };
    let mut id = 0;
    while let Some(object) = registry::next(id, Some(ObjectKind::Channel)) {
        id = object.base().id();
        if let Some(endpoint) = object.channel() {
            consider(endpoint.clone());
        }
    }
    // Upgraded under the lock, dropped outside it.
    let others: Vec<_> = OTHERS.lock().iter().filter_map(Weak::upgrade).collect();
    others.into_iter().for_each(consider);
    found
}

fn mark_reachable(candidates: &mut Candidates) {
    let all: Vec<_> = candidates.values().map(|candidate| candidate.container.clone()).collect();
    for container in &all {
        container.visit(&mut |inside| {
            if let Some(candidate) = candidates.get_mut(&inside.id()) {
                candidate.inside += 1;
            }
        });
    }
    let mut work: Vec<Arc<dyn InFlightContainer>> = Vec::new();
    for candidate in candidates.values_mut() {
        if candidate.inside < candidate.in_flight {
            candidate.reachable = true;
            work.push(candidate.container.clone());
        }
    }
    while let Some(container) = work.pop() {
        container.visit(&mut |inside| {
            if let Some(candidate) = candidates.get_mut(&inside.id())
                && !candidate.reachable
            {
                candidate.reachable = true;
                work.push(candidate.container.clone());
            }
        });
    }
}
