//! Directories and names (mkdir(2), rename(2), link(2), symlink(7), getdents64(2), path_resolution(7)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR};
use std::collections::BTreeSet;
use std::ffi::CStr;

pub(crate) const CASES: &[Case] = &[
    case!(mkdir_and_rmdir),
    case!(mkdir_errors),
    case!(rmdir_errors),
    case!(link_counts_of_directories),
    case!(listing_has_every_name_once),
    case!(listing_in_small_pieces),
    case!(listing_while_names_vanish),
    case!(listing_errors_and_rewind),
    case!(listing_types_and_inodes),
    case!(unlink_and_open_files),
    case!(unlink_errors),
    case!(hard_links),
    case!(link_errors),
    case!(linkat_follows_or_not),
    case!(symlinks),
    case!(symlink_loops_and_depth),
    case!(symlinks_in_the_middle),
    case!(trailing_slashes_and_dots),
    case!(names_and_paths_too_long),
    case!(removed_working_folder),
    case!(removed_open_folder),
    case!(at_calls_are_relative_to_a_descriptor),
    case!(getcwd_and_chdir),
    case!(fchdir),
    case!(chroot_bounds_the_world).root(),
    case!(concurrent_creation_has_one_winner),
    case!(case_and_bytes_of_names),
    case!(many_entries),
];

fn mkdir_and_rmdir() {
    mkdir(c"a", 0o750).unwrap();
    assert_eq!(stat(c"a").unwrap().st_mode, libc::S_IFDIR | 0o750);
    mkdir(c"a/b", 0o777).unwrap();
    assert_eq!(stat(c"a/b").unwrap().st_mode & 0o7777, 0o755, "the umask");
    assert_eq!(rmdir(c"a"), Err(ENOTEMPTY));
    assert_eq!(rmdir(c"a/b"), Ok(()));
    assert_eq!(rmdir(c"a"), Ok(()));
    assert_eq!(stat(c"a").err(), Some(ENOENT));
    mkdir(c"slash/", 0o755).unwrap();
    assert_eq!(rmdir(c"slash/"), Ok(()));
}

fn mkdir_errors() {
    create(c"file", b"");
    symlink(c"nowhere", c"dangling").unwrap();
    assert_eq!(mkdir(c"file", 0o755), Err(EEXIST));
    assert_eq!(mkdir(c"dangling", 0o755), Err(EEXIST));
    assert_eq!(mkdir(c".", 0o755), Err(EEXIST));
    assert_eq!(mkdir(c"/", 0o755), Err(EEXIST));
    assert_eq!(mkdir(c"missing/a", 0o755), Err(ENOENT));
    assert_eq!(mkdir(c"file/a", 0o755), Err(ENOTDIR));
    assert_eq!(mkdir(c"", 0o755), Err(ENOENT));
    assert_eq!(syscall!(SYS_mkdir, 8, 0o755), Err(EFAULT));
}

fn rmdir_errors() {
    create(c"file", b"");
    mkdir(c"a", 0o755).unwrap();
    symlink(c"a", c"link").unwrap();
    assert_eq!(rmdir(c"file"), Err(ENOTDIR));
    assert_eq!(rmdir(c"link"), Err(ENOTDIR));
    assert_eq!(rmdir(c"missing"), Err(ENOENT));
    assert_eq!(rmdir(c"a/."), Err(EINVAL));
    mkdir(c"a/b", 0o755).unwrap();
    assert_eq!(rmdir(c"a/b/.."), Err(ENOTEMPTY));
    assert_eq!(rmdir(c"/"), Err(EBUSY));
    assert_eq!(syscall!(SYS_unlinkat, libc::AT_FDCWD, c"a/b", libc::AT_REMOVEDIR), Ok(0));
    assert_eq!(syscall!(SYS_unlinkat, libc::AT_FDCWD, c"a", 1 << 20), Err(EINVAL));
}

