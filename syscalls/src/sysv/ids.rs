//! Identifiers and keys of one kind of object.
//!
//! An identifier is an index, the lowest that is free, and above it a number that grows each time an index
//! comes round again, so that an old identifier does not meet a new object.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

/// Bits of an identifier that are the index.
const INDEX_BITS: u32 = 15;
/// Most objects of a kind, whatever the settings say: `IPCMNI`.
pub const MOST: u64 = 1 << INDEX_BITS;
/// Highest number above the index.
const SEQUENCE_MAX: i32 = i32::MAX >> INDEX_BITS;

/// The key that names nothing: each call makes a new object.
pub const IPC_PRIVATE: i32 = 0;
/// Make the object if there is none.
pub const IPC_CREAT: i32 = 0o1000;
/// With `IPC_CREAT`: it must not be there.
const IPC_EXCL: i32 = 0o2000;

/// The objects of one kind.
pub struct Ids<T>(SpinLock<Table<T>>);

struct Table<T> {
    objects: BTreeMap<u16, Entry<T>>,
    keys: BTreeMap<i32, u16>,
    /// Indexes below `unused` that are free.
    free: BTreeSet<u16>,
    /// The lowest index that was never taken.
    unused: u16,
    /// The index that was given out last.
    last: Option<u16>,
    sequence: i32,
}

/// An object in the table.
struct Entry<T> {
    id: i32,
    /// The key that leads to it, or `IPC_PRIVATE`.
    key: i32,
    object: Arc<T>,
}

impl<T> Entry<T> {
    /// The identifier and the object.
    fn found(&self) -> (i32, Arc<T>) {
        (self.id, self.object.clone())
    }
}

impl<T> Table<T> {
    fn by_id(&self, id: i32) -> Option<&Entry<T>> {
        self.objects.get(&index_of(id)).filter(|entry| entry.id == id)
    }

    fn in_use(&self) -> usize {
        usize::from(self.unused) - self.free.len()
    }
}

/// The index in an identifier that is not negative.
fn index_of(id: i32) -> u16 {
    (id.unsigned_abs() & ((1 << INDEX_BITS) - 1)) as u16
}

/// An identifier as a syscall answers it: it is never negative.
#[must_use]
pub fn to_answer(id: i32) -> u64 {
    id.unsigned_abs().into()
}

/// What is above the index: `seq` of `ipc_perm`.
#[must_use]
pub fn sequence_of(id: i32) -> u16 {
    (id.unsigned_abs() >> INDEX_BITS) as u16
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Ids::new()
    }
}

impl<T> Ids<T> {
    /// No objects.
    #[must_use]
    pub const fn new() -> Ids<T> {
        Ids(SpinLock::new(
            LockClass::SysvIds,
            Table {
                objects: BTreeMap::new(),
                keys: BTreeMap::new(),
                free: BTreeSet::new(),
                unused: 0,
                last: None,
                sequence: 0,
            },
        ))
    }

    /// What the `get` calls do: finds the object of `key`, which `check` lets the caller have, or makes one with
    /// `create`, which is told the identifier. The answer is the identifier.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none and `flags` do not ask for one; `EEXIST` when there must be none; `ENOSPC` when
    /// there are `limit` objects; those of `check` and `create`.
    pub fn get(
        &self,
        key: i32,
        flags: i32,
        limit: u64,
        check: impl Fn(&T) -> Result<()>,
        create: impl FnOnce(i32) -> Result<T>,
    ) -> Result<i32> {
        if let Some((id, object)) = self.find_key(key) {
            return existing(id, &*object, flags, check);
        }
        if key != IPC_PRIVATE && flags & IPC_CREAT == 0 {
            return Err(Errno::ENOENT);
        }
        // Made without the lock, and then thrown away if somebody was faster.
        let place = self.reserve(limit)?;
        let id = place.id;
        let object = Arc::new(create(id)?);
        match place.fill(key, object) {
            None => Ok(id),
            Some((id, object)) => existing(id, &*object, flags, check),
        }
    }

    fn find_key(&self, key: i32) -> Option<(i32, Arc<T>)> {
        if key == IPC_PRIVATE {
            return None;
        }
        let table = self.0.lock();
        table.objects.get(table.keys.get(&key)?).map(Entry::found)
    }

