//! Vnodes and dentries as objects of `ipc`, so that `/sys/ipc` can list them.
//!
//! The objects of a name and of its file are made when somebody lists them, or makes a handle of the file. Both go with
//! the cached name, so that what is listed is what is cached: a file system keeps its inodes as long as there are files,
//! and they would keep their objects. Opening a file knows nothing of it.

use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::fmt;

use base::sync::Once;
use ipc::ObjectKind;
use ipc::object::{Tracked, TrackedNode};
use ipc::report::{Described, Fields};

use super::cache;
use super::dentry::Dentry;
use super::inode::Inode;
use super::metadata::FileType;
use super::mount::{Mount, Namespace};
use super::path::Path;
use crate::pseudo::Escaped;

/// New objects that one listing makes, at most: the next one goes on.
const NEW_AT_ONCE: usize = 8192;
/// Its own names are not tracked: listing them would never come to an end.
const UNTRACKED: &str = "sysfs";

/// Flags of a dentry: something is mounted on it.
const MOUNT_POINT: u32 = 1;
/// Flags of a dentry: its name has been removed.
const DELETED: u32 = 2;

static NAMESPACE: Once<Weak<Namespace>> = Once::new();

/// What a dentry owns once it is tracked.
pub(super) struct Tracks {
    _own: Arc<Track>,
    /// Shared with the other names of the file.
    _vnode: Arc<Track>,
}

/// A vnode or dentry that is tracked.
pub(super) struct Track {
    inode: Weak<dyn Inode>,
    /// The name by which it was found.
    dentry: Weak<Dentry>,
    mount: Weak<Mount>,
    object: Once<Arc<TrackedNode>>,
}

/// Says whose mounts are listed. The first call counts.
pub(crate) fn observe(namespace: &Arc<Namespace>) {
    NAMESPACE.call_once(|| Arc::downgrade(namespace));
}

/// The path of `place` as one word, whoever asks.
pub(crate) fn path_word(place: &Path) -> String {
    let root =
        NAMESPACE.get().and_then(Weak::upgrade).map_or_else(|| place.mount.root_path(), |all| all.root());
    format!("{}", Escaped(&place.display(&root).text))
}

/// Has an object for the file at `place`, and for its name; without memory they are not listed this time.
pub(crate) fn track(place: &Path) {
    if place.mount.is_anonymous() || place.mount.file_system().type_name() == UNTRACKED {
        return;
    }
    let Some(inode) = place.dentry.found() else { return };
    let make = |kind| {
        let track = Arc::new(Track {
            inode: Arc::downgrade(inode),
            dentry: Arc::downgrade(&place.dentry),
            mount: Arc::downgrade(&place.mount),
            object: Once::new(),
        });
        let thing: Weak<dyn Tracked> = Arc::downgrade(&track) as _;
        let object = TrackedNode::new(kind, thing).ok()?;
        track.object.call_once(|| object);
        Some(track)
    };
    place.dentry.track(|| {
        let vnode = inode.state().tracked(|| make(ObjectKind::Vnode))?;
        Some(Tracks { _own: make(ObjectKind::Dentry)?, _vnode: vnode })
    });
}

/// Has an object for every file and name that is cached, as many as one listing may make.
pub(crate) fn track_cached() {
    let Some(namespace) = NAMESPACE.get().and_then(Weak::upgrade) else { return };
    let mounts = namespace.list();
    let mut fresh = 0;
    let mut visit = |dentry: Arc<Dentry>, mount: &Arc<Mount>| {
        fresh += usize::from(!dentry.is_tracked());
        if fresh <= NEW_AT_ONCE {
            track(&Path { mount: mount.clone(), dentry });
        }
    };
    for mount in &mounts {
        visit(mount.root().clone(), mount);
    }
    cache::for_each(|dentry| {
        let top = top_of(&dentry);
        let mount = mounts.iter().find(|mount| Arc::ptr_eq(mount.super_block().root(), &top));
        if let Some(mount) = mount {
            visit(dentry, mount);
        }
    });
}

/// The root of the file system that `dentry` is a name of.
fn top_of(dentry: &Arc<Dentry>) -> Arc<Dentry> {
    let mut at = dentry.clone();
    while let Some(parent) = at.parent() {
        at = parent;
    }
    at
}

impl Track {
    /// The mount, while it shows the file system somewhere.
    fn mount(&self) -> Option<Arc<Mount>> {
        let mount = self.mount.upgrade()?;
        let is_top = || {
            let namespace = NAMESPACE.get().and_then(Weak::upgrade);
            namespace.is_some_and(|namespace| Arc::ptr_eq(&namespace.root().mount, &mount))
        };
        (mount.mounted_on().is_some() || is_top()).then_some(mount)
    }

    fn describe_vnode(&self, fields: &mut dyn Fields) -> Result<Described, fmt::Error> {
        let Some(inode) = self.inode.upgrade() else { return Ok(Described::Stale) };
        let metadata = inode.metadata();
        let name = self.dentry.upgrade().map(|dentry| dentry.name());
        let name = name.as_deref().filter(|name| !name.is_empty()).unwrap_or(b"-");
        fields.field("ino", &metadata.ino)?;
        fields.field("vnode_type", &type_name(metadata.kind))?;
        fields.field("mode", &format_args!("0{:o}", metadata.kind.mode_bits() | metadata.mode))?;
        fields.field("size", &metadata.size)?;
        fields.field("name", &Escaped(name))?;
        fields.field("mnt_present", &u8::from(self.mount().is_some()))?;
        Ok(Described::Whole)
    }

    fn describe_dentry(&self, fields: &mut dyn Fields) -> Result<Described, fmt::Error> {
        let Some(dentry) = self.dentry.upgrade() else { return Ok(Described::Stale) };
        let mut flags = 0;
        if dentry.is_mount_point() {
            flags |= MOUNT_POINT;
        }
        if dentry.is_deleted() {
            flags |= DELETED;
        }
        fields.field("flags", &format_args!("{flags:#x}"))?;
        let mount = self.mount();
        let present = u8::from(mount.is_some());
        match mount {
            Some(mount) => fields.field("path", &path_word(&Path { mount, dentry }))?,
            None => fields.field("path", &Escaped(&dentry.name()))?,
        }
        fields.field("mnt_present", &present)?;
        Ok(Described::Whole)
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        if let Some(inode) = self.inode.upgrade() {
            inode.state().forget(self);
        }
    }
}

impl Tracked for Track {
    fn describe(&self, kind: ObjectKind, fields: &mut dyn Fields) -> Result<Described, fmt::Error> {
        if kind == ObjectKind::Vnode { self.describe_vnode(fields) } else { self.describe_dentry(fields) }
    }
}

fn type_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Regular => "file",
        FileType::Directory => "dir",
        FileType::CharDevice | FileType::BlockDevice => "device",
        FileType::Fifo => "pipe",
        FileType::Socket => "socket",
        FileType::Symlink => "symlink",
        FileType::Anonymous => "unknown",
    }
}
