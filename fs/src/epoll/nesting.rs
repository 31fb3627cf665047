//! Instances in instances: no cycle, no chain longer than five, and not too many ways from a file up to the
//! instances that nobody watches. Source: `ELOOP` and `EINVAL` in `epoll_ctl(2)`.
//!
//! Cycles and depth are checked before one instance is added to another, under one lock for all instances: so what
//! was checked still holds when the item is there. Paths are counted with the new item in place, which goes again
//! when they are too many: whichever of two that add at once comes last sees both.
//!
//! A walk goes over all that hangs together, as much as the limit of a user's items allows. So the lock is one that
//! tasks wait for, a table is locked for a batch of its entries at a time, and others have their turn in between. An
//! entry that comes to a table meanwhile is that of a file, and checked by whoever adds it.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Bound;

use base::{Errno, Result};
use executor::lock::{Mutex, MutexGuard};

use super::instance::{Epoll, Key, Registration, Table};
use crate::file::{Follower, OpenFile};

/// Instances that a chain may have.
const LONGEST_CHAIN: usize = 5;

/// Paths that a file may have through one instance, through a chain of two, and so on. A wake of the file may go up
/// all of them.
const MOST_PATHS: [usize; LONGEST_CHAIN] = [usize::MAX, 500, 100, 50, 10];

/// Entries of a table that are looked at under one hold of its lock.
const BATCH: usize = 64;

/// Paths by the instances on them, less one.
type Paths = [usize; LONGEST_CHAIN];

/// The instances on one side of another.
type Side = fn(&Table) -> &BTreeMap<Key, Weak<Epoll>>;

static GRAPH: Mutex<()> = Mutex::new(());

/// Keeps the shape of all nests until what it gives is dropped. Dropped midway, it has not waited.
pub(super) async fn freeze() -> MutexGuard<'static, ()> {
    GRAPH.lock().await
}

/// What `take` finds in the entries that follow `after`, a batch of them, and the last one's key; no key when there are
/// no more.
fn batch<V, T>(
    entries: &BTreeMap<Key, V>,
    after: Option<Key>,
    take: impl Fn(&Key, &V) -> Option<T>,
) -> (Vec<T>, Option<Key>) {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let (mut found, mut last) = (Vec::with_capacity(BATCH), None);
    for (key, value) in entries.range((from, Bound::Unbounded)).take(BATCH) {
        found.extend(take(key, value));
        last = Some(*key);
    }
    (found, last)
}

/// Shows `see` the instances on one side of `epoll`.
async fn for_each_neighbour(epoll: &Epoll, side: Side, mut see: impl FnMut(Arc<Epoll>)) {
    let mut after = None;
    loop {
        let (found, last) = batch(side(&epoll.table.lock()), after, |_, neighbour| neighbour.upgrade());
        if last.is_none() {
            return;
        }
        after = last;
        found.into_iter().for_each(&mut see);
        executor::yield_point().await;
    }
}

/// Checks that `outer` may have `inner` as an item; the nests are frozen.
///
/// # Errors
///
/// `ELOOP` for a cycle, or when the longest chain through the two would be too long.
pub(super) async fn check(outer: &Epoll, inner: &Epoll) -> Result<()> {
    let above = longest(outer, |table| &table.outer, None).await?;
    let below = longest(inner, |table| &table.inner, Some(outer.id)).await?;
    if above + below > LONGEST_CHAIN { Err(Errno::ELOOP) } else { Ok(()) }
}

/// Instances of the longest chain that starts with `from`, level by level: each instance once on a level, so
/// that the work is bounded by the edges whatever their pattern.
async fn longest(from: &Epoll, side: Side, forbidden: Option<u64>) -> Result<usize> {
    if forbidden == Some(from.id) {
        return Err(Errno::ELOOP);
    }
    let mut length = 1;
    let mut level = BTreeMap::new();
    for_each_neighbour(from, side, |epoll| drop(level.insert(epoll.id, epoll))).await;
    while !level.is_empty() {
        length += 1;
        if length > LONGEST_CHAIN || forbidden.is_some_and(|forbidden| level.contains_key(&forbidden)) {
            return Err(Errno::ELOOP);
        }
        let mut next = BTreeMap::new();
        for epoll in level.into_values() {
            for_each_neighbour(&epoll, side, |epoll| drop(next.insert(epoll.id, epoll))).await;
        }
        level = next;
    }
    Ok(length)
}

