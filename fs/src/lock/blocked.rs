//! Who waits for a POSIX lock: a circle of waiters would wait for ever.
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
pub(super) struct Blocked(Option<u64>);

impl Blocked {
    /// Notes that `request` on `inode` is about to wait. OFD locks take no part, as on Linux.
    ///
    /// # Errors
    ///
    /// `EDEADLK` when it would wait for itself; `ENOLCK`.
    pub(super) fn enter(inode: &Arc<dyn Inode>, request: Request) -> Result<Blocked> {
        if matches!(request.owner, Owner::File(_)) {
            return Ok(Blocked(None));
        }
        let mut waits = WAITS.lock();
        if waits_for_itself(&waits.list, inode, request) {
            return Err(Errno::EDEADLK);
        }
        waits.list.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
        let key = waits.next_key;
        waits.next_key += 1;
        waits.list.push(Waiting { key, inode: inode.clone(), request });
        Ok(Blocked(Some(key)))
    }
}

fn waits_for_itself(list: &[Waiting], inode: &Arc<dyn Inode>, request: Request) -> bool {
    let mut pending: Vec<Owner> = holder(inode, request).into_iter().collect();
    let mut seen: Vec<Owner> = Vec::new();
    while let Some(owner) = pending.pop() {
        if owner == request.owner {
            return true;
        }
        if seen.contains(&owner) || seen.len() >= SEARCH_MAX {
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
        let Some(key) = self.0 else { return };
        let gone = {
            let mut waits = WAITS.lock();
            let at = waits.list.iter().position(|waiting| waiting.key == key);
            at.map(|at| waits.list.swap_remove(at))
        };
        drop(gone);
    }
}
