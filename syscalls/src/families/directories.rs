//! Listing directories.

use alloc::vec::Vec;

use base::{Errno, Result};
use fs::file::FdRights;
use fs::vfs::{DirSink, FileType};

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::thread::Thread;
use crate::user::copy_out;

declare! {
    async 78 => getdents(fd: Fd, buffer: Pointer, size: u32);
    async 217 => getdents64(fd: Fd, buffer: Pointer, size: u32);
}

/// Bytes that one call gathers at most; a larger buffer is filled by several calls.
const CHUNK: usize = 32_768;

/// The two layouts of a directory entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `linux_dirent`: the type is the last byte.
    Old,
    /// `linux_dirent64`: the type stands before the name.
    New,
}

/// Gathers entries in the caller's layout.
struct Gather {
    layout: Layout,
    limit: usize,
    bytes: Vec<u8>,
    /// An entry came that did not fit.
    full: bool,
}

impl DirSink for Gather {
    fn entry(&mut self, name: &[u8], ino: u64, kind: FileType, next: u64) -> bool {
        let header = if self.layout == Layout::New { 19 } else { 18 };
        let tail = if self.layout == Layout::New { 1 } else { 2 };
        let length = (header + name.len() + tail).next_multiple_of(8);
        if self.bytes.len() + length > self.limit {
            self.full = true;
            return false;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&ino.to_le_bytes());
        self.bytes.extend_from_slice(&next.to_le_bytes());
        self.bytes.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        if self.layout == Layout::New {
            self.bytes.push(kind.dirent_type());
        }
        self.bytes.extend_from_slice(name);
        self.bytes.resize(start + length, 0);
        if self.layout == Layout::Old
            && let Some(last) = self.bytes.last_mut()
        {
            *last = kind.dirent_type();
        }
        true
    }
}

async fn getdents(thread: &Thread, fd: Fd, buffer: Pointer, size: u32) -> Result<u64> {
    list(thread, fd, buffer, size, Layout::Old).await
}

async fn getdents64(thread: &Thread, fd: Fd, buffer: Pointer, size: u32) -> Result<u64> {
    list(thread, fd, buffer, size, Layout::New).await
}

async fn list(thread: &Thread, fd: Fd, buffer: Pointer, size: u32, layout: Layout) -> Result<u64> {
    let file = thread.files().get_required(fd.0, FdRights::READ)?;
    let caller = thread.caller();
    let mut held = file.lock_position().await;
    let mut position = *held;
    // Linux takes the size for a signed number: in a buffer of 2 GiB and more no entry has room.
    let limit = i32::try_from(size).map_or(0, |size| CHUNK.min(size.unsigned_abs() as usize));
    let mut gather = Gather { layout, limit, bytes: Vec::new(), full: false };
    file.list(&caller, &mut position, &mut gather)?;
    if gather.bytes.is_empty() && gather.full {
        return Err(Errno::EINVAL);
    }
    // The position moves only when the entries have arrived.
    copy_out(&*thread.space(), buffer.0, &gather.bytes).await?;
    *held = position;
    Ok(gather.bytes.len() as u64)
}
