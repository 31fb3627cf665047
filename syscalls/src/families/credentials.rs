//! User and group ids. Source: `credentials(7)`.

use alloc::vec::Vec;

use base::caller::Credentials;
use base::{Errno, Result};

use crate::declare;
use crate::declare::Pointer;
use crate::process::identity::{groups, users};
use crate::thread::Thread;
use crate::user::{copy_in, copy_out, write_u32};

declare! {
    sync 102 => getuid();
    sync 104 => getgid();
    sync 105 => setuid(uid: u32);
    sync 106 => setgid(gid: u32);
    sync 107 => geteuid();
    sync 108 => getegid();
    sync 113 => setreuid(real: u32, effective: u32);
    sync 114 => setregid(real: u32, effective: u32);
    async 115 => getgroups(size: i32, list: Pointer);
    async 116 => setgroups(size: u32, list: Pointer);
    sync 117 => setresuid(real: u32, effective: u32, saved: u32);
    async 118 => getresuid(real: Pointer, effective: Pointer, saved: Pointer);
    sync 119 => setresgid(real: u32, effective: u32, saved: u32);
    async 120 => getresgid(real: Pointer, effective: Pointer, saved: Pointer);
    sync 122 => setfsuid(uid: u32);
    sync 123 => setfsgid(gid: u32);
}

fn getuid(thread: &Thread) -> Result<u64> {
    thread.with_credentials(|own| Ok(own.uid.into()))
}

fn geteuid(thread: &Thread) -> Result<u64> {
    thread.with_credentials(|own| Ok(own.euid.into()))
}

fn getgid(thread: &Thread) -> Result<u64> {
    thread.with_credentials(|own| Ok(own.gid.into()))
}

fn getegid(thread: &Thread) -> Result<u64> {
    thread.with_credentials(|own| Ok(own.egid.into()))
}

/// Replaces the caller's credentials by what `rule` makes of them.
fn change(thread: &Thread, rule: impl FnOnce(&Credentials) -> Result<Credentials>) -> Result<u64> {
    let new = rule(&thread.credentials())?;
    thread.set_credentials(new);
    Ok(0)
}

fn setuid(thread: &Thread, uid: u32) -> Result<u64> {
    change(thread, |old| users::set(old, uid))
}

fn setreuid(thread: &Thread, real: u32, effective: u32) -> Result<u64> {
    change(thread, |old| users::set_real_effective(old, real, effective))
}

fn setresuid(thread: &Thread, real: u32, effective: u32, saved: u32) -> Result<u64> {
    change(thread, |old| users::set_all(old, real, effective, saved))
}

fn setfsuid(thread: &Thread, uid: u32) -> Result<u64> {
    let old = thread.credentials();
    if let Some(new) = users::set_fs(&old, uid) {
        thread.set_credentials(new);
    }
    Ok(old.fsuid.into())
}

fn setgid(thread: &Thread, gid: u32) -> Result<u64> {
    change(thread, |old| groups::set(old, gid))
}

fn setregid(thread: &Thread, real: u32, effective: u32) -> Result<u64> {
    change(thread, |old| groups::set_real_effective(old, real, effective))
}

fn setresgid(thread: &Thread, real: u32, effective: u32, saved: u32) -> Result<u64> {
    change(thread, |old| groups::set_all(old, real, effective, saved))
}

fn setfsgid(thread: &Thread, gid: u32) -> Result<u64> {
    let old = thread.credentials();
    if let Some(new) = groups::set_fs(&old, gid) {
        thread.set_credentials(new);
    }
    Ok(old.fsgid.into())
}

async fn getresuid(thread: &Thread, real: Pointer, effective: Pointer, saved: Pointer) -> Result<u64> {
    let own = thread.credentials();
    write_three(thread, [real, effective, saved], [own.uid, own.euid, own.suid]).await
}

async fn getresgid(thread: &Thread, real: Pointer, effective: Pointer, saved: Pointer) -> Result<u64> {
    let own = thread.credentials();
    write_three(thread, [real, effective, saved], [own.gid, own.egid, own.sgid]).await
}

async fn write_three(thread: &Thread, to: [Pointer; 3], ids: [u32; 3]) -> Result<u64> {
    let space = thread.space();
    for (to, id) in to.into_iter().zip(ids) {
        write_u32(&*space, to.0, id).await?;
    }
    Ok(0)
}

async fn getgroups(thread: &Thread, size: i32, list: Pointer) -> Result<u64> {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let own = thread.credentials();
    if size != 0 {
        if own.groups.len() > size {
            return Err(Errno::EINVAL);
        }
        let bytes: Vec<u8> = own.groups.iter().flat_map(|group| group.to_le_bytes()).collect();
        copy_out(&*thread.space(), list.0, &bytes).await?;
    }
    Ok(own.groups.len() as u64)
}

async fn setgroups(thread: &Thread, size: u32, list: Pointer) -> Result<u64> {
    let count = groups::may_set_supplementary(&thread.credentials(), size)?;
    let mut bytes = alloc::vec![0; count * 4];
    copy_in(&*thread.space(), list.0, &mut bytes).await?;
    let ids = bytes.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]])).collect();
    change(thread, |old| groups::set_supplementary(old, ids))
}
