//! Extended attributes, which no file system here has: what a Linux file system without them answers.

use base::{Errno, Result};
use fs::vfs::{Path, WalkFlags};

use super::paths::{CWD, Named};
use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::thread::Thread;
use crate::user::{copy_out, read_string};

declare! {
    async 188 => setxattr(path: Pointer, name: Pointer, value: Pointer, size: usize, flags: u32);
    async 189 => lsetxattr(path: Pointer, name: Pointer, value: Pointer, size: usize, flags: u32);
    async 190 => fsetxattr(fd: Fd, name: Pointer, value: Pointer, size: usize, flags: u32);
    async 191 => getxattr(path: Pointer, name: Pointer, value: Pointer, size: usize);
    async 192 => lgetxattr(path: Pointer, name: Pointer, value: Pointer, size: usize);
    async 193 => fgetxattr(fd: Fd, name: Pointer, value: Pointer, size: usize);
    async 194 => listxattr(path: Pointer, list: Pointer, size: usize);
    async 195 => llistxattr(path: Pointer, list: Pointer, size: usize);
    sync 196 => flistxattr(fd: Fd, list: Pointer, size: usize);
    async 197 => removexattr(path: Pointer, name: Pointer);
    async 198 => lremovexattr(path: Pointer, name: Pointer);
    async 199 => fremovexattr(fd: Fd, name: Pointer);
}

/// Longest name, with its end.
const NAME_MAX: usize = 256;
/// Largest value.
const VALUE_MAX: usize = 65_536;
/// `XATTR_CREATE` and `XATTR_REPLACE`.
const SET_FLAGS: u32 = 3;

/// The name of an attribute.
///
/// # Errors
///
/// `ERANGE` when it is empty or too long; `EFAULT`.
async fn name_of(thread: &Thread, name: Pointer) -> Result<alloc::vec::Vec<u8>> {
    let name = read_string(&*thread.space(), name.0, NAME_MAX, Errno::ERANGE).await?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

async fn place(thread: &Thread, path: Pointer, walk: WalkFlags) -> Result<Path> {
    Named::read(thread, CWD, path).await?.resolve(walk)
}

/// Checks a new attribute as far as Linux does before it asks the file system.
async fn check_new(thread: &Thread, name: Pointer, value: Pointer, size: usize, flags: u32) -> Result<()> {
    if flags & !SET_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    name_of(thread, name).await?;
    if size > VALUE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut bytes = alloc::vec![0; size];
    crate::user::copy_in(&*thread.space(), value.0, &mut bytes).await
}

/// What a file system without attributes says to a change.
fn refuse(place: &Path) -> Result<u64> {
    place.mount.require_writable()?;
    Err(Errno::EOPNOTSUPP)
}

async fn setxattr(
    thread: &Thread,
    path: Pointer,
    name: Pointer,
    value: Pointer,
    size: usize,
    flags: u32,
) -> Result<u64> {
    check_new(thread, name, value, size, flags).await?;
    refuse(&place(thread, path, WalkFlags::FOLLOW).await?)
}

async fn lsetxattr(
    thread: &Thread,
    path: Pointer,
    name: Pointer,
    value: Pointer,
    size: usize,
    flags: u32,
) -> Result<u64> {
    check_new(thread, name, value, size, flags).await?;
    refuse(&place(thread, path, WalkFlags::empty()).await?)
}

async fn fsetxattr(
    thread: &Thread,
    fd: Fd,
    name: Pointer,
    value: Pointer,
    size: usize,
    flags: u32,
) -> Result<u64> {
    check_new(thread, name, value, size, flags).await?;
    refuse(thread.files().get(fd.0)?.path())
}

async fn get(thread: &Thread, place: &Path, name: Pointer, value: Pointer, size: usize) -> Result<u64> {
    let name = name_of(thread, name).await?;
    let found = place.inode().get_xattr(&name)?;
    if size > 0 {
        if found.len() > size {
            return Err(Errno::ERANGE);
        }
        copy_out(&*thread.space(), value.0, &found).await?;
    }
    Ok(found.len() as u64)
}

async fn getxattr(thread: &Thread, path: Pointer, name: Pointer, value: Pointer, size: usize) -> Result<u64> {
    let place = place(thread, path, WalkFlags::FOLLOW).await?;
    get(thread, &place, name, value, size).await
}

async fn lgetxattr(
    thread: &Thread,
    path: Pointer,
    name: Pointer,
    value: Pointer,
    size: usize,
) -> Result<u64> {
    let place = place(thread, path, WalkFlags::empty()).await?;
    get(thread, &place, name, value, size).await
}

async fn fgetxattr(thread: &Thread, fd: Fd, name: Pointer, value: Pointer, size: usize) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    get(thread, file.path(), name, value, size).await
}

/// There are none to list.
async fn listxattr(thread: &Thread, path: Pointer, _list: Pointer, _size: usize) -> Result<u64> {
    place(thread, path, WalkFlags::FOLLOW).await.map(|_| 0)
}

async fn llistxattr(thread: &Thread, path: Pointer, _list: Pointer, _size: usize) -> Result<u64> {
    place(thread, path, WalkFlags::empty()).await.map(|_| 0)
}

fn flistxattr(thread: &Thread, fd: Fd, _list: Pointer, _size: usize) -> Result<u64> {
    thread.files().get(fd.0).map(|_| 0)
}

async fn removexattr(thread: &Thread, path: Pointer, name: Pointer) -> Result<u64> {
    name_of(thread, name).await?;
    refuse(&place(thread, path, WalkFlags::FOLLOW).await?)
}

async fn lremovexattr(thread: &Thread, path: Pointer, name: Pointer) -> Result<u64> {
    name_of(thread, name).await?;
    refuse(&place(thread, path, WalkFlags::empty()).await?)
}

async fn fremovexattr(thread: &Thread, fd: Fd, name: Pointer) -> Result<u64> {
    name_of(thread, name).await?;
    refuse(thread.files().get(fd.0)?.path())
}
