//! The simplest nodes: links, and files whose operations their owner gives.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;

use base::caller::Caller;
use base::{Errno, Result};

use super::node::{Attributes, Node, PseudoNode};
use crate::file::FileOps;
use crate::vfs::{FileType, Inode, InodeState, LinkTarget, Metadata, OpenRequest};

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

impl PseudoNode for PseudoLink {
    fn node(&self) -> &Node {
        &self.node
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

impl PseudoNode for PseudoOpen {
    fn node(&self) -> &Node {
        &self.node
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
        self.node.require_live()?;
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
