//! File descriptors: duplicates, flags, limits (dup(2), fcntl(2), close_range(2), getrlimit(2)).

use crate::harness::{Case, case, or_skip};
use crate::sys::*;
use libc::{
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD, F_SETFL, FD_CLOEXEC, O_APPEND, O_CLOEXEC, O_NONBLOCK,
};

pub(crate) const CASES: &[Case] = &[
    case!(lowest_free_number_is_taken),
    case!(duplicates_share_offset_and_status_flags),
    case!(separate_opens_share_nothing),
    case!(descriptor_flags_are_not_shared),
    case!(dup2_replaces_and_keeps_itself),
    case!(dup2_and_dup3_errors),
    case!(dupfd_starts_at_its_argument),
    case!(status_flags_that_can_change),
    case!(fcntl_errors),
    case!(close_twice_is_ebadf),
    case!(close_reports_only_once),
    case!(descriptor_limit_is_emfile),
    case!(limit_bounds_dup2_and_dupfd),
    case!(failed_calls_at_the_limit_leave_nothing),
    case!(lowered_limit_keeps_open_ones),
    case!(close_range_closes_and_marks),
    case!(close_range_unshares),
    case!(close_range_errors),
    case!(table_grows_past_powers_of_two),
    case!(fork_copies_the_table),
    case!(ioctl_flags),
    case!(ioctl_errors),
    case!(concurrent_opens_get_distinct_numbers),
    case!(pidfd_getfd_takes_a_copy),
    case!(kcmp_compares_open_files),
];

fn null() -> Fd {
    open(c"/dev/null", libc::O_RDWR).expect("/dev/null")
}

fn lowest_free_number_is_taken() {
    let (a, b, c) = (null(), null(), null());
    assert_eq!((b, c), (a + 1, a + 2));
    close(b).unwrap();
    close(a).unwrap();
    assert_eq!(null(), a);
    assert_eq!(dup(c), Ok(b));
    assert_eq!(dup(c), Ok(c + 1));
    close(0).unwrap();
    assert_eq!(null(), 0);
}

fn duplicates_share_offset_and_status_flags() {
    create(c"file", b"0123456789");
    let file = open(c"file", libc::O_RDWR).unwrap();
    let copy = dup(file).unwrap();
    read_some(file, 3).unwrap();
    assert_eq!(read_some(copy, 3), Ok(b"345".to_vec()));
    fcntl(copy, F_SETFL, O_APPEND).unwrap();
    assert_ne!(fcntl(file, F_GETFL, 0).unwrap() & O_APPEND as usize, 0);
    close(file).unwrap();
    assert_eq!(read_some(copy, 9), Ok(b"6789".to_vec()), "the open file lives on");
}

fn separate_opens_share_nothing() {
    create(c"file", b"0123456789");
    let (one, two) = (open(c"file", libc::O_RDWR).unwrap(), open(c"file", libc::O_RDWR).unwrap());
    read_some(one, 3).unwrap();
    fcntl(one, F_SETFL, O_APPEND).unwrap();
    assert_eq!(read_some(two, 3), Ok(b"012".to_vec()));
    assert_eq!(fcntl(two, F_GETFL, 0).unwrap() & O_APPEND as usize, 0);
}

fn descriptor_flags_are_not_shared() {
    let file = open(c"/dev/null", libc::O_RDONLY | O_CLOEXEC).unwrap();
    assert_eq!(fcntl(file, F_GETFD, 0), Ok(FD_CLOEXEC as usize));
    let copy = dup(file).unwrap();
    assert_eq!(fcntl(copy, F_GETFD, 0), Ok(0), "dup clears close-on-exec");
    fcntl(copy, F_SETFD, FD_CLOEXEC).unwrap();
    fcntl(file, F_SETFD, 0).unwrap();
    assert_eq!((fcntl(file, F_GETFD, 0), fcntl(copy, F_GETFD, 0)), (Ok(0), Ok(1)));
    assert_eq!(fcntl(file, F_GETFL, 0).unwrap() & O_CLOEXEC as usize, 0, "F_GETFL does not tell it");
}

