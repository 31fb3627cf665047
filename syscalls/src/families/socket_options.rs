//! Options of sockets. Source: `getsockopt(2)`, `socket(7)`, `unix(7)`.

use alloc::vec::Vec;
use core::time::Duration;

use base::caller::Capabilities;
use base::{Errno, Result};
use fs::file::{FdEntry, FdRights};
use fs::unix::options::{BUFFER_MAX, RECEIVE_BUFFER_MIN, SEND_BUFFER_MIN, Switches};
use fs::unix::{AF_UNIX, Socket, encode};

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::families::socket::socket_file;
use crate::process::pidfd::{PidFd, process_still};
use crate::thread::Thread;
use crate::user::{copy_in, copy_out, read_u32, write_u32};

declare! {
    async 54 => setsockopt(fd: Fd, level: i32, option: i32, value: Pointer, length: i32);
    async 55 => getsockopt(fd: Fd, level: i32, option: i32, value: Pointer, length: Pointer);
}

const SOL_SOCKET: i32 = 1;

/// The numbers of the options.
mod so {
    pub(super) const DEBUG: i32 = 1;
    pub(super) const REUSEADDR: i32 = 2;
    pub(super) const TYPE: i32 = 3;
    pub(super) const ERROR: i32 = 4;
    pub(super) const DONTROUTE: i32 = 5;
    pub(super) const BROADCAST: i32 = 6;
    pub(super) const SNDBUF: i32 = 7;
    pub(super) const RCVBUF: i32 = 8;
    pub(super) const KEEPALIVE: i32 = 9;
    pub(super) const OOBINLINE: i32 = 10;
    pub(super) const PRIORITY: i32 = 12;
    pub(super) const LINGER: i32 = 13;
    pub(super) const REUSEPORT: i32 = 15;
    pub(super) const PASSCRED: i32 = 16;
    pub(super) const PEERCRED: i32 = 17;
    pub(super) const RCVLOWAT: i32 = 18;
    pub(super) const SNDLOWAT: i32 = 19;
    pub(super) const RCVTIMEO: i32 = 20;
    pub(super) const SNDTIMEO: i32 = 21;
    pub(super) const PEERNAME: i32 = 28;
    pub(super) const ACCEPTCONN: i32 = 30;
    pub(super) const SNDBUFFORCE: i32 = 32;
    pub(super) const RCVBUFFORCE: i32 = 33;
    pub(super) const PASSSEC: i32 = 34;
    pub(super) const PROTOCOL: i32 = 38;
    pub(super) const DOMAIN: i32 = 39;
    pub(super) const PEERGROUPS: i32 = 59;
    pub(super) const RCVTIMEO_NEW: i32 = 66;
    pub(super) const SNDTIMEO_NEW: i32 = 67;
    pub(super) const PASSPIDFD: i32 = 76;
    pub(super) const PEERPIDFD: i32 = 77;
    pub(super) const PASSRIGHTS: i32 = 83;
}

/// The switch behind an option.
fn switch(option: i32) -> Option<Switches> {
    Some(match option {
        so::REUSEADDR => Switches::REUSE_ADDRESS,
        so::DONTROUTE => Switches::DONT_ROUTE,
        so::BROADCAST => Switches::BROADCAST,
        so::KEEPALIVE => Switches::KEEP_ALIVE,
        so::OOBINLINE => Switches::OUT_OF_BAND_INLINE,
        so::PASSCRED => Switches::PASS_CREDENTIALS,
        so::PASSPIDFD => Switches::PASS_PIDFD,
        so::PASSSEC => Switches::PASS_SECURITY,
        _ => return None,
    })
}

async fn setsockopt(
    thread: &Thread,
    fd: Fd,
    level: i32,
    option: i32,
    value: Pointer,
    length: i32,
) -> Result<u64> {
    let file = socket_file(thread, fd, FdRights::empty())?;
    let socket = Socket::of(&file)?;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    if length < 4 {
        return Err(Errno::EINVAL);
    }
    // None is longer than sixteen bytes.
    let mut bytes = [0; 16];
    let given = length.min(bytes.len());
    copy_in(&*thread.space(), value.0, &mut bytes[..given]).await?;
    set(thread, socket, option, &bytes[..given])?;
    Ok(0)
}

/// The 32-bit word that most options are.
fn word(bytes: &[u8]) -> Result<i32> {
    bytes.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)).ok_or(Errno::EINVAL)
}

