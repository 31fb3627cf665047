//! Ancillary data: what goes along with a message. Source: `cmsg(3)`, `unix(7)`.

use alloc::vec::Vec;

use base::{Errno, Result};
use fs::file::{FdEntry, FdRights};
use fs::unix::options::Switches;
use fs::unix::{Outgoing, RIGHTS_MAX, Reception, Rights, Sender, Socket, Ucred};

use crate::declare::Pointer;
use crate::process::pidfd::{PidFd, process_still};
use crate::thread::Thread;
use crate::user::{copy_in, copy_out};

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
const SCM_PIDFD: i32 = 4;
/// Bytes of a `struct cmsghdr`.
const HEADER: usize = 16;
/// Most bytes of ancillary data: `net.core.optmem_max`.
const CONTROL_MAX: u64 = 131_072;

/// Reads the ancillary data of a message that is sent.
///
/// # Errors
///
/// `ENOBUFS` when it is too long; `EINVAL` when it is badly formed or of an unknown type; `EBADF`; `EPERM` for
/// credentials that are not the caller's; `ETOOMANYREFS`; `EFAULT`, `ENOMEM`.
pub(super) async fn read_control(thread: &Thread, at: Pointer, length: u64) -> Result<Outgoing> {
    if length > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut outgoing = Outgoing::default();
    let length = usize::try_from(length).map_err(|_| Errno::ENOBUFS)?;
    if length == 0 {
        return Ok(outgoing);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Errno::ENOBUFS)?;
    bytes.resize(length, 0);
    copy_in(&*thread.space(), at.0, &mut bytes).await?;
    let mut entries = Vec::new();
    let mut rest = bytes.as_slice();
    while rest.len() >= HEADER {
        let (size, level, kind) = header(rest)?;
        if level == SOL_SOCKET {
            let data = rest.get(HEADER..size).ok_or(Errno::EINVAL)?;
            match kind {
                SCM_RIGHTS => add_rights(thread, data, &mut entries)?,
                SCM_CREDENTIALS => outgoing.credentials = Some(credentials(thread, data)?),
                _ => return Err(Errno::EINVAL),
            }
        }
        rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
    }
    if !entries.is_empty() {
        outgoing.rights = Some(Rights::new(&thread.caller(), entries)?);
    }
    Ok(outgoing)
}

/// Length, level and type at the head of `rest`.
fn header(rest: &[u8]) -> Result<(usize, i32, i32)> {
    let word =
        |at: usize| rest.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_le_bytes);
    let size = rest.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or(Errno::EINVAL)?;
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    match (word(8), word(12)) {
        (Some(level), Some(kind)) if (HEADER..=rest.len()).contains(&size) => Ok((size, level, kind)),
        _ => Err(Errno::EINVAL),
    }
}

fn add_rights(thread: &Thread, data: &[u8], entries: &mut Vec<FdEntry>) -> Result<()> {
    let numbers = data.as_chunks().0;
    if entries.len() + numbers.len() > RIGHTS_MAX {
        return Err(Errno::EINVAL);
    }
    let files = thread.files();
    for number in numbers {
        let entry = files.entry(i32::from_le_bytes(*number))?;
        entry.rights.require(FdRights::DUP).map_err(|_| Errno::EBADF)?;
        entries.push(entry);
    }
    Ok(())
}

fn credentials(thread: &Thread, data: &[u8]) -> Result<Ucred> {
    let ([pid, uid, gid], []) = data.as_chunks() else { return Err(Errno::EINVAL) };
    let ucred =
        Ucred { pid: u32::from_le_bytes(*pid), uid: u32::from_le_bytes(*uid), gid: u32::from_le_bytes(*gid) };
    ucred.check(&thread.caller())?;
    if crate::process::table::find_process(ucred.pid).is_none() {
        return Err(Errno::ESRCH);
    }
    if ucred.uid == u32::MAX || ucred.gid == u32::MAX {
        return Err(Errno::EINVAL);
    }
    Ok(ucred)
}

/// What became of the program's buffer for ancillary data.
pub(super) struct Written {
    /// Bytes used.
    pub(super) used: u64,
    /// Something did not fit.
    pub(super) lost: bool,
}

/// The program's buffer while it is filled.
struct Control {
    at: u64,
    left: usize,
    written: Written,
}

