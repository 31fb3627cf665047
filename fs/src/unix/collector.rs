//! Sockets that only their own queues hold.
//!
//! A socket may be sent through itself, or two through each other; when the last descriptor elsewhere is closed,
//! the references from the queues keep them all. The collector finds such sockets and empties their queues:
//!
//! 1. a candidate is a socket all of whose references are on their way;
//! 2. from each count, the references that lie in the queues of candidates are taken off;
//! 3. a candidate with something left is held from outside: it stays, and so does what its queue leads to;
//! 4. the queues of the rest are dropped.
//!
//! All of it happens under the lock of what is on its way. A descriptor that was taken out of a queue has to pass
//! that lock before it can be used, so that no candidate's queue is received from meanwhile, unless somebody
//! held it before, in which case it is none.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::machine;
use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use executor::TaskOptions;

use super::message::Message;
use super::rights::{InFlight, in_flight, is_socket, no_socket_travels};
use super::socket::Socket;
use crate::file::OpenFile;

/// Something in which files travel.
pub(super) trait Carrier {
    /// Shows every file in it.
    fn for_each(&self, see: &mut dyn FnMut(&Arc<OpenFile>));

    /// Takes out everything in it, to be dropped without locks.
    fn empty(&self) -> Contents;
}

/// What was in a container.
pub(super) struct Contents(#[allow(dead_code, reason = "held only to be dropped")] VecDeque<Message>);

impl Carrier for Socket {
    fn for_each(&self, see: &mut dyn FnMut(&Arc<OpenFile>)) {
        let pending: Vec<Arc<Socket>> = {
            let state = self.state.lock();
            state
                .queue
                .iter()
                .flat_map(|message| &message.rights)
                .flat_map(|rights| rights.files())
                .for_each(&mut *see);
            state.pending.iter().cloned().collect()
        };
        for connection in &pending {
            connection.for_each(see);
        }
    }

    fn empty(&self) -> Contents {
        let (mut queue, pending) = {
            let mut state = self.state.lock();
            (core::mem::take(&mut state.queue), state.pending.iter().cloned().collect::<Vec<_>>())
        };
        for connection in &pending {
            queue.append(&mut connection.state.lock().queue);
        }
        Contents(queue)
    }
}

/// A socket of which every reference is on its way.
struct Candidate {
    file: Arc<OpenFile>,
    /// References that have not been found in the queue of a candidate.
    left: usize,
    alive: bool,
}

impl Candidate {
    fn container(&self) -> Option<&dyn Carrier> {
        self.file.ops_as::<Socket>().map(|socket| socket as &dyn Carrier)
    }
}

/// A pass takes no more than one part in so many of the time.
const SHARE: u32 = 16;

/// Set while a pass is due.
static DUE: AtomicBool = AtomicBool::new(false);
/// Nanoseconds that the last pass took.
static COST: AtomicU64 = AtomicU64::new(0);

/// Lets go of the file of a descriptor that was closed. Of a socket, what still holds it may be its own queue.
pub(crate) fn let_go(file: Arc<OpenFile>) {
    let is_socket = is_socket(&file);
    drop(file);
    if is_socket {
        request();
    }
}

/// A descriptor or a socket has gone, so that sockets may be held by themselves alone: a task of its own looks.
pub(super) fn request() {
    if no_socket_travels() || DUE.swap(true, Ordering::AcqRel) {
        return;
    }
    if executor::current().is_some() {
        executor::spawn(TaskOptions::new("socket-collector").daemon(), async {
            let pause = Duration::from_nanos(COST.load(Ordering::Relaxed)).saturating_mul(SHARE);
            executor::sleep_until(machine().now() + pause).await;
            collect();
        });
    } else {
        collect();
    }
}

/// One pass.
fn collect() {
    DUE.store(false, Ordering::Release);
    let begin = machine().now();
    pass();
    let cost = machine().now().saturating_since(begin).as_nanos();
    COST.store(u64::try_from(cost).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn pass() {
    let (candidates, garbage) = {
        let in_flight = in_flight();
        let mut candidates = candidates(&in_flight);
        count_inner(&mut candidates);
        mark(&mut candidates);
        let dead = candidates.iter().filter(|candidate| !candidate.alive);
        let garbage: Vec<Contents> = dead.filter_map(Candidate::container).map(|held| held.empty()).collect();
        (candidates, garbage)
    };
    // Outside the lock: each may be the last to hold what it names.
    drop(candidates);
    drop(garbage);
}

fn candidates(in_flight: &InFlight) -> Vec<Candidate> {
    let mut found = Vec::new();
    for travelling in in_flight.sockets.values() {
        if travelling.file.strong_count() != travelling.count {
            continue;
        }
        let Some(file) = travelling.file.upgrade() else { continue };
        // Without memory for all, those that are found go this time.
        if found.try_reserve(1).is_err() {
            break;
        }
        found.push(Candidate { file, left: travelling.count, alive: false });
    }
    found
}

/// Where `file` is among the candidates, which are in the order of their files' ids.
fn place(candidates: &[Candidate], file: &OpenFile) -> Option<usize> {
    candidates.binary_search_by_key(&file.id(), |candidate| candidate.file.id()).ok()
}

fn count_inner(candidates: &mut [Candidate]) {
    for index in 0..candidates.len() {
        let mut inner = Vec::new();
        if let Some(container) = candidates.get(index).and_then(Candidate::container) {
            container.for_each(&mut |file| inner.extend(place(candidates, file)));
        }
        for at in inner {
            if let Some(candidate) = candidates.get_mut(at) {
                candidate.left = candidate.left.saturating_sub(1);
            }
        }
    }
}

fn mark(candidates: &mut [Candidate]) {
    let mut reached: Vec<usize> = Vec::new();
    for (index, candidate) in candidates.iter_mut().enumerate() {
        candidate.alive = candidate.left > 0;
        if candidate.alive {
            reached.push(index);
        }
    }
    while let Some(index) = reached.pop() {
        let mut inner = Vec::new();
        if let Some(container) = candidates.get(index).and_then(Candidate::container) {
            container.for_each(&mut |file| inner.extend(place(candidates, file)));
        }
        for at in inner {
            if let Some(candidate) = candidates.get_mut(at).filter(|candidate| !candidate.alive) {
                candidate.alive = true;
                reached.push(at);
            }
        }
    }
}
