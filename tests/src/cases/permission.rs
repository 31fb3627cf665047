//! Who may do what (path_resolution(7), credentials(7), capabilities(7)). Cases run as root and
//! become somebody else in a child.

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, R_OK, W_OK, X_OK};
use std::ffi::CStr;

pub(crate) const CASES: &[Case] = &[
    case!(owner_group_and_others).root(),
    case!(supplementary_groups_count).root(),
    case!(root_reads_everything).root(),
    case!(search_permission_on_folders).root(),
    case!(write_permission_on_folders).root(),
    case!(sticky_folders).root(),
    case!(chmod_needs_the_owner).root(),
    case!(chown_rules).root(),
    case!(set_id_bits_are_dropped).root(),
    case!(set_group_id_folder).root(),
    case!(access_uses_the_real_id).root(),
    case!(open_descriptor_keeps_its_rights).root(),
    case!(utime_permissions).root(),
    case!(setuid_transitions).root(),
    case!(setgroups_and_limits).root(),
    case!(fsuid).root(),
    case!(capabilities_follow_the_ids).root(),
    case!(resource_limits_only_go_down).root(),
    case!(priorities).root(),
    case!(hostname_needs_root).root(),
];

const OWNER: u32 = 1001;
const GROUP: u32 = 2001;
const OTHER: u32 = 1003;

/// Lets everybody into the case's folder.
fn open_house() {
    chmod(c".", 0o777).unwrap();
}

fn owned(name: &CStr, mode: u32) {
    create(name, b"content");
    chown(name, OWNER, GROUP).unwrap();
    chmod(name, mode).unwrap();
}

/// (read, write) possible for this user.
fn rights(uid: u32, gid: u32, name: &CStr) -> (bool, bool) {
    let status = fork_as(uid, gid, || {
        let readable = open(name, O_RDONLY).map_err(|errno| assert_eq!(errno, EACCES)).is_ok();
        let writable = open(name, O_WRONLY).map_err(|errno| assert_eq!(errno, EACCES)).is_ok();
        exit_group(i32::from(readable) | i32::from(writable) << 1);
    })
    .wait();
    match status {
        Status::Exited(bits @ 0..=3) => (bits & 1 == 1, bits & 2 == 2),
        other => panic!("{other:?}"),
    }
}

fn owner_group_and_others() {
    open_house();
    for (mode, expected) in [
        (0o600, [(true, true), (false, false), (false, false)]),
        (0o640, [(true, true), (true, false), (false, false)]),
        (0o624, [(true, true), (false, true), (true, false)]),
        (0o066, [(false, false), (true, true), (true, true)]), // The owner's bits alone count.
        (0o606, [(true, true), (false, false), (true, true)]),
    ] {
        owned(c"file", mode);
        let seen =
            [rights(OWNER, OTHER, c"file"), rights(OTHER, GROUP, c"file"), rights(OTHER, OTHER, c"file")];
        assert_eq!(seen, expected, "mode {mode:o}");
    }
}

fn supplementary_groups_count() {
    open_house();
    owned(c"file", 0o060);
    fork(|| {
        syscall!(SYS_setgroups, 2, &[5u32, GROUP]).unwrap();
        syscall!(SYS_setresgid, OTHER, OTHER, OTHER).unwrap();
        syscall!(SYS_setresuid, OTHER, OTHER, OTHER).unwrap();
        assert!(open(c"file", O_RDWR).is_ok());
        let mut groups = [0u32; 5];
        assert_eq!(syscall!(SYS_getgroups, 5, &mut groups), Ok(2));
        assert_eq!(groups[..2], [5, GROUP]);
        assert_eq!(syscall!(SYS_getgroups, 0, 0), Ok(2));
        assert_eq!(syscall!(SYS_getgroups, 1, &mut groups), Err(EINVAL));
    })
    .succeeds();
}

fn root_reads_everything() {
    open_house();
    owned(c"file", 0o000);
    assert!(open(c"file", O_RDWR).is_ok());
    mkdir(c"folder", 0o000).unwrap();
    create(c"folder/file", b"");
    assert_eq!(syscall!(SYS_access, c"file", R_OK | W_OK), Ok(0));
    assert_eq!(syscall!(SYS_access, c"file", X_OK), Err(EACCES), "executing needs one x bit");
    assert_eq!(syscall!(SYS_access, c"folder", X_OK), Ok(0));
}

