//! What is ready, and who waits for that: the part of an epoll instance that its items reach.

use alloc::sync::Arc;

use base::sync::{LockClass, SpinLock};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource, Watcher};

use super::list::{After, Handle, Notice, ReadyList, Taken};
use super::target::Target;

/// What an instance is ready for when an item is.
pub(super) const READABLE: Events = Events::IN.union(Events::RDNORM);

/// The list of ready items and the two kinds of waiters.
pub(super) struct Ready {
    pub(super) list: SpinLock<ReadyList<Target>>,
    /// Tasks in `epoll_wait(2)`: one is woken for each item that becomes ready, first come first served.
    pub(super) waiters: WaitSource,
    /// Those who poll the instance, other instances among them.
    pub(super) pollers: Arc<WaitSource>,
}

impl Ready {
    pub(super) fn new(id: u64) -> Ready {
        Ready {
            list: SpinLock::new(LockClass::ReadyList, ReadyList::new()),
            waiters: WaitSource::new(WaitKind::Epoll, id),
            pollers: Arc::new(WaitSource::new(WaitKind::Epoll, id)),
        }
    }

    /// The item's file may have become ready. True when somebody is woken for it.
    pub(super) fn notify(&self, handle: Handle) -> bool {
        let notice = self.list.lock().notify(handle);
        let woken = match notice {
            Notice::Ignored => return false,
            // Whoever was woken when it was linked, or looks at it now, sees this as well.
            Notice::Known => false,
            Notice::Linked => self.wake_one(),
        };
        // Whoever begins to poll looks at the list afterwards, so a plain look at who is there is enough.
        // Pollers hear of every event: one who reports edges needs each.
        let polled = self.pollers.has_waiters();
        if polled {
            self.pollers.wake_all(READABLE, Reason::Data);
        }
        woken || polled
    }

    /// Takes the oldest ready item, to be given back with [`Ready::finish`].
    pub(super) fn take(&self) -> Option<Taken<Target>> {
        self.list.lock().take()
    }

    /// An item has been looked at.
    pub(super) fn finish(&self, handle: Handle, after: After) {
        if self.list.lock().finish(handle, after) {
            self.wake_one();
        }
    }

    /// Items are left for the next waiter.
    pub(super) fn pass_on(&self) {
        if self.waiters.has_waiters() && self.list.lock().linked() > 0 {
            self.wake_one();
        }
    }

    fn wake_one(&self) -> bool {
        self.waiters.wake_one(Events::IN, Reason::Data) > 0
    }
}

/// What stands on a file's wait sources for one item.
pub(super) struct Item {
    pub(super) ready: Arc<Ready>,
    pub(super) handle: Handle,
}

impl Watcher for Item {
    fn notify(&self, _events: Events, _reason: Reason) {
        self.ready.notify(self.handle);
    }

    fn notify_exclusive(&self, _events: Events, _reason: Reason) -> bool {
        self.ready.notify(self.handle)
    }

    fn wakes(&self, tell: &mut dyn FnMut(&WaitSource)) {
        tell(&self.ready.waiters);
        tell(&self.ready.pollers);
    }
}