fn link_counts_of_directories() {
    mkdir(c"a", 0o755).unwrap();
    let links = |name: &CStr| stat(name).unwrap().st_nlink;
    assert_eq!(links(c"a"), 2);
    mkdir(c"a/b", 0o755).unwrap();
    mkdir(c"a/c", 0o755).unwrap();
    create(c"a/file", b"");
    assert_eq!(links(c"a"), 4, "each folder below counts");
    rmdir(c"a/b").unwrap();
    mkdir(c"d", 0o755).unwrap();
    rename(c"a/c", c"d/c").unwrap();
    assert_eq!((links(c"a"), links(c"d")), (2, 3));
}

/// One `getdents64`: (inode, type, name).
fn list_some(folder: Fd, size: usize) -> Sys<Vec<(u64, u8, String)>> {
    let mut buffer = vec![0u8; size];
    let len = syscall!(SYS_getdents64, folder, buffer.as_mut_ptr(), size)?;
    let mut entries = Vec::new();
    let mut at = 0;
    while at < len {
        let record = usize::from(u16::from_ne_bytes(buffer[at + 16..at + 18].try_into().unwrap()));
        assert!(record.is_multiple_of(8) && at + record <= len, "record of {record} bytes at {at} of {len}");
        let inode = u64::from_ne_bytes(buffer[at..at + 8].try_into().unwrap());
        let name = CStr::from_bytes_until_nul(&buffer[at + 19..at + record]).unwrap();
        entries.push((inode, buffer[at + 18], name.to_str().unwrap().to_owned()));
        at += record;
    }
    Ok(entries)
}

fn list(folder: Fd, size: usize) -> Vec<(u64, u8, String)> {
    let mut all = Vec::new();
    loop {
        let part = list_some(folder, size).unwrap();
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}

fn names(folder: Fd, size: usize) -> Vec<String> {
    list(folder, size).into_iter().map(|(_, _, name)| name).collect()
}

fn listing_has_every_name_once() {
    for number in 0..300 {
        create(&path(format!("file-{number}")), b"");
    }
    let folder = open(c".", O_RDONLY).unwrap();
    let seen = names(folder, 4096);
    let set: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), set.len()), (302, 302));
    assert!(set.contains(&".".to_owned()) && set.contains(&"..".to_owned()));
    assert!((0..300).all(|number| set.contains(&format!("file-{number}"))));
}

fn listing_in_small_pieces() {
    for number in 0..50 {
        create(&path(format!("name-{number}")), b"");
    }
    let folder = open(c".", O_RDONLY).unwrap();
    assert_eq!(names(folder, 40).len(), 52, "one entry at a time");
    lseek(folder, 0, libc::SEEK_SET).unwrap();
    assert_eq!(list_some(folder, 23), Err(EINVAL), "not room for one entry");
}

fn listing_while_names_vanish() {
    for number in 0..100 {
        create(&path(format!("f{number:03}")), b"");
    }
    let folder = open(c".", O_RDONLY).unwrap();
    let mut seen: Vec<String> = Vec::new();
    // Remove each name when it was seen: nobody else may be skipped or come twice.
    loop {
        let part = list_some(folder, 200).unwrap();
        if part.is_empty() {
            break;
        }
        for (_, _, name) in part {
            if name.starts_with('f') {
                unlink(&path(name.as_str())).unwrap();
            }
            seen.push(name);
        }
    }
    let files: BTreeSet<&String> = seen.iter().filter(|name| name.starts_with('f')).collect();
    assert_eq!((files.len(), seen.len()), (100, 102));
}

fn listing_errors_and_rewind() {
    create(c"file", b"");
    let file = open(c"file", O_RDONLY).unwrap();
    assert_eq!(list_some(file, 100), Err(ENOTDIR));
    let folder = open(c".", O_RDONLY).unwrap();
    assert_eq!(syscall!(SYS_getdents64, folder, 8, 4096), Err(EFAULT));
    assert_eq!(list(folder, 4096).len(), 3);
    assert!(list_some(folder, 4096).unwrap().is_empty());
    create(c"later", b"");
    lseek(folder, 0, libc::SEEK_SET).unwrap();
    assert_eq!(list(folder, 4096).len(), 4, "rewinding shows what is there now");
}

