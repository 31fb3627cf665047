//! The registry of all tasks that have not finished: for dumps and the census.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use base::sync::{LockClass, SpinLock};

use crate::task::TaskRef;

/// How many tasks are copied out for one hold of the lock.
const CHUNK: usize = 32;

/// All unfinished tasks by id.
pub(crate) struct Registry {
    tasks: SpinLock<BTreeMap<u64, TaskRef>>,
}

impl Registry {
    pub(crate) const fn new() -> Registry {
        Registry { tasks: SpinLock::new(LockClass::TaskRegistry, BTreeMap::new()) }
    }

    pub(crate) fn insert(&self, task: TaskRef) {
        let old = self.tasks.lock().insert(task.id(), task);
        drop(old);
    }

    pub(crate) fn remove(&self, id: u64) {
        // Bound first, so that the task is dropped after the lock is released.
        let task = self.tasks.lock().remove(&id);
        drop(task);
    }

    pub(crate) fn find(&self, id: u64) -> Option<TaskRef> {
        self.tasks.lock().get(&id).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.lock().len()
    }

    /// Calls `see` for each task by id, without holding the lock meanwhile. Tasks that come or go
    /// may be seen or not.
    pub(crate) fn for_each(&self, mut see: impl FnMut(&TaskRef)) {
        let mut from = Bound::Unbounded;
        loop {
            let chunk: Vec<TaskRef> = {
                let tasks = self.tasks.lock();
                tasks.range((from, Bound::Unbounded)).take(CHUNK).map(|(_, task)| task.clone()).collect()
            };
            let Some(last) = chunk.last() else { return };
            from = Bound::Excluded(last.id());
            chunk.iter().for_each(&mut see);
        }
    }

    /// Like [`for_each`](Self::for_each) for a context that may have interrupted a lock's holder: it
    /// takes no lock by force and allocates nothing. False when the lock was taken.
    pub(crate) fn try_for_each(&self, see: impl FnMut(&TaskRef)) -> bool {
        let Some(tasks) = self.tasks.try_lock() else { return false };
        tasks.values().for_each(see);
        true
    }
}
