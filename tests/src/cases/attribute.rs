//! What is known about a file beside its content (stat(2), statx(2), utimensat(2), statfs(2), mknod(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::O_RDONLY;
use std::ffi::CStr;

pub(crate) const CASES: &[Case] = &[
    case!(mknod_kinds).root(),
    case!(statx_fields),
    case!(stat_errors_and_empty_path),
    case!(times_move_as_they_should),
    case!(utimensat_sets),
    case!(inotify_tells_changes),
    case!(statfs_of_the_file_system),
];

fn mknod_kinds() {
    let mknod = |name: &CStr, mode: u32, device: u64| syscall!(SYS_mknod, name, mode, device);
    assert_eq!(mknod(c"plain", libc::S_IFREG | 0o640, 0), Ok(0));
    assert_eq!(stat(c"plain").unwrap().st_mode, libc::S_IFREG | 0o640);
    assert_eq!(mknod(c"null", libc::S_IFCHR | 0o666, libc::makedev(1, 3)), Ok(0));
    let status = stat(c"null").unwrap();
    assert_eq!((status.st_mode & libc::S_IFMT, status.st_rdev), (libc::S_IFCHR, libc::makedev(1, 3)));
    assert_eq!(mknod(c"socket", libc::S_IFSOCK | 0o666, 0), Ok(0));
    assert_eq!(open(c"socket", O_RDONLY), Err(ENXIO));
    assert_eq!(mknod(c"folder", libc::S_IFDIR | 0o755, 0), Err(EPERM));
    assert_eq!(mknod(c"plain", libc::S_IFREG, 0), Err(EEXIST));
    assert_eq!(mknod(c"odd", libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK, 0), Err(EINVAL));
    as_nobody(|| {
        assert_eq!(syscall!(SYS_mknod, c"/tmp/guest-tests-node", libc::S_IFCHR | 0o666, 0x103), Err(EPERM));
    });
}

fn statx(name: &CStr, flags: i32, mask: u32) -> Sys<libc::statx> {
    let mut status: libc::statx = zeroed();
    syscall!(SYS_statx, libc::AT_FDCWD, name, flags, mask, &mut status)?;
    Ok(status)
}

fn statx_fields() {
    create(c"file", b"12345");
    chmod(c"file", 0o640).unwrap();
    let plain = stat(c"file").unwrap();
    let status = statx(c"file", 0, libc::STATX_BASIC_STATS).unwrap();
    assert_eq!(status.stx_mask & libc::STATX_BASIC_STATS, libc::STATX_BASIC_STATS);
    assert_eq!(u32::from(status.stx_mode), plain.st_mode);
    assert_eq!((status.stx_size, status.stx_ino, status.stx_nlink), (5, plain.st_ino, 1));
    assert_eq!(status.stx_mtime.tv_sec, plain.st_mtime);
    assert_eq!(libc::makedev(status.stx_dev_major, status.stx_dev_minor), plain.st_dev);
    assert_eq!(statx(c"file", 0, 0x8000_0000).err(), Some(EINVAL));
    assert_eq!(statx(c"file", 1 << 30, 0).err(), Some(EINVAL));
    assert_eq!(statx(c"missing", 0, 0).err(), Some(ENOENT));
    symlink(c"file", c"link").unwrap();
    let link = statx(c"link", libc::AT_SYMLINK_NOFOLLOW, libc::STATX_TYPE).unwrap();
    assert_eq!(u32::from(link.stx_mode) & libc::S_IFMT, libc::S_IFLNK);
}

fn stat_errors_and_empty_path() {
    create(c"file", b"12");
    let mut status: libc::stat = zeroed();
    assert_eq!(syscall!(SYS_stat, c"missing", &mut status), Err(ENOENT));
    assert_eq!(syscall!(SYS_stat, c"file", 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_stat, c"", &mut status), Err(ENOENT));
    let file = open(c"file", O_RDONLY).unwrap();
    assert_eq!(syscall!(SYS_newfstatat, file, c"", &mut status, libc::AT_EMPTY_PATH), Ok(0));
    assert_eq!(status.st_size, 2);
    assert_eq!(syscall!(SYS_newfstatat, file, c"", &mut status, 0), Err(ENOENT));
    assert_eq!(syscall!(SYS_newfstatat, libc::AT_FDCWD, c"", &mut status, libc::AT_EMPTY_PATH), Ok(0));
    assert_eq!(status.st_mode & libc::S_IFMT, libc::S_IFDIR);
    assert_eq!(syscall!(SYS_newfstatat, file, c"", &mut status, 1 << 30), Err(EINVAL));
}

/// (mtime, ctime) in nanoseconds.
fn times(name: &CStr) -> (i64, i64) {
    let status = stat(name).unwrap();
    let nanos = |seconds: i64, rest: i64| seconds * NANOS_PER_SECOND + rest;
    (nanos(status.st_mtime, status.st_mtime_nsec), nanos(status.st_ctime, status.st_ctime_nsec))
}

/// Waits until the file system's clock has moved on (its step may be a timer tick).
fn let_time_pass() {
    let before = {
        create(c"clock", b"");
        times(c"clock").0
    };
    wait_until(|| {
        create(c"clock", b"x");
        times(c"clock").0 > before
    });
}

