//! Executing programs.

use base::{Errno, Result};
use fs::vfs::WalkFlags;

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::machine::UserContext;
use crate::process::exec::{ExecRequest, exec};
use crate::thread::Thread;
use crate::user::read_path;

declare! {
    context 59 => execve(path: Pointer, arguments: u64, environment: u64);
    context 322 => execveat(directory: Fd, path: Pointer, arguments: u64, environment: u64, flags: u32);
}

const AT_FDCWD: i32 = -100;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EMPTY_PATH: u32 = 0x1000;

async fn execve(
    thread: &Thread,
    context: &mut UserContext,
    path: Pointer,
    arguments: u64,
    environment: u64,
) -> Result<u64> {
    let path = read_path(&*thread.space(), path.0).await?;
    let request = ExecRequest { path, directory: None, walk: WalkFlags::FOLLOW, arguments, environment };
    exec(thread, context, request).await
}

async fn execveat(
    thread: &Thread,
    context: &mut UserContext,
    directory: Fd,
    path: Pointer,
    arguments: u64,
    environment: u64,
    flags: u32,
) -> Result<u64> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = read_path(&*thread.space(), path.0).await?;
    let mut walk = WalkFlags::empty();
    walk.set(WalkFlags::FOLLOW, flags & AT_SYMLINK_NOFOLLOW == 0);
    walk.set(WalkFlags::EMPTY, flags & AT_EMPTY_PATH != 0);
    let directory = (directory.0 != AT_FDCWD).then_some(directory.0);
    exec(thread, context, ExecRequest { path, directory, walk, arguments, environment }).await
}
