//! A whole tree of pseudo files, to which each owner adds what it shows.

use alloc::sync::Arc;

use base::Result;
use base::caller::Caller;

use super::PseudoFs;
use super::directory::{DynamicEntries, PseudoDir};
use super::file::{PseudoFile, Text};
use super::leaves::PseudoLink;
use super::node::Attributes;
use crate::tmpfs::anonymous_device;
use crate::vfs::{DeviceNumber, SuperBlock};

/// Inode number of the top.
const ROOT_INO: u64 = 1;

/// What holds for all files of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Mode of directories.
    pub directory_mode: u32,
    /// Even the privileged open a file only as its mode says.
    pub enforced: bool,
}

/// The tree.
pub struct PseudoTree {
    device: DeviceNumber,
    rules: Rules,
    root: Arc<PseudoDir>,
    super_block: Arc<SuperBlock>,
}

impl PseudoTree {
    /// An empty tree of file system type `type_name` with `magic` for `statfs(2)`. The top may have made-up entries
    /// beside those that are added.
    #[must_use]
    pub fn new(
        type_name: &'static str,
        magic: u64,
        rules: Rules,
        dynamic: Option<Arc<dyn DynamicEntries>>,
    ) -> PseudoTree {
        let device = anonymous_device();
        let attributes = Attributes { ino: ROOT_INO, ..Attributes::root(device, 0o555) };
        let root = match dynamic {
            Some(dynamic) => PseudoDir::with_dynamic(attributes, 0, dynamic),
            None => PseudoDir::new(attributes, 0),
        };
        let super_block = PseudoFs::super_block(type_name, magic, device, root.clone(), "");
        PseudoTree { device, rules, root, super_block }
    }

    /// Its device, for nodes that are made apart.
    #[must_use]
    pub fn device(&self) -> DeviceNumber {
        self.device
    }

    /// The top.
    #[must_use]
    pub fn root(&self) -> &Arc<PseudoDir> {
        &self.root
    }

    /// What mount(2) gets, however often.
    #[must_use]
    pub fn super_block(&self) -> &Arc<SuperBlock> {
        &self.super_block
    }

    /// Root's, with `mode` and a fresh inode number, as the rules of the tree want it.
    #[must_use]
    pub fn attributes(&self, mode: u32) -> Attributes {
        Attributes { enforced: self.rules.enforced, ..Attributes::root(self.device, mode) }
    }

    /// Adds a directory.
    pub fn directory(&self, parent: &PseudoDir, name: &str) -> Arc<PseudoDir> {
        let new = PseudoDir::new(self.attributes(self.rules.directory_mode), parent.ino());
        parent.add(name, new.clone());
        new
    }

    /// Adds a file that anybody may read.
    pub fn file(
        &self,
        parent: &PseudoDir,
        name: &str,
        render: impl Fn(&Caller, &mut Text) -> Result<()> + Send + Sync + 'static,
    ) {
        parent.add(name, PseudoFile::new(self.attributes(0o444), render));
    }

    /// Adds a file that anybody may read and root may write, each write as a whole.
    pub fn writable(
        &self,
        parent: &PseudoDir,
        name: &str,
        render: impl Fn(&Caller, &mut Text) -> Result<()> + Send + Sync + 'static,
        store: impl Fn(&Caller, &[u8]) -> Result<()> + Send + Sync + 'static,
    ) {
        parent.add(name, PseudoFile::writable(self.attributes(0o644), render, store));
    }

    /// Adds a link.
    pub fn link(&self, parent: &PseudoDir, name: &str, target: &'static str) {
        parent.add(name, PseudoLink::to(self.attributes(0o777), target));
    }
}
