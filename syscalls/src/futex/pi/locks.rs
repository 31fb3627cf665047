//! The locks that somebody waits for, and the conditions on which one waits to be moved to a lock.
//!
//! One lock guards all of it, so that a step changes the word and the table at one moment: this is the slow path,
//! taken only by those who meet. Invariants:
//!
//! - **P1** A lock is in the table exactly while somebody waits for it or inherits it.
//! - **P2** Its owner is a thread that has not let go of its memory; that step passes all its locks on.
//! - **P3** Unless somebody inherits it, the word names the owner, or the program has spoilt it.
//! - **P4** From a thread to the lock that it waits for, to that lock's owner, and so on, no way leads back.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::sync::atomic::{AtomicUsize, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use executor::pollwait::SourceId;

use super::waiter::{Place, Waiter};
use crate::futex::operations::{Exchange, Word};
use crate::futex::robust::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use crate::futex::table;
use crate::mm::FutexKey;
use crate::thread::Thread;

/// The table.
pub static LOCKS: SpinLock<Locks> = SpinLock::new(LockClass::FutexOwner, Locks::new());

/// Entries in the table: plain wakes ask it only when there are any.
static ENTRIES: AtomicUsize = AtomicUsize::new(0);

/// Owners that are asked what they wait for, before it is taken for a circle: `kernel.max_lock_depth` of Linux, which gives
/// the same answer there.
const LONGEST_CHAIN: usize = 1024;

/// A lock that somebody waits for.
struct Lock {
    owner: Arc<Thread>,
    waiters: VecDeque<Arc<Waiter>>,
    /// Who has inherited it and not yet written that into the word.
    heirs: usize,
}

/// The thread that a word named when it was looked up, which is not possible under the lock of the table.
pub(super) struct Named {
    pub(super) tid: u32,
    pub(super) thread: Option<Arc<Thread>>,
}

/// What came of asking for a lock.
pub(super) enum Claim<T> {
    /// The word has the thread as its owner.
    Taken,
    /// Somebody else has it.
    Waits(T),
    /// The word's page is not there, or cannot be written now.
    Missing,
    /// The word changed meanwhile.
    Changed,
}

/// What came of giving a lock back.
pub(super) enum Release {
    /// The word is free.
    ToNobody,
    /// The word has this waiter as its owner, who is to be woken.
    To(Arc<Waiter>),
    /// As [`Claim::Missing`].
    Missing,
    /// As [`Claim::Changed`].
    Changed,
}

/// The table's content.
pub struct Locks {
    wanted: BTreeMap<FutexKey, Lock>,
    /// The locks of `wanted` by their owners' identities.
    owned: BTreeMap<usize, BTreeSet<FutexKey>>,
    /// The lock in whose queue each thread stands, by the thread's identity.
    blocked: BTreeMap<usize, FutexKey>,
    conditions: BTreeMap<FutexKey, VecDeque<Arc<Waiter>>>,
}

fn identity(thread: &Thread) -> usize {
    core::ptr::from_ref(thread).addr()
}

/// True when threads wait for the word with one of the PI operations, which no plain operation may wake or move.
pub fn is_awaited(key: &FutexKey) -> bool {
    if ENTRIES.load(Ordering::Acquire) == 0 {
        return false;
    }
    let locks = LOCKS.lock();
    locks.wanted.contains_key(key) || locks.conditions.contains_key(key)
}

/// For the wait graph: where each thread that wants a lock waits, and the thread that has the lock.
pub fn waits() -> Vec<(SourceId, u32)> {
    let locks = LOCKS.lock();
    let each = |lock: &Lock| {
        let owner = lock.owner.tid();
        lock.waiters.iter().map(move |waiter| (waiter.source().identity(), owner)).collect::<Vec<_>>()
    };
    locks.wanted.values().flat_map(each).collect()
}

