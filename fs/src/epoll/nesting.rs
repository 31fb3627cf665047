//! Instances in instances: no cycle, no chain longer than five, and not too many ways from a file up to the
//! instances that nobody watches. Source: `ELOOP` and `EINVAL` in `epoll_ctl(2)`.
//!
//! Cycles and depth are checked before one instance is added to another, under one lock for all instances: so what
//! was checked still holds when the item is there. Paths are counted with the new item in place, which goes again
//! when they are too many: whichever of two that add at once comes last sees both.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use base::sync::{LockClass, SpinGuard, SpinLock};
use base::{Errno, Result};

use super::instance::{Epoll, Key, Table};
use crate::file::{Follower, OpenFile};

/// Instances that a chain may have.
const LONGEST_CHAIN: usize = 5;

/// Paths that a file may have through one instance, through a chain of two, and so on. A wake of the file may go up
/// all of them.
const MOST_PATHS: [usize; LONGEST_CHAIN] = [usize::MAX, 500, 100, 50, 10];

/// Paths by the instances on them, less one.
type Paths = [usize; LONGEST_CHAIN];

static GRAPH: SpinLock<()> = SpinLock::new(LockClass::EpollGraph, ());

/// Keeps the shape of all nests until it is dropped.
pub(super) fn freeze() -> SpinGuard<'static, ()> {
    GRAPH.lock()
}

/// Checks that `outer` may have `inner` as an item; the nests are frozen.
///
/// # Errors
///
/// `ELOOP` for a cycle, or when the longest chain through the two would be too long.
pub(super) fn check(outer: &Epoll, inner: &Epoll) -> Result<()> {
    let above = longest(outer, |table| upgrade(&table.outer), None)?;
    let below = longest(inner, |table| upgrade(&table.inner), Some(outer.id))?;
    if above + below > LONGEST_CHAIN { Err(Errno::ELOOP) } else { Ok(()) }
}

fn upgrade(neighbours: &BTreeMap<Key, Weak<Epoll>>) -> Vec<Arc<Epoll>> {
    neighbours.values().filter_map(Weak::upgrade).collect()
}

/// Instances of the longest chain that starts with `from`, level by level: each instance once on a level, so
/// that the work is bounded by the edges whatever their pattern.
fn longest(
    from: &Epoll,
    neighbours: impl Fn(&Table) -> Vec<Arc<Epoll>>,
    forbidden: Option<u64>,
) -> Result<usize> {
    if forbidden == Some(from.id) {
        return Err(Errno::ELOOP);
    }
    let mut length = 1;
    let mut level: Vec<Arc<Epoll>> = neighbours(&from.table.lock());
    while !level.is_empty() {
        length += 1;
        if length > LONGEST_CHAIN {
            return Err(Errno::ELOOP);
        }
        let mut next = BTreeMap::new();
        for epoll in &level {
            if forbidden == Some(epoll.id) {
                return Err(Errno::ELOOP);
            }
            next.extend(neighbours(&epoll.table.lock()).into_iter().map(|epoll| (epoll.id, epoll)));
        }
        level = next.into_values().collect();
    }
    Ok(length)
}

/// What a check of paths looks at. It is to be dropped when the nests are no longer frozen: a file or an instance may
/// end with it.
#[derive(Default)]
pub(super) struct Examined {
    files: Vec<Arc<OpenFile>>,
    followers: Vec<Arc<dyn Follower>>,
}

/// Checks that `file`, which is no instance, has not too many paths; the nests are frozen.
///
/// # Errors
///
/// `EINVAL` when it has.
pub(super) fn check_paths(file: &OpenFile, examined: &mut Examined) -> Result<()> {
    count_paths(file, &mut examined.followers, &mut BTreeMap::new())
}

/// The same for all files of `inner` and of the instances below it, whose paths the addition of `inner` has
/// multiplied. Takes time in proportion to their number.
///
/// # Errors
///
/// As [`check_paths`].
pub(super) fn check_paths_below(inner: &Arc<Epoll>, examined: &mut Examined) -> Result<()> {
    let mut seen = BTreeMap::from([(inner.id, inner.clone())]);
    let mut next = Vec::from([inner.clone()]);
    while let Some(epoll) = next.pop() {
        let table = epoll.table.lock();
        let files = table.items.iter().filter(|(key, _)| !table.inner.contains_key(key));
        examined.files.extend(files.filter_map(|(_, item)| item.file.upgrade()));
        for below in upgrade(&table.inner) {
            if seen.insert(below.id, below.clone()).is_none() {
                next.push(below);
            }
        }
    }
    let mut known = BTreeMap::new();
    let Examined { files, followers } = examined;
    files.iter().try_for_each(|file| count_paths(file, followers, &mut known))
}

/// `known` are the paths up from instances that were met before.
fn count_paths(
    file: &OpenFile,
    followers: &mut Vec<Arc<dyn Follower>>,
    known: &mut BTreeMap<u64, Paths>,
) -> Result<()> {
    let first = followers.len();
    followers.extend(file.followers());
    let mut paths: Paths = [0; LONGEST_CHAIN];
    for follower in &followers[first..] {
        let follower: &dyn Any = &**follower;
        let Some(epoll) = follower.downcast_ref::<Epoll>() else { continue };
        let items = epoll.table.lock().items.range((file.id(), i32::MIN)..=(file.id(), i32::MAX)).count();
        let up = known.entry(epoll.id).or_insert_with(|| paths_up(epoll));
        for (all, up) in paths.iter_mut().zip(up) {
            *all = all.saturating_add(up.saturating_mul(items));
        }
    }
    let too_many = paths.iter().zip(MOST_PATHS).any(|(paths, most)| *paths > most);
    if too_many { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Paths from an instance up to those that nobody watches, level by level.
fn paths_up(from: &Epoll) -> Paths {
    let mut paths: Paths = [0; LONGEST_CHAIN];
    let mut level = BTreeMap::from([(from.id, (from.this.upgrade(), 1usize))]);
    for ended in &mut paths {
        let mut above = BTreeMap::new();
        for (epoll, count) in level.into_values() {
            let Some(epoll) = epoll else { continue };
            let outer = upgrade(&epoll.table.lock().outer);
            if outer.is_empty() {
                *ended = ended.saturating_add(count);
            }
            for outer in outer {
                let sum = &mut above.entry(outer.id).or_insert((Some(outer), 0usize)).1;
                *sum = sum.saturating_add(count);
            }
        }
        level = above;
    }
    paths
}
