//! Regular files: opening, reading, writing, size (open(2), read(2), lseek(2), fallocate(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC,
    O_WRONLY, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};

pub(crate) const CASES: &[Case] = &[
    case!(create_and_exclusive),
    case!(access_modes_are_enforced),
    case!(truncate_on_open),
    case!(append_goes_to_the_end),
    case!(append_from_many_processes),
    case!(directory_flag),
    case!(nofollow),
    case!(opening_directories),
    case!(open_through_symlinks),
    case!(path_descriptors),
    case!(tmpfile_has_no_name_until_linked),
    case!(open_argument_errors),
    case!(openat2_checks_its_structure).since(5, 6),
    case!(openat2_resolve_flags).since(5, 6),
    case!(umask_applies_to_new_files),
    case!(read_at_and_behind_the_end),
    case!(seek_positions),
    case!(seek_errors),
    case!(seek_data_and_hole),
    case!(writing_behind_the_end_leaves_zeros),
    case!(truncate_grows_and_shrinks),
    case!(truncate_errors),
    case!(fallocate_modes),
    case!(punching_holes),
    case!(fallocate_errors),
    case!(file_size_limit),
    case!(offsets_at_the_far_end),
    case!(sync_calls),
    case!(device_nodes_read_and_write),
    case!(posix_fadvise_and_readahead),
    case!(large_files_page_by_page),
];

fn create_and_exclusive() {
    let file = open_mode(c"new", O_RDWR | O_CREAT | O_EXCL, 0o640).unwrap();
    assert_eq!(fstat(file).unwrap().st_mode & 0o7777, 0o640);
    assert_eq!(open(c"new", O_RDWR | O_CREAT | O_EXCL), Err(EEXIST));
    assert!(open_mode(c"new", O_RDWR | O_CREAT, 0o777).is_ok());
    assert_eq!(stat(c"new").unwrap().st_mode & 0o7777, 0o640, "the mode is for new files");
    symlink(c"target", c"link").unwrap();
    assert_eq!(open(c"link", O_RDWR | O_CREAT | O_EXCL), Err(EEXIST), "O_EXCL sees the link itself");
    assert!(open(c"link", O_RDWR | O_CREAT).is_ok());
    assert!(lstat(c"target").is_ok(), "made through the dangling link");
    assert_eq!(open(c"missing", O_RDWR), Err(ENOENT));
    assert_eq!(open(c"missing/below", O_RDWR | O_CREAT), Err(ENOENT));
    // A mode without write permission does not hinder the one who makes the file.
    let file = open_mode(c"locked", O_RDWR | O_CREAT, 0o000).unwrap();
    assert_eq!(write(file, b"x"), Ok(1));
}

fn access_modes_are_enforced() {
    create(c"file", b"abc");
    let reader = open(c"file", O_RDONLY).unwrap();
    assert_eq!(write(reader, b"x"), Err(EBADF));
    assert_eq!(syscall!(SYS_ftruncate, reader, 0), Err(EINVAL));
    let writer = open(c"file", O_WRONLY).unwrap();
    assert_eq!(read(writer, &mut [0]), Err(EBADF));
    assert_eq!(pread(writer, &mut [0], 0), Err(EBADF));
    let neither = open(c"file", 3).unwrap();
    assert_eq!(read(neither, &mut [0]), Err(EBADF), "mode 3 may do neither");
    assert_eq!(write(neither, b"x"), Err(EBADF));
}

fn truncate_on_open() {
    create(c"file", b"content");
    let reader = open(c"file", O_RDONLY).unwrap();
    open(c"file", O_WRONLY | O_TRUNC).unwrap();
    assert_eq!(fstat(reader).unwrap().st_size, 0);
    create(c"file", b"content");
    open(c"file", O_RDONLY | O_TRUNC).unwrap();
    assert_eq!(stat(c"file").unwrap().st_size, 0, "Linux truncates even when reading");
}

