//! All objects, by id.
//!
//! The registry holds no references: a lookup takes one only while somebody else still has one.

use alloc::collections::BTreeMap;

use base::sync::{LockClass, SpinLock};

use super::reference::WeakObject;
use super::{ObjectKind, ObjectRef};

static OBJECTS: SpinLock<BTreeMap<u32, WeakObject>> = SpinLock::new(LockClass::Registry, BTreeMap::new());

/// Kernel memory that an entry takes, at most.
pub(crate) const ENTRY_BYTES: usize = 64;

/// Makes a new object known: from now on it can be looked up.
pub(crate) fn publish(object: &ObjectRef) {
    if object.base().lifecycle().publish() {
        OBJECTS.lock().insert(object.base().id(), object.downgrade());
    }
}

/// The last reference of the object with this id went.
pub(super) fn remove(id: u32) {
    OBJECTS.lock().remove(&id);
}

/// The object with this id, unless it is gone or going.
#[must_use]
pub fn lookup(id: u32) -> Option<ObjectRef> {
    OBJECTS.lock().get(&id)?.upgrade()
}

/// The first object after `id` in the order in which they were made, of `kind` if one is named.
#[must_use]
pub fn next(id: u32, kind: Option<ObjectKind>) -> Option<ObjectRef> {
    let objects = OBJECTS.lock();
    let mut later = objects.range(id.checked_add(1)?..);
    later.find_map(|(_, object)| match kind {
        Some(kind) if object.kind() != kind => None,
        _ => object.upgrade(),
    })
}

/// How many there are: for the census.
#[must_use]
pub fn count() -> usize {
    OBJECTS.lock().len()
}
