//! The calls that only Kairos has: handles, channels, ports. The ABI is in `docs/abi.md`; this file needs
//! nothing but a function that makes system calls, so a program may take it as it is.

use super::{Fd, Sys, call};

/// A number in the handle table.
pub(crate) type Handle = i32;

pub(crate) const RIGHT_READ: u64 = 1;
pub(crate) const RIGHT_WRITE: u64 = 2;
pub(crate) const RIGHT_TRANSFER: u64 = 4;
pub(crate) const RIGHT_DUPLICATE: u64 = 8;
pub(crate) const RIGHT_WAIT: u64 = 0x10;
pub(crate) const RIGHT_MANAGE: u64 = 0x20;

pub(crate) const FD_RIGHT_READ: u64 = 1;
pub(crate) const FD_RIGHT_WRITE: u64 = 2;
pub(crate) const FD_RIGHT_IOCTL: u64 = 4;
pub(crate) const FD_RIGHT_DUP: u64 = 8;

pub(crate) const NONBLOCK: u64 = 1;
pub(crate) const RENDEZVOUS: u64 = 2;
pub(crate) const RECV_CLOEXEC: u64 = 4;
pub(crate) const CLOEXEC: u64 = 1;
pub(crate) const REVOKE_DESCENDANTS: u64 = 1;

pub(crate) const READABLE: u64 = 1;
pub(crate) const PEER_CLOSED: u64 = 2;

pub(crate) const FOR_EVER: u64 = u64::MAX;

/// `channel_msg`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelMsg {
    pub(crate) bytes: usize,
    pub(crate) handles: usize,
    pub(crate) num_bytes: u32,
    pub(crate) num_handles: u32,
}

/// `port_packet`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PortPacket {
    pub(crate) key: u64,
    pub(crate) observed: u32,
    pub(crate) reserved: u32,
}

/// `handle_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HandleInfo {
    pub(crate) kind: u32,
    pub(crate) rights: u32,
    pub(crate) object: u32,
    pub(crate) reserved: u32,
    pub(crate) capability: u64,
}

fn number(value: i64) -> usize {
    value as usize
}

fn address<T>(of: &mut T) -> usize {
    std::ptr::from_mut(of) as usize
}

pub(crate) fn handle_close(handle: Handle) -> Sys<()> {
    handle_close_with(handle, 0)
}

pub(crate) fn handle_close_with(handle: Handle, flags: u64) -> Sys<()> {
    call(4600, &[number(handle.into()), flags as usize]).map(drop)
}

/// A duplicate with those of the rights that `mask` names; 0 names all.
pub(crate) fn handle_duplicate(handle: Handle, mask: u64) -> Sys<Handle> {
    handle_duplicate_with(handle, mask, 0)
}

pub(crate) fn handle_duplicate_with(handle: Handle, mask: u64, flags: u64) -> Sys<Handle> {
    let mut out: Handle = -1;
    let arguments = [number(handle.into()), mask as usize, address(&mut out), flags as usize];
    call(4601, &arguments).map(|_| out)
}

pub(crate) fn channel_create() -> Sys<(Handle, Handle)> {
    channel_create_with(0)
}

/// A channel that must be there.
pub(crate) fn channel() -> (Handle, Handle) {
    channel_create().expect("channel_create")
}

pub(crate) fn channel_create_with(flags: u64) -> Sys<(Handle, Handle)> {
    let (mut one, mut two): (Handle, Handle) = (-1, -1);
    call(4602, &[address(&mut one), address(&mut two), flags as usize]).map(|_| (one, two))
}

pub(crate) fn channel_send(channel: Handle, bytes: &[u8], handles: &[Handle], options: u64) -> Sys<()> {
    let mut msg = ChannelMsg {
        bytes: bytes.as_ptr() as usize,
        handles: handles.as_ptr() as usize,
        num_bytes: bytes.len() as u32,
        num_handles: handles.len() as u32,
    };
    channel_send_raw(channel, &mut msg, options)
}

pub(crate) fn channel_send_raw(channel: Handle, msg: &mut ChannelMsg, options: u64) -> Sys<()> {
    call(4603, &[number(channel.into()), address(msg), options as usize]).map(drop)
}

pub(crate) fn channel_recv_raw(channel: Handle, msg: &mut ChannelMsg, options: u64) -> Sys<()> {
    call(4604, &[number(channel.into()), address(msg), options as usize]).map(drop)
}