impl Lock {
    /// Checks that the word says of its owner what the kernel knows.
    fn agrees(&self, word: u32) -> Result<()> {
        let tid = word & FUTEX_TID_MASK;
        let is_dying = tid == 0 && word & FUTEX_OWNER_DIED != 0;
        if self.heirs > 0 || is_dying || tid == self.owner.tid() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The waiter that comes next: of those with the highest priority the first.
    fn next(&self) -> Option<usize> {
        let priority = |at: &usize| self.waiters.get(*at).map(|waiter| waiter.thread.scheduling().priority());
        (0..self.waiters.len()).rev().max_by_key(priority)
    }
}

impl Locks {
    const fn new() -> Locks {
        Locks {
            wanted: BTreeMap::new(),
            owned: BTreeMap::new(),
            blocked: BTreeMap::new(),
            conditions: BTreeMap::new(),
        }
    }

    fn count(&self) {
        ENTRIES.store(self.wanted.len() + self.conditions.len(), Ordering::Release);
    }

    /// Takes the lock at `word` for `own` if it is free; else marks the word as wanted. With `marked`, a free one
    /// is marked too.
    pub(super) fn claim(
        &self,
        own: &Thread,
        word: &Word<'_>,
        named: &Named,
        marked: bool,
    ) -> Result<Claim<()>> {
        let Some(seen) = word.peek() else { return Ok(Claim::Missing) };
        let tid = seen & FUTEX_TID_MASK;
        if tid == own.tid() {
            return Err(Errno::EDEADLK);
        }
        let lock = self.wanted.get(word.key());
        match lock {
            Some(lock) => lock.agrees(seen)?,
            None if self.is_awaited_otherwise(word.key()) => return Err(Errno::EINVAL),
            None if tid == 0 => {
                let mark = if marked { FUTEX_WAITERS } else { 0 };
                let new = seen & FUTEX_OWNER_DIED | own.tid() | mark;
                return Ok(match word.exchange(seen, new) {
                    Exchange::Done => Claim::Taken,
                    Exchange::Missing => Claim::Missing,
                    Exchange::Changed => Claim::Changed,
                });
            }
            None => {}
        }
        if seen & FUTEX_WAITERS == 0 {
            match word.exchange(seen, seen | FUTEX_WAITERS) {
                Exchange::Done => {}
                Exchange::Missing => return Ok(Claim::Missing),
                Exchange::Changed => return Ok(Claim::Changed),
            }
        }
        if lock.is_none() {
            if named.tid != tid {
                return Ok(Claim::Changed);
            }
            let owner = named.thread.as_ref().filter(|owner| !owner.words().has_released_locks());
            owner.ok_or(Errno::ESRCH)?;
        }
        Ok(Claim::Waits(()))
    }

    /// As [`claim`](Self::claim); when somebody else has the lock the thread joins its queue.
    pub(super) fn lock(
        &mut self,
        own: &Arc<Thread>,
        word: &Word<'_>,
        named: &Named,
    ) -> Result<Claim<Arc<Waiter>>> {
        Ok(match self.claim(own, word, named, false)? {
            Claim::Waits(()) => {
                self.check_chain(own, word.key(), named)?;
                let waiter = Waiter::new(own, *word.key(), None);
                self.enqueue(&waiter, named.thread.as_ref());
                Claim::Waits(waiter)
            }
            Claim::Taken => Claim::Taken,
            Claim::Missing => Claim::Missing,
            Claim::Changed => Claim::Changed,
        })
    }

