//! Watching files (inotify(7)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE,
    IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_ONESHOT,
    IN_OPEN, POLLIN,
};
use std::ffi::CStr;

pub(crate) const CASES: &[Case] = &[
    case!(making_and_opening),
    case!(reading_and_writing),
    case!(attributes_and_sizes),
    case!(names_come_and_go),
    case!(moves_share_a_cookie),
    case!(rename_over_a_file),
    case!(end_of_a_file),
    case!(end_of_a_directory),
    case!(directories_are_marked),
    case!(hard_links_and_special_files),
    case!(same_event_is_told_once),
    case!(one_shot),
    case!(masks_are_replaced_or_added),
    case!(remove_tells_ignored),
    case!(argument_errors),
    case!(path_flags),
    case!(permission_to_read_is_needed).root(),
    case!(reads_are_whole_events),
    case!(blocks_polls_and_wakes_epoll),
    case!(bytes_that_wait),
    case!(overflow_is_told),
    case!(unlinked_entries_may_be_left_out),
    case!(two_instances_hear_the_same),
    case!(instance_as_a_descriptor),
    case!(file_system_is_unmounted).vm(),
    case!(detached_file_system_ends_with_its_last_user).vm(),
];

/// (watch, mask, cookie, name)
type Event = (i32, u32, u32, String);

fn instance() -> Fd {
    crate::harness::or_skip(syscall!(SYS_inotify_init1, libc::IN_NONBLOCK)) as Fd
}

fn watch(fd: Fd, path: &CStr, mask: u32) -> Sys<i32> {
    syscall!(SYS_inotify_add_watch, fd, path, mask).map(|wd| wd as i32)
}

fn events(fd: Fd) -> Vec<Event> {
    let mut found = Vec::new();
    while let Ok(bytes) = read_some(fd, 4096) {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
            let length = word(12) as usize;
            assert_eq!(length % 16, 0, "names are padded");
            let name = rest[16..16 + length].split(|byte| *byte == 0).next().unwrap();
            found.push((word(0) as i32, word(4), word(8), String::from_utf8(name.to_vec()).unwrap()));
            rest = &rest[16 + length..];
        }
    }
    found
}

/// (watch, mask, name) of what happened; the cookies are 0.
fn told(fd: Fd) -> Vec<(i32, u32, String)> {
    let plain = |(wd, mask, cookie, name)| {
        assert_eq!(cookie, 0);
        (wd, mask, name)
    };
    events(fd).into_iter().map(plain).collect()
}

fn expect(fd: Fd, expected: &[(i32, u32, &str)]) {
    let found = told(fd);
    let found: Vec<(i32, u32, &str)> = found.iter().map(|event| (event.0, event.1, &event.2[..])).collect();
    assert_eq!(found, expected);
}

fn making_and_opening() {
    let fd = instance();
    assert_eq!(watch(fd, c".", IN_ALL_EVENTS), Ok(1));
    let file = create_open(c"a");
    expect(fd, &[(1, IN_CREATE, "a"), (1, IN_OPEN, "a")]);
    assert_eq!(watch(fd, c"a", IN_ALL_EVENTS), Ok(2));
    close(file).unwrap();
    expect(fd, &[(1, IN_CLOSE_WRITE, "a"), (2, IN_CLOSE_WRITE, "")]);
    let file = open(c"a", libc::O_RDONLY).unwrap();
    let copy = dup(file).unwrap();
    close(file).unwrap();
    expect(fd, &[(1, IN_OPEN, "a"), (2, IN_OPEN, "")]);
    close(copy).unwrap();
    expect(fd, &[(1, IN_CLOSE_NOWRITE, "a"), (2, IN_CLOSE_NOWRITE, "")]);
    close(open(c"a", libc::O_WRONLY | libc::O_TRUNC).unwrap()).unwrap();
    let expected: Vec<u32> = told(fd).iter().filter(|event| event.0 == 2).map(|event| event.1).collect();
    assert_eq!(expected, [IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE]);
    close(open(c"a", libc::O_PATH).unwrap()).unwrap();
    expect(fd, &[]);
}

