//! An epoll instance as an open file.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use base::caller::Caller;
use base::charge::Charge;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use executor::TaskOptions;
use executor::pollwait::{Events, Watch};

use super::limit::Counted;
use super::list::Handle;
use super::ready::{READABLE, Ready};
use crate::file::{FileOps, Follower, OpenFile, OpenFlags, Sources, Whence};

/// Items that a close takes off their files at once.
const AT_ONCE: usize = 256;

/// Kernel memory that an instance takes beside its open file.
const EPOLL_BYTES: usize = 512;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What an item is known by: the open file's id and the descriptor's number.
pub(super) type Key = (u64, i32);

/// An epoll instance.
pub struct Epoll {
    pub(super) id: u64,
    /// The user for whom its items count: who made it.
    pub(super) uid: u32,
    pub(super) this: Weak<Epoll>,
    pub(super) ready: Arc<Ready>,
    pub(super) table: SpinLock<Table>,
    _charge: Charge,
}

/// The items of an instance, and how it is nested.
#[derive(Default)]
pub(super) struct Table {
    pub(super) items: BTreeMap<Key, Registration>,
    /// Of the items, those that are instances themselves.
    pub(super) inner: BTreeMap<Key, Weak<Epoll>>,
    /// The instances that have this one, by their id and the number they have it under.
    pub(super) outer: BTreeMap<Key, Weak<Epoll>>,
}

/// One item. Dropping it takes it off its file's sources.
pub(super) struct Registration {
    pub(super) handle: Handle,
    pub(super) file: Weak<OpenFile>,
    pub(super) watches: [Option<Watch>; 2],
    pub(super) _counted: Counted,
    pub(super) _charge: Charge,
}

impl Epoll {
    /// An open file with a new instance.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`.
    pub fn open(caller: &Caller) -> Result<Arc<OpenFile>> {
        let charge = Charge::new(&caller.account, EPOLL_BYTES)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let epoll = Arc::new_cyclic(|this| Epoll {
            id,
            uid: caller.credentials.uid,
            this: this.clone(),
            ready: Arc::new(Ready::new(id)),
            table: SpinLock::new(LockClass::Epoll, Table::default()),
            _charge: charge,
        });
        OpenFile::anonymous(caller, epoll, "anon_inode:[eventpoll]", OpenFlags::RDWR)
    }

    /// The instance behind an open file.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the file is none.
    pub fn of(file: &OpenFile) -> Result<&Epoll> {
        file.ops_as::<Epoll>().ok_or(Errno::EINVAL)
    }

    /// Takes items that have left the table out of everything else.
    pub(super) fn discard(&self, items: impl IntoIterator<Item = (Key, Registration)>) {
        for (key, registration) in items {
            let handle = registration.handle;
            // First off the sources, so that no wake comes for a slot that somebody else may have.
            drop(registration);
            let file = self.ready.list.lock().remove(handle);
            drop(file);
            let inner = self.table.lock().inner.remove(&key);
            if let Some(inner) = inner.and_then(|inner| inner.upgrade()) {
                inner.table.lock().outer.remove(&(self.id, key.1));
            }
        }
    }
}

impl Follower for Epoll {
    fn file_gone(&self, id: u64) {
        loop {
            let gone = {
                let mut table = self.table.lock();
                let Some(key) = table.items.range((id, i32::MIN)..=(id, i32::MAX)).next() else { return };
                let key = *key.0;
                table.items.remove_entry(&key)
            };
            self.discard(gone);
        }
    }
}

impl FileOps for Epoll {
    fn poll(&self, _file: &OpenFile) -> Events {
        // Once more than there were: the last look finds the list empty, unless something came meanwhile.
        let looks = self.ready.list.lock().linked() + 1;
        for _ in 0..looks {
            let peeked = {
                let mut list = self.ready.list.lock();
                match list.peek() {
                    Some(peeked) => peeked,
                    // A waiter has an item in hand: pollers are told of what it leaves only if it is asked for.
                    None if list.is_busy() => break,
                    None => return Events::empty(),
                }
            };
            let events = |file: Arc<OpenFile>| peeked.file.poll(&file);
            if peeked.file.file().is_some_and(|file| events(file).intersects(peeked.interest.events())) {
                return READABLE;
            }
            self.ready.list.lock().drop_unready(peeked.handle);
        }
        READABLE
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources { input: Some(&self.ready.pollers), output: None }
    }

    fn seek(&self, _file: &OpenFile, current: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        // Linux lets a program seek, and nothing moves.
        Ok(current)
    }

    fn released(&self, _file: &OpenFile) {
        let (instances, items) = {
            let mut table = self.table.lock();
            let mut items = core::mem::take(&mut table.items);
            let instances: Vec<_> = table.inner.keys().filter_map(|key| items.remove_entry(key)).collect();
            (instances, items)
        };
        // What is left is no part of any nest.
        self.discard(instances);
        let mut items = items.into_iter();
        self.discard(items.by_ref().take(AT_ONCE));
        match self.this.upgrade() {
            // What is left of a large instance is the work of a task.
            Some(epoll) if items.len() > 0 && executor::current().is_some() => {
                executor::spawn(TaskOptions::new("epoll-reaper").daemon(), async move {
                    while items.len() > 0 {
                        epoll.discard(items.by_ref().take(AT_ONCE));
                        executor::yield_point().await;
                    }
                });
            }
            _ => self.discard(items),
        }
    }

    fn describe(&self, _file: &OpenFile, out: &mut dyn fmt::Write) -> fmt::Result {
        // The files are let go of outside the lock: one may go with that, and comes here to say so.
        let items: Vec<(i32, Handle, Option<Arc<OpenFile>>)> = {
            let table = self.table.lock();
            let items = table.items.iter();
            items.map(|(key, item)| (key.1, item.handle, item.file.upgrade())).collect()
        };
        for (fd, handle, file) in items {
            let asked = self.ready.list.lock().asked(handle);
            let (Some(file), Some((interest, data))) = (file, asked) else { continue };
            let metadata = file.inode().metadata();
            let (events, position, ino) = (interest.bits(), file.position_hint(), metadata.ino);
            let device = metadata.device.major << 20 | metadata.device.minor;
            writeln!(
                out,
                "tfd: {fd:8} events: {events:8x} data: {data:16x}  pos:{position} ino:{ino:x} sdev:{device:x}"
            )?;
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