    /// P4: checks that the owner of the lock, who is `named` if it is not in the table, does not wait for `own`, be it
    /// through others.
    ///
    /// # Errors
    ///
    /// `EDEADLK` when it does.
    pub(super) fn check_chain(&self, own: &Thread, lock: &FutexKey, named: &Named) -> Result<()> {
        let known = self.wanted.get(lock).map(|lock| &lock.owner);
        let mut next = known.or(named.thread.as_ref());
        for _ in 0..LONGEST_CHAIN {
            let Some(owner) = next else { return Ok(()) };
            if core::ptr::eq(own, &raw const **owner) {
                return Err(Errno::EDEADLK);
            }
            let awaited = self.blocked.get(&identity(owner)).and_then(|lock| self.wanted.get(lock));
            next = awaited.map(|lock| &lock.owner);
        }
        Err(Errno::EDEADLK)
    }

    /// Puts a waiter into the queue of its lock, which `owner` has if it is not in the table.
    fn enqueue(&mut self, waiter: &Arc<Waiter>, owner: Option<&Arc<Thread>>) {
        if let (false, Some(owner)) = (self.wanted.contains_key(&waiter.lock), owner) {
            let lock = Lock { owner: owner.clone(), waiters: VecDeque::new(), heirs: 0 };
            self.wanted.insert(waiter.lock, lock);
            self.owned.entry(identity(owner)).or_default().insert(waiter.lock);
            self.count();
        }
        if let Some(lock) = self.wanted.get_mut(&waiter.lock) {
            waiter.set_place(Place::Queued);
            lock.waiters.push_back(waiter.clone());
            self.blocked.insert(identity(&waiter.thread), waiter.lock);
        }
    }

    /// Gives the lock at `word`, which held `seen` and names thread `tid`, to the next.
    pub(super) fn unlock(&mut self, tid: u32, word: &Word<'_>, seen: u32) -> Result<Release> {
        let lock = self.wanted.get(word.key());
        if lock.is_some_and(|lock| lock.owner.tid() != tid)
            || lock.is_none() && self.is_awaited_otherwise(word.key())
        {
            return Err(Errno::EINVAL);
        }
        let next = lock.and_then(|lock| lock.waiters.get(lock.next()?).cloned());
        let new = next.as_ref().map_or(0, |next| next.thread.tid() | FUTEX_WAITERS);
        match word.exchange(seen, new) {
            Exchange::Done => {}
            Exchange::Missing => return Ok(Release::Missing),
            Exchange::Changed => return Ok(Release::Changed),
        }
        let Some(next) = next else { return Ok(Release::ToNobody) };
        self.pass(&next, Place::Owner);
        Ok(Release::To(next))
    }

    /// Makes a waiter the owner of its lock.
    fn pass(&mut self, heir: &Arc<Waiter>, place: Place) {
        let Some(lock) = self.wanted.get_mut(&heir.lock) else { return };
        lock.waiters.retain(|waiter| !Arc::ptr_eq(waiter, heir));
        lock.heirs += usize::from(place == Place::Heir);
        let old = core::mem::replace(&mut lock.owner, heir.thread.clone());
        heir.set_place(place);
        self.blocked.remove(&identity(&heir.thread));
        self.disown(&old, &heir.lock);
        self.owned.entry(identity(&heir.thread)).or_default().insert(heir.lock);
        self.forget_if_unwanted(&heir.lock);
    }

    fn disown(&mut self, owner: &Thread, key: &FutexKey) {
        if let Some(keys) = self.owned.get_mut(&identity(owner)) {
            keys.remove(key);
            if keys.is_empty() {
                self.owned.remove(&identity(owner));
            }
        }
    }

    /// P1.
    fn forget_if_unwanted(&mut self, key: &FutexKey) {
        if self.wanted.get(key).is_some_and(|lock| lock.waiters.is_empty() && lock.heirs == 0)
            && let Some(lock) = self.wanted.remove(key)
        {
            self.disown(&lock.owner, key);
            self.count();
        }
    }

