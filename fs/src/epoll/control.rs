//! Adding, changing and removing items. Source: `epoll_ctl(2)`.

use alloc::collections::btree_map::Entry;
use alloc::sync::{Arc, Weak};

use base::caller::Caller;
use base::charge::Charge;
use base::fault::{self, Point};
use base::{Errno, Result};
use executor::pollwait::{Watch, Watcher};

use super::instance::{Epoll, Key, Registration, Table};
use super::interest::Interest;
use super::limit::Counted;
use super::list::Handle;
use super::nesting;
use super::ready::Item;
use super::target::Target;
use crate::file::{FdEntry, Follower, OpenFile};

/// Kernel memory that an item takes: its slot, its entry in the table, what stands on two sources.
pub(super) const ITEM_BYTES: usize = 448;

/// What `epoll_ctl(2)` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `EPOLL_CTL_ADD`.
    Add,
    /// `EPOLL_CTL_DEL`.
    Delete,
    /// `EPOLL_CTL_MOD`.
    Modify,
}

impl Operation {
    /// The operation with Linux's number; `None` for any other.
    #[must_use]
    pub fn from_raw(raw: i32) -> Option<Operation> {
        match raw {
            1 => Some(Operation::Add),
            2 => Some(Operation::Delete),
            3 => Some(Operation::Modify),
            _ => None,
        }
    }
}

/// What is to be added: the file of `entry`, under `key`.
struct NewItem<'a> {
    entry: &'a FdEntry,
    key: Key,
    interest: Interest,
    data: u64,
    charge: Charge,
}

/// An item that is in place, and whose paths have not been counted yet. Dropped, it goes again, if nobody else has
/// removed it.
struct Unchecked<'a> {
    epoll: &'a Epoll,
    key: Key,
    handle: Handle,
    stays: bool,
}

impl Unchecked<'_> {
    /// It has been checked.
    fn keep(mut self) -> Handle {
        self.stays = true;
        self.handle
    }
}

impl Drop for Unchecked<'_> {
    fn drop(&mut self) {
        if !self.stays {
            let _ = self.epoll.take_out(self.key, Some(self.handle));
        }
    }
}

impl Epoll {
    /// `epoll_ctl(2)` on the instance behind `instance`, about the file of `entry` under the number `fd`.
    /// `operation` is `None` for a number that Linux does not know, which it notices last.
    ///
    /// It waits only where instances are nested. Dropped there, it leaves things as they were.
    ///
    /// # Errors
    ///
    /// In Linux's order: `EPERM` for a file that cannot tell when it is ready; `EINVAL` for an instance in
    /// itself, a file that is no instance, exclusive where that is not allowed; `ELOOP`; then `EEXIST`,
    /// `ENOENT`, `ENOSPC` when the user has too many items, `ENOMEM`; `EINVAL` when a file would have too many paths
    /// through instances in instances.
    pub async fn control(
        caller: &Caller,
        instance: &OpenFile,
        operation: Option<Operation>,
        entry: &FdEntry,
        fd: i32,
        interest: Interest,
        data: u64,
    ) -> Result<()> {
        let file = &entry.file;
        if !file.ops().watchable(file) {
            return Err(Errno::EPERM);
        }
        if core::ptr::eq(instance, &raw const **file) {
            return Err(Errno::EINVAL);
        }
        let epoll = Epoll::of(instance)?;
        if operation != Some(Operation::Delete) && interest.is_exclusive() {
            let adds_file = operation == Some(Operation::Add) && Epoll::of(file).is_err();
            if !adds_file || !interest.may_be_exclusive() {
                return Err(Errno::EINVAL);
            }
        }
        let key = (file.id(), fd);
        match operation {
            Some(Operation::Add) => {
                let charge = Charge::new(&caller.account, ITEM_BYTES)?;
                epoll.add(NewItem { entry, key, interest: interest.with_always(), data, charge }).await
            }
            Some(Operation::Delete) => epoll.remove(file, key).await,
            Some(Operation::Modify) => epoll.modify(file, key, interest.with_always(), data),
            None => Err(Errno::EINVAL),
        }
    }

    async fn add(&self, new: NewItem<'_>) -> Result<()> {
        let (file, interest) = (&new.entry.file, new.interest);
        let handle = match Epoll::of(file) {
            Err(_) => self.add_file(new).await?,
            Ok(inner) => self.add_instance(inner, new).await?,
        };
        self.look_now(file, handle, interest);
        Ok(())
    }