fn dup2_replaces_and_keeps_itself() {
    let (from, to) = pipe();
    let target = null();
    assert_eq!(dup2(to, target), Ok(target));
    close(to).unwrap();
    assert_eq!(write(target, b"x"), Ok(1));
    assert_eq!(dup2(null(), target), Ok(target));
    assert_eq!(read_some(from, 9), Ok(b"x".to_vec()));
    assert_eq!(read_some(from, 9), Ok(vec![]), "the replaced end was closed");
    fcntl(target, F_SETFD, FD_CLOEXEC).unwrap();
    assert_eq!(dup2(target, target), Ok(target));
    assert_eq!(fcntl(target, F_GETFD, 0), Ok(1), "onto itself, nothing changes");
}

fn dup2_and_dup3_errors() {
    let file = null();
    assert_eq!(dup2(700, file), Err(EBADF));
    assert!(is_open(file), "the target stays");
    assert_eq!(dup2(700, 700), Err(EBADF));
    assert_eq!(dup2(file, -1), Err(EBADF));
    assert_eq!(dup3(file, file, 0), Err(EINVAL));
    assert_eq!(dup3(file, 60, O_NONBLOCK), Err(EINVAL));
    assert_eq!(dup3(file, 60, O_CLOEXEC), Ok(60));
    assert_eq!(fcntl(60, F_GETFD, 0), Ok(1));
    assert_eq!(dup(700), Err(EBADF));
}

fn dupfd_starts_at_its_argument() {
    let file = null();
    assert_eq!(fcntl(file, F_DUPFD, 50), Ok(50));
    assert_eq!(fcntl(file, F_DUPFD, 50), Ok(51));
    assert_eq!(fcntl(file, F_DUPFD_CLOEXEC, 50), Ok(52));
    assert_eq!((fcntl(51, F_GETFD, 0), fcntl(52, F_GETFD, 0)), (Ok(0), Ok(1)));
    assert_eq!(fcntl(file, F_DUPFD, -1), Err(EINVAL));
}

fn status_flags_that_can_change() {
    create(c"file", b"");
    let file = open(c"file", libc::O_RDWR | libc::O_EXCL | libc::O_NOCTTY | libc::O_TRUNC).unwrap();
    let flags = |fd: Fd| fcntl(fd, F_GETFL, 0).unwrap() as i32;
    assert_eq!(flags(file) & !libc::O_LARGEFILE & !0o100_000, libc::O_RDWR, "creation flags are gone");
    let all = O_APPEND | O_NONBLOCK | libc::O_NOATIME;
    fcntl(file, F_SETFL, all | libc::O_WRONLY | libc::O_CREAT | libc::O_SYNC).unwrap();
    assert_eq!(flags(file) & !0o100_000, libc::O_RDWR | all, "mode and others can't change");
    fcntl(file, F_SETFL, 0).unwrap();
    assert_eq!(flags(file) & !0o100_000, libc::O_RDWR);
    assert_eq!(flags(open(c"file", libc::O_PATH).unwrap()) & !0o100_000, libc::O_PATH);
}

fn fcntl_errors() {
    assert_eq!(fcntl(700, F_GETFD, 0), Err(EBADF));
    assert_eq!(fcntl(null(), 9999, 0), Err(EINVAL));
    let by_path = open(c".", libc::O_PATH).unwrap();
    assert_eq!(fcntl(by_path, F_SETFL, 0), Err(EBADF));
    assert_eq!(fcntl(by_path, F_GETFD, 0), Ok(0));
    assert!(fcntl(by_path, F_DUPFD, 0).is_ok());
}

fn close_twice_is_ebadf() {
    let file = null();
    assert_eq!(close(file), Ok(()));
    assert_eq!(close(file), Err(EBADF));
    assert_eq!(close(-1), Err(EBADF));
    assert_eq!(syscall!(SYS_close, usize::MAX << 32 | 2), Ok(0), "the number is 32 bits wide");
}

fn close_reports_only_once() {
    let file = null();
    let copy = dup(file).unwrap();
    std::thread::spawn(move || close(file).unwrap()).join().unwrap();
    assert_eq!(close(file), Err(EBADF));
    assert_eq!(close(copy), Ok(()));
}