fn append_goes_to_the_end() {
    create(c"file", b"start");
    let file = open(c"file", O_RDWR | O_APPEND).unwrap();
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(0));
    assert_eq!(read_some(file, 2), Ok(b"st".to_vec()));
    write(file, b"+one").unwrap();
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(9), "the offset follows");
    lseek(file, 0, SEEK_SET).unwrap();
    write(file, b"+two").unwrap();
    assert_eq!(content(c"file"), Ok(b"start+one+two".to_vec()));
    // Linux's known bug, kept: pwrite appends too.
    pwrite(file, b"!", 0).unwrap();
    assert_eq!(content(c"file"), Ok(b"start+one+two!".to_vec()));
}

fn append_from_many_processes() {
    create(c"log", b"");
    let children: Vec<Child> = (0..4u8)
        .map(|id| {
            fork(|| {
                let file = open(c"log", O_WRONLY | O_APPEND).unwrap();
                for _ in 0..200 {
                    assert_eq!(write(file, &[b'a' + id; 50]), Ok(50));
                }
            })
        })
        .collect();
    children.iter().for_each(Child::succeeds);
    let all = content(c"log").unwrap();
    assert_eq!(all.len(), 4 * 200 * 50);
    assert!(all.chunks(50).all(|line| line.iter().all(|byte| *byte == line[0])), "lines are mixed");
}

fn directory_flag() {
    create(c"file", b"");
    mkdir(c"folder", 0o755).unwrap();
    assert_eq!(open(c"file", O_RDONLY | O_DIRECTORY), Err(ENOTDIR));
    assert!(open(c"folder", O_RDONLY | O_DIRECTORY).is_ok());
    symlink(c"folder", c"link").unwrap();
    assert!(open(c"link", O_RDONLY | O_DIRECTORY).is_ok());
    assert_eq!(open(c"link", O_RDONLY | O_DIRECTORY | O_NOFOLLOW), Err(ENOTDIR));
}

fn nofollow() {
    create(c"file", b"");
    symlink(c"file", c"link").unwrap();
    assert_eq!(open(c"link", O_RDONLY | O_NOFOLLOW), Err(ELOOP));
    assert_eq!(open(c"link", O_RDWR | O_CREAT | O_NOFOLLOW), Err(ELOOP));
    assert!(open(c"file", O_RDONLY | O_NOFOLLOW).is_ok());
    mkdir(c"folder", 0o755).unwrap();
    create(c"folder/inner", b"");
    symlink(c"folder", c"alias").unwrap();
    assert!(open(c"alias/inner", O_RDONLY | O_NOFOLLOW).is_ok(), "only the last component counts");
}

fn opening_directories() {
    mkdir(c"folder", 0o755).unwrap();
    for flags in [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDONLY | O_CREAT] {
        assert_eq!(open(c"folder", flags), Err(EISDIR), "flags {flags:#o}");
    }
    assert_eq!(open(c"folder", O_RDONLY | O_CREAT | O_DIRECTORY), Err(EINVAL));
    let folder = open(c"folder", O_RDONLY).unwrap();
    assert_eq!(read(folder, &mut [0; 10]), Err(EISDIR));
    assert_eq!(write(folder, b"x"), Err(EBADF));
    assert_eq!(open(c"newfile/", O_RDWR | O_CREAT), Err(EISDIR));
}

fn open_through_symlinks() {
    mkdir(c"a", 0o755).unwrap();
    create(c"a/file", b"found");
    symlink(c"a/file", c"relative").unwrap();
    let here = std::env::current_dir().unwrap();
    symlink(&path(format!("{}/a", here.display())), c"absolute").unwrap();
    symlink(c"../a/./file", c"a/dotted").unwrap();
    for name in [c"relative", c"absolute/file", c"a/dotted", c"absolute/../a/dotted", c"absolute//file"] {
        assert_eq!(content(name), Ok(b"found".to_vec()), "{name:?}");
    }
    assert_eq!(open(c"relative/", O_RDONLY), Err(ENOTDIR));
}

