//! The registry of devices: what stands behind a device node.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::inode::{DeviceNumber, OpenRequest};
use crate::file::FileOps;

/// A driver.
pub trait Device: Send + Sync {
    /// Opens the device with this number.
    ///
    /// # Errors
    ///
    /// `ENXIO` when there is no such device (any more); `EBUSY`, `EIO` and the like as the driver says.
    fn open(&self, number: DeviceNumber, request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>>;
}

/// Which drivers answer for which numbers: keyed by major and first minor, with the count of minors.
type Drivers = BTreeMap<(u32, u32), (u32, Arc<dyn Device>)>;

static CHARACTER: SpinLock<Drivers> = SpinLock::new(LockClass::Registry, BTreeMap::new());
static BLOCK: SpinLock<Drivers> = SpinLock::new(LockClass::Registry, BTreeMap::new());

/// Registers a driver for `count` character devices from `first` on.
pub fn register_character(first: DeviceNumber, count: u32, device: Arc<dyn Device>) {
    CHARACTER.lock().insert((first.major, first.minor), (count, device));
}

/// Registers a driver for `count` block devices from `first` on.
pub fn register_block(first: DeviceNumber, count: u32, device: Arc<dyn Device>) {
    BLOCK.lock().insert((first.major, first.minor), (count, device));
}

/// The first number of each range of character devices, in their order.
#[must_use]
pub fn character_devices() -> Vec<DeviceNumber> {
    CHARACTER.lock().keys().map(|&(major, minor)| DeviceNumber::new(major, minor)).collect()
}

fn find(drivers: &SpinLock<Drivers>, number: DeviceNumber) -> Result<Arc<dyn Device>> {
    let drivers = drivers.lock();
    let (start, (count, device)) =
        drivers.range(..=(number.major, number.minor)).next_back().ok_or(Errno::ENXIO)?;
    let inside = start.0 == number.major && number.minor - start.1 < *count;
    if inside { Ok(device.clone()) } else { Err(Errno::ENXIO) }
}

/// Opens a character device.
///
/// # Errors
///
/// `ENXIO` when no driver answers for it; else as the driver says.
pub fn open_character(number: DeviceNumber, request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
    find(&CHARACTER, number)?.open(number, request)
}

/// Opens a block device.
///
/// # Errors
///
/// As [`open_character`].
pub fn open_block(number: DeviceNumber, request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
    find(&BLOCK, number)?.open(number, request)
}
