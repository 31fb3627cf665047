//! What files are: stat, access, and changing their attributes.

use base::caller::Credentials;
use base::memory::UserMemory;
use base::{Errno, Result};
use fs::file::FdRights;
use fs::vfs::{self, FsStatistics, Metadata, Path, Permission, SetTime, Timestamp, WalkFlags};

use super::paths::{CWD, Named};
use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::thread::Thread;
use crate::user::{copy_out, read_words};

declare! {
    async 4 => stat(path: Pointer, buffer: Pointer);
    sync 5 => fstat(fd: Fd, buffer: Pointer);
    async 6 => lstat(path: Pointer, buffer: Pointer);
    async 21 => access(path: Pointer, mode: u32);
    async 74 => fsync(fd: Fd);
    async 75 => fdatasync(fd: Fd);
    async 76 => truncate(path: Pointer, length: i64);
    async 77 => ftruncate(fd: Fd, length: i64);
    async 90 => chmod(path: Pointer, mode: u32);
    sync 91 => fchmod(fd: Fd, mode: u32);
    async 92 => chown(path: Pointer, uid: u32, gid: u32);
    sync 93 => fchown(fd: Fd, uid: u32, gid: u32);
    async 94 => lchown(path: Pointer, uid: u32, gid: u32);
    async 132 => utime(path: Pointer, times: Pointer);
    async 137 => statfs(path: Pointer, buffer: Pointer);
    async 138 => fstatfs(fd: Fd, buffer: Pointer);
    async 162 => sync();
    async 235 => utimes(path: Pointer, times: Pointer);
    async 260 => fchownat(dir: Fd, path: Pointer, uid: u32, gid: u32, flags: u32);
    async 261 => futimesat(dir: Fd, path: Pointer, times: Pointer);
    async 262 => newfstatat(dir: Fd, path: Pointer, buffer: Pointer, flags: u32) after try_fstatat;
    async 268 => fchmodat(dir: Fd, path: Pointer, mode: u32);
    async 269 => faccessat(dir: Fd, path: Pointer, mode: u32);
    async 280 => utimensat(dir: Fd, path: Pointer, times: Pointer, flags: u32);
    async 285 => fallocate(fd: Fd, mode: u32, offset: i64, length: i64);
    async 306 => syncfs(fd: Fd);
    async 332 => statx(dir: Fd, path: Pointer, flags: u32, mask: u32, buffer: Pointer);
    async 439 => faccessat2(dir: Fd, path: Pointer, mode: u32, flags: u32);
}

const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EACCESS: u32 = 0x200;
const AT_NO_AUTOMOUNT: u32 = 0x800;
const AT_EMPTY_PATH: u32 = 0x1000;
const AT_STATX_SYNC_TYPE: u32 = 0x6000;
const STATX_RESERVED: u32 = 0x8000_0000;
const STATX_BASIC: u32 = 0x7ff;
const STATX_BTIME: u32 = 0x800;
const STATX_MNT_ID: u32 = 0x1000;
const UTIME_NOW: u64 = 0x3fff_ffff;
const UTIME_OMIT: u64 = 0x3fff_fffe;
const NO_CHANGE: u32 = u32::MAX;

/// The walk that a call's `AT_*` flags ask for.
fn walk(flags: u32) -> WalkFlags {
    let mut walk = WalkFlags::FOLLOW;
    walk.set(WalkFlags::FOLLOW, flags & AT_SYMLINK_NOFOLLOW == 0);
    walk.set(WalkFlags::EMPTY, flags & AT_EMPTY_PATH != 0);
    walk
}

async fn place(thread: &Thread, dir: Fd, path: Pointer, flags: u32) -> Result<Path> {
    Named::read(thread, dir, path).await?.resolve(walk(flags))
}

async fn stat(thread: &Thread, path: Pointer, buffer: Pointer) -> Result<u64> {
    newfstatat(thread, CWD, path, buffer, 0).await
}

async fn lstat(thread: &Thread, path: Pointer, buffer: Pointer) -> Result<u64> {
    newfstatat(thread, CWD, path, buffer, AT_SYMLINK_NOFOLLOW).await
}