fn set_limit(soft: u64) {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: 4096 };
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &limit, 0).expect("prlimit64");
}

fn descriptor_limit_is_emfile() {
    fork(|| {
        set_limit(30);
        let mut last = -1;
        loop {
            match open(c"/dev/null", libc::O_RDONLY) {
                Ok(fd) => last = fd,
                Err(errno) => break assert_eq!(errno, EMFILE),
            }
        }
        assert_eq!(last, 29);
        assert_eq!(dup(0), Err(EMFILE));
        assert_eq!(pipe2(0), Err(EMFILE));
        close(7).unwrap();
        assert_eq!(pipe2(0), Err(EMFILE), "one is not enough for two");
        assert_eq!(dup(0), Ok(7), "and it was not lost");
    })
    .succeeds();
}

fn limit_bounds_dup2_and_dupfd() {
    fork(|| {
        set_limit(30);
        assert_eq!(dup2(0, 30), Err(EBADF));
        assert_eq!(dup3(0, 30, 0), Err(EBADF));
        assert_eq!(dup2(0, 29), Ok(29));
        assert_eq!(fcntl(0, F_DUPFD, 30), Err(EINVAL));
        assert_eq!(fcntl(0, F_DUPFD, 29), Err(EMFILE), "29 is taken");
    })
    .succeeds();
}

fn failed_calls_at_the_limit_leave_nothing() {
    fork(|| {
        set_limit(20);
        while dup(0).is_ok() {}
        assert_eq!(open(c"made", libc::O_RDWR | libc::O_CREAT), Err(EMFILE));
        assert_eq!(lstat(c"made").err(), Some(ENOENT), "the number is reserved before the file is made");
        assert_eq!(syscall!(SYS_memfd_create, c"m", 0), Err(EMFILE));
        assert_eq!(open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY), Err(EMFILE));
    })
    .succeeds();
}

fn lowered_limit_keeps_open_ones() {
    fork(|| {
        dup2(0, 100).unwrap();
        set_limit(50);
        assert!(is_open(100));
        assert_eq!(dup2(0, 100), Err(EBADF));
        assert_eq!(close(100), Ok(()));
    })
    .succeeds();
}

fn close_range(first: u32, last: u32, flags: u32) -> Sys<usize> {
    syscall!(SYS_close_range, first, last, flags)
}

fn close_range_closes_and_marks() {
    fork(|| {
        (50..60).for_each(|fd| discard(dup2(0, fd).unwrap()));
        assert_eq!(close_range(52, 54, 0), Ok(0));
        let open_ones: Vec<Fd> = (50..60).filter(|fd| is_open(*fd)).collect();
        assert_eq!(open_ones, [50, 51, 55, 56, 57, 58, 59]);
        assert_eq!(close_range(56, 57, libc::CLOSE_RANGE_CLOEXEC), Ok(0));
        let marked: Vec<Fd> = (50..60).filter(|fd| fcntl(*fd, F_GETFD, 0) == Ok(1)).collect();
        assert_eq!(marked, [56, 57]);
        assert_eq!(close_range(3, u32::MAX, 0), Ok(0));
        assert!(!(3..100).any(is_open));
    })
    .succeeds();
}

fn close_range_unshares() {
    dup2(0, 50).unwrap();
    std::thread::spawn(|| {
        assert_eq!(close_range(50, 50, libc::CLOSE_RANGE_UNSHARE), Ok(0));
        assert!(!is_open(50));
    })
    .join()
    .unwrap();
    assert!(is_open(50));
}

fn close_range_errors() {
    assert_eq!(close_range(5, 4, 0), Err(EINVAL));
    assert_eq!(close_range(3, 4, 1 << 5), Err(EINVAL));
    assert_eq!(close_range(5000, 6000, 0), Ok(0), "nothing there is fine");
}