/// Checks that `file`, which is no instance, has not too many paths; the nests are frozen.
///
/// # Errors
///
/// `EINVAL` when it has.
pub(super) async fn check_paths(file: &OpenFile) -> Result<()> {
    count_paths(file, &mut BTreeMap::new()).await
}

/// The same for all files of `inner` and of the instances below it, whose paths the addition of `inner` has
/// multiplied. Takes time in proportion to their number.
///
/// # Errors
///
/// As [`check_paths`].
pub(super) async fn check_paths_below(inner: &Arc<Epoll>) -> Result<()> {
    let mut seen = BTreeMap::from([(inner.id, inner.clone())]);
    let mut next = Vec::from([inner.clone()]);
    let mut known = BTreeMap::new();
    while let Some(epoll) = next.pop() {
        for_each_neighbour(
            &epoll,
            |table| &table.inner,
            |below| {
                if seen.insert(below.id, below.clone()).is_none() {
                    next.push(below);
                }
            },
        )
        .await;
        check_files(&epoll, &mut known).await?;
    }
    Ok(())
}

/// The same for the files of one instance.
async fn check_files(epoll: &Epoll, known: &mut BTreeMap<u64, Paths>) -> Result<()> {
    let mut after = None;
    loop {
        let (files, last) = {
            let table = epoll.table.lock();
            let file = |key: &Key, item: &Registration| {
                if table.inner.contains_key(key) { None } else { item.file.upgrade() }
            };
            batch(&table.items, after, file)
        };
        if last.is_none() {
            return Ok(());
        }
        after = last;
        for file in files {
            count_paths(&file, known).await?;
        }
        executor::yield_point().await;
    }
}

/// `known` are the paths up from instances that were met before.
async fn count_paths(file: &OpenFile, known: &mut BTreeMap<u64, Paths>) -> Result<()> {
    let mut paths: Paths = [0; LONGEST_CHAIN];
    let mut after = None;
    loop {
        let (followers, last) = file.followers(after, BATCH);
        for follower in followers {
            let Some(epoll) = as_instance(&*follower) else { continue };
            let up = match known.get(&epoll.id) {
                Some(up) => *up,
                None => {
                    let up = paths_up(epoll).await;
                    known.insert(epoll.id, up);
                    up
                }
            };
            let items = items_of(epoll, file);
            for (all, up) in paths.iter_mut().zip(up) {
                *all = all.saturating_add(up.saturating_mul(items));
            }
        }
        if paths.iter().zip(MOST_PATHS).any(|(paths, most)| *paths > most) {
            return Err(Errno::EINVAL);
        }
        if last.is_none() {
            return Ok(());
        }
        after = last;
        executor::yield_point().await;
    }
}

fn as_instance(follower: &dyn Follower) -> Option<&Epoll> {
    let follower: &dyn Any = follower;
    follower.downcast_ref()
}

/// Under how many numbers the instance has the file; as far as it matters.
fn items_of(epoll: &Epoll, file: &OpenFile) -> usize {
    let table = epoll.table.lock();
    let items = table.items.range((file.id(), i32::MIN)..=(file.id(), i32::MAX));
    items.take(MOST_PATHS[1] + 1).count()
}

/// Paths from an instance up to those that nobody watches, level by level.
async fn paths_up(from: &Epoll) -> Paths {
    let mut paths: Paths = [0; LONGEST_CHAIN];
    let mut level = BTreeMap::from([(from.id, (from.this.upgrade(), 1usize))]);
    for ended in &mut paths {
        let mut above = BTreeMap::new();
        for (epoll, count) in level.into_values() {
            let Some(epoll) = epoll else { continue };
            let mut is_watched = false;
            let see = |outer: Arc<Epoll>| {
                is_watched = true;
                let sum = &mut above.entry(outer.id).or_insert((Some(outer), 0usize)).1;
                *sum = sum.saturating_add(count);
            };
            for_each_neighbour(&epoll, |table| &table.outer, see).await;
            if !is_watched {
                *ended = ended.saturating_add(count);
            }
        }
        level = above;
    }
    paths
}
