//! System V shared memory (shmget(2), shmat(2), shmctl(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_PRIVATE, IPC_STAT, PROT_READ, PROT_WRITE, SHM_EXEC, SHM_LOCK,
    SHM_RDONLY, SHM_REMAP, SHM_RND, SHM_UNLOCK,
};
use std::sync::atomic::Ordering::SeqCst;

pub(crate) const CASES: &[Case] = &[
    case!(made_and_found_by_key),
    case!(get_errors),
    case!(huge_pages_are_not_there),
    case!(attached_memory_is_shared),
    case!(content_outlives_its_processes),
    case!(the_whole_of_the_last_page),
    case!(attach_errors),
    case!(attached_at_an_address),
    case!(attached_in_place_of_something),
    case!(attached_for_reading),
    case!(attached_for_execution),
    case!(detached),
    case!(detached_in_pieces),
    case!(fork_and_exit_count),
    case!(exec_and_munmap_detach),
    case!(removed_at_the_last_detach),
    case!(removed_without_attachment),
    case!(status_and_times),
    case!(permissions).root(),
    case!(locked_is_shown).root(),
    case!(information),
    case!(listed_in_proc).root(),
    case!(shown_among_the_mappings),
    case!(futex_in_a_segment),
    case!(killed_processes_detach),
];

/// A key that nobody else uses, most likely.
fn fresh_key() -> i32 {
    0x5300_0000 | getpid()
}

fn shmget(key: i32, size: usize, flags: i32) -> Sys<i32> {
    syscall!(SYS_shmget, key, size, flags).map(|id| id as i32)
}

const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;

/// The mode with the bits that tell the state.
fn mode(segment: &Segment) -> u32 {
    u32::from(segment.status().expect("IPC_STAT").shm_perm.mode)
}

fn made_and_found_by_key() {
    let key = fresh_key();
    assert_eq!(shmget(key, 100, 0o600), Err(ENOENT));
    let segment = Segment { id: shmget(key, 100, IPC_CREAT | IPC_EXCL | 0o600).unwrap() };
    assert_eq!(shmget(key, 100, IPC_CREAT | IPC_EXCL | 0o600), Err(EEXIST));
    assert_eq!(shmget(key, 0, 0), Ok(segment.id));
    assert_eq!(shmget(key, 100, IPC_CREAT), Ok(segment.id));
    assert_eq!(shmget(key, 101, 0), Err(EINVAL), "the size as it was asked for");
    segment.remove().unwrap();
    assert_eq!(shmget(key, 100, 0), Err(ENOENT));
}

fn get_errors() {
    assert_eq!(shmget(IPC_PRIVATE, 0, 0o600), Err(EINVAL));
    assert_eq!(shmget(fresh_key(), 0, 0), Err(ENOENT), "no size is needed to look");
    assert_eq!(shmget(IPC_PRIVATE, usize::MAX, 0o600), Err(EINVAL));
    assert_eq!(shmget(IPC_PRIVATE, 1 << 45, 0o600), Err(ENOMEM), "more than there could be");
    let segment = Segment { id: shmget(IPC_PRIVATE, 1 << 40, libc::SHM_NORESERVE | 0o600).unwrap() };
    let at = segment.attach(0, 0).unwrap();
    poke(at + (1 << 39), 7);
    assert_eq!((peek(at), peek(at + (1 << 39))), (0, 7));
    shmdt(at).unwrap();
}

fn huge_pages_are_not_there() {
    assert_eq!(shmget(IPC_PRIVATE, 4096, libc::SHM_HUGETLB | 0o600), Err(ENOMEM));
    assert_eq!(shmget(IPC_PRIVATE, 4096, libc::SHM_HUGETLB | 5 << 26 | 0o600), Err(EINVAL));
    assert_eq!(shmget(IPC_PRIVATE, 0, libc::SHM_HUGETLB | 0o600), Err(EINVAL));
}

fn attached_memory_is_shared() {
    let segment = Segment::new(3 * PAGE);
    let at = segment.attach(0, 0).unwrap();
    let again = segment.attach(0, 0).unwrap();
    assert_ne!(at, again);
    poke(at + PAGE, 5);
    assert_eq!((peek(again + PAGE), peek(again), peek(again + 2 * PAGE)), (5, 0, 0));
    fork(|| {
        poke(again, 6);
        let own = segment.attach(0, 0).unwrap();
        assert_eq!((peek(own), peek(own + PAGE)), (6, 5));
    })
    .succeeds();
    assert_eq!(peek(at), 6);
}

fn content_outlives_its_processes() {
    let segment = Segment::new(PAGE);
    fork(|| poke(segment.attach(0, 0).unwrap() + 9, 99)).succeeds();
    assert_eq!(segment.attachments(), 0);
    assert_eq!(peek(segment.attach(0, SHM_RDONLY).unwrap() + 9), 99);
}

