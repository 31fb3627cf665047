//! Opening files, and working on names.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};
use fs::file::{FdTable, OpenFlags};
use fs::vfs::{
    self, FsContext, OpenHow, Path, RenameFlags, Start, Subject, UnmountFlags, WalkFlags, resolve,
};

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::thread::Thread;
use crate::user::{PATH_MAX, copy_out, read_path, read_string, read_words};

declare! {
    async 2 => open(path: Pointer, flags: u32, mode: u32) [restart];
    async 85 => creat(path: Pointer, mode: u32) [restart];
    async 257 => openat(dir: Fd, path: Pointer, flags: u32, mode: u32) [restart];
    async 437 => openat2(dir: Fd, path: Pointer, how: Pointer, size: usize) [restart];
    async 79 => getcwd(buffer: Pointer, size: usize);
    async 80 => chdir(path: Pointer);
    sync 81 => fchdir(fd: Fd);
    async 82 => rename(old: Pointer, new: Pointer);
    async 83 => mkdir(path: Pointer, mode: u32);
    async 84 => rmdir(path: Pointer);
    async 86 => link(old: Pointer, new: Pointer);
    async 87 => unlink(path: Pointer);
    async 88 => symlink(target: Pointer, path: Pointer);
    async 89 => readlink(path: Pointer, buffer: Pointer, size: i32);
    sync 95 => umask(mask: u32);
    async 133 => mknod(path: Pointer, mode: u32, device: u64);
    async 161 => chroot(path: Pointer);
    async 165 => mount(source: Pointer, target: Pointer, kind: Pointer, flags: u64, data: Pointer);
    async 166 => umount2(target: Pointer, flags: u32);
    async 258 => mkdirat(dir: Fd, path: Pointer, mode: u32);
    async 259 => mknodat(dir: Fd, path: Pointer, mode: u32, device: u64);
    async 263 => unlinkat(dir: Fd, path: Pointer, flags: u32);
    async 264 => renameat(old_dir: Fd, old: Pointer, new_dir: Fd, new: Pointer);
    async 265 => linkat(old_dir: Fd, old: Pointer, new_dir: Fd, new: Pointer, flags: u32);
    async 266 => symlinkat(target: Pointer, dir: Fd, path: Pointer);
    async 267 => readlinkat(dir: Fd, path: Pointer, buffer: Pointer, size: i32);
    async 316 => renameat2(old_dir: Fd, old: Pointer, new_dir: Fd, new: Pointer, flags: u32);
}

/// `AT_FDCWD`.
pub const CWD: Fd = Fd(-100);
const AT_REMOVEDIR: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const AT_EMPTY_PATH: u32 = 0x1000;

/// Where a path argument starts.
pub enum Base {
    /// At the working directory.
    Cwd,
    /// At this place.
    Place(Path),
}

impl Base {
    /// The start that `dir` names. An absolute path does not look at it.
    ///
    /// # Errors
    ///
    /// `EBADF` when it is needed and not open.
    pub fn new(files: &FdTable, dir: Fd, path: &[u8]) -> Result<Base> {
        if dir == CWD || path.first() == Some(&b'/') {
            return Ok(Base::Cwd);
        }
        Ok(Base::Place(files.get_any(dir.0)?.path().clone()))
    }

    /// As the VFS takes it.
    #[must_use]
    pub fn start(&self) -> Start<'_> {
        match self {
            Base::Cwd => Start::Cwd,
            Base::Place(place) => Start::At(place),
        }
    }
}

/// A path argument, read, with what the VFS wants to know beside it.
pub struct Named {
    /// The caller.
    pub caller: Arc<base::caller::Caller>,
    /// Its place in the file system.
    pub context: Arc<FsContext>,
    /// Where the path starts.
    pub base: Base,
    /// The path.
    pub path: Vec<u8>,
}

impl Named {
    /// Reads the path at `path`, relative to `dir`.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `ENAMETOOLONG`, `EBADF`.
    pub async fn read(thread: &Thread, dir: Fd, path: Pointer) -> Result<Named> {
        let path = read_path(&*thread.space(), path.0).await?;
        let base = Base::new(&thread.files(), dir, &path)?;
        Ok(Named { caller: thread.caller(), context: thread.fs_context(), base, path })
    }

    /// Who walks.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject { caller: &self.caller, fs: &self.context }
    }

    /// Walks to the end.
    ///
    /// # Errors
    ///
    /// Those of the walk.
    pub fn resolve(&self, flags: WalkFlags) -> Result<Path> {
        resolve(self.subject(), self.base.start(), &self.path, flags)
    }
}

async fn open(thread: &Thread, path: Pointer, flags: u32, mode: u32) -> Result<u64> {
    openat(thread, CWD, path, flags, mode).await
}

async fn creat(thread: &Thread, path: Pointer, mode: u32) -> Result<u64> {
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC;
    openat(thread, CWD, path, flags.bits(), mode).await
}

