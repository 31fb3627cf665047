//! The PVH start-of-day structure: memory map, initial ramdisk, command line, ACPI root.
//!
//! It may lie in memory that is handed out later, so all of it is copied first.
//! Source: Xen's `public/arch-x86/hvm/start_info.h`, versions 0 and 1.

use core::ops::Range;

use base::sync::Once;

use crate::arch::layout::physical_to_virtual;

const MAGIC: u32 = 0x336e_c578;
const MAX_REGIONS: usize = 64;
const MAX_COMMAND_LINE: usize = 4096;
/// What the boot tables map.
const REACHABLE: u64 = 4 << 30;

/// A range of physical memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryRegion {
    /// First physical address.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// True for RAM that the kernel may use; false for whatever the firmware keeps.
    pub usable: bool,
}

/// What the loader said.
#[derive(Debug)]
pub struct BootInfo {
    regions: [MemoryRegion; MAX_REGIONS],
    region_count: usize,
    command_line: [u8; MAX_COMMAND_LINE],
    command_line_length: usize,
    initrd: Option<Range<u64>>,
    rsdp: Option<u64>,
}

impl BootInfo {
    /// The memory map, as the firmware gave it: not sorted, may overlap.
    #[must_use]
    pub fn memory_map(&self) -> &[MemoryRegion] {
        &self.regions[..self.region_count]
    }

    /// Physical addresses of the initial ramdisk. Its frames are not free until it has been unpacked.
    #[must_use]
    pub fn initrd(&self) -> Option<Range<u64>> {
        self.initrd.clone()
    }

    /// Physical address of the ACPI root pointer.
    #[must_use]
    pub fn rsdp(&self) -> Option<u64> {
        self.rsdp
    }

    /// The command line; what is not UTF-8 ends it.
    #[must_use]
    pub fn command_line(&self) -> &str {
        let bytes = &self.command_line[..self.command_line_length];
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
        }
    }
}

static BOOT_INFO: Once<BootInfo> = Once::new();

#[repr(C)]
#[derive(Clone, Copy)]
struct StartInfo {
    magic: u32,
    version: u32,
    _flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    _reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Module {
    address: u64,
    size: u64,
    _command_line: u64,
    _reserved: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct MapEntry {
    address: u64,
    size: u64,
    kind: u32,
    _reserved: u32,
}

/// Copies the structure at physical address `start_info`.
///
/// # Errors
///
/// A sentence when it is not a start_info of version 1 or later, which has a memory map.
///
/// # Safety
///
/// The address came from the loader, the first 4 GiB are mapped in the physmap, and the memory
/// it points to has not been reused.
pub unsafe fn read(start_info: u64) -> Result<&'static BootInfo, &'static str> {
    // SAFETY: the caller's promise.
    let info: StartInfo = unsafe { fetch(start_info) }.ok_or("start_info is out of reach")?;
    if info.magic != MAGIC {
        return Err("the loader passed no start_info");
    }
    if info.version < 1 || info.memory_map_entries == 0 {
        return Err("start_info has no memory map");
    }
    let mut boot = BootInfo {
        regions: [MemoryRegion::default(); MAX_REGIONS],
        region_count: 0,
        command_line: [0; MAX_COMMAND_LINE],
        command_line_length: 0,
        initrd: None,
        rsdp: (info.rsdp != 0).then_some(info.rsdp),
    };
    for index in 0..u64::from(info.memory_map_entries).min(MAX_REGIONS as u64) {
        // SAFETY: the caller's promise; the entry lies within the map.
        let Some(entry) = (unsafe { fetch::<MapEntry>(info.memory_map + index * 24) }) else { break };
        let region = MemoryRegion { start: entry.address, length: entry.size, usable: entry.kind == 1 };
        boot.regions[boot.region_count] = region;
        boot.region_count += 1;
    }
    if info.module_count > 0 {
        // SAFETY: the caller's promise; there is at least one module.
        let module: Module = unsafe { fetch(info.modules) }.ok_or("the module list is out of reach")?;
        boot.initrd = module.address.checked_add(module.size).map(|end| module.address..end);
    }
    while info.command_line != 0 && boot.command_line_length < MAX_COMMAND_LINE {
        // SAFETY: the caller's promise; the byte before was not the terminator.
        let byte: Option<u8> = unsafe { fetch(info.command_line + boot.command_line_length as u64) };
        let Some(byte @ 1..) = byte else { break };
        boot.command_line[boot.command_line_length] = byte;
        boot.command_line_length += 1;
    }
    Ok(BOOT_INFO.call_once(|| boot))
}

/// A copy of the structure at a physical address; `None` where the boot tables don't reach.
///
/// # Safety
///
/// As [`read`]; `T` has no invalid bit patterns.
unsafe fn fetch<T: Copy>(physical: u64) -> Option<T> {
    let end = physical.checked_add(size_of::<T>() as u64)?;
    if end > REACHABLE {
        return None;
    }
    let pointer = physical_to_virtual(physical) as *const T;
    // SAFETY: mapped, since it is below 4 GiB; the caller promises that a `T` may be made of any bytes.
    Some(unsafe { pointer.read_unaligned() })
}
