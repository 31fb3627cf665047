//! All objects, by id.
//!
//! The registry holds no references: a lookup takes one only while somebody else still has one. Its lock is held
//! for one step of a map and never while something is described, so that whoever lists objects keeps nobody who
//! makes or drops one.

use alloc::collections::BTreeMap;

use base::Result;
use base::fault::{self, Point};
use base::sync::{LockClass, SpinLock};

use super::reference::WeakObject;
use super::{ObjectKind, ObjectRef, feed};

/// A map for each kind, so that a list of one kind never steps over the others.
type Objects = [BTreeMap<u32, WeakObject>; ObjectKind::ALL.len()];

static OBJECTS: SpinLock<Objects> =
    SpinLock::new(LockClass::Registry, [const { BTreeMap::new() }; ObjectKind::ALL.len()]);

/// Kernel memory that an entry and its node in sysfs take, at most.
pub(crate) const ENTRY_BYTES: usize = 512;

/// Makes a new object known: from now on it can be looked up.
///
/// # Errors
///
/// `ENOMEM`; whoever makes the object charges its entry, so that only a fault point answers this.
pub(crate) fn publish(object: &ObjectRef) -> Result<()> {
    fault::check(Point::RegistryAdd)?;
    let base = object.base();
    if base.lifecycle().publish() {
        if let Some(kind) = OBJECTS.lock().get_mut(base.kind().index()) {
            kind.insert(base.id(), object.downgrade());
        }
        feed::changed(base.id());
    }
    Ok(())
}

/// The last reference of the object with this id went.
pub(super) fn remove(id: u32, kind: ObjectKind) {
    let removed = OBJECTS.lock().get_mut(kind.index()).and_then(|kind| kind.remove(&id));
    drop(removed);
    feed::changed(id);
}

/// The object with this id, unless it is gone or going.
#[must_use]
pub fn lookup(id: u32) -> Option<ObjectRef> {
    OBJECTS.lock().iter().find_map(|kind| kind.get(&id))?.upgrade()
}

/// The first object after `id` in the order in which they were made, of `kind` if one is named.
#[must_use]
pub fn next(id: u32, kind: Option<ObjectKind>) -> Option<ObjectRef> {
    let mut from = id.checked_add(1)?;
    let objects = OBJECTS.lock();
    let wanted = |place: usize| kind.is_none_or(|kind| kind.index() == place);
    loop {
        let firsts = objects.iter().enumerate().filter(|(place, _)| wanted(*place));
        let (id, object) =
            firsts.filter_map(|(_, kind)| kind.range(from..).next()).min_by_key(|(id, _)| **id)?;
        if let Some(object) = object.upgrade() {
            return Some(object);
        }
        // Its last reference has just gone.
        from = id.checked_add(1)?;
    }
}

/// How many there are: for the census.
#[must_use]
pub fn count() -> usize {
    OBJECTS.lock().iter().map(BTreeMap::len).sum()
}

/// How many there are of one kind.
#[must_use]
pub fn count_of(kind: ObjectKind) -> usize {
    OBJECTS.lock().get(kind.index()).map_or(0, BTreeMap::len)
}
