//! System V semaphores (semget(2), semop(2), semctl(2)).

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{
    GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_NOWAIT, IPC_PRIVATE,
    IPC_RMID, IPC_SET, IPC_STAT, SA_RESTART, SEM_UNDO, SETALL, SETVAL, SIGUSR1,
};

pub(crate) const CASES: &[Case] = &[
    case!(made_and_found_by_key),
    case!(get_errors),
    case!(values_are_set_and_read),
    case!(operations_are_all_or_none),
    case!(operation_errors_in_order),
    case!(a_semaphore_twice_in_one_call),
    case!(waits_until_there_is_enough),
    case!(waits_for_zero),
    case!(a_zero_that_lasts_a_moment_is_seen),
    case!(whoever_waits_is_served_before_others),
    case!(counts_of_those_who_wait),
    case!(a_served_waiter_serves_the_next),
    case!(removal_wakes_with_an_error),
    case!(setting_values_wakes),
    case!(timeouts),
    case!(signals_interrupt_for_good),
    case!(undo_at_exit),
    case!(undo_stays_in_range),
    case!(undo_is_forgotten_when_a_value_is_set),
    case!(undo_outlives_exec_and_is_not_inherited),
    case!(undo_list_shared_by_threads),
    case!(killed_while_waiting),
    case!(status_and_times),
    case!(owner_is_changed),
    case!(permissions).root(),
    case!(permissions_of_get).root(),
    case!(information),
    case!(listed_in_proc),
    case!(exclusion_holds_under_contention),
];

/// A key that nobody else uses, most likely.
fn fresh_key() -> i32 {
    0x4b00_0000 | getpid()
}

fn semget(key: i32, count: i32, flags: i32) -> Sys<i32> {
    syscall!(SYS_semget, key, count, flags).map(|id| id as i32)
}

fn made_and_found_by_key() {
    let key = fresh_key();
    assert_eq!(semget(key, 3, 0o600), Err(ENOENT));
    let set = SemaphoreSet { id: semget(key, 3, IPC_CREAT | IPC_EXCL | 0o600).unwrap() };
    assert_eq!(semget(key, 3, IPC_CREAT | IPC_EXCL | 0o600), Err(EEXIST));
    assert_eq!(semget(key, 0, 0), Ok(set.id));
    assert_eq!(semget(key, 3, IPC_CREAT), Ok(set.id));
    assert_eq!(semget(key, 2, 0o400), Ok(set.id));
    assert_eq!(semget(key, 4, 0), Err(EINVAL));
    assert_eq!(set.values::<3>(), [0; 3]);
    set.remove().unwrap();
    assert_eq!(semget(key, 3, 0), Err(ENOENT));
    assert_eq!(set.status().map(drop), Err(EINVAL));
}

fn get_errors() {
    assert_eq!(semget(IPC_PRIVATE, 0, 0o600), Err(EINVAL));
    assert_eq!(semget(IPC_PRIVATE, -1, 0o600), Err(EINVAL));
    assert_eq!(semget(IPC_PRIVATE, 32_001, 0o600), Err(EINVAL));
    assert_eq!(semget(fresh_key(), 0, IPC_CREAT | 0o600), Err(EINVAL));
    assert_eq!(semget(fresh_key(), 32_001, 0), Err(EINVAL), "before the key is looked at");
}

fn values_are_set_and_read() {
    let set = SemaphoreSet::new(&[1, 2, 3]);
    assert_eq!(set.values::<3>(), [1, 2, 3]);
    semctl(set.id, 1, SETVAL, 32_767).unwrap();
    assert_eq!((set.value(1), set.ask(1, GETPID)), (32_767, getpid() as usize));
    assert_eq!(semctl(set.id, 1, SETVAL, 32_768), Err(ERANGE));
    assert_eq!(semctl(set.id, 1, SETVAL, -1), Err(ERANGE));
    assert_eq!(semctl(set.id, 3, SETVAL, 1), Err(EINVAL));
    assert_eq!(semctl(set.id, -1, GETVAL, 0), Err(EINVAL));
    assert_eq!(semctl(set.id, 0, SETALL, &[0u16, 40_000, 0]), Err(ERANGE));
    assert_eq!(semctl(set.id, 0, SETALL, 8), Err(EFAULT));
    assert_eq!(semctl(set.id, 0, GETALL, 8), Err(EFAULT));
    assert_eq!(set.values::<3>(), [1, 32_767, 3]);
    assert_eq!(semctl(set.id, 99, SETVAL, 40_000), Err(ERANGE), "the value is looked at first");
    assert_eq!(semctl(0x7fff_0000, 0, SETVAL, 40_000), Err(ERANGE));
    assert_eq!(semctl(set.id, 0, 99, 0), Err(EINVAL));
    assert_eq!(semctl(-1, 0, GETVAL, 0), Err(EINVAL));
}

