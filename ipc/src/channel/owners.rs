//! Who keeps an object open: a count for each class of owners, and their sum.

use base::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::capability::OwnerClass;
use crate::collector;
use crate::stats::{Counter, bump};

/// Tries of an audit, which may meet a change midway.
const AUDIT_TRIES: usize = 8;

/// The counts.
pub struct Owners {
    handles: AtomicU32,
    descriptors: AtomicU32,
    others: AtomicU32,
    total: AtomicU32,
    /// Those of the handles that are in messages.
    in_flight: AtomicU32,
    /// How often something came out of the object: see [`given_out`](Self::given_out).
    given_out: AtomicU64,
}

impl Owners {
    pub(crate) const fn new() -> Owners {
        Owners {
            handles: AtomicU32::new(0),
            descriptors: AtomicU32::new(0),
            others: AtomicU32::new(0),
            total: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            given_out: AtomicU64::new(0),
        }
    }

    fn class(&self, class: OwnerClass) -> &AtomicU32 {
        match class {
            OwnerClass::Handle => &self.handles,
            OwnerClass::Descriptor => &self.descriptors,
            OwnerClass::Other => &self.others,
        }
    }

    pub(crate) fn acquire(&self, class: OwnerClass) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.class(class).fetch_add(1, Ordering::Relaxed);
    }

    /// True when this was the last owner.
    #[must_use]
    pub(crate) fn release(&self, class: OwnerClass) -> bool {
        if !decrement(self.class(class)) {
            return false;
        }
        let before = self.total.fetch_sub(1, Ordering::AcqRel);
        before == 1
    }

    pub(crate) fn departed(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn arrived(&self) {
        decrement(&self.in_flight);
    }

    /// All owners.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total.load(Ordering::Acquire)
    }

    /// Owners that are handles in messages.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Something that lies in the object's queue, or a capability to the object, is about to be given to somebody who
    /// has the object.
    pub(crate) fn give_out(&self) {
        self.given_out.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was.
    pub(crate) fn given_out(&self) -> u64 {
        self.given_out.load(Ordering::Acquire)
    }

    /// True when all of them may lie in queues, so that perhaps nobody can reach the object: as handles in messages, or
    /// in descriptors while some of those are on their way.
    pub(crate) fn may_be_unreachable(&self) -> bool {
        let [_, descriptors, _] = self.counts();
        let travelling = if descriptors > 0 && collector::descriptors_travel() { descriptors } else { 0 };
        let hidden = self.in_flight() + travelling;
        hidden > 0 && hidden == self.total()
    }

    /// Handles, descriptors, others.
    #[must_use]
    pub fn counts(&self) -> [u32; 3] {
        [&self.handles, &self.descriptors, &self.others].map(|count| count.load(Ordering::Acquire))
    }

    /// Compares the sum with the classes; false, and counted, when they never agreed.
    pub fn audit(&self) -> bool {
        bump(Counter::RefAuditChecks);
        let agrees = (0..AUDIT_TRIES).any(|_| {
            let before = self.total();
            self.counts().iter().sum::<u32>() == before && self.total() == before
        });
        if !agrees {
            bump(Counter::RefAuditMismatch);
        }
        agrees
    }
}

/// Takes one away; refused and counted at zero.
fn decrement(count: &AtomicU32) -> bool {
    let done = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1)).is_ok();
    if !done {
        bump(Counter::RefUnderflow);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_owner_of_any_class_is_the_last() {
        let owners = Owners::new();
        owners.acquire(OwnerClass::Handle);
        owners.acquire(OwnerClass::Descriptor);
        assert!(owners.audit());
        assert!(!owners.release(OwnerClass::Handle));
        assert!(!owners.release(OwnerClass::Handle), "refused: there is no such owner");
        assert!(owners.release(OwnerClass::Descriptor));
        assert!(owners.audit());
    }
}