fn search_permission_on_folders() {
    open_house();
    mkdir(c"folder", 0o755).unwrap();
    create(c"folder/file", b"x");
    chmod(c"folder/file", 0o644).unwrap();
    let attempt = |mode: u32, expected_open: Sys<()>, expected_list: Sys<()>| {
        chmod(c"folder", mode).unwrap();
        fork_as(OTHER, OTHER, || {
            assert_eq!(open(c"folder/file", O_RDONLY).map(drop), expected_open, "mode {mode:o}");
            assert_eq!(open(c"folder", O_RDONLY).map(drop), expected_list, "mode {mode:o}");
        })
        .succeeds();
    };
    attempt(0o755, Ok(()), Ok(()));
    attempt(0o711, Ok(()), Err(EACCES));
    attempt(0o744, Err(EACCES), Ok(()));
    attempt(0o700, Err(EACCES), Err(EACCES));
    fork_as(OTHER, OTHER, || {
        assert_eq!(stat(c"folder/file").err(), Some(EACCES));
        assert_eq!(stat(c"folder/missing").err(), Some(EACCES), "existence is not told");
        assert_eq!(syscall!(SYS_chdir, c"folder"), Err(EACCES));
        assert!(stat(c"folder").is_ok());
    })
    .succeeds();
}

fn write_permission_on_folders() {
    open_house();
    mkdir(c"folder", 0o755).unwrap();
    create(c"folder/file", b"");
    chmod(c"folder/file", 0o666).unwrap();
    fork_as(OTHER, OTHER, || {
        assert_eq!(open(c"folder/new", O_RDWR | O_CREAT), Err(EACCES));
        assert_eq!(unlink(c"folder/file"), Err(EACCES));
        assert_eq!(rename(c"folder/file", c"here"), Err(EACCES));
        assert_eq!(mkdir(c"folder/sub", 0o755), Err(EACCES));
        assert_eq!(symlink(c"x", c"folder/link"), Err(EACCES));
        assert_eq!(mkdir(c"folder/file", 0o755), Err(EEXIST), "existence is told first");
        assert!(open(c"folder/file", O_RDWR | O_CREAT).is_ok());
    })
    .succeeds();
    chmod(c"folder", 0o777).unwrap();
    owned(c"folder/file", 0o600);
    fork_as(OTHER, OTHER, || assert_eq!(unlink(c"folder/file"), Ok(()), "the folder decides")).succeeds();
}

fn sticky_folders() {
    open_house();
    mkdir(c"shared", 0o777).unwrap();
    chmod(c"shared", 0o1777).unwrap();
    owned(c"shared/theirs", 0o666);
    fork_as(OTHER, OTHER, || {
        assert_eq!(unlink(c"shared/theirs"), Err(EPERM));
        assert_eq!(rename(c"shared/theirs", c"shared/x"), Err(EPERM));
        let own = open(c"shared/own", O_RDWR | O_CREAT).unwrap();
        assert_eq!(rename(c"shared/own", c"shared/theirs"), Err(EPERM), "replacing removes too");
        assert_eq!(unlink(c"shared/own"), Ok(()));
        close(own).unwrap();
    })
    .succeeds();
    chown(c"shared", OTHER, OTHER).unwrap();
    chmod(c"shared", 0o1777).unwrap();
    fork_as(OTHER, OTHER, || assert_eq!(unlink(c"shared/theirs"), Ok(()))).succeeds();
}

fn chmod_needs_the_owner() {
    open_house();
    owned(c"file", 0o666);
    fork_as(OTHER, OTHER, || {
        assert_eq!(chmod(c"file", 0o777), Err(EPERM));
        let file = open(c"file", O_RDWR).unwrap();
        assert_eq!(syscall!(SYS_fchmod, file, 0o777), Err(EPERM));
    })
    .succeeds();
    fork_as(OWNER, OTHER, || {
        assert_eq!(chmod(c"file", 0o6755), Ok(()));
        let mode = stat(c"file").unwrap().st_mode & 0o7777;
        assert_eq!(mode, 0o4755, "not in the file's group: the set-group-ID bit is dropped");
    })
    .succeeds();
}