fn listing_types_and_inodes() {
    create(c"file", b"");
    mkdir(c"folder", 0o755).unwrap();
    symlink(c"file", c"link").unwrap();
    syscall!(SYS_mknodat, libc::AT_FDCWD, c"fifo", libc::S_IFIFO | 0o600, 0).unwrap();
    let folder = open(c".", O_RDONLY).unwrap();
    for (inode, kind, name) in list(folder, 4096) {
        let expected = match name.as_str() {
            "file" => libc::DT_REG,
            "link" => libc::DT_LNK,
            "fifo" => libc::DT_FIFO,
            _ => libc::DT_DIR,
        };
        assert_eq!(kind, expected, "{name}");
        assert_eq!(inode, lstat(&path(name.as_str())).unwrap().st_ino, "{name}");
    }
}

fn unlink_and_open_files() {
    create(c"file", b"still here");
    let file = open(c"file", O_RDWR).unwrap();
    unlink(c"file").unwrap();
    assert_eq!(fstat(file).unwrap().st_nlink, 0);
    assert_eq!(read_some(file, 100), Ok(b"still here".to_vec()));
    assert_eq!(write(file, b"!"), Ok(1));
    create(c"file", b"new");
    assert_ne!(stat(c"file").unwrap().st_ino, fstat(file).unwrap().st_ino);
    let link = readlink(&path(format!("/proc/self/fd/{file}"))).unwrap();
    assert!(link.ends_with(b"/file (deleted)"), "{}", String::from_utf8_lossy(&link));
}

fn unlink_errors() {
    mkdir(c"folder", 0o755).unwrap();
    create(c"file", b"");
    assert_eq!(unlink(c"missing"), Err(ENOENT));
    assert_eq!(unlink(c"folder"), Err(EISDIR));
    assert_eq!(unlink(c"file/x"), Err(ENOTDIR));
    assert_eq!(unlink(c"file/"), Err(ENOTDIR));
    assert_eq!(unlink(c"folder/."), Err(EISDIR));
    assert_eq!(unlink(c""), Err(ENOENT));
    symlink(c"folder", c"link").unwrap();
    assert_eq!(unlink(c"link"), Ok(()), "the link, not what it points to");
    assert!(stat(c"folder").is_ok());
}

fn hard_links() {
    create(c"one", b"abc");
    link(c"one", c"two").unwrap();
    assert!(same_file(c"one", c"two"));
    assert_eq!(stat(c"one").unwrap().st_nlink, 2);
    unlink(c"one").unwrap();
    assert_eq!(stat(c"two").unwrap().st_nlink, 1);
    assert_eq!(content(c"two"), Ok(b"abc".to_vec()));
    chmod(c"two", 0o600).unwrap();
    link(c"two", c"three").unwrap();
    assert_eq!(stat(c"three").unwrap().st_mode & 0o7777, 0o600);
}

fn link_errors() {
    create(c"file", b"");
    mkdir(c"folder", 0o755).unwrap();
    assert_eq!(link(c"missing", c"x"), Err(ENOENT));
    assert_eq!(link(c"file", c"file"), Err(EEXIST));
    assert_eq!(link(c"file", c"folder"), Err(EEXIST));
    assert_eq!(link(c"file", c"missing/x"), Err(ENOENT));
    assert_eq!(link(c"folder", c"x"), Err(EPERM), "folders can't be linked");
    assert_eq!(link(c"/proc/self/status", c"x"), Err(EXDEV));
    assert_eq!(link(c"file", c"x/"), Err(ENOENT));
}

fn linkat_follows_or_not() {
    create(c"file", b"abc");
    symlink(c"file", c"link").unwrap();
    let cwd = libc::AT_FDCWD;
    syscall!(SYS_linkat, cwd, c"link", cwd, c"to-link", 0).unwrap();
    assert_eq!(lstat(c"to-link").unwrap().st_mode & libc::S_IFMT, libc::S_IFLNK);
    syscall!(SYS_linkat, cwd, c"link", cwd, c"to-file", libc::AT_SYMLINK_FOLLOW).unwrap();
    assert!(same_file(c"to-file", c"file"));
    assert_eq!(lstat(c"to-file").unwrap().st_nlink, 2);
    assert_eq!(syscall!(SYS_linkat, cwd, c"file", cwd, c"x", 1 << 20), Err(EINVAL));
    let file = open(c"file", O_RDONLY).unwrap();
    if syscall!(SYS_geteuid) == Ok(0) {
        syscall!(SYS_linkat, file, c"", cwd, c"by-descriptor", libc::AT_EMPTY_PATH).unwrap();
        assert!(same_file(c"by-descriptor", c"file"));
    }
}

