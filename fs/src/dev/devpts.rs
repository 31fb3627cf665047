//! `/dev/pts`: the slaves of the pseudo-terminals that exist now. Source: `pts(4)`.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::any::Any;

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::terminals;
use crate::file::{FileOps, Io, OpenFile, OpenFlags, Whence};
use crate::tmpfs::anonymous_device;
use crate::tty::pty::{Pty, PtyMaster, SLAVE_MAJOR};
use crate::vfs::{
    self, Attributes, DeviceNumber, DirSink, FileSystem, FileSystemType, FileType, FsStatistics, Inode,
    InodeState, Metadata, OpenRequest, Start, Subject, SuperBlock, Timestamp, WalkFlags,
};

const DEVPTS_MAGIC: u64 = 0x1cd1;
/// Inode numbers: the root, the multiplexer, and the slaves from here on.
const ROOT: u64 = 1;
const MULTIPLEXER: u64 = 2;
const FIRST_SLAVE: u64 = 3;

static INSTANCE: SpinLock<Option<Arc<SuperBlock>>> = SpinLock::new(LockClass::Registry, None);

pub(super) fn register() {
    vfs::register(FileSystemType { name: "devpts", needs_device: false, mount });
}

fn mount(_source: &[u8], _data: &[u8]) -> Result<Arc<SuperBlock>> {
    if let Some(instance) = INSTANCE.lock().clone() {
        return Ok(instance);
    }
    let device = anonymous_device();
    let root = Node::new(device, ROOT, FileType::Directory, 0o755, DeviceNumber::default(), (0, 0));
    let made = SuperBlock::new(Arc::new(DevPts { device, root }));
    Ok(INSTANCE.lock().get_or_insert(made).clone())
}

struct DevPts {
    device: DeviceNumber,
    root: Arc<Node>,
}

impl FileSystem for DevPts {
    fn type_name(&self) -> &'static str {
        "devpts"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn statistics(&self) -> FsStatistics {
        FsStatistics { magic: DEVPTS_MAGIC, block_size: 4096, ..FsStatistics::default() }
    }
}

/// `TIOCGPTPEER`: opens the slave of the pair whose master is `master`, wherever a name may lead now.
///
/// Dropped midway: nothing is open.
///
/// # Errors
///
/// `ENOTTY` when `master` is no master; `ENOENT` when there is no devpts beside the multiplexer it was opened at;
/// `EIO` while the slave is locked; and those of `open(2)`.
pub async fn open_peer(subject: Subject<'_>, master: &OpenFile, flags: OpenFlags) -> Result<Arc<OpenFile>> {
    let pty = master.ops_as::<PtyMaster>().ok_or(Errno::ENOTTY)?.pty();
    let multiplexer = master.path();
    let beside = multiplexer.step_up().ok_or(Errno::ENOENT)?;
    let inside = multiplexer.mount.file_system().type_name() == "devpts";
    let name = if inside { pty.index().to_string() } else { format!("pts/{}", pty.index()) };
    let slave = vfs::resolve(subject, Start::At(&beside), name.as_bytes(), WalkFlags::empty())?;
    let is_slave = slave.inode().metadata().rdev == DeviceNumber::new(SLAVE_MAJOR, pty.index());
    if !is_slave {
        return Err(Errno::ENOENT);
    }
    vfs::open_at(subject, slave, flags).await
}

/// The root directory, the multiplexer's node, or a slave's node.
struct Node {
    file_system: DeviceNumber,
    ino: u64,
    kind: FileType,
    rdev: DeviceNumber,
    born: Timestamp,
    kept: SpinLock<Attributes>,
    state: InodeState,
}

impl Node {
    fn new(
        file_system: DeviceNumber,
        ino: u64,
        kind: FileType,
        mode: u32,
        rdev: DeviceNumber,
        owner: (u32, u32),
    ) -> Arc<Node> {
        let kept =
            Attributes { mode: Some(mode), uid: Some(owner.0), gid: Some(owner.1), ..Attributes::default() };
        Arc::new(Node {
            file_system,
            ino,
            kind,
            rdev,
            born: Timestamp::now(),
            kept: SpinLock::new(LockClass::InodeAttributes, kept),
            state: InodeState::new(),
        })
    }