fn operations_are_all_or_none() {
    let set = SemaphoreSet::new(&[5, 0]);
    let both = [sembuf(0, -2, 0), sembuf(1, -1, IPC_NOWAIT)];
    assert_eq!(set.operate(&both), Err(EAGAIN));
    assert_eq!(set.values::<2>(), [5, 0]);
    set.add(1, 4).unwrap();
    set.operate(&both).unwrap();
    assert_eq!(set.values::<2>(), [3, 3]);
    assert_eq!(set.operate(&[sembuf(0, -1, 0), sembuf(1, 32_767, 0)]), Err(ERANGE));
    assert_eq!(set.values::<2>(), [3, 3]);
    assert_eq!(set.operate(&[sembuf(0, 0, IPC_NOWAIT)]), Err(EAGAIN), "a wait for zero");
}

fn operation_errors_in_order() {
    let set = SemaphoreSet::new(&[1]);
    let call = |operations: usize, count: usize| syscall!(SYS_semop, set.id, operations, count);
    assert_eq!(call(8, 501), Err(E2BIG));
    assert_eq!(call(8, 0), Err(EINVAL));
    assert_eq!(call(8, 1), Err(EFAULT));
    assert_eq!(syscall!(SYS_semop, -1, 8, 501), Err(E2BIG));
    assert_eq!(syscall!(SYS_semop, -1, 8, 1), Err(EFAULT));
    let one = [sembuf(0, 1, 0)];
    assert_eq!(syscall!(SYS_semop, -1, one.as_ptr(), 1), Err(EINVAL));
    assert_eq!(syscall!(SYS_semop, 0x7fff_0000, one.as_ptr(), 1), Err(EINVAL));
    assert_eq!(set.add(1, 1), Err(EFBIG));
    assert_eq!(set.operate(&[sembuf(7, 1, SEM_UNDO)]), Err(EFBIG));
    let bad_time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    assert_eq!(set.operate_within(&one, &bad_time), Err(EINVAL));
    assert_eq!(syscall!(SYS_semtimedop, set.id, one.as_ptr(), 1, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_semtimedop, set.id, 8, 501, 8), Err(EFAULT), "the timeout is read first");
    assert_eq!(set.value(0), 1);
}

fn a_semaphore_twice_in_one_call() {
    let set = SemaphoreSet::new(&[2]);
    set.operate(&[sembuf(0, -2, 0), sembuf(0, 0, 0), sembuf(0, 5, SEM_UNDO), sembuf(0, -1, SEM_UNDO)])
        .unwrap();
    assert_eq!(set.value(0), 4);
    assert_eq!(set.operate(&[sembuf(0, 1, 0), sembuf(0, -6, IPC_NOWAIT)]), Err(EAGAIN));
    assert_eq!(set.value(0), 4);
}

fn waits_until_there_is_enough() {
    let set = SemaphoreSet::new(&[0]);
    let waiter = fork(|| set.add(0, -3).unwrap());
    wait_until_blocked(waiter.pid);
    set.add(0, 2).unwrap();
    assert_eq!((set.value(0), set.ask(0, GETNCNT)), (2, 1));
    set.add(0, 2).unwrap();
    waiter.succeeds();
    assert_eq!((set.value(0), set.ask(0, GETPID)), (1, waiter.pid as usize));
}

fn waits_for_zero() {
    let set = SemaphoreSet::new(&[2]);
    let waiters: Vec<Child> = (0..3).map(|_| fork(|| set.add(0, 0).unwrap())).collect();
    waiters.iter().for_each(|waiter| wait_until_blocked(waiter.pid));
    assert_eq!(set.ask(0, GETZCNT), 3);
    set.add(0, -1).unwrap();
    assert_eq!(set.ask(0, GETZCNT), 3);
    set.add(0, -1).unwrap();
    waiters.iter().for_each(Child::succeeds);
}

