//! Who watches an inode.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use base::sync::{LockClass, SpinLock};

use super::instance::{Inotify, WatchFlags};
use crate::vfs::events::{Event, EventMask};

/// Watches that there are.
static WATCHES: AtomicUsize = AtomicUsize::new(0);

/// False while nobody watches anything, so that events need not be made.
pub(crate) fn any_watches() -> bool {
    WATCHES.load(Ordering::Relaxed) > 0
}

/// One watch, as its inode knows it.
pub(super) struct Mark {
    pub(super) instance: Weak<Inotify>,
    pub(super) wd: i32,
    /// Events and flags.
    pub(super) mask: AtomicU32,
}

impl Mark {
    pub(super) fn flags(&self) -> WatchFlags {
        WatchFlags::from_bits_retain(self.mask.load(Ordering::Relaxed))
    }

    fn events(&self) -> EventMask {
        EventMask::from_bits_truncate(self.mask.load(Ordering::Relaxed))
    }

    fn hears(&self, event: &Event<'_>) -> bool {
        let kept = !event.unlinked || !self.flags().contains(WatchFlags::EXCL_UNLINK);
        kept && self.events().intersects(event.mask - EventMask::ISDIR)
    }
}

/// The watches of one inode.
pub struct Marks(SpinLock<Vec<Arc<Mark>>>);

impl Marks {
    /// None yet.
    pub(crate) const fn new() -> Marks {
        Marks(SpinLock::new(LockClass::EventSetting, Vec::new()))
    }

    pub(super) fn add(&self, mark: Arc<Mark>) {
        self.0.lock().push(mark);
        WATCHES.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a mark; false when it is gone already.
    pub(super) fn remove(&self, mark: &Arc<Mark>) -> bool {
        let removed = {
            let mut marks = self.0.lock();
            let at = marks.iter().position(|found| Arc::ptr_eq(found, mark));
            at.map(|at| marks.swap_remove(at))
        };
        if removed.is_some() {
            WATCHES.fetch_sub(1, Ordering::Relaxed);
        }
        removed.is_some()
    }

    /// The mark of `instance`.
    pub(super) fn of(&self, instance: &Weak<Inotify>) -> Option<Arc<Mark>> {
        self.0.lock().iter().find(|mark| mark.instance.ptr_eq(instance)).cloned()
    }

    fn select(&self, wanted: impl Fn(&Mark) -> bool) -> Vec<Arc<Mark>> {
        self.0.lock().iter().filter(|mark| wanted(mark)).cloned().collect()
    }
}

/// Tells those who watch the event's inode.
pub(crate) fn tell(event: &Event<'_>) {
    let Some(marks) = event.inode.state().existing_marks() else { return };
    // Whoever watches a file that is gone hears that its watch is gone too, whatever it asked for.
    let gone = event.mask.intersects(EventMask::DELETE_SELF | EventMask::UNMOUNT);
    for mark in marks.select(|mark| gone || mark.hears(event)) {
        let Some(instance) = mark.instance.upgrade() else { continue };
        if mark.hears(event) || event.mask.contains(EventMask::UNMOUNT) {
            instance.queue(mark.wd, event);
        }
        if gone || mark.flags().contains(WatchFlags::ONESHOT) {
            let _ = instance.remove(mark.wd);
        }
    }
}