fn reading_and_writing() {
    let (fd, file) = (instance(), open(c"a", libc::O_RDWR | libc::O_CREAT).unwrap());
    watch(fd, c".", IN_ALL_EVENTS).unwrap();
    watch(fd, c"a", IN_ALL_EVENTS).unwrap();
    write(file, b"hello").unwrap();
    expect(fd, &[(1, IN_MODIFY, "a"), (2, IN_MODIFY, "")]);
    assert_eq!(write(file, b""), Ok(0));
    expect(fd, &[]);
    assert_eq!(pread(file, &mut [0; 2], 0), Ok(2));
    expect(fd, &[(1, IN_ACCESS, "a"), (2, IN_ACCESS, "")]);
    assert_eq!(read(file, &mut [0; 2]), Ok(0));
    expect(fd, &[]);
    assert_eq!(pwrite(file, b"x", 9), Ok(1));
    expect(fd, &[(1, IN_MODIFY, "a"), (2, IN_MODIFY, "")]);
}

fn attributes_and_sizes() {
    let (fd, file) = (instance(), create_open(c"a"));
    watch(fd, c"a", IN_ALL_EVENTS).unwrap();
    syscall!(SYS_ftruncate, file, 7).unwrap();
    expect(fd, &[(1, IN_MODIFY, "")]);
    syscall!(SYS_truncate, c"a", 3).unwrap();
    expect(fd, &[(1, IN_MODIFY, "")]);
    syscall!(SYS_fchmod, file, 0o600).unwrap();
    expect(fd, &[(1, IN_ATTRIB, "")]);
    syscall!(SYS_chmod, c"a", 0o640).unwrap();
    expect(fd, &[(1, IN_ATTRIB, "")]);
    syscall!(SYS_utimensat, libc::AT_FDCWD, c"a", 0, 0).unwrap();
    expect(fd, &[(1, IN_ATTRIB, "")]);
}

fn names_come_and_go() {
    let fd = instance();
    watch(fd, c".", IN_CREATE | IN_DELETE).unwrap();
    create_open(c"a");
    syscall!(SYS_mkdir, c"d", 0o755).unwrap();
    syscall!(SYS_symlink, c"a", c"s").unwrap();
    expect(fd, &[(1, IN_CREATE, "a"), (1, IN_CREATE | IN_ISDIR, "d"), (1, IN_CREATE, "s")]);
    syscall!(SYS_unlink, c"s").unwrap();
    syscall!(SYS_rmdir, c"d").unwrap();
    syscall!(SYS_unlink, c"a").unwrap();
    expect(fd, &[(1, IN_DELETE, "s"), (1, IN_DELETE | IN_ISDIR, "d"), (1, IN_DELETE, "a")]);
    let _ = open(c"nowhere", libc::O_RDONLY);
    let _ = syscall!(SYS_unlink, c"nowhere");
    expect(fd, &[]);
}

fn moves_share_a_cookie() {
    let fd = instance();
    create_open(c"a");
    syscall!(SYS_mkdir, c"d", 0o755).unwrap();
    let moves = IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF;
    for path in [c".", c"d", c"a"] {
        watch(fd, path, moves).unwrap();
    }
    syscall!(SYS_rename, c"a", c"d/b").unwrap();
    let found = events(fd);
    let cookie = found[0].2;
    assert_ne!(cookie, 0);
    let name = |name: &str| name.to_owned();
    let expected = [
        (1, IN_MOVED_FROM, cookie, name("a")),
        (2, IN_MOVED_TO, cookie, name("b")),
        (3, IN_MOVE_SELF, 0, name("")),
    ];
    assert_eq!(found, expected);
    syscall!(SYS_rename, c"d", c"e").unwrap();
    let found = events(fd);
    let masks: Vec<u32> = found.iter().map(|event| event.1).collect();
    assert_eq!(masks, [IN_MOVED_FROM | IN_ISDIR, IN_MOVED_TO | IN_ISDIR, IN_MOVE_SELF]);
    assert!(found[0].2 == found[1].2 && found[0].2 != cookie, "each move has its own");
    assert_eq!(syscall!(SYS_rename, c"e/b", c"e/b"), Ok(0));
    assert_eq!(events(fd), [], "no move at all");
}

