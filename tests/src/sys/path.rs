//! Calls on paths.

use super::{Fd, Sys, close, open, read_to_end, write, zeroed};
use std::ffi::{CStr, CString};

/// A path made at run time.
pub(crate) fn path(text: impl Into<Vec<u8>>) -> CString {
    CString::new(text).expect("a path without NUL")
}

/// Makes (or truncates) a file with this content.
pub(crate) fn create(path: &CStr, content: &[u8]) {
    let fd = open(path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC).expect("create");
    assert_eq!(write(fd, content), Ok(content.len()));
    close(fd).expect("close");
}

/// A fresh empty file, open for reading and writing.
pub(crate) fn create_open(path: &CStr) -> Fd {
    open(path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL).expect("create")
}

/// The content of a file.
pub(crate) fn content(path: &CStr) -> Sys<Vec<u8>> {
    let fd = open(path, libc::O_RDONLY)?;
    let all = read_to_end(fd);
    close(fd).expect("close");
    all
}

/// The content of a text file.
pub(crate) fn text(path: &CStr) -> Sys<String> {
    content(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

pub(crate) fn unlink(path: &CStr) -> Sys<()> {
    syscall!(SYS_unlink, path).map(drop)
}

pub(crate) fn mkdir(path: &CStr, mode: u32) -> Sys<()> {
    syscall!(SYS_mkdir, path, mode).map(drop)
}

pub(crate) fn rmdir(path: &CStr) -> Sys<()> {
    syscall!(SYS_rmdir, path).map(drop)
}

pub(crate) fn rename(from: &CStr, to: &CStr) -> Sys<()> {
    syscall!(SYS_rename, from, to).map(drop)
}

pub(crate) fn link(from: &CStr, to: &CStr) -> Sys<()> {
    syscall!(SYS_link, from, to).map(drop)
}

pub(crate) fn symlink(target: &CStr, at: &CStr) -> Sys<()> {
    syscall!(SYS_symlink, target, at).map(drop)
}

pub(crate) fn readlink(path: &CStr) -> Sys<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let len = syscall!(SYS_readlink, path, buffer.as_mut_ptr(), buffer.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

pub(crate) fn chmod(path: &CStr, mode: u32) -> Sys<()> {
    syscall!(SYS_chmod, path, mode).map(drop)
}

pub(crate) fn chown(path: &CStr, uid: u32, gid: u32) -> Sys<()> {
    syscall!(SYS_chown, path, uid, gid).map(drop)
}

pub(crate) fn stat(path: &CStr) -> Sys<libc::stat> {
    let mut status: libc::stat = zeroed();
    syscall!(SYS_newfstatat, libc::AT_FDCWD, path, &mut status, 0)?;
    Ok(status)
}

pub(crate) fn lstat(path: &CStr) -> Sys<libc::stat> {
    let mut status: libc::stat = zeroed();
    syscall!(SYS_newfstatat, libc::AT_FDCWD, path, &mut status, libc::AT_SYMLINK_NOFOLLOW)?;
    Ok(status)
}

/// Whether two paths name the same inode.
pub(crate) fn same_file(one: &CStr, other: &CStr) -> bool {
    let (one, other) = (stat(one).expect("stat"), stat(other).expect("stat"));
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}