fn symlinks() {
    symlink(c"any/text at all", c"link").unwrap();
    assert_eq!(readlink(c"link"), Ok(b"any/text at all".to_vec()));
    let status = lstat(c"link").unwrap();
    assert_eq!((status.st_mode, status.st_size), (libc::S_IFLNK | 0o777, 15));
    let mut short = [0u8; 4];
    assert_eq!(syscall!(SYS_readlink, c"link", &mut short, 4), Ok(4), "cut silently");
    assert_eq!(&short, b"any/");
    assert_eq!(syscall!(SYS_readlink, c"link", &mut short, 0), Err(EINVAL));
    create(c"file", b"");
    assert_eq!(readlink(c"file"), Err(EINVAL));
    assert_eq!(readlink(c"missing"), Err(ENOENT));
    assert_eq!(symlink(c"x", c"link"), Err(EEXIST));
    assert_eq!(symlink(c"", c"empty"), Err(ENOENT));
    assert_eq!(symlink(&path(vec![b'x'; 4096]), c"long"), Err(ENAMETOOLONG));
    assert_eq!(symlink(&path(vec![b'x'; 4095]), c"long"), Ok(()));
    assert_eq!(stat(c"long").err(), Some(ENAMETOOLONG));
}

fn symlink_loops_and_depth() {
    symlink(c"b", c"a").unwrap();
    symlink(c"a", c"b").unwrap();
    assert_eq!(open(c"a", O_RDONLY), Err(ELOOP));
    assert_eq!(stat(c"a/x").err(), Some(ELOOP));
    assert!(lstat(c"a").is_ok());
    symlink(c"self/x", c"self").unwrap();
    assert_eq!(stat(c"self").err(), Some(ELOOP));
    // Forty links in a row are followed, not more.
    create(c"l0", b"end");
    for number in 1..=41 {
        symlink(&path(format!("l{}", number - 1)), &path(format!("l{number}"))).unwrap();
    }
    assert_eq!(content(c"l40"), Ok(b"end".to_vec()));
    assert_eq!(content(c"l41"), Err(ELOOP));
}

fn symlinks_in_the_middle() {
    mkdir(c"a", 0o755).unwrap();
    mkdir(c"a/b", 0o755).unwrap();
    mkdir(c"c", 0o755).unwrap();
    create(c"a/file", b"upper");
    symlink(c"../a/b", c"c/link").unwrap();
    assert_eq!(content(c"c/link/../file"), Ok(b"upper".to_vec()), ".. is physical");
    symlink(c"b/", c"a/slashed").unwrap();
    assert!(stat(c"a/slashed").is_ok());
    create(c"plain", b"");
    symlink(c"plain", c"to-file").unwrap();
    assert_eq!(stat(c"to-file/x").err(), Some(ENOTDIR));
    assert_eq!(stat(c"to-file/.").err(), Some(ENOTDIR));
    symlink(c"plain/", c"to-file-slash").unwrap();
    assert_eq!(stat(c"to-file-slash").err(), Some(ENOTDIR));
}

fn trailing_slashes_and_dots() {
    mkdir(c"a", 0o755).unwrap();
    create(c"file", b"");
    for name in [c"a", c"a/", c"a//", c"./a", c"a/.", c"a/../a", c".//a/./"] {
        assert!(same_file(name, c"a"), "{name:?}");
    }
    assert!(same_file(c"/", c"/.."));
    assert!(same_file(c"/", c"//../../."));
    assert_eq!(stat(c"file/").err(), Some(ENOTDIR));
    assert_eq!(stat(c"file/.").err(), Some(ENOTDIR));
    assert_eq!(stat(c"file/..").err(), Some(ENOTDIR));
    assert_eq!(stat(c"missing/..").err(), Some(ENOENT));
    assert_eq!(open(c"new/", O_CREAT | O_RDWR), Err(EISDIR));
}

