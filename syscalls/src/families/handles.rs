//! Handles: close, duplicate, narrow, ask, revoke. The exact ABI: `docs/abi.md`.
//!
//! Every call of Kairos checks in one order: flags, options and masks (all 64 bits), null pointers, sizes,
//! memory, handle, rights, type, state.

use base::{Errno, Result};
use ipc::Rights;

use crate::declare;
use crate::declare::Pointer;
use crate::thread::Thread;

declare! {
    async 4600 => handle_close(handle: i32, flags: u64) after try_close;
    sync 4601 => handle_duplicate(handle: i32, mask: u64, out: Pointer, flags: u64);
    sync 4612 => handle_info(handle: i32, out: Pointer, flags: u64);
    sync 4613 => handle_narrow(handle: i32, mask: u64, flags: u64);
    async 4614 => handle_revoke_descendants(handle: i32, flags: u64);
}

/// `handle_close`: revoke first what was derived from the handle.
const REVOKE_DESCENDANTS: u64 = 1;

/// Flag of everything that makes a handle: exec closes it.
const CLOEXEC: u64 = 1;

/// Decodes flags of which only CLOEXEC is known.
pub(super) fn cloexec_of(flags: u64) -> Result<bool> {
    if flags & !CLOEXEC != 0 { Err(Errno::EINVAL) } else { Ok(flags & CLOEXEC != 0) }
}

/// Decodes a mask of handle rights.
pub(super) fn rights_of(mask: u64) -> Result<Rights> {
    u32::try_from(mask).ok().and_then(Rights::from_bits).ok_or(Errno::EINVAL)
}

/// Refuses NULL.
pub(super) fn required(pointer: Pointer) -> Result<u64> {
    if pointer.is_null() { Err(Errno::EFAULT) } else { Ok(pointer.0) }
}

/// Refuses flags of a call that has none yet.
pub(super) fn no_flags(flags: u64) -> Result<()> {
    if flags == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Everything but a revocation, which takes time.
fn try_close(thread: &Thread, handle: i32, flags: u64) -> Option<Result<u64>> {
    match flags {
        0 => Some(thread.handles().close(handle).map(|()| 0)),
        REVOKE_DESCENDANTS => None,
        _ => Some(Err(Errno::EINVAL)),
    }
}

/// Closes with a revocation: [`try_close`] has answered everything else.
async fn handle_close(thread: &Thread, handle: i32, _flags: u64) -> Result<u64> {
    thread.handles().begin_revocation(handle, true)?.finish().await;
    Ok(0)
}

fn handle_duplicate(thread: &Thread, handle: i32, mask: u64, out: Pointer, flags: u64) -> Result<u64> {
    let cloexec = cloexec_of(flags)?;
    let mask = rights_of(mask)?;
    required(out)?;
    let (table, caller) = (thread.handles(), thread.caller());
    let (mut landing, copy) = table.prepare_duplicate(&caller, handle, mask, cloexec)?;
    // Nothing is there yet if this fails.
    thread.put(out, &landing.number(0).to_le_bytes())?;
    landing.install(copy)?;
    Ok(0)
}

/// Writes type u32, rights u32, object id u32, 0 u32, capability id u64.
fn handle_info(thread: &Thread, handle: i32, out: Pointer, flags: u64) -> Result<u64> {
    no_flags(flags)?;
    required(out)?;
    let info = thread.handles().info(handle)?;
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&info.kind.to_le_bytes());
    bytes[4..8].copy_from_slice(&info.rights.to_le_bytes());
    bytes[8..12].copy_from_slice(&info.object.to_le_bytes());
    bytes[16..].copy_from_slice(&info.capability.to_le_bytes());
    thread.put(out, &bytes)?;
    Ok(0)
}

fn handle_narrow(thread: &Thread, handle: i32, mask: u64, flags: u64) -> Result<u64> {
    no_flags(flags)?;
    let mask = rights_of(mask)?;
    thread.handles().narrow(handle, mask)?;
    Ok(0)
}

async fn handle_revoke_descendants(thread: &Thread, handle: i32, flags: u64) -> Result<u64> {
    no_flags(flags)?;
    thread.handles().begin_revocation(handle, false)?.finish().await;
    Ok(0)
}