fn rename_over_a_file() {
    let fd = instance();
    create_open(c"from");
    close(create_open(c"to")).unwrap();
    watch(fd, c"to", IN_ALL_EVENTS).unwrap();
    syscall!(SYS_rename, c"from", c"to").unwrap();
    expect(fd, &[(1, IN_ATTRIB, ""), (1, IN_DELETE_SELF, ""), (1, IN_IGNORED, "")]);
}

fn end_of_a_file() {
    let (fd, file) = (instance(), create_open(c"a"));
    watch(fd, c".", IN_ALL_EVENTS).unwrap();
    watch(fd, c"a", IN_ALL_EVENTS).unwrap();
    syscall!(SYS_unlink, c"a").unwrap();
    expect(fd, &[(2, IN_ATTRIB, ""), (1, IN_DELETE, "a")]);
    close(file).unwrap();
    expect(
        fd,
        &[(1, IN_CLOSE_WRITE, "a"), (2, IN_CLOSE_WRITE, ""), (2, IN_DELETE_SELF, ""), (2, IN_IGNORED, "")],
    );
    assert_eq!(syscall!(SYS_inotify_rm_watch, fd, 2), Err(EINVAL));
    close(create_open(c"b")).unwrap();
    assert_eq!(watch(fd, c"b", IN_DELETE_SELF), Ok(3), "numbers do not come again");
    let _ = told(fd);
    syscall!(SYS_unlink, c"b").unwrap();
    expect(fd, &[(3, IN_DELETE_SELF, ""), (3, IN_IGNORED, ""), (1, IN_DELETE, "b")]);
}

fn end_of_a_directory() {
    let fd = instance();
    syscall!(SYS_mkdir, c"d", 0o755).unwrap();
    watch(fd, c".", IN_ALL_EVENTS).unwrap();
    watch(fd, c"d", IN_ALL_EVENTS).unwrap();
    syscall!(SYS_rmdir, c"d").unwrap();
    expect(fd, &[(2, IN_DELETE_SELF, ""), (2, IN_IGNORED, ""), (1, IN_DELETE | IN_ISDIR, "d")]);
}

fn directories_are_marked() {
    let fd = instance();
    syscall!(SYS_mkdir, c"d", 0o755).unwrap();
    watch(fd, c".", IN_ALL_EVENTS).unwrap();
    watch(fd, c"d", IN_ALL_EVENTS).unwrap();
    let folder = open(c"d", libc::O_RDONLY).unwrap();
    expect(fd, &[(1, IN_OPEN | IN_ISDIR, "d"), (2, IN_OPEN | IN_ISDIR, "")]);
    let mut entries = [0u8; 512];
    syscall!(SYS_getdents64, folder, &mut entries, 512).unwrap();
    expect(fd, &[(1, IN_ACCESS | IN_ISDIR, "d"), (2, IN_ACCESS | IN_ISDIR, "")]);
    syscall!(SYS_chmod, c"d", 0o700).unwrap();
    expect(fd, &[(1, IN_ATTRIB | IN_ISDIR, "d"), (2, IN_ATTRIB | IN_ISDIR, "")]);
    close(folder).unwrap();
    expect(fd, &[(1, IN_CLOSE_NOWRITE | IN_ISDIR, "d"), (2, IN_CLOSE_NOWRITE | IN_ISDIR, "")]);
}

fn hard_links_and_special_files() {
    let fd = instance();
    close(create_open(c"a")).unwrap();
    watch(fd, c".", IN_CREATE | IN_DELETE).unwrap();
    watch(fd, c"a", IN_ATTRIB | IN_DELETE_SELF).unwrap();
    syscall!(SYS_link, c"a", c"b").unwrap();
    expect(fd, &[(2, IN_ATTRIB, ""), (1, IN_CREATE, "b")]);
    syscall!(SYS_unlink, c"a").unwrap();
    expect(fd, &[(2, IN_ATTRIB, ""), (1, IN_DELETE, "a")]);
    syscall!(SYS_mknodat, libc::AT_FDCWD, c"fifo", libc::S_IFIFO | 0o644, 0).unwrap();
    expect(fd, &[(1, IN_CREATE, "fifo")]);
    watch(fd, c"fifo", IN_MODIFY | IN_ACCESS).unwrap();
    let both = open(c"fifo", libc::O_RDWR).unwrap();
    write(both, b"x").unwrap();
    read_some(both, 1).unwrap();
    expect(fd, &[(3, IN_MODIFY, ""), (3, IN_ACCESS, "")]);
}