fn fstat(thread: &Thread, fd: Fd, buffer: Pointer) -> Result<u64> {
    let metadata = thread.files().get_any(fd.0)?.inode().metadata();
    thread.put(buffer, &encode_stat(&metadata)).map(|()| 0)
}

/// What the C library makes of `fstat`: an empty path.
fn try_fstatat(thread: &Thread, dir: Fd, path: Pointer, buffer: Pointer, flags: u32) -> Option<Result<u64>> {
    let mut first = [1];
    let is_fstat = flags == AT_EMPTY_PATH
        && dir.0 >= 0
        && thread.space().copy_in_nofault(path.0, &mut first) == 1
        && first == [0];
    is_fstat.then(|| fstat(thread, dir, buffer))
}

async fn newfstatat(thread: &Thread, dir: Fd, path: Pointer, buffer: Pointer, flags: u32) -> Result<u64> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let metadata = place(thread, dir, path, flags).await?.inode().metadata();
    copy_out(&*thread.space(), buffer.0, &encode_stat(&metadata)).await.map(|()| 0)
}

/// `struct stat` of x86_64.
fn encode_stat(metadata: &Metadata) -> [u8; 144] {
    let mut out = [0; 144];
    let mut put = |at: usize, value: u64| out[at..at + 8].copy_from_slice(&value.to_le_bytes());
    put(0, metadata.device.encode());
    put(8, metadata.ino);
    put(16, metadata.links.into());
    put(24, u64::from(metadata.st_mode()) | u64::from(metadata.uid) << 32);
    put(32, metadata.gid.into());
    put(40, metadata.rdev.encode());
    put(48, metadata.size);
    put(56, metadata.block_size.into());
    put(64, metadata.blocks);
    for (at, time) in [(72, metadata.accessed), (88, metadata.modified), (104, metadata.changed)] {
        put(at, time.seconds.cast_unsigned());
        put(at + 8, time.nanoseconds.into());
    }
    out
}

async fn statx(
    thread: &Thread,
    dir: Fd,
    path: Pointer,
    flags: u32,
    mask: u32,
    buffer: Pointer,
) -> Result<u64> {
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if flags & !known != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE || mask & STATX_RESERVED != 0 {
        return Err(Errno::EINVAL);
    }
    let place = place(thread, dir, path, flags).await?;
    let bytes = encode_statx(&place.inode().metadata(), place.mount.id());
    copy_out(&*thread.space(), buffer.0, &bytes).await.map(|()| 0)
}

/// `struct statx`.
fn encode_statx(metadata: &Metadata, mount: u64) -> [u8; 256] {
    let mut out = [0; 256];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    let born = if metadata.born.is_some() { STATX_BTIME } else { 0 };
    put(0, &(STATX_BASIC | STATX_MNT_ID | born).to_le_bytes());
    put(4, &metadata.block_size.to_le_bytes());
    put(16, &metadata.links.to_le_bytes());
    put(20, &metadata.uid.to_le_bytes());
    put(24, &metadata.gid.to_le_bytes());
    put(28, &metadata.st_mode().to_le_bytes()[..2]);
    put(32, &metadata.ino.to_le_bytes());
    put(40, &metadata.size.to_le_bytes());
    put(48, &metadata.blocks.to_le_bytes());
    let times = [
        (64, Some(metadata.accessed)),
        (80, metadata.born),
        (96, Some(metadata.changed)),
        (112, Some(metadata.modified)),
    ];
    for (at, time) in times {
        let time = time.unwrap_or_default();
        put(at, &time.seconds.to_le_bytes());
        put(at + 8, &time.nanoseconds.to_le_bytes());
    }
    put(128, &metadata.rdev.major.to_le_bytes());
    put(132, &metadata.rdev.minor.to_le_bytes());
    put(136, &metadata.device.major.to_le_bytes());
    put(140, &metadata.device.minor.to_le_bytes());
    put(144, &mount.to_le_bytes());
    out
}

async fn access(thread: &Thread, path: Pointer, mode: u32) -> Result<u64> {
    faccessat2(thread, CWD, path, mode, 0).await
}

async fn faccessat(thread: &Thread, dir: Fd, path: Pointer, mode: u32) -> Result<u64> {
    faccessat2(thread, dir, path, mode, 0).await
}