/// Down to zero and up again in two calls: whoever waits for zero has had it.
fn a_zero_that_lasts_a_moment_is_seen() {
    let set = SemaphoreSet::new(&[1, 0]);
    for _ in 0..rounds(50) {
        let waiter = fork(|| set.operate(&[sembuf(0, 0, 0), sembuf(1, 1, 0)]).unwrap());
        wait_until(|| set.ask(0, GETZCNT) == 1);
        set.add(0, -1).unwrap();
        set.add(0, 1).unwrap();
        set.operate(&[sembuf(1, -1, IPC_NOWAIT)]).unwrap();
        waiter.succeeds();
    }
}

/// What is added while somebody waits for it is not there for anybody else, not for a moment.
fn whoever_waits_is_served_before_others() {
    let set = SemaphoreSet::new(&[0]);
    for _ in 0..rounds(50) {
        let waiter = fork(|| set.add(0, -1).unwrap());
        wait_until(|| set.ask(0, GETNCNT) == 1);
        set.add(0, 1).unwrap();
        assert_eq!(set.operate(&[sembuf(0, -1, IPC_NOWAIT)]), Err(EAGAIN));
        waiter.succeeds();
    }
}

fn counts_of_those_who_wait() {
    let set = SemaphoreSet::new(&[0, 1]);
    let more = fork(|| set.operate(&[sembuf(1, -1, 0), sembuf(0, -1, 0)]).unwrap());
    let zero = fork(|| set.operate(&[sembuf(0, 0, 0), sembuf(1, 0, 0)]).unwrap());
    wait_until_blocked(more.pid);
    wait_until_blocked(zero.pid);
    let counts = |index| (set.ask(index, GETNCNT), set.ask(index, GETZCNT));
    assert_eq!((counts(0), counts(1)), ((1, 0), (0, 1)), "each counts where it is stuck");
    set.add(0, 1).unwrap();
    more.succeeds();
    zero.succeeds();
    assert_eq!((counts(0), counts(1)), ((0, 0), (0, 0)));
}

fn a_served_waiter_serves_the_next() {
    let set = SemaphoreSet::new(&[0; 4]);
    let links: Vec<Child> = (0..3)
        .map(|index| {
            let step = [sembuf(index, -1, 0), sembuf(index + 1, 1, 0)];
            let set = &set;
            fork(move || set.operate(&step).unwrap())
        })
        .collect();
    links.iter().for_each(|link| wait_until_blocked(link.pid));
    set.add(0, 1).unwrap();
    assert_eq!(set.values::<4>(), [0, 0, 0, 1], "all of it before the call returned");
    links.iter().for_each(Child::succeeds);
}

fn removal_wakes_with_an_error() {
    let set = SemaphoreSet::new(&[0, 1]);
    let waiters = [
        fork(|| assert_eq!(set.add(0, -1), Err(EIDRM))),
        fork(|| assert_eq!(set.add(1, 0), Err(EIDRM))),
        fork(|| assert_eq!(set.operate(&[sembuf(0, -1, SEM_UNDO)]), Err(EIDRM))),
    ];
    waiters.iter().for_each(|waiter| wait_until_blocked(waiter.pid));
    set.remove().unwrap();
    waiters.iter().for_each(Child::succeeds);
    assert_eq!(set.add(0, 1), Err(EINVAL));
}

fn setting_values_wakes() {
    let set = SemaphoreSet::new(&[0, 0]);
    let first = fork(|| set.add(0, -5).unwrap());
    let second = fork(|| set.add(1, -7).unwrap());
    wait_until_blocked(first.pid);
    wait_until_blocked(second.pid);
    semctl(set.id, 0, SETVAL, 6).unwrap();
    first.succeeds();
    semctl(set.id, 0, SETALL, &[3u16, 9]).unwrap();
    second.succeeds();
    assert_eq!(set.values::<2>(), [3, 2]);
}