fn same_event_is_told_once() {
    let (fd, file) = (instance(), create_open(c"a"));
    watch(fd, c"a", IN_MODIFY | IN_ATTRIB).unwrap();
    for _ in 0..5 {
        write(file, b"x").unwrap();
    }
    expect(fd, &[(1, IN_MODIFY, "")]);
    write(file, b"x").unwrap();
    syscall!(SYS_fchmod, file, 0o600).unwrap();
    write(file, b"x").unwrap();
    expect(fd, &[(1, IN_MODIFY, ""), (1, IN_ATTRIB, ""), (1, IN_MODIFY, "")]);
}

fn one_shot() {
    let (fd, file) = (instance(), create_open(c"a"));
    watch(fd, c"a", IN_MODIFY | IN_ONESHOT).unwrap();
    write(file, b"x").unwrap();
    write(file, b"x").unwrap();
    expect(fd, &[(1, IN_MODIFY, ""), (1, IN_IGNORED, "")]);
    assert_eq!(watch(fd, c"a", IN_MODIFY), Ok(2));
}

fn masks_are_replaced_or_added() {
    let (fd, file) = (instance(), create_open(c"a"));
    assert_eq!(
        (watch(fd, c"a", IN_MODIFY), watch(fd, c"./a", IN_ATTRIB)),
        (Ok(1), Ok(1)),
        "one file, one watch"
    );
    write(file, b"x").unwrap();
    expect(fd, &[]);
    assert_eq!(watch(fd, c"a", IN_MODIFY | libc::IN_MASK_ADD), Ok(1));
    write(file, b"x").unwrap();
    syscall!(SYS_fchmod, file, 0o600).unwrap();
    expect(fd, &[(1, IN_MODIFY, ""), (1, IN_ATTRIB, "")]);
    assert_eq!(watch(fd, c"a", IN_MODIFY | libc::IN_MASK_CREATE), Err(EEXIST));
}

fn remove_tells_ignored() {
    let (fd, file) = (instance(), create_open(c"a"));
    watch(fd, c"a", IN_MODIFY).unwrap();
    write(file, b"x").unwrap();
    assert_eq!(syscall!(SYS_inotify_rm_watch, fd, 1), Ok(0));
    write(file, b"x").unwrap();
    expect(fd, &[(1, IN_MODIFY, ""), (1, IN_IGNORED, "")]);
    assert_eq!(syscall!(SYS_inotify_rm_watch, fd, 1), Err(EINVAL));
    assert_eq!(syscall!(SYS_inotify_rm_watch, fd, -1), Err(EINVAL));
    assert_eq!(syscall!(SYS_inotify_rm_watch, 700, 1), Err(EBADF));
    assert_eq!(syscall!(SYS_inotify_rm_watch, file, 1), Err(EINVAL));
}

fn argument_errors() {
    let fd = instance();
    assert_eq!(watch(fd, c".", 0), Err(EINVAL));
    assert_eq!(watch(fd, c".", 0x10000 | IN_OPEN), Err(EINVAL));
    assert_eq!(watch(fd, c".", IN_OPEN | libc::IN_MASK_ADD | libc::IN_MASK_CREATE), Err(EINVAL));
    assert_eq!(watch(700, c".", IN_OPEN), Err(EBADF));
    assert_eq!(watch(700, c".", 0), Err(EINVAL), "the mask is looked at first");
    assert_eq!(watch(pipe().0, c"nowhere", IN_OPEN), Err(EINVAL));
    assert_eq!(watch(fd, c"nowhere", IN_OPEN), Err(ENOENT));
    assert_eq!(syscall!(SYS_inotify_add_watch, fd, 8, IN_OPEN), Err(EFAULT));
    assert_eq!(syscall!(SYS_inotify_init1, 1), Err(EINVAL));
}

fn path_flags() {
    let fd = instance();
    create_open(c"a");
    syscall!(SYS_symlink, c"a", c"s").unwrap();
    assert_eq!(watch(fd, c"a", IN_OPEN | libc::IN_ONLYDIR), Err(ENOTDIR));
    assert_eq!(watch(fd, c".", IN_OPEN | libc::IN_ONLYDIR), Ok(1));
    assert_eq!(watch(fd, c"s", IN_ATTRIB | libc::IN_DONT_FOLLOW), Ok(2));
    assert_eq!(watch(fd, c"s", IN_ATTRIB), Ok(3));
    assert_eq!(watch(fd, c"a", IN_ATTRIB), Ok(3), "the link was followed");
}

