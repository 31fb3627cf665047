//! Waiting for objects, whatever they are, by their readiness: `object_wait_one`, `object_wait_many`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::charge::{Account, Charge};
use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource, Watch, Watcher};

use crate::table::Access;

/// Kernel memory that a watch takes.
const WATCH_BYTES: usize = 128;

/// One object that is waited for, in the name of a handle.
pub struct Awaited {
    access: Access,
    wanted: Events,
    observed: Events,
}

impl Awaited {
    /// Waits for one of `wanted`, and for errors and hang-ups.
    #[must_use]
    pub fn new(access: Access, wanted: Events) -> Awaited {
        Awaited { access, wanted: wanted | Events::ALWAYS, observed: Events::empty() }
    }

    /// What of it was there when it was looked at last.
    #[must_use]
    pub fn observed(&self) -> Events {
        self.observed
    }

    fn look(&mut self) -> Result<bool> {
        self.observed = self.access.object().readiness() & self.wanted;
        // Afterwards: what came after a revocation is not for one who looked his handle up before.
        self.access.check()?;
        Ok(!self.observed.is_empty())
    }
}

/// Woken by any of the objects.
struct Waiter(WaitSource);

impl Watcher for Waiter {
    fn notify(&self, events: Events, reason: Reason) {
        self.0.wake_all(events, reason);
    }

    fn wakes(&self, tell: &mut dyn FnMut(&WaitSource)) {
        tell(&self.0);
    }
}

/// Looks at all; how many are ready.
fn scan(objects: &mut [Awaited]) -> Result<usize> {
    let mut ready = 0;
    for object in objects {
        ready += usize::from(object.look()?);
    }
    Ok(ready)
}

/// Waits until one of `objects` is ready, at the latest until `deadline`; how many are. A drop leaves nothing behind.
///
/// # Errors
///
/// `EBADF` when a handle was revoked, be it before the first look; `EINTR`, `ETIMEDOUT`, `ENOMEM`.
pub async fn wait_for(
    account: &Arc<Account>,
    objects: &mut [Awaited],
    deadline: Option<Instant>,
) -> Result<usize> {
    let ready = scan(objects)?;
    if ready > 0 {
        return Ok(ready);
    }
    let sources: Vec<_> =
        objects.iter().flat_map(|object| object.access.object().sources()).flatten().collect();
    let _charge = Charge::new(account, sources.len() * WATCH_BYTES)?;
    let waiter = Arc::new(Waiter(WaitSource::new(WaitKind::Poll, 0)));
    let watches = sources.iter().map(|source| Watch::new(source, waiter.clone(), Events::all()));
    let _watches: Vec<Watch> = watches.collect();
    let mut over = None;
    loop {
        let seen = waiter.0.observe();
        let ready = scan(objects)?;
        match over {
            _ if ready > 0 => return Ok(ready),
            Some(Reason::Signal) => return Err(Errno::EINTR),
            Some(_) => return Err(Errno::ETIMEDOUT),
            None => {}
        }
        let reason = waiter.0.wait(seen, Wait::interruptible().until(deadline)).await;
        over = matches!(reason, Reason::Signal | Reason::Timeout).then_some(reason);
    }
}
