//! inotify. Source: `inotify_init(2)`, `inotify_add_watch(2)`, `inotify_rm_watch(2)`.

use base::{Errno, Result};
use fs::file::OpenFlags;
use fs::inotify::{Inotify, WatchFlags};
use fs::vfs::{Permission, WalkFlags, permission};

use super::paths::{CWD, Named};
use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::thread::Thread;

declare! {
    sync 253 => inotify_init();
    async 254 => inotify_add_watch(fd: Fd, path: Pointer, mask: u32);
    sync 255 => inotify_rm_watch(fd: Fd, wd: i32);
    sync 294 => inotify_init1(flags: u32);
}

fn inotify_init(thread: &Thread) -> Result<u64> {
    inotify_init1(thread, 0)
}

fn inotify_init1(thread: &Thread, flags: u32) -> Result<u64> {
    let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) {
        return Err(Errno::EINVAL);
    }
    let caller = thread.caller();
    let file = Inotify::open(&caller, flags.contains(OpenFlags::NONBLOCK))?;
    let fd = thread.files().insert(&caller, file, flags.contains(OpenFlags::CLOEXEC))?;
    Ok(u64::from(fd.unsigned_abs()))
}

async fn inotify_add_watch(thread: &Thread, fd: Fd, path: Pointer, mask: u32) -> Result<u64> {
    let flags = WatchFlags::from_bits(mask).filter(|flags| !flags.is_empty()).ok_or(Errno::EINVAL)?;
    let file = thread.files().get(fd.0)?;
    if flags.contains(WatchFlags::MASK_ADD | WatchFlags::MASK_CREATE) {
        return Err(Errno::EINVAL);
    }
    let instance = Inotify::of(&file)?;
    let mut walk = WalkFlags::empty();
    walk.set(WalkFlags::FOLLOW, !flags.contains(WatchFlags::DONT_FOLLOW));
    walk.set(WalkFlags::DIRECTORY, flags.contains(WatchFlags::ONLYDIR));
    let place = Named::read(thread, CWD, path).await?.resolve(walk)?;
    let caller = thread.caller();
    permission(&caller.credentials, &place.inode().metadata(), Permission::READ)?;
    let wd = instance.watch(&caller, place.inode(), flags)?;
    Ok(u64::from(wd.unsigned_abs()))
}

fn inotify_rm_watch(thread: &Thread, fd: Fd, wd: i32) -> Result<u64> {
    let file = thread.files().get(fd.0)?;
    Inotify::of(&file)?.remove(wd)?;
    Ok(0)
}