fn path_descriptors() {
    create(c"file", b"abc");
    symlink(c"file", c"link").unwrap();
    let file = open(c"file", O_PATH).unwrap();
    assert_eq!(read(file, &mut [0]), Err(EBADF));
    assert_eq!(write(file, b"x"), Err(EBADF));
    assert_eq!(lseek(file, 0, SEEK_SET), Err(EBADF));
    assert_eq!(syscall!(SYS_fchmod, file, 0o600), Err(EBADF));
    assert_eq!(syscall!(SYS_ftruncate, file, 0), Err(EBADF));
    assert_eq!(fstat(file).unwrap().st_size, 3);
    let link = open(c"link", O_PATH | O_NOFOLLOW).unwrap();
    assert_eq!(fstat(link).unwrap().st_mode & libc::S_IFMT, libc::S_IFLNK);
    let mut target = [0u8; 16];
    assert_eq!(syscall!(SYS_readlinkat, link, c"", &mut target, 16), Ok(4));
    let again = open(&path(format!("/proc/self/fd/{file}")), O_RDONLY).unwrap();
    assert_eq!(read_some(again, 9), Ok(b"abc".to_vec()));
    assert_eq!(close(file), Ok(()));
}

fn tmpfile_has_no_name_until_linked() {
    let file = open_mode(c".", O_TMPFILE | O_RDWR, 0o600).unwrap();
    assert_eq!(std::fs::read_dir(".").unwrap().count(), 0);
    assert_eq!(fstat(file).unwrap().st_nlink, 0);
    write(file, b"hidden").unwrap();
    let by_proc = path(format!("/proc/self/fd/{file}"));
    let cwd = libc::AT_FDCWD;
    syscall!(SYS_linkat, cwd, &*by_proc, cwd, c"named", libc::AT_SYMLINK_FOLLOW).unwrap();
    assert_eq!(content(c"named"), Ok(b"hidden".to_vec()));
    assert_eq!(fstat(file).unwrap().st_nlink, 1);
    assert_eq!(open(c".", O_TMPFILE | O_RDONLY), Err(EINVAL));
    assert_eq!(open(c"named", O_TMPFILE | O_RDWR), Err(ENOTDIR));
    // With O_EXCL it can never get a name.
    let file = open_mode(c".", O_TMPFILE | O_RDWR | O_EXCL, 0o600).unwrap();
    let by_proc = path(format!("/proc/self/fd/{file}"));
    let result = syscall!(SYS_linkat, cwd, &*by_proc, cwd, c"never", libc::AT_SYMLINK_FOLLOW);
    assert_eq!(result, Err(ENOENT));
}

fn open_argument_errors() {
    assert_eq!(syscall!(SYS_openat, libc::AT_FDCWD, 8, 0), Err(EFAULT));
    assert_eq!(open(c"", O_RDONLY), Err(ENOENT));
    assert_eq!(syscall!(SYS_openat, 700, c"relative", 0), Err(EBADF));
    assert!(syscall!(SYS_openat, 700, c"/dev/null", 0).is_ok(), "an absolute path needs no folder");
    create(c"file", b"");
    let file = open(c"file", O_RDONLY).unwrap();
    assert_eq!(syscall!(SYS_openat, file, c"below", 0), Err(ENOTDIR));
    assert!(open(c"file", O_RDONLY | 1 << 30).is_ok(), "open ignores unknown flags");
    assert_eq!(open(&path(vec![b'n'; 256]), O_RDONLY | O_CREAT), Err(ENAMETOOLONG));
    assert!(open(&path(vec![b'n'; 255]), O_RDONLY | O_CREAT).is_ok());
    let long = path(b"./".repeat(2047)); // 4094 bytes
    assert!(open(&long, O_RDONLY).is_ok());
    let too_long = path(b"./".repeat(2048)); // 4096 bytes and no room for the NUL
    assert_eq!(open(&too_long, O_RDONLY), Err(ENAMETOOLONG));
}

