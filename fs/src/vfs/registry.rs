//! The types of file systems that can be mounted.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::mount::SuperBlock;

/// Makes, or finds, the file system that `mount(2)` asks for.
pub type MountFn = fn(source: &[u8], data: &[u8]) -> Result<Arc<SuperBlock>>;

/// A type of file systems.
#[derive(Clone, Copy)]
pub struct FileSystemType {
    /// Its name, as in `/proc/filesystems`.
    pub name: &'static str,
    /// It stands on a block device: without one it is `nodev`.
    pub needs_device: bool,
    /// Makes one.
    pub mount: MountFn,
}

static TYPES: SpinLock<Vec<FileSystemType>> = SpinLock::new(LockClass::Registry, Vec::new());

/// Makes a type known. The first of a name stays.
pub fn register(new: FileSystemType) {
    let mut types = TYPES.lock();
    if types.iter().all(|known| known.name != new.name) {
        types.push(new);
    }
}

/// The types in the order in which they were registered.
#[must_use]
pub fn file_system_types() -> Vec<FileSystemType> {
    TYPES.lock().clone()
}

/// The type of this name.
///
/// # Errors
///
/// `ENODEV`.
pub fn file_system_type(name: &[u8]) -> Result<FileSystemType> {
    TYPES.lock().iter().find(|known| known.name.as_bytes() == name).copied().ok_or(Errno::ENODEV)
}
