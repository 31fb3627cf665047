//! Calls on sockets.

use super::{Fd, Sys, getpid, zeroed};
use std::ffi::CStr;

/// `socket(AF_UNIX, kind, 0)`.
pub(crate) fn socket(kind: i32) -> Fd {
    socket_of(libc::AF_UNIX, kind, 0).expect("socket")
}

pub(crate) fn socket_of(family: i32, kind: i32, protocol: i32) -> Sys<Fd> {
    syscall!(SYS_socket, family, kind, protocol).map(|fd| fd as Fd)
}

pub(crate) fn socketpair(kind: i32) -> (Fd, Fd) {
    let mut ends = [0; 2];
    syscall!(SYS_socketpair, libc::AF_UNIX, kind, 0, &mut ends).expect("socketpair");
    (ends[0], ends[1])
}

/// A `struct sockaddr_un` with this name, as long as the name.
pub(crate) fn unix_address(name: &[u8]) -> Vec<u8> {
    let mut raw = (libc::AF_UNIX as u16).to_le_bytes().to_vec();
    raw.extend_from_slice(name);
    raw
}

/// The same for a path, with its NUL.
pub(crate) fn path_address(path: &CStr) -> Vec<u8> {
    unix_address(path.to_bytes_with_nul())
}

/// An abstract name that no other process uses.
pub(crate) fn abstract_address(name: &str) -> Vec<u8> {
    unix_address(format!("\0kairos-{}-{name}", getpid()).as_bytes())
}

pub(crate) fn bind(fd: Fd, address: &[u8]) -> Sys<()> {
    syscall!(SYS_bind, fd, address.as_ptr(), address.len()).map(drop)
}

pub(crate) fn connect(fd: Fd, address: &[u8]) -> Sys<()> {
    syscall!(SYS_connect, fd, address.as_ptr(), address.len()).map(drop)
}

pub(crate) fn listen(fd: Fd, backlog: i32) -> Sys<()> {
    syscall!(SYS_listen, fd, backlog).map(drop)
}

pub(crate) fn accept(fd: Fd) -> Sys<Fd> {
    accept4(fd, 0)
}

pub(crate) fn accept4(fd: Fd, flags: i32) -> Sys<Fd> {
    syscall!(SYS_accept4, fd, 0, 0, flags).map(|fd| fd as Fd)
}

pub(crate) fn shutdown(fd: Fd, how: i32) -> Sys<()> {
    syscall!(SYS_shutdown, fd, how).map(drop)
}

/// A socket of this kind that listens under a name.
pub(crate) fn listener(kind: i32, address: &[u8], backlog: i32) -> Fd {
    let fd = socket(kind);
    bind(fd, address).expect("bind");
    listen(fd, backlog).expect("listen");
    fd
}

/// A new socket of this kind, connected to the name.
pub(crate) fn connected(kind: i32, address: &[u8]) -> Fd {
    let fd = socket(kind);
    connect(fd, address).expect("connect");
    fd
}

/// What `call` says about a name: the bytes, and the length.
fn name_by(number: i64, fd: Fd) -> Sys<Vec<u8>> {
    let mut raw = vec![0xee; 128];
    let mut length = raw.len() as u32;
    super::call(number, &[fd as usize, raw.as_mut_ptr() as usize, &raw mut length as usize])?;
    raw.truncate(length as usize);
    Ok(raw)
}

pub(crate) fn getsockname(fd: Fd) -> Sys<Vec<u8>> {
    name_by(libc::SYS_getsockname, fd)
}

pub(crate) fn getpeername(fd: Fd) -> Sys<Vec<u8>> {
    name_by(libc::SYS_getpeername, fd)
}

pub(crate) fn send(fd: Fd, bytes: &[u8], flags: i32) -> Sys<usize> {
    syscall!(SYS_sendto, fd, bytes.as_ptr(), bytes.len(), flags, 0, 0)
}

pub(crate) fn send_to(fd: Fd, bytes: &[u8], flags: i32, address: &[u8]) -> Sys<usize> {
    syscall!(SYS_sendto, fd, bytes.as_ptr(), bytes.len(), flags, address.as_ptr(), address.len())
}

pub(crate) fn recv(fd: Fd, len: usize, flags: i32) -> Sys<Vec<u8>> {
    let mut buffer = vec![0; len];
    let got = syscall!(SYS_recvfrom, fd, buffer.as_mut_ptr(), len, flags, 0, 0)?;
    buffer.truncate(got);
    Ok(buffer)
}

/// (bytes, the sender's address).
pub(crate) fn recv_from(fd: Fd, len: usize, flags: i32) -> Sys<(Vec<u8>, Vec<u8>)> {
    let (mut buffer, mut raw) = (vec![0; len], vec![0; 128]);
    let mut length = raw.len() as u32;
    let got = syscall!(SYS_recvfrom, fd, buffer.as_mut_ptr(), len, flags, raw.as_mut_ptr(), &mut length)?;
    buffer.truncate(got);
    raw.truncate(length as usize);
    Ok((buffer, raw))
}