impl Control {
    /// Advances behind one entry of `length` bytes with its header.
    fn advance(&mut self, length: usize) {
        let taken = length.next_multiple_of(8).min(self.left);
        self.at += taken as u64;
        self.left -= taken;
        self.written.used += taken as u64;
    }

    /// Adds one entry, as much of it as fits.
    async fn put(&mut self, thread: &Thread, kind: i32, data: &[u8]) -> Result<()> {
        if self.left < HEADER {
            self.written.lost = true;
            return Ok(());
        }
        let mut length = HEADER + data.len();
        if length > self.left {
            self.written.lost = true;
            length = self.left;
        }
        copy_out(&*thread.space(), self.at, &entry_header(length, kind)).await?;
        let data = data.get(..length - HEADER).unwrap_or_default();
        copy_out(&*thread.space(), self.at + HEADER as u64, data).await?;
        self.advance(length);
        Ok(())
    }

    /// Adds a descriptor of the process that sent the message, or the error that there is none.
    async fn put_pidfd(&mut self, thread: &Thread, sender: Option<Sender>) -> Result<()> {
        if self.left < HEADER + 4 {
            self.written.lost = true;
            return Ok(());
        }
        let Some(Sender { ids, account }) = sender else { return Ok(()) };
        let (caller, files) = (thread.caller(), thread.files());
        let open = || {
            let process = process_still(ids.pid, account.as_ref())?;
            Ok((files.reserve(&caller, 0)?, PidFd::open(&caller, Some(process), false)?))
        };
        match open() {
            Ok((place, file)) => {
                self.put(thread, SCM_PIDFD, &place.number().to_le_bytes()).await?;
                place.install(FdEntry::new(file, true));
                Ok(())
            }
            Err(error) => {
                let number: Errno = error;
                self.put(thread, SCM_PIDFD, &(-i32::from(number.number())).to_le_bytes()).await
            }
        }
    }

    /// Installs as many descriptors as there is room for, and tells their numbers.
    async fn put_rights(&mut self, thread: &Thread, rights: Vec<FdEntry>, close_on_exec: bool) -> Result<()> {
        let room = self.left.saturating_sub(HEADER) / 4;
        let total = rights.len();
        let mut installed = 0;
        let (caller, files, space) = (thread.caller(), thread.files(), thread.space());
        for entry in rights.into_iter().take(room) {
            let Ok(place) = files.reserve(&caller, 0) else { break };
            let at = self.at.wrapping_add((HEADER + installed * 4) as u64);
            if copy_out(&*space, at, &place.number().to_le_bytes()).await.is_err() {
                break;
            }
            place.install(FdEntry { cloexec: close_on_exec, ..entry });
            installed += 1;
        }
        if installed > 0 {
            let length = HEADER + installed * 4;
            copy_out(&*space, self.at, &entry_header(length, SCM_RIGHTS)).await?;
            self.advance(length);
        }
        self.written.lost |= installed < total;
        Ok(())
    }
}

fn entry_header(length: usize, kind: i32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&(length as u64).to_le_bytes());
    bytes[8..12].copy_from_slice(&SOL_SOCKET.to_le_bytes());
    bytes[12..].copy_from_slice(&kind.to_le_bytes());
    bytes
}

/// Writes what came along with a message: the sender's credentials if the socket asks for them, descriptors.
/// Those that don't fit are closed.
///
/// # Errors
///
/// `EFAULT`.
pub(super) async fn write_control(
    thread: &Thread,
    socket: &Socket,
    reception: Reception,
    at: Pointer,
    length: u64,
    close_on_exec: bool,
) -> Result<Written> {
    let left = if at.is_null() { 0 } else { usize::try_from(length).unwrap_or(usize::MAX) };
    let mut control = Control { at: at.0, left, written: Written { used: 0, lost: false } };
    if socket.options().has(Switches::PASS_CREDENTIALS) {
        let credentials = reception.credentials().encode();
        control.put(thread, SCM_CREDENTIALS, &credentials).await?;
    }
    let Reception { rights, sender, .. } = reception;
    if !rights.is_empty() {
        control.put_rights(thread, rights, close_on_exec).await?;
    }
    if socket.options().has(Switches::PASS_PIDFD) {
        control.put_pidfd(thread, sender).await?;
    }
    Ok(control.written)
}
