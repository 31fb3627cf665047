//! File locks (flock(2), fcntl_locking(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_RDLCK, F_SETLK, F_SETLKW, F_UNLCK, F_WRLCK, LOCK_EX,
    LOCK_NB, LOCK_SH, LOCK_UN, O_RDONLY, O_RDWR, O_WRONLY,
};

pub(crate) const CASES: &[Case] = &[
    case!(flock_excludes_other_opens),
    case!(flock_shares_and_converts),
    case!(flock_belongs_to_the_open_file),
    case!(flock_blocks_until_released),
    case!(flock_ends_with_its_holder),
    case!(flock_errors),
    case!(posix_ranges_conflict),
    case!(posix_locks_belong_to_the_process),
    case!(posix_locks_vanish_at_any_close),
    case!(posix_locks_split_and_merge),
    case!(posix_lock_to_the_end),
    case!(posix_getlk_tells_the_holder),
    case!(posix_setlkw_blocks),
    case!(posix_deadlock_is_refused),
    case!(posix_lock_is_not_inherited),
    case!(posix_lock_survives_exec),
    case!(posix_lock_errors),
    case!(posix_lock_needs_the_right_mode),
    case!(ofd_locks_belong_to_the_open_file),
    case!(ofd_and_posix_locks_conflict),
    case!(ofd_lock_blocks_threads),
    case!(waiting_readers_all_wake),
    case!(flock_and_fcntl_do_not_meet),
    case!(killed_waiter_leaves_the_queue),
    case!(many_processes_take_turns),
];

fn lock_file() -> Fd {
    open(c"file", O_RDWR | libc::O_CREAT).expect("open")
}

fn flock(file: Fd, operation: i32) -> Sys<usize> {
    syscall!(SYS_flock, file, operation)
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: start, l_len: len, l_pid: 0 }
}

/// F_SETLK.
fn posix(file: Fd, kind: i32, start: i64, len: i64) -> Sys<usize> {
    fcntl(file, F_SETLK, &range(kind, start, len))
}

/// Whether another process could take this lock; (type, start, length, pid) of what hinders it.
fn conflict(kind: i32, start: i64, len: i64) -> Option<(i32, i64, i64, i32)> {
    let (from, to) = pipe();
    let child = fork(|| {
        let file = open(c"file", O_RDWR).unwrap();
        let mut lock = range(kind, start, len);
        fcntl(file, F_GETLK, &mut lock).unwrap();
        if i32::from(lock.l_type) != F_UNLCK {
            let words = [i64::from(lock.l_type), lock.l_start, lock.l_len, i64::from(lock.l_pid)];
            write(to, &words.map(i64::to_ne_bytes).concat()).unwrap();
        }
    });
    close(to).unwrap();
    let answer = read_to_end(from).unwrap();
    close(from).unwrap();
    child.succeeds();
    let word = |at: usize| i64::from_ne_bytes(answer[8 * at..8 * at + 8].try_into().unwrap());
    (!answer.is_empty()).then(|| (word(0) as i32, word(1), word(2), word(3) as i32))
}

fn flock_excludes_other_opens() {
    let (one, two) = (lock_file(), lock_file());
    assert_eq!(flock(one, LOCK_EX), Ok(0));
    assert_eq!(flock(two, LOCK_EX | LOCK_NB), Err(EAGAIN), "even in the same process");
    assert_eq!(flock(two, LOCK_SH | LOCK_NB), Err(EAGAIN));
    assert_eq!(flock(one, LOCK_EX | LOCK_NB), Ok(0), "one's own is no conflict");
    assert_eq!(flock(one, LOCK_UN), Ok(0));
    assert_eq!(flock(two, LOCK_EX | LOCK_NB), Ok(0));
}