async fn faccessat2(thread: &Thread, dir: Fd, path: Pointer, mode: u32, flags: u32) -> Result<u64> {
    if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut named = Named::read(thread, dir, path).await?;
    let effective = flags & AT_EACCESS != 0;
    if !effective {
        // The real ids decide about the way to the file, too.
        named.caller = alloc::sync::Arc::new(base::caller::Caller {
            credentials: alloc::sync::Arc::new(with_real_ids(&named.caller.credentials)),
            ..base::caller::Caller::clone(&named.caller)
        });
    }
    let place = named.resolve(walk(flags))?;
    let mut wanted = Permission::empty();
    wanted.set(Permission::READ, mode & 4 != 0);
    wanted.set(Permission::WRITE, mode & 2 != 0);
    wanted.set(Permission::EXECUTE, mode & 1 != 0);
    vfs::access(&named.caller, &place, wanted).map(|()| 0)
}

fn with_real_ids(credentials: &Credentials) -> Credentials {
    let mut real = credentials.clone();
    real.fsuid = credentials.uid;
    real.fsgid = credentials.gid;
    // As access(2): root keeps what it is permitted, anybody else has no capabilities.
    real.effective =
        if credentials.uid == 0 { credentials.permitted } else { base::caller::Capabilities::empty() };
    real
}

async fn chmod(thread: &Thread, path: Pointer, mode: u32) -> Result<u64> {
    fchmodat(thread, CWD, path, mode).await
}

async fn fchmodat(thread: &Thread, dir: Fd, path: Pointer, mode: u32) -> Result<u64> {
    let place = place(thread, dir, path, 0).await?;
    vfs::chmod(&thread.caller(), &place, mode).map(|()| 0)
}

fn fchmod(thread: &Thread, fd: Fd, mode: u32) -> Result<u64> {
    let file = thread.files().get_required(fd.0, FdRights::WRITE)?;
    vfs::chmod(&thread.caller(), file.path(), mode).map(|()| 0)
}

async fn chown(thread: &Thread, path: Pointer, uid: u32, gid: u32) -> Result<u64> {
    fchownat(thread, CWD, path, uid, gid, 0).await
}

async fn lchown(thread: &Thread, path: Pointer, uid: u32, gid: u32) -> Result<u64> {
    fchownat(thread, CWD, path, uid, gid, AT_SYMLINK_NOFOLLOW).await
}

async fn fchownat(thread: &Thread, dir: Fd, path: Pointer, uid: u32, gid: u32, flags: u32) -> Result<u64> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let place = place(thread, dir, path, flags).await?;
    change_owner(thread, &place, uid, gid)
}

fn fchown(thread: &Thread, fd: Fd, uid: u32, gid: u32) -> Result<u64> {
    let file = thread.files().get_required(fd.0, FdRights::WRITE)?;
    change_owner(thread, file.path(), uid, gid)
}

fn change_owner(thread: &Thread, place: &Path, uid: u32, gid: u32) -> Result<u64> {
    let id = |id: u32| (id != NO_CHANGE).then_some(id);
    vfs::chown(&thread.caller(), place, id(uid), id(gid)).map(|()| 0)
}

async fn utimensat(thread: &Thread, dir: Fd, path: Pointer, times: Pointer, flags: u32) -> Result<u64> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let set = if times.is_null() {
        (SetTime::Now, SetTime::Now)
    } else {
        let [a, a_nanos, m, m_nanos] = read_words::<4>(&*thread.space(), times.0).await?;
        (set_time(a, a_nanos)?, set_time(m, m_nanos)?)
    };
    if set == (SetTime::Keep, SetTime::Keep) {
        return Ok(0);
    }
    // Without a path it is futimens(3).
    let place = match path.is_null() {
        true if dir == CWD => return Err(Errno::EFAULT),
        true => thread.files().get(dir.0)?.path().clone(),
        false => place(thread, dir, path, flags).await?,
    };
    vfs::set_times(&thread.caller(), &place, set.0, set.1).map(|()| 0)
}

