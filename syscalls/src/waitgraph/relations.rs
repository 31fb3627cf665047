//! Who may wake whom: from the objects that threads wait on to those who hold the other ends.
//!
//! The objects tell it themselves ([`OpenFile::wakes`], [`ObjectRef::wakes`](ipc::object::ObjectRef::wakes),
//! [`Watcher::wakes`](executor::pollwait::Watcher::wakes)); here descriptors and handles are walked, and what they
//! tell is kept when somebody waits for it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::memory::UserMemory;
use executor::pollwait::{SourceId, WaitKind, WaitSource};
use fs::file::{FdTable, OpenFile};
use fs::lock::{self, Owner};
use ipc::HandleTable;

use super::graph::Graph;
use super::waiters::{Waiter, processes};
use crate::futex::pi;
use crate::futex::robust::{FUTEX_TID_MASK, FUTEX_WAITERS};
use crate::futex::table::for_each_queue;
use crate::mm::{AddressSpace, FutexKey};
use crate::process::{Process, table};
use crate::thread::resources::Resources;

/// Edges that are kept.
const EDGES_MAX: usize = 1 << 15;
/// Descriptors and handles that are looked at.
const LOOKS_MAX: usize = 1 << 16;
/// Walks at most: one more than epoll instances nest.
const WALKS_MAX: usize = 6;

/// System calls whose arguments say which children are waited for.
const WAIT4: u64 = 61;
const WAITID: u64 = 247;
/// The call whose first argument is the address of the word that is waited for.
const FUTEX: u64 = 202;
/// `P_PID` of `waitid(2)`.
const P_PID: u64 = 1;

/// What waits, or may wake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// A thread, by its id.
    Thread(u32),
    /// A process: any of its threads.
    Process(u32),
    /// Where one waits: whoever may wake it.
    Source(SourceId),
}

/// The graph, and what its sources are called.
pub(super) struct Relations {
    pub(super) graph: Graph<Node>,
    /// Kind and object of each source that was met.
    pub(super) names: BTreeMap<SourceId, (WaitKind, u64)>,
    looks: usize,
}

impl Relations {
    /// What is known of the ways in which `waiters` may be woken.
    pub(super) fn of(waiters: &[Waiter]) -> Relations {
        let graph = Graph::new(EDGES_MAX);
        let mut relations = Relations { graph, names: BTreeMap::new(), looks: 0 };
        waiters.iter().for_each(|waiter| relations.add_waiter(waiter));
        for _ in 0..WALKS_MAX {
            let before = relations.graph.nodes().len();
            processes().for_each(|process| relations.add_holder(&process));
            relations.add_futexes();
            relations.add_shared_futexes(waiters);
            // Another walk finds who wakes the sources that this one met.
            if relations.graph.nodes().len() == before {
                break;
            }
        }
        relations
    }

    fn add_waiter(&mut self, waiter: &Waiter) {
        let (thread, process) = (Node::Thread(waiter.thread.tid()), waiter.thread.process());
        self.graph.connect(Node::Process(process.pid()), thread);
        let Some((wait, source)) = waiter.wait.as_ref().and_then(|wait| Some((wait, wait.source?))) else {
            return;
        };
        self.names.insert(source, (wait.kind, wait.object));
        if wait.kind == WaitKind::Child {
            // Not all threads that wait there wait for the same children.
            for child in awaited_children(process, waiter) {
                self.graph.connect(thread, Node::Process(child));
            }
        } else {
            self.graph.connect(thread, Node::Source(source));
        }
    }

    fn knows(&self, source: &WaitSource) -> bool {
        self.names.contains_key(&source.identity())
    }

    /// `by` may wake `source`: kept when somebody waits there.
    fn wakes(&mut self, by: Node, source: &WaitSource) {
        if self.knows(source) {
            self.graph.connect(Node::Source(source.identity()), by);
        }
    }

    /// Keeps who is woken from `source` through watchers: pollers and epoll instances.
    fn passes_on(&mut self, source: &WaitSource) {
        if !source.has_waiters() {
            return;
        }
        source.for_each_watcher(|watcher| {
            watcher.wakes(&mut |woken| {
                if self.knows(woken) {
                    self.names.insert(source.identity(), (source.kind(), source.object()));
                    self.wakes(Node::Source(source.identity()), woken);
                }
            });
        });
    }

    fn add_holder(&mut self, process: &Process) {
        let holder = Node::Process(process.pid());
        self.wakes(holder, process.threads_source());
        // Threads that unshared theirs have tables of their own.
        let mut seen: Vec<Arc<Resources>> = Vec::new();
        for thread in table::threads_of(process) {
            if let Some(source) = thread.vfork_source() {
                self.wakes(Node::Thread(thread.tid()), source);
            }
            let Some(resources) = thread.resources() else { continue };
            if seen.iter().all(|other| !Arc::ptr_eq(&other.files, &resources.files)) {
                self.add_descriptors(holder, &resources.files);
                self.add_handles(holder, &resources.handles);
                seen.push(resources);
            }
        }
    }