fn permission_to_read_is_needed() {
    create_open(c"a");
    syscall!(SYS_chmod, c"a", 0o300).unwrap();
    syscall!(SYS_chmod, c".", 0o777).unwrap();
    fork(|| {
        syscall!(SYS_setresuid, 1000, 1000, 1000).unwrap();
        assert_eq!(watch(instance(), c"a", IN_OPEN), Err(EACCES));
    })
    .succeeds();
}

fn reads_are_whole_events() {
    let fd = instance();
    watch(fd, c".", IN_CREATE).unwrap();
    create_open(c"a");
    create_open(c"a name of thirty-one characters");
    assert_eq!(read(fd, &mut [0; 31]), Err(EINVAL), "not even the first");
    assert_eq!(read_some(fd, 50).map(|bytes| bytes.len()), Ok(32), "the second waits");
    assert_eq!(read_some(fd, 48).map(|bytes| bytes.len()), Ok(48));
    assert_eq!(read(fd, &mut [0; 1]), Err(EAGAIN));
    create_open(c"b");
    assert_eq!(syscall!(SYS_read, fd, 8, 100), Err(EFAULT));
}

fn blocks_polls_and_wakes_epoll() {
    let fd = syscall!(SYS_inotify_init).unwrap() as Fd;
    watch(fd, c".", IN_CREATE).unwrap();
    let epoll = epoll_create();
    epoll_control(epoll, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN | libc::EPOLLET, 1).unwrap();
    assert_eq!((events_now(fd, POLLIN), epoll_wait(epoll, 1, 0)), (0, vec![]));
    let poller = fork(|| assert_eq!(poll(&mut [pollfd(fd, POLLIN)], -1), Ok(1)));
    wait_until_blocked(poller.pid);
    create_open(c"a");
    poller.succeeds();
    assert_eq!(epoll_wait(epoll, 1, -1), [(libc::EPOLLIN, 1)]);
    assert_eq!(read_some(fd, 100).unwrap().len(), 32);
    let reader = fork(|| assert_eq!(read_some(fd, 100).unwrap()[16], b'b'));
    wait_until_blocked(reader.pid);
    create_open(c"b");
    reader.succeeds();
}

fn bytes_that_wait() {
    let fd = instance();
    watch(fd, c".", IN_CREATE).unwrap();
    assert_eq!(readable_bytes(fd), 0);
    create_open(c"a");
    assert_eq!(readable_bytes(fd), 32);
    create_open(c"a name of sixteen");
    assert_eq!(readable_bytes(fd), 32 + 48);
    let _ = events(fd);
    assert_eq!(readable_bytes(fd), 0);
}

fn overflow_is_told() {
    let (fd, file) = (instance(), create_open(c"a"));
    watch(fd, c"a", IN_MODIFY | IN_ATTRIB).unwrap();
    let limit =
        text(c"/proc/sys/fs/inotify/max_queued_events").map_or(16384, |text| text.trim().parse().unwrap());
    for _ in 0..limit / 2 + 10 {
        write(file, b"x").unwrap();
        syscall!(SYS_fchmod, file, 0o600).unwrap();
    }
    let found = events(fd);
    assert_eq!(found.len(), limit + 1);
    assert_eq!(found[limit], (-1, libc::IN_Q_OVERFLOW, 0, String::new()));
    write(file, b"x").unwrap();
    expect(fd, &[(1, IN_MODIFY, "")]);
}

fn unlinked_entries_may_be_left_out() {
    let (all, some, file) = (instance(), instance(), create_open(c"a"));
    watch(all, c".", IN_MODIFY).unwrap();
    watch(some, c".", IN_MODIFY | libc::IN_EXCL_UNLINK).unwrap();
    write(file, b"x").unwrap();
    syscall!(SYS_unlink, c"a").unwrap();
    expect(some, &[(1, IN_MODIFY, "a")]);
    expect(all, &[(1, IN_MODIFY, "a")]);
    write(file, b"x").unwrap();
    expect(all, &[(1, IN_MODIFY, "a")]);
    expect(some, &[]);
}