    /// Takes an index.
    fn reserve(&self, limit: u64) -> Result<Place<'_, T>> {
        let mut table = self.0.lock();
        if table.in_use() as u64 >= limit.min(MOST) {
            return Err(Errno::ENOSPC);
        }
        let index = match table.free.pop_first() {
            Some(index) => index,
            None => {
                table.unused += 1;
                table.unused - 1
            }
        };
        if table.last.is_some_and(|last| index <= last) {
            table.sequence = if table.sequence == SEQUENCE_MAX { 0 } else { table.sequence + 1 };
        }
        table.last = Some(index);
        let id = table.sequence << INDEX_BITS | i32::from(index);
        Ok(Place { ids: self, id })
    }

    /// The object with this identifier.
    ///
    /// # Errors
    ///
    /// `EINVAL` when there is none.
    pub fn find(&self, id: i32) -> Result<Arc<T>> {
        if id < 0 {
            return Err(Errno::EINVAL);
        }
        self.0.lock().by_id(id).map(|entry| entry.object.clone()).ok_or(Errno::EINVAL)
    }

    /// The object with this index, and its identifier: `SEM_STAT` and its like.
    ///
    /// # Errors
    ///
    /// `EINVAL` when there is none.
    pub fn find_index(&self, index: i32) -> Result<(i32, Arc<T>)> {
        if index < 0 {
            return Err(Errno::EINVAL);
        }
        self.0.lock().objects.get(&index_of(index)).map(Entry::found).ok_or(Errno::EINVAL)
    }

    /// The object with the lowest index from `index` on, and that index.
    pub fn next(&self, index: u16) -> Option<(u16, Arc<T>)> {
        let table = self.0.lock();
        table.objects.range(index..).next().map(|(index, entry)| (*index, entry.object.clone()))
    }

    /// Number of objects, and the highest index, 0 when there is none.
    pub fn extent(&self) -> (usize, u16) {
        let table = self.0.lock();
        (table.objects.len(), table.objects.last_key_value().map_or(0, |(index, _)| *index))
    }

    /// Takes an object out. Nothing happens when it is not there any more.
    pub fn remove(&self, id: i32) {
        let mut table = self.0.lock();
        if table.by_id(id).is_none() {
            return;
        }
        let removed = table.objects.remove(&index_of(id));
        if let Some(Entry { key, .. }) = &removed {
            table.keys.remove(key);
        }
        table.free.insert(index_of(id));
        drop(table);
        drop(removed);
    }

    /// Makes an object one that no key leads to.
    pub fn forget_key(&self, id: i32) {
        let mut table = self.0.lock();
        if let Some(entry) = table.objects.get_mut(&index_of(id)).filter(|entry| entry.id == id) {
            let key = core::mem::replace(&mut entry.key, IPC_PRIVATE);
            table.keys.remove(&key);
        }
    }
}

/// What a `get` call answers for an object that was there.
fn existing<T>(id: i32, object: &T, flags: i32, check: impl Fn(&T) -> Result<()>) -> Result<i32> {
    if flags & IPC_CREAT != 0 && flags & IPC_EXCL != 0 {
        return Err(Errno::EEXIST);
    }
    check(object)?;
    Ok(id)
}

/// An index that is taken and has no object yet; its drop gives it back.
struct Place<'a, T> {
    ids: &'a Ids<T>,
    id: i32,
}

impl<T> Place<'_, T> {
    /// Puts the object there; or answers the one that has the key meanwhile.
    fn fill(self, key: i32, object: Arc<T>) -> Option<(i32, Arc<T>)> {
        let mut table = self.ids.0.lock();
        if key != IPC_PRIVATE {
            if let Some(index) = table.keys.get(&key) {
                let found = table.objects.get(index).map(Entry::found);
                drop(table);
                return found;
            }
            table.keys.insert(key, index_of(self.id));
        }
        table.objects.insert(index_of(self.id), Entry { id: self.id, key, object });
        drop(table);
        core::mem::forget(self);
        None
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        self.ids.0.lock().free.insert(index_of(self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(ids: &Ids<i32>, key: i32, flags: i32) -> Result<i32> {
        ids.get(key, flags, 3, |_| Ok(()), Ok)
    }

    #[test]
    fn keys_lead_to_their_objects() {
        let ids = Ids::new();
        assert_eq!(make(&ids, 7, 0), Err(Errno::ENOENT));
        assert_eq!(make(&ids, 7, IPC_CREAT), Ok(0));
        assert_eq!(make(&ids, 7, IPC_CREAT | IPC_EXCL), Err(Errno::EEXIST));
        assert_eq!(make(&ids, 7, 0), Ok(0));
        assert_eq!(make(&ids, IPC_PRIVATE, 0), Ok(1));
        ids.forget_key(0);
        assert_eq!(make(&ids, 7, 0), Err(Errno::ENOENT));
        assert_eq!(ids.find(0).as_deref(), Ok(&0));
    }

    #[test]
    fn an_index_that_comes_again_makes_another_identifier() {
        let ids = Ids::new();
        let made: [i32; 3] = core::array::from_fn(|_| make(&ids, IPC_PRIVATE, 0).unwrap());
        assert_eq!((made, make(&ids, IPC_PRIVATE, 0)), ([0, 1, 2], Err(Errno::ENOSPC)));
        ids.remove(1);
        assert_eq!(make(&ids, IPC_PRIVATE, 0), Ok(1 << INDEX_BITS | 1));
        assert_eq!(ids.find(1), Err(Errno::EINVAL));
        assert_eq!(ids.find_index(1).unwrap().0, 1 << INDEX_BITS | 1);
        assert_eq!(ids.extent(), (3, 2));
    }

    #[test]
    fn a_creation_that_fails_leaves_nothing() {
        let ids: Ids<i32> = Ids::new();
        let fail = |_| Err(Errno::ENOMEM);
        assert_eq!(ids.get(5, IPC_CREAT, 1, |_| Ok(()), fail), Err(Errno::ENOMEM));
        assert_eq!(ids.extent().0, 0);
        assert!(make(&ids, 5, IPC_CREAT).is_ok());
    }
}
