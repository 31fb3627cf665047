//! File locks: flock, and the record locks of fcntl.

use alloc::sync::Arc;

use base::{Errno, Result};
use fs::file::{AccessMode, OpenFile};
use fs::lock::{self, Owner, Range, Record, Request, Strength};

use crate::declare;
use crate::declare::Fd;
use crate::thread::Thread;
use crate::user::{copy_in, copy_out};

declare! {
    async 73 => flock(fd: Fd, operation: u32) [restart];
}

/// Operations of flock(2).
const LOCK_SH: u32 = 1;
const LOCK_EX: u32 = 2;
const LOCK_NB: u32 = 4;
const LOCK_UN: u32 = 8;

async fn flock(thread: &Thread, fd: Fd, operation: u32) -> Result<u64> {
    let strength = match operation & !LOCK_NB {
        LOCK_SH => Some(Strength::Shared),
        LOCK_EX => Some(Strength::Exclusive),
        LOCK_UN => None,
        _ => return Err(Errno::EINVAL),
    };
    let file = thread.files().get(fd.0)?;
    if strength.is_some() && file.access().is_empty() {
        return Err(Errno::EBADF);
    }
    lock::flock(&thread.caller(), &file, strength, operation & LOCK_NB == 0).await?;
    Ok(0)
}

/// Record locks of fcntl(2), POSIX and of open files.
const F_GETLK: i32 = 5;
const F_SETLKW: i32 = 7;
const F_OFD_GETLK: i32 = 36;
const F_OFD_SETLKW: i32 = 38;

/// True for the commands that [`record_lock`] carries out.
pub(super) fn is_lock_command(command: i32) -> bool {
    matches!(command, F_GETLK..=F_SETLKW | F_OFD_GETLK..=F_OFD_SETLKW)
}

/// Types of a lock in a `struct flock`.
const F_RDLCK: u16 = 0;
const F_WRLCK: u16 = 1;
const F_UNLCK: u16 = 2;

/// Bytes of a `struct flock`: type, whence, start, length, pid.
const FLOCK_BYTES: usize = 32;

/// A `struct flock`.
#[derive(Clone, Copy)]
struct Flock {
    kind: u16,
    whence: u16,
    start: i64,
    length: i64,
    pid: i32,
}

impl Flock {
    async fn read(thread: &Thread, address: u64) -> Result<Flock> {
        let mut raw = [0; FLOCK_BYTES];
        copy_in(&*thread.space(), address, &mut raw).await?;
        let (halves, words) = raw.split_at(8);
        let half = |at: usize| u16::from_le_bytes([halves[at], halves[at + 1]]);
        let word = |at: usize| words[at..at + 8].try_into().map_or(0, i64::from_le_bytes);
        let pid = i32::from_le_bytes([words[16], words[17], words[18], words[19]]);
        Ok(Flock { kind: half(0), whence: half(2), start: word(0), length: word(8), pid })
    }

    async fn write(self, thread: &Thread, address: u64) -> Result<()> {
        let mut raw = [0; FLOCK_BYTES];
        raw[..2].copy_from_slice(&self.kind.to_le_bytes());
        raw[2..4].copy_from_slice(&self.whence.to_le_bytes());
        raw[8..16].copy_from_slice(&self.start.to_le_bytes());
        raw[16..24].copy_from_slice(&self.length.to_le_bytes());
        raw[24..28].copy_from_slice(&self.pid.to_le_bytes());
        copy_out(&*thread.space(), address, &raw).await
    }

    fn strength(self) -> Result<Option<Strength>> {
        match self.kind {
            F_RDLCK => Ok(Some(Strength::Shared)),
            F_WRLCK => Ok(Some(Strength::Exclusive)),
            F_UNLCK => Ok(None),
            _ => Err(Errno::EINVAL),
        }
    }

    async fn range(self, file: &OpenFile) -> Result<Range> {
        let origin = match self.whence {
            0 => 0,
            1 => *file.lock_position().await,
            2 => file.inode().metadata().size,
            _ => return Err(Errno::EINVAL),
        };
        Range::from_flock(origin, self.start, self.length)
    }
}

/// Carries out a lock command of fcntl(2) on the file of descriptor `fd`.
///
/// # Errors
///
/// `EFAULT`; `EINVAL` for a structure that makes no sense; `EBADF` when the file is not open for what is to be
/// locked; else as [`lock::set_record_lock`].
pub(super) async fn record_lock(
    thread: &Thread,
    fd: Fd,
    file: &Arc<OpenFile>,
    command: i32,
    argument: u64,
) -> Result<u64> {
    let asked = Flock::read(thread, argument).await?;
    let of_file = command >= F_OFD_GETLK;
    if of_file && asked.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let files = thread.files();
    let owner = if of_file { Owner::File(file.id()) } else { Owner::Table(files.id()) };
    if matches!(command, F_GETLK | F_OFD_GETLK) {
        return get_lock(thread, file, owner, asked, argument).await;
    }
    let range = asked.range(file).await?;
    let strength = asked.strength()?;
    let needed = match strength {
        Some(Strength::Shared) => AccessMode::READ,
        Some(Strength::Exclusive) => AccessMode::WRITE,
        None => AccessMode::empty(),
    };
    if !file.access().contains(needed) {
        return Err(Errno::EBADF);
    }
    let wait = matches!(command, F_SETLKW | F_OFD_SETLKW);
    lock::set_record_lock(&thread.caller(), file, Request { owner, range, strength }, wait).await?;
    // The descriptor may have been closed while this waited, with the locks that there were then.
    let still_open = files.get_any(fd.0).is_ok_and(|now| Arc::ptr_eq(&now, file));
    if !of_file && strength.is_some() && !still_open {
        let undo = Request { owner, range, strength: None };
        lock::set_record_lock(&thread.caller(), file, undo, false).await?;
        return Err(Errno::EBADF);
    }
    Ok(0)
}

/// `F_GETLK`: describes the lock that is in the way, or says that there is none.
async fn get_lock(
    thread: &Thread,
    file: &OpenFile,
    owner: Owner,
    asked: Flock,
    argument: u64,
) -> Result<u64> {
    let strength = asked.strength()?.ok_or(Errno::EINVAL)?;
    let range = asked.range(file).await?;
    let answer = match lock::conflicting_lock(file, owner, range, strength) {
        None => Flock { kind: F_UNLCK, ..asked },
        Some(Record { owner, range, strength, pid }) => Flock {
            kind: if strength == Strength::Shared { F_RDLCK } else { F_WRLCK },
            whence: 0,
            start: range.start.cast_signed(),
            length: range.flock_length().cast_signed(),
            pid: match owner {
                Owner::Table(_) => pid.cast_signed(),
                Owner::File(_) => -1,
            },
        },
    };
    answer.write(thread, argument).await?;
    Ok(0)
}