fn times_move_as_they_should() {
    create(c"file", b"x");
    mkdir(c"folder", 0o755).unwrap();
    let (file, folder) = (times(c"file"), times(c"folder"));
    let_time_pass();
    chmod(c"file", 0o600).unwrap();
    let after_chmod = times(c"file");
    assert!(after_chmod.0 == file.0 && after_chmod.1 > file.1, "chmod changes ctime only");
    let descriptor = open(c"file", libc::O_WRONLY).unwrap();
    write(descriptor, b"y").unwrap();
    let after_write = times(c"file");
    assert!(after_write.0 > file.0 && after_write.1 >= after_chmod.1);
    create(c"folder/new", b"");
    let after_create = times(c"folder");
    assert!(after_create.0 > folder.0, "a new name changes its folder");
    let_time_pass();
    open(c"file", O_RDONLY).unwrap();
    assert_eq!(times(c"file"), after_write, "opening changes nothing");
    unlink(c"folder/new").unwrap();
    assert!(times(c"folder").0 > after_create.0);
}

fn utimensat_sets() {
    create(c"file", b"");
    let time = |seconds: i64, nanos: i64| libc::timespec { tv_sec: seconds, tv_nsec: nanos };
    let cwd = libc::AT_FDCWD;
    let set = |times: [libc::timespec; 2]| syscall!(SYS_utimensat, cwd, c"file", &times, 0);
    set([time(1000, 5), time(2000, 7)]).unwrap();
    let status = stat(c"file").unwrap();
    assert_eq!((status.st_atime, status.st_atime_nsec), (1000, 5));
    assert_eq!((status.st_mtime, status.st_mtime_nsec), (2000, 7));
    set([time(0, libc::UTIME_OMIT), time(3000, 0)]).unwrap();
    let status = stat(c"file").unwrap();
    assert_eq!((status.st_atime, status.st_mtime), (1000, 3000));
    set([time(0, libc::UTIME_NOW), time(0, libc::UTIME_OMIT)]).unwrap();
    assert!(stat(c"file").unwrap().st_atime > 1_000_000_000);
    assert_eq!(set([time(0, 1_000_000_000), time(0, 0)]), Err(EINVAL));
    assert_eq!(syscall!(SYS_utimensat, cwd, c"missing", 0, 0), Err(ENOENT));
    let file = open(c"file", libc::O_WRONLY).unwrap();
    assert_eq!(syscall!(SYS_utimensat, file, 0, &[time(7, 0), time(8, 0)], 0), Ok(0), "by descriptor");
    assert_eq!(stat(c"file").unwrap().st_mtime, 8);
}

fn inotify_tells_changes() {
    let inotify = match syscall!(SYS_inotify_init1, libc::IN_NONBLOCK) {
        Err(ENOSYS) => crate::harness::skip("no inotify"),
        result => result.unwrap() as Fd,
    };
    let mask = libc::IN_CREATE | libc::IN_DELETE | libc::IN_MOVED_FROM | libc::IN_MOVED_TO;
    let watch = syscall!(SYS_inotify_add_watch, inotify, c".", mask).unwrap() as i32;
    create(c"a", b"");
    rename(c"a", c"b").unwrap();
    unlink(c"b").unwrap();
    let bytes = read_some(inotify, 4096).unwrap();
    let mut events = Vec::new();
    let mut rest = &bytes[..];
    while let Some((head, tail)) = rest.split_at_checked(16) {
        let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
        assert_eq!(word(0) as i32, watch);
        let (name, next) = tail.split_at(word(12) as usize);
        events.push((word(4), name[0]));
        rest = next;
    }
    let (from, to) = (libc::IN_MOVED_FROM, libc::IN_MOVED_TO);
    assert_eq!(events, [(libc::IN_CREATE, b'a'), (from, b'a'), (to, b'b'), (libc::IN_DELETE, b'b')]);
    assert_eq!(read(inotify, &mut [0; 100]), Err(EAGAIN));
}

fn statfs_of_the_file_system() {
    let mut here: libc::statfs = zeroed();
    syscall!(SYS_statfs, c".", &mut here).unwrap();
    assert!(here.f_bsize > 0 && here.f_blocks >= here.f_bfree && here.f_bfree >= here.f_bavail);
    assert_eq!(here.f_namelen, 255);
    let mut same: libc::statfs = zeroed();
    syscall!(SYS_fstatfs, open(c".", O_RDONLY).unwrap(), &mut same).unwrap();
    assert_eq!(here.f_type, same.f_type);
    let mut proc: libc::statfs = zeroed();
    syscall!(SYS_statfs, c"/proc", &mut proc).unwrap();
    assert_eq!(proc.f_type, 0x9fa0);
    let mut sys: libc::statfs = zeroed();
    syscall!(SYS_statfs, c"/sys", &mut sys).unwrap();
    assert_eq!((sys.f_type, sys.f_bsize), (0x6265_6572, 4096));
    assert_eq!(syscall!(SYS_statfs, c"missing", &mut here), Err(ENOENT));
    assert_eq!(syscall!(SYS_statfs, c".", 8), Err(EFAULT));
}