async fn openat(thread: &Thread, dir: Fd, path: Pointer, flags: u32, mode: u32) -> Result<u64> {
    // open(2) ignores flags that it does not know; openat2(2) does not.
    let how = OpenHow { flags: OpenFlags::from_bits_truncate(flags), mode, resolve: WalkFlags::empty() };
    open_how(thread, dir, path, how).await
}

async fn open_how(thread: &Thread, dir: Fd, path: Pointer, how: OpenHow) -> Result<u64> {
    let named = Named::read(thread, dir, path).await?;
    let files = thread.files();
    let reserved = files.reserve(&named.caller, 0)?;
    let file = vfs::open(named.subject(), named.base.start(), &named.path, how).await?;
    let cloexec = how.flags.contains(OpenFlags::CLOEXEC);
    let fd = reserved.install(fs::file::FdEntry::new(file, cloexec));
    u64::try_from(fd).map_err(|_| Errno::EBADF)
}

async fn openat2(thread: &Thread, dir: Fd, path: Pointer, how: Pointer, size: usize) -> Result<u64> {
    const SIZE: usize = 24;
    if size < SIZE {
        return Err(Errno::EINVAL);
    }
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    let space = thread.space();
    let [flags, mode, resolve] = read_words::<3>(&*space, how.0).await?;
    // A longer structure is fine as long as what this kernel does not know is zero.
    let mut rest = alloc::vec![0; size - SIZE];
    crate::user::copy_in(&*space, how.0 + SIZE as u64, &mut rest).await?;
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let flags = u32::try_from(flags).ok().and_then(OpenFlags::from_bits).ok_or(Errno::EINVAL)?;
    let creates = flags.intersects(OpenFlags::CREAT | OpenFlags::TMPFILE);
    if mode & !0o7777 != 0 || (mode != 0 && !creates) {
        return Err(Errno::EINVAL);
    }
    if flags.contains(OpenFlags::PATH) && !OpenFlags::WITH_PATH.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let resolve = resolve_flags(resolve)?;
    let mode = u32::try_from(mode).map_err(|_| Errno::EINVAL)?;
    open_how(thread, dir, path, OpenHow { flags, mode, resolve }).await
}