fn set(thread: &Thread, socket: &Socket, option: i32, bytes: &[u8]) -> Result<()> {
    let value = word(bytes)?;
    let options = socket.options();
    match option {
        so::DEBUG => {
            let allowed = value == 0 || thread.caller().credentials.capable(Capabilities::SYS_ADMIN);
            // Nothing is recorded, so it stays off.
            if allowed { Ok(()) } else { Err(Errno::EACCES) }
        }
        so::SNDBUF => {
            socket.set_send_buffer(doubled(value, BUFFER_MAX, SEND_BUFFER_MIN));
            Ok(())
        }
        so::RCVBUF => set_receive_buffer(socket, doubled(value, BUFFER_MAX, RECEIVE_BUFFER_MIN)),
        so::SNDBUFFORCE | so::RCVBUFFORCE
            if !thread.caller().credentials.capable(Capabilities::SYS_ADMIN) =>
        {
            Err(Errno::EPERM)
        }
        so::SNDBUFFORCE => {
            socket.set_send_buffer(doubled(value.max(0), usize::MAX, SEND_BUFFER_MIN));
            Ok(())
        }
        so::RCVBUFFORCE => set_receive_buffer(socket, doubled(value.max(0), usize::MAX, RECEIVE_BUFFER_MIN)),
        so::PRIORITY => {
            let allowed =
                (0..=6).contains(&value) || thread.caller().credentials.capable(Capabilities::SYS_ADMIN);
            options.set_priority(value.cast_unsigned());
            if allowed { Ok(()) } else { Err(Errno::EPERM) }
        }
        so::LINGER => {
            let seconds = bytes.get(4..).ok_or(Errno::EINVAL).and_then(word)?;
            options.set_linger(value != 0, seconds.cast_unsigned());
            Ok(())
        }
        so::RCVLOWAT => {
            let bytes = if value < 0 { i32::MAX } else { value.max(1) };
            options.set_low_water(bytes.cast_unsigned());
            Ok(())
        }
        so::RCVTIMEO | so::RCVTIMEO_NEW => {
            options.set_receive_timeout(timeout(bytes)?);
            Ok(())
        }
        so::SNDTIMEO | so::SNDTIMEO_NEW => {
            options.set_send_timeout(timeout(bytes)?);
            Ok(())
        }
        so::REUSEPORT if value != 0 => Err(Errno::EOPNOTSUPP),
        so::REUSEPORT => Ok(()),
        so::PASSRIGHTS => {
            options.switch(Switches::REFUSE_RIGHTS, value == 0);
            Ok(())
        }
        _ => {
            options.switch(switch(option).ok_or(Errno::ENOPROTOOPT)?, value != 0);
            Ok(())
        }
    }
}

/// A buffer size as Linux takes it: a negative number is a large one, and half of it is for the kernel.
fn doubled(value: i32, most: usize, least: usize) -> usize {
    (value.cast_unsigned() as usize).min(most).saturating_mul(2).clamp(least, i32::MAX as usize)
}

fn set_receive_buffer(socket: &Socket, bytes: usize) -> Result<()> {
    socket.options().set_receive_buffer(u32::try_from(bytes).unwrap_or(u32::MAX));
    Ok(())
}

/// A timeout from a `struct timeval`: zero is none, a negative one does not wait.
fn timeout(bytes: &[u8]) -> Result<Option<Duration>> {
    let half =
        |at: usize| bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(i64::from_le_bytes);
    let (Some(seconds), Some(micros)) = (half(0), half(8)) else { return Err(Errno::EINVAL) };
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    let micros = u32::try_from(micros).map_err(|_| Errno::EDOM)?;
    Ok(match u64::try_from(seconds) {
        Err(_) => Some(Duration::ZERO),
        Ok(0) if micros == 0 => None,
        Ok(seconds) => Some(Duration::new(seconds, micros * 1000)),
    })
}

