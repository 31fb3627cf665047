//! What all nodes of a pseudo file system have, and the simplest of them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;

use base::caller::Caller;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use crate::file::FileOps;
use crate::vfs::{
    self, DeviceNumber, FileType, Inode, InodeState, LinkTarget, Metadata, OpenRequest, Timestamp,
};

/// The attributes of a node.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// Device of the file system.
    pub device: DeviceNumber,
    /// Inode number; 0 takes a fresh one.
    pub ino: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Fresh numbers start above those that owners compute from process ids.
static NEXT_INO: AtomicU64 = AtomicU64::new(1 << 48);

impl Attributes {
    /// Root's, with `mode` and a fresh inode number.
    #[must_use]
    pub fn root(device: DeviceNumber, mode: u32) -> Attributes {
        Attributes { device, ino: 0, mode, uid: 0, gid: 0 }
    }
}

/// The common part of a node.
pub(super) struct Node {
    kept: SpinLock<Attributes>,
    ino: u64,
    made: Timestamp,
    pub(super) state: InodeState,
}

impl Node {
    pub(super) fn new(mut attributes: Attributes) -> Node {
        if attributes.ino == 0 {
            attributes.ino = NEXT_INO.fetch_add(1, Ordering::Relaxed);
        }
        let kept = SpinLock::new(LockClass::InodeAttributes, attributes);
        Node { kept, ino: attributes.ino, made: Timestamp::now(), state: InodeState::new() }
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn metadata(&self, kind: FileType, links: u32, size: u64) -> Metadata {
        let Attributes { device, ino, mode, uid, gid } = *self.kept.lock();
        Metadata {
            device,
            ino,
            kind,
            mode,
            links,
            uid,
            gid,
            rdev: DeviceNumber::default(),
            size,
            block_size: 1024,
            blocks: 0,
            accessed: self.made,
            modified: self.made,
            changed: self.made,
            born: None,
        }
    }

    /// chmod(2) and chown(2); times are not kept.
    pub(super) fn set_attributes(&self, new: &vfs::Attributes) {
        let mut kept = self.kept.lock();
        kept.mode = new.mode.unwrap_or(kept.mode);
        kept.uid = new.uid.unwrap_or(kept.uid);
        kept.gid = new.gid.unwrap_or(kept.gid);
    }
}

/// Says where a link leads.
type Target = Box<dyn Fn(&Caller) -> Result<LinkTarget> + Send + Sync>;

/// A symbolic link whose target is found when it is read.
pub struct PseudoLink {
    node: Node,
    target: Target,
}

impl PseudoLink {
    /// A link that leads where `target` says.
    #[must_use]
    pub fn new(
        attributes: Attributes,
        target: impl Fn(&Caller) -> Result<LinkTarget> + Send + Sync + 'static,
    ) -> Arc<PseudoLink> {
        Arc::new(PseudoLink { node: Node::new(attributes), target: Box::new(target) })
    }

    /// A link with a constant text.
    #[must_use]
    pub fn to(attributes: Attributes, text: &'static str) -> Arc<PseudoLink> {
        Self::new(attributes, move |_| Ok(LinkTarget::Text(text.as_bytes().to_vec())))
    }
}

impl Inode for PseudoLink {
    fn metadata(&self) -> Metadata {
        self.node.metadata(FileType::Symlink, 1, 0)
    }

    fn state(&self) -> &InodeState {
        &self.node.state
    }

    fn read_link(&self, caller: &Caller) -> Result<LinkTarget> {
        (self.target)(caller)
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        Err(Errno::ELOOP)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Opens a file for a caller.
type Open = Box<dyn Fn(&Caller) -> Result<Arc<dyn FileOps>> + Send + Sync>;

/// A regular file whose operations its owner gives when it is opened.
pub struct PseudoOpen {
    node: Node,
    open: Open,
}

impl PseudoOpen {
    /// A file that `open` opens.
    #[must_use]
    pub fn new(
        attributes: Attributes,
        open: impl Fn(&Caller) -> Result<Arc<dyn FileOps>> + Send + Sync + 'static,
    ) -> Arc<PseudoOpen> {
        Arc::new(PseudoOpen { node: Node::new(attributes), open: Box::new(open) })
    }
}

impl Inode for PseudoOpen {
    fn metadata(&self) -> Metadata {
        self.node.metadata(FileType::Regular, 1, 0)
    }

    fn state(&self) -> &InodeState {
        &self.node.state
    }

    fn open(self: Arc<Self>, request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        (self.open)(request.caller)
    }

    /// There is nothing to cut.
    fn truncate(&self, _size: u64) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A device node.
pub struct PseudoDevice {
    node: Node,
    kind: FileType,
    number: DeviceNumber,
}

impl PseudoDevice {
    /// The node of the character device `number`.
    #[must_use]
    pub fn character(attributes: Attributes, number: DeviceNumber) -> Arc<PseudoDevice> {
        Arc::new(PseudoDevice { node: Node::new(attributes), kind: FileType::CharDevice, number })
    }
}

impl Inode for PseudoDevice {
    fn metadata(&self) -> Metadata {
        Metadata { rdev: self.number, ..self.node.metadata(self.kind, 1, 0) }
    }

    fn state(&self) -> &InodeState {
        &self.node.state
    }

    fn set_attributes(&self, new: &vfs::Attributes) -> Result<()> {
        self.node.set_attributes(new);
        Ok(())
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        // The VFS opens devices by their numbers.
        Err(Errno::ENXIO)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