#[repr(C)]
#[derive(Default)]
struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
}

fn openat2(name: &std::ffi::CStr, how: &How) -> Sys<Fd> {
    syscall!(SYS_openat2, libc::AT_FDCWD, name, how, size_of::<How>()).map(|fd| fd as Fd)
}

fn openat2_checks_its_structure() {
    create(c"file", b"");
    assert!(openat2(c"file", &How::default()).is_ok());
    assert_eq!(openat2(c"file", &How { flags: 1 << 40, ..How::default() }), Err(EINVAL));
    assert_eq!(openat2(c"file", &How { mode: 0o644, ..How::default() }), Err(EINVAL), "mode without O_CREAT");
    assert_eq!(openat2(c"file", &How { resolve: 1 << 20, ..How::default() }), Err(EINVAL));
    let cwd = libc::AT_FDCWD;
    assert_eq!(syscall!(SYS_openat2, cwd, c"file", &How::default(), 8), Err(EINVAL));
    // A longer structure is fine if the rest is zero.
    assert!(syscall!(SYS_openat2, cwd, c"file", &[0u64; 5], 40).is_ok());
    assert_eq!(syscall!(SYS_openat2, cwd, c"file", &[0u64, 0, 0, 0, 1], 40), Err(E2BIG));
}

fn openat2_resolve_flags() {
    mkdir(c"a", 0o755).unwrap();
    create(c"a/file", b"");
    symlink(c"a", c"link").unwrap();
    symlink(c"/dev/null", c"absolute").unwrap();
    let resolve = |name, resolve| openat2(name, &How { resolve, ..How::default() });
    const NO_MAGIC: u64 = 2;
    const NO_SYMLINKS: u64 = 4;
    const BENEATH: u64 = 8;
    const IN_ROOT: u64 = 16;
    assert_eq!(resolve(c"link/file", NO_SYMLINKS), Err(ELOOP));
    assert!(resolve(c"a/file", NO_SYMLINKS).is_ok());
    assert_eq!(resolve(c"../x", BENEATH), Err(EXDEV));
    assert_eq!(resolve(c"a/../../x", BENEATH), Err(EXDEV));
    assert!(resolve(c"a/../a/file", BENEATH).is_ok());
    assert_eq!(resolve(c"absolute", BENEATH), Err(EXDEV));
    assert_eq!(resolve(c"absolute", IN_ROOT), Err(ENOENT), "/ is the folder itself");
    assert!(resolve(c"/a/file", IN_ROOT).is_ok());
    assert!(resolve(c"../../a/file", IN_ROOT).is_ok());
    assert_eq!(resolve(c"/proc/self/fd/0", NO_MAGIC), Err(ELOOP));
}

fn umask_applies_to_new_files() {
    assert_eq!(syscall!(SYS_umask, 0o027), Ok(0o022));
    open_mode(c"file", O_CREAT | O_RDWR, 0o666).unwrap();
    mkdir(c"folder", 0o777).unwrap();
    assert_eq!(stat(c"file").unwrap().st_mode & 0o7777, 0o640);
    assert_eq!(stat(c"folder").unwrap().st_mode & 0o7777, 0o750);
    assert_eq!(syscall!(SYS_umask, 0o7777), Ok(0o027));
    assert_eq!(syscall!(SYS_umask, 0), Ok(0o777), "only the permission bits are kept");
}

fn read_at_and_behind_the_end() {
    create(c"file", b"abc");
    let file = open(c"file", O_RDONLY).unwrap();
    assert_eq!(read_some(file, 100), Ok(b"abc".to_vec()));
    assert_eq!(read_some(file, 100), Ok(vec![]));
    lseek(file, 1000, SEEK_SET).unwrap();
    assert_eq!(read_some(file, 100), Ok(vec![]));
    assert_eq!(pread_some(file, 100, 2), Ok(b"c".to_vec()));
}