/// The next message, of any size.
pub(crate) fn channel_recv(channel: Handle, options: u64) -> Sys<(Vec<u8>, Vec<Handle>)> {
    let (mut bytes, mut handles) = (vec![0u8; 1024], vec![-1; 8]);
    let mut msg = ChannelMsg {
        bytes: bytes.as_mut_ptr() as usize,
        handles: handles.as_mut_ptr() as usize,
        num_bytes: 1024,
        num_handles: 8,
    };
    channel_recv_raw(channel, &mut msg, options)?;
    bytes.truncate(msg.num_bytes as usize);
    handles.truncate(msg.num_handles as usize);
    Ok((bytes, handles))
}

/// Sends `bytes`, of which the kernel replaces the first four, and gives the reply.
pub(crate) fn channel_call(channel: Handle, bytes: &[u8], timeout_ns: u64) -> Sys<Vec<u8>> {
    let mut reply = vec![0u8; 1024];
    let mut send = ChannelMsg {
        bytes: bytes.as_ptr() as usize,
        handles: 0,
        num_bytes: bytes.len() as u32,
        num_handles: 0,
    };
    let mut recv =
        ChannelMsg { bytes: reply.as_mut_ptr() as usize, handles: 0, num_bytes: 1024, num_handles: 0 };
    let arguments = [number(channel.into()), address(&mut send), address(&mut recv), timeout_ns as usize, 0];
    call(4616, &arguments)?;
    reply.truncate(recv.num_bytes as usize);
    Ok(reply)
}

pub(crate) fn port_create() -> Sys<Handle> {
    let mut out: Handle = -1;
    call(4605, &[address(&mut out), 0]).map(|_| out)
}

pub(crate) fn port_bind(port: Handle, channel: Handle, key: u64, signals: u64) -> Sys<()> {
    let arguments = [number(port.into()), number(channel.into()), key as usize, signals as usize, 0];
    call(4606, &arguments).map(drop)
}

pub(crate) fn port_unbind(port: Handle, channel: Handle) -> Sys<()> {
    call(4615, &[number(port.into()), number(channel.into()), 0]).map(drop)
}

/// (key, observed) of the next packet.
pub(crate) fn port_wait(port: Handle, timeout_ns: u64, options: u64) -> Sys<(u64, u64)> {
    let mut packet = PortPacket { reserved: 7, ..PortPacket::default() };
    let arguments = [number(port.into()), address(&mut packet), timeout_ns as usize, options as usize];
    call(4607, &arguments)?;
    assert_eq!(packet.reserved, 0, "the reserved word is always written");
    Ok((packet.key, packet.observed.into()))
}

pub(crate) fn cap_rights_get(fd: Fd) -> Sys<u64> {
    let mut out = 0u64;
    call(4608, &[number(fd.into()), address(&mut out)]).map(|_| out)
}

pub(crate) fn cap_rights_limit(fd: Fd, mask: u64) -> Sys<()> {
    call(4609, &[number(fd.into()), mask as usize, 0]).map(drop)
}

/// A handle for what a descriptor names; `mask` 0 asks for all rights that there are.
pub(crate) fn handle_from_fd(fd: Fd, mask: u64) -> Sys<Handle> {
    let mut out: Handle = -1;
    call(4610, &[number(fd.into()), address(&mut out), mask as usize, 0]).map(|_| out)
}

pub(crate) fn fd_from_handle(handle: Handle, flags: i32) -> Sys<Fd> {
    let mut out: Fd = -1;
    call(4611, &[number(handle.into()), address(&mut out), flags as usize]).map(|_| out)
}

pub(crate) fn handle_info(handle: Handle) -> Sys<HandleInfo> {
    let mut info = HandleInfo::default();
    call(4612, &[number(handle.into()), address(&mut info), 0]).map(|_| info)
}

pub(crate) fn handle_narrow(handle: Handle, mask: u64) -> Sys<()> {
    call(4613, &[number(handle.into()), mask as usize, 0]).map(drop)
}

pub(crate) fn handle_revoke_descendants(handle: Handle) -> Sys<()> {
    call(4614, &[number(handle.into()), 0]).map(drop)
}

/// What the object is ready for, of `events` (poll's bits).
pub(crate) fn object_wait_one(handle: Handle, events: i16, timeout_ns: u64) -> Sys<i16> {
    let mut observed = 0u32;
    let arguments = [number(handle.into()), events as usize, timeout_ns as usize, address(&mut observed)];
    call(4617, &arguments).map(|_| observed as i16)
}

/// As [`object_wait_one`], for several objects.
pub(crate) fn object_wait_many(wanted: &[(Handle, i16)], timeout_ns: u64) -> Sys<Vec<i16>> {
    let mut items: Vec<[i32; 4]> =
        wanted.iter().map(|(handle, events)| [*handle, i32::from(*events), 0, 0]).collect();
    call(4618, &[items.as_mut_ptr() as usize, items.len(), timeout_ns as usize])?;
    Ok(items.iter().map(|item| item[2] as i16).collect())
}