    fn slave(&self, pty: &Arc<Pty>) -> Arc<dyn Inode> {
        pty.node(|| {
            let ino = FIRST_SLAVE + u64::from(pty.index());
            let rdev = DeviceNumber::new(SLAVE_MAJOR, pty.index());
            Node::new(self.file_system, ino, FileType::CharDevice, 0o620, rdev, pty.owner())
        })
    }
}

impl Inode for Node {
    fn metadata(&self) -> Metadata {
        let kept = *self.kept.lock();
        Metadata {
            device: self.file_system,
            ino: self.ino,
            kind: self.kind,
            mode: kept.mode.unwrap_or(0),
            links: if self.kind == FileType::Directory { 2 } else { 1 },
            uid: kept.uid.unwrap_or(0),
            gid: kept.gid.unwrap_or(0),
            rdev: self.rdev,
            size: 0,
            block_size: 1024,
            blocks: 0,
            accessed: kept.accessed.unwrap_or(self.born),
            modified: kept.modified.unwrap_or(self.born),
            changed: kept.changed.unwrap_or(self.born),
            born: None,
        }
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if self.kind != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        if name == b"ptmx" {
            let rdev = DeviceNumber::new(terminals::MAJOR, terminals::MASTER);
            return Ok(Node::new(self.file_system, MULTIPLEXER, FileType::CharDevice, 0o666, rdev, (0, 0)));
        }
        // Only the canonical spelling of a number is a name.
        let text = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let index: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        if index.to_string() != text {
            return Err(Errno::ENOENT);
        }
        Pty::find(index).map(|pty| self.slave(&pty)).ok_or(Errno::ENOENT)
    }

    fn dynamic(&self) -> bool {
        self.kind == FileType::Directory
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(Directory))
    }

    fn set_attributes(&self, attributes: &Attributes) -> Result<()> {
        let mut kept = self.kept.lock();
        kept.mode = attributes.mode.or(kept.mode);
        kept.uid = attributes.uid.or(kept.uid);
        kept.gid = attributes.gid.or(kept.gid);
        kept.accessed = attributes.accessed.or(kept.accessed);
        kept.modified = attributes.modified.or(kept.modified);
        kept.changed = attributes.changed.or(kept.changed);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open `/dev/pts`. Positions: 0 `.`, 1 `..`, 2 the multiplexer, then a slave's index plus 3.
struct Directory;

impl FileOps for Directory {
    fn seek(&self, _file: &OpenFile, current: u64, offset: i64, whence: Whence) -> Result<u64> {
        match whence {
            Whence::Set => u64::try_from(offset).map_err(|_| Errno::EINVAL),
            Whence::Current => current.checked_add_signed(offset).ok_or(Errno::EINVAL),
            _ => Err(Errno::EINVAL),
        }
    }

    fn positioned(&self) -> bool {
        true
    }

    fn read(&self, _io: &Io<'_>, _buffer: &mut base::memory::UserBuffer<'_>) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn read_dir(&self, _io: &Io<'_>, position: &mut u64, sink: &mut dyn DirSink) -> Result<()> {
        let fixed: [(&[u8], u64, FileType); 3] = [
            (b".", ROOT, FileType::Directory),
            (b"..", ROOT, FileType::Directory),
            (b"ptmx", MULTIPLEXER, FileType::CharDevice),
        ];
        for (name, ino, kind) in fixed.into_iter().skip(usize::try_from(*position).unwrap_or(usize::MAX)) {
            if !sink.entry(name, ino, kind, *position + 1) {
                return Ok(());
            }
            *position += 1;
        }
        for index in Pty::indices() {
            let at = FIRST_SLAVE + u64::from(index);
            if at < *position {
                continue;
            }
            if !sink.entry(index.to_string().as_bytes(), at, FileType::CharDevice, at + 1) {
                return Ok(());
            }
            *position = at + 1;
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
