//! Descriptors on their way: SCM_RIGHTS of `unix(7)`.
//!
//! While it is on its way a descriptor is counted, for its sender's user (`ETOOMANYREFS`) and, when it leads to a
//! queue, by itself, so that the collector knows where to begin.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Bound;

use base::caller::{Caller, Capabilities, Resource};
use base::charge::Charge;
use base::sync::atomic::{AtomicUsize, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use ipc::collector::{Node, Travellers};

use super::collector::{leads_to_a_queue, node_of};
use super::grave;
use crate::file::{FdEntry, OpenFile};

/// Most descriptors of one message: `SCM_MAX_FD`.
pub const RIGHTS_MAX: usize = 253;

/// Kernel memory that one descriptor on its way takes.
const ENTRY_BYTES: usize = size_of::<FdEntry>() + 128;

/// What is on its way.
struct InFlight {
    /// Descriptors by the user who sent them.
    users: BTreeMap<u32, u64>,
    /// Sockets and files of channels, by their ids.
    files: BTreeMap<u64, Travelling>,
}

/// A file that is on its way.
struct Travelling {
    file: Weak<OpenFile>,
    /// How many times.
    count: usize,
}

static IN_FLIGHT: SpinLock<InFlight> =
    SpinLock::new(LockClass::InFlight, InFlight { users: BTreeMap::new(), files: BTreeMap::new() });

/// How many of `files` there are, to be read without the lock.
static TRAVELLING: AtomicUsize = AtomicUsize::new(0);

/// True when nothing is on its way that leads to a queue.
#[inline]
pub(super) fn nothing_travels() -> bool {
    TRAVELLING.load(Ordering::Acquire) == 0
}

/// What the collector of `ipc` asks for the files.
struct Files;

impl Travellers for Files {
    fn are_there(&self) -> bool {
        !nothing_travels()
    }

    fn next(&self, after: u64) -> Option<(u64, Box<dyn Node>)> {
        let in_flight = IN_FLIGHT.lock();
        let mut behind = in_flight.files.range((Bound::Excluded(after), Bound::Unbounded));
        let found = behind.find_map(|(number, travelling)| Some((*number, travelling.file.upgrade()?)));
        drop(in_flight);
        found.map(|(number, file)| (number, node_of(file)))
    }
}

impl InFlight {
    fn add(&mut self, user: u32, entries: &[FdEntry]) {
        *self.users.entry(user).or_default() += entries.len() as u64;
        for FdEntry { file, .. } in entries.iter().filter(|entry| leads_to_a_queue(&entry.file)) {
            let fresh = || Travelling { file: Arc::downgrade(file), count: 0 };
            self.files.entry(file.id()).or_insert_with(fresh).count += 1;
        }
        TRAVELLING.store(self.files.len(), Ordering::Release);
    }

    fn remove(&mut self, user: u32, entries: &[FdEntry]) {
        if let Some(count) = self.users.get_mut(&user) {
            *count -= (entries.len() as u64).min(*count);
            if *count == 0 {
                self.users.remove(&user);
            }
        }
        for FdEntry { file, .. } in entries.iter().filter(|entry| leads_to_a_queue(&entry.file)) {
            if let Some(travelling) = self.files.get_mut(&file.id()) {
                travelling.count -= 1;
                if travelling.count == 0 {
                    self.files.remove(&file.id());
                }
            }
        }
        TRAVELLING.store(self.files.len(), Ordering::Release);
    }
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
        ipc::collector::set_travellers(&Files);
        let mut in_flight = IN_FLIGHT.lock();
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
            IN_FLIGHT.lock().remove(self.user, &entries);
        }
        self.charge = None;
        entries
    }

    /// The descriptors, for a look (`MSG_PEEK`).
    pub(super) fn copies(&self) -> Vec<FdEntry> {
        self.entries.clone()
    }

    /// The descriptors.
    pub(super) fn entries(&self) -> &[FdEntry] {
        &self.entries
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        grave::bury(self.land());
    }
}