fn names_and_paths_too_long() {
    let just = path(vec![b'n'; 255]);
    let over = path(vec![b'n'; 256]);
    mkdir(&just, 0o755).unwrap();
    assert_eq!(mkdir(&over, 0o755), Err(ENAMETOOLONG));
    assert_eq!(stat(&over).err(), Some(ENAMETOOLONG));
    assert_eq!(rename(&just, &over), Err(ENAMETOOLONG));
    assert_eq!(symlink(c"x", &over), Err(ENAMETOOLONG));
    // A tree deeper than a path can say is still reachable step by step.
    for _ in 0..40 {
        mkdir(&just, 0o755).or_else(|errno| if errno == EEXIST { Ok(()) } else { Err(errno) }).unwrap();
        syscall!(SYS_chdir, &*just).unwrap();
    }
    let mut buffer = vec![0u8; 20_000];
    assert_eq!(syscall!(SYS_getcwd, buffer.as_mut_ptr(), 20_000), Err(ENAMETOOLONG));
    create(c"deep", b"");
    for _ in 0..40 {
        let _ = unlink(c"deep");
        syscall!(SYS_chdir, c"..").unwrap();
        rmdir(&just).unwrap();
    }
}

fn removed_working_folder() {
    mkdir(c"gone", 0o755).unwrap();
    syscall!(SYS_chdir, c"gone").unwrap();
    rmdir(c"../gone").unwrap();
    assert_eq!(syscall!(SYS_getcwd, &mut [0u8; 4096], 4096), Err(ENOENT));
    assert!(stat(c".").is_ok());
    assert_eq!(stat(c".").unwrap().st_nlink, 0);
    assert_eq!(open(c"new", O_RDWR | O_CREAT), Err(ENOENT));
    assert_eq!(mkdir(c"new", 0o755), Err(ENOENT));
    assert_eq!(stat(c"../other").err(), Some(ENOENT));
    assert!(syscall!(SYS_chdir, c"..").is_ok(), "the parent is still its parent");
}

fn removed_open_folder() {
    mkdir(c"gone", 0o755).unwrap();
    let folder = open(c"gone", O_RDONLY | O_DIRECTORY).unwrap();
    rmdir(c"gone").unwrap();
    assert_eq!(syscall!(SYS_openat, folder, c"new", O_RDWR | O_CREAT, 0o644), Err(ENOENT));
    assert_eq!(syscall!(SYS_mkdirat, folder, c"new", 0o755), Err(ENOENT));
    assert_eq!(list_some(folder, 4096).map(|list| list.len()).unwrap_or(0), 0);
    assert_eq!(fstat(folder).unwrap().st_nlink, 0);
}

fn at_calls_are_relative_to_a_descriptor() {
    mkdir(c"folder", 0o755).unwrap();
    create(c"folder/file", b"x");
    create(c"file", b"outer");
    let folder = open(c"folder", O_RDONLY | O_DIRECTORY).unwrap();
    let file = open(c"file", O_RDONLY).unwrap();
    syscall!(SYS_mkdirat, folder, c"sub", 0o755).unwrap();
    syscall!(SYS_symlinkat, c"file", folder, c"link").unwrap();
    syscall!(SYS_linkat, folder, c"file", folder, c"hard", 0).unwrap();
    syscall!(SYS_renameat, folder, c"hard", libc::AT_FDCWD, c"moved").unwrap();
    syscall!(SYS_fchmodat, folder, c"file", 0o600).unwrap();
    syscall!(SYS_unlinkat, folder, c"link", 0).unwrap();
    assert_eq!(stat(c"folder/file").unwrap().st_mode & 0o777, 0o600);
    assert!(stat(c"folder/sub").is_ok() && stat(c"moved").is_ok());
    let mut status: libc::stat = zeroed();
    assert_eq!(syscall!(SYS_newfstatat, file, c"x", &mut status, 0), Err(ENOTDIR));
    assert_eq!(syscall!(SYS_newfstatat, 700, c"x", &mut status, 0), Err(EBADF));
    let by_path = open(c"folder", libc::O_PATH).unwrap();
    assert!(syscall!(SYS_openat, by_path, c"file", O_RDONLY).is_ok(), "O_PATH is enough");
}

