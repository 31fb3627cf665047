//! One file of an archive.

use alloc::vec::Vec;

use super::cpio::{Header, Sink};

/// Collects the data of the file with one name.
pub(super) struct Finder<'a> {
    wanted: &'a [u8],
    /// The last complete one.
    found: Option<Vec<u8>>,
    /// The one that is being read.
    open: Option<Vec<u8>>,
}

impl<'a> Finder<'a> {
    /// Looks for `path`; a leading slash says nothing.
    pub(super) fn new(path: &'a [u8]) -> Finder<'a> {
        Finder { wanted: without_slash(path), found: None, open: None }
    }

    /// The data of the last file with the name.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        self.found
    }
}

impl Sink for Finder<'_> {
    fn entry(&mut self, _header: &Header, name: &[u8], _target: &[u8]) {
        self.open = (without_slash(name) == self.wanted).then(Vec::new);
    }

    fn data(&mut self, piece: &[u8]) {
        if let Some(open) = &mut self.open {
            open.extend_from_slice(piece);
        }
    }

    fn complete(&mut self) {
        self.found = self.open.take().or_else(|| self.found.take());
    }

    fn trailer(&mut self) {}
}

fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").unwrap_or(path)
}
