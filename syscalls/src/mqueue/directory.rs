//! The names of queues, and the file system that shows them: `mount -t mqueue none /dev/mqueue`.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry as MapEntry;
use alloc::sync::Arc;
use core::any::Any;

use base::caller::Caller;
use base::charge::Charge;
use base::sync::{Lazy, LockClass, SpinLock};
use base::{Errno, Result};
use fs::file::{FileOps, Io, OpenFile, Whence};
use fs::vfs::{
    self, AnonymousInode, Attributes, DeviceNumber, DirSink, FileSystem, FileSystemType, FileType,
    FsStatistics, Inode, InodeState, Metadata, NewInode, NewKind, OpenRequest, SuperBlock, owner_or_capable,
};

use super::file::QueueFile;
use super::queue::Queue;
use super::settings::{self, Limits};
use crate::thread::Thread;

/// `st_size` of a queue: what the text about it may have.
pub const TEXT_BYTES: u64 = 80;
/// `f_type` of the file system.
const MAGIC: u64 = 0x1980_0202;
/// Bytes that a name takes beside itself.
const ENTRY_COST: usize = 256;

/// A queue as an inode.
pub struct QueueInode {
    attributes: AnonymousInode,
    queue: Queue,
}

impl QueueInode {
    /// A queue of the caller, without a name.
    ///
    /// # Errors
    ///
    /// As [`Queue::new`].
    pub fn new(caller: &Caller, limits: Limits, mode: u32) -> Result<Arc<QueueInode>> {
        let credentials = &caller.credentials;
        let (uid, gid) = (credentials.fsuid, credentials.fsgid);
        let attributes = AnonymousInode::new(FileType::Regular, mode & 0o7777, uid, gid);
        Ok(Arc::new(QueueInode { attributes, queue: Queue::new(caller, limits)? }))
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Inode for QueueInode {
    fn metadata(&self) -> Metadata {
        Metadata { size: TEXT_BYTES, ..self.attributes.metadata() }
    }

    fn state(&self) -> &InodeState {
        self.attributes.state()
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(QueueFile(self)))
    }

    fn set_attributes(&self, new: &Attributes) -> Result<()> {
        self.attributes.set_attributes(new)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The one directory: each mount shows it.
struct Directory {
    attributes: AnonymousInode,
    entries: SpinLock<BTreeMap<Arc<[u8]>, Entry>>,
}

struct Entry {
    inode: Arc<QueueInode>,
    _charge: Charge,
}

static DIRECTORY: Lazy<Arc<Directory>> = Lazy::new(|| {
    Arc::new(Directory {
        attributes: AnonymousInode::new(FileType::Directory, 0o1777, 0, 0),
        entries: SpinLock::new(LockClass::Inode, BTreeMap::new()),
    })
});

static SUPER_BLOCK: Lazy<Arc<SuperBlock>> = Lazy::new(|| SuperBlock::new(Arc::new(MqueueFs)));

/// The queue with this name.
///
/// # Errors
///
/// `ENOENT`.
pub fn find(name: &[u8]) -> Result<Arc<QueueInode>> {
    DIRECTORY.entries.lock().get(name).map(|entry| entry.inode.clone()).ok_or(Errno::ENOENT)
}

/// Names a queue.
///
/// # Errors
///
/// `EEXIST` when another one has the name; `ENOMEM`.
pub fn add(caller: &Caller, name: &[u8], inode: Arc<QueueInode>) -> Result<Arc<QueueInode>> {
    let charge = Charge::new(&caller.account, ENTRY_COST + name.len())?;
    let name: Arc<[u8]> = Arc::from(name);
    let entry = Entry { inode: inode.clone(), _charge: charge };
    match DIRECTORY.entries.lock().entry(name) {
        MapEntry::Occupied(_) => return Err(Errno::EEXIST),
        MapEntry::Vacant(place) => place.insert(entry),
    };
    Ok(inode)
}

/// Takes a name away, if the caller owns the queue or may do so anyway.
///
/// # Errors
///
/// `ENOENT`; `EPERM`.
pub fn remove_as(caller: &Caller, name: &[u8]) -> Result<()> {
    let inode = find(name)?;
    // The directory is root's, and sticky.
    let owns_directory = owner_or_capable(caller, &DIRECTORY.metadata());
    if !owns_directory && !owner_or_capable(caller, &inode.metadata()) {
        return Err(Errno::EPERM);
    }
    DIRECTORY.unlink(name)
}

impl Inode for Directory {
    fn metadata(&self) -> Metadata {
        Metadata { links: 2, ..self.attributes.metadata() }
    }

    fn state(&self) -> &InodeState {
        self.attributes.state()
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        find(name).map(|inode| inode as Arc<dyn Inode>)
    }

    fn dynamic(&self) -> bool {
        true
    }

    fn changeable(&self) -> bool {
        true
    }

    fn create(&self, name: &[u8], new: &NewInode<'_>) -> Result<Arc<dyn Inode>> {
        if !matches!(new.kind, NewKind::Regular) {
            return Err(Errno::EPERM);
        }
        let caller = Thread::current().ok_or(Errno::EPERM)?.caller();
        let inode = QueueInode::new(&caller, settings::admit(&caller, None)?, new.mode)?;
        add(&caller, name, inode).map(|inode| inode as Arc<dyn Inode>)
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        let removed = self.entries.lock().remove(name);
        removed.map(drop).ok_or(Errno::ENOENT)
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(Listing))
    }

    fn set_attributes(&self, new: &Attributes) -> Result<()> {
        self.attributes.set_attributes(new)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The open directory. A position is an inode number, which grows with each queue.
struct Listing;

impl FileOps for Listing {
    fn read(&self, _io: &Io<'_>, _buffer: &mut base::memory::UserBuffer<'_>) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn seek(&self, _file: &OpenFile, current: u64, offset: i64, whence: Whence) -> Result<u64> {
        fs::file::seek_within(0, i64::MAX as u64, current, offset, whence)
    }

    fn read_dir(&self, _io: &Io<'_>, position: &mut u64, sink: &mut dyn DirSink) -> Result<()> {
        let own = DIRECTORY.attributes.ino();
        for (name, place) in [(b".".as_slice(), 1), (b"..".as_slice(), 2)] {
            if *position < place {
                if !sink.entry(name, own, FileType::Directory, place) {
                    return Ok(());
                }
                *position = place;
            }
        }
        loop {
            // The sink copies to the program, so it is called without the lock.
            let next = {
                let entries = DIRECTORY.entries.lock();
                let numbered = entries.iter().map(|(name, entry)| (entry.inode.attributes.ino() + 2, name));
                numbered
                    .filter(|(place, _)| *place > *position)
                    .min()
                    .map(|(place, name)| (place, name.clone()))
            };
            let Some((place, name)) = next else { return Ok(()) };
            if !sink.entry(&name, place - 2, FileType::Regular, place) {
                return Ok(());
            }
            *position = place;
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The file system.
struct MqueueFs;

impl FileSystem for MqueueFs {
    fn type_name(&self) -> &'static str {
        "mqueue"
    }

    fn root(&self) -> Arc<dyn Inode> {
        DIRECTORY.clone()
    }

    fn device(&self) -> DeviceNumber {
        DIRECTORY.metadata().device
    }

    fn statistics(&self) -> FsStatistics {
        FsStatistics { magic: MAGIC, block_size: 4096, ..FsStatistics::default() }
    }
}

/// Makes the type known to mount(2).
pub fn register() {
    vfs::register(FileSystemType { name: "mqueue", needs_device: false, mount });
}

fn mount(_source: &[u8], data: &[u8]) -> Result<Arc<SuperBlock>> {
    if data.is_empty() { Ok(SUPER_BLOCK.clone()) } else { Err(Errno::EINVAL) }
}