fn the_whole_of_the_last_page() {
    let segment = Segment::new(PAGE + 1);
    assert_eq!(segment.status().unwrap().shm_segsz, PAGE + 1);
    let at = segment.attach(0, 0).unwrap();
    poke(at + 2 * PAGE - 1, 1);
    assert_eq!(peek(at + 2 * PAGE - 1), 1);
}

fn attach_errors() {
    let segment = Segment::new(PAGE);
    let attach = |id: i32, at: usize, flags: i32| syscall!(SYS_shmat, id, at, flags);
    assert_eq!(attach(-1, 0, 0), Err(EINVAL));
    assert_eq!(attach(0x7fff_0000, 0, 0), Err(EINVAL));
    assert_eq!(attach(segment.id, 0, SHM_REMAP), Err(EINVAL), "in place of nothing");
    assert_eq!(attach(segment.id, 100, SHM_REMAP | SHM_RND), Err(EINVAL));
    assert_eq!(attach(segment.id, 0x1000_0001, 0), Err(EINVAL), "no page");
    assert_eq!(attach(segment.id, 0usize.wrapping_sub(PAGE), 0), Err(EINVAL));
    assert_eq!(attach(segment.id, 0xffff_8000_0000_0000, 0), Err(ENOMEM));
    assert_eq!(segment.attachments(), 0);
}

fn attached_at_an_address() {
    let segment = Segment::new(2 * PAGE);
    let room = map_anonymous(6 * PAGE);
    assert_eq!(segment.attach(room + PAGE, 0), Err(EINVAL), "taken");
    unmap(room, 6 * PAGE).unwrap();
    assert_eq!(segment.attach(room + PAGE, 0), Ok(room + PAGE));
    assert_eq!(segment.attach(room, 0), Err(EINVAL), "a part of it is taken");
    assert_eq!(segment.attach(room + 3 * PAGE + 5, SHM_RND), Ok(room + 3 * PAGE));
}

fn attached_in_place_of_something() {
    let segment = Segment::new(PAGE);
    let room = map_anonymous(3 * PAGE);
    poke(room, 1);
    poke(room + PAGE, 2);
    assert_eq!(segment.attach(room + PAGE + 7, SHM_REMAP | SHM_RND), Ok(room + PAGE));
    assert_eq!((peek(room), peek(room + PAGE)), (1, 0));
    shmdt(room + PAGE).unwrap();
    assert_eq!(fault_of(|| discard(peek(room + PAGE))), unmapped_at(room + PAGE));
}

fn attached_for_reading() {
    let segment = Segment::new(PAGE);
    let at = segment.attach(0, SHM_RDONLY).unwrap();
    assert_eq!(fault_of(|| poke(at, 1)), forbidden_at(at));
    assert_eq!(mprotect(at, PAGE, PROT_READ | PROT_WRITE), Err(EACCES));
    let written = segment.attach(0, 0).unwrap();
    poke(written, 4);
    assert_eq!(peek(at), 4);
    mprotect(written, PAGE, PROT_READ).unwrap();
    mprotect(written, PAGE, PROT_READ | PROT_WRITE).unwrap();
}

fn attached_for_execution() {
    let segment = Segment { id: shmget(IPC_PRIVATE, PAGE, 0o700).unwrap() };
    let at = segment.attach(0, SHM_EXEC).unwrap();
    // mov eax, 42; ret
    for (offset, byte) in [0xb8, 42, 0, 0, 0, 0xc3].into_iter().enumerate() {
        poke(at + offset, byte);
    }
    // SAFETY: the code was just put there.
    let answer: extern "C" fn() -> i32 =
        unsafe { std::mem::transmute(std::ptr::with_exposed_provenance::<u8>(at)) };
    assert_eq!(answer(), 42);
}

fn detached() {
    let segment = Segment::new(2 * PAGE);
    let at = segment.attach(0, 0).unwrap();
    assert_eq!(shmdt(at + PAGE), Err(EINVAL), "not where it begins");
    assert_eq!(shmdt(at + 1), Err(EINVAL));
    assert_eq!(shmdt(map_shared(PAGE)), Err(EINVAL), "no segment");
    shmdt(at).unwrap();
    assert_eq!(fault_of(|| discard(peek(at))), unmapped_at(at));
    assert_eq!(shmdt(at), Err(EINVAL));
    assert_eq!(segment.attachments(), 0);
}