fn chown_rules() {
    open_house();
    owned(c"file", 0o644);
    fork_as(OWNER, OTHER, || {
        assert_eq!(chown(c"file", OTHER, u32::MAX), Err(EPERM), "nobody gives files away");
        assert_eq!(chown(c"file", u32::MAX, OTHER), Ok(()), "to a group of one's own");
        assert_eq!(chown(c"file", OWNER, GROUP), Err(EPERM));
        assert_eq!(chown(c"file", u32::MAX, u32::MAX), Ok(()));
    })
    .succeeds();
    symlink(c"file", c"link").unwrap();
    syscall!(SYS_lchown, c"link", 7, 8).unwrap();
    let link = lstat(c"link").unwrap();
    assert_eq!((link.st_uid, link.st_gid, stat(c"file").unwrap().st_uid), (7, 8, OWNER));
    assert_eq!(syscall!(SYS_fchownat, libc::AT_FDCWD, c"link", 9, 9, 1 << 30), Err(EINVAL));
}

fn set_id_bits_are_dropped() {
    open_house();
    owned(c"file", 0o6777);
    chown(c"file", OWNER, OTHER).unwrap();
    assert_eq!(stat(c"file").unwrap().st_mode & 0o7777, 0o777, "by chown, even root's");
    chmod(c"file", 0o6777).unwrap();
    fork_as(OTHER, OTHER, || {
        let file = open(c"file", O_RDWR).unwrap();
        assert_eq!(fstat(file).unwrap().st_mode & 0o7777, 0o6777);
        write(file, b"x").unwrap();
        assert_eq!(fstat(file).unwrap().st_mode & 0o7777, 0o777, "by somebody's write");
    })
    .succeeds();
}

fn set_group_id_folder() {
    open_house();
    mkdir(c"folder", 0o777).unwrap();
    chown(c"folder", 0, GROUP).unwrap();
    chmod(c"folder", 0o2777).unwrap();
    fork_as(OTHER, OTHER, || {
        open(c"folder/file", O_RDWR | O_CREAT).unwrap();
        mkdir(c"folder/sub", 0o755).unwrap();
        open(c"plain", O_RDWR | O_CREAT).unwrap();
    })
    .succeeds();
    let (file, sub) = (stat(c"folder/file").unwrap(), stat(c"folder/sub").unwrap());
    assert_eq!((file.st_uid, file.st_gid), (OTHER, GROUP), "new files get the folder's group");
    assert_eq!((sub.st_gid, sub.st_mode & 0o7777), (GROUP, 0o2755), "new folders the bit as well");
    assert_eq!(stat(c"plain").unwrap().st_gid, OTHER);
}

fn access_uses_the_real_id() {
    open_house();
    owned(c"file", 0o600);
    fork(|| {
        syscall!(SYS_setresuid, OTHER, OWNER, OTHER).unwrap();
        assert!(open(c"file", O_RDWR).is_ok(), "opening uses the effective id");
        assert_eq!(syscall!(SYS_access, c"file", R_OK), Err(EACCES));
        let cwd = libc::AT_FDCWD;
        assert_eq!(syscall!(SYS_faccessat2, cwd, c"file", R_OK, libc::AT_EACCESS), Ok(0));
    })
    .succeeds();
    assert_eq!(syscall!(SYS_access, c"file", 8), Err(EINVAL));
    assert_eq!(syscall!(SYS_access, c"missing", libc::F_OK), Err(ENOENT));
}

fn open_descriptor_keeps_its_rights() {
    open_house();
    owned(c"file", 0o644);
    let file = open(c"file", O_RDWR).unwrap();
    chmod(c"file", 0o000).unwrap();
    fork_as(OTHER, OTHER, || {
        assert_eq!(write(file, b"x"), Ok(1));
        assert_eq!(open(c"file", O_RDONLY), Err(EACCES));
        let again = path(format!("/proc/self/fd/{file}"));
        assert_eq!(open(&again, O_RDWR), Err(EACCES), "opening again asks again");
    })
    .succeeds();
}