fn flock_shares_and_converts() {
    let (one, two) = (lock_file(), lock_file());
    assert_eq!((flock(one, LOCK_SH), flock(two, LOCK_SH)), (Ok(0), Ok(0)));
    assert_eq!(flock(one, LOCK_EX | LOCK_NB), Err(EAGAIN));
    let third = lock_file();
    assert_eq!(flock(third, LOCK_EX | LOCK_NB), Err(EAGAIN), "two still has its share");
    flock(two, LOCK_UN).unwrap();
    assert_eq!(flock(one, LOCK_EX | LOCK_NB), Ok(0));
    assert_eq!(flock(one, LOCK_SH | LOCK_NB), Ok(0));
    assert_eq!(flock(two, LOCK_SH | LOCK_NB), Ok(0));
}

fn flock_belongs_to_the_open_file() {
    let file = lock_file();
    let copy = dup(file).unwrap();
    flock(file, LOCK_EX).unwrap();
    close(file).unwrap();
    let other = lock_file();
    assert_eq!(flock(other, LOCK_EX | LOCK_NB), Err(EAGAIN), "a duplicate keeps it");
    fork(|| assert_eq!(flock(copy, LOCK_UN), Ok(0), "a child may release it")).succeeds();
    assert_eq!(flock(other, LOCK_EX | LOCK_NB), Ok(0));
}

fn flock_blocks_until_released() {
    let file = lock_file();
    flock(file, LOCK_EX).unwrap();
    let waiter = fork(|| assert_eq!(flock(lock_file(), LOCK_SH), Ok(0)));
    wait_until_blocked(waiter.pid);
    flock(file, LOCK_UN).unwrap();
    waiter.succeeds();
}

fn flock_ends_with_its_holder() {
    let ready = Gate::new();
    let holder = fork(|| {
        flock(lock_file(), LOCK_EX).unwrap();
        ready.open();
        wait_for_ever();
    });
    ready.pass();
    let waiter = fork(|| assert_eq!(flock(lock_file(), LOCK_EX), Ok(0)));
    wait_until_blocked(waiter.pid);
    holder.finish();
    waiter.succeeds();
}

fn flock_errors() {
    let file = lock_file();
    assert_eq!(flock(file, 0), Err(EINVAL));
    assert_eq!(flock(file, LOCK_SH | LOCK_EX), Err(EINVAL));
    assert_eq!(flock(700, LOCK_EX), Err(EBADF));
    assert_eq!(flock(open(c"file", libc::O_PATH).unwrap(), LOCK_EX), Err(EBADF));
    assert_eq!(flock(open(c"file", O_RDONLY).unwrap(), LOCK_EX), Ok(0), "the mode does not matter");
}

fn posix_ranges_conflict() {
    let file = lock_file();
    posix(file, F_WRLCK, 10, 10).unwrap();
    assert!(conflict(F_WRLCK, 0, 10).is_none());
    assert!(conflict(F_RDLCK, 0, 11).is_some());
    assert!(conflict(F_WRLCK, 19, 1).is_some());
    assert!(conflict(F_WRLCK, 20, 5).is_none());
    assert!(conflict(F_WRLCK, 0, 0).is_some(), "length 0 reaches to the end");
    posix(file, F_RDLCK, 10, 10).unwrap();
    assert!(conflict(F_RDLCK, 0, 0).is_none());
    assert!(conflict(F_WRLCK, 0, 0).is_some());
    // A negative length lies before the start.
    posix(file, F_UNLCK, 0, 0).unwrap();
    posix(file, F_WRLCK, 20, -5).unwrap();
    assert_eq!(conflict(F_WRLCK, 0, 0).map(|lock| (lock.1, lock.2)), Some((15, 5)));
}

fn posix_locks_belong_to_the_process() {
    let (one, two) = (lock_file(), lock_file());
    assert_eq!(posix(one, F_WRLCK, 0, 10), Ok(0));
    assert_eq!(posix(two, F_WRLCK, 0, 10), Ok(0), "the same process never conflicts");
    std::thread::spawn(move || assert_eq!(posix(two, F_UNLCK, 0, 10), Ok(0))).join().unwrap();
    assert!(conflict(F_WRLCK, 0, 10).is_none(), "another descriptor, another thread: one owner");
}