fn cwd() -> String {
    let mut buffer = vec![0u8; 4096];
    let len = syscall!(SYS_getcwd, buffer.as_mut_ptr(), 4096).unwrap();
    assert_eq!(buffer[len - 1], 0, "the NUL counts");
    String::from_utf8(buffer[..len - 1].to_vec()).unwrap()
}

fn getcwd_and_chdir() {
    let start = cwd();
    mkdir(c"a", 0o755).unwrap();
    create(c"file", b"");
    syscall!(SYS_chdir, c"a").unwrap();
    assert_eq!(cwd(), format!("{start}/a"));
    rename(c"../a", c"../renamed").unwrap();
    assert_eq!(cwd(), format!("{start}/renamed"), "it follows");
    syscall!(SYS_chdir, c"../.").unwrap();
    assert_eq!(cwd(), start);
    assert_eq!(syscall!(SYS_chdir, c"file"), Err(ENOTDIR));
    assert_eq!(syscall!(SYS_chdir, c"missing"), Err(ENOENT));
    assert_eq!(syscall!(SYS_getcwd, &mut [0u8; 2], 2), Err(ERANGE));
    assert_eq!(syscall!(SYS_getcwd, 8, 4096), Err(EFAULT));
    syscall!(SYS_chdir, c"/").unwrap();
    assert_eq!(cwd(), "/");
}

fn fchdir() {
    mkdir(c"a", 0o755).unwrap();
    create(c"file", b"");
    let start = cwd();
    let folder = open(c"a", O_RDONLY).unwrap();
    syscall!(SYS_fchdir, folder).unwrap();
    assert_eq!(cwd(), format!("{start}/a"));
    assert_eq!(syscall!(SYS_fchdir, open(c"../file", O_RDONLY).unwrap()), Err(ENOTDIR));
    assert_eq!(syscall!(SYS_fchdir, 700), Err(EBADF));
}

fn chroot_bounds_the_world() {
    mkdir(c"root", 0o755).unwrap();
    create(c"root/file", b"inside");
    fork(|| {
        syscall!(SYS_chroot, c"root").unwrap();
        assert_eq!(content(c"/file"), Ok(b"inside".to_vec()));
        syscall!(SYS_chdir, c"/").unwrap();
        assert!(same_file(c"/", c".."), ".. does not lead out");
        assert_eq!(content(c"../../../file"), Ok(b"inside".to_vec()));
        assert_eq!(cwd(), "/");
    })
    .succeeds();
    as_nobody(|| assert_eq!(syscall!(SYS_chroot, c"/"), Err(EPERM)));
}

fn concurrent_creation_has_one_winner() {
    for round in 0..20 {
        let name = path(format!("contested-{round}"));
        let children: Vec<Child> = (0..4)
            .map(|_| fork_status(|| i32::from(open(&name, O_RDWR | O_CREAT | libc::O_EXCL).is_ok())))
            .collect();
        let winners = children.iter().filter(|child| child.wait() == Status::Exited(1)).count();
        assert_eq!(winners, 1);
    }
}

fn case_and_bytes_of_names() {
    for name in [&b"Name"[..], b"name", b"with space", b"\xff\xfe\x01", b"...", b"-", b"new\nline"] {
        create(&path(name), name);
    }
    assert_eq!(content(c"Name"), Ok(b"Name".to_vec()));
    assert_eq!(content(c"name"), Ok(b"name".to_vec()));
    assert_eq!(content(&path(&b"\xff\xfe\x01"[..])), Ok(b"\xff\xfe\x01".to_vec()));
    assert_eq!(std::fs::read_dir(".").unwrap().count(), 7);
}

fn many_entries() {
    mkdir(c"big", 0o755).unwrap();
    for number in 0..3000 {
        open(&path(format!("big/{number}")), O_RDWR | O_CREAT).map(close).unwrap().unwrap();
    }
    let folder = open(c"big", O_RDONLY).unwrap();
    assert_eq!(names(folder, 32_768).len(), 3002);
    for number in 0..3000 {
        unlink(&path(format!("big/{number}"))).unwrap();
    }
    assert_eq!(rmdir(c"big"), Ok(()));
}
