//! The devices of `mem(4)`, `null(4)` and `random(4)`.

use alloc::sync::Arc;
use core::any::Any;

use base::memory::UserBuffer;
use base::{Errno, Result, machine};

use crate::file::{FileOps, Io, OpenFile, Way, Whence};
use crate::vfs::device::{Device, register_character};
use crate::vfs::{DeviceNumber, OpenRequest};

/// Major number of memory devices.
pub(super) const MAJOR: u32 = 1;
/// Name and minor number of each.
pub(super) const MINORS: [(&[u8], u32); 5] =
    [(b"null", 3), (b"zero", 5), (b"full", 7), (b"random", 8), (b"urandom", 9)];

/// Bytes that one step moves.
const STEP: usize = 512;

pub(super) fn register() {
    register_character(DeviceNumber::new(MAJOR, 0), 256, Arc::new(MemoryDevices));
}

struct MemoryDevices;

impl Device for MemoryDevices {
    fn open(&self, number: DeviceNumber, _request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        let kind = match number.minor {
            3 => Kind::Null,
            5 => Kind::Zero,
            7 => Kind::Full,
            8 | 9 => Kind::Random,
            _ => return Err(Errno::ENXIO),
        };
        Ok(Arc::new(MemoryFile(kind)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Zero,
    Full,
    Random,
}

struct MemoryFile(Kind);

impl FileOps for MemoryFile {
    fn read(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        match self.0 {
            Kind::Null => Ok(0),
            Kind::Zero | Kind::Full => buffer.put_zeros(buffer.remaining().min(16 * STEP)),
            Kind::Random => {
                let mut bytes = [0; STEP];
                let wanted = buffer.remaining().min(STEP);
                fill_random(&mut bytes[..wanted]);
                buffer.put(&bytes[..wanted])
            }
        }
    }

    fn write(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        match self.0 {
            Kind::Full => Err(Errno::ENOSPC),
            // What is written to the random devices is mixed in nowhere: the machine has entropy enough.
            Kind::Null | Kind::Zero | Kind::Random => Ok(buffer.skip(buffer.remaining())),
        }
    }

    fn writes_whole(&self) -> bool {
        true
    }

    fn positioned(&self) -> bool {
        true
    }

    fn splices(&self, way: Way) -> bool {
        match self.0 {
            Kind::Null => way == Way::Write,
            Kind::Full => way == Way::Read,
            Kind::Zero | Kind::Random => true,
        }
    }

    fn seek(&self, _file: &OpenFile, _current: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        // The position of these devices means nothing and stays 0.
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Fills `bytes` with random ones: the devices, and getrandom(2).
pub fn fill_random(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        let word = machine().entropy().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}
