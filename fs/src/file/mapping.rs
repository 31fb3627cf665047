//! Files in memory: how an address space gets at the page cache, and hears of pages that go away.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::ops::Range;

use base::Result;
use base::frame::Frame;
use base::memory::{Access, BoxFuture};

/// An address space that has pages of a file mapped.
pub trait MappingObserver: Send + Sync {
    /// The pages with these indices (in units of the page size, within the file) are no longer part of the
    /// file: every mapping of them, private copies of changed pages apart, is to be removed. Called without
    /// locks; must not wait.
    fn unmap_pages(&self, pages: Range<u64>);
}

/// A file whose pages can be mapped.
pub trait Mappable: Send + Sync {
    /// The frame of page `index`. `Write` is asked for a shared mapping that will be written, and makes the
    /// page exist and dirty; a private mapping asks for `Read` and copies.
    ///
    /// # Errors
    ///
    /// `ENXIO` when the page lies wholly past the end of the file: SIGBUS. `EAGAIN` when it has to be read
    /// from a device first: await [`Mappable::load`] and try again. `ENOMEM`, `ENOSPC` when there is no
    /// frame or no room: SIGBUS as well.
    fn page(&self, index: u64, access: Access) -> Result<Frame>;

    /// The frame of page `index` if it is in memory: for mincore(2), and to map a page's neighbours with it.
    /// Makes nothing and reads nothing.
    fn cached(&self, _index: u64) -> Option<Frame> {
        None
    }

    /// Reads page `index` from its device. A drop leaves the read to finish by itself.
    fn load(&self, _index: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(core::future::ready(Ok(())))
    }

    /// Registers a mapping of the pages `pages`. `shared_write` says that it is shared and may become
    /// writable. The mapping counts until the value is dropped.
    ///
    /// # Errors
    ///
    /// `EPERM` when a seal forbids it; `ENOMEM`.
    fn map(
        self: Arc<Self>,
        observer: Weak<dyn MappingObserver>,
        pages: Range<u64>,
        shared_write: bool,
    ) -> Result<Mapping>;

    /// A mapping that [`Mappable::map`] made is gone.
    fn unmapped(&self, key: u64);
}

/// A registered mapping; its drop takes it out of the file's list.
pub struct Mapping {
    file: Arc<dyn Mappable>,
    key: u64,
}

impl Mapping {
    /// The registration `key` of `file`, for implementors of [`Mappable::map`].
    #[must_use]
    pub fn new(file: Arc<dyn Mappable>, key: u64) -> Mapping {
        Mapping { file, key }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn Mappable> {
        &self.file
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.file.unmapped(self.key);
    }
}