fn two_instances_hear_the_same() {
    let (one, two) = (instance(), instance());
    let file = create_open(c"a");
    watch(one, c"a", IN_MODIFY).unwrap();
    watch(two, c"a", IN_MODIFY | IN_ONESHOT).unwrap();
    write(file, b"x").unwrap();
    expect(one, &[(1, IN_MODIFY, "")]);
    expect(two, &[(1, IN_MODIFY, ""), (1, IN_IGNORED, "")]);
    close(one).unwrap();
    write(file, b"x").unwrap();
    expect(two, &[]);
}

fn instance_as_a_descriptor() {
    let fd = syscall!(SYS_inotify_init1, libc::IN_CLOEXEC).unwrap() as Fd;
    assert_eq!(fcntl(fd, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    assert_eq!(fcntl(fd, libc::F_GETFL, 0), Ok(libc::O_RDONLY as usize));
    assert_eq!(write(fd, b"x"), Err(EBADF));
    let wd = watch(fd, c".", IN_OPEN | IN_CREATE).unwrap();
    let info = text(&path(format!("/proc/self/fdinfo/{fd}"))).unwrap();
    let start =
        format!("inotify wd:{wd:x} ino:{:x} ", fstat(open(c".", libc::O_PATH).unwrap()).unwrap().st_ino);
    let line = info.lines().find(|line| line.starts_with(&start)).expect(&start);
    assert!(line.contains("mask:120 "), "{line}");
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    assert_eq!(link.to_str(), Some("anon_inode:inotify"));
}

/// The watches end with the last mount.
fn file_system_is_unmounted() {
    let fd = instance();
    for place in [c"place", c"again"] {
        syscall!(SYS_mkdir, place, 0o755).unwrap();
    }
    syscall!(SYS_mount, c"none", c"place", c"tmpfs", 0, 0).unwrap();
    syscall!(SYS_mount, c"place", c"again", 0, libc::MS_BIND, 0).unwrap();
    create(c"place/file", b"");
    let file = watch(fd, c"place/file", IN_MODIFY).unwrap();
    syscall!(SYS_umount2, c"place", 0).unwrap();
    expect(fd, &[]);
    syscall!(SYS_umount2, c"again", 0).unwrap();
    expect(fd, &[(file, libc::IN_UNMOUNT, ""), (file, IN_IGNORED, "")]);
    assert_eq!(syscall!(SYS_inotify_rm_watch, fd, file), Err(EINVAL));
    for place in [c"place", c"again"] {
        syscall!(SYS_rmdir, place).unwrap();
    }
}

/// Taken out of the tree while it is in use, it goes on until that is over.
fn detached_file_system_ends_with_its_last_user() {
    let fd = instance();
    syscall!(SYS_mkdir, c"place", 0o755).unwrap();
    syscall!(SYS_mount, c"none", c"place", c"tmpfs", 0, 0).unwrap();
    syscall!(SYS_mkdir, c"place/inner", 0o755).unwrap();
    create(c"place/file", b"");
    let used = open(c"place/file", libc::O_WRONLY).unwrap();
    let file = watch(fd, c"place/file", IN_MODIFY).unwrap();
    let directories = [c"place", c"place/inner"].map(|path| watch(fd, path, IN_CREATE).unwrap());
    assert_eq!(syscall!(SYS_umount2, c"place", 0), Err(EBUSY));
    syscall!(SYS_umount2, c"place", libc::MNT_DETACH).unwrap();
    expect(fd, &[]);
    assert_eq!(write(used, b"x"), Ok(1));
    expect(fd, &[(file, IN_MODIFY, "")]);
    close(used).unwrap();
    let told = events(fd);
    let of = |wd: i32| told.iter().filter(|event| event.0 == wd).map(|event| event.1).collect::<Vec<_>>();
    assert_eq!(of(file), [libc::IN_UNMOUNT, IN_IGNORED]);
    for wd in directories {
        assert_eq!(of(wd), [libc::IN_UNMOUNT | libc::IN_ISDIR, IN_IGNORED]);
    }
    assert_eq!(told.len(), 6);
    syscall!(SYS_rmdir, c"place").unwrap();
}
