//! Sending and receiving. Source: `send(2)`, `recv(2)`, `sendmmsg(2)`, `recvmmsg(2)`.

use base::memory::{Access, UserBuffer};
use base::{Errno, Result, machine};
use fs::file::{FdRights, MAX_TRANSFER, OpenFile};
use fs::unix::{Outgoing, ReceiveFlags, SendFlags, Socket, encode};
use fs::vfs::Subject;

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::families::socket::{read_address, socket_file, write_address};
use crate::families::socket_control::{read_control, write_control};
use crate::families::transfer::read_iovec;
use crate::machine::check_user_range;
use crate::thread::Thread;
use crate::time::timespec::{read_timespec, write_timespec};
use crate::user::{copy_in, write_u32, write_words};

declare! {
    async 44 => sendto(fd: Fd, buffer: Pointer, count: usize, flags: u32, address: Pointer, length: i32) [restart];
    async 45 => recvfrom(fd: Fd, buffer: Pointer, count: usize, flags: u32, address: Pointer, length: Pointer) [restart];
    async 46 => sendmsg(fd: Fd, message: Pointer, flags: u32) [restart];
    async 47 => recvmsg(fd: Fd, message: Pointer, flags: u32) [restart];
    async 299 => recvmmsg(fd: Fd, messages: Pointer, count: u32, flags: u32, timeout: Pointer) [restart];
    async 307 => sendmmsg(fd: Fd, messages: Pointer, count: u32, flags: u32) [restart];
}

/// Most pieces of a message and most messages of one call: `UIO_MAXIOV`.
const PIECES_MAX: u64 = 1024;
/// A flag of 32-bit callers, which there are none of.
const CMSG_COMPAT: u32 = 0x8000_0000;
/// `MSG_WAITFORONE`: wait for the first message alone.
const WAIT_FOR_ONE: u32 = 0x1_0000;
/// `MSG_DONTWAIT`.
const DONT_WAIT: u32 = 0x40;
/// `msg_flags`: a part of the message, or of what came along, was lost.
const TRUNCATED: u32 = 0x20;
/// As above.
const CONTROL_TRUNCATED: u32 = 8;
/// Bytes of a `struct msghdr` and of a `struct mmsghdr`.
const HEADER: u64 = 56;
const LONG_HEADER: u64 = 64;

async fn sendto(
    thread: &Thread,
    fd: Fd,
    buffer: Pointer,
    count: usize,
    flags: u32,
    address: Pointer,
    length: i32,
) -> Result<u64> {
    let count = count.min(MAX_TRANSFER);
    check_user_range(buffer.0, count as u64, Access::Read)?;
    let file = socket_file(thread, fd, FdRights::WRITE)?;
    let socket = Socket::of(&file)?;
    let caller = thread.caller();
    let mut outgoing = Outgoing::default();
    if !address.is_null() {
        let raw = read_address(&thread.space(), address, length).await?;
        address_to(thread, socket, &raw, &mut outgoing)?;
    }
    let mut buffer = UserBuffer::new(&*caller.memory, buffer.0, count, Access::Read);
    let flags = SendFlags::from_bits_retain(flags);
    Ok(socket.send(&caller, &mut buffer, outgoing, flags, !file.is_nonblocking()).await? as u64)
}

/// An address of no bytes is none.
fn address_to(thread: &Thread, socket: &Socket, raw: &[u8], outgoing: &mut Outgoing) -> Result<()> {
    if raw.is_empty() {
        return Ok(());
    }
    let (caller, context) = (thread.caller(), thread.fs_context());
    socket.address_to(Subject { caller: &caller, fs: &context }, raw, outgoing)
}

async fn recvfrom(
    thread: &Thread,
    fd: Fd,
    buffer: Pointer,
    count: usize,
    flags: u32,
    address: Pointer,
    length: Pointer,
) -> Result<u64> {
    let count = count.min(MAX_TRANSFER);
    check_user_range(buffer.0, count as u64, Access::Write)?;
    let file = socket_file(thread, fd, FdRights::READ)?;
    let caller = thread.caller();
    let mut buffer = UserBuffer::new(&*caller.memory, buffer.0, count, Access::Write);
    let flags = ReceiveFlags::from_bits_retain(flags);
    let (got, reception) = Socket::of(&file)?.receive(&mut buffer, flags, !file.is_nonblocking()).await?;
    if !address.is_null() {
        let name = reception.from.as_deref().map(|name| encode(Some(name))).unwrap_or_default();
        write_address(&thread.space(), &name, address, length).await?;
    }
    Ok(got as u64)
}

/// A `struct msghdr`.
struct Header {
    at: u64,
    name: Pointer,
    name_length: i32,
    pieces: Pointer,
    count: i32,
    control: Pointer,
    control_length: u64,
}

impl Header {
    async fn read(thread: &Thread, at: Pointer) -> Result<Header> {
        let mut bytes = [0; HEADER as usize];
        copy_in(&*thread.space(), at.0, &mut bytes).await?;
        let mut words = [0u64; 7];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [name, name_length, pieces, count, control, control_length, _flags] = words;
        #[allow(clippy::cast_possible_truncation, reason = "the field is an int")]
        let name_length = if name == 0 { 0 } else { name_length as i32 };
        if name_length < 0 {
            return Err(Errno::EINVAL);
        }
        if count > PIECES_MAX {
            return Err(Errno::EMSGSIZE);
        }
        Ok(Header {
            at: at.0,
            name: Pointer(name),
            name_length: name_length.min(128),
            pieces: Pointer(pieces),
            count: i32::try_from(count).map_err(|_| Errno::EMSGSIZE)?,
            control: Pointer(control),
            control_length,
        })
    }
}