fn timeouts() {
    let set = SemaphoreSet::new(&[0]);
    let take = [sembuf(0, -1, 0)];
    let before = monotonic();
    assert_eq!(set.operate_within(&take, &milliseconds(20)), Err(EAGAIN));
    assert!(monotonic() - before >= 20_000_000);
    assert_eq!(set.operate_within(&take, &milliseconds(0)), Err(EAGAIN));
    assert_eq!(set.ask(0, GETNCNT), 0);
    let for_ever = libc::timespec { tv_sec: i64::MAX, tv_nsec: 0 };
    let waiter = fork(|| set.operate_within(&take, &for_ever).unwrap());
    wait_until_blocked(waiter.pid);
    set.add(0, 1).unwrap();
    waiter.succeeds();
}

fn signals_interrupt_for_good() {
    let set = SemaphoreSet::new(&[0]);
    for flags in [0, SA_RESTART] {
        let gate = Gate::new();
        let waiter = fork(|| {
            catch(SIGUSR1, flags);
            gate.open();
            assert_eq!(set.add(0, -1), Err(EINTR));
            let long = milliseconds(1_000_000);
            assert_eq!(set.operate_within(&[sembuf(0, -1, 0)], &long), Err(EINTR));
        });
        gate.pass();
        gate.dispose();
        for _ in 0..2 {
            wait_until(|| set.ask(0, GETNCNT) == 1);
            waiter.kill(SIGUSR1);
            wait_until_signal_taken(waiter.pid, SIGUSR1);
            wait_until(|| set.ask(0, GETNCNT) == 0 || state_of(waiter.pid) == Ok(b'S'));
        }
        waiter.succeeds();
    }
    assert_eq!(set.ask(0, GETNCNT), 0);
}

fn undo_at_exit() {
    let set = SemaphoreSet::new(&[5, 5]);
    let child = fork(|| {
        set.operate(&[sembuf(0, -2, SEM_UNDO), sembuf(1, 3, SEM_UNDO)]).unwrap();
        set.operate(&[sembuf(0, -1, SEM_UNDO), sembuf(1, 1, 0)]).unwrap();
        assert_eq!(set.values::<2>(), [2, 9]);
    });
    child.succeeds();
    assert_eq!((set.values::<2>(), set.ask(0, GETPID)), ([5, 6], child.pid as usize));
    // Who waits for what is taken back gets it.
    let holder = fork(|| {
        set.operate(&[sembuf(0, -5, SEM_UNDO)]).unwrap();
        wait_for_ever();
    });
    wait_until(|| set.value(0) == 0);
    let waiter = fork(|| set.add(0, -5).unwrap());
    wait_until_blocked(waiter.pid);
    holder.finish();
    waiter.succeeds();
    assert_eq!(set.value(0), 0);
}

fn undo_stays_in_range() {
    let set = SemaphoreSet::new(&[0, 32_767]);
    fork(|| {
        set.operate(&[sembuf(0, 9, SEM_UNDO), sembuf(1, -9, SEM_UNDO)]).unwrap();
        set.operate(&[sembuf(0, -6, 0), sembuf(1, 5, 0)]).unwrap();
    })
    .succeeds();
    assert_eq!(set.values::<2>(), [0, 32_767]);
    fork(|| {
        for _ in 0..2 {
            set.operate(&[sembuf(0, 20_000, SEM_UNDO), sembuf(0, -20_000, 0)]).unwrap_or_else(|errno| {
                assert_eq!(errno, ERANGE, "the sum of what would be taken back is too large");
            });
        }
        assert_eq!(set.value(0), 0);
    })
    .succeeds();
}

fn undo_is_forgotten_when_a_value_is_set() {
    let set = SemaphoreSet::new(&[5, 5, 5]);
    fork(|| {
        set.operate(&[sembuf(0, -2, SEM_UNDO), sembuf(1, -2, SEM_UNDO)]).unwrap();
        semctl(set.id, 0, SETVAL, 1).unwrap();
    })
    .succeeds();
    assert_eq!(set.values::<3>(), [1, 5, 5]);
    fork(|| {
        set.operate(&[sembuf(1, -2, SEM_UNDO)]).unwrap();
        semctl(set.id, 0, SETALL, &[7u16, 7, 7]).unwrap();
    })
    .succeeds();
    assert_eq!(set.values::<3>(), [7, 7, 7]);
}

fn undo_outlives_exec_and_is_not_inherited() {
    let set = SemaphoreSet::new(&[9]);
    fork(|| {
        set.operate(&[sembuf(0, -4, SEM_UNDO)]).unwrap();
        fork(|| ()).succeeds();
        assert_eq!(set.value(0), 5, "the end of a child takes nothing back");
        exec_probe("exit", &["0"], &[]);
    })
    .succeeds();
    assert_eq!(set.value(0), 9);
}

