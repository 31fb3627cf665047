//! What a mapping needs of a file.

use alloc::string::String;

use base::Result;
use base::frame::Frame;
use base::memory::BoxFuture;

/// What makes two mapped files the same file, whatever names they were opened by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIdentity {
    /// Device number, as `stat(2)` tells it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// A file, as an address space sees it: numbered pages that the page cache holds.
pub trait MappedFile: Send + Sync {
    /// The page at `index`, when that needs no wait: `None` when it does.
    ///
    /// # Errors
    ///
    /// `ENOMEM` without a frame; `EIO` when the file cannot be read. Past the end of the file the caller
    /// has checked [`MappedFile::size`].
    fn page_now(&self, index: u64) -> Option<Result<Frame>>;

    /// The page at `index`, read from the device if it must be. A drop leaves at most a page in the cache.
    ///
    /// # Errors
    ///
    /// As [`MappedFile::page_now`].
    fn page(&self, index: u64) -> BoxFuture<'_, Result<Frame>>;

    /// Size in bytes now.
    fn size(&self) -> u64;

    /// A program is about to write to the page at `index` through a shared mapping.
    ///
    /// # Errors
    ///
    /// `ENOSPC` or `EIO`, which the program gets as SIGBUS.
    fn will_write(&self, index: u64) -> Result<()>;

    /// Writes the pages of a byte range back to the device: msync(2). A drop leaves some of them unwritten.
    ///
    /// # Errors
    ///
    /// `EIO`, `ENOSPC`.
    fn sync(&self, offset: u64, length: u64) -> BoxFuture<'_, Result<()>>;

    /// Device and inode.
    fn identity(&self) -> FileIdentity;

    /// The path for `/proc/<pid>/maps`, with ` (deleted)` where that is due.
    fn path(&self) -> String;
}
