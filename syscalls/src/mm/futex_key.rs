//! What makes two futex words the same word.

use base::{Errno, Result};

use super::file::FileIdentity;
use super::region::Backing;
use super::{AddressSpace, PAGE};

/// The identity of a futex word. Source: `futex(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FutexKey {
    /// A word of one address space.
    Private {
        /// [`AddressSpace::id`].
        space: u64,
        /// Its address.
        address: u64,
    },
    /// A word of shared anonymous memory.
    Shared {
        /// The object's number.
        object: u64,
        /// Byte in it.
        offset: u64,
    },
    /// A word of a mapped file.
    File {
        /// Which file.
        file: FileIdentity,
        /// Byte in it.
        offset: u64,
    },
}

impl FutexKey {
    /// Its address, or its byte in what is shared.
    #[must_use]
    pub fn place(&self) -> u64 {
        match *self {
            FutexKey::Private { address, .. } => address,
            FutexKey::Shared { offset, .. } | FutexKey::File { offset, .. } => offset,
        }
    }
}

/// Whether a futex call said `FUTEX_PRIVATE_FLAG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutexSharing {
    /// It did: only threads of this space use the word.
    Private,
    /// It did not: what is mapped there decides.
    Shared,
}

impl AddressSpace {
    /// The key of the word at `address`.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the word's mapping has to be looked at and there is none.
    pub fn futex_key(&self, address: u64, sharing: FutexSharing) -> Result<FutexKey> {
        let private = FutexKey::Private { space: self.id(), address };
        if sharing == FutexSharing::Private {
            return Ok(private);
        }
        let state = self.lock();
        let region = state.regions.find(address).ok_or(Errno::EFAULT)?;
        let offset = |address: u64| region.index_of(address) * PAGE + address % PAGE;
        Ok(match &region.backing {
            Backing::Shared(object) => FutexKey::Shared { object: object.id(), offset: offset(address) },
            Backing::File(file) if region.is_shared() => {
                FutexKey::File { file: file.identity(), offset: offset(address) }
            }
            _ => private,
        })
    }
}