fn seek_positions() {
    create(c"file", b"0123456789");
    let file = open(c"file", O_RDWR).unwrap();
    assert_eq!(lseek(file, 4, SEEK_SET), Ok(4));
    assert_eq!(lseek(file, 2, SEEK_CUR), Ok(6));
    assert_eq!(lseek(file, -3, SEEK_CUR), Ok(3));
    assert_eq!(lseek(file, -1, SEEK_END), Ok(9));
    assert_eq!(read_some(file, 5), Ok(b"9".to_vec()));
    assert_eq!(lseek(file, 5, SEEK_END), Ok(15));
    assert_eq!(fstat(file).unwrap().st_size, 10, "seeking does not grow");
}

fn seek_errors() {
    create(c"file", b"0123456789");
    let file = open(c"file", O_RDWR).unwrap();
    lseek(file, 3, SEEK_SET).unwrap();
    assert_eq!(lseek(file, -1, SEEK_SET), Err(EINVAL));
    assert_eq!(lseek(file, -4, SEEK_CUR), Err(EINVAL));
    assert_eq!(lseek(file, 0, 77), Err(EINVAL));
    assert_eq!(lseek(file, i64::MAX, SEEK_END), Err(EINVAL), "over the last offset");
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(3), "a failed seek does not move");
    assert_eq!(lseek(700, 0, SEEK_SET), Err(EBADF));
}

fn seek_data_and_hole() {
    let file = create_open(c"sparse");
    let far = 1 << 20;
    pwrite(file, b"x", far).unwrap();
    syscall!(SYS_ftruncate, file, 2 * far).unwrap();
    assert_eq!(lseek(file, 0, SEEK_DATA), Ok(far as usize));
    assert_eq!(lseek(file, 0, SEEK_HOLE), Ok(0));
    assert_eq!(lseek(file, far, SEEK_HOLE), Ok(far as usize + PAGE));
    assert_eq!(lseek(file, far + 2 * PAGE as i64, SEEK_DATA), Err(ENXIO), "only a hole follows");
    assert_eq!(lseek(file, 2 * far, SEEK_HOLE), Err(ENXIO));
    create(c"dense", b"abc");
    let dense = open(c"dense", O_RDONLY).unwrap();
    assert_eq!(lseek(dense, 1, SEEK_DATA), Ok(1));
    assert_eq!(lseek(dense, 1, SEEK_HOLE), Ok(3), "the end counts as a hole");
}

fn writing_behind_the_end_leaves_zeros() {
    let file = create_open(c"file");
    pwrite(file, b"end", 100_000).unwrap();
    let status = fstat(file).unwrap();
    assert_eq!(status.st_size, 100_003);
    assert!(status.st_blocks * 512 < 100_000, "a hole takes no room: {} blocks", status.st_blocks);
    assert_eq!(pread_some(file, 50_000, 0), Ok(vec![0; 50_000]));
    assert_eq!(pread_some(file, 10, 99_998), Ok(b"\0\0end".to_vec()));
}

fn truncate_grows_and_shrinks() {
    create(c"file", b"0123456789");
    syscall!(SYS_truncate, c"file", 4).unwrap();
    assert_eq!(content(c"file"), Ok(b"0123".to_vec()));
    syscall!(SYS_truncate, c"file", 8).unwrap();
    assert_eq!(content(c"file"), Ok(b"0123\0\0\0\0".to_vec()), "what was cut off does not come back");
    let file = open(c"file", O_RDWR).unwrap();
    lseek(file, 6, SEEK_SET).unwrap();
    syscall!(SYS_ftruncate, file, 2).unwrap();
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(6), "the offset stays");
    write(file, b"x").unwrap();
    assert_eq!(content(c"file"), Ok(b"01\0\0\0\0x".to_vec()));
}

