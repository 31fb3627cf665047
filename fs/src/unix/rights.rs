//! Descriptors on their way: SCM_RIGHTS of `unix(7)`.
//!
//! While it is on its way a descriptor is counted, for its sender's user (`ETOOMANYREFS`) and, when it is a
//! socket, by itself, so that the collector knows the references that come from queues.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::caller::{Caller, Capabilities, Resource};
use base::charge::Charge;
use base::sync::atomic::{AtomicUsize, Ordering};
use base::sync::{LockClass, SpinGuard, SpinLock};
use base::{Errno, Result};

use super::grave;
use super::socket::Socket;
use crate::file::{FdEntry, OpenFile};

/// Most descriptors of one message: `SCM_MAX_FD`.
pub const RIGHTS_MAX: usize = 253;

/// Kernel memory that one descriptor on its way takes.
const ENTRY_BYTES: usize = size_of::<FdEntry>() + 128;

/// What is on its way.
pub(super) struct InFlight {
    /// Descriptors by the user who sent them.
    users: BTreeMap<u32, u64>,
    /// Sockets, by the id of their open file.
    pub(super) sockets: BTreeMap<u64, Travelling>,
}

/// A socket that is on its way.
pub(super) struct Travelling {
    pub(super) file: Weak<OpenFile>,
    /// How many times.
    pub(super) count: usize,
}

static IN_FLIGHT: SpinLock<InFlight> =
    SpinLock::new(LockClass::InFlight, InFlight { users: BTreeMap::new(), sockets: BTreeMap::new() });

/// How many sockets are on their way, to be read without the lock.
static TRAVELLING: AtomicUsize = AtomicUsize::new(0);

/// True when no socket is on its way.
#[inline]
pub(super) fn no_socket_travels() -> bool {
    TRAVELLING.load(Ordering::Acquire) == 0
}

/// Everything that is on its way. Nothing may be received and used while this is held.
pub(super) fn in_flight() -> SpinGuard<'static, InFlight> {
    IN_FLIGHT.lock()
}

impl InFlight {
    fn add(&mut self, user: u32, entries: &[FdEntry]) {
        *self.users.entry(user).or_default() += entries.len() as u64;
        for FdEntry { file, .. } in entries.iter().filter(|entry| is_socket(&entry.file)) {
            let fresh = || Travelling { file: Arc::downgrade(file), count: 0 };
            self.sockets.entry(file.id()).or_insert_with(fresh).count += 1;
        }
        TRAVELLING.store(self.sockets.len(), Ordering::Release);
    }

    fn remove(&mut self, user: u32, entries: &[FdEntry]) {
        if let Some(count) = self.users.get_mut(&user) {
            *count -= (entries.len() as u64).min(*count);
            if *count == 0 {
                self.users.remove(&user);
            }
        }
        for FdEntry { file, .. } in entries.iter().filter(|entry| is_socket(&entry.file)) {
            if let Some(travelling) = self.sockets.get_mut(&file.id()) {
                travelling.count -= 1;
                if travelling.count == 0 {
                    self.sockets.remove(&file.id());
                }
            }
        }
        TRAVELLING.store(self.sockets.len(), Ordering::Release);
    }
}

pub(super) fn is_socket(file: &OpenFile) -> bool {
    file.ops_as::<Socket>().is_some()
}

/// Descriptors that are on their way. Dropped, they are closed.
pub struct Rights {
    entries: Vec<FdEntry>,
    user: u32,
    charge: Option<Charge>,
}

impl Rights {
    /// Sends descriptors on their way.
    ///
    /// # Errors
    ///
    /// `ETOOMANYREFS` when the user has more on their way than `RLIMIT_NOFILE` allows; `ENOMEM`.
    pub fn new(caller: &Caller, entries: Vec<FdEntry>) -> Result<Rights> {
        let credentials = &caller.credentials;
        let privileged =
            credentials.capable(Capabilities::SYS_RESOURCE) || credentials.capable(Capabilities::SYS_ADMIN);
        let charge = Charge::new(&caller.account, entries.len() * ENTRY_BYTES)?;
        let user = credentials.uid;
        let mut in_flight = in_flight();
        let now = in_flight.users.get(&user).copied().unwrap_or(0);
        if now > caller.limits.soft(Resource::OpenFiles) && !privileged {
            // The charge and the entries go after the lock.
            drop(in_flight);
            return Err(Errno::ETOOMANYREFS);
        }
        in_flight.add(user, &entries);
        drop(in_flight);
        Ok(Rights { entries, user, charge: Some(charge) })
    }

    /// Ends their way: they are the receiver's.
    #[must_use]
    pub fn arrive(mut self) -> Vec<FdEntry> {
        self.land()
    }

    fn land(&mut self) -> Vec<FdEntry> {
        let entries = core::mem::take(&mut self.entries);
        if !entries.is_empty() {
            in_flight().remove(self.user, &entries);
        }
        self.charge = None;
        entries
    }

    /// The descriptors, for a look (`MSG_PEEK`). Before they are used, [`settled`] has to be called without locks.
    pub(super) fn copies(&self) -> Vec<FdEntry> {
        self.entries.clone()
    }

    /// The files.
    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<OpenFile>> {
        self.entries.iter().map(|entry| &entry.file)
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        grave::bury(self.land());
    }
}

/// Waits for the collector, which counts on it that what lies in queues is not used while it works.
pub(super) fn settled() {
    drop(in_flight());
}