fn posix_locks_vanish_at_any_close() {
    let (one, two) = (lock_file(), lock_file());
    posix(one, F_WRLCK, 0, 10).unwrap();
    close(two).unwrap();
    assert!(conflict(F_WRLCK, 0, 10).is_none(), "closing any descriptor of the file drops them");
    let copy = dup(one).unwrap();
    posix(one, F_WRLCK, 0, 10).unwrap();
    close(copy).unwrap();
    assert!(conflict(F_WRLCK, 0, 10).is_none());
}

fn posix_locks_split_and_merge() {
    let file = lock_file();
    posix(file, F_WRLCK, 0, 100).unwrap();
    posix(file, F_UNLCK, 40, 20).unwrap();
    assert_eq!(conflict(F_WRLCK, 0, 0).map(|lock| (lock.1, lock.2)), Some((0, 40)));
    assert_eq!(conflict(F_WRLCK, 40, 20), None);
    assert_eq!(conflict(F_WRLCK, 50, 0).map(|lock| (lock.1, lock.2)), Some((60, 40)));
    posix(file, F_RDLCK, 30, 20).unwrap();
    assert_eq!(conflict(F_WRLCK, 30, 5).map(|lock| (lock.0, lock.1, lock.2)), Some((F_RDLCK, 30, 20)));
    posix(file, F_WRLCK, 30, 30).unwrap();
    assert_eq!(conflict(F_WRLCK, 0, 0).map(|lock| (lock.1, lock.2)), Some((0, 100)), "merged again");
}

fn posix_lock_to_the_end() {
    create(c"file", &[0; 100]);
    let file = lock_file();
    lseek(file, 30, libc::SEEK_SET).unwrap();
    let mut lock = range(F_WRLCK, -10, 0);
    lock.l_whence = libc::SEEK_CUR as i16;
    fcntl(file, F_SETLK, &lock).unwrap();
    assert_eq!(conflict(F_WRLCK, 1_000_000, 1).map(|lock| (lock.1, lock.2)), Some((20, 0)));
    assert!(conflict(F_WRLCK, 0, 20).is_none());
    let mut lock = range(F_UNLCK, -20, 0);
    lock.l_whence = libc::SEEK_END as i16;
    fcntl(file, F_SETLK, &lock).unwrap();
    assert_eq!(conflict(F_WRLCK, 0, 0).map(|lock| (lock.1, lock.2)), Some((20, 60)));
}

fn posix_getlk_tells_the_holder() {
    let file = lock_file();
    posix(file, F_RDLCK, 5, 7).unwrap();
    assert_eq!(conflict(F_WRLCK, 0, 0), Some((F_RDLCK, 5, 7, getpid())));
    let mut own = range(F_WRLCK, 0, 0);
    fcntl(file, F_GETLK, &mut own).unwrap();
    assert_eq!(i32::from(own.l_type), F_UNLCK, "one's own locks are no conflict");
    assert_eq!((own.l_start, own.l_len), (0, 0), "the rest is unchanged");
}

fn posix_setlkw_blocks() {
    let file = lock_file();
    posix(file, F_WRLCK, 0, 10).unwrap();
    let waiter = fork(|| {
        let file = lock_file();
        assert_eq!(fcntl(file, F_SETLKW, &range(F_WRLCK, 5, 10)), Ok(0));
    });
    wait_until_blocked(waiter.pid);
    posix(file, F_UNLCK, 0, 5).unwrap();
    wait_until_blocked(waiter.pid); // It may look again, but the conflict is still there.
    posix(file, F_UNLCK, 5, 5).unwrap();
    waiter.succeeds();
}

fn posix_deadlock_is_refused() {
    let file = lock_file();
    posix(file, F_WRLCK, 0, 1).unwrap();
    let ready = Gate::new();
    let other = fork(|| {
        let file = lock_file();
        posix(file, F_WRLCK, 1, 1).unwrap();
        ready.open();
        assert_eq!(fcntl(file, F_SETLKW, &range(F_WRLCK, 0, 1)), Ok(0));
    });
    ready.pass();
    wait_until_blocked(other.pid);
    assert_eq!(fcntl(file, F_SETLKW, &range(F_WRLCK, 1, 1)), Err(EDEADLK));
    posix(file, F_UNLCK, 0, 1).unwrap();
    other.succeeds();
}