fn truncate_errors() {
    create(c"file", b"");
    mkdir(c"folder", 0o755).unwrap();
    assert_eq!(syscall!(SYS_truncate, c"missing", 0), Err(ENOENT));
    assert_eq!(syscall!(SYS_truncate, c"folder", 0), Err(EISDIR));
    assert_eq!(syscall!(SYS_truncate, c"file", -1), Err(EINVAL));
    assert_eq!(syscall!(SYS_truncate, c"/dev/null", 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_ftruncate, 700, 0), Err(EBADF));
    assert_eq!(syscall!(SYS_ftruncate, open(c"file", O_RDWR).unwrap(), -1), Err(EINVAL));
}

fn fallocate(fd: Fd, mode: i32, offset: i64, len: i64) -> Sys<usize> {
    syscall!(SYS_fallocate, fd, mode, offset, len)
}

fn fallocate_modes() {
    let file = create_open(c"file");
    assert_eq!(fallocate(file, 0, 1000, 1000), Ok(0));
    assert_eq!(fstat(file).unwrap().st_size, 2000);
    assert_eq!(pread_some(file, 2000, 0), Ok(vec![0; 2000]));
    assert_eq!(fallocate(file, libc::FALLOC_FL_KEEP_SIZE, 0, 100_000), Ok(0));
    let status = fstat(file).unwrap();
    assert_eq!(status.st_size, 2000);
    assert!(status.st_blocks * 512 >= 100_000, "room was set aside");
    assert_eq!(fallocate(file, 0, 0, 500), Ok(0));
    assert_eq!(fstat(file).unwrap().st_size, 2000, "it never shrinks");
}

fn punching_holes() {
    let file = create_open(c"file");
    write(file, &[b'x'; 5 * PAGE]).unwrap();
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    assert_eq!(fallocate(file, punch, PAGE as i64 - 2, 2 * PAGE as i64), Ok(0));
    assert_eq!(fstat(file).unwrap().st_size, 5 * PAGE as i64);
    let all = pread_some(file, 5 * PAGE, 0).unwrap();
    let expected = |at: usize| if (PAGE - 2..3 * PAGE - 2).contains(&at) { 0 } else { b'x' };
    assert!(all.iter().enumerate().all(|(at, byte)| *byte == expected(at)));
    assert_eq!(lseek(file, 0, SEEK_HOLE), Ok(PAGE), "whole pages are given back");
    assert_eq!(fallocate(file, libc::FALLOC_FL_PUNCH_HOLE, 0, 1), Err(EOPNOTSUPP), "only with KEEP_SIZE");
}

fn fallocate_errors() {
    let file = create_open(c"file");
    assert_eq!(fallocate(file, 0, -1, 10), Err(EINVAL));
    assert_eq!(fallocate(file, 0, 0, 0), Err(EINVAL));
    assert_eq!(fallocate(file, 0, i64::MAX, 10), Err(EFBIG));
    assert_eq!(fallocate(file, 1 << 20, 0, 10), Err(EOPNOTSUPP));
    assert_eq!(fallocate(open(c"file", O_RDONLY).unwrap(), 0, 0, 10), Err(EBADF));
    assert_eq!(fallocate(pipe().1, 0, 0, 10), Err(ESPIPE));
    assert_eq!(fallocate(open(c"/dev/null", O_RDWR).unwrap(), 0, 0, 10), Err(ENODEV));
}

fn file_size_limit() {
    fork(|| {
        let limit = libc::rlimit { rlim_cur: 1000, rlim_max: 1000 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_FSIZE, &limit, 0).unwrap();
        let file = create_open(c"file");
        assert_eq!(write(file, &[1; 1500]), Ok(1000), "up to the limit");
        catch(libc::SIGXFSZ, 0);
        assert_eq!(write(file, b"x"), Err(EFBIG));
        assert_eq!(times_delivered(libc::SIGXFSZ), 1);
        assert_eq!(syscall!(SYS_ftruncate, file, 2000), Err(EFBIG));
        assert_eq!(times_delivered(libc::SIGXFSZ), 2);
        assert_eq!(pwrite(file, b"x", 10), Ok(1));
    })
    .succeeds();
}