fn utime_permissions() {
    open_house();
    owned(c"file", 0o666);
    let explicit = [libc::timespec { tv_sec: 5, tv_nsec: 0 }; 2];
    let cwd = libc::AT_FDCWD;
    fork_as(OTHER, OTHER, || {
        assert_eq!(syscall!(SYS_utimensat, cwd, c"file", 0, 0), Ok(0), "now: writing is enough");
        assert_eq!(syscall!(SYS_utimensat, cwd, c"file", &explicit, 0), Err(EPERM));
    })
    .succeeds();
    chmod(c"file", 0o644).unwrap();
    fork_as(OTHER, OTHER, || assert_eq!(syscall!(SYS_utimensat, cwd, c"file", 0, 0), Err(EACCES))).succeeds();
    fork_as(OWNER, OTHER, || assert_eq!(syscall!(SYS_utimensat, cwd, c"file", &explicit, 0), Ok(0)))
        .succeeds();
}

/// (real, effective, saved) user ids.
fn user_ids() -> (u32, u32, u32) {
    let (mut real, mut effective, mut saved) = (0u32, 0u32, 0u32);
    syscall!(SYS_getresuid, &mut real, &mut effective, &mut saved).expect("getresuid");
    (real, effective, saved)
}

fn setuid_transitions() {
    fork(|| {
        syscall!(SYS_setuid, 1001).unwrap();
        assert_eq!(user_ids(), (1001, 1001, 1001), "root's setuid sets all three");
        assert_eq!(syscall!(SYS_setuid, 0), Err(EPERM));
    })
    .succeeds();
    fork(|| {
        syscall!(SYS_setresuid, 1001, 1002, 1003).unwrap();
        assert_eq!(syscall!(SYS_setuid, 1003), Ok(0));
        assert_eq!(user_ids(), (1001, 1003, 1003), "otherwise only the effective one");
        assert_eq!(syscall!(SYS_setuid, 1002), Err(EPERM));
        assert_eq!(syscall!(SYS_setreuid, -1, 1001), Ok(0));
        assert_eq!(user_ids(), (1001, 1001, 1003));
        assert_eq!(syscall!(SYS_setresuid, -1, 1003, -1), Ok(0));
        assert_eq!(syscall!(SYS_setresuid, 1002, -1, -1), Err(EPERM));
        assert_eq!(user_ids(), (1001, 1003, 1003));
    })
    .succeeds();
    fork(|| {
        assert_eq!(syscall!(SYS_setreuid, 1001, 1002), Ok(0));
        assert_eq!(user_ids(), (1001, 1002, 1002), "setreuid takes the saved id along");
    })
    .succeeds();
}

fn setgroups_and_limits() {
    assert_eq!(syscall!(SYS_setgroups, 65_537, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_setgroups, 1, 8), Err(EFAULT));
    as_nobody(|| {
        assert_eq!(syscall!(SYS_setgroups, 0, 0), Err(EPERM));
        assert_eq!(syscall!(SYS_setgid, 0), Err(EPERM));
        assert_eq!(syscall!(SYS_setgid, NOBODY), Ok(0));
        assert_eq!(syscall!(SYS_setresgid, -1, 0, -1), Err(EPERM));
    });
}

fn fsuid() {
    open_house();
    owned(c"file", 0o600);
    fork(|| {
        syscall!(SYS_setresgid, OTHER, OTHER, OTHER).unwrap();
        assert_eq!(syscall!(SYS_setfsuid, OTHER), Ok(0), "the old one is returned");
        assert_eq!(open(c"file", O_RDONLY), Err(EACCES));
        assert_eq!(syscall!(SYS_setfsuid, OWNER), Ok(OTHER as usize));
        assert!(open(c"file", O_RDONLY).is_ok());
        syscall!(SYS_setfsuid, 0).unwrap();
        assert!(open(c"file", O_RDONLY).is_ok());
    })
    .succeeds();
}

/// The effective capabilities from /proc.
fn effective_capabilities() -> u64 {
    status_masks(getpid(), &["CapEff:"])
}

