//! What the loader needs of files, and of who execs.

use alloc::sync::Arc;

use base::Result;
use base::memory::BoxFuture;

use crate::mm::AddressSpace;
use crate::mm::file::FileMapping;

/// A file that may be a program: opened, regular, and executable for the caller.
pub trait ProgramFile: Send + Sync {
    /// Reads up to `into.len()` bytes at `offset`; fewer only at the end of the file.
    /// A drop leaves nothing but pages in the cache.
    ///
    /// # Errors
    ///
    /// `EIO`, `ENOMEM`.
    fn read_at<'a>(&'a self, offset: u64, into: &'a mut [u8]) -> BoxFuture<'a, Result<usize>>;

    /// The file as a thing that `space` can map privately.
    ///
    /// # Errors
    ///
    /// `ENODEV` when it cannot be mapped; `ENOMEM`.
    fn map_into(&self, space: &Arc<AddressSpace>) -> Result<Arc<FileMapping>>;

    /// For whoever opened it and wants to know it again.
    fn as_any(&self) -> &dyn core::any::Any;
}

/// The ids that the new program starts with, for its auxiliary vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramIdentity {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// The program got privileges that its caller did not have (`AT_SECURE`).
    pub secure: bool,
}

/// Who execs: opens interpreters and knows what set-id bits do.
pub trait ExecContext: Send + Sync {
    /// Opens an interpreter for execution. A drop leaves nothing open.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `EACCES`, `ENOTDIR`, `ELOOP`, `ETXTBSY`: as the path walk and the permission check answer.
    fn open<'a>(&'a self, path: &'a [u8]) -> BoxFuture<'a, Result<Arc<dyn ProgramFile>>>;

    /// The ids under which `program` will run.
    fn identity(&self, program: &dyn ProgramFile) -> ProgramIdentity;
}

/// Reads exactly `into.len()` bytes; false when the file ends before.
///
/// # Errors
///
/// As [`ProgramFile::read_at`].
pub(super) async fn read_exact(file: &dyn ProgramFile, offset: u64, into: &mut [u8]) -> Result<bool> {
    let mut done = 0;
    while done < into.len() {
        let Some(at) = offset.checked_add(done as u64) else { return Ok(false) };
        match file.read_at(at, &mut into[done..]).await? {
            0 => return Ok(false),
            count => done += count,
        }
    }
    Ok(true)
}