    fn add_descriptors(&mut self, holder: Node, files: &FdTable) {
        let mut from = 0;
        while let Some((fd, entry)) = files.next_open(from).filter(|_| self.may_look()) {
            from = fd + 1;
            entry.file.wakes(&mut |source| self.wakes(holder, source));
            let records = Owner::Table(files.id());
            lock::wakes(entry.file.inode(), records, &mut |source| self.wakes(holder, source));
            OpenFile::awaited(&entry.file).iter().flatten().for_each(|source| self.passes_on(source));
        }
    }

    fn add_handles(&mut self, holder: Node, handles: &HandleTable) {
        let mut from = 0;
        while let Some(row) = handles.next_row(from).filter(|_| self.may_look()) {
            from = usize::try_from(row.handle).map_or(usize::MAX, |handle| handle + 1);
            row.object.wakes(&mut |source| self.wakes(holder, source));
            row.object.sources().iter().flatten().for_each(|source| self.passes_on(source));
        }
    }

    /// Counts a look at a descriptor or handle; false when there were too many.
    fn may_look(&mut self) -> bool {
        self.looks += 1;
        if self.looks > LOOKS_MAX {
            self.graph.truncate();
        }
        self.looks <= LOOKS_MAX
    }

    /// Threads of the same memory may wake a private word; when the word says who owns it, that one alone.
    fn add_futexes(&mut self) {
        let mut private: BTreeMap<u64, Vec<(u64, SourceId)>> = BTreeMap::new();
        for_each_queue(|key, queue| match key {
            FutexKey::Private { space, address } if self.knows(queue) => {
                private.entry(*space).or_default().push((*address, queue.identity()));
            }
            _ => {}
        });
        for (source, owner) in pi::locks::waits() {
            if self.names.contains_key(&source) {
                self.graph.connect(Node::Source(source), Node::Thread(owner));
            }
        }
        if private.is_empty() {
            return;
        }
        for process in processes() {
            let Some(space) = process.space() else { continue };
            for &(address, source) in private.get(&space.id()).into_iter().flatten() {
                let by = owner(&space, address).map_or(Node::Process(process.pid()), Node::Thread);
                self.graph.connect(Node::Source(source), by);
            }
        }
    }

    /// A word that processes share may be woken by whoever maps it, now or later: only an owner is known whom the word
    /// itself names.
    fn add_shared_futexes(&mut self, waiters: &[Waiter]) {
        let mut shared = BTreeSet::new();
        for_each_queue(|key, queue| {
            if !matches!(key, FutexKey::Private { .. }) && self.knows(queue) {
                shared.insert(queue.identity());
            }
        });
        for waiter in waiters {
            let source = waiter.wait.as_ref().and_then(|wait| wait.source);
            let call = waiter.call.as_ref().filter(|call| call.number == FUTEX);
            let (Some(source), Some(call)) = (source.filter(|source| shared.contains(source)), call) else {
                continue;
            };
            let space = waiter.thread.process().space();
            if let Some(owner) = space.and_then(|space| owner(&space, call.arguments[0])) {
                self.graph.connect(Node::Source(source), Node::Thread(owner));
            }
        }
    }
}

/// The live thread that the lock word at `address` names, if that has a waiter, in the convention of robust and PI
/// futexes.
fn owner(space: &AddressSpace, address: u64) -> Option<u32> {
    let mut word = [0; 4];
    if space.copy_in_nofault(address, &mut word) != word.len() {
        return None;
    }
    let word = u32::from_ne_bytes(word);
    let tid = word & FUTEX_TID_MASK;
    (word & FUTEX_WAITERS != 0 && table::find_thread(tid).is_some()).then_some(tid)
}

/// The children that a thread waits for in wait4(2) or waitid(2).
fn awaited_children(process: &Process, waiter: &Waiter) -> Vec<u32> {
    let one = match &waiter.call {
        Some(call) if call.number == WAIT4 => Some(call.arguments[0]),
        Some(call) if call.number == WAITID && call.arguments[0] == P_PID => Some(call.arguments[1]),
        _ => None,
    };
    // Zero and negative numbers stand for several.
    let one = one.and_then(|pid| u32::try_from((pid as u32).cast_signed()).ok()).filter(|&pid| pid > 0);
    let table = table::lock();
    let children = table.process(process.pid()).map_or(&[][..], |node| &node.children);
    children.iter().copied().filter(|&child| one.is_none_or(|one| one == child)).collect()
}