/// Threads of the C library share the list: the end of one takes nothing back, that of the process does.
fn undo_list_shared_by_threads() {
    let set = SemaphoreSet::new(&[9]);
    fork(|| {
        let id = set.id;
        std::thread::spawn(move || {
            let take = [sembuf(0, -4, SEM_UNDO)];
            syscall!(SYS_semop, id, take.as_ptr(), 1).unwrap();
        })
        .join()
        .unwrap();
        assert_eq!(set.value(0), 5);
        std::thread::spawn(move || {
            assert_eq!(syscall!(SYS_unshare, libc::CLONE_SYSVSEM), Ok(0));
            let take = [sembuf(0, -1, SEM_UNDO)];
            syscall!(SYS_semop, id, take.as_ptr(), 1).unwrap();
        })
        .join()
        .unwrap();
        wait_until(|| set.value(0) == 5);
    })
    .succeeds();
    assert_eq!(set.value(0), 9);
}

fn killed_while_waiting() {
    let set = SemaphoreSet::new(&[1, 0]);
    let waiter = fork(|| {
        set.operate(&[sembuf(0, -1, SEM_UNDO)]).unwrap();
        set.operate(&[sembuf(1, -1, SEM_UNDO)]).unwrap();
    });
    wait_until(|| set.ask(1, GETNCNT) == 1);
    waiter.finish();
    assert_eq!((set.ask(1, GETNCNT), set.values::<2>()), (0, [1, 0]));
}

fn status_and_times() {
    let set = SemaphoreSet::new(&[0; 7]);
    let status = set.status().unwrap();
    assert_eq!((status.sem_nsems, status.sem_otime), (7, 0));
    assert_ne!(status.sem_ctime, 0);
    assert_eq!(status.sem_perm.mode, 0o600);
    let (uid, gid) = (syscall!(SYS_geteuid).unwrap() as u32, syscall!(SYS_getegid).unwrap() as u32);
    let perm = status.sem_perm;
    assert_eq!((perm.uid, perm.gid, perm.cuid, perm.cgid, perm.__key), (uid, gid, uid, gid, 0));
    set.add(0, 0).unwrap();
    assert_ne!(set.status().unwrap().sem_otime, 0, "a wait for zero counts");
    assert_eq!(semctl(set.id, 0, IPC_STAT, 8), Err(EFAULT));
    assert_eq!(i32::from(perm.__seq), set.id >> 15);
}

fn owner_is_changed() {
    let set = SemaphoreSet::new(&[0]);
    let mut status = set.status().unwrap();
    status.sem_perm.mode = 0o7640;
    set.set(&status).unwrap();
    assert_eq!(set.status().unwrap().sem_perm.mode, 0o640);
    status.sem_perm.uid = u32::MAX;
    assert_eq!(set.set(&status), Err(EINVAL));
    assert_eq!(semctl(set.id, 0, IPC_SET, 8), Err(EFAULT));
    assert_eq!(semctl(0x7fff_0000, 0, IPC_SET, 8), Err(EFAULT), "the new owner is read first");
}

fn permissions() {
    let set = SemaphoreSet::new(&[3, 3]);
    let mut status = set.status().unwrap();
    status.sem_perm.mode = 0o644;
    set.set(&status).unwrap();
    as_nobody(|| {
        assert_eq!(set.value(0), 3);
        assert_eq!(set.operate(&[sembuf(0, 0, IPC_NOWAIT)]), Err(EAGAIN), "waiting for zero is reading");
        assert_eq!(set.add(0, -1), Err(EACCES));
        assert_eq!(set.add(9, -1), Err(EFBIG), "looked at before the permission");
        assert_eq!(semctl(set.id, 0, SETVAL, 1), Err(EACCES));
        assert_eq!(semctl(set.id, 5, SETVAL, 1), Err(EINVAL));
        assert_eq!(semctl(set.id, 0, SETALL, 8), Err(EACCES));
        assert_eq!(semctl(set.id, 0, IPC_RMID, 0), Err(EPERM));
        assert_eq!(set.set(&status), Err(EPERM));
    });
    status.sem_perm.mode = 0o420;
    status.sem_perm.uid = 77;
    status.sem_perm.gid = NOBODY;
    set.set(&status).unwrap();
    as_nobody(|| {
        assert_eq!(semctl(set.id, 0, GETVAL, 0), Err(EACCES));
        assert_eq!(semctl(set.id, 0, SETVAL, 4), Ok(0), "the group may write");
        assert_eq!(semctl(set.id, 0, IPC_STAT, 8), Err(EACCES));
    });
    fork_as(77, 78, || {
        assert_eq!(set.value(0), 4);
        assert_eq!(semctl(set.id, 0, SETVAL, 4), Err(EACCES), "the owner is not the group");
        set.remove().unwrap();
    })
    .succeeds();
}

