//! `/dev`: one tmpfs, filled with the nodes of the devices, however often it is mounted.

use alloc::sync::Arc;

use base::Result;
use base::sync::{LockClass, SpinLock};

use super::{memory, terminals};
use crate::tmpfs::TmpFs;
use crate::vfs::{self, DeviceNumber, FileSystem, FileSystemType, NewInode, NewKind, SuperBlock};

static INSTANCE: SpinLock<Option<Arc<SuperBlock>>> = SpinLock::new(LockClass::Registry, None);

pub(super) fn register() {
    vfs::register(FileSystemType { name: "devtmpfs", needs_device: false, mount });
}

fn mount(_source: &[u8], data: &[u8]) -> Result<Arc<SuperBlock>> {
    if let Some(instance) = INSTANCE.lock().clone() {
        return Ok(instance);
    }
    let made = populate(data)?;
    // Of two that come first at once, one wins.
    Ok(INSTANCE.lock().get_or_insert(made).clone())
}

fn populate(data: &[u8]) -> Result<Arc<SuperBlock>> {
    let file_system = TmpFs::named("devtmpfs", if data.is_empty() { b"mode=755" } else { data })?;
    let root = file_system.root();
    let node = |name: &[u8], major, minor, mode| {
        let kind = NewKind::CharDevice(DeviceNumber::new(major, minor));
        root.create(name, &NewInode { kind, mode, uid: 0, gid: 0 }).map(drop)
    };
    for (name, minor) in memory::MINORS {
        node(name, memory::MAJOR, minor, 0o666)?;
    }
    node(b"tty", terminals::MAJOR, terminals::OWN, 0o666)?;
    node(b"console", terminals::MAJOR, terminals::CONSOLE, 0o600)?;
    node(b"ptmx", terminals::MAJOR, terminals::MASTER, 0o666)?;
    node(b"ttyS0", terminals::SERIAL.major, terminals::SERIAL.minor, 0o600)?;
    let link = |name: &[u8], target: &'static [u8]| {
        let new = NewInode { kind: NewKind::Symlink(target), mode: 0o777, uid: 0, gid: 0 };
        root.create(name, &new).map(drop)
    };
    link(b"fd", b"/proc/self/fd")?;
    link(b"stdin", b"/proc/self/fd/0")?;
    link(b"stdout", b"/proc/self/fd/1")?;
    link(b"stderr", b"/proc/self/fd/2")?;
    for (name, mode) in [(&b"pts"[..], 0o755), (b"shm", 0o1777)] {
        root.create(name, &NewInode { kind: NewKind::Directory, mode, uid: 0, gid: 0 })?;
    }
    Ok(SuperBlock::new(file_system))
}
