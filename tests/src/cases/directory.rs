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
    case!(rename_files),
    case!(rename_directories),
    case!(rename_matrix_of_errors),
    case!(rename_into_itself),
    case!(rename_of_links_to_one_file),
    case!(rename_noreplace),
    case!(rename_exchange),
    case!(rename_updates_dotdot),
    case!(removed_working_folder),
    case!(removed_open_folder),
    case!(at_calls_are_relative_to_a_descriptor),
    case!(getcwd_and_chdir),
    case!(fchdir),
    case!(chroot_bounds_the_world).root(),
    case!(mknod_kinds).root(),
    case!(statx_fields),
    case!(stat_errors_and_empty_path),
    case!(times_move_as_they_should),
    case!(utimensat_sets),
    case!(inotify_tells_changes),
    case!(concurrent_creation_has_one_winner),
    case!(concurrent_renames_keep_the_tree),
    case!(case_and_bytes_of_names),
    case!(statfs_of_the_file_system),
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

fn rename_files() {
    create(c"a", b"A");
    create(c"b", b"B");
    let opened = open(c"b", O_RDONLY).unwrap();
    rename(c"a", c"b").unwrap();
    assert_eq!(content(c"b"), Ok(b"A".to_vec()));
    assert_eq!(stat(c"a").err(), Some(ENOENT));
    assert_eq!(read_some(opened, 9), Ok(b"B".to_vec()), "the replaced file lives while open");
    assert_eq!(fstat(opened).unwrap().st_nlink, 0);
    symlink(c"b", c"link").unwrap();
    rename(c"link", c"moved").unwrap();
    assert_eq!(readlink(c"moved"), Ok(b"b".to_vec()), "the link itself moves");
    create(c"c", b"C");
    rename(c"c", c"moved").unwrap();
    assert_eq!(content(c"b"), Ok(b"A".to_vec()), "a link as the target is replaced, not followed");
}

fn rename_directories() {
    mkdir(c"a", 0o755).unwrap();
    create(c"a/file", b"x");
    mkdir(c"empty", 0o755).unwrap();
    rename(c"a", c"empty").unwrap();
    assert_eq!(content(c"empty/file"), Ok(b"x".to_vec()), "an empty folder is replaced");
    mkdir(c"other", 0o755).unwrap();
    rename(c"empty/", c"other/moved/").unwrap();
    assert_eq!(content(c"other/moved/file"), Ok(b"x".to_vec()));
}

fn rename_matrix_of_errors() {
    create(c"file", b"");
    mkdir(c"folder", 0o755).unwrap();
    mkdir(c"full", 0o755).unwrap();
    create(c"full/file", b"");
    assert_eq!(rename(c"missing", c"x"), Err(ENOENT));
    assert_eq!(rename(c"file", c"folder"), Err(EISDIR));
    assert_eq!(rename(c"folder", c"file"), Err(ENOTDIR));
    assert_eq!(rename(c"folder", c"full"), Err(ENOTEMPTY));
    assert_eq!(rename(c"file", c"missing/x"), Err(ENOENT));
    assert_eq!(rename(c"file", c"x/"), Err(ENOTDIR));
    assert_eq!(rename(c"file/", c"x"), Err(ENOTDIR));
    assert_eq!(rename(c".", c"x"), Err(EBUSY));
    assert_eq!(rename(c"folder", c"."), Err(EBUSY));
    assert_eq!(rename(c"folder/..", c"x"), Err(EBUSY));
    let of_root = rename(c"/", c"x");
    assert!(of_root == Err(EBUSY) || of_root == Err(EXDEV), "{of_root:?}"); // By what is mounted here.
    assert_eq!(rename(c"file", c"/proc/self/x"), Err(EXDEV));
    assert_eq!(syscall!(SYS_rename, 8, c"x"), Err(EFAULT));
    assert_eq!(rename(c"", c"x"), Err(ENOENT));
    assert!(stat(c"file").is_ok() && stat(c"folder").is_ok());
}

fn rename_into_itself() {
    mkdir(c"a", 0o755).unwrap();
    mkdir(c"a/b", 0o755).unwrap();
    assert_eq!(rename(c"a", c"a/b/c"), Err(EINVAL));
    assert_eq!(rename(c"a", c"a/b"), Err(EINVAL));
    assert_eq!(rename(c"a/b", c"a"), Err(ENOTEMPTY));
    assert_eq!(rename(c"a", c"a"), Ok(()), "onto itself, nothing happens");
    assert!(stat(c"a/b").is_ok());
}

