//! How many threads each real user id has: what `RLIMIT_NPROC` limits.

use alloc::collections::BTreeMap;

use base::caller::{Capabilities, Credentials, Limits, Resource};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

static THREADS: SpinLock<BTreeMap<u32, u64>> = SpinLock::new(LockClass::Registry, BTreeMap::new());

/// One thread counted for a user; dropped, it counts no more.
#[derive(Debug)]
pub struct Counted {
    uid: u32,
}

impl Counted {
    /// Counts one more thread for the user of `credentials`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` past `RLIMIT_NPROC`, unless the user is 0 or may exceed it.
    pub fn new(credentials: &Credentials, limits: &Limits) -> Result<Counted> {
        let exempt = credentials.uid == 0
            || credentials.capable(Capabilities::SYS_RESOURCE)
            || credentials.capable(Capabilities::SYS_ADMIN);
        let mut threads = THREADS.lock();
        let count = threads.entry(credentials.uid).or_default();
        if !exempt && *count >= limits.soft(Resource::Processes) {
            return Err(Errno::EAGAIN);
        }
        *count += 1;
        Ok(Counted { uid: credentials.uid })
    }

    /// Counts a thread for another user from now on, over the limit or not. True when it is over.
    pub fn pass_to(&mut self, uid: u32, limits: &Limits) -> bool {
        if uid == self.uid {
            return false;
        }
        let mut threads = THREADS.lock();
        remove(&mut threads, self.uid);
        let count = threads.entry(uid).or_default();
        *count += 1;
        self.uid = uid;
        uid != 0 && *count > limits.soft(Resource::Processes)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        remove(&mut THREADS.lock(), self.uid);
    }
}

/// Threads that the user has now.
#[must_use]
pub fn threads_of(uid: u32) -> u64 {
    THREADS.lock().get(&uid).copied().unwrap_or(0)
}

fn remove(threads: &mut BTreeMap<u32, u64>, uid: u32) {
    if let Some(count) = threads.get_mut(&uid) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            threads.remove(&uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_meets_the_limit_and_root_does_not() {
        let limits = Limits::initial(2);
        let none = Capabilities::empty();
        let user = Credentials { uid: 77_001, effective: none, ..Credentials::root() };
        let first = Counted::new(&user, &limits).unwrap();
        let _second = Counted::new(&user, &limits).unwrap();
        assert_eq!(Counted::new(&user, &limits).err(), Some(Errno::EAGAIN));
        drop(first);
        assert_eq!(threads_of(77_001), 1);
        let root = Credentials { effective: none, ..Credentials::root() };
        let mut many: Vec<Counted> = (0..5).map(|_| Counted::new(&root, &limits).unwrap()).collect();
        assert!(!many[0].pass_to(77_002, &limits));
        assert_eq!(threads_of(77_002), 1);
    }
}