fn permissions_of_get() {
    let key = fresh_key();
    let set = SemaphoreSet { id: semget(key, 1, IPC_CREAT | 0o604).unwrap() };
    as_nobody(|| {
        assert_eq!(semget(key, 1, 0o400), Ok(set.id));
        assert_eq!(semget(key, 1, 0), Ok(set.id));
        assert_eq!(semget(key, 1, 0o200), Err(EACCES));
        assert_eq!(semget(key, 2, 0o200), Err(EINVAL), "the size is looked at first");
        assert_eq!(semget(key, 1, IPC_CREAT | IPC_EXCL | 0o200), Err(EEXIST));
    });
}

fn information() {
    const SEM_STAT: i32 = 18;
    const SEM_INFO: i32 = 19;
    const SEM_STAT_ANY: i32 = 20;
    let set = SemaphoreSet::new(&[0; 3]);
    let mut limits = [0i32; 10];
    let highest = semctl(0, 0, IPC_INFO, &mut limits).unwrap();
    assert_eq!(
        limits,
        [1_024_000_000, 32_000, 1_024_000_000, 1_024_000_000, 32_000, 500, 500, 20, 32_767, 32_767]
    );
    assert!(highest >= (set.id & 0x7fff) as usize);
    assert!(semctl(0, 0, SEM_INFO, &mut limits).is_ok());
    assert!(limits[7] >= 1 && limits[9] >= 3);
    let mut status: libc::semid_ds = zeroed();
    for command in [SEM_STAT, SEM_STAT_ANY] {
        assert_eq!(semctl(set.id & 0x7fff, 0, command, &mut status), Ok(set.id as usize));
        assert_eq!(status.sem_nsems, 3);
    }
    assert_eq!(semctl(0x7fff, 0, SEM_STAT, &mut status), Err(EINVAL));
    assert_eq!(text(c"/proc/sys/kernel/sem").unwrap(), "32000\t1024000000\t500\t32000\n");
}

fn listed_in_proc() {
    let set = SemaphoreSet::new(&[0; 5]);
    let table = text(c"/proc/sysvipc/sem").unwrap();
    assert_eq!(
        table.lines().next(),
        Some("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime")
    );
    let own = |line: &&str| line.split_ascii_whitespace().nth(1) == Some(&set.id.to_string());
    let line = table.lines().find(own).expect("the set's line");
    let changed = set.status().unwrap().sem_ctime;
    assert_eq!(
        line,
        format!("{:10} {:10}   600          5     0     0     0     0          0 {changed:10}", 0, set.id)
    );
}

/// A semaphore as a lock, with and without undo: never two inside.
fn exclusion_holds_under_contention() {
    let set = SemaphoreSet::new(&[1]);
    let counter = word_at(map_shared(PAGE));
    let rounds = rounds(300);
    let children: Vec<Child> = (0..4)
        .map(|index| {
            let set = &set;
            fork(move || {
                let flags = if index % 2 == 0 { SEM_UNDO } else { 0 };
                for _ in 0..rounds {
                    set.operate(&[sembuf(0, -1, flags)]).unwrap();
                    let value = counter.load(std::sync::atomic::Ordering::Relaxed);
                    counter.store(value + 1, std::sync::atomic::Ordering::Relaxed);
                    set.operate(&[sembuf(0, 1, flags)]).unwrap();
                }
            })
        })
        .collect();
    children.iter().for_each(Child::succeeds);
    assert_eq!(u64::from(counter.load(std::sync::atomic::Ordering::Relaxed)), 4 * rounds);
    assert_eq!(set.value(0), 1);
}