/// A hole in the middle, and a page with another protection: all that is left goes at once.
fn detached_in_pieces() {
    let segment = Segment::new(6 * PAGE);
    let at = segment.attach(0, 0).unwrap();
    unmap(at + PAGE, PAGE).unwrap();
    mprotect(at + 3 * PAGE, PAGE, PROT_READ).unwrap();
    let other = map(at + PAGE, PAGE, READ_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0).unwrap();
    assert_eq!(other, at + PAGE);
    shmdt(at).unwrap();
    assert_eq!(segment.attachments(), 0);
    assert_eq!(peek(other), 0);
    assert_eq!(fault_of(|| discard(peek(at + 3 * PAGE))), unmapped_at(at + 3 * PAGE));
    // Without its first page it can still be detached from where it began.
    let at = segment.attach(0, 0).unwrap();
    unmap(at, 2 * PAGE).unwrap();
    shmdt(at).unwrap();
    assert_eq!(segment.attachments(), 0);
}

fn fork_and_exit_count() {
    let segment = Segment::new(PAGE);
    segment.attach(0, 0).unwrap();
    let gate = Gate::new();
    let children: Vec<Child> = (0..3).map(|_| fork(|| gate.pass())).collect();
    assert_eq!(segment.attachments(), 4);
    for (index, child) in children.iter().enumerate() {
        gate.open();
        wait4(-1, 0).unwrap();
        assert_eq!(segment.attachments(), 3 - index as u64);
        let _ = child;
    }
}

fn exec_and_munmap_detach() {
    let segment = Segment::new(PAGE);
    let gate = Gate::new();
    let child = fork(|| {
        segment.attach(0, 0).unwrap();
        gate.open();
        exec_probe("outlive", &["1000"], &[]);
    });
    gate.pass();
    wait_until(|| segment.attachments() == 0);
    child.kill(libc::SIGKILL);
    child.wait();
    let at = segment.attach(0, 0).unwrap();
    unmap(at, PAGE).unwrap();
    assert_eq!(segment.attachments(), 0);
}

fn removed_at_the_last_detach() {
    let key = fresh_key();
    let segment = Segment { id: shmget(key, PAGE, IPC_CREAT | 0o600).unwrap() };
    let at = segment.attach(0, 0).unwrap();
    poke(at, 3);
    segment.remove().unwrap();
    assert_eq!((mode(&segment), segment.status().unwrap().shm_perm.__key), (0o600 | SHM_DEST, 0));
    assert_eq!(shmget(key, PAGE, 0), Err(ENOENT));
    segment.remove().unwrap();
    let again = segment.attach(0, 0).expect("until then it can be attached");
    assert_eq!(peek(again), 3);
    shmdt(at).unwrap();
    fork(|| assert_eq!(peek(again), 3)).succeeds();
    assert_eq!(segment.attachments(), 1);
    shmdt(again).unwrap();
    assert_eq!(segment.status().map(drop), Err(EINVAL));
    assert_eq!(segment.attach(0, 0), Err(EINVAL));
}

fn removed_without_attachment() {
    let segment = Segment::new(PAGE);
    segment.remove().unwrap();
    assert_eq!(segment.status().map(drop), Err(EINVAL));
    assert_eq!(segment.remove(), Err(EINVAL));
}

fn status_and_times() {
    let segment = Segment::new(100);
    let status = segment.status().unwrap();
    assert_eq!((status.shm_cpid, status.shm_lpid, status.shm_nattch), (getpid(), 0, 0));
    assert_eq!((status.shm_atime, status.shm_dtime), (0, 0));
    assert_ne!(status.shm_ctime, 0);
    let child = fork(|| {
        let at = segment.attach(0, 0).unwrap();
        assert_ne!(segment.status().unwrap().shm_atime, 0);
        shmdt(at).unwrap();
    });
    child.succeeds();
    let status = segment.status().unwrap();
    assert_eq!((status.shm_cpid, status.shm_lpid), (getpid(), child.pid));
    assert_ne!(status.shm_dtime, 0);
    assert_eq!(shmctl(segment.id, IPC_STAT, 8), Err(EFAULT));
    assert_eq!(shmctl(segment.id, 99, 8), Err(EINVAL));
    assert_eq!(shmctl(-1, IPC_STAT, 8), Err(EINVAL));
}

fn permissions() {
    let segment = Segment { id: shmget(IPC_PRIVATE, PAGE, 0o644).unwrap() };
    as_nobody(|| {
        assert_eq!(segment.attach(0, 0), Err(EACCES));
        assert_eq!(segment.attach(0, SHM_RDONLY | SHM_EXEC), Err(EACCES));
        assert!(segment.attach(0, SHM_RDONLY).is_ok());
        assert_eq!(segment.remove(), Err(EPERM));
        assert_eq!(segment.set(&segment.status().unwrap()), Err(EPERM));
        assert_eq!(shmctl(segment.id, SHM_LOCK, 0), Err(EPERM));
    });
    let mut status = segment.status().unwrap();
    (status.shm_perm.uid, status.shm_perm.mode) = (NOBODY, 0o600);
    segment.set(&status).unwrap();
    as_nobody(|| {
        assert!(segment.attach(0, 0).is_ok());
        segment.remove().unwrap();
    });
}

