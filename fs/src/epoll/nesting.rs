//! Instances in instances: no cycle, and no chain longer than five. Source: `ELOOP` in `epoll_ctl(2)`.
//!
//! Both are checked when one instance is added to another, under one lock for all instances: so what was
//! checked still holds when the item is there.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::sync::{LockClass, SpinGuard, SpinLock};
use base::{Errno, Result};

use super::instance::{Epoll, Table};

/// Instances that a chain may have.
const LONGEST_CHAIN: usize = 5;

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

fn upgrade(neighbours: &BTreeMap<super::instance::Key, alloc::sync::Weak<Epoll>>) -> Vec<Arc<Epoll>> {
    neighbours.values().filter_map(alloc::sync::Weak::upgrade).collect()
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
