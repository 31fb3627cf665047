//! A file that is only bytes, for mappings and programs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base::frame::{Frame, PAGE_SIZE};
use base::memory::BoxFuture;
use base::{Errno, Result};

use crate::elf::ProgramFile;
use crate::mm::AddressSpace;
use crate::mm::file::{FileIdentity, MappedFile};

/// Bytes behind a page cache of their own. Its first access to each page waits if the file is slow.
pub struct BytesFile {
    bytes: Vec<u8>,
    inode: u64,
    slow: bool,
    cache: Mutex<BTreeMap<u64, Frame>>,
}

impl BytesFile {
    /// A file with this content.
    #[must_use]
    pub fn new(inode: u64, bytes: Vec<u8>) -> Arc<BytesFile> {
        Arc::new(BytesFile { bytes, inode, slow: false, cache: Mutex::new(BTreeMap::new()) })
    }

    /// The same on a slow device.
    #[must_use]
    pub fn slow(inode: u64, bytes: Vec<u8>) -> Arc<BytesFile> {
        Arc::new(BytesFile { bytes, inode, slow: true, cache: Mutex::new(BTreeMap::new()) })
    }

    fn load(&self, index: u64) -> Result<Frame> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = cache.get(&index) {
            return Ok(frame.clone());
        }
        let frame = Frame::zeroed()?;
        let start = (index as usize).saturating_mul(PAGE_SIZE).min(self.bytes.len());
        frame.write(0, &self.bytes[start..]);
        cache.insert(index, frame.clone());
        Ok(frame)
    }
}

impl MappedFile for BytesFile {
    fn page_now(&self, index: u64) -> Option<Result<Frame>> {
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&index).cloned();
        match cached {
            Some(frame) => Some(Ok(frame)),
            None if self.slow => None,
            None => Some(self.load(index)),
        }
    }

    fn page(&self, index: u64) -> BoxFuture<'_, Result<Frame>> {
        Box::pin(core::future::ready(self.load(index)))
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn will_write(&self, _index: u64) -> Result<()> {
        Ok(())
    }

    fn sync(&self, _offset: u64, _length: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(core::future::ready(Ok(())))
    }

    fn identity(&self) -> FileIdentity {
        FileIdentity { device: 1, inode: self.inode }
    }

    fn path(&self) -> String {
        format!("/bytes/{}", self.inode)
    }
}

/// A [`BytesFile`] as a program.
pub struct BytesProgram(pub Arc<BytesFile>);

impl ProgramFile for BytesProgram {
    fn read_at<'a>(&'a self, offset: u64, into: &'a mut [u8]) -> BoxFuture<'a, Result<usize>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.bytes.len());
        let length = into.len().min(self.0.bytes.len() - start);
        into[..length].copy_from_slice(&self.0.bytes[start..start + length]);
        Box::pin(core::future::ready(Ok(length)))
    }

    fn map_into(&self, _space: &Arc<AddressSpace>) -> Result<Arc<dyn MappedFile>> {
        if self.0.bytes.is_empty() { Err(Errno::ENODEV) } else { Ok(self.0.clone()) }
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}
