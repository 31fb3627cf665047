//! Renaming (rename(2), renameat2(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::O_RDONLY;
use std::ffi::CStr;

pub(crate) const CASES: &[Case] = &[
    case!(rename_files),
    case!(rename_directories),
    case!(rename_matrix_of_errors),
    case!(rename_into_itself),
    case!(rename_of_links_to_one_file),
    case!(rename_noreplace),
    case!(rename_exchange),
    case!(rename_updates_dotdot),
    case!(concurrent_renames_keep_the_tree),
];

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
