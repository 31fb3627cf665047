//! What all nodes of a pseudo file system have.
//!
//! The life of a node is that of [`base::lifecycle`]: a directory publishes it when it takes it in, or when it
//! hands out one that was made up for a lookup; a removal detaches it and everything below at once, so that it is
//! neither found, opened nor rendered any more; whoever has it open keeps it and the text he has read, and the last
//! close frees it.

use base::lifecycle::{Lifecycle, Occurrences, Refusal, State};
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use crate::file::{AccessMode, OpenFlags};
use crate::vfs::{self, DeviceNumber, FileType, Inode, InodeState, Metadata, Timestamp};

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
    /// Even the privileged open a file only as its mode says, as in Linux's sysfs.
    pub enforced: bool,
}

/// Fresh numbers start above those that owners compute from process ids.
static NEXT_INO: AtomicU64 = AtomicU64::new(1 << 48);

impl Attributes {
    /// Root's, with `mode` and a fresh inode number.
    #[must_use]
    pub fn root(device: DeviceNumber, mode: u32) -> Attributes {
        Attributes { device, ino: 0, mode, uid: 0, gid: 0, enforced: false }
    }

    /// With an inode number, so that several nodes can be one file.
    #[must_use]
    pub fn numbered(self) -> Attributes {
        let ino = if self.ino == 0 { NEXT_INO.fetch_add(1, Ordering::Relaxed) } else { self.ino };
        Attributes { ino, ..self }
    }
}

/// Counts and tells steps of nodes that their life does not have.
struct Nodes;

static REFUSED: Occurrences = Occurrences::new();

impl Refusal for Nodes {
    fn refused(from: State, to: State) {
        if let Some(number) = REFUSED.add() {
            log::warn!(
                "pseudo file system: a node from {} to {} is refused ({number})",
                from.name(),
                to.name()
            );
        }
    }
}

/// Steps of nodes that were refused since boot: 0 unless the kernel is wrong.
#[must_use]
pub fn refused_steps() -> u64 {
    REFUSED.count()
}

/// A node of a pseudo file system.
pub trait PseudoNode: Inode {
    /// What all nodes have.
    fn node(&self) -> &Node;

    /// It is removed, and everything below it.
    fn detach(&self) {
        self.node().detach();
    }

    /// False when what it is about is gone, though it has not been removed yet: nobody finds it then.
    fn exists(&self) -> bool {
        true
    }
}

/// The common part of a node.
pub struct Node {
    kept: SpinLock<Attributes>,
    ino: u64,
    made: Timestamp,
    life: Lifecycle<Nodes>,
    pub(super) state: InodeState,
}

impl Node {
    pub(super) fn new(attributes: Attributes) -> Node {
        let attributes = attributes.numbered();
        Node {
            kept: SpinLock::new(LockClass::InodeAttributes, attributes),
            ino: attributes.ino,
            made: Timestamp::now(),
            life: Lifecycle::new(),
            state: InodeState::new(),
        }
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    /// A directory takes it in. False when one has before.
    pub(super) fn publish(&self) -> bool {
        self.life.publish()
    }

    /// A directory hands it out: one that was made for this is published.
    pub(super) fn hand_out(&self) {
        if self.life.state() == State::Init {
            self.publish();
        }
    }

    /// Its directory no longer has it.
    pub(super) fn detach(&self) {
        self.life.detach();
    }

    /// True while it has a place.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.life.is_live()
    }

    /// Checks that it has not been removed.
    ///
    /// # Errors
    ///
    /// `ENODEV`.
    pub(super) fn require_live(&self) -> Result<()> {
        if self.is_live() { Ok(()) } else { Err(Errno::ENODEV) }
    }

    /// Checks what even the privileged need, where the mode is enforced.
    ///
    /// # Errors
    ///
    /// `EACCES`.
    pub(super) fn require_mode(&self, flags: OpenFlags) -> Result<()> {
        let Attributes { mode, enforced, .. } = *self.kept.lock();
        let asks = |access| flags.access().contains(access);
        let refused = enforced
            && (asks(AccessMode::READ) && mode & 0o444 == 0 || asks(AccessMode::WRITE) && mode & 0o222 == 0);
        if refused { Err(Errno::EACCES) } else { Ok(()) }
    }

    pub(super) fn metadata(&self, kind: FileType, links: u32, size: u64) -> Metadata {
        let Attributes { device, ino, mode, uid, gid, .. } = *self.kept.lock();
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

impl Drop for Node {
    fn drop(&mut self) {
        // Its directory had the last reference but one, or never had any.
        self.life.end(|| {});
    }
}
