//! A program in the file system.

use alloc::boxed::Box;
use alloc::sync::Arc;

use base::frame::PAGE_SIZE;
use base::memory::{Access, BoxFuture};
use base::{Errno, Result};
use fs::file::{Mappable, OpenFile};

use super::program::ProgramFile;
use crate::mm::AddressSpace;
use crate::mm::file::FileMapping;

/// An open file that is executed. While it lives, nobody can open the file for writing.
pub struct OpenProgram {
    file: Arc<OpenFile>,
    pages: Arc<dyn Mappable>,
}

impl OpenProgram {
    /// The program in `file`, which was opened for reading by somebody who may execute it.
    ///
    /// # Errors
    ///
    /// `ETXTBSY` while somebody has it open for writing; `ENOEXEC` when files of its kind cannot be mapped.
    pub fn new(file: Arc<OpenFile>) -> Result<Arc<OpenProgram>> {
        let pages = file.ops().mappable().ok_or(Errno::ENOEXEC)?;
        file.inode().state().deny_writers()?;
        Ok(Arc::new(OpenProgram { file, pages }))
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &Arc<OpenFile> {
        &self.file
    }

    async fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let size = self.file.inode().metadata().size;
        let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = into.len().min(left);
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let index = at / PAGE_SIZE as u64;
            match self.pages.page(index, Access::Read) {
                Ok(frame) => done += frame.read(at as usize % PAGE_SIZE, &mut into[done..length]),
                Err(Errno::EAGAIN) => self.pages.load(index).await?,
                // It was truncated meanwhile.
                Err(Errno::ENXIO) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

impl Drop for OpenProgram {
    fn drop(&mut self) {
        self.file.inode().state().allow_writers();
    }
}

impl ProgramFile for OpenProgram {
    fn read_at<'a>(&'a self, offset: u64, into: &'a mut [u8]) -> BoxFuture<'a, Result<usize>> {
        Box::pin(self.read(offset, into))
    }

    fn map_into(&self, space: &Arc<AddressSpace>) -> Result<Arc<FileMapping>> {
        FileMapping::of_file(space, &self.file, false)
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}