async fn sendmsg(thread: &Thread, fd: Fd, message: Pointer, flags: u32) -> Result<u64> {
    if flags & CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL);
    }
    let file = socket_file(thread, fd, FdRights::WRITE)?;
    send_one(thread, &file, message, flags).await
}

async fn send_one(thread: &Thread, file: &OpenFile, message: Pointer, flags: u32) -> Result<u64> {
    let socket = Socket::of(file)?;
    let caller = thread.caller();
    let space = thread.space();
    let header = Header::read(thread, message).await?;
    let raw = read_address(&space, header.name, header.name_length).await?;
    let segments = read_iovec(&space, header.pieces, header.count).await?;
    let mut outgoing = read_control(thread, header.control, header.control_length).await?;
    let flags = SendFlags::from_bits_retain(flags);
    if flags.contains(SendFlags::OUT_OF_BAND) {
        return Err(Errno::EOPNOTSUPP);
    }
    address_to(thread, socket, &raw, &mut outgoing)?;
    let mut buffer = UserBuffer::vectored(&*caller.memory, segments, Access::Read);
    Ok(socket.send(&caller, &mut buffer, outgoing, flags, !file.is_nonblocking()).await? as u64)
}

async fn recvmsg(thread: &Thread, fd: Fd, message: Pointer, flags: u32) -> Result<u64> {
    if flags & CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL);
    }
    let file = socket_file(thread, fd, FdRights::READ)?;
    receive_one(thread, &file, message, flags).await
}

async fn receive_one(thread: &Thread, file: &OpenFile, message: Pointer, flags: u32) -> Result<u64> {
    let socket = Socket::of(file)?;
    let caller = thread.caller();
    let space = thread.space();
    let header = Header::read(thread, message).await?;
    let segments = read_iovec(&space, header.pieces, header.count).await?;
    let mut buffer = UserBuffer::vectored(&*caller.memory, segments, Access::Write);
    let flags = ReceiveFlags::from_bits_retain(flags);
    let (got, reception) = socket.receive(&mut buffer, flags, !file.is_nonblocking()).await?;
    let mut answer = flags.bits() & ReceiveFlags::CLOSE_ON_EXEC.bits();
    if reception.truncated {
        answer |= TRUNCATED;
    }
    let name = reception.from.as_deref().map(|name| encode(Some(name))).unwrap_or_default();
    let close_on_exec = flags.contains(ReceiveFlags::CLOSE_ON_EXEC);
    let control =
        write_control(thread, socket, reception, header.control, header.control_length, close_on_exec)
            .await?;
    if control.lost {
        answer |= CONTROL_TRUNCATED;
    }
    if !header.name.is_null() {
        write_address(&space, &name, header.name, Pointer(header.at + 8)).await?;
    }
    write_u32(&*space, header.at + 48, answer).await?;
    write_words(&*space, header.at + 40, &[control.used]).await?;
    Ok(got as u64)
}

async fn sendmmsg(thread: &Thread, fd: Fd, messages: Pointer, count: u32, flags: u32) -> Result<u64> {
    if flags & CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL);
    }
    let file = socket_file(thread, fd, FdRights::WRITE)?;
    let count = u64::from(count).min(PIECES_MAX);
    for index in 0..count {
        let at = messages.0.wrapping_add(index * LONG_HEADER);
        let sent = match send_one(thread, &file, Pointer(at), flags).await {
            Ok(sent) => write_u32(&*thread.space(), at + HEADER, u32::try_from(sent).unwrap_or(0)).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => executor::yield_point().await,
            // What was sent is the answer; the error shows at the next call.
            Err(_) if index > 0 => return Ok(index),
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

async fn recvmmsg(
    thread: &Thread,
    fd: Fd,
    messages: Pointer,
    count: u32,
    flags: u32,
    timeout: Pointer,
) -> Result<u64> {
    if flags & CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL);
    }
    let space = thread.space();
    let deadline = match timeout.is_null() {
        true => None,
        false => Some(machine::now() + read_timespec(&*space, timeout).await?),
    };
    let file = socket_file(thread, fd, FdRights::READ)?;
    if let Some(error) = Socket::of(&file)?.take_error() {
        return Err(error);
    }
    let got = receive_many(thread, &file, messages, count, flags, deadline).await?;
    if let Some(deadline) = deadline.filter(|_| got > 0) {
        // As on Linux, the time is looked at between messages alone.
        write_timespec(&*space, timeout, deadline - machine::now()).await?;
    }
    Ok(got)
}

async fn receive_many(
    thread: &Thread,
    file: &OpenFile,
    messages: Pointer,
    count: u32,
    mut flags: u32,
    deadline: Option<base::time::Instant>,
) -> Result<u64> {
    let mut got = 0;
    for index in 0..u64::from(count) {
        let at = messages.0.wrapping_add(index * LONG_HEADER);
        let received = match receive_one(thread, file, Pointer(at), flags & !WAIT_FOR_ONE).await {
            Ok(length) => write_u32(&*thread.space(), at + HEADER, u32::try_from(length).unwrap_or(0)).await,
            Err(error) => Err(error),
        };
        match received {
            Ok(()) => got += 1,
            Err(error) if got == 0 => return Err(error),
            Err(error) => {
                if error != Errno::EAGAIN {
                    Socket::of(file)?.leave_error(settled(error));
                }
                break;
            }
        }
        if flags & WAIT_FOR_ONE != 0 {
            flags |= DONT_WAIT;
        }
        if deadline.is_some_and(|deadline| deadline <= machine::now()) {
            break;
        }
        executor::yield_point().await;
    }
    Ok(got)
}

/// The error as a later call reports it.
fn settled(error: Errno) -> Errno {
    if error == Errno::EINTR_NO_RESTART { Errno::EINTR } else { error }
}