fn posix_lock_is_not_inherited() {
    let file = lock_file();
    posix(file, F_WRLCK, 0, 10).unwrap();
    fork(|| {
        assert_eq!(posix(file, F_WRLCK, 0, 10), Err(EAGAIN));
        posix(file, F_UNLCK, 0, 10).unwrap();
        close(file).unwrap();
    })
    .succeeds();
    assert!(conflict(F_WRLCK, 0, 10).is_some(), "the child's close did not drop it");
}

fn posix_lock_survives_exec() {
    let (from, to) = pipe();
    let holder = fork(|| {
        close(to).unwrap();
        posix(lock_file(), F_WRLCK, 0, 10).unwrap();
        dup2(from, 0).unwrap();
        exec_probe("cat", &[], &[]);
    });
    wait_until(|| {
        text(&path(format!("/proc/{}/cmdline", holder.pid))).is_ok_and(|line| line.contains("\0cat\0"))
    });
    assert_eq!(conflict(F_WRLCK, 0, 10).map(|lock| lock.3), Some(holder.pid));
    close(to).unwrap();
    holder.succeeds();
}

fn posix_lock_errors() {
    let file = lock_file();
    assert_eq!(posix(700, F_WRLCK, 0, 0), Err(EBADF));
    assert_eq!(posix(file, 99, 0, 0), Err(EINVAL));
    assert_eq!(posix(file, F_WRLCK, -1, 1), Err(EINVAL));
    assert_eq!(posix(file, F_WRLCK, 3, -5), Err(EINVAL));
    assert_eq!(posix(file, F_WRLCK, i64::MAX, 2), Err(EOVERFLOW));
    assert_eq!(fcntl(file, F_SETLK, 8), Err(EFAULT));
    let mut lock = range(F_UNLCK, 0, 0);
    assert_eq!(fcntl(file, F_GETLK, &mut lock), Err(EINVAL), "F_UNLCK can't be asked for");
    lock.l_whence = 9;
    assert_eq!(fcntl(file, F_SETLK, &lock), Err(EINVAL));
}

fn posix_lock_needs_the_right_mode() {
    create(c"file", b"");
    let (reader, writer) = (open(c"file", O_RDONLY).unwrap(), open(c"file", O_WRONLY).unwrap());
    assert_eq!(posix(reader, F_WRLCK, 0, 1), Err(EBADF));
    assert_eq!(posix(writer, F_RDLCK, 0, 1), Err(EBADF));
    assert_eq!((posix(reader, F_RDLCK, 0, 1), posix(writer, F_WRLCK, 5, 1)), (Ok(0), Ok(0)));
}

fn ofd(file: Fd, kind: i32, start: i64, len: i64) -> Sys<usize> {
    fcntl(file, F_OFD_SETLK, &range(kind, start, len))
}

fn ofd_locks_belong_to_the_open_file() {
    let (one, two) = (lock_file(), lock_file());
    assert_eq!(ofd(one, F_WRLCK, 0, 10), Ok(0));
    assert_eq!(ofd(two, F_WRLCK, 0, 10), Err(EAGAIN), "also in the same process");
    close(lock_file()).unwrap();
    assert_eq!(ofd(two, F_WRLCK, 0, 10), Err(EAGAIN), "an unrelated close does not drop it");
    let copy = dup(one).unwrap();
    close(one).unwrap();
    assert_eq!(ofd(two, F_WRLCK, 0, 10), Err(EAGAIN));
    close(copy).unwrap();
    assert_eq!(ofd(two, F_WRLCK, 0, 10), Ok(0));
    let mut lock = range(F_WRLCK, 0, 0);
    lock.l_pid = 5;
    assert_eq!(fcntl(two, F_OFD_SETLK, &lock), Err(EINVAL), "l_pid must be 0");
}