async fn getsockopt(
    thread: &Thread,
    fd: Fd,
    level: i32,
    option: i32,
    value: Pointer,
    length: Pointer,
) -> Result<u64> {
    let file = socket_file(thread, fd, FdRights::empty())?;
    let space = thread.space();
    let room = read_u32(&*space, length.0).await?.cast_signed();
    if level != SOL_SOCKET {
        return Err(Errno::ENOPROTOOPT);
    }
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let socket = Socket::of(&file)?;
    if option == so::PEERPIDFD {
        return peer_pidfd(thread, socket, value, length, room).await;
    }
    let answer = match option {
        so::PEERNAME => peer_name(socket, room)?,
        so::PEERGROUPS => match peer_groups(socket)? {
            groups if groups.len() > room => {
                write_u32(&*space, length.0, u32::try_from(groups.len()).unwrap_or(0)).await?;
                return Err(Errno::ERANGE);
            }
            groups => groups,
        },
        _ => get(socket, option)?,
    };
    let answer = answer.get(..room).unwrap_or(&answer);
    copy_out(&*space, value.0, answer).await?;
    write_u32(&*space, length.0, u32::try_from(answer.len()).unwrap_or(0)).await?;
    Ok(0)
}

/// A descriptor of the process that connected, listened or made the pair.
async fn peer_pidfd(
    thread: &Thread,
    socket: &Socket,
    value: Pointer,
    length: Pointer,
    room: usize,
) -> Result<u64> {
    let peer = socket.peer_credentials().ok_or(Errno::ENODATA)?;
    let process = process_still(peer.ids.pid, Some(&peer.account))?;
    let (caller, files, space) = (thread.caller(), thread.files(), thread.space());
    let place = files.reserve(&caller, 0)?;
    let file = PidFd::open(&caller, Some(process), false)?;
    let number = place.number().to_le_bytes();
    let told = number.get(..room).unwrap_or(&number);
    copy_out(&*space, value.0, told).await?;
    write_u32(&*space, length.0, u32::try_from(told.len()).unwrap_or(0)).await?;
    place.install(FdEntry::new(file, true));
    Ok(0)
}

fn peer_name(socket: &Socket, room: usize) -> Result<Vec<u8>> {
    let mut raw = encode(socket.peer_name()?.as_deref());
    if raw.len() < room {
        return Err(Errno::EINVAL);
    }
    raw.truncate(room);
    Ok(raw)
}

fn peer_groups(socket: &Socket) -> Result<Vec<u8>> {
    let peer = socket.peer_credentials().ok_or(Errno::ENODATA)?;
    Ok(peer.groups.iter().flat_map(|group| group.to_le_bytes()).collect())
}

fn get(socket: &Socket, option: i32) -> Result<Vec<u8>> {
    let options = socket.options();
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let value: u32 = match option {
        so::DEBUG | so::PROTOCOL | so::REUSEPORT => 0,
        so::TYPE => socket.kind().number(),
        so::ERROR => socket.take_error().map_or(0, |error| error.number().into()),
        so::SNDBUF => number(socket.send_buffer()),
        so::RCVBUF => options.receive_buffer(),
        so::PRIORITY => options.priority(),
        so::RCVLOWAT => options.low_water(),
        so::SNDLOWAT => 1,
        so::ACCEPTCONN => socket.is_listening().into(),
        so::DOMAIN => AF_UNIX.into(),
        so::PASSRIGHTS => (!options.has(Switches::REFUSE_RIGHTS)).into(),
        so::LINGER => {
            let (on, seconds) = options.linger();
            return Ok([u32::from(on).to_le_bytes(), seconds.to_le_bytes()].concat());
        }
        so::PEERCRED => return Ok(peer_credentials(socket)),
        so::RCVTIMEO | so::RCVTIMEO_NEW => return Ok(timeval(options.receive_timeout())),
        so::SNDTIMEO | so::SNDTIMEO_NEW => return Ok(timeval(options.send_timeout())),
        _ => options.has(switch(option).ok_or(Errno::ENOPROTOOPT)?).into(),
    };
    Ok(value.to_le_bytes().to_vec())
}

/// Before there is a peer, its ids are those of nobody.
fn peer_credentials(socket: &Socket) -> Vec<u8> {
    match socket.peer_credentials() {
        Some(peer) => peer.ids.encode().to_vec(),
        None => [0, u32::MAX, u32::MAX].iter().flat_map(|word: &u32| word.to_le_bytes()).collect(),
    }
}

fn timeval(timeout: Option<Duration>) -> Vec<u8> {
    let timeout = timeout.unwrap_or_default();
    [timeout.as_secs().to_le_bytes(), u64::from(timeout.subsec_micros()).to_le_bytes()].concat()
}
