//! Rights of descriptors, and conversions between descriptors and handles. The exact ABI: `docs/abi.md`.

use base::{Errno, Result};
use fs::file::{FdRights, OpenFlags};
use fs::handle::convert;
use ipc::AccessOp;

use super::handles::{cloexec_of, no_flags, required, rights_of};
use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::thread::Thread;
use crate::user::copy_out;

declare! {
    async 4608 => cap_rights_get(fd: Fd, out: Pointer);
    sync 4609 => cap_rights_limit(fd: Fd, mask: u64, flags: u64);
    async 4610 => handle_from_fd(fd: Fd, out: Pointer, mask: u64, flags: u64);
    async 4611 => fd_from_handle(handle: i32, out: Pointer, flags: u64);
}

async fn cap_rights_get(thread: &Thread, fd: Fd, out: Pointer) -> Result<u64> {
    let out = required(out)?;
    let rights = thread.files().entry(fd.0)?.rights;
    copy_out(&*thread.space(), out, &u64::from(rights.bits()).to_le_bytes()).await?;
    Ok(0)
}

fn cap_rights_limit(thread: &Thread, fd: Fd, mask: u64, flags: u64) -> Result<u64> {
    no_flags(flags)?;
    let mask = u8::try_from(mask).ok().and_then(FdRights::from_bits).ok_or(Errno::EINVAL)?;
    thread.files().limit_rights(fd.0, mask)?;
    Ok(0)
}

async fn handle_from_fd(thread: &Thread, fd: Fd, out: Pointer, mask: u64, flags: u64) -> Result<u64> {
    let cloexec = cloexec_of(flags)?;
    let mask = rights_of(mask)?;
    let out = required(out)?;
    let entry = thread.files().entry_required(fd.0, FdRights::empty())?;
    let (table, caller) = (thread.handles(), thread.caller());
    let capability = convert::capability_of(&caller, &entry, mask)?;
    let mut landing = table.land(&caller, 1, cloexec)?;
    copy_out(&*caller.memory, out, &landing.number(0).to_le_bytes()).await?;
    landing.install(capability)?;
    Ok(0)
}

async fn fd_from_handle(thread: &Thread, handle: i32, out: Pointer, flags: u64) -> Result<u64> {
    let flags = u32::try_from(flags).ok().and_then(OpenFlags::from_bits).ok_or(Errno::EINVAL)?;
    if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) {
        return Err(Errno::EINVAL);
    }
    let out = required(out)?;
    let access = thread.handles().get(handle, AccessOp::Duplicate)?;
    let (files, caller) = (thread.files(), thread.caller());
    let entry = convert::descriptor_of(&caller, &access, flags)?;
    let reserved = files.reserve(&caller, 0)?;
    copy_out(&*caller.memory, out, &reserved.number().to_le_bytes()).await?;
    reserved.install(entry);
    Ok(0)
}
