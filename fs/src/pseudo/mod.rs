//! The frame of file systems whose files are made up when they are read: devfs, procfs, sysfs.
//!
//! | type | a node that |
//! |---|---|
//! | [`PseudoFs`] | is the file system |
//! | [`PseudoDir`] | lists registered entries, and those that [`DynamicEntries`] makes up |
//! | [`PseudoFile`] | shows a text, and may take one |
//! | [`PseudoOpen`] | has operations of its owner's |
//! | [`PseudoLink`] | leads to a path, or straight to a place |
//!
//! All of them are [`PseudoNode`]s, whose life is told in `node`. A [`PseudoTree`] is a whole tree of them, to which each owner adds what it shows.
//!
//! The owner of what is shown gives the text; this frame gives the rules of reading: the text is rendered when it
//! is read from position 0, and stays the same until then, so that a reader who takes it in pieces gets
//! one consistent text, and one who seeks back to 0 a fresh one.

mod directory;
mod file;
mod leaves;
mod node;
mod query;
mod tree;

use alloc::sync::Arc;
use core::fmt;

use crate::vfs::{DeviceNumber, FileSystem, FsStatistics, Inode, SuperBlock};
pub use directory::{DynamicEntries, DynamicEntry, PseudoDir};
pub use file::{PseudoFile, TEXT_MAX, Text};
pub use leaves::{PseudoLink, PseudoOpen};
pub use node::{Attributes, Node, PseudoNode, refused_steps};
pub use query::{Escaped, parse_number, parse_query, parse_written};
pub use tree::{PseudoTree, Rules};

/// A file system of made-up files.
pub struct PseudoFs {
    type_name: &'static str,
    magic: u64,
    device: DeviceNumber,
    root: Arc<dyn Inode>,
    options: &'static str,
}

impl PseudoFs {
    /// The file system of type `type_name`, with its magic number for `statfs(2)`, around `root`, whose nodes were
    /// made with `device` (see [`anonymous_device`](crate::tmpfs::anonymous_device)). `options` are shown in
    /// `/proc/mounts`, with a leading comma.
    #[must_use]
    pub fn super_block(
        type_name: &'static str,
        magic: u64,
        device: DeviceNumber,
        root: Arc<PseudoDir>,
        options: &'static str,
    ) -> Arc<SuperBlock> {
        root.node().hand_out();
        SuperBlock::new(Arc::new(PseudoFs { type_name, magic, device, root, options }))
    }
}

impl FileSystem for PseudoFs {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn statistics(&self) -> FsStatistics {
        FsStatistics { magic: self.magic, block_size: 4096, ..FsStatistics::default() }
    }

    fn show_options(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.options)
    }
}

#[cfg(test)]
mod tests;