fn table_grows_past_powers_of_two() {
    set_limit(4096);
    for number in [63, 64, 65, 255, 256, 1023, 1024, 1025, 4095] {
        assert_eq!(dup2(0, number), Ok(number));
        assert!(is_open(number));
    }
    let child = fork(|| assert!([63, 64, 65, 255, 256, 1023, 1024, 1025, 4095].into_iter().all(is_open)));
    child.succeeds();
    assert!(!is_open(62) && !is_open(1026));
}

fn fork_copies_the_table() {
    let file = null();
    fork(|| {
        close(file).unwrap();
        dup2(0, 77).unwrap();
        fcntl(1, F_SETFD, FD_CLOEXEC).unwrap();
    })
    .succeeds();
    assert!(is_open(file) && !is_open(77));
    assert_eq!(fcntl(1, F_GETFD, 0), Ok(0));
}

fn ioctl_flags() {
    let (from, _to) = pipe();
    let on = 1i32;
    ioctl(from, libc::FIONBIO, &on).unwrap();
    assert_eq!(read(from, &mut [0]), Err(EAGAIN));
    ioctl(from, libc::FIONBIO, &0i32).unwrap();
    assert_eq!(fcntl(from, F_GETFL, 0).unwrap() & O_NONBLOCK as usize, 0);
    ioctl(from, libc::FIOCLEX, 0).unwrap();
    assert_eq!(fcntl(from, F_GETFD, 0), Ok(1));
    ioctl(from, libc::FIONCLEX, 0).unwrap();
    assert_eq!(fcntl(from, F_GETFD, 0), Ok(0));
}

fn ioctl_errors() {
    assert_eq!(ioctl(700, libc::FIONREAD, 0), Err(EBADF));
    assert_eq!(ioctl(null(), libc::TCGETS, 0), Err(ENOTTY));
    assert_eq!(ioctl(pipe().0, libc::TIOCGWINSZ, 0), Err(ENOTTY));
    assert_eq!(ioctl(pipe().0, libc::FIONREAD, 8), Err(EFAULT));
    assert_eq!(ioctl(open(c".", libc::O_PATH).unwrap(), libc::FIONBIO, 0), Err(EBADF));
    create(c"file", b"12345");
    let file = open(c"file", libc::O_RDONLY).unwrap();
    lseek(file, 2, libc::SEEK_SET).unwrap();
    assert_eq!(readable_bytes(file), 3);
    assert_eq!(ioctl(file, 0xdead, 0), Err(ENOTTY));
}

fn concurrent_opens_get_distinct_numbers() {
    let threads: Vec<_> =
        (0..4).map(|_| std::thread::spawn(|| (0..100).map(|_| null()).collect::<Vec<Fd>>())).collect();
    let mut all: Vec<Fd> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 400);
}

fn pidfd_getfd_takes_a_copy() {
    let ready = Gate::new();
    let (from, to) = pipe();
    let child = fork(|| {
        dup2(from, 80).unwrap();
        ready.open();
        wait_for_ever();
    });
    ready.pass();
    let pidfd = or_skip(syscall!(SYS_pidfd_open, child.pid, 0));
    let copy = syscall!(SYS_pidfd_getfd, pidfd, 80, 0).unwrap() as Fd;
    write(to, b"x").unwrap();
    assert_eq!(read_some(copy, 5), Ok(b"x".to_vec()));
    assert_eq!(fcntl(copy, F_GETFD, 0), Ok(1), "close-on-exec");
    assert_eq!(syscall!(SYS_pidfd_getfd, pidfd, 700, 0), Err(EBADF));
    child.finish();
    assert_eq!(syscall!(SYS_pidfd_open, 99_999_999, 0), Err(ESRCH));
}

fn kcmp_compares_open_files() {
    const KCMP_FILE: i32 = 0;
    let (one, other) = (null(), null());
    let copy = dup(one).unwrap();
    let own = getpid();
    let compare = |a: Fd, b: Fd| syscall!(SYS_kcmp, own, own, KCMP_FILE, a, b);
    match compare(one, copy) {
        Err(ENOSYS) => crate::harness::skip("built without kcmp"),
        result => assert_eq!(result, Ok(0)),
    }
    assert!(compare(one, other).unwrap() > 0);
    assert_eq!(compare(one, 700), Err(EBADF));
}
