//! The wait source: the only thing anybody waits on.
//!
//! One word holds the sequence number and two flags. A waker changes the object, then moves the
//! sequence with one atomic addition; when the old value had no flag nobody is there, and the wake
//! is over. A waiter links its node under the lock, raises the flag, and reads the sequence from
//! the same word: either it sees the waker's step, or the waker sees its flag. So a wake between
//! [`observe`](WaitSource::observe) and the wait is never lost, and a wake for nobody takes no lock.

use core::fmt;
use core::ptr::NonNull;

use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};

use super::census;
use super::events::Events;
use super::kind::WaitKind;
use super::node::Node;
use super::watch::WatchNode;
use crate::list::List;

/// Somebody may be on the list of waiters; cleared only under the lock.
pub(super) const HAS_WAITERS: u64 = 1;
/// Somebody may be on the list of watchers; cleared only under the lock.
pub(super) const HAS_WATCHERS: u64 = 2;
/// The source is closed for good.
pub(super) const CLOSED: u64 = 4;
pub(super) const FLAGS: u64 = 7;
pub(super) const STEP: u64 = 8;

/// The sequence number of a source at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seq(pub(super) u64);

/// Tells one source from all others that live at the same time: for the wait graph, never followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(core::num::NonZeroU64);

impl SourceId {
    /// The identity with this number; nothing for 0.
    #[must_use]
    pub(crate) fn from_number(number: u64) -> Option<SourceId> {
        core::num::NonZeroU64::new(number).map(SourceId)
    }

    /// Its number.
    #[must_use]
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }
}

/// What a waiter waits on and a waker wakes. See the [module](self) for the protocol.
pub struct WaitSource {
    pub(super) word: AtomicU64,
    pub(super) lists: SpinLock<Lists>,
    pub(super) object: u64,
    kind: WaitKind,
}

/// Who is there, in the order of arrival.
pub(super) struct Lists {
    pub(super) waiters: List<Node>,
    pub(super) waiting: usize,
    pub(super) watchers: List<WatchNode>,
}

impl Lists {
    #[cfg_attr(loom, allow(clippy::missing_const_for_fn))]
    const fn new() -> Lists {
        Lists { waiters: List::new(), waiting: 0, watchers: List::new() }
    }

    /// The first waiter that `events` concern, taken off the list.
    #[inline]
    pub(super) fn take_concerned(&mut self, events: Events) -> Option<NonNull<Node>> {
        let mut place = self.waiters.front();
        while let Some(node) = place {
            // SAFETY: N1, a linked node is alive.
            if events.concern(unsafe { node.as_ref() }.interest()) {
                // SAFETY: the node was found on this list.
                unsafe { self.waiters.remove(node) };
                self.waiting -= 1;
                census::node_unlinked();
                return Some(node);
            }
            // SAFETY: the node was found on this list.
            place = unsafe { self.waiters.after(node) };
        }
        None
    }
}

impl WaitSource {
    /// A source of the object with id `object` (0 when it has none), for the dumps.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new(kind: WaitKind, object: u64) -> WaitSource {
        WaitSource {
            word: AtomicU64::new(0),
            lists: SpinLock::new(LockClass::WaitSource, Lists::new()),
            object,
            kind,
        }
    }

    /// A source of the object with id `object` (0 when it has none), for the dumps.
    #[cfg(loom)]
    #[must_use]
    pub fn new(kind: WaitKind, object: u64) -> WaitSource {
        WaitSource {
            word: AtomicU64::new(0),
            lists: SpinLock::new(LockClass::WaitSource, Lists::new()),
            object,
            kind,
        }
    }

    /// The sequence number now. Taken before the condition is looked at.
    #[inline]
    #[must_use]
    pub fn observe(&self) -> Seq {
        Seq(self.word.load(Ordering::Acquire) & !FLAGS)
    }

    /// What kind of wait this is.
    #[must_use]
    pub fn kind(&self) -> WaitKind {
        self.kind
    }

    /// The id of the object that the source belongs to.
    #[must_use]
    pub fn object(&self) -> u64 {
        self.object
    }

    /// Which source this is, as long as it lives.
    #[inline]
    #[must_use]
    pub fn identity(&self) -> SourceId {
        let address = core::ptr::from_ref(self).addr() as u64;
        SourceId(core::num::NonZeroU64::new(address).unwrap_or(core::num::NonZeroU64::MIN))
    }

    /// True after [`close`](Self::close).
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// True when a task waits or a watcher stands here; a hint, unless the caller excludes changes.
    #[inline]
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.word.load(Ordering::Acquire) & (HAS_WAITERS | HAS_WATCHERS) != 0
    }

    /// How many tasks wait here now: for dumps and tests.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lists.lock().waiting
    }

    /// Raises the flag for watchers; the caller holds the lock and has added one.
    pub(super) fn raise_watched(&self) {
        self.word.fetch_or(HAS_WATCHERS, Ordering::AcqRel);
    }

    /// Lowers the flag for watchers; the caller holds the lock and has seen the list empty.
    pub(super) fn lower_watched(&self) {
        self.word.fetch_and(!HAS_WATCHERS, Ordering::AcqRel);
    }
}

impl fmt::Debug for WaitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word.load(Ordering::Relaxed);
        f.debug_struct("WaitSource")
            .field("kind", &self.kind.name())
            .field("object", &self.object)
            .field("sequence", &(word / STEP))
            .field("closed", &(word & CLOSED != 0))
            .finish_non_exhaustive()
    }
}
