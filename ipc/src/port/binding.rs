//! The tie between a channel's end and a port, which is also its packet.

use alloc::sync::{Arc, Weak};

use base::Result;
use base::caller::Caller;
use base::charge::Charge;
use base::sync::atomic::{AtomicU32, Ordering};

use super::{Port, Signals};

/// A binding. The endpoint holds it, and the port's queue while it has something to tell; it holds neither.
pub struct Binding {
    port: Weak<Port>,
    key: u64,
    wanted: Signals,
    /// What has happened and was not told; changed under the port's lock.
    pending: AtomicU32,
    _charge: Charge,
}

impl Binding {
    pub(super) fn new(caller: &Caller, port: &Arc<Port>, key: u64, wanted: Signals) -> Result<Arc<Binding>> {
        let charge = Charge::new(&caller.account, size_of::<Binding>() + 2 * size_of::<usize>())?;
        port.admit(caller)?;
        let pending = AtomicU32::new(0);
        Ok(Arc::new(Binding { port: Arc::downgrade(port), key, wanted, pending, _charge: charge }))
    }

    pub(super) fn key(&self) -> u64 {
        self.key
    }

    pub(super) fn pending(&self) -> Signals {
        Signals::from_bits_truncate(self.pending.load(Ordering::Relaxed))
    }

    /// Adds signals; true when there were none. Under the port's lock.
    pub(super) fn add(&self, signals: Signals) -> bool {
        self.pending.fetch_or(signals.bits(), Ordering::Relaxed) == 0
    }

    /// Its packet was taken. Under the port's lock.
    pub(super) fn clear(&self) {
        self.pending.store(0, Ordering::Relaxed);
    }

    /// Something happened to the channel. The caller holds no lock of it.
    pub(crate) fn signal(self: &Arc<Self>, signals: Signals) {
        let signals = signals & self.wanted;
        if signals.is_empty() {
            return;
        }
        if let Some(port) = self.port.upgrade() {
            port.queue(self, signals);
        }
    }

    /// The port, while it lives.
    pub(crate) fn port(&self) -> Option<Arc<Port>> {
        self.port.upgrade()
    }

    /// True when it is to `port`.
    pub(crate) fn is_to(&self, port: &Port) -> bool {
        core::ptr::eq(self.port.as_ptr(), port)
    }

    /// True when it leads to another port than `new` does, and somebody still has that one.
    pub(crate) fn keeps_out(&self, new: &Binding) -> bool {
        !Weak::ptr_eq(&self.port, &new.port) && self.port.upgrade().is_some_and(|port| !port.has_no_owner())
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        if let Some(port) = self.port.upgrade() {
            port.bindings.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
