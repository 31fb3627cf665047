//! Mappings: mmap, munmap, mremap, mprotect, brk, and protection keys that this processor does not have.

use alloc::sync::Arc;

use base::caller::Capabilities;
use base::{Errno, Result};
use fs::file::{AccessMode, FdRights, OpenFile};
use fs::vfs::{FileType, MountFlags};

use crate::declare;
use crate::machine::PageFlags;
use crate::mm::file::FileMapping;
use crate::mm::map::Place;
use crate::mm::placement::Window;
use crate::mm::protect::Stretch;
use crate::mm::remap::{RemapRequest, Target};
use crate::mm::shared::SharedMemory;
use crate::mm::{Backing, MapRequest, PAGE, RegionFlags, is_page_aligned, page_ceiling};
use crate::thread::Thread;

declare! {
    async 9 => mmap(address: u64, length: u64, protection: u64, flags: u64, fd: i32, offset: u64);
    async 10 => mprotect(address: u64, length: u64, protection: u64);
    async 11 => munmap(address: u64, length: u64);
    async 12 => brk(address: u64);
    async 25 => mremap(address: u64, old_length: u64, new_length: u64, flags: u64, new_address: u64);
    async 329 => pkey_mprotect(address: u64, length: u64, protection: u64, key: i32);
    sync 330 => pkey_alloc(flags: u64, rights: u64);
    sync 331 => pkey_free(key: i32);
}

/// Flags of mmap(2), by their names there.
mod map {
    pub(super) const TYPE: u64 = 0xf;
    pub(super) const SHARED: u64 = 1;
    pub(super) const PRIVATE: u64 = 2;
    pub(super) const SHARED_VALIDATE: u64 = 3;
    pub(super) const FIXED: u64 = 0x10;
    pub(super) const ANONYMOUS: u64 = 0x20;
    pub(super) const LOW: u64 = 0x40;
    pub(super) const GROWSDOWN: u64 = 0x100;
    pub(super) const LOCKED: u64 = 0x2000;
    pub(super) const NORESERVE: u64 = 0x4000;
    pub(super) const POPULATE: u64 = 0x8000;
    pub(super) const NONBLOCK: u64 = 0x1_0000;
    pub(super) const HUGETLB: u64 = 0x4_0000;
    pub(super) const FIXED_NOREPLACE: u64 = 0x10_0000;
    /// What `MAP_SHARED_VALIDATE` accepts: the flags that are as old as `MAP_SHARED`.
    pub(super) const VALID: u64 = 0x0407_f9f3 | HUGE_SIZES;
    /// Sizes of huge pages, 2 MiB and 1 GiB, in the top bits.
    const HUGE_SIZES: u64 = 21 << 26 | 30 << 26;
}

fn may_exceed_lock_limit(thread: &Thread) -> bool {
    thread.credentials().capable(Capabilities::IPC_LOCK)
}

/// The bits of a protection word that mean something; mmap(2) ignores the others.
fn access_of(protection: u64) -> PageFlags {
    PageFlags::from_bits_truncate((protection & 7) as u8)
}

async fn mmap(
    thread: &Thread,
    address: u64,
    length: u64,
    protection: u64,
    flags: u64,
    fd: i32,
    offset: u64,
) -> Result<u64> {
    if !is_page_aligned(offset) {
        return Err(Errno::EINVAL);
    }
    let file = if flags & map::ANONYMOUS == 0 { Some(thread.files().get(fd)?) } else { None };
    if flags & map::HUGETLB != 0 {
        return Err(Errno::EINVAL);
    }
    let window = if flags & map::LOW != 0 { Window::Low } else { Window::Any };
    let place = if flags & map::FIXED_NOREPLACE != 0 {
        Place::FixedNoReplace
    } else if flags & map::FIXED != 0 {
        Place::Fixed
    } else {
        Place::Hint(window)
    };
    let mut request = MapRequest {
        address,
        place,
        offset: offset / PAGE,
        populate: flags & (map::POPULATE | map::NONBLOCK) == map::POPULATE,
        may_exceed_lock_limit: may_exceed_lock_limit(thread),
        may_map_low: thread.credentials().capable(Capabilities::SYS_RAWIO),
        ..MapRequest::anonymous(length, access_of(protection))
    };
    request.flags.set(RegionFlags::GROWS_DOWN, flags & map::GROWSDOWN != 0);
    request.flags.set(RegionFlags::LOCKED, flags & map::LOCKED != 0);
    request.flags.set(RegionFlags::NO_RESERVE, flags & map::NORESERVE != 0);
    request.verdict = match file {
        Some(file) => back_with_file(thread, &mut request, &file, fd, flags),
        None => back_with_nothing(&mut request, flags),
    };
    thread.space().map(request).await
}