fn ofd_and_posix_locks_conflict() {
    let file = lock_file();
    ofd(file, F_WRLCK, 0, 10).unwrap();
    assert_eq!(posix(file, F_WRLCK, 5, 1), Err(EAGAIN), "two owners, even on one descriptor");
    assert_eq!(conflict(F_WRLCK, 0, 0), Some((F_WRLCK, 0, 10, -1)), "an open file has no process");
    posix(file, F_WRLCK, 20, 5).unwrap();
    let mut lock = range(F_WRLCK, 20, 1);
    fcntl(file, F_OFD_GETLK, &mut lock).unwrap();
    assert_eq!((i32::from(lock.l_type), lock.l_pid), (F_WRLCK, getpid()));
}

fn ofd_lock_blocks_threads() {
    let file = lock_file();
    ofd(file, F_WRLCK, 0, 0).unwrap();
    let other = lock_file();
    let waiter = sleeper(move || fcntl(other, F_OFD_SETLKW, &range(F_WRLCK, 0, 0)));
    ofd(file, F_UNLCK, 0, 0).unwrap();
    assert_eq!(waiter.join().unwrap(), Ok(0));
}

fn waiting_readers_all_wake() {
    let file = lock_file();
    flock(file, LOCK_EX).unwrap();
    let meet = map_shared(PAGE);
    let readers: Vec<Child> = (0..4)
        .map(|_| {
            fork(|| {
                let file = open(c"file", O_RDONLY).unwrap();
                flock(file, LOCK_SH).unwrap();
                // All four hold it at the same time.
                word_at(meet).fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                wait_until(|| word_at(meet).load(std::sync::atomic::Ordering::SeqCst) == 4);
            })
        })
        .collect();
    readers.iter().for_each(|reader| wait_until_blocked(reader.pid));
    flock(file, LOCK_UN).unwrap();
    readers.iter().for_each(Child::succeeds);
}

fn flock_and_fcntl_do_not_meet() {
    let file = lock_file();
    flock(file, LOCK_EX).unwrap();
    assert!(conflict(F_WRLCK, 0, 0).is_none());
    fork(|| {
        let other = lock_file();
        assert_eq!(posix(other, F_WRLCK, 0, 0), Ok(0));
    })
    .succeeds();
}

fn killed_waiter_leaves_the_queue() {
    let file = lock_file();
    flock(file, LOCK_EX).unwrap();
    let first = fork(|| discard(flock(lock_file(), LOCK_EX)));
    wait_until_blocked(first.pid);
    let second = fork(|| assert_eq!(flock(lock_file(), LOCK_EX), Ok(0)));
    wait_until_blocked(second.pid);
    first.finish();
    flock(file, LOCK_UN).unwrap();
    second.succeeds();
    assert_eq!(flock(file, LOCK_EX | LOCK_NB), Ok(0));
}

fn many_processes_take_turns() {
    create(c"counter", &0u32.to_ne_bytes());
    let children: Vec<Child> = (0..4)
        .map(|number| {
            fork(move || {
                let counter = open(c"counter", O_RDWR).unwrap();
                let lock = lock_file();
                for _ in 0..100 {
                    match number % 2 {
                        0 => flock(lock, LOCK_EX).map(drop).unwrap(),
                        _ => flock(lock, LOCK_EX | LOCK_NB)
                            .or_else(|_| flock(lock, LOCK_EX))
                            .map(drop)
                            .unwrap(),
                    }
                    let old = u32::from_ne_bytes(pread_some(counter, 4, 0).unwrap().try_into().unwrap());
                    let _ = syscall!(SYS_sched_yield);
                    pwrite(counter, &(old + 1).to_ne_bytes(), 0).unwrap();
                    flock(lock, LOCK_UN).unwrap();
                }
            })
        })
        .collect();
    children.iter().for_each(Child::succeeds);
    assert_eq!(content(c"counter"), Ok(400u32.to_ne_bytes().to_vec()));
}
