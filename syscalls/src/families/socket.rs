//! Sockets: making them, naming them, connecting them. Source: `socket(2)`, `bind(2)`, `connect(2)`, `accept(2)`.
//!
//! Of the families, only AF_UNIX is there.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};
use fs::file::{FdEntry, FdRights, OpenFile, OpenFlags};
use fs::unix::{self, AF_UNIX, Address, Kind, ShutDown, Socket, encode};
use fs::vfs::Subject;

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::mm::AddressSpace;
use crate::thread::Thread;
use crate::user::{copy_in, copy_out, read_u32, write_u32};

declare! {
    sync 41 => socket(family: i32, kind: u32, protocol: i32);
    async 42 => connect(fd: Fd, address: Pointer, length: i32) [restart];
    async 43 => accept(fd: Fd, address: Pointer, length: Pointer) [restart];
    sync 48 => shutdown(fd: Fd, how: i32);
    async 49 => bind(fd: Fd, address: Pointer, length: i32);
    sync 50 => listen(fd: Fd, backlog: i32);
    async 51 => getsockname(fd: Fd, address: Pointer, length: Pointer);
    async 52 => getpeername(fd: Fd, address: Pointer, length: Pointer);
    async 53 => socketpair(family: i32, kind: u32, protocol: i32, fds: Pointer);
    async 288 => accept4(fd: Fd, address: Pointer, length: Pointer, flags: u32) [restart];
}

/// The part of socket(2)'s second argument that is the type; the rest are flags.
const KIND_MASK: u32 = 0xf;
/// Families and types that Linux numbers.
const FAMILIES: i32 = 46;
const KINDS: u32 = 11;
/// Bytes of the largest socket address: `struct sockaddr_storage`.
const ADDRESS_MAX: usize = 128;

fn open_flags(flags: u32) -> Result<OpenFlags> {
    let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if (OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) { Ok(flags) } else { Err(Errno::EINVAL) }
}

/// The type of a socket that may be made, in Linux's order of checks.
fn kind_of(family: i32, kind: u32, protocol: i32) -> Result<Kind> {
    if !(0..FAMILIES).contains(&family) {
        return Err(Errno::EAFNOSUPPORT);
    }
    if kind >= KINDS {
        return Err(Errno::EINVAL);
    }
    if family != i32::from(AF_UNIX) {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol != 0 && protocol != family {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Kind::from_raw(kind)
}

fn socket(thread: &Thread, family: i32, kind: u32, protocol: i32) -> Result<u64> {
    let flags = open_flags(kind & !KIND_MASK)?;
    let kind = kind_of(family, kind & KIND_MASK, protocol)?;
    let caller = thread.caller();
    let file = Socket::open(&caller, kind, flags)?;
    let fd = thread.files().insert(&caller, file, flags.contains(OpenFlags::CLOEXEC))?;
    Ok(u64::from(fd.unsigned_abs()))
}

async fn socketpair(thread: &Thread, family: i32, kind: u32, protocol: i32, fds: Pointer) -> Result<u64> {
    let flags = open_flags(kind & !KIND_MASK)?;
    let caller = thread.caller();
    let files = thread.files();
    let (first, second) = (files.reserve(&caller, 0)?, files.reserve(&caller, 0)?);
    let mut numbers = [0; 8];
    numbers[..4].copy_from_slice(&first.number().to_le_bytes());
    numbers[4..].copy_from_slice(&second.number().to_le_bytes());
    // Linux writes the numbers before it looks at the family.
    copy_out(&*thread.space(), fds.0, &numbers).await?;
    let (one, other) = unix::pair(&caller, kind_of(family, kind & KIND_MASK, protocol)?, flags)?;
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    first.install(FdEntry::new(one, cloexec));
    second.install(FdEntry::new(other, cloexec));
    Ok(0)
}

/// The open socket behind a descriptor.
///
/// # Errors
///
/// `EBADF`, `ENOTSOCK`.
pub(super) fn socket_file(thread: &Thread, fd: Fd, rights: FdRights) -> Result<Arc<OpenFile>> {
    let entry = thread.files().entry(fd.0)?;
    if entry.file.is_path_only() {
        return Err(Errno::EBADF);
    }
    Socket::of(&entry.file)?;
    entry.rights.require(rights)?;
    Ok(entry.file)
}

/// Reads a socket address.
///
/// # Errors
///
/// `EINVAL` for a length that no address has; `EFAULT`.
pub(super) async fn read_address(space: &AddressSpace, from: Pointer, length: i32) -> Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    if length > ADDRESS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut raw = alloc::vec![0; length];
    copy_in(space, from.0, &mut raw).await?;
    Ok(raw)
}

/// Writes as much of a socket address as the word at `length` says there is room for, and its full length there.
///
/// # Errors
///
/// `EINVAL` for a negative length; `EFAULT`.
pub(super) async fn write_address(
    space: &AddressSpace,
    raw: &[u8],
    to: Pointer,
    length: Pointer,
) -> Result<()> {
    let room = read_u32(space, length.0).await?.cast_signed();
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    copy_out(space, to.0, raw.get(..room).unwrap_or(raw)).await?;
    write_u32(space, length.0, u32::try_from(raw.len()).unwrap_or(0)).await
}

async fn bind(thread: &Thread, fd: Fd, address: Pointer, length: i32) -> Result<u64> {
    let file = socket_file(thread, fd, FdRights::empty())?;
    let raw = read_address(&thread.space(), address, length).await?;
    let (caller, context) = (thread.caller(), thread.fs_context());
    Socket::of(&file)?.bind(Subject { caller: &caller, fs: &context }, &raw)?;
    Ok(0)
}

async fn connect(thread: &Thread, fd: Fd, address: Pointer, length: i32) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    let raw = read_address(&thread.space(), address, length).await?;
    let socket = Socket::of(&file)?;
    let (caller, context) = (thread.caller(), thread.fs_context());
    socket.connect(Subject { caller: &caller, fs: &context }, &raw, !file.is_nonblocking()).await?;
    Ok(0)
}

