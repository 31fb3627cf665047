//! The owner of a file, which `O_ASYNC` tells that it became ready. Source: `fcntl(2)`, "Managing signals".

use alloc::sync::Arc;

use base::{Errno, Result};
use fs::file::{FileOwner, OpenFile, OwnerKind};

use crate::declare::Pointer;
use crate::process::table;
use crate::signal::Signal;
use crate::thread::Thread;
use crate::user::{copy_in, copy_out, read_u32};

const F_SETOWN: i32 = 8;
const F_GETOWN: i32 = 9;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_GETOWNER_UIDS: i32 = 17;

/// Kinds of owners in `struct f_owner_ex`.
const F_OWNER_TID: u32 = 0;
const F_OWNER_PID: u32 = 1;
const F_OWNER_PGRP: u32 = 2;

/// True for the commands of this module.
pub(super) fn is_owner_command(command: i32) -> bool {
    matches!(command, F_SETOWN..=F_GETSIG | F_SETOWN_EX..=F_GETOWNER_UIDS)
}

/// Reads or sets the owner of a file, or the signal that it gets.
///
/// # Errors
///
/// `EINVAL` for a number that is no signal, or a kind that is none; `ESRCH` when there is no such process; `EFAULT`.
pub(super) async fn owner(thread: &Thread, file: &Arc<OpenFile>, command: i32, argument: u64) -> Result<u64> {
    #[allow(clippy::cast_possible_truncation, reason = "Linux reads an int")]
    let number = argument as i32;
    match command {
        F_SETOWN => set(thread, file, kind_and_id(number)?).map(|()| 0),
        F_GETOWN => Ok(signed_id(&file.owner()).cast_unsigned()),
        F_SETSIG => {
            if number != 0 {
                Signal::new(number)?;
            }
            file.set_owner(FileOwner { signal: number.unsigned_abs(), ..file.owner() });
            Ok(0)
        }
        F_GETSIG => Ok(file.owner().signal.into()),
        F_SETOWN_EX => {
            let mut bytes = [[0; 4]; 2];
            copy_in(&*thread.space(), argument, bytes.as_flattened_mut()).await?;
            let [kind, id] = bytes.map(u32::from_le_bytes);
            let kind = match kind {
                F_OWNER_TID => OwnerKind::Thread,
                F_OWNER_PID => OwnerKind::Process,
                F_OWNER_PGRP => OwnerKind::Group,
                _ => return Err(Errno::EINVAL),
            };
            set(thread, file, (kind, id)).map(|()| 0)
        }
        F_GETOWN_EX => {
            let owner = file.owner();
            let kind = match owner.kind {
                Some(OwnerKind::Process) => F_OWNER_PID,
                Some(OwnerKind::Group) => F_OWNER_PGRP,
                // Nobody is thread 0.
                Some(OwnerKind::Thread) | None => F_OWNER_TID,
            };
            copy_out(&*thread.space(), argument, [kind, owner.id].map(u32::to_le_bytes).as_flattened())
                .await?;
            Ok(0)
        }
        _ => {
            let FileOwner { uid, euid, .. } = file.owner();
            copy_out(&*thread.space(), argument, [uid, euid].map(u32::to_le_bytes).as_flattened()).await?;
            Ok(0)
        }
    }
}

/// Whom a number means: a process, or negative a group.
fn kind_and_id(number: i32) -> Result<(OwnerKind, u32)> {
    match number {
        i32::MIN => Err(Errno::EINVAL),
        _ if number < 0 => Ok((OwnerKind::Group, number.unsigned_abs())),
        _ => Ok((OwnerKind::Process, number.unsigned_abs())),
    }
}

fn signed_id(owner: &FileOwner) -> i64 {
    match owner.kind {
        Some(OwnerKind::Group) => -i64::from(owner.id),
        _ => i64::from(owner.id),
    }
}

/// Makes somebody the owner; 0 makes it nobody.
fn set(thread: &Thread, file: &OpenFile, (kind, id): (OwnerKind, u32)) -> Result<()> {
    let exists = match kind {
        _ if id == 0 => true,
        OwnerKind::Thread => table::find_thread(id).is_some(),
        OwnerKind::Process => table::find_process(id).is_some(),
        OwnerKind::Group => !table::group_members(id).is_empty(),
    };
    if !exists {
        return Err(Errno::ESRCH);
    }
    let credentials = thread.credentials();
    let kind = (id != 0).then_some(kind);
    let (uid, euid) = (credentials.uid, credentials.euid);
    file.set_owner(FileOwner { kind, id, uid, euid, ..file.owner() });
    Ok(())
}

/// `FIOASYNC`: sets or clears `O_ASYNC` as the `int` at `argument` says.
///
/// # Errors
///
/// `EFAULT`; `ENOTTY` for a file that tells nobody.
pub(super) async fn set_async(
    thread: &Thread,
    file: &Arc<OpenFile>,
    fd: i32,
    argument: Pointer,
) -> Result<u64> {
    let on = read_u32(&*thread.space(), argument.0).await? != 0;
    if file.set_async(fd, on) { Ok(0) } else { Err(Errno::ENOTTY) }
}