/// The `RESOLVE_*` flags of openat2(2).
fn resolve_flags(bits: u64) -> Result<WalkFlags> {
    const CACHED: u64 = 0x20;
    let known = [
        (1, WalkFlags::NO_XDEV),
        (2, WalkFlags::NO_MAGICLINKS),
        (4, WalkFlags::NO_SYMLINKS),
        (8, WalkFlags::BENEATH),
        (0x10, WalkFlags::IN_ROOT),
    ];
    let mut flags = WalkFlags::empty();
    let mut rest = bits & !CACHED;
    for (bit, flag) in known {
        if bits & bit != 0 {
            flags |= flag;
            rest &= !bit;
        }
    }
    if rest != 0 || flags.contains(WalkFlags::BENEATH | WalkFlags::IN_ROOT) {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

async fn getcwd(thread: &Thread, buffer: Pointer, size: usize) -> Result<u64> {
    let context = thread.fs_context();
    let (root, cwd) = context.root_and_cwd();
    let place = cwd.display(&root);
    if place.deleted {
        return Err(Errno::ENOENT);
    }
    let mut text = if place.reachable { Vec::new() } else { b"(unreachable)".to_vec() };
    text.extend_from_slice(&place.text);
    text.push(0);
    if text.len() > PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if text.len() > size {
        return Err(Errno::ERANGE);
    }
    copy_out(&*thread.space(), buffer.0, &text).await?;
    Ok(text.len() as u64)
}

async fn chdir(thread: &Thread, path: Pointer) -> Result<u64> {
    let named = Named::read(thread, CWD, path).await?;
    vfs::change_directory(named.subject(), &named.path).map(|()| 0)
}

fn fchdir(thread: &Thread, fd: Fd) -> Result<u64> {
    let place = thread.files().get_any(fd.0)?.path().clone();
    let (caller, context) = (thread.caller(), thread.fs_context());
    vfs::change_directory_to(Subject { caller: &caller, fs: &context }, place).map(|()| 0)
}

async fn chroot(thread: &Thread, path: Pointer) -> Result<u64> {
    let named = Named::read(thread, CWD, path).await?;
    vfs::change_root(named.subject(), &named.path).map(|()| 0)
}

fn umask(thread: &Thread, mask: u32) -> Result<u64> {
    Ok(thread.fs_context().set_umask(mask & 0o777).into())
}

async fn mkdir(thread: &Thread, path: Pointer, mode: u32) -> Result<u64> {
    mkdirat(thread, CWD, path, mode).await
}

async fn mkdirat(thread: &Thread, dir: Fd, path: Pointer, mode: u32) -> Result<u64> {
    let named = Named::read(thread, dir, path).await?;
    vfs::mkdir(named.subject(), named.base.start(), &named.path, mode).map(|()| 0)
}

async fn rmdir(thread: &Thread, path: Pointer) -> Result<u64> {
    unlinkat(thread, CWD, path, AT_REMOVEDIR).await
}

async fn unlink(thread: &Thread, path: Pointer) -> Result<u64> {
    unlinkat(thread, CWD, path, 0).await
}

async fn unlinkat(thread: &Thread, dir: Fd, path: Pointer, flags: u32) -> Result<u64> {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let named = Named::read(thread, dir, path).await?;
    let remove = if flags & AT_REMOVEDIR != 0 { vfs::rmdir } else { vfs::unlink };
    remove(named.subject(), named.base.start(), &named.path).map(|()| 0)
}

async fn mknod(thread: &Thread, path: Pointer, mode: u32, device: u64) -> Result<u64> {
    mknodat(thread, CWD, path, mode, device).await
}

async fn mknodat(thread: &Thread, dir: Fd, path: Pointer, mode: u32, device: u64) -> Result<u64> {
    let named = Named::read(thread, dir, path).await?;
    vfs::mknod(named.subject(), named.base.start(), &named.path, mode, device & 0xffff_ffff).map(|()| 0)
}

async fn rename(thread: &Thread, old: Pointer, new: Pointer) -> Result<u64> {
    renameat2(thread, CWD, old, CWD, new, 0).await
}

async fn renameat(thread: &Thread, old_dir: Fd, old: Pointer, new_dir: Fd, new: Pointer) -> Result<u64> {
    renameat2(thread, old_dir, old, new_dir, new, 0).await
}

async fn renameat2(
    thread: &Thread,
    old_dir: Fd,
    old: Pointer,
    new_dir: Fd,
    new: Pointer,
    flags: u32,
) -> Result<u64> {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let from = Named::read(thread, old_dir, old).await?;
    let to = Named::read(thread, new_dir, new).await?;
    vfs::rename(from.subject(), from.base.start(), &from.path, to.base.start(), &to.path, flags).map(|()| 0)
}

async fn link(thread: &Thread, old: Pointer, new: Pointer) -> Result<u64> {
    linkat(thread, CWD, old, CWD, new, 0).await
}

async fn linkat(
    thread: &Thread,
    old_dir: Fd,
    old: Pointer,
    new_dir: Fd,
    new: Pointer,
    flags: u32,
) -> Result<u64> {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut walk = WalkFlags::empty();
    walk.set(WalkFlags::FOLLOW, flags & AT_SYMLINK_FOLLOW != 0);
    walk.set(WalkFlags::EMPTY, flags & AT_EMPTY_PATH != 0);
    let from = Named::read(thread, old_dir, old).await?;
    let to = Named::read(thread, new_dir, new).await?;
    vfs::link(from.subject(), from.base.start(), &from.path, walk, to.base.start(), &to.path).map(|()| 0)
}

async fn symlink(thread: &Thread, target: Pointer, path: Pointer) -> Result<u64> {
    symlinkat(thread, target, CWD, path).await
}

async fn symlinkat(thread: &Thread, target: Pointer, dir: Fd, path: Pointer) -> Result<u64> {
    let target = read_path(&*thread.space(), target.0).await?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let named = Named::read(thread, dir, path).await?;
    vfs::symlink(named.subject(), &target, named.base.start(), &named.path).map(|()| 0)
}

async fn readlink(thread: &Thread, path: Pointer, buffer: Pointer, size: i32) -> Result<u64> {
    readlinkat(thread, CWD, path, buffer, size).await
}

async fn readlinkat(thread: &Thread, dir: Fd, path: Pointer, buffer: Pointer, size: i32) -> Result<u64> {
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let named = Named::read(thread, dir, path).await?;
    let place = named.resolve(WalkFlags::EMPTY)?;
    let is_link = place.inode().metadata().kind == fs::vfs::FileType::Symlink;
    if !is_link {
        // An empty path to something that is no link is no such file.
        return Err(if named.path.is_empty() { Errno::ENOENT } else { Errno::EINVAL });
    }
    let mut text = match place.inode().read_link(&named.caller)? {
        vfs::LinkTarget::Text(text) => text,
        vfs::LinkTarget::Place(place) => place.display(&named.context.root()).into_link(),
    };
    text.truncate(size);
    copy_out(&*thread.space(), buffer.0, &text).await?;
    Ok(text.len() as u64)
}

async fn mount(
    thread: &Thread,
    source: Pointer,
    target: Pointer,
    kind: Pointer,
    flags: u64,
    data: Pointer,
) -> Result<u64> {
    let space = thread.space();
    let optional = async |at: Pointer| match at.is_null() {
        true => Ok(None),
        false => read_string(&*space, at.0, PATH_MAX, Errno::EINVAL).await.map(Some),
    };
    let kind = optional(kind).await?;
    let source = optional(source).await?.unwrap_or_default();
    let data = optional(data).await?.unwrap_or_default();
    let target = Named::read(thread, CWD, target).await?;
    vfs::mount(target.subject(), &source, &target.path, kind.as_deref(), flags, &data).map(|()| 0)
}

async fn umount2(thread: &Thread, target: Pointer, flags: u32) -> Result<u64> {
    let flags = UnmountFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let target = Named::read(thread, CWD, target).await?;
    vfs::unmount(target.subject(), &target.path, flags).map(|()| 0)
}