    async fn add_file(&self, new: NewItem<'_>) -> Result<Handle> {
        let (file, key) = (&new.entry.file, new.key);
        let handle = self.insert(new)?;
        if self.table.lock().outer.is_empty() {
            return Ok(handle);
        }
        let item = Unchecked { epoll: self, key, handle, stays: false };
        let _frozen = nesting::freeze().await;
        nesting::check_paths(file).await?;
        Ok(item.keep())
    }

    async fn add_instance(&self, inner: &Epoll, new: NewItem<'_>) -> Result<Handle> {
        // Until the item has been checked, or is gone again.
        let _frozen = nesting::freeze().await;
        nesting::check(self, inner).await?;
        let key = new.key;
        let handle = self.insert(new)?;
        inner.table.lock().outer.insert((self.id, key.1), self.this.clone());
        let item = Unchecked { epoll: self, key, handle, stays: false };
        if let Some(inner) = inner.this.upgrade() {
            nesting::check_paths_below(&inner).await?;
        }
        Ok(item.keep())
    }

    fn insert(&self, new: NewItem<'_>) -> Result<Handle> {
        let NewItem { entry, key, interest, data, charge } = new;
        let file = &entry.file;
        let sources = file.ops().sources(file);
        let mut table = self.table.lock();
        let Table { items, inner, .. } = &mut *table;
        let Entry::Vacant(place) = items.entry(key) else { return Err(Errno::EEXIST) };
        let counted = Counted::new(self.uid)?;
        let handle = self.ready.list.lock().insert(interest, data, Target::of(entry))?;
        let item: Arc<dyn Watcher> = Arc::new(Item { ready: self.ready.clone(), handle });
        let watch = |source| match interest.is_exclusive() {
            true => Watch::exclusive(source, item.clone(), interest.events()),
            false => Watch::new(source, item.clone(), interest.events()),
        };
        let mut watches = sources.iter().map(watch);
        let watches = [watches.next(), watches.next()];
        place.insert(Registration {
            handle,
            file: Arc::downgrade(file),
            watches,
            _counted: counted,
            _charge: charge,
        });
        if let Ok(nested) = Epoll::of(file) {
            inner.insert(key, nested.this.clone());
        }
        drop(table);
        let follower: Weak<dyn Follower> = self.this.clone();
        file.follow(self.id, &follower);
        Ok(handle)
    }

    fn modify(&self, file: &Arc<OpenFile>, key: Key, interest: Interest, data: u64) -> Result<()> {
        let handle = {
            let table = self.table.lock();
            let item = table.items.get(&key).ok_or(Errno::ENOENT)?;
            let mut list = self.ready.list.lock();
            let (old, _) = list.asked(item.handle).ok_or(Errno::ENOENT)?;
            if old.is_exclusive() {
                return Err(Errno::EINVAL);
            }
            list.modify(item.handle, interest, data);
            drop(list);
            for watch in item.watches.iter().flatten() {
                watch.set_interest(interest.events());
            }
            item.handle
        };
        self.look_now(file, handle, interest);
        Ok(())
    }

    async fn remove(&self, file: &OpenFile, key: Key) -> Result<()> {
        let _frozen = if Epoll::of(file).is_ok() { Some(nesting::freeze().await) } else { None };
        self.take_out(key, None)
    }

    /// Removes an item; with `only`, unless it is another one by now. The nests are frozen if it is an instance.
    fn take_out(&self, key: Key, only: Option<Handle>) -> Result<()> {
        let (gone, _target) = {
            let mut table = self.table.lock();
            let Entry::Occupied(item) = table.items.entry(key) else { return Err(Errno::ENOENT) };
            if only.is_some_and(|only| only != item.get().handle) {
                return Err(Errno::ENOENT);
            }
            let gone = item.remove_entry();
            // At once, so that no wait finds it beside the item that takes its place.
            let target = self.ready.list.lock().remove(gone.1.handle);
            (gone, target)
        };
        self.discard([gone]);
        Ok(())
    }

    /// What was ready before the item asked is reported as well.
    fn look_now(&self, file: &OpenFile, handle: Handle, interest: Interest) {
        // Whoever waits looks at the file itself before it reports it.
        if file.poll().intersects(interest.events()) || fault::fires(Point::EpollReady) {
            self.ready.notify(handle);
        }
    }
}
