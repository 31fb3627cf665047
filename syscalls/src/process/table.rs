//! The registry of this machine: every process and thread by number.
//!
//! Nothing here may be called with a lock held that comes after `ProcessTable`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{Lazy, LockClass, SpinGuard, SpinLock};

use crate::process::Process;
use crate::process::registry::Registry;
use crate::thread::Thread;
use crate::thread::attention::Reasons;

/// The registry with what this kernel keeps in it.
pub type Table = Registry<Arc<Process>, Arc<Thread>>;

static TABLE: Lazy<SpinLock<Table>> =
    Lazy::new(|| SpinLock::new(LockClass::ProcessTable, Registry::default()));

/// Threads and processes that were ever made.
static BIRTHS: AtomicU64 = AtomicU64::new(0);

/// Threads and processes that were made since boot: `processes` of `/proc/stat`.
#[must_use]
pub fn births() -> u64 {
    BIRTHS.load(Ordering::Relaxed)
}

/// Counts one that was made.
pub(super) fn count_birth() {
    BIRTHS.fetch_add(1, Ordering::Relaxed);
}

/// Takes the registry's lock.
pub fn lock() -> SpinGuard<'static, Table> {
    TABLE.lock()
}

/// The process with this id; zombies count, as for kill(2).
#[must_use]
pub fn find_process(pid: u32) -> Option<Arc<Process>> {
    lock().process(pid).map(|node| node.payload.clone())
}

/// The live thread with this id.
#[must_use]
pub fn find_thread(tid: u32) -> Option<Arc<Thread>> {
    lock().thread(tid).cloned()
}

/// Calls `each` for every live thread of the process, under the registry's lock.
pub fn for_each_thread(process: &Process, mut each: impl FnMut(&Arc<Thread>)) {
    let table = lock();
    let Some(node) = table.process(process.pid()) else { return };
    for thread in node.threads.iter().filter_map(|tid| table.thread(*tid)) {
        each(thread);
    }
}

/// The live threads of the process, oldest first.
#[must_use]
pub fn threads_of(process: &Process) -> Vec<Arc<Thread>> {
    let mut threads = Vec::with_capacity(process.live_threads());
    for_each_thread(process, |thread| threads.push(thread.clone()));
    threads
}

/// The processes of a group, zombies included; empty when there is no such group.
#[must_use]
pub fn group_members(group: u32) -> Vec<Arc<Process>> {
    let table = lock();
    let members = table.group(group).map(|g| &g.members);
    members.into_iter().flatten().filter_map(|pid| table.process(*pid)).map(|n| n.payload.clone()).collect()
}

/// Every process by rising number, zombies included.
#[must_use]
pub fn all_processes() -> Vec<Arc<Process>> {
    lock().processes().map(|(_, node)| node.payload.clone()).collect()
}

/// True when nobody is left in its session who could continue the stopped jobs of this process's group.
#[must_use]
pub fn in_orphaned_group(process: &Process) -> bool {
    lock().is_orphaned(process.group(), None)
}

/// Raises reasons on every thread of the process and makes each look: an interruptible wait ends, and
/// with `DIE` the syscall in flight is dropped.
pub fn raise_on_all(process: &Process, reasons: Reasons) {
    for_each_thread(process, |thread| thread.raise(reasons));
}

/// Copies the tree's relations of `pid` to where they are read without a lock.
pub(crate) fn publish_relations(table: &Table, pid: u32) {
    if let Some(node) = table.process(pid) {
        node.payload.parent.store(node.parent, Ordering::Relaxed);
        node.payload.group.store(node.group, Ordering::Relaxed);
        node.payload.session.store(node.session, Ordering::Relaxed);
    }
}