fn listen(thread: &Thread, fd: Fd, backlog: i32) -> Result<u64> {
    let file = socket_file(thread, fd, FdRights::empty())?;
    Socket::of(&file)?.listen(&thread.caller(), backlog)?;
    Ok(0)
}

fn shutdown(thread: &Thread, fd: Fd, how: i32) -> Result<u64> {
    let file = socket_file(thread, fd, FdRights::empty())?;
    Socket::of(&file)?.shut_down(ShutDown::from_raw(how)?);
    Ok(0)
}

async fn accept(thread: &Thread, fd: Fd, address: Pointer, length: Pointer) -> Result<u64> {
    accept4(thread, fd, address, length, 0).await
}

async fn accept4(thread: &Thread, fd: Fd, address: Pointer, length: Pointer, flags: u32) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    let flags = open_flags(flags)?;
    let listener = Socket::of(&file)?;
    let caller = thread.caller();
    let files = thread.files();
    let place = files.reserve(&caller, 0)?;
    let connection = listener.accept(&caller, flags, !file.is_nonblocking()).await?;
    if !address.is_null() {
        let name = Socket::of(&connection)?.peer_name()?;
        write_address(&thread.space(), &encode(name.as_deref()), address, length).await?;
    }
    let fd = place.install(FdEntry::new(connection, flags.contains(OpenFlags::CLOEXEC)));
    Ok(u64::from(fd.unsigned_abs()))
}

async fn getsockname(thread: &Thread, fd: Fd, address: Pointer, length: Pointer) -> Result<u64> {
    let file = socket_file(thread, fd, FdRights::empty())?;
    tell(thread, Socket::of(&file)?.name(), address, length).await
}

async fn getpeername(thread: &Thread, fd: Fd, address: Pointer, length: Pointer) -> Result<u64> {
    let file = socket_file(thread, fd, FdRights::empty())?;
    tell(thread, Socket::of(&file)?.peer_name()?, address, length).await
}

async fn tell(thread: &Thread, name: Option<Arc<Address>>, to: Pointer, length: Pointer) -> Result<u64> {
    write_address(&thread.space(), &encode(name.as_deref()), to, length).await?;
    Ok(0)
}
