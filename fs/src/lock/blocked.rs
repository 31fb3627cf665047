//! Who waits for a record lock: a circle of POSIX waiters would wait for ever.
//!
//! Only requests are kept. Whom a request waits for is looked up in the locks as they are, so that a lock that
//! has been given up meanwhile never counts.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::{Owner, Request};
use crate::vfs::Inode;

/// Owners that a search looks at before it gives up and lets the request wait.
const SEARCH_MAX: usize = 1024;

struct Waiting {
    key: u64,
    inode: Arc<dyn Inode>,
    request: Request,
}

#[derive(Default)]
struct Waits {
    next_key: u64,
    list: Vec<Waiting>,
}

static WAITS: SpinLock<Waits> =
    SpinLock::new(LockClass::FileLockGraph, Waits { next_key: 0, list: Vec::new() });

impl Waiting {
    /// Whom the request waits for now.
    fn holder(&self) -> Option<Owner> {
        holder(&self.inode, self.request)
    }
}

fn holder(inode: &Arc<dyn Inode>, request: Request) -> Option<Owner> {
    let locks = inode.state().existing_locks()?;
    Some(locks.conflict(request.owner, request.range, request.strength?)?.owner)
}

/// A request that waits. Dropped, it does no longer.
pub(super) struct Blocked(u64);

impl Blocked {
    /// Notes that `request` on `inode` is about to wait. OFD locks are part of no circle, as on Linux.
    ///
    /// # Errors
    ///
    /// `EDEADLK` when it would wait for itself; `ENOLCK`.
    pub(super) fn enter(inode: &Arc<dyn Inode>, request: Request) -> Result<Blocked> {
        let mut waits = WAITS.lock();
        if waits_for_itself(&waits.list, inode, request) {
            return Err(Errno::EDEADLK);
        }
        waits.list.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
        let key = waits.next_key;
        waits.next_key += 1;
        waits.list.push(Waiting { key, inode: inode.clone(), request });
        Ok(Blocked(key))
    }
}

/// True when somebody waits for a record lock that `owner` has on `inode`.
pub(super) fn is_awaited(inode: &Arc<dyn Inode>, owner: Owner) -> bool {
    let Some(locks) = inode.state().existing_locks() else { return false };
    let waits = WAITS.lock();
    let here = |waiting: &&Waiting| core::ptr::eq(waiting.inode.state(), inode.state());
    waits.list.iter().filter(here).any(|waiting| locks.stops(owner, waiting.request))
}

fn waits_for_itself(list: &[Waiting], inode: &Arc<dyn Inode>, request: Request) -> bool {
    if matches!(request.owner, Owner::File(_)) {
        return false;
    }
    let mut pending: Vec<Owner> = holder(inode, request).into_iter().collect();
    let mut seen: Vec<Owner> = Vec::new();
    while let Some(owner) = pending.pop() {
        if owner == request.owner {
            return true;
        }
        if matches!(owner, Owner::File(_)) || seen.contains(&owner) || seen.len() >= SEARCH_MAX {
            continue;
        }
        seen.push(owner);
        pending
            .extend(list.iter().filter(|waiting| waiting.request.owner == owner).filter_map(Waiting::holder));
    }
    false
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let gone = {
            let mut waits = WAITS.lock();
            let at = waits.list.iter().position(|waiting| waiting.key == self.0);
            at.map(|at| waits.list.swap_remove(at))
        };
        drop(gone);
    }
}
