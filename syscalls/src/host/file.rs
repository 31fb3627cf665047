//! A file that is only bytes, for mappings and programs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base::frame::{Frame, PAGE_SIZE};
use base::memory::{Access, BoxFuture};
use base::{Errno, Result};
use fs::file::{Mappable, Mapping, MappingObserver};

use crate::elf::ProgramFile;
use crate::mm::AddressSpace;
use crate::mm::file::{FileIdentity, FileMapping};

/// Bytes behind a page cache of their own. The first access to each page of a slow file waits.
pub struct BytesFile {
    inode: u64,
    slow: bool,
    content: Mutex<Content>,
}

struct Content {
    bytes: Vec<u8>,
    size: usize,
    cache: BTreeMap<u64, Frame>,
    observers: BTreeMap<u64, Weak<dyn MappingObserver>>,
    next_key: u64,
}

impl Content {
    fn load(&mut self, index: u64) -> Result<Frame> {
        if let Some(frame) = self.cache.get(&index) {
            return Ok(frame.clone());
        }
        let frame = Frame::zeroed()?;
        let start = (index as usize).saturating_mul(PAGE_SIZE).min(self.bytes.len());
        frame.write(0, &self.bytes[start..]);
        self.cache.insert(index, frame.clone());
        Ok(frame)
    }
}

impl BytesFile {
    /// A file with this content.
    #[must_use]
    pub fn new(inode: u64, bytes: Vec<u8>) -> Arc<BytesFile> {
        BytesFile::with_speed(inode, bytes, false)
    }

    /// The same on a slow device.
    #[must_use]
    pub fn slow(inode: u64, bytes: Vec<u8>) -> Arc<BytesFile> {
        BytesFile::with_speed(inode, bytes, true)
    }

    fn with_speed(inode: u64, bytes: Vec<u8>, slow: bool) -> Arc<BytesFile> {
        let size = bytes.len();
        let (cache, observers) = (BTreeMap::new(), BTreeMap::new());
        let content = Mutex::new(Content { bytes, size, cache, observers, next_key: 0 });
        Arc::new(BytesFile { inode, slow, content })
    }

    /// Shortens the file: its pages leave every mapping.
    pub fn truncate(&self, size: usize) {
        let first = size.div_ceil(PAGE_SIZE) as u64;
        let observers: Vec<_> = {
            let mut content = self.lock();
            content.size = size;
            content.cache.retain(|index, _| *index < first);
            content.observers.values().cloned().collect()
        };
        for observer in observers.iter().filter_map(Weak::upgrade) {
            observer.unmap_pages(first..u64::MAX);
        }
    }

    /// A mapping of the whole file for `space`.
    ///
    /// # Errors
    ///
    /// None; the type is that of real files.
    pub fn map_for(
        self: &Arc<Self>,
        space: &Arc<AddressSpace>,
        shared_write: bool,
    ) -> Result<Arc<FileMapping>> {
        let identity = FileIdentity { device: 1, inode: self.inode };
        FileMapping::new(space, self.clone(), None, identity, shared_write)
    }

    /// Mappings that are registered now.
    #[must_use]
    pub fn mappings(&self) -> usize {
        self.lock().observers.len()
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mappable for BytesFile {
    fn page(&self, index: u64, _access: Access) -> Result<Frame> {
        let mut content = self.lock();
        if index >= content.size.div_ceil(PAGE_SIZE) as u64 {
            return Err(Errno::ENXIO);
        }
        if self.slow && !content.cache.contains_key(&index) {
            return Err(Errno::EAGAIN);
        }
        content.load(index)
    }

    fn cached(&self, index: u64) -> Option<Frame> {
        let content = self.lock();
        let inside = index < content.size.div_ceil(PAGE_SIZE) as u64;
        content.cache.get(&index).filter(|_| inside).cloned()
    }

    fn load(&self, index: u64) -> BoxFuture<'_, Result<()>> {
        let loaded = self.lock().load(index).map(|_| ());
        Box::pin(core::future::ready(loaded))
    }

    fn map(
        self: Arc<Self>,
        observer: Weak<dyn MappingObserver>,
        _pages: Range<u64>,
        _shared_write: bool,
    ) -> Result<Mapping> {
        let key = {
            let mut content = self.lock();
            content.next_key += 1;
            let key = content.next_key;
            content.observers.insert(key, observer);
            key
        };
        Ok(Mapping::new(self, key))
    }

    fn unmapped(&self, key: u64) {
        self.lock().observers.remove(&key);
    }
}

/// A [`BytesFile`] as a program.
pub struct BytesProgram(pub Arc<BytesFile>);

impl ProgramFile for BytesProgram {
    fn read_at<'a>(&'a self, offset: u64, into: &'a mut [u8]) -> BoxFuture<'a, Result<usize>> {
        let content = self.0.lock();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.bytes.len());
        let length = into.len().min(content.bytes.len() - start);
        into[..length].copy_from_slice(&content.bytes[start..start + length]);
        Box::pin(core::future::ready(Ok(length)))
    }

    fn map_into(&self, space: &Arc<AddressSpace>) -> Result<Arc<FileMapping>> {
        self.0.map_for(space, false)
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}