    /// A waiter gives up, unless it has the lock already. Returns its place.
    pub(super) fn leave(&mut self, waiter: &Arc<Waiter>) -> Place {
        let place = waiter.place();
        match (place, &waiter.condition) {
            (Place::Condition, Some(condition)) => {
                if let Some(waiters) = self.conditions.get_mut(condition) {
                    waiters.retain(|other| !Arc::ptr_eq(other, waiter));
                }
                self.forget_if_empty(condition);
            }
            (Place::Queued, _) => {
                if let Some(lock) = self.wanted.get_mut(&waiter.lock) {
                    lock.waiters.retain(|other| !Arc::ptr_eq(other, waiter));
                }
                self.blocked.remove(&identity(&waiter.thread));
                self.forget_if_unwanted(&waiter.lock);
            }
            _ => {}
        }
        place
    }

    /// An heir has written the word, or never will.
    pub(super) fn inherited(&mut self, key: &FutexKey) {
        if let Some(lock) = self.wanted.get_mut(key) {
            lock.heirs = lock.heirs.saturating_sub(1);
        }
        self.forget_if_unwanted(key);
    }

    /// P2: passes on every lock of `owner`; with `ends`, nobody can begin to wait for it any more. Those who
    /// inherit are to be woken.
    pub(super) fn owner_left(&mut self, owner: &Thread, ends: bool) -> Vec<Arc<Waiter>> {
        if ends {
            owner.words().set_locks_released();
        }
        let keys = self.owned.remove(&identity(owner)).unwrap_or_default();
        let mut heirs = Vec::with_capacity(keys.len());
        for key in keys {
            let next = self.wanted.get(&key).and_then(|lock| lock.waiters.get(lock.next()?).cloned());
            if let Some(heir) = next {
                self.pass(&heir, Place::Heir);
                heirs.push(heir);
            }
        }
        heirs
    }

    /// True when somebody waits for the word with another operation than those of locks.
    fn is_awaited_otherwise(&self, key: &FutexKey) -> bool {
        self.conditions.contains_key(key) || is_awaited_plainly(key)
    }

    /// Lets a thread wait on `condition` as long as that holds `expected`, to be moved to `lock`. Nothing when the
    /// condition's page is not there.
    pub(super) fn join(
        &mut self,
        own: &Arc<Thread>,
        condition: &Word<'_>,
        expected: u32,
        lock: FutexKey,
    ) -> Result<Option<Arc<Waiter>>> {
        let Some(seen) = condition.peek() else { return Ok(None) };
        if seen != expected {
            return Err(Errno::EAGAIN);
        }
        if *condition.key() == lock {
            return Err(Errno::EINVAL);
        }
        let waiter = Waiter::new(own, lock, Some(*condition.key()));
        self.conditions.entry(*condition.key()).or_default().push_back(waiter.clone());
        self.count();
        Ok(Some(waiter))
    }

    /// The first who waits on a condition; none may wait there otherwise.
    pub(super) fn first_at(&self, condition: &FutexKey) -> Result<Option<Arc<Waiter>>> {
        if self.wanted.contains_key(condition) || is_awaited_plainly(condition) {
            return Err(Errno::EINVAL);
        }
        Ok(self.conditions.get(condition).and_then(VecDeque::front).cloned())
    }

    /// Takes the first off its condition: it has the lock, or joins the queue of `owner`'s lock.
    pub(super) fn move_first(&mut self, condition: &FutexKey, place: Place, owner: Option<&Arc<Thread>>) {
        let waiter = self.conditions.get_mut(condition).and_then(VecDeque::pop_front);
        self.forget_if_empty(condition);
        match waiter {
            Some(waiter) if place == Place::Owner => waiter.set_place(place),
            Some(waiter) => self.enqueue(&waiter, owner),
            None => {}
        }
    }

    fn forget_if_empty(&mut self, condition: &FutexKey) {
        if self.conditions.get(condition).is_some_and(VecDeque::is_empty) {
            self.conditions.remove(condition);
        }
        self.count();
    }
}

fn is_awaited_plainly(key: &FutexKey) -> bool {
    table::find(key).is_some_and(|queue| queue.waiting() > 0)
}
