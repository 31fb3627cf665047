//! All objects, by id.
//!
//! The registry holds no references: a lookup takes one only while somebody else still has one. Its lock is held
//! for one step of a map and never while something is described, so that whoever lists objects keeps nobody who
//! makes or drops one.

use alloc::collections::BTreeSet;

use base::Result;
use base::fault::{self, Point};
use base::hash::{HashTable, Statistics};
use base::sync::{LockClass, SpinLock};

use super::reference::WeakObject;
use super::{ObjectKind, ObjectRef, feed};
use crate::stats::{Counter, bump};

struct Objects {
    by_id: HashTable<u32, WeakObject>,
    /// The order, for each kind, so that a list of one kind never steps over the others.
    ids: [BTreeSet<u32>; ObjectKind::ALL.len()],
}

static OBJECTS: SpinLock<Objects> = SpinLock::new(
    LockClass::ObjectRegistry,
    Objects { by_id: HashTable::new(), ids: [const { BTreeSet::new() }; ObjectKind::ALL.len()] },
);

/// Kernel memory that an entry and its node in sysfs take, at most.
pub(crate) const ENTRY_BYTES: usize = 512;

/// Makes a new object known: from now on it can be looked up.
///
/// # Errors
///
/// `ENOMEM`; whoever makes the object charges its entry, so that only a fault point answers this.
pub(crate) fn publish(object: &ObjectRef) -> Result<()> {
    fault::check(Point::RegistryAdd).inspect_err(|_| bump(Counter::RegisterOom))?;
    let base = object.base();
    if base.lifecycle().publish() {
        OBJECTS.lock().insert(base.id(), base.kind(), object.downgrade());
        feed::changed(base.id());
    }
    Ok(())
}

/// The last reference of the object with this id went.
pub(super) fn remove(id: u32, kind: ObjectKind) {
    let removed = OBJECTS.lock().remove(id, kind);
    drop(removed);
    feed::changed(id);
}

impl Objects {
    fn insert(&mut self, id: u32, kind: ObjectKind, object: WeakObject) {
        self.by_id.insert(id, object);
        if let Some(ids) = self.ids.get_mut(kind.index()) {
            ids.insert(id);
        }
    }

    fn remove(&mut self, id: u32, kind: ObjectKind) -> Option<WeakObject> {
        if let Some(ids) = self.ids.get_mut(kind.index()) {
            ids.remove(&id);
        }
        self.by_id.remove(&id)
    }

    /// The first id from `from` on, of `kind` if one is named.
    fn next_id(&self, from: u32, kind: Option<ObjectKind>) -> Option<u32> {
        let first = |ids: &BTreeSet<u32>| ids.range(from..).next().copied();
        match kind {
            Some(kind) => self.ids.get(kind.index()).and_then(first),
            None => self.ids.iter().filter_map(first).min(),
        }
    }
}

/// The object with this id, unless it is gone or going.
#[must_use]
pub fn lookup(id: u32) -> Option<ObjectRef> {
    OBJECTS.lock().by_id.get(&id)?.upgrade()
}

/// True when there is an object with this id. Unlike a lookup it takes no reference.
#[must_use]
pub fn is_known(id: u32) -> bool {
    OBJECTS.lock().by_id.get(&id).is_some_and(WeakObject::is_alive)
}

/// The first object after `id` in the order in which they were made, of `kind` if one is named.
#[must_use]
pub fn next(id: u32, kind: Option<ObjectKind>) -> Option<ObjectRef> {
    let mut from = id.checked_add(1)?;
    let objects = OBJECTS.lock();
    loop {
        let id = objects.next_id(from, kind)?;
        if let Some(object) = objects.by_id.get(&id).and_then(WeakObject::upgrade) {
            return Some(object);
        }
        // Its last reference has just gone.
        from = id.checked_add(1)?;
    }
}

/// How many there are that handles can name: for the census.
#[must_use]
pub fn count() -> usize {
    [ObjectKind::Channel, ObjectKind::Port, ObjectKind::File].into_iter().map(count_of).sum()
}

/// How many there are of one kind.
#[must_use]
pub fn count_of(kind: ObjectKind) -> usize {
    OBJECTS.lock().ids.get(kind.index()).map_or(0, BTreeSet::len)
}

/// The table of ids.
#[must_use]
pub fn statistics() -> Statistics {
    OBJECTS.lock().by_id.statistics()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support::Process;
    use base::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    /// Who looks an object up while its last reference goes gets a live one or nothing.
    #[test]
    fn a_lookup_that_meets_the_last_put_finds_the_object_whole_or_not_at_all() {
        let process = Process::new(1);
        let (newest, done) = (AtomicU32::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for walks in [false, true] {
                let (newest, done) = (&newest, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Acquire) {
                        let id = newest.load(Ordering::Acquire);
                        let before = id.saturating_sub(1);
                        let found = if walks { next(before, Some(ObjectKind::Channel)) } else { lookup(id) };
                        let Some(object) = found else { continue };
                        assert!(object.references() > 0);
                        assert!(walks || object.base().id() == id);
                        assert_eq!(object.base().state().name(), "live");
                    }
                });
            }
            for _ in 0..5000 {
                let (one, other) = process.channel();
                newest.store(process.table.info(one).unwrap().object, Ordering::Release);
                process.table.close(one).unwrap();
                process.table.close(other).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        assert!(!is_known(newest.load(Ordering::Acquire)));
    }
}