fn capabilities_follow_the_ids() {
    const CAP_KILL: u64 = 1 << 5;
    assert_ne!(effective_capabilities() & CAP_KILL, 0);
    fork(|| {
        syscall!(SYS_setresuid, -1, 1001, -1).unwrap();
        assert_eq!(effective_capabilities(), 0, "the effective id left root");
        syscall!(SYS_setresuid, -1, 0, -1).unwrap();
        assert_ne!(effective_capabilities() & CAP_KILL, 0, "and came back");
        syscall!(SYS_setresuid, 1001, 1001, 1001).unwrap();
        assert_eq!(status_masks(getpid(), &["CapPrm:"]), 0);
    })
    .succeeds();
    // capget and capset, version 3: drop one capability from the effective set.
    fork(|| {
        let header = [0x2008_0522u32, 0];
        let mut data = [0u32; 6];
        syscall!(SYS_capget, &header, &mut data).unwrap();
        assert_ne!(u64::from(data[0]) & CAP_KILL, 0);
        data[0] &= !(CAP_KILL as u32);
        syscall!(SYS_capset, &header, &data).unwrap();
        assert_eq!(effective_capabilities() & CAP_KILL, 0);
        data[1] &= !(CAP_KILL as u32);
        syscall!(SYS_capset, &header, &data).unwrap();
        data[0] |= CAP_KILL as u32;
        data[1] |= CAP_KILL as u32;
        assert_eq!(syscall!(SYS_capset, &header, &data), Err(EPERM), "what is gone stays gone");
    })
    .succeeds();
}

fn resource_limits_only_go_down() {
    as_nobody(|| {
        let set = |soft: u64, hard: u64| {
            let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
            syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &limit, 0)
        };
        assert_eq!(set(100, 200), Ok(0));
        assert_eq!(set(200, 200), Ok(0));
        assert_eq!(set(201, 200), Err(EINVAL));
        assert_eq!(set(100, 201), Err(EPERM));
        assert_eq!(syscall!(SYS_prlimit64, 1, libc::RLIMIT_NOFILE, 0, &mut [0u64; 2]), Err(EPERM));
    });
    assert_eq!(syscall!(SYS_prlimit64, 0, 99, 0, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_prlimit64, 99_999_999, 0, 0, 0), Err(ESRCH));
}

fn priorities() {
    as_nobody(|| {
        assert_eq!(syscall!(SYS_getpriority, libc::PRIO_PROCESS, 0), Ok(20), "20 minus nice");
        assert_eq!(syscall!(SYS_setpriority, libc::PRIO_PROCESS, 0, 5), Ok(0));
        assert_eq!(syscall!(SYS_getpriority, libc::PRIO_PROCESS, 0), Ok(15));
        assert_eq!(syscall!(SYS_setpriority, libc::PRIO_PROCESS, 0, 1), Err(EACCES));
        assert_eq!(syscall!(SYS_setpriority, libc::PRIO_PROCESS, 0, 100), Ok(0), "clamped");
        assert_eq!(syscall!(SYS_getpriority, libc::PRIO_PROCESS, 0), Ok(1));
        assert_eq!(syscall!(SYS_setpriority, libc::PRIO_PROCESS, getppid(), 5), Err(EPERM));
        fork(|| assert_eq!(syscall!(SYS_getpriority, libc::PRIO_PROCESS, 0), Ok(1))).succeeds();
    });
    assert_eq!(syscall!(SYS_getpriority, 7, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_getpriority, libc::PRIO_PROCESS, 99_999_999), Err(ESRCH));
}

fn hostname_needs_root() {
    as_nobody(|| {
        assert_eq!(syscall!(SYS_sethostname, c"x", 1), Err(EPERM));
        assert_eq!(syscall!(SYS_reboot, 0xfee1_deadu32, 0x2812_1969, 0x89ab_cdefu32, 0), Err(EPERM));
        assert_eq!(syscall!(SYS_mount, c"none", c"/tmp", c"tmpfs", 0, 0), Err(EPERM));
        assert_eq!(syscall!(SYS_umount2, c"/proc", 0), Err(EPERM));
        let now: libc::timespec = zeroed();
        assert_eq!(syscall!(SYS_clock_settime, libc::CLOCK_REALTIME, &now), Err(EPERM));
    });
}
