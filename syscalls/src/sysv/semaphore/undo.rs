//! What the end of a process takes back: `SEM_UNDO`.
//!
//! A list belongs to the threads that share it (`CLONE_SYSVSEM`); when the last of them is gone, every set that it
//! names gets back what was changed. The adjustments themselves lie in the sets, under their locks.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use executor::yield_point;

use super::set::SemaphoreSet;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The sets in which adjustments of some threads lie.
pub struct UndoList {
    id: u64,
    sets: SpinLock<BTreeMap<i32, Weak<SemaphoreSet>>>,
}

impl UndoList {
    fn new() -> Arc<UndoList> {
        let sets = SpinLock::new(LockClass::SysvUndo, BTreeMap::new());
        Arc::new(UndoList { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), sets })
    }

    /// A number that no other list of this boot has.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn remember(&self, set: &Arc<SemaphoreSet>) {
        self.sets.lock().insert(set.id(), Arc::downgrade(set));
    }

    /// The set with this identifier is gone.
    pub(super) fn forget(&self, id: i32) {
        self.sets.lock().remove(&id);
    }

    /// Takes back what was changed, for a thread of process `pid`.
    ///
    /// Dropping the future leaves the rest of the sets as they are; a thread that ends is not dropped.
    pub async fn take_back(self, pid: u32) {
        let sets = core::mem::take(&mut *self.sets.lock());
        for set in sets.into_values().filter_map(|set| set.upgrade()) {
            set.undo(self.id, pid);
            yield_point().await;
        }
    }
}

/// A thread's list, if it has one.
pub struct UndoSlot(SpinLock<Option<Arc<UndoList>>>);

impl Default for UndoSlot {
    fn default() -> Self {
        UndoSlot(SpinLock::new(LockClass::Process, None))
    }
}

impl UndoSlot {
    /// A slot with a list that others have too.
    #[must_use]
    pub fn sharing(list: Arc<UndoList>) -> UndoSlot {
        UndoSlot(SpinLock::new(LockClass::Process, Some(list)))
    }

    /// The thread's list, made if there is none.
    pub fn list(&self) -> Arc<UndoList> {
        self.0.lock().get_or_insert_with(UndoList::new).clone()
    }

    /// The thread lets go of its list: it ends, or unshares it. The list is answered to the last one, which takes back
    /// what it says.
    #[must_use]
    pub fn leave(&self) -> Option<UndoList> {
        let list = self.0.lock().take();
        list.and_then(Arc::into_inner)
    }
}