fn locked_is_shown() {
    let segment = Segment::new(PAGE);
    shmctl(segment.id, SHM_LOCK, 0).unwrap();
    assert_eq!(mode(&segment), 0o600 | SHM_LOCKED);
    shmctl(segment.id, SHM_UNLOCK, 0).unwrap();
    assert_eq!(mode(&segment), 0o600);
}

fn information() {
    const SHM_STAT: i32 = 13;
    const SHM_INFO: i32 = 14;
    const SHM_STAT_ANY: i32 = 15;
    let segment = Segment::new(3 * PAGE);
    let at = segment.attach(0, 0).unwrap();
    poke(at, 1);
    let mut limits = [0u64; 9];
    assert!(shmctl(0, IPC_INFO, &mut limits).unwrap() >= (segment.id & 0x7fff) as usize);
    let no_limit = u64::MAX - (1 << 24);
    assert_eq!(limits, [no_limit, 1, 4096, 4096, no_limit, 0, 0, 0, 0]);
    let mut usage = [0u64; 6];
    assert!(shmctl(0, SHM_INFO, &mut usage).is_ok());
    assert!(usage[0] >= 1 && usage[1] >= 3 && usage[2] >= 1, "{usage:?}");
    let mut status: libc::shmid_ds = zeroed();
    for command in [SHM_STAT, SHM_STAT_ANY] {
        assert_eq!(shmctl(segment.id & 0x7fff, command, &mut status), Ok(segment.id as usize));
        assert_eq!(status.shm_segsz, 3 * PAGE);
    }
    let limit = |name: &str| text(&path(format!("/proc/sys/kernel/{name}"))).unwrap();
    assert_eq!((limit("shmmni"), limit("shmmax")), ("4096\n".into(), format!("{no_limit}\n")));
}

fn listed_in_proc() {
    let segment = Segment::new(PAGE + 5);
    let at = segment.attach(0, 0).unwrap();
    poke(at, 1);
    let table = text(c"/proc/sysvipc/shm").unwrap();
    let own = |line: &&str| line.split_ascii_whitespace().nth(1) == Some(&segment.id.to_string());
    let line = table.lines().find(own).expect("the segment's line");
    let status = segment.status().unwrap();
    let (pid, attached, changed) = (getpid(), status.shm_atime, status.shm_ctime);
    let expected = format!(
        "{:10} {:10}   600 {:21} {pid:5} {pid:5}      1     0     0     0     0 {attached:10} {:10} {changed:10} {:21} {:21}",
        0,
        segment.id,
        PAGE + 5,
        0,
        PAGE,
        0
    );
    assert_eq!(line, expected);
}

fn shown_among_the_mappings() {
    let key = fresh_key();
    let segment = Segment { id: shmget(key, 2 * PAGE, IPC_CREAT | 0o600).unwrap() };
    let at = segment.attach(0, 0).unwrap();
    let maps = text(c"/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.contains("SYSV")).expect("the segment's line");
    let head = format!("{at:x}-{:x} rw-s 00000000 00:01 {} ", at + 2 * PAGE, segment.id);
    assert!(line.starts_with(&head) && line.ends_with(&format!("/SYSV{key:08x} (deleted)")), "{line}");
}

fn futex_in_a_segment() {
    let segment = Segment::new(PAGE);
    let at = segment.attach(0, 0).unwrap();
    let waiter = fork(|| {
        let own = segment.attach(0, 0).unwrap();
        while word_at(own).load(SeqCst) == 0 {
            discard(syscall!(SYS_futex, own, libc::FUTEX_WAIT, 0, 0));
        }
    });
    wait_until_blocked(waiter.pid);
    word_at(at).store(1, SeqCst);
    assert_eq!(syscall!(SYS_futex, at, libc::FUTEX_WAKE, 1), Ok(1));
    waiter.succeeds();
}

fn killed_processes_detach() {
    let segment = Segment::new(64 * PAGE);
    for _ in 0..5 {
        let gate = Gate::new();
        let child = fork(|| {
            let at = segment.attach(0, 0).unwrap();
            gate.open();
            loop {
                (0..64).for_each(|page| poke(at + page * PAGE, 1));
            }
        });
        gate.pass();
        gate.dispose();
        child.finish();
        assert_eq!(segment.attachments(), 0);
    }
}