pub(crate) fn set_option(fd: Fd, option: i32, value: i32) -> Sys<()> {
    syscall!(SYS_setsockopt, fd, libc::SOL_SOCKET, option, &value, 4).map(drop)
}

pub(crate) fn option(fd: Fd, option: i32) -> Sys<i32> {
    let (mut value, mut length) = (0i32, 4u32);
    syscall!(SYS_getsockopt, fd, libc::SOL_SOCKET, option, &mut value, &mut length)?;
    assert_eq!(length, 4, "the length of an option");
    Ok(value)
}

/// `SO_RCVTIMEO` or `SO_SNDTIMEO`.
pub(crate) fn set_timeout(fd: Fd, option: i32, milliseconds: i64) {
    let value = [milliseconds / 1000, milliseconds % 1000 * 1000];
    syscall!(SYS_setsockopt, fd, libc::SOL_SOCKET, option, &value, 16).expect("a timeout");
}

/// One entry of ancillary data, padded.
pub(crate) fn control_entry(kind: i32, data: &[u8]) -> Vec<u8> {
    let mut entry = (16 + data.len()).to_le_bytes().to_vec();
    entry.extend(libc::SOL_SOCKET.to_le_bytes());
    entry.extend(kind.to_le_bytes());
    entry.extend_from_slice(data);
    entry.resize(entry.len().next_multiple_of(8), 0);
    entry
}

/// Ancillary data that sends these descriptors.
pub(crate) fn rights_of(fds: &[Fd]) -> Vec<u8> {
    let numbers: Vec<u8> = fds.iter().flat_map(|fd| fd.to_le_bytes()).collect();
    control_entry(libc::SCM_RIGHTS, &numbers)
}

/// A message header over one buffer; `control` may be empty.
pub(crate) fn header(pieces: &mut [libc::iovec], control: &mut [u8]) -> libc::msghdr {
    let mut header: libc::msghdr = zeroed();
    header.msg_iov = pieces.as_mut_ptr();
    header.msg_iovlen = pieces.len();
    if !control.is_empty() {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control.len();
    }
    header
}

pub(crate) fn sendmsg(fd: Fd, bytes: &[u8], control: &[u8], flags: i32) -> Sys<usize> {
    let (mut bytes, mut control) = (bytes.to_vec(), control.to_vec());
    let mut pieces = [super::iovec(&mut bytes)];
    let header = header(&mut pieces, &mut control);
    syscall!(SYS_sendmsg, fd, &header, flags)
}

/// Sends bytes and descriptors.
pub(crate) fn send_rights(fd: Fd, bytes: &[u8], fds: &[Fd]) -> Sys<usize> {
    sendmsg(fd, bytes, &rights_of(fds), 0)
}

/// What `recvmsg` gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    /// (type, data) of each entry.
    pub(crate) control: Vec<(i32, Vec<u8>)>,
    /// Bytes of ancillary data.
    pub(crate) control_length: usize,
    pub(crate) flags: i32,
    /// The answer, which MSG_TRUNC makes more than the bytes.
    pub(crate) answer: usize,
}

impl Received {
    /// The descriptors that came along.
    pub(crate) fn rights(&self) -> Vec<Fd> {
        let entries = self.control.iter().filter(|(kind, _)| *kind == libc::SCM_RIGHTS);
        entries
            .flat_map(|(_, data)| data.chunks(4))
            .map(|fd| Fd::from_le_bytes(fd.try_into().unwrap()))
            .collect()
    }

    /// (pid, uid, gid), when they came along.
    pub(crate) fn credentials(&self) -> Option<(i32, u32, u32)> {
        let (_, data) = self.control.iter().find(|(kind, _)| *kind == libc::SCM_CREDENTIALS)?;
        let word = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
        Some((word(0) as i32, word(4), word(8)))
    }
}

pub(crate) fn recvmsg(fd: Fd, len: usize, control: usize, flags: i32) -> Sys<Received> {
    let (mut bytes, mut control) = (vec![0; len], vec![0u8; control]);
    let mut pieces = [super::iovec(&mut bytes)];
    let mut header = header(&mut pieces, &mut control);
    let answer = syscall!(SYS_recvmsg, fd, &mut header, flags)?;
    control.truncate(header.msg_controllen);
    bytes.truncate(answer);
    let mut entries = Vec::new();
    let mut rest = control.as_slice();
    while rest.len() >= 16 {
        let word = |at: usize| i32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let size = word(0) as usize;
        assert_eq!(word(8), libc::SOL_SOCKET, "the level of ancillary data");
        entries.push((word(12), rest[16..size].to_vec()));
        rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
    }
    let control_length = header.msg_controllen;
    Ok(Received { bytes, control: entries, control_length, flags: header.msg_flags, answer })
}