fn rename_of_links_to_one_file() {
    create(c"one", b"abc");
    link(c"one", c"two").unwrap();
    assert_eq!(rename(c"one", c"two"), Ok(()));
    assert!(stat(c"one").is_ok() && stat(c"two").is_ok(), "both names stay: rename(2) does nothing");
}

fn renameat2(from: &CStr, to: &CStr, flags: u32) -> Sys<usize> {
    syscall!(SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, flags)
}

fn rename_noreplace() {
    create(c"a", b"A");
    create(c"b", b"B");
    assert_eq!(renameat2(c"a", c"b", libc::RENAME_NOREPLACE), Err(EEXIST));
    assert_eq!(renameat2(c"a", c"c", libc::RENAME_NOREPLACE), Ok(0));
    assert_eq!((content(c"b"), content(c"c")), (Ok(b"B".to_vec()), Ok(b"A".to_vec())));
    assert_eq!(renameat2(c"b", c"b", libc::RENAME_NOREPLACE), Err(EEXIST));
    assert_eq!(renameat2(c"b", c"x", 1 << 10), Err(EINVAL));
}

fn rename_exchange() {
    create(c"file", b"F");
    mkdir(c"folder", 0o755).unwrap();
    create(c"folder/inner", b"I");
    let exchange = libc::RENAME_EXCHANGE;
    assert_eq!(renameat2(c"file", c"folder", exchange), Ok(0));
    assert_eq!((content(c"folder"), content(c"file/inner")), (Ok(b"F".to_vec()), Ok(b"I".to_vec())));
    assert_eq!(renameat2(c"file", c"missing", exchange), Err(ENOENT));
    mkdir(c"a", 0o755).unwrap();
    mkdir(c"a/b", 0o755).unwrap();
    assert_eq!(renameat2(c"a", c"a/b", exchange), Err(EINVAL));
    assert_eq!(renameat2(c"a/b", c"a", exchange), Err(EINVAL));
    assert_eq!(renameat2(c"a", c"file", exchange | libc::RENAME_NOREPLACE), Err(EINVAL));
    // Between folders, the link counts follow.
    mkdir(c"other", 0o755).unwrap();
    create(c"other/plain", b"");
    assert_eq!(renameat2(c"a/b", c"other/plain", exchange), Ok(0));
    assert_eq!((stat(c"a").unwrap().st_nlink, stat(c"other").unwrap().st_nlink), (2, 3));
}

fn rename_updates_dotdot() {
    mkdir(c"a", 0o755).unwrap();
    mkdir(c"b", 0o755).unwrap();
    mkdir(c"a/moving", 0o755).unwrap();
    create(c"b/marker", b"");
    let moving = open(c"a/moving", O_RDONLY).unwrap();
    rename(c"a/moving", c"b/moved").unwrap();
    assert!(syscall!(SYS_faccessat, moving, c"../marker", 0).is_ok());
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
    assert_eq!(
        libc::makedev(status.stx_dev_major, status.stx_dev_minor),
        plain.st_dev
    );
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

/// Processes that move folders into each other: whatever happens, no cycle and no lost name.
fn concurrent_renames_keep_the_tree() {
    for name in [c"a", c"b", c"c"] {
        mkdir(name, 0o755).unwrap();
    }
    let moves = |from: &'static CStr, to: &'static CStr| {
        fork(move || {
            for _ in 0..300 {
                let _ = rename(from, to);
                let _ = rename(to, from);
            }
        })
    };
    let children = [moves(c"a", c"b/a"), moves(c"b", c"c/b"), moves(c"c", c"a/c"), moves(c"b", c"a/b")];
    children.iter().for_each(Child::succeeds);
    let count = count_folders(std::path::Path::new("."));
    assert_eq!(count, 3, "the three folders are all there, each once");
}

fn count_folders(at: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(at).unwrap();
    entries.map(|entry| 1 + count_folders(&entry.unwrap().path())).sum()
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
    assert_eq!(syscall!(SYS_statfs, c"missing", &mut here), Err(ENOENT));
    assert_eq!(syscall!(SYS_statfs, c".", 8), Err(EFAULT));
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
