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
use super::nesting::{self, Examined};
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

impl Epoll {
    /// `epoll_ctl(2)` on the instance behind `instance`, about the file of `entry` under the number `fd`.
    /// `operation` is `None` for a number that Linux does not know, which it notices last.
    ///
    /// # Errors
    ///
    /// In Linux's order: `EPERM` for a file that cannot tell when it is ready; `EINVAL` for an instance in
    /// itself, a file that is no instance, exclusive where that is not allowed; `ELOOP`; then `EEXIST`,
    /// `ENOENT`, `ENOSPC` when the user has too many items, `ENOMEM`; `EINVAL` when a file would have too many paths
    /// through instances in instances.
    pub fn control(
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
                epoll.add(NewItem { entry, key, interest: interest.with_always(), data, charge })
            }
            Some(Operation::Delete) => epoll.remove(file, key),
            Some(Operation::Modify) => epoll.modify(file, key, interest.with_always(), data),
            None => Err(Errno::EINVAL),
        }
    }

    fn add(&self, new: NewItem<'_>) -> Result<()> {
        let (file, interest) = (&new.entry.file, new.interest);
        let handle = match Epoll::of(file) {
            Err(_) => self.add_file(new)?,
            Ok(inner) => self.add_instance(inner, new)?,
        };
        self.look_now(file, handle, interest);
        Ok(())
    }

    fn add_file(&self, new: NewItem<'_>) -> Result<Handle> {
        let (file, key) = (&new.entry.file, new.key);
        let handle = self.insert(new)?;
        if self.table.lock().outer.is_empty() {
            return Ok(handle);
        }
        let mut examined = Examined::default();
        let checked = {
            let _frozen = nesting::freeze();
            nesting::check_paths(file, &mut examined)
        };
        self.keep_if(checked, file, key).map(|()| handle)
    }

    fn add_instance(&self, inner: &Epoll, new: NewItem<'_>) -> Result<Handle> {
        let (file, key) = (&new.entry.file, new.key);
        let mut examined = Examined::default();
        let (handle, checked) = {
            let _frozen = nesting::freeze();
            nesting::check(self, inner)?;
            let handle = self.insert(new)?;
            inner.table.lock().outer.insert((self.id, key.1), self.this.clone());
            let checked = inner
                .this
                .upgrade()
                .map_or(Ok(()), |inner| nesting::check_paths_below(&inner, &mut examined));
            (handle, checked)
        };
        self.keep_if(checked, file, key).map(|()| handle)
    }

    /// Removes an item again whose check has failed.
    fn keep_if(&self, checked: Result<()>, file: &OpenFile, key: Key) -> Result<()> {
        checked.inspect_err(|_| {
            // Somebody else may have removed it meanwhile.
            let _ = self.remove(file, key);
        })
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

    fn remove(&self, file: &OpenFile, key: Key) -> Result<()> {
        let _frozen = Epoll::of(file).is_ok().then(nesting::freeze);
        let (gone, _target) = {
            let mut table = self.table.lock();
            let gone = table.items.remove_entry(&key).ok_or(Errno::ENOENT)?;
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