fn set_time(seconds: u64, nanoseconds: u64) -> Result<SetTime> {
    match nanoseconds {
        UTIME_NOW => Ok(SetTime::Now),
        UTIME_OMIT => Ok(SetTime::Keep),
        0..1_000_000_000 => Ok(SetTime::To(Timestamp {
            seconds: seconds.cast_signed(),
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        })),
        _ => Err(Errno::EINVAL),
    }
}

async fn utime(thread: &Thread, path: Pointer, times: Pointer) -> Result<u64> {
    let set = if times.is_null() {
        (SetTime::Now, SetTime::Now)
    } else {
        let [accessed, modified] = read_words::<2>(&*thread.space(), times.0).await?;
        (set_time(accessed, 0)?, set_time(modified, 0)?)
    };
    let place = place(thread, CWD, path, 0).await?;
    vfs::set_times(&thread.caller(), &place, set.0, set.1).map(|()| 0)
}

async fn utimes(thread: &Thread, path: Pointer, times: Pointer) -> Result<u64> {
    futimesat(thread, CWD, path, times).await
}

async fn futimesat(thread: &Thread, dir: Fd, path: Pointer, times: Pointer) -> Result<u64> {
    let set = if times.is_null() {
        (SetTime::Now, SetTime::Now)
    } else {
        let [a, a_micros, m, m_micros] = read_words::<4>(&*thread.space(), times.0).await?;
        if a_micros >= 1_000_000 || m_micros >= 1_000_000 {
            return Err(Errno::EINVAL);
        }
        (set_time(a, a_micros * 1000)?, set_time(m, m_micros * 1000)?)
    };
    let place = place(thread, dir, path, 0).await?;
    vfs::set_times(&thread.caller(), &place, set.0, set.1).map(|()| 0)
}

async fn truncate(thread: &Thread, path: Pointer, length: i64) -> Result<u64> {
    if length < 0 {
        return Err(Errno::EINVAL);
    }
    let place = place(thread, CWD, path, 0).await?;
    vfs::truncate(&thread.caller(), &place, length).await.map(|()| 0)
}

async fn ftruncate(thread: &Thread, fd: Fd, length: i64) -> Result<u64> {
    if length < 0 {
        return Err(Errno::EINVAL);
    }
    let file = thread.files().get(fd.0)?;
    file.truncate(&thread.caller(), length).await.map(|()| 0)
}

async fn fallocate(thread: &Thread, fd: Fd, mode: u32, offset: i64, length: i64) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    file.allocate(&thread.caller(), mode, offset, length).await.map(|()| 0)
}

async fn fsync(thread: &Thread, fd: Fd) -> Result<u64> {
    thread.files().get(fd.0)?.sync().await.map(|()| 0)
}

async fn fdatasync(thread: &Thread, fd: Fd) -> Result<u64> {
    fsync(thread, fd).await
}

async fn syncfs(thread: &Thread, fd: Fd) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    file.path().mount.file_system().sync().await.map(|()| 0)
}

async fn sync(thread: &Thread) -> Result<u64> {
    for mount in thread.fs_context().namespace().list() {
        // sync(2) has no way to tell an error.
        let _ = mount.file_system().sync().await;
    }
    Ok(0)
}

async fn statfs(thread: &Thread, path: Pointer, buffer: Pointer) -> Result<u64> {
    let place = place(thread, CWD, path, 0).await?;
    put_statistics(thread, &place, buffer).await
}

async fn fstatfs(thread: &Thread, fd: Fd, buffer: Pointer) -> Result<u64> {
    let file = thread.files().get_any(fd.0)?;
    put_statistics(thread, file.path(), buffer).await
}

/// `struct statfs` of x86_64: fifteen words.
async fn put_statistics(thread: &Thread, place: &Path, buffer: Pointer) -> Result<u64> {
    const ST_VALID: u64 = 0x20;
    let FsStatistics { magic, block_size, blocks, blocks_free, blocks_available, files, files_free, id } =
        place.mount.file_system().statistics();
    let flags = u64::from(place.mount.flags().bits()) | ST_VALID;
    let words = [
        magic,
        block_size,
        blocks,
        blocks_free,
        blocks_available,
        files,
        files_free,
        id,
        255,
        block_size,
        flags,
        0,
        0,
        0,
        0,
    ];
    crate::user::write_words(&*thread.space(), buffer.0, &words).await.map(|()| 0)
}