/// The checks of an anonymous mapping, and its backing.
fn back_with_nothing(request: &mut MapRequest, flags: u64) -> Result<()> {
    match flags & map::TYPE {
        map::SHARED if flags & map::GROWSDOWN != 0 => Err(Errno::EINVAL),
        map::SHARED => {
            let pages = page_ceiling(request.length).unwrap_or(0) / PAGE;
            request.flags.insert(RegionFlags::SHARED);
            request.backing = Backing::Shared(SharedMemory::new(pages));
            request.offset = 0;
            Ok(())
        }
        map::PRIVATE => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// The checks of a file mapping, and its backing.
fn back_with_file(
    thread: &Thread,
    request: &mut MapRequest,
    file: &Arc<OpenFile>,
    fd: i32,
    flags: u64,
) -> Result<()> {
    // No byte of a file has a number that is negative as an `off_t`.
    let end = page_ceiling(request.length).and_then(|length| length.checked_add(request.offset * PAGE));
    if end.is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(Errno::EOVERFLOW);
    }
    let kind = flags & map::TYPE;
    let shared = kind == map::SHARED || kind == map::SHARED_VALIDATE;
    if !shared && kind != map::PRIVATE {
        return Err(Errno::EINVAL);
    }
    if kind == map::SHARED_VALIDATE && flags & !map::VALID != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let writable = file.access().contains(AccessMode::WRITE);
    if shared && request.access.contains(PageFlags::WRITE) && !writable {
        return Err(Errno::EACCES);
    }
    if !file.access().contains(AccessMode::READ) {
        return Err(Errno::EACCES);
    }
    let mut rights = FdRights::READ;
    rights.set(FdRights::WRITE, shared && request.access.contains(PageFlags::WRITE));
    thread.files().get_required(fd, rights)?;
    if file.path().mount.flags().contains(MountFlags::NOEXEC) {
        if request.access.contains(PageFlags::EXECUTE) {
            return Err(Errno::EPERM);
        }
        request.allowed.remove(PageFlags::EXECUTE);
    }
    if shared {
        request.flags.insert(RegionFlags::SHARED);
        let may_write = writable && thread.files().get_required(fd, FdRights::WRITE).is_ok();
        request.allowed.set(PageFlags::WRITE, may_write);
    }
    if flags & map::GROWSDOWN != 0 {
        let mappable = file.ops().mappable().is_some();
        return Err(if mappable { Errno::EINVAL } else { Errno::ENODEV });
    }
    if is_zero_device(file) {
        request.flags.remove(RegionFlags::SHARED);
        return back_with_nothing(request, if shared { map::SHARED } else { map::PRIVATE });
    }
    let shared_write = shared && request.allowed.contains(PageFlags::WRITE);
    request.backing = Backing::File(FileMapping::of_file(&thread.space(), file, shared_write)?);
    Ok(())
}

/// `/dev/zero` maps as anonymous memory does.
fn is_zero_device(file: &OpenFile) -> bool {
    let metadata = file.inode().metadata();
    metadata.kind == FileType::CharDevice && (metadata.rdev.major, metadata.rdev.minor) == (1, 5)
}

async fn munmap(thread: &Thread, address: u64, length: u64) -> Result<u64> {
    thread.space().unmap(address, length).await.map(|()| 0)
}

async fn brk(thread: &Thread, address: u64) -> Result<u64> {
    Ok(thread.space().brk(address).await)
}

async fn mprotect(thread: &Thread, address: u64, length: u64, protection: u64) -> Result<u64> {
    const READ_WRITE_EXECUTE_SEM: u64 = 0xf;
    const GROWSDOWN: u64 = 0x0100_0000;
    const GROWSUP: u64 = 0x0200_0000;
    let stretch = match protection & (GROWSDOWN | GROWSUP) {
        0 => Stretch::None,
        GROWSDOWN => Stretch::Down,
        GROWSUP => Stretch::Up,
        _ => return Err(Errno::EINVAL),
    };
    if !is_page_aligned(address) {
        return Err(Errno::EINVAL);
    }
    if length == 0 {
        return Ok(0);
    }
    let end = page_ceiling(length).and_then(|length| address.checked_add(length));
    if end.is_none_or(|end| end <= address) {
        return Err(Errno::ENOMEM);
    }
    if protection & !(READ_WRITE_EXECUTE_SEM | GROWSDOWN | GROWSUP) != 0 {
        return Err(Errno::EINVAL);
    }
    thread.space().protect(address, length, access_of(protection), stretch).await.map(|()| 0)
}

async fn mremap(
    thread: &Thread,
    address: u64,
    old_length: u64,
    new_length: u64,
    flags: u64,
    new_address: u64,
) -> Result<u64> {
    const MAYMOVE: u64 = 1;
    const FIXED: u64 = 2;
    const DONTUNMAP: u64 = 4;
    let page_equal = page_ceiling(old_length) == page_ceiling(new_length);
    let target = match flags {
        0 => Target::InPlace,
        MAYMOVE => Target::Anywhere,
        f if f == MAYMOVE | FIXED => Target::At(new_address),
        f if f == MAYMOVE | DONTUNMAP && page_equal => Target::Beside(new_address),
        f if f == MAYMOVE | FIXED | DONTUNMAP && page_equal => Target::BesideAt(new_address),
        _ => return Err(Errno::EINVAL),
    };
    let may_exceed_lock_limit = may_exceed_lock_limit(thread);
    thread
        .space()
        .remap(RemapRequest { address, old_length, new_length, target, may_exceed_lock_limit })
        .await
}

async fn pkey_mprotect(thread: &Thread, address: u64, length: u64, protection: u64, key: i32) -> Result<u64> {
    if key == -1 { mprotect(thread, address, length, protection).await } else { Err(Errno::EINVAL) }
}

/// Answers as Linux on a processor without protection keys. Source: `pkey_alloc(2)`.
fn pkey_alloc(_thread: &Thread, flags: u64, rights: u64) -> Result<u64> {
    const RIGHTS: u64 = 3;
    if flags != 0 || rights & !RIGHTS != 0 { Err(Errno::EINVAL) } else { Err(Errno::ENOSPC) }
}

fn pkey_free(_thread: &Thread, _key: i32) -> Result<u64> {
    Err(Errno::EINVAL)
}