fn offsets_at_the_far_end() {
    let file = create_open(c"file");
    let last = i64::MAX - 1;
    assert_eq!(pwrite(file, b"ab", last), Err(EINVAL));
    match pwrite(file, b"a", last) {
        Ok(count) => {
            assert_eq!((count, fstat(file).unwrap().st_size), (1, i64::MAX));
            assert_eq!(pread_some(file, 1, last), Ok(b"a".to_vec()));
            assert_eq!(pread_some(file, 1, last - 1), Ok(vec![0]));
        }
        Err(errno) => assert_eq!(errno, EFBIG, "a file system with smaller files"),
    }
    assert_eq!(lseek(file, i64::MAX, SEEK_SET), Ok(i64::MAX as usize));
    assert_eq!(read(file, &mut [0]), Err(EINVAL), "the end would overflow");
    assert_eq!(lseek(file, 1, SEEK_CUR), Err(EINVAL));
}

fn sync_calls() {
    let file = create_open(c"file");
    write(file, b"x").unwrap();
    assert_eq!(syscall!(SYS_fsync, file), Ok(0));
    assert_eq!(syscall!(SYS_fdatasync, file), Ok(0));
    assert_eq!(syscall!(SYS_fsync, open(c".", O_RDONLY).unwrap()), Ok(0));
    assert_eq!(syscall!(SYS_fsync, 700), Err(EBADF));
    assert_eq!(syscall!(SYS_fsync, open(c"file", O_PATH).unwrap()), Err(EBADF));
}

fn device_nodes_read_and_write() {
    let full = open(c"/dev/full", O_RDWR).unwrap();
    assert_eq!(write(full, b"x"), Err(ENOSPC));
    assert_eq!(read_some(full, 3), Ok(vec![0; 3]));
    let zero = open(c"/dev/zero", O_RDWR).unwrap();
    assert_eq!(write(zero, &[1; 100]), Ok(100));
    let null = open(c"/dev/null", O_RDWR).unwrap();
    assert_eq!(lseek(null, 5, SEEK_SET), Ok(0));
    for name in [c"/dev/random", c"/dev/urandom"] {
        let random = open(name, O_RDONLY).unwrap();
        let (one, two) = (read_some(random, 32).unwrap(), read_some(random, 32).unwrap());
        assert!(one.len() == 32 && one != two, "{name:?}");
    }
    let status = stat(c"/dev/null").unwrap();
    assert_eq!((status.st_mode & libc::S_IFMT, status.st_rdev), (libc::S_IFCHR, libc::makedev(1, 3)));
}

fn posix_fadvise_and_readahead() {
    create(c"file", b"abc");
    let file = open(c"file", O_RDONLY).unwrap();
    assert_eq!(syscall!(SYS_fadvise64, file, 0, 0, libc::POSIX_FADV_SEQUENTIAL), Ok(0));
    assert_eq!(syscall!(SYS_fadvise64, file, 0, 0, 99), Err(EINVAL));
    assert_eq!(syscall!(SYS_fadvise64, pipe().0, 0, 0, libc::POSIX_FADV_NORMAL), Err(ESPIPE));
    assert_eq!(syscall!(SYS_fadvise64, 700, 0, 0, 0), Err(EBADF));
}

fn large_files_page_by_page() {
    let file = create_open(c"file");
    let pages = 2000u32;
    for page in 0..pages {
        assert_eq!(write(file, &page.to_ne_bytes().repeat(PAGE / 4)), Ok(PAGE));
    }
    for page in (0..pages).rev().step_by(7) {
        let offset = i64::from(page) * PAGE as i64 + 2000;
        assert_eq!(pread_some(file, 4, offset), Ok(page.to_ne_bytes().to_vec()));
    }
    syscall!(SYS_ftruncate, file, 0).unwrap();
    assert!(fstat(file).unwrap().st_blocks < 100);
}
